//! The times of records: means and shares of a partition, and the slowest records.

use super::verdict::is_ack_timed;
use super::{MeanTime, Measurements, SLOWEST_KEPT, TimeSums, TimedRecord};
use crate::base::{Clock, Time};
use crate::plan::Plan;
use crate::summary::{PartitionSummary, SlowRecord, TimePart, TimeParts};

/// Number of slowest records in a partition's summary.
const OF_A_PARTITION: usize = 3;

/// The parts of a partition's response time. `ack` is `None` if acknowledgements are not timed correctly.
pub(super) fn time_parts(times: &TimeSums, ack: Option<&MeanTime>) -> TimeParts {
    let Some((whole_ns, records)) = times.response.sum() else { return TimeParts::default() };
    let part = |sum_ns: u128| TimePart {
        mean_us: sum_ns as f64 / records as f64 / 1e3,
        share: (whole_ns > 0).then(|| sum_ns as f64 / whole_ns as f64),
    };
    // A part counts only if every record has it.
    let whole_part = |time: &MeanTime| {
        let (sum_ns, count) = time.sum()?;
        (count == records).then(|| part(sum_ns))
    };
    let service = times.service.sum().filter(|(_, count)| *count == records);
    TimeParts {
        send_delay: service.and_then(|(sum_ns, _)| whole_ns.checked_sub(sum_ns)).map(part),
        fetch: whole_part(&times.fetch),
        waiting: whole_part(&times.waiting),
        handed_over: whole_part(&times.handed_over),
        handling: whole_part(&times.handling),
        ack_us: ack.and_then(MeanTime::mean_us),
    }
}

/// Times from send to acknowledgement of each partition, over all pools; empty if they are not timed correctly.
pub(super) fn ack_times(plan: &Plan, measurements: &Measurements) -> Vec<MeanTime> {
    if !is_ack_timed(plan) {
        return Vec::new();
    }
    let mut all = vec![MeanTime::default(); measurements.cells.len()];
    for pool in &measurements.pools {
        let pool = pool.lock();
        all.iter_mut().zip(pool.sides()).for_each(|(all, side)| all.merge(&side.ack));
    }
    all
}

/// The slowest records of a partition, for the partition's summary.
pub(super) fn slowest_of_partition(
    partition: usize,
    records: &[TimedRecord],
    (clock, start): (Option<Clock>, Time),
) -> Vec<SlowRecord> {
    let shown = records.iter().take(OF_A_PARTITION);
    shown.map(|record| slow_record(partition, record, (clock, start))).collect()
}

/// The slowest records of all partitions, the slowest first; of equally slow ones by partition and offset.
pub(super) fn slowest_of_run(
    measurements: &Measurements,
    (clock, start): (Option<Clock>, Time),
) -> Vec<SlowRecord> {
    let mut all: Vec<(usize, TimedRecord)> = Vec::new();
    for (id, cell) in measurements.cells.iter().enumerate() {
        all.extend(cell.lock().slowest.records().iter().map(|record| (id, *record)));
        all.sort_by_key(|(id, record)| (-record.response_ns(), *id, record.offset));
        all.truncate(SLOWEST_KEPT);
    }
    all.iter().map(|(id, record)| slow_record(*id, record, (clock, start))).collect()
}

/// The reason why no partition's brokers are known, with the place in the result; `None` if some are known.
pub(super) fn no_leaders(plan: &Plan, partitions: &[PartitionSummary]) -> Option<(String, String)> {
    if partitions.iter().any(|partition| partition.leadership.is_some()) {
        return None;
    }
    let why = match plan.broker.capability().can_grow {
        true => "the topic was not looked at while the run lasted",
        false => "the topic of this kind of broker is not looked at",
    };
    Some(("partitions[].leadership".to_owned(), why.to_owned()))
}

fn slow_record(
    partition: usize,
    record: &TimedRecord,
    (clock, start): (Option<Clock>, Time),
) -> SlowRecord {
    let TimedRecord { offset, stamp, handed, done, consumer, incarnation } = *record;
    let us = |from: Time, to: Time| to.since_ns(from) as f64 / 1e3;
    SlowRecord {
        partition: partition as u32,
        offset: offset.0,
        producer: stamp.producer.0,
        sequence: stamp.sequence,
        consumer: consumer.0,
        start: incarnation.0,
        sent_s: stamp.sent.since_ns(start) as f64 / 1e9,
        sent_at: clock.and_then(|clock| clock.wall_clock(stamp.sent)),
        response_us: us(stamp.intended, done),
        send_delay_us: us(stamp.intended, stamp.sent),
        fetch_us: handed.fetched.map(|fetched| us(stamp.sent, fetched)),
        waiting_us: handed.fetched.map(|fetched| us(fetched, handed.at)),
        handed_over_us: handed.fetched.is_none().then(|| us(stamp.sent, handed.at)),
        handling_us: us(handed.at, done),
    }
}
