//! The partition's cell: fence, checkpoint and measurements of one partition. It outlives actors and threads.
//!
//! A consumer machine locks the cell once per batch. The fence is checked and the batch is counted under the same lock.
//! So counts and checkpoint always agree, and the measurements of a killed thread are kept.

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

/// The consumer that brings a batch, and the number of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The consumer.
    pub consumer: ConsumerId,
    /// Its start number.
    pub incarnation: Incarnation,
}

/// The result of handing a batch to the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The batch is counted.
    Counted,
    /// An older incarnation brought the batch. It was dropped, and its records count as fenced.
    Fenced,
}

/// A period in which a consumer had the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// The consumer, and the number of its start.
    pub owner: Owner,
    /// Beginning of the period.
    pub from: Time,
    /// End of the period; `None` while it lasts.
    pub to: Option<Time>,
}

/// Owner changes kept per partition. Later ones are dropped.
const OWNERSHIPS_MAX: usize = 1000;

/// Recoveries kept per partition: more than the number of faults that a plan may have on one.
const RECOVERIES_MAX: usize = 10_000;
/// Recoveries per partition, counted from the latest one, that may still change.
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

    /// Locks the cell. Batches are applied as a whole, so the state behind a poisoned lock is usable.
    pub fn lock(&self) -> MutexGuard<'_, CellState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The state behind the lock. Fields that only a running run needs are not serialized.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CellState {
    partition: PartitionId,
    shape: LaneShape,
    next_offset: Offset,
    #[serde(skip)]
    resume_point: Option<ResumePoint>,
    /// Offsets of poison records, which all later incarnations skip.
    #[serde(skip)]
    skips: Vec<Offset>,
    /// Lowest incarnation of each consumer that is not fenced.
    #[serde(skip)]
    fences: Vec<(ConsumerId, Incarnation)>,
    owners: Vec<Ownership>,
    lanes: Lanes<ReadLane>,
    /// Counts made when records arrive. Sent, acked and lost are computed by [`super::balance`].
    counts: Ledger,
    delivered: u64,
    #[serde(skip)]
    shard: Shard,
    #[serde(skip)]
    window: (Time, Time),
    /// Beginnings of the load's stages.
    #[serde(skip)]
    stages: StageBounds,
    /// Offsets that fenced incarnations had processed and that were not read again yet.
    #[serde(skip)]
    fenced_beyond: Vec<Range<i64>>,
    /// The backlog that existed when the consumers started; `None` without one.
    #[serde(skip)]
    pub backlog: Option<BacklogReading>,
    /// True if rates are those of other producers' records, because the run sends none.
    pub counts_others: bool,
    /// The partition's lag.
    pub lag: Lag,
    /// Stalls, and the partition's figures around each fault; `None` before the load begins.
    #[serde(skip)]
    watch: Option<FaultWatch>,
    /// The counts that decide whether the partition keeps up with the records sent.
    pub keep_up: KeepUp,
    /// Recoveries under way or over, one per fault that hit this partition.
    pub recoveries: Vec<RecoveryMark>,
    /// Records of fenced consumers.
    pub fenced: u64,
    /// Records processed again without a restart or a change of owner before it.
    pub unexpected_redelivered: u64,
    /// Offsets that the checkpoint passed without a record, before a record or at the end of the partition. The causes
    /// are transaction markers, aborted records, compaction, or a defect.
    pub offset_gaps: u64,
    /// Records read here that were sent to another partition.
    pub wrong_partition: u64,
    /// Records that a second process also read as the owner of the partition.
    pub two_owners: u64,
    /// Largest number of gaps a lane had.
    pub lane_gaps_max: usize,
    /// Time at which the last record was processed.
    pub last_done: Option<Time>,
    /// The slowest records intended in the measured window.
    pub slowest: SlowestRecords,
    /// The first records counted by figures that should be 0.
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

    /// The numbering of its lanes.
    pub fn shape(&self) -> LaneShape {
        self.shape
    }

    /// The partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The lane of each producer that was read.
    pub fn producers(&self) -> impl Iterator<Item = (ProducerId, &ReadLane)> {
        let lanes = self.lanes.iter();
        lanes.map(|(key, lane)| (self.shape.read_lane(self.partition, key), lane))
    }

    /// The checkpoint: the next offset to process.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The position at which the next incarnation starts.
    pub fn start(&self) -> Start {
        Start { checkpoint: self.next_offset, resume_point: self.resume_point }
    }

    /// Makes later incarnations skip the record at `offset`.
    pub fn skip(&mut self, offset: Offset) {
        self.skips.push(offset);
    }

    /// The offsets to skip that are at or after the checkpoint.
    pub fn skips(&self) -> Vec<Offset> {
        self.skips.iter().copied().filter(|offset| *offset >= self.next_offset).collect()
    }

    /// Sets the record right before the checkpoint; `None` if it cannot be read any more.
    pub fn set_resume_point(&mut self, resume_point: Option<ResumePoint>) {
        self.resume_point = resume_point;
    }

    /// Distinct records processed so far.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Counts made so far. `delivered` is not set in them.
    pub fn counts(&self) -> Ledger {
        self.counts
    }

    /// The lane of `producer` in this partition; `None` if no record of it was read.
    pub fn lane(&self, producer: ProducerId) -> Option<&ReadLane> {
        self.lanes.get(self.shape.read_key(producer))
    }

    /// Renumbers the lanes after the topic has grown, because other producers may now send to this partition.
    pub(super) fn grow(&mut self, shape: LaneShape) {
        let (old, partition) = (self.shape, self.partition);
        self.shape = shape;
        self.lanes.rekey(|key| shape.read_key(old.read_lane(partition, key)));
    }

    /// The periods of ownership so far, in order.
    pub fn owners(&self) -> &[Ownership] {
        &self.owners
    }

    /// Notes that `owner` has the partition from `now` on. A fenced owner changes nothing.
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

    /// Notes that `owner` gave the partition up, or lost it. If a successor has the partition already, nothing changes.
    pub fn give_up(&mut self, owner: Owner, now: Time) {
        if let Some(last) = self.owners.last_mut().filter(|last| last.owner == owner) {
            last.to.get_or_insert(now);
        }
    }

    /// Releases the partition from every incarnation of `consumer` before `next`. Batches of those incarnations no
    /// longer count, even if their threads continue.
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

    /// Counts a batch, or drops it if its owner is fenced.
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

    /// Moves the checkpoint to `next`, the position of `owner` at the end of the partition: the offsets before it have
    /// no record. Fenced like a batch.
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

    /// Keeps the record right before the checkpoint as resume point if it has a stamp of this run; no other record can
    /// be recognised.
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

    /// Counts a record for its stages. Its latency is counted only with the stamp `due`.
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

    /// Counts a record for rates.
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
            // A group that moves a partition processes uncommitted records again.
            None if self.owners.len() > 1 => {}
            None => self.unexpected_redelivered += 1,
        }
    }

    /// Counts a fenced batch. Each of its records counts as redelivered when another incarnation processes it, or now
    /// if that has happened.
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

    /// Moves the measurements since the last call into `spare`, whose old content is cleared and reused.
    pub fn take_shard(&mut self, spare: &mut Shard) {
        spare.clear();
        std::mem::swap(&mut self.shard, spare);
    }
}

/// The producer of a record, and the record's sequence in its lane.
fn lane_of(stamp: &Stamp) -> Option<(ProducerId, u64)> {
    Some((stamp.producer, stamp.sequence))
}
