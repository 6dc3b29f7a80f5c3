//! A pool's cell: fence and measurement of the sending side, outliving its actor and thread.

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
    /// Where the record stands, if the broker has said so.
    pub offset: Option<Offset>,
    /// When it was sent, from its stamp.
    pub sent: Time,
    /// When the client learned of the answer; of one client among many on one thread, when that was noticed.
    pub at: Time,
    /// The answer.
    pub outcome: Outcome,
}

/// The times of a pool's records over one interval.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SendTimes {
    /// Actual - intended send, of records intended in the measured window, but for those a fault has delayed.
    pub lateness: Latencies,
    /// Actual send -> acknowledgement, of all records sent in the measured window and acknowledged.
    pub ack: Latencies,
}

impl SendTimes {
    /// Adds another interval, or another pool.
    pub fn merge(&mut self, other: &SendTimes) {
        self.lateness.merge(&other.lateness);
        self.ack.merge(&other.ack);
    }

    fn clear(&mut self) {
        self.lateness.clear();
        self.ack.clear();
    }
}

/// How long what has waited for the client is still sent late.
const BACKLOG_SENT: Duration = Duration::from_secs(1);

/// What a pool knows of one partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Side {
    /// Running totals: what is known before the lanes are balanced.
    totals: Ledger,
    /// Records intended in the measured window that were sent.
    pub sent_in_window: u64,
    /// Records intended in the measured window that were not sent when the load ended.
    pub unsent_in_window: u64,
    /// Records sent, at the ends of the measured window's last quarter.
    quarter: Quarter,
    /// Acknowledged records that the consumer had not passed.
    #[serde(skip)]
    pub acked: AckedOffsets,
    /// Actual send -> acknowledgement, of the records that [`SendTimes::ack`] has.
    pub ack: MeanTime,
    /// Of these, the ones that count as unread, once that was counted: what other processes are told.
    pub unread: Option<UnreadCounts>,
}

/// Records acknowledged that the consumer had not passed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadCounts {
    /// Those that stand between the consumer's position and the end of the log.
    pub known: u64,
    /// Those that were acknowledged without an offset.
    pub unknown: u64,
}

impl Side {
    /// Records acknowledged that stand from `from` to `end`.
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

/// What is behind the lock. What only a run that goes on needs is not written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolState {
    pool: PoolId,
    shape: LaneShape,
    lanes: Lanes<SentLane>,
    /// By partition.
    sides: Vec<Side>,
    #[serde(skip)]
    fence: Incarnation,
    #[serde(skip)]
    window: (Time, Time),
    #[serde(skip)]
    stages: StageBounds,
    /// Records due in each stage of the load, sent or not.
    due_in_stages: Vec<u64>,
    /// Records intended in this stretch are late because of a fault.
    #[serde(skip)]
    excluded: (Time, Time),
    /// What was timed since the collector last took it.
    #[serde(skip)]
    times: SendTimes,
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged, failed or given up.
    pub resolved: u64,
    /// Records a fault kept from being sent.
    pub withheld: u64,
    /// First send.
    pub first_sent: Option<Time>,
    /// Last send.
    pub last_sent: Option<Time>,
    /// Time spent waiting because the client's queue was full.
    pub blocked_by_client: Duration,
    /// Time spent waiting because too much was unprocessed.
    pub blocked_by_consumers: Duration,
    /// Errors by name, with how often they came.
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

    /// How its lanes are numbered.
    pub fn shape(&self) -> LaneShape {
        self.shape
    }

    /// Which pool this is.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// The topic has `partitions` from now on: lanes keep what they have, and there is room for more.
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

    /// The load has these stages, and its measured window is `measured`.
    pub fn set_stages(&mut self, bounds: StageBounds, measured: (Time, Time)) {
        self.due_in_stages.resize(bounds.count(), 0);
        self.stages = bounds;
        if measured != self.window {
            self.set_window(measured.0, measured.1);
        }
    }

    /// Counts a record that is due at `intended` for its stage, sent or not.
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

    /// Lets only incarnations from `next` on send.
    pub fn release(&mut self, next: Incarnation) {
        self.fence = self.fence.max(next);
    }

    /// The backlog is written, and its hosts are gone: what comes next is the load, by the first incarnation of another
    /// host. Lanes and totals stay.
    pub(super) fn end_backlog(&mut self) {
        self.fence = Incarnation(0);
        self.excluded = (Time::NEVER, Time::NEVER);
        (self.first_sent, self.last_sent) = (None, None);
        self.blocked_by_client = Duration::ZERO;
        self.times.clear();
    }

    /// Whether `incarnation` may no longer send.
    pub fn is_fenced(&self, incarnation: Incarnation) -> bool {
        incarnation < self.fence
    }

    /// The sequence the next record of this lane gets when it is [sent](PoolState::sent).
    #[inline]
    pub fn next_sequence(&mut self, producer: ProducerId, partition: PartitionId) -> u64 {
        self.lanes.lane(self.shape.sent_key(producer, partition)).next_sequence()
    }

    /// Notes a record the client takes; returns its sequence.
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

    /// A fault delays records intended from `from` to `to`: that they are late says nothing about the tester.
    pub fn exclude_lateness(&mut self, from: Time, to: Time) {
        // What was just due is caught as well.
        self.excluded = (from - Duration::from_millis(20), to);
    }

    /// The client took no records from `from` to `to`, because the cluster did not: what is late until the backlog is
    /// sent says nothing about the tester either.
    pub fn blocked_by_client(&mut self, from: Time, to: Time) {
        self.blocked_by_client += to.remaining(from);
        let end = to + BACKLOG_SENT;
        if self.excluded.1 >= from && self.excluded.0 <= to {
            self.excluded.1 = self.excluded.1.max(end);
        } else {
            self.exclude_lateness(from, end);
        }
    }

    /// The delay of [`PoolState::exclude_lateness`] ends at `to`.
    pub fn exclude_lateness_until(&mut self, to: Time) {
        self.excluded.1 = to;
    }

    /// Notes what became of records. Answers count whichever incarnation's client brings them: they
    /// say what the broker did, not what an actor wants.
    /// `position` says how far a partition's consumer is.
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

    /// Sent, acknowledged, failed and indeterminate so far, by partition. What is still in flight counts as
    /// indeterminate.
    pub fn totals(&self) -> impl Iterator<Item = Ledger> {
        self.sides.iter().map(|Side { totals, .. }| Ledger {
            indeterminate: totals.sent.saturating_sub(totals.acked + totals.failed),
            ..*totals
        })
    }

    /// Hands over what was timed since the last call, and goes on with `spare`, which is cleared.
    pub fn take_times(&mut self, spare: &mut SendTimes) {
        spare.clear();
        std::mem::swap(&mut self.times, spare);
    }

    /// Counts what is unread of each partition, between the consumer's position and the end of the log.
    pub fn count_unread(&mut self, bounds: impl Fn(PartitionId) -> Option<(Offset, Offset)>) {
        for (id, side) in (0..).map(PartitionId).zip(&mut self.sides) {
            side.unread = bounds(id).map(|(from, end)| side.unread(from, end));
        }
    }

    /// What is known of each partition, by id.
    pub fn sides(&self) -> &[Side] {
        &self.sides
    }

    /// Notes how many records of each partition were due in the measured window and not sent when the load ended.
    pub fn set_unsent(&mut self, unsent: &[u64]) {
        self.sides
            .iter_mut()
            .zip(unsent)
            .for_each(|(side, unsent)| side.unsent_in_window = *unsent);
    }

    /// Records sent whose fate is not known yet.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.resolved)
    }

    /// Notes an error of the client that came `times` times.
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

    /// Records sent at these times in ms, each answered at its own time with its own outcome.
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
            // However long after the window.
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
        // From 20 ms before.
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
