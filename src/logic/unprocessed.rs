//! The ages of records that were due and not processed.

use std::collections::BTreeMap;

use super::Pacer;
use crate::base::{PartitionId, PoolId, ProducerId, Time};
use crate::measure::{Latencies, Measurements};
use crate::plan::{Pace, Plan};

/// The ages at `now` of the records due in `measured` that were not processed. The schedules are computed again from
/// the plan, which gives the time of each producer's k-th record. `None` at maximum rate and after a growth of the
/// topic, where that does not hold, and if every record was processed.
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

/// Number of backlog records in each lane of a pool. The load's records are numbered from there on.
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

/// True if every record that was due was sent, and every record that was sent was processed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{BrokerKind, ConsumerId, Incarnation, Offset, RunId, Stamp};
    use crate::measure::{Content, LaneShape, Owner, Processed};
    use crate::plan::{Overrides, compile};
    use crate::scenario::Source;

    fn s(seconds: i64) -> Time {
        Time(seconds * 1_000_000_000)
    }

    /// A producer for each of two partitions, with two records of the backlog each before one a second.
    fn plan() -> Plan {
        let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"1/s\"\nbacklog = 4\n\
                    partition = \"fixed\"\n[run]\nduration = \"60s\"\n";
        let source = Source { name: "test".to_owned(), text: text.to_owned() };
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        let (plan, found) = compile(&source, &[], &overrides);
        plan.unwrap_or_else(|| panic!("{found:?}"))
    }

    /// Sends the records that are due until 10 s, and processes all but the last `left` of each lane. Returns when
    /// those were due.
    fn happened(plan: &Plan, measurements: &Measurements, left: usize) -> Vec<Time> {
        let mut unprocessed = Vec::new();
        for pool in (0..plan.load.pools).map(PoolId) {
            let mut backlog = Pacer::of_backlog(plan, pool, Time::ZERO);
            let mut all: Vec<_> = std::iter::from_fn(|| backlog.take(Time::ZERO)).collect();
            all.extend(Pacer::of_plan(plan, pool, Time::ZERO).untaken(Time::ZERO, s(10)));
            let mut lanes: BTreeMap<_, Vec<Stamp>> = BTreeMap::new();
            for due in all {
                let (producer, partition, intended) = (due.producer, due.partition, due.intended);
                let mut cell = measurements.pools[pool.0 as usize].lock();
                let sequence = cell.sent(producer, partition, intended, intended);
                let sent = intended;
                let stamp = Stamp { run: RunId(1), producer, partition, sequence, intended, sent };
                lanes.entry(partition).or_default().push(stamp);
            }
            for (partition, stamps) in lanes {
                let (read, rest) = stamps.split_at(stamps.len() - left);
                unprocessed.extend(rest.iter().map(|stamp| stamp.intended));
                let record = |(offset, stamp): (i64, &Stamp)| Processed {
                    offset: Offset(offset),
                    content: Content::Intact(*stamp),
                    handed: s(10).into(),
                    done: s(10),
                    bytes: 1,
                };
                let batch: Vec<Processed> = (0..).zip(read).map(record).collect();
                let owner =
                    Owner { consumer: ConsumerId(partition.0), incarnation: Incarnation(1) };
                measurements.cell(partition).lock().apply(owner, &batch);
            }
        }
        unprocessed
    }

    #[test]
    fn ages_are_of_the_records_that_were_due_and_not_processed_behind_those_of_the_backlog() {
        let plan = plan();
        let measurements = || {
            let shape = LaneShape { fixed: true, partitions: 2, pools: plan.load.pools };
            Measurements::new(shape, &[Offset(0); 2])
        };
        let ages = |measurements: &Measurements, from: Time| {
            unprocessed_ages(&plan, measurements, Time::ZERO, (from, s(10)), s(12))
        };
        let all_done = measurements();
        happened(&plan, &all_done, 0);
        assert_eq!(ages(&all_done, s(1)).map(|ages| ages.count()), None);
        let some_left = measurements();
        let due = happened(&plan, &some_left, 3);
        assert_eq!(due.len(), 6);
        let mut expected = Latencies::default();
        due.iter().for_each(|due| expected.between(*due, s(12)));
        let found = ages(&some_left, s(1)).expect("some are left");
        assert_eq!((found.count(), found.sum_ns()), (6, expected.sum_ns()));
        // Records that were due before the window are not included, and processed records keep their numbers.
        assert_eq!(ages(&some_left, s(9)).expect("some are left").count(), 2);
    }
}
