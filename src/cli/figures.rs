//! `figures`: the names for `[expect]`, from the table of metrics.

use clap::Args;
use textwrap::{Options, WordSeparator, WordSplitter};

use super::terminal::{print, terminal_width};
use crate::error::{Error, Exit};
use crate::summary::{Better, Figure, METRICS, Metric, Unit, condition};

/// Arguments of `figures`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lanekeeper figures
  lanekeeper figures lag")]
pub(super) struct FiguresArguments {
    /// List only figures with this text in their name or meaning.
    text: Option<String>,
}

/// Column in which the meaning begins.
const INDENT: usize = 46;

/// Prints a line for each figure.
pub(super) fn figures(arguments: &FiguresArguments) -> Result<Exit, Error> {
    let wanted = arguments.text.as_deref().unwrap_or_default().to_lowercase();
    let mut out = format!("{:<30}{:<9}{:<7}meaning\n", "figure", "value", "better");
    let names: Vec<String> = Figure::names().map(|(name, _)| name).collect();
    let mut found = 0;
    for metric in METRICS {
        let name = name(metric, &names);
        let meaning = meaning(metric);
        if !name.contains(&wanted) && !meaning.to_lowercase().contains(&wanted) {
            continue;
        }
        found += 1;
        out.push_str(&line(metric, &name, &meaning));
    }
    if found == 0 {
        return Err(Error::Input(format!(
            "no figure has `{wanted}` in its name or meaning; `lanekeeper figures` lists all"
        )));
    }
    out.push_str(
        "\n<q> is p50, p90, p95, p99, p999 or max. partition[*] is each partition: the worst decides; partition[7] is \
         one.\nstage[0] is the first [[load.stage]] of the scenario, fault[0] the first [[fault]]. An expectation: \"latency.p99\" = \"< 50ms\"\n",
    );
    print(&out)?;
    Ok(Exit::Passed)
}

/// The name with `[*]` or `[0]` for a partition or a fault, and with `<q>` for quantiles.
fn name(metric: &Metric, names: &[String]) -> String {
    let quantile = metric.quantiles().first().map(|quantile| quantile.name());
    let parsed = names.iter().find(|name| {
        let index = if name.starts_with("partition") { "[*]" } else { "[0]" };
        Figure::parse(&name.replacen("[]", index, 1)).is_some_and(|it| it.metric == metric)
    });
    let name = parsed.map_or(metric.name, String::as_str);
    let name = match quantile.and_then(|quantile| name.strip_suffix(quantile)) {
        Some(beginning) => format!("{beginning}<q>"),
        None => name.to_owned(),
    };
    let index = if name.starts_with("partition") { "[*]" } else { "[0]" };
    name.replacen("[]", index, 1)
}

fn meaning(metric: &Metric) -> String {
    match condition(metric.needs) {
        Some(condition) => format!("{} ({condition})", metric.meaning),
        None => metric.meaning.to_owned(),
    }
}

fn line(metric: &Metric, name: &str, meaning: &str) -> String {
    let value = match metric.unit {
        Unit::Count => "count",
        Unit::Time => "time",
        Unit::Number => "number",
        Unit::Flag => "true",
    };
    let better = match metric.better {
        Better::Less => "less",
        Better::More => "more",
        Better::Neither => "",
    };
    let line = format!("{name:<29} {value:<9}{better:<7}{meaning}");
    let Some(width) = terminal_width().filter(|width| *width > INDENT + 20) else {
        return line + "\n";
    };
    let indent = " ".repeat(INDENT);
    let options = Options::new(width)
        .subsequent_indent(&indent)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let wrapped = textwrap::wrap(&line, options);
    wrapped.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_the_name_a_scenario_takes() {
        let names: Vec<String> = Figure::names().map(|(name, _)| name).collect();
        for metric in METRICS {
            let name = name(metric, &names);
            let quantile = metric.quantiles().last().map_or("", |quantile| quantile.name());
            let figure = Figure::parse(&name.replace("<q>", quantile));
            assert!(figure.is_some_and(|figure| figure.metric == metric), "{name}");
        }
    }
}
