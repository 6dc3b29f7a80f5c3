//! A pool's cell: fence and measurements of the sending side. It outlives the pool's actor and thread.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sequence_set::AckedOffsets;
use super::{LaneShape, Lanes, Latencies, MeanTime, Outcome, Quarter, SentLane, StageBounds};
use crate::base::{Incarnation, Offset, PartitionId, PoolId, ProducerId, Time};
use crate::summary::Ledger;

/// A producer pool's state for the whole run.
#[derive(Debug)]
pub struct PoolCell {
    state: Mutex<PoolState>,
}

impl PoolCell {
    /// An empty cell.
    pub fn new(pool: PoolId, shape: LaneShape) -> PoolCell {
        PoolCell { state: Mutex::new(PoolState::new(pool, shape)) }
    }

    /// Locks the cell; a poisoned lock is usable, see [`super::PartitionCell::lock`].
    pub fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's answer to one send.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// The record's producer.
    pub producer: ProducerId,
    /// The record's partition.
    pub partition: PartitionId,
    /// The record's lane sequence.
    pub sequence: u64,
    /// Offset of the record; `None` if the broker did not send it.
    pub offset: Option<Offset>,
    /// Send time, from the record's stamp.
    pub sent: Time,
    /// Time at which the client got the answer. With many clients on one thread, the time at which the thread saw it.
    pub at: Time,
    /// The answer.
    pub outcome: Outcome,
}

/// The times of a pool's records over one interval.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SendTimes {
    /// Actual - intended send, of records intended in the measured window. Records that a fault has delayed are left
    /// out.
    pub lateness: Latencies,
    /// Actual send -> acknowledgement, of all records sent in the measured window and acknowledged.
    pub ack: Latencies,
}

impl SendTimes {
    /// Adds the times of another interval or pool.
    pub fn merge(&mut self, other: &SendTimes) {
        self.lateness.merge(&other.lateness);
        self.ack.merge(&other.ack);
    }

    fn clear(&mut self) {
        self.lateness.clear();
        self.ack.clear();
    }
}

/// Time after a full queue during which records that waited for it are still sent late.
const BACKLOG_SENT: Duration = Duration::from_secs(1);

/// The measurements of a pool for one partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Side {
    /// Running totals, which do not need the lanes to be balanced.
    totals: Ledger,
    /// Records intended in the measured window that were sent.
    pub sent_in_window: u64,
    /// Records intended in the measured window that were not sent when the load ended.
    pub unsent_in_window: u64,
    /// Counts of records sent, at both ends of the measured window's last quarter.
    quarter: Quarter,
    /// Offsets of acknowledged records that the consumer had not passed.
    #[serde(skip)]
    pub acked: AckedOffsets,
    /// Actual send -> acknowledgement, of the records that [`SendTimes::ack`] has.
    pub ack: MeanTime,
    /// The unread ones among the acknowledged records, for other processes; `None` before they are counted.
    pub unread: Option<UnreadCounts>,
}

/// Acknowledged records that the consumer had not passed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadCounts {
    /// Records between the consumer's position and the end of the log.
    pub known: u64,
    /// Records acknowledged without an offset.
    pub unknown: u64,
}

impl Side {
    /// Acknowledged records from offset `from` to `end`, or the counts in `unread` if they exist.
    pub fn unread(&self, from: Offset, end: Offset) -> UnreadCounts {
        let counted =
            || UnreadCounts { known: self.acked.count(from, end), unknown: self.acked.unknown() };
        self.unread.unwrap_or_else(counted)
    }

    /// Records sent in the measured window's last quarter.
    pub fn sent_in_quarter(&self) -> u64 {
        self.quarter.growth(self.totals.sent)
    }
}

/// The state behind the lock. Fields that only a running run needs are not serialized.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolState {
    pool: PoolId,
    shape: LaneShape,
    lanes: Lanes<SentLane>,
    /// Index: the partition's id.
    sides: Vec<Side>,
    #[serde(skip)]
    fence: Incarnation,
    #[serde(skip)]
    window: (Time, Time),
    #[serde(skip)]
    stages: StageBounds,
    /// Records due in each stage of the load, sent or not.
    due_in_stages: Vec<u64>,
    /// Records intended in this period are late because of a fault, or of a full queue.
    #[serde(skip)]
    excluded: (Time, Time),
    /// The times since the collector last took them.
    #[serde(skip)]
    times: SendTimes,
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged, failed or given up.
    pub resolved: u64,
    /// Records that a fault kept from being sent.
    pub withheld: u64,
    /// Time of the first send.
    pub first_sent: Option<Time>,
    /// Time of the last send.
    pub last_sent: Option<Time>,
    /// Time spent waiting because the client's queue was full.
    pub blocked_by_client: Duration,
    /// Time spent waiting because there were too many unprocessed records.
    pub blocked_by_consumers: Duration,
    /// Number of occurrences of each error, by name.
    pub errors: BTreeMap<String, u64>,
}

impl PoolState {
    fn new(pool: PoolId, shape: LaneShape) -> PoolState {
        PoolState {
            pool,
            shape,
            lanes: Lanes::default(),
            sides: vec![Side::default(); shape.partitions as usize],
            fence: Incarnation(0),
            window: (Time::NEVER, Time::NEVER),
            stages: StageBounds::default(),
            due_in_stages: Vec::new(),
            excluded: (Time::NEVER, Time::NEVER),
            times: SendTimes::default(),
            sent: 0,
            resolved: 0,
            withheld: 0,
            first_sent: None,
            last_sent: None,
            blocked_by_client: Duration::ZERO,
            blocked_by_consumers: Duration::ZERO,
            errors: BTreeMap::new(),
        }
    }

    /// The numbering of its lanes.
    pub fn shape(&self) -> LaneShape {
        self.shape
    }

    /// The pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// Renumbers the lanes for `partitions` partitions, after the topic has grown. Lanes keep their records.
    pub fn grow(&mut self, partitions: u32) {
        let (old, pool) = (self.shape, self.pool.0);
        self.shape = old.grown(partitions);
        let quarter = Quarter::of(self.window);
        self.sides.resize(partitions as usize, Side { quarter, ..Side::default() });
        let new = self.shape;
        self.lanes.rekey(|key| {
            let (producer, partition) = old.sent_lane(pool, key);
            new.sent_key(producer, partition)
        });
    }

    /// Sets the measured window.
    pub fn set_window(&mut self, from: Time, to: Time) {
        self.window = (from, to);
        self.sides.iter_mut().for_each(|side| side.quarter = Quarter::of((from, to)));
    }

    /// Sets the stages of the load, and its measured window `measured`.
    pub fn set_stages(&mut self, bounds: StageBounds, measured: (Time, Time)) {
        self.due_in_stages.resize(bounds.count(), 0);
        self.stages = bounds;
        if measured != self.window {
            self.set_window(measured.0, measured.1);
        }
    }

    /// Counts a record due at `intended` for its stage, sent or not.
    #[inline]
    pub fn count_due(&mut self, intended: Time) {
        if let Some(stage) = self.stages.stage(intended) {
            self.due_in_stages[stage] += 1;
        }
    }

    /// Records due in each stage of the load, sent or not.
    pub fn due_in_stages(&self) -> &[u64] {
        &self.due_in_stages
    }

    /// Fences all incarnations before `next`.
    pub fn release(&mut self, next: Incarnation) {
        self.fence = self.fence.max(next);
    }

    /// Notes that the backlog is written and its hosts have ended. The load begins with the first incarnation of
    /// another host. Lanes and totals stay.
    pub(super) fn end_backlog(&mut self) {
        self.fence = Incarnation(0);
        self.excluded = (Time::NEVER, Time::NEVER);
        (self.first_sent, self.last_sent) = (None, None);
        self.blocked_by_client = Duration::ZERO;
        self.times.clear();
    }

    /// True if `incarnation` is fenced.
    pub fn is_fenced(&self, incarnation: Incarnation) -> bool {
        incarnation < self.fence
    }

    /// The sequence of this lane's next record, which [`PoolState::sent`] uses.
    #[inline]
    pub fn next_sequence(&mut self, producer: ProducerId, partition: PartitionId) -> u64 {
        self.lanes.lane(self.shape.sent_key(producer, partition)).next_sequence()
    }

    /// Notes a record that the client has accepted. Returns its sequence.
    #[inline]
    pub fn sent(
        &mut self,
        producer: ProducerId,
        partition: PartitionId,
        intended: Time,
        now: Time,
    ) -> u64 {
        let sequence = self.lanes.lane(self.shape.sent_key(producer, partition)).sent();
        self.count_due(intended);
        let side = &mut self.sides[partition.0 as usize];
        side.quarter.count(side.totals.sent, now);
        side.totals.sent += 1;
        self.sent += 1;
        self.first_sent.get_or_insert(now);
        self.last_sent = Some(now);
        if intended >= self.window.0 && intended < self.window.1 {
            side.sent_in_window += 1;
            if intended < self.excluded.0 || intended >= self.excluded.1 {
                self.times.lateness.between(intended, now);
            }
        }
        sequence
    }

    /// Excludes records intended from `from` to `to` from the lateness, because a fault delays them.
    pub fn exclude_lateness(&mut self, from: Time, to: Time) {
        // Records that were due shortly before are delayed as well.
        self.excluded = (from - Duration::from_millis(20), to);
    }

    /// Notes that the client took no records from `from` to `to`, because the cluster did not. The records that waited
    /// are excluded from the lateness for one second after `to`.
    pub fn blocked_by_client(&mut self, from: Time, to: Time) {
        self.blocked_by_client += to.remaining(from);
        let end = to + BACKLOG_SENT;
        if self.excluded.1 >= from && self.excluded.0 <= to {
            self.excluded.1 = self.excluded.1.max(end);
        } else {
            self.exclude_lateness(from, end);
        }
    }

    /// Sets the end of the period that [`PoolState::exclude_lateness`] has begun.
    pub fn exclude_lateness_until(&mut self, to: Time) {
        self.excluded.1 = to;
    }

    /// Notes the outcomes of records. The answers to a fenced incarnation's client count as well, because they show
    /// what the broker did. `position` returns the position of a partition's consumer.
    pub fn resolve(&mut self, acks: &[Ack], position: impl Fn(PartitionId) -> Offset) {
        for ack in acks {
            let key = self.shape.sent_key(ack.producer, ack.partition);
            self.lanes.lane(key).resolve(ack.sequence, ack.outcome);
            let side = &mut self.sides[ack.partition.0 as usize];
            match ack.outcome {
                Outcome::Acked => {
                    side.totals.acked += 1;
                    side.acked.insert(ack.offset, position(ack.partition));
                }
                Outcome::Failed => side.totals.failed += 1,
                Outcome::Indeterminate => {}
            }
            let in_window = ack.sent >= self.window.0 && ack.sent < self.window.1;
            if ack.outcome == Outcome::Acked && in_window {
                self.times.ack.between(ack.sent, ack.at);
                side.ack.between(ack.sent, ack.at);
            }
        }
        self.resolved += acks.len() as u64;
    }

    /// Records sent, acknowledged, failed and indeterminate so far, by partition. Records in flight count as
    /// indeterminate.
    pub fn totals(&self) -> impl Iterator<Item = Ledger> {
        self.sides.iter().map(|Side { totals, .. }| Ledger {
            indeterminate: totals.sent.saturating_sub(totals.acked + totals.failed),
            ..*totals
        })
    }

    /// Moves the times since the last call into `spare`, whose old content is cleared and reused.
    pub fn take_times(&mut self, spare: &mut SendTimes) {
        spare.clear();
        std::mem::swap(&mut self.times, spare);
    }

    /// Counts the unread records of each partition, between the consumer's position and the end of the log. `bounds`
    /// returns `None` if they are not known.
    pub fn count_unread(&mut self, bounds: impl Fn(PartitionId) -> Option<(Offset, Offset)>) {
        for (id, side) in (0..).map(PartitionId).zip(&mut self.sides) {
            side.unread = bounds(id).map(|(from, end)| side.unread(from, end));
        }
    }

    /// The measurements of each partition, by id.
    pub fn sides(&self) -> &[Side] {
        &self.sides
    }

    /// Sets, for each partition, the number of records that were due in the measured window and unsent at the end of
    /// the load.
    pub fn set_unsent(&mut self, unsent: &[u64]) {
        self.sides
            .iter_mut()
            .zip(unsent)
            .for_each(|(side, unsent)| side.unsent_in_window = *unsent);
    }

    /// Records sent without an outcome so far.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.resolved)
    }

    /// Counts `times` occurrences of an error of the client.
    pub fn error(&mut self, name: &str, times: u64) {
        *self.errors.entry(name.to_owned()).or_default() += times;
    }

    /// All lanes, with producer and partition.
    pub fn lanes(&self) -> impl Iterator<Item = (ProducerId, PartitionId, &SentLane)> {
        self.lanes.iter().map(|(key, lane)| {
            let (producer, partition) = self.shape.sent_lane(self.pool.0, key);
            (producer, partition, lane)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: ProducerId = ProducerId(0);
    const PARTITION: PartitionId = PartitionId(0);

    fn ms(ms: i64) -> Time {
        Time(ms * 1_000_000)
    }

    /// Records sent at these times in ms, each with the time and the outcome of its answer.
    fn resolved(records: &[(i64, i64, Outcome)]) -> PoolCell {
        let cell = PoolCell::new(PoolId(0), LaneShape { fixed: true, partitions: 1, pools: 1 });
        let mut state = cell.lock();
        state.set_window(ms(1_000), ms(2_000));
        let mut acks = Vec::new();
        for (sent, at, outcome) in records {
            let (sent, at, outcome) = (ms(*sent), ms(*at), *outcome);
            let sequence = state.sent(PRODUCER, PARTITION, sent, sent);
            let (producer, partition, offset) = (PRODUCER, PARTITION, None);
            acks.push(Ack { producer, partition, sequence, offset, sent, at, outcome });
        }
        state.resolve(&acks, |_| Offset(0));
        drop(state);
        cell
    }

    #[test]
    fn acknowledgements_of_records_sent_in_the_window_are_all_timed_and_nothing_else_is() {
        let cell = resolved(&[
            (999, 1_005, Outcome::Acked),
            (1_000, 1_010, Outcome::Acked),
            (1_500, 1_505, Outcome::Failed),
            (1_500, 1_505, Outcome::Indeterminate),
            // The answer may come any time after the window.
            (1_999, 9_999, Outcome::Acked),
            (2_000, 2_001, Outcome::Acked),
        ]);
        let ack = cell.lock().times.ack.digest();
        assert_eq!((ack.count, ack.negative), (2, 0));
        assert!((9_980.0..10_020.0).contains(&ack.p50.expect("values")), "{ack:?}");
        assert!((7_990_000.0..8_010_000.0).contains(&ack.max.expect("values")), "{ack:?}");
    }

    #[test]
    fn an_acknowledgement_before_its_send_is_counted_as_negative() {
        let cell = resolved(&[(1_500, 1_499, Outcome::Acked), (1_500, 1_501, Outcome::Acked)]);
        let ack = cell.lock().times.ack.digest();
        assert_eq!((ack.count, ack.negative), (2, 1));
    }

    #[test]
    fn late_are_records_due_in_the_window_that_no_fault_delays() {
        let cell = PoolCell::new(PoolId(0), LaneShape { fixed: true, partitions: 1, pools: 1 });
        let mut state = cell.lock();
        state.set_window(ms(1_000), ms(2_000));
        // The period begins 20 ms earlier.
        state.exclude_lateness(ms(1_220), ms(1_300));
        for due in [999, 1_000, 1_199, 1_200, 1_299, 1_300, 1_999, 2_000] {
            state.sent(PRODUCER, PARTITION, ms(due), ms(due + due / 100));
        }
        assert_eq!((state.sent, state.sides()[0].sent_in_window), (8, 6));
        let late =
            state.times.lateness.counts_by_bound(&[10, 11, 12, 13, 19].map(|ms| ms * 1_000_000));
        assert_eq!(late, [1, 1, 0, 1, 1]);
    }
}
