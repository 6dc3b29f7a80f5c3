//! The names of figures in `[expect]`: from a name to a metric, and the list of all names.

use std::fmt::Write;

use crate::plan::{Counter, FaultFigure, Latency, Metric, Part, Scope};

const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// Schedule lateness is kept in one histogram per run, and reported in three figures.
const LATENESS: [&str; 3] = ["p50", "p99", "max"];

const FAULT_FIGURES: [(&str, FaultFigure, &str); 11] = [
    ("detected", FaultFigure::Detected, "time from the fault to its detection"),
    ("released", FaultFigure::Released, "time from the fault to the release of its partitions"),
    ("restarted", FaultFigure::Restarted, "time from the fault to the replacement's start"),
    (
        "first_record",
        FaultFigure::FirstRecord,
        "time from the fault to the replacement's first record",
    ),
    (
        "recovery",
        FaultFigure::Recovered,
        "time from the fault until lag and age of the oldest unprocessed record are what they were before, for a second, \
         on every partition it has hit",
    ),
    ("redelivered", FaultFigure::Redelivered, "records processed again because of it"),
    ("lag_peak", FaultFigure::LagPeak, "largest lag of the hit partitions after it, in records"),
    (
        "blast_radius",
        FaultFigure::BlastRadius,
        "partitions that stalled: records waited, and none was processed for longer than 100 ms and than three times \
         the longest quiet stall",
    ),
    (
        "others_stall",
        FaultFigure::OthersStall,
        "longest stall of the partitions it was not aimed at, without those that were not stable before",
    ),
    (
        "others_slow",
        FaultFigure::OthersSlow,
        "share of their records that are slower than the partition's own p99 before the fault (0.01 if nothing changes)",
    ),
    ("missed", FaultFigure::Missed, "targets that were not there, and commands that failed"),
];

/// The metric called `name`, if there is one.
pub(super) fn parse(name: &str) -> Option<Metric> {
    if let Some((counter, _)) = Counter::ALL.iter().find(|(_, known)| *known == name) {
        return Some(Metric::Counter(*counter));
    }
    match name {
        "keeps_up" => return Some(Metric::KeepsUp),
        "achieved_share" => return Some(Metric::AchievedShare),
        "achieved_per_s" => return Some(Metric::AchievedPerSecond),
        "fairness.rate_cv" => return Some(Metric::RateSpread),
        "fairness.p99_spread" => return Some(Metric::P99Spread),
        "rebalances" => return Some(Metric::Rebalances),
        _ => {}
    }
    if let Some(rest) = name.strip_prefix("latency.ack.") {
        return quantile(rest).map(|quantile| Metric::Acknowledgement { quantile });
    }
    if let Some(rest) = name.strip_prefix("latency.") {
        return latency(rest, Scope::All).or_else(|| part(rest));
    }
    if let Some(rest) = name.strip_prefix("lateness.") {
        let quantile = quantile(rest).filter(|_| LATENESS.contains(&rest))?;
        return Some(Metric::Lateness { quantile });
    }
    let (head, rest) = name.split_once("].")?;
    if let Some(selector) = head.strip_prefix("partition[") {
        return partition(selector, rest);
    }
    let index = head.strip_prefix("fault[")?.parse().ok()?;
    let (_, figure, _) = FAULT_FIGURES.iter().find(|(known, ..)| *known == rest)?;
    Some(Metric::Fault { index, figure: *figure })
}

fn partition(selector: &str, figure: &str) -> Option<Metric> {
    let scope = match selector {
        "*" => Scope::Each,
        number => Scope::One(number.parse().ok()?),
    };
    match figure {
        "rate" => Some(Metric::PartitionRate { scope }),
        "lag_max" => Some(Metric::LagMax { scope }),
        _ => latency(figure.strip_prefix("latency.")?, scope),
    }
}

fn latency(rest: &str, scope: Scope) -> Option<Metric> {
    let (latency, name) = match rest.split_once('.') {
        Some(("response", name)) => (Latency::Response, name),
        Some(("service", name)) => (Latency::Service, name),
        Some(_) => return None,
        None => (Latency::Response, rest),
    };
    quantile(name).map(|quantile| Metric::Latency { scope, latency, quantile })
}

fn part(rest: &str) -> Option<Metric> {
    let (name, at) = rest.split_once('.')?;
    let (part, ..) = Part::ALL.into_iter().find(|(_, known, _)| *known == name)?;
    quantile(at).map(|quantile| Metric::Part { part, quantile })
}

fn quantile(name: &str) -> Option<f64> {
    QUANTILES.iter().find(|(known, _)| *known == name).map(|(_, quantile)| *quantile)
}

/// What to do about a name that is none: the closest one there is, or all of them in short.
pub(super) fn suggestion(name: &str) -> String {
    // The user's own index stays; names are compared without it.
    let index = name.find('[').and_then(|open| Some(&name[open..=open + name[open..].find(']')?]));
    let bare = index.map_or(name.to_owned(), |index| name.replacen(index, "[]", 1));
    let names = names();
    match crate::scenario::closest(&bare, names.iter().map(String::as_str)) {
        Some(near) => {
            let default = if near.starts_with("fault") { "[0]" } else { "[*]" };
            let usable = index
                .filter(|_| parse(&near.replacen("[]", index.unwrap_or(default), 1)).is_some());
            format!("did you mean `{}`?", near.replacen("[]", usable.unwrap_or(default), 1))
        }
        None => "figures are counters such as `lost`, `latency.p99`, `lateness.p99`, \
                 `partition[*].rate`, `fault[0].recovery`; the book lists all of them"
            .to_owned(),
    }
}

/// All names, with `[]` where a partition or a fault is chosen.
fn names() -> Vec<String> {
    let mut names: Vec<String> = Counter::ALL.iter().map(|(_, name)| (*name).to_owned()).collect();
    names.extend(
        ["keeps_up", "achieved_share", "achieved_per_s", "fairness.rate_cv", "fairness.p99_spread"]
            .map(str::to_owned),
    );
    names.push("rebalances".to_owned());
    names.extend(["partition[].rate", "partition[].lag_max"].map(str::to_owned));
    names.extend(LATENESS.map(|quantile| format!("lateness.{quantile}")));
    for (quantile, _) in QUANTILES {
        names.push(format!("latency.ack.{quantile}"));
        for kind in ["latency", "latency.response", "latency.service"] {
            names.push(format!("{kind}.{quantile}"));
            names.push(format!("partition[].{kind}.{quantile}"));
        }
        names.extend(Part::ALL.map(|(_, part, _)| format!("latency.{part}.{quantile}")));
    }
    names.extend(FAULT_FIGURES.map(|(figure, ..)| format!("fault[].{figure}")));
    names
}

/// The figures an expectation can name, as a Markdown table for the book.
pub fn metrics_markdown() -> String {
    let quantiles = QUANTILES.map(|(name, _)| format!("`{name}`")).join(", ");
    let mut out = String::from("| figure | value | meaning |\n|---|---|---|\n");
    for (counter, name) in Counter::ALL {
        let _ = writeln!(out, "| `{name}` | count | {} |", counter_meaning(counter));
    }
    let parts = Part::ALL
        .map(|(_, name, meaning)| format!("| `latency.{name}.<q>` | time | {meaning} |\n"));
    let parts = parts.concat();
    let _ = write!(
        out,
        "| `keeps_up` | `true` or `false` | whether consumers process what is sent and the cluster takes what is due, paced load only |\n\
         | `achieved_share` | number | achieved divided by offered rate, paced load only |\n\
         | `achieved_per_s` | number | messages processed per second |\n\
         | `latency.<q>` | time | response time (processed - intended send), all partitions; `<q>` is {quantiles} |\n\
         | `latency.response.<q>` | time | the same |\n\
         | `latency.service.<q>` | time | service time (processed - actual send) |\n\
         | `latency.ack.<q>` | time | from send to acknowledgement; not with `load.clients = \"producer\"` or `load.acks = \"none\"` |\n\
         {parts}\
         | `partition[7].latency.<q>` | time | one partition; `[*]` is each one: the worst decides |\n\
         | `partition[*].rate` | number | records processed per second of a partition |\n\
         | `partition[*].lag_max` | count | largest lag of a partition, in records |\n\
         | `lateness.<q>` | time | how late the schedule was kept; `p50`, `p99`, `max`, paced load only |\n\
         | `fairness.rate_cv` | number | coefficient of variation of the partitions' rates |\n\
         | `fairness.p99_spread` | number | largest p99 of a partition divided by the median of them |\n\
         | `rebalances` | count | rebalances after the group was complete, group mode only |\n"
    );
    for (name, figure, meaning) in FAULT_FIGURES {
        let value = match figure {
            FaultFigure::OthersSlow => "number",
            _ if (Metric::Fault { index: 0, figure }).is_time() => "time",
            _ => "count",
        };
        let _ = writeln!(out, "| `fault[0].{name}` | {value} | {meaning} |");
    }
    out
}

fn counter_meaning(counter: Counter) -> &'static str {
    match counter {
        Counter::Sent => "records handed to the client",
        Counter::Acked => "records acknowledged",
        Counter::Failed => "records that were never appended",
        Counter::Indeterminate => "records without an acknowledgement that may have been appended",
        Counter::Delivered => "distinct records processed",
        Counter::Lost => {
            "records acknowledged and never to be processed: the consumer is past them, or they are gone from the log"
        }
        Counter::Unread => {
            "records acknowledged, and still in the log behind the checkpoint when the drain was over"
        }
        Counter::Measured => "records due in the measured window that were processed",
        Counter::Duplicated => "records found at two offsets",
        Counter::Redelivered => "records processed again at the same offset",
        Counter::Reordered => "records processed after a later one of their lane",
        Counter::Corrupt => "records whose bytes changed",
        Counter::Foreign => "records neither of this run nor of one it continues",
        Counter::Earlier => "records of earlier runs that this one continues",
        Counter::Skipped => "records passed over as poison",
        Counter::ConsumersStarted => "consumers that became ready",
        Counter::WrongPartition => "records in a partition they were not sent to",
        Counter::TwoOwners => "records a second process has read as well",
        Counter::OffsetGaps => {
            "offsets passed over without a record, also at the end of a partition: compacted, a transaction's, or never seen"
        }
        Counter::Unaccounted => "records that the account leaves unexplained",
        Counter::Miscommitted => {
            "commits a coordinator took beyond what was processed, or behind what had been committed; with `--broker sim`"
        }
        Counter::Shared => {
            "partitions dealt out to two members in one generation; with `--broker sim`"
        }
        Counter::Unexplained => {
            "records processed again without a restart or a change of owner before it"
        }
        Counter::Restarts => "restarts of consumers",
        Counter::Quarantined => "partitions given up",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_metric() {
        for name in names() {
            let index = if name.starts_with("fault") { "[0]" } else { "[7]" };
            let name = name.replacen("[]", index, 1);
            assert!(parse(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn names_that_are_close_are_not_metrics() {
        for name in [
            "latency",
            "latency.p98",
            "partition[x].rate",
            "fault[*].recovery",
            "lateness.p90",
            "partition[0].latency.ack.p99",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
        assert_eq!(
            suggestion("partition[3].latncy.p99"),
            "did you mean `partition[3].latency.p99`?"
        );
        assert_eq!(suggestion("fault[*].recovery"), "did you mean `fault[0].recovery`?");
    }
}
