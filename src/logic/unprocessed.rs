//! How old records are that were due and not processed.

use std::collections::BTreeMap;

use super::Pacer;
use crate::base::{PartitionId, PoolId, ProducerId, Time};
use crate::measure::{Latencies, Measurements};
use crate::plan::{Pace, Plan};

/// The ages at `now` of the records due in `measured` that were not processed. The schedules are drawn again from the
/// run's seed: when record k of a producer was due follows from it. `None` where that is not so: at maximum rate, and
/// when the topic has grown; and when every record was processed.
pub fn unprocessed_ages(
    plan: &Plan,
    measurements: &Measurements,
    start: Time,
    measured: (Time, Time),
    now: Time,
) -> Option<Latencies> {
    if plan.load.pace == Pace::Max || !measurements.growth().is_empty() || is_complete(measurements)
    {
        return None;
    }
    let mut ages = Latencies::default();
    for pool in 0..plan.load.pools {
        let mut pacer = Pacer::of_plan(plan, PoolId(pool), start);
        pacer.end_stages(&measurements.stages.ends_from(0));
        let mut sequences = sequences_of_backlog(plan, PoolId(pool));
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

/// How many records of the backlog each lane of a pool has: those of the load are numbered from there on.
fn sequences_of_backlog(plan: &Plan, pool: PoolId) -> BTreeMap<(ProducerId, PartitionId), u64> {
    let mut sequences = BTreeMap::new();
    if plan.load.backlog.is_some() {
        let mut pacer = Pacer::of_backlog(plan, pool, Time::ZERO);
        while let Some(due) = pacer.take(Time::ZERO) {
            *sequences.entry((due.producer, due.partition)).or_default() += 1;
        }
    }
    sequences
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
