//! Rates: what was offered, sent and processed, and over which time.

use super::{Collector, Measurements, Shard};
use crate::base::Time;
use crate::plan::{Pace, Plan};

/// Rates, and the time they are taken over.
pub(super) struct Rates {
    /// Length of the measured window, or at maximum rate of the whole transfer.
    pub(super) seconds: f64,
    /// From the start of the load to the last record processed.
    pub(super) load_seconds: f64,
    pub(super) achieved_per_s: f64,
    pub(super) achieved_bytes_per_s: f64,
    /// Records due in the measured window, and those sent; with a schedule only.
    pub(super) offered: Option<u64>,
    pub(super) offered_sent: Option<u64>,
    /// Records intended in the measured window that were sent.
    pub(super) sent_in_window: u64,
    /// Records due in the measured window by partition; with a schedule only.
    pub(super) due: Vec<u64>,
}

impl Rates {
    pub(super) fn of(
        plan: &Plan,
        start: Time,
        measured: (Time, Time),
        measurements: &Measurements,
        collector: &Collector,
    ) -> Rates {
        let first_sent = measurements.pools.iter().filter_map(|pool| pool.lock().first_sent).min();
        let last_done = measurements.cells.iter().filter_map(|cell| cell.lock().last_done).max();
        let span = |from: Time, to: Time| to.since_ns(from).max(1) as f64 / 1e9;
        let begin = first_sent.unwrap_or(start);
        let load_seconds = span(start, last_done.unwrap_or(measured.1));
        let sum = |of: fn(&Shard) -> u64| {
            collector.partitions.iter().map(|totals| of(&totals.shard)).sum::<u64>() as f64
        };
        let mut sent_in_window = 0;
        let mut due = vec![0; measurements.cells.len()];
        for pool in &measurements.pools {
            for (due, side) in due.iter_mut().zip(pool.lock().sides()) {
                sent_in_window += side.sent_in_window;
                *due += side.sent_in_window + side.unsent_in_window;
            }
        }
        if plan.load.pace == Pace::Max {
            let seconds = span(begin, last_done.unwrap_or(begin));
            return Rates {
                seconds,
                load_seconds,
                achieved_per_s: sum(|shard| shard.delivered) / seconds,
                achieved_bytes_per_s: sum(|shard| shard.bytes) / seconds,
                offered: None,
                offered_sent: None,
                sent_in_window,
                due: Vec::new(),
            };
        }
        let seconds = span(measured.0, measured.1);
        Rates {
            seconds,
            load_seconds,
            achieved_per_s: sum(|shard| shard.processed_in_window) / seconds,
            achieved_bytes_per_s: sum(|shard| shard.bytes_in_window) / seconds,
            offered: Some(due.iter().sum()),
            offered_sent: Some(sent_in_window),
            sent_in_window,
            due,
        }
    }

    /// Records due per second in a partition; with a schedule only.
    pub(super) fn offered_of(&self, partition: usize) -> Option<f64> {
        self.due.get(partition).map(|due| *due as f64 / self.seconds)
    }
}
