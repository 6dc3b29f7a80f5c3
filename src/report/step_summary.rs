//! The result in Markdown, for the summary of a CI job.

use std::fmt::Write;

use super::stored::readable;
use super::words::{
    Outcome, fault_name, holding, measured, millis, outcome, story, value_text, verdict_word,
};
use crate::summary::{Figure, METRICS, Scope, Summary, Verdict};

/// Largest number of faults in the table.
const FAULTS_MAX: usize = 20;

/// The text: the verdict, a summary in sentences, the expectations, latency and faults.
pub fn markdown_summary(summary: &Summary) -> String {
    let shown = readable(summary);
    let s = shown.as_deref().unwrap_or(summary);
    let mark = match s.verdict {
        Verdict::Passed => "✅",
        Verdict::Failed => "❌",
        _ => "⚠️",
    };
    let mut out = format!(
        "## {mark} {}: {}\n\n{}\n\n",
        verdict_word(s.verdict),
        escaped(&s.scenario),
        escaped(&story(s))
    );
    for reason in &s.invalid_reasons {
        let _ = writeln!(out, "- {}", escaped(reason));
    }
    expectations(&mut out, s);
    latency(&mut out, s);
    faults(&mut out, s);
    let _ = writeln!(
        out,
        "{} partitions, {} consumers ({}), {} broker, seed {}, lanekeeper {}\n",
        s.partitions.len(),
        s.members,
        escaped(&s.mode),
        escaped(&s.broker),
        s.seed,
        escaped(&s.lanekeeper_version)
    );
    out
}

/// Adds the expectations. Those that failed are visible, and the others are folded.
fn expectations(out: &mut String, s: &Summary) {
    let head = "| | expectation | measured |\n|---|---|---|\n";
    let row = |it: &_| {
        let mark = match outcome(s, it) {
            Outcome::Holds => "✓",
            Outcome::Fails => "✗",
            Outcome::Undecided => "?",
        };
        format!("| {mark} | {} | {} |\n", escaped(&it.expression), escaped(&measured(it)))
    };
    let (held, others): (Vec<_>, Vec<_>) =
        s.expectations.iter().partition(|it| outcome(s, it) == Outcome::Holds);
    if !others.is_empty() {
        let rows: String = others.into_iter().map(row).collect();
        let _ = writeln!(out, "{head}{rows}");
    }
    if !held.is_empty() {
        let rows: String = held.into_iter().map(row).collect();
        let summary = escaped(&holding(s));
        let _ =
            write!(out, "<details><summary>{summary}</summary>\n\n{head}{rows}\n</details>\n\n");
    }
}

fn latency(out: &mut String, s: &Summary) {
    let Some(metric) = METRICS.iter().find(|metric| metric.name == "latency") else { return };
    if s.latency_us.response.count == 0 {
        return;
    }
    let values = metric.quantiles().iter().map(|quantile| {
        let figure = Figure { metric, scope: Scope::Run, quantile: Some(*quantile) };
        let value = figure.values(s).first().and_then(|it| it.1);
        (quantile.name(), value.map_or("–".to_owned(), |value| value_text(metric.unit, value)))
    });
    let (names, texts): (Vec<&str>, Vec<String>) = values.unzip();
    let _ = write!(
        out,
        "| response time | {} |\n|---|{}\n| all partitions | {} |\n\n",
        names.join(" | "),
        "---|".repeat(names.len()),
        texts.join(" | ")
    );
}

fn faults(out: &mut String, s: &Summary) {
    let came: Vec<_> = s.faults.iter().filter(|fault| fault.at_s.is_some()).collect();
    if came.is_empty() {
        return;
    }
    out.push_str("| fault | at | stalled | recovered after | lag peak | redelivered |\n|---|---|---|---|---|---|\n");
    for fault in came.iter().take(FAULTS_MAX) {
        let recovered = match (fault.not_recovered.first(), fault.recovered_ms) {
            (Some(partition), _) => format!("not within the run (partition {partition})"),
            (None, Some(ms)) => millis(ms),
            (None, None) => "–".to_owned(),
        };
        let _ = writeln!(
            out,
            "| {} | {:.1} s | {} of {} | {recovered} | {} | {} |",
            escaped(&fault_name(fault)),
            fault.at_s.unwrap_or(0.0),
            fault.blast_radius,
            s.partitions.len(),
            fault.lag_peak,
            fault.redelivered
        );
    }
    if came.len() > FAULTS_MAX {
        let _ = writeln!(out, "\nand {} more", came.len() - FAULTS_MAX);
    }
    out.push('\n');
}

/// A text with all Markdown and HTML escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '!' | '~' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_neither_markdown_nor_html() {
        let summary = Summary { scenario: "<b>|`x`\n# y".to_owned(), ..Summary::default() };
        let text = markdown_summary(&summary);
        let first = text.lines().next().unwrap();
        assert_eq!(first, "## ✅ PASSED: &lt;b&gt;\\|\\`x\\`\\\\n\\# y");
    }
}
