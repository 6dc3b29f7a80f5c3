//! The partition's cell: fence, checkpoint and measurement in one place, outliving actors and threads.
//!
//! A consumer machine locks the cell once per batch. Because the fence is checked and the batch is
//! counted under the same lock, what counts and what the checkpoint says can never disagree; and
//! nothing measured is lost with a killed thread.

mod faults;
mod start;

pub use start::{ResumePoint, Start};

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use super::fault_watch::FaultWatch;
use super::recovery::RecoveryMark;
use super::{
    Arrival, BacklogReading, Content, KeepUp, Lag, LaneShape, Lanes, Processed, ReadLane, Shard,
    SlowestRecords, StageBounds, StageShard, WrongRecords,
};
use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, ProducerId, Stamp, Time};
use crate::summary::Ledger;

/// The consumer, and which start of it, that brings a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The consumer.
    pub consumer: ConsumerId,
    /// Its start number.
    pub incarnation: Incarnation,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It counts.
    Counted,
    /// An older incarnation brought it; it was dropped and counted as such.
    Fenced,
}

/// A stretch of time in which a consumer had the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// The consumer, and which start of it.
    pub owner: Owner,
    /// Since when.
    pub from: Time,
    /// Until when; `None` while it lasts.
    pub to: Option<Time>,
}

/// Owner changes kept per partition; more are counted in the last one.
const OWNERSHIPS_MAX: usize = 1000;

/// Recoveries kept per partition. More than the faults a plan may have on one.
const RECOVERIES_MAX: usize = 10_000;
/// Recoveries that may be under way at once; older ones have been overtaken by later faults.
const RECOVERIES_OPEN_MAX: usize = 16;

/// A partition's state for the whole run. See the module's documentation.
#[derive(Debug)]
pub struct PartitionCell {
    state: Mutex<CellState>,
}

impl PartitionCell {
    /// A cell for `partition` whose first record is at `start`.
    pub fn new(partition: PartitionId, start: Offset, shape: LaneShape) -> PartitionCell {
        PartitionCell { state: Mutex::new(CellState::new(partition, start, shape)) }
    }

    /// Locks the cell. A thread that panicked while it held the lock left whole batches behind,
    /// so a poisoned lock is usable.
    pub fn lock(&self) -> MutexGuard<'_, CellState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What is behind the lock. What only a run that goes on needs is not written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CellState {
    partition: PartitionId,
    shape: LaneShape,
    next_offset: Offset,
    #[serde(skip)]
    resume_point: Option<ResumePoint>,
    /// Poison: passed over by every incarnation from now on.
    #[serde(skip)]
    skips: Vec<Offset>,
    /// Lowest incarnation of each consumer that still counts.
    #[serde(skip)]
    fences: Vec<(ConsumerId, Incarnation)>,
    owners: Vec<Ownership>,
    lanes: Lanes<ReadLane>,
    /// Counts made as records come; sent, acked and lost are only known by [`super::balance`].
    counts: Ledger,
    delivered: u64,
    #[serde(skip)]
    shard: Shard,
    #[serde(skip)]
    window: (Time, Time),
    /// When the stages of the load begin.
    #[serde(skip)]
    stages: StageBounds,
    /// Offsets that fenced incarnations had processed and that have not come again yet.
    #[serde(skip)]
    fenced_beyond: Vec<Range<i64>>,
    /// The backlog that was there when the consumers started, if there was one.
    #[serde(skip)]
    pub backlog: Option<BacklogReading>,
    /// Whether rates are of other producers' records, because the run has none of its own.
    pub counts_others: bool,
    /// How far behind the partition is.
    pub lag: Lag,
    /// Stalls, and what the partition was like around each fault; `None` before the load begins.
    #[serde(skip)]
    watch: Option<FaultWatch>,
    /// Whether the partition keeps up with what is sent.
    pub keep_up: KeepUp,
    /// Recoveries under way or over, one per fault that hit this partition.
    pub recoveries: Vec<RecoveryMark>,
    /// Records of fenced consumers.
    pub fenced: u64,
    /// Records processed again without a restart or a change of owner before it.
    pub unexpected_redelivered: u64,
    /// Offsets the checkpoint has moved over without a record: before a record that came, or at the end of the partition.
    /// Transaction markers, aborted records, what compaction has removed; or a defect.
    pub offset_gaps: u64,
    /// Records read here that were sent to another partition, or read by another partition's consumer.
    pub wrong_partition: u64,
    /// Records a second process has read as if the partition were its own.
    pub two_owners: u64,
    /// Largest number of gaps a lane had.
    pub lane_gaps_max: usize,
    /// When the last record was processed.
    pub last_done: Option<Time>,
    /// The slowest records intended in the measured window.
    pub slowest: SlowestRecords,
    /// The first records that a count tells of which ought to be 0.
    pub wrong: WrongRecords,
}

impl CellState {
    fn new(partition: PartitionId, start: Offset, shape: LaneShape) -> CellState {
        CellState {
            partition,
            shape,
            next_offset: start,
            resume_point: None,
            skips: Vec::new(),
            fences: Vec::new(),
            owners: Vec::new(),
            lanes: Lanes::default(),
            counts: Ledger::default(),
            delivered: 0,
            shard: Shard::default(),
            window: (Time::NEVER, Time::NEVER),
            stages: StageBounds::default(),
            fenced_beyond: Vec::new(),
            backlog: None,
            counts_others: false,
            lag: Lag::default(),
            watch: None,
            keep_up: KeepUp::default(),
            recoveries: Vec::new(),
            fenced: 0,
            unexpected_redelivered: 0,
            offset_gaps: 0,
            wrong_partition: 0,
            two_owners: 0,
            lane_gaps_max: 0,
            last_done: None,
            slowest: SlowestRecords::default(),
            wrong: WrongRecords::default(),
        }
    }

    /// How its lanes are numbered.
    pub fn shape(&self) -> LaneShape {
        self.shape
    }

    /// Which partition it is of.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// What was read of each producer.
    pub fn producers(&self) -> impl Iterator<Item = (ProducerId, &ReadLane)> {
        let lanes = self.lanes.iter();
        lanes.map(|(key, lane)| (self.shape.read_lane(self.partition, key), lane))
    }

    /// The checkpoint: the next offset to process.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Where the next incarnation starts.
    pub fn start(&self) -> Start {
        Start { checkpoint: self.next_offset, resume_point: self.resume_point }
    }

    /// Has the record at `offset` passed over by the incarnations to come.
    pub fn skip(&mut self, offset: Offset) {
        self.skips.push(offset);
    }

    /// The records to pass over that have not been reached yet.
    pub fn skips(&self) -> Vec<Offset> {
        self.skips.iter().copied().filter(|offset| *offset >= self.next_offset).collect()
    }

    /// Sets the record right before the checkpoint, or forgets it when it cannot be read any more.
    pub fn set_resume_point(&mut self, resume_point: Option<ResumePoint>) {
        self.resume_point = resume_point;
    }

    /// Distinct records processed so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Counts made so far; `delivered` is not in it.
    pub fn counts(&self) -> Ledger {
        self.counts
    }

    /// What was read of `producer` in this partition, if anything was.
    pub fn lane(&self, producer: ProducerId) -> Option<&ReadLane> {
        self.lanes.get(self.shape.read_key(producer))
    }

    /// The topic has more partitions from now on: others may send here than did.
    pub(super) fn grow(&mut self, shape: LaneShape) {
        let (old, partition) = (self.shape, self.partition);
        self.shape = shape;
        self.lanes.rekey(|key| shape.read_key(old.read_lane(partition, key)));
    }

    /// The owners so far.
    pub fn owners(&self) -> &[Ownership] {
        &self.owners
    }

    /// Notes that `owner` has the partition from `now`, unless it was replaced: nothing it says counts any more.
    pub fn take_over(&mut self, owner: Owner, now: Time) {
        if self.is_fenced(owner) {
            return;
        }
        if let Some(last) = self.owners.last_mut() {
            last.to.get_or_insert(now);
        }
        if self.owners.len() < OWNERSHIPS_MAX {
            self.owners.push(Ownership { owner, from: now, to: None });
        }
    }

    /// Notes that `owner` gave the partition up, or lost it. What an incarnation says of itself when its successor has
    /// the partition already changes nothing.
    pub fn give_up(&mut self, owner: Owner, now: Time) {
        if let Some(last) = self.owners.last_mut().filter(|last| last.owner == owner) {
            last.to.get_or_insert(now);
        }
    }

    /// Releases the partition from every incarnation of `consumer` before `next`: nothing they bring
    /// counts from here on, whether their thread co-operates or hangs.
    pub fn release(&mut self, consumer: ConsumerId, next: Incarnation) {
        match self.fences.iter_mut().find(|(fenced, _)| *fenced == consumer) {
            Some((_, lowest)) => *lowest = (*lowest).max(next),
            None => self.fences.push((consumer, next)),
        }
    }

    fn is_fenced(&self, owner: Owner) -> bool {
        self.fences
            .iter()
            .any(|(consumer, lowest)| *consumer == owner.consumer && owner.incarnation < *lowest)
    }

    /// Counts a batch, or drops it when its bringer is fenced.
    pub fn apply(&mut self, owner: Owner, batch: &[Processed]) -> Applied {
        if self.is_fenced(owner) {
            self.fence(batch);
            return Applied::Fenced;
        }
        batch.iter().for_each(|record| self.count(owner, record));
        if let Some(last) = batch.last() {
            self.keep_resume_point(last);
        }
        Applied::Counted
    }

    /// Moves the checkpoint to `next`, which `owner` has come to at the end of the partition: what is left before it is
    /// no record. Fenced as a batch is.
    pub fn reach(&mut self, owner: Owner, next: Offset, now: Time) -> Applied {
        if self.is_fenced(owner) {
            return Applied::Fenced;
        }
        if next > self.next_offset {
            self.offset_gaps += (next.0 - self.next_offset.0) as u64;
            self.next_offset = next;
            if let Some(watch) = &mut self.watch {
                watch.observed(false, now, now);
            }
        }
        Applied::Counted
    }

    /// A record of ours right before the checkpoint is the resume point; anything else there cannot be recognised.
    fn keep_resume_point(&mut self, last: &Processed) {
        if last.offset.0 + 1 == self.next_offset.0 {
            self.resume_point = match last.content {
                Content::Intact(stamp) | Content::Earlier(stamp) => {
                    Some(ResumePoint { offset: last.offset, stamp })
                }
                Content::Skipped(stamp) => {
                    stamp.map(|stamp| ResumePoint { offset: last.offset, stamp })
                }
                Content::Corrupt | Content::OtherProducer => None,
            };
        }
    }

    fn count(&mut self, owner: Owner, record: &Processed) {
        if !self.recoveries.is_empty() {
            self.recent_recoveries().for_each(|mark| mark.read(record.done));
        }
        self.last_done = Some(record.done);
        if record.offset < self.next_offset {
            let before = self.unexpected_redelivered;
            self.redelivered();
            if self.unexpected_redelivered > before {
                let lane = match &record.content {
                    Content::Intact(stamp) => lane_of(stamp),
                    _ => None,
                };
                self.wrong.note("unexpected_redelivered", lane, record.offset);
            }
            return;
        }
        self.offset_gaps += (record.offset.0 - self.next_offset.0) as u64;
        self.next_offset = Offset(record.offset.0 + 1);
        if !self.fenced_beyond.is_empty() {
            self.count_if_fenced_before(record.offset.0);
        }
        self.watch_progress(record);
        match &record.content {
            Content::Earlier(_) => self.counts.earlier += 1,
            Content::Corrupt => {
                self.counts.corrupt += 1;
                self.wrong.note("corrupt", None, record.offset);
            }
            Content::OtherProducer => {
                self.counts.other_producers += 1;
                if self.counts_others {
                    self.count_processed(record);
                }
            }
            Content::Skipped(stamp) => self.count_skipped(*stamp),
            Content::Intact(stamp) => self.count_intact(owner, stamp, record),
        }
    }

    fn count_skipped(&mut self, stamp: Option<Stamp>) {
        let own = stamp.filter(|stamp| stamp.partition == self.partition);
        let Some(stamp) = own else {
            self.wrong_partition += u64::from(stamp.is_some());
            self.counts.skipped_others += 1;
            self.counts.skipped += 1;
            return;
        };
        match self.lanes.lane(self.shape.read_key(stamp.producer)).skip(stamp.sequence) {
            true => self.counts.skipped += 1,
            false => self.counts.duplicated += 1,
        }
    }

    fn count_intact(&mut self, owner: Owner, stamp: &Stamp, record: &Processed) {
        if stamp.partition != self.partition {
            self.wrong_partition += 1;
            self.wrong.note("wrong_partition", lane_of(stamp), record.offset);
            return;
        }
        let lane = self.lanes.lane(self.shape.read_key(stamp.producer));
        match lane.arrive(stamp.sequence) {
            Arrival::Again => {
                self.counts.duplicated += 1;
                self.wrong.note("duplicated", lane_of(stamp), record.offset);
                return;
            }
            Arrival::Late => {
                self.counts.reordered += 1;
                self.wrong.note("reordered", lane_of(stamp), record.offset);
            }
            Arrival::InOrder => {}
        }
        self.lane_gaps_max = self.lane_gaps_max.max(lane.gaps());
        self.count_processed(record);
        self.keep_up.processed(self.delivered, stamp.sent, record.done);
        self.delivered += 1;
        let backlog = self.backlog.as_mut();
        if backlog.is_some_and(|its| its.processed(stamp.intended, stamp.sent, record.done)) {
            self.count_in_stages(None, record);
            return;
        }
        if stamp.intended >= self.window.0 && stamp.intended < self.window.1 {
            self.shard.response.between(stamp.intended, record.done);
            self.shard.service.between(stamp.sent, record.done);
            self.shard.parts.add(stamp, record);
            self.slowest.note((owner.consumer, owner.incarnation), stamp, record);
        } else if stamp.intended < self.window.0 {
            self.shard.warmup.between(stamp.intended, record.done);
        }
        self.count_in_stages(Some(stamp), record);
    }

    /// Counts a record; its latency if it was `due` in the load.
    #[inline]
    fn count_in_stages(&mut self, due: Option<&Stamp>, record: &Processed) {
        if let Some(stamp) = due
            && let Some(stage) = self.stages.stage(stamp.intended)
        {
            let shard = StageShard::of(&mut self.shard.stages, stage);
            shard.response.between(stamp.intended, record.done);
        }
        if let Some(stage) = self.stages.stage(record.done) {
            StageShard::of(&mut self.shard.stages, stage).processed += 1;
        }
    }

    /// Rates are of these records.
    fn count_processed(&mut self, record: &Processed) {
        if record.done >= self.window.0 && record.done < self.window.1 {
            self.shard.processed_in_window += 1;
            self.shard.bytes_in_window += u64::from(record.bytes);
        }
        self.shard.delivered += 1;
        self.shard.bytes += u64::from(record.bytes);
    }

    fn redelivered(&mut self) {
        self.counts.redelivered += 1;
        match self.recoveries.iter_mut().rev().find(|mark| mark.fenced.is_some()) {
            Some(mark) => mark.redelivered += 1,
            // A group that moves a partition repeats what was not committed.
            None if self.owners.len() > 1 => {}
            None => self.unexpected_redelivered += 1,
        }
    }

    /// A fenced batch had been processed although it does not count: whatever of it is processed
    /// again (or has been already) is redelivered.
    fn fence(&mut self, batch: &[Processed]) {
        self.fenced += batch.len() as u64;
        let mut beyond: Option<Range<i64>> = None;
        for offset in batch.iter().map(|record| record.offset) {
            if offset < self.next_offset {
                self.redelivered();
            } else {
                beyond = Some(beyond.map_or(offset.0, |range| range.start)..offset.0 + 1);
            }
        }
        self.fenced_beyond.extend(beyond);
    }

    fn count_if_fenced_before(&mut self, offset: i64) {
        if self.fenced_beyond.iter().any(|range| range.contains(&offset)) {
            self.redelivered();
        }
        self.fenced_beyond.retain(|range| range.end > offset + 1);
    }

    /// Hands over what was measured since the last time, and goes on with `spare`, which is cleared.
    pub fn take_shard(&mut self, spare: &mut Shard) {
        spare.clear();
        std::mem::swap(&mut self.shard, spare);
    }
}

/// The lane of a record, by its producer, and the record's number in it.
fn lane_of(stamp: &Stamp) -> Option<(ProducerId, u64)> {
    Some((stamp.producer, stamp.sequence))
}
