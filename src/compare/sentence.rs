//! The result of a comparison in one sentence.

use std::time::Duration;

use super::side_by_side::{ChangeWord, MetricRow, SideBySide};
use super::variant::VariantRounds;
use crate::base::format_duration;
use crate::summary::Summary;

/// The sentence about a comparison of `variants`.
pub fn sentence(compared: &SideBySide, variants: &[VariantRounds]) -> String {
    let said = of_fault(compared, variants).or_else(|| of_latency(compared));
    let said = said.unwrap_or("The variants have no latency to compare.".to_owned());
    match overloaded(variants) {
        Some(more) => format!("{said} {more}"),
        None => said,
    }
}

/// The effect of the first fault in each variant: partitions that continue, and how long others stall.
fn of_fault(compared: &SideBySide, variants: &[VariantRounds]) -> Option<String> {
    let stopped = compared.metric("fault[0].blast_radius")?;
    let stall = compared.metric("fault[0].others_stall");
    let first = variants.first()?.summaries.first()?;
    let kind = first.faults.iter().find(|fault| fault.fault == 0)?.kind.as_str();
    let event = if kind == "kill" { "a crash".to_owned() } else { format!("the fault `{kind}`") };
    let (mut keeping, mut stopping) = (Vec::new(), Vec::new());
    for (at, variant) in variants.iter().enumerate() {
        let count = variant.summaries.first()?.partitions.len();
        let hit = stopped.values[at].value?;
        let others = stall.and_then(|row| row.values[at].value);
        if hit.round() as usize <= 1 {
            let running = count - (hit.round() as usize).min(count);
            keeping.push((variant.name.as_str(), format!("{running} of {count}")));
        } else {
            let lasts = others.map_or(String::new(), |ms| format!(" for {}", time(ms)));
            stopping.push(format!("{} stops {hit:.0} of {count}{lasts}", variant.name));
        }
    }
    Some(match (keeping.is_empty(), stopping.is_empty()) {
        (false, true) => format!("{} partitions running in {event}.", kept(&keeping)),
        (true, _) => format!("In {event} {}.", listed(&stopping)),
        (false, false) => {
            format!("{} partitions running in {event}; {}.", kept(&keeping), listed(&stopping))
        }
    })
}

/// `assign keeps 18 of 18`, or several that keep the same or different numbers.
fn kept(keeping: &[(&str, String)]) -> String {
    let is_same = keeping.iter().all(|(_, running)| *running == keeping[0].1);
    let names: Vec<String> = keeping.iter().map(|(name, _)| (*name).to_owned()).collect();
    match (is_same, names.len()) {
        (true, 1) => format!("{} keeps {}", names[0], keeping[0].1),
        (true, _) => format!("{} keep {}", listed(&names), keeping[0].1),
        (false, _) => {
            let each = keeping.iter().map(|(name, running)| format!("{name} keeps {running}"));
            listed(&each.collect::<Vec<_>>())
        }
    }
}

/// The p99 of each variant, and whether the differences are more than noise.
fn of_latency(compared: &SideBySide) -> Option<String> {
    let row = compared.metric("latency.p99")?;
    let first = row.values.first()?;
    let mut parts = vec![format!("{} has a p99 of {}", first.variant, time(first.value?))];
    for value in &row.values[1..] {
        parts.push(format!(
            "{} {}{}",
            value.variant,
            time(value.value?),
            word(row, value.change.as_ref()?)
        ));
    }
    Some(format!("{}.", listed(&parts)))
}

fn word(row: &MetricRow, change: &super::side_by_side::Change) -> String {
    match change.verdict {
        ChangeWord::Better => " (better)".to_owned(),
        ChangeWord::Worse => " (worse)".to_owned(),
        ChangeWord::Different => " (different)".to_owned(),
        ChangeWord::Same => " (the same)".to_owned(),
        ChangeWord::Unknown => " (too few rounds to tell)".to_owned(),
        ChangeWord::Unclear => " (no difference was seen, more rounds would tell)".to_owned(),
        ChangeWord::Alike => match change.detectable {
            Some(least) if row.unit == "ms" => {
                format!(" (no difference was seen; these rounds show {} or more)", time(least))
            }
            _ => " (no difference was seen)".to_owned(),
        },
    }
}

/// The partition with which no variant keeps up.
fn overloaded(variants: &[VariantRounds]) -> Option<String> {
    let worst = |summary: &Summary| {
        let it =
            summary.overloaded.iter().filter_map(|it| Some((it.partition, it.consumers_needed?)));
        it.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let all: Option<Vec<(u32, f64)>> =
        variants.iter().map(|variant| variant.summaries.first().and_then(worst)).collect();
    let all = all?;
    let (partition, needed) =
        *all.iter().filter(|(_, needed)| *needed > 1.0).min_by(|a, b| a.1.total_cmp(&b.1))?;
    (all.iter().all(|it| it.0 == partition)).then(|| {
        format!(
            "No variant carries partition {partition}, which needs {needed:.2} consumers: more partitions, a faster \
             handler or less skew would help."
        )
    })
}

/// Milliseconds in a suitable unit.
pub(super) fn time(ms: f64) -> String {
    format_duration(Duration::from_nanos((ms.max(0.0) * 1e6) as u64))
}

/// `a, b and c`.
pub(super) fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_running_is_said_of_each() {
        let kept = |all: &[(&str, &str)]| {
            kept(&all.iter().map(|(name, count)| (*name, (*count).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(kept(&[("assign", "6 of 6")]), "assign keeps 6 of 6");
        assert_eq!(kept(&[("a", "6 of 6"), ("b", "6 of 6")]), "a and b keep 6 of 6");
        assert_eq!(kept(&[("a", "5 of 6"), ("b", "6 of 6")]), "a keeps 5 of 6 and b keeps 6 of 6");
    }

    #[test]
    fn lists_read_as_sentences() {
        let parts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&parts), "a, b and c");
        assert_eq!(listed(&parts[..1]), "a");
        assert_eq!(time(5_130.0), "5.13s");
    }
}
