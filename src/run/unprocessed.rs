//! Records that were due in the measured window and were not processed: how old they are when the run ends.

use std::collections::BTreeMap;

use crate::actors::Context;
use crate::base::{PartitionId, PoolId, ProducerId, Time};
use crate::logic::Pacer;
use crate::measure::{Latencies, Measurements};
use crate::plan::Pace;

/// The ages at `now` of the records due in `measured` that were not processed. The schedules are drawn again from the
/// run's seed: when record k of a producer was due follows from it. `None` where that is not so: at maximum rate, and
/// when the topic has grown; and when every record was processed.
pub(super) fn ages(
    context: &Context,
    start: Time,
    measured: (Time, Time),
    now: Time,
) -> Option<Latencies> {
    let (plan, measurements) = (&context.plan, &context.measurements);
    if plan.load.pace == Pace::Max || !measurements.growth().is_empty() || is_complete(measurements)
    {
        return None;
    }
    let mut ages = Latencies::default();
    for pool in 0..plan.load.pools {
        let pacer = Pacer::of_plan(plan, PoolId(pool), start);
        let mut sequences: BTreeMap<(ProducerId, PartitionId), u64> = BTreeMap::new();
        for due in pacer.untaken(start, measured.1) {
            let next = sequences.entry((due.producer, due.partition)).or_default();
            let sequence = *next;
            *next += 1;
            if due.intended < measured.0 {
                continue;
            }
            let cell = measurements.cell(due.partition).lock();
            if !cell.lane(due.producer).is_some_and(|lane| lane.has(sequence)) {
                ages.between(due.intended, now);
            }
        }
    }
    (ages.count() > 0).then_some(ages)
}

/// Whether every record that was sent was processed, and every one that was due was sent.
fn is_complete(measurements: &Measurements) -> bool {
    let (mut sent, mut unsent) = (0, 0);
    for pool in &measurements.pools {
        let pool = pool.lock();
        sent += pool.sent;
        unsent += pool.sides().iter().map(|side| side.unsent_in_window).sum::<u64>();
    }
    let delivered: u64 = measurements.cells.iter().map(|cell| cell.lock().delivered()).sum();
    unsent == 0 && sent == delivered
}
