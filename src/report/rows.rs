//! The row table: one definition of every figure of a partition, for all views.

use std::time::Duration;

use crate::base::{format_count, format_duration};
use crate::summary::{Figure, PartitionSummary, Unit, Verdict};

/// A column of the partition table.
pub(super) struct Column {
    /// Its heading.
    pub(super) heading: &'static str,
    cell: Cell,
}

/// What a column has of a partition.
#[derive(Clone, Copy)]
enum Cell {
    /// The figure `partition[*]` of this name.
    Figure(&'static str),
    /// Something that is no metric of a partition.
    Text(fn(&PartitionSummary) -> String),
}

impl Column {
    /// The value of a partition, ready to read; `-` for nothing measured.
    pub(super) fn cell(&self, partition: &PartitionSummary) -> String {
        let name = match self.cell {
            Cell::Text(text) => return text(partition),
            Cell::Figure(name) => name,
        };
        let figure = partition_figure(name);
        let value = figure.and_then(|figure| figure.of_partition(partition));
        match (value, figure.map(|figure| figure.metric.unit)) {
            (None, _) | (_, None) => "-".to_owned(),
            (Some(ns), Some(Unit::Time)) => format_duration(Duration::from_nanos(ns as u64)),
            (Some(count), Some(Unit::Count)) => format_count(count as u64),
            (Some(number), Some(Unit::Number | Unit::Flag)) => format!("{number:.1}"),
        }
    }
}

fn partition_figure(name: &str) -> Option<Figure> {
    Figure::parse(&format!("partition[*].{name}"))
}

/// The columns, from left to right.
const PARTITION_COLUMNS: &[Column] = &[
    Column { heading: "owner", cell: Cell::Text(owner) },
    Column { heading: "offered", cell: Cell::Text(offered) },
    Column { heading: "processed", cell: Cell::Figure("rate") },
    Column { heading: "p50", cell: Cell::Figure("latency.p50") },
    Column { heading: "p90", cell: Cell::Figure("latency.p90") },
    Column { heading: "p99", cell: Cell::Figure("latency.p99") },
    Column { heading: "p99.9", cell: Cell::Figure("latency.p999") },
    Column { heading: "max", cell: Cell::Figure("latency.max") },
    Column { heading: "svc p99", cell: Cell::Figure("latency.service.p99") },
    Column { heading: "lag max", cell: Cell::Figure("lag_max") },
    Column { heading: "stall", cell: Cell::Text(|p| ms(Some(p.longest_stall_ms))) },
    Column { heading: "restarts", cell: Cell::Text(|p| count(u64::from(p.restarts))) },
    Column { heading: "lost", cell: Cell::Text(|p| count(p.ledger.lost)) },
    Column { heading: "unread", cell: Cell::Text(|p| count(p.ledger.unread)) },
    Column { heading: "dup", cell: Cell::Text(|p| count(p.ledger.duplicated)) },
    Column { heading: "redeliv", cell: Cell::Text(|p| count(p.ledger.redelivered)) },
    Column { heading: "reord", cell: Cell::Text(|p| count(p.ledger.reordered)) },
];

/// The columns that say something of a run with this verdict.
pub(super) fn partition_columns(verdict: Verdict) -> impl Iterator<Item = &'static Column> {
    // What was under way when a run was cut off cannot be told from what is lost or unread.
    let is_known = move |column: &&Column| {
        verdict != Verdict::CutOff || !["lost", "unread"].contains(&column.heading)
    };
    PARTITION_COLUMNS.iter().filter(is_known)
}

/// Records due per second; `-` at maximum rate.
fn offered(partition: &PartitionSummary) -> String {
    partition.offered_per_s.map_or("-".to_owned(), |rate| format!("{rate:.1}"))
}

/// `0`, or all owners in turn where they changed.
fn owner(partition: &PartitionSummary) -> String {
    let mut owners: Vec<u32> = partition.owners.iter().map(|owner| owner.consumer).collect();
    owners.dedup();
    let first = owners.len().saturating_sub(3);
    let shown: Vec<String> = owners[first..].iter().map(ToString::to_string).collect();
    match (shown.is_empty(), first) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown.join(">"),
        (false, _) => format!("..{}", shown.join(">")),
    }
}

/// Microseconds in the unit that reads best; `-` for nothing measured.
pub(super) fn us(us: Option<f64>) -> String {
    us.map_or("-".to_owned(), |us| format_duration(Duration::from_nanos((us * 1e3) as u64)))
}

/// Milliseconds in the unit that reads best; `-` for nothing measured.
pub(super) fn ms(ms: Option<f64>) -> String {
    us(ms.map(|ms| ms * 1e3))
}

/// A count, with `0` made quiet.
fn count(count: u64) -> String {
    if count == 0 { "·".to_owned() } else { format_count(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_column_is_one_of_the_table() {
        let mut figures = 0;
        for column in PARTITION_COLUMNS {
            if let Cell::Figure(name) = column.cell {
                assert!(partition_figure(name).is_some(), "{name}");
                figures += 1;
            }
        }
        assert!(figures > 5, "{figures}");
    }
}
