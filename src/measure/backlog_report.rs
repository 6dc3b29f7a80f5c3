//! The figures of a backlog.

use super::Measurements;
use crate::base::Time;
use crate::summary::{BacklogPartition, BacklogSummary, Ledger};

/// The backlog of a run whose load began at `start`; `None` without a backlog. `ledgers` are the accounts of the
/// partitions.
pub(super) fn backlog(
    measurements: &Measurements,
    ledgers: &[Ledger],
    start: Time,
) -> Option<BacklogSummary> {
    let written = measurements.written_backlog()?;
    let mut partitions = Vec::new();
    for ((id, cell), ledger) in (0..).zip(measurements.cells.iter()).zip(ledgers) {
        let Some(reading) = cell.lock().backlog.filter(|its| its.written > 0) else { continue };
        let since = |at: Time| at.since_ns(reading.began) as f64 / 1e9;
        let is_complete = ledger.delivered == ledger.sent;
        partitions.push(BacklogPartition {
            partition: id,
            written: reading.written,
            read_s: reading.read_at.map(since),
            caught_up_s: reading.caught_up(is_complete).map(since),
        });
    }
    let slowest = |of: fn(&BacklogPartition) -> Option<f64>| {
        let times: Option<Vec<f64>> = partitions.iter().map(of).collect();
        times?.into_iter().reduce(f64::max)
    };
    let records = partitions.iter().map(|its| its.written).sum();
    let read_s = slowest(|its| its.read_s);
    Some(BacklogSummary {
        written: records,
        write_s: written.took.as_secs_f64(),
        load_began_s: start.since_ns(written.consumers_started) as f64 / 1e9,
        read_s,
        read_per_s: read_s.filter(|seconds| *seconds > 0.0).map(|seconds| records as f64 / seconds),
        caught_up_s: slowest(|its| its.caught_up_s),
        partitions,
    })
}
