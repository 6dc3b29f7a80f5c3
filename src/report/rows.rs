//! The row table: one definition of every figure of a partition, for all views.

use std::time::Duration;

use crate::base::{format_count, format_duration};
use crate::measure::{PartitionSummary, Verdict};

/// A column of the partition table.
pub(super) struct Column {
    /// Its heading.
    pub(super) heading: &'static str,
    /// The figure, ready to read.
    pub(super) cell: fn(&PartitionSummary) -> String,
}

/// The columns, from left to right.
const PARTITION_COLUMNS: &[Column] = &[
    Column { heading: "owner", cell: owner },
    Column { heading: "offered", cell: offered },
    Column { heading: "processed", cell: |p| format!("{:.1}", p.processed_per_s) },
    Column { heading: "p50", cell: |p| us(p.latency_us.response.p50) },
    Column { heading: "p90", cell: |p| us(p.latency_us.response.p90) },
    Column { heading: "p99", cell: |p| us(p.latency_us.response.p99) },
    Column { heading: "p99.9", cell: |p| us(p.latency_us.response.p999) },
    Column { heading: "max", cell: |p| us(p.latency_us.response.max) },
    Column { heading: "svc p99", cell: |p| us(p.latency_us.service.p99) },
    Column { heading: "lag max", cell: |p| format_count(p.lag_max) },
    Column { heading: "stall", cell: |p| ms(Some(p.longest_stall_ms)) },
    Column { heading: "restarts", cell: |p| count(u64::from(p.restarts)) },
    Column { heading: "lost", cell: |p| count(p.ledger.lost) },
    Column { heading: "unread", cell: |p| count(p.ledger.unread) },
    Column { heading: "dup", cell: |p| count(p.ledger.duplicated) },
    Column { heading: "redeliv", cell: |p| count(p.ledger.redelivered) },
    Column { heading: "reord", cell: |p| count(p.ledger.reordered) },
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
