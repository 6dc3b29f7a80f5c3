//! The faults in a partition's cell: the stalls they caused, and the partition's recovery from each.

use std::ops::Range;
use std::sync::Arc;

use super::{CellState, RECOVERIES_MAX, RECOVERIES_OPEN_MAX};
use crate::base::{ConsumerId, Offset, Time};
use crate::measure::fault_watch::{FaultWatch, ProcessedRecord, Quiet};
use crate::measure::recovery::RecoveryMark;
use crate::measure::{Content, FaultWindows, KeepUp, Owner, Processed, StageBounds};

impl CellState {
    /// Begins the load at `start`. Only records intended in the `measured` window enter latency. The partition's
    /// figures before and after faults are compared within `windows`.
    pub fn begin(&mut self, start: Time, measured: (Time, Time), windows: Arc<[FaultWindows]>) {
        self.window = measured;
        // Records of a backlog that were read earlier do not belong to the first second.
        self.shard.clear();
        self.watch = Some(FaultWatch::new(start, measured, windows));
        self.keep_up = KeepUp::new(measured);
    }

    /// Sets the stages of the load, and its measured window `measured`.
    pub fn set_stages(&mut self, bounds: StageBounds, measured: (Time, Time)) {
        self.stages = bounds;
        if measured != self.window {
            self.window = measured;
            self.keep_up = KeepUp::new(measured);
        }
    }

    /// Ends the load at `now`, and with it the current stall.
    pub fn end(&mut self, now: Time) {
        let Some(watch) = &mut self.watch else { return };
        let stalled_from = watch.stands_still_since();
        let hit_by = watch.end(now);
        self.mark_hit(hit_by.clone(), now);
        for mark in &mut self.recoveries {
            mark.end(now, stalled_from, mark.is_hit(hit_by.as_ref()));
        }
    }

    /// Stalls, and the partition's figures around each fault; `None` before the load begins.
    pub fn watch(&self) -> Option<&FaultWatch> {
        self.watch.as_ref()
    }

    /// Begins the recovery of this partition from fault number `fault` at `now`.
    pub fn begin_recovery(
        &mut self,
        fault: usize,
        consumer: Option<ConsumerId>,
        now: Time,
        prepare: impl FnOnce(&mut RecoveryMark),
    ) {
        if let Some(watch) = &mut self.watch {
            watch.reach(now);
        }
        let mut mark = self.new_mark(Some(fault), consumer, now);
        prepare(&mut mark);
        self.recover(mark);
    }

    /// A recovery mark with the figures that the partition had before `fault`.
    pub fn new_mark(
        &self,
        fault: Option<usize>,
        consumer: Option<ConsumerId>,
        now: Time,
    ) -> RecoveryMark {
        let quiet = self.watch.as_ref().map_or_else(Quiet::default, |watch| watch.quiet(fault));
        RecoveryMark::new(fault, consumer, now, quiet)
    }

    /// Notes that the faults `hit_by` have hit the partition, which had stalled until `now`. A fault without a mark for
    /// this partition was not aimed at it, and gets one.
    fn mark_hit(&mut self, hit_by: Option<Range<usize>>, now: Time) {
        for fault in hit_by.into_iter().flatten() {
            if !self.recoveries.iter().rev().any(|mark| mark.fault == Some(fault)) {
                let at = self.watch.as_ref().and_then(|watch| watch.fault_at(fault)).unwrap_or(now);
                let mut mark = self.new_mark(Some(fault), None, at);
                mark.is_target = false;
                mark.normal_since = Some(now);
                self.recover(mark);
            }
        }
    }

    /// Notes that group member `owner` has taken the partition over and reads it. A fenced owner changes nothing.
    pub fn taken_by_member(&mut self, owner: Owner, now: Time) {
        if !self.is_fenced(owner) {
            self.recent_recoveries().for_each(|mark| mark.is_ready(now));
        }
    }

    /// Passes a record that is processed for the first time to the fault watch and to the recent recoveries.
    pub(super) fn watch_progress(&mut self, record: &Processed) {
        let Some(watch) = &mut self.watch else { return };
        let stamp = match &record.content {
            Content::Intact(stamp) => Some(stamp),
            _ => None,
        };
        let progress = ProcessedRecord {
            offset: record.offset,
            sent: stamp.map(|stamp| stamp.sent),
            response_ns: stamp.map(|stamp| record.done.since_ns(stamp.intended)),
            done: record.done,
        };
        let step = watch.processed(&progress);
        if step.hit_by.is_some() {
            self.mark_hit(step.hit_by.clone(), record.done);
        }
        if !self.recoveries.is_empty() {
            self.recent_recoveries().for_each(|mark| mark.processed(&progress, &step));
        }
    }

    /// The latest recoveries that may still change: a later stall by the same fault opens a recovery again.
    pub(super) fn recent_recoveries(&mut self) -> impl Iterator<Item = &mut RecoveryMark> {
        self.recoveries.iter_mut().rev().take(RECOVERIES_OPEN_MAX).filter(|mark| !mark.given_up)
    }

    /// Begins the recovery from a fault, unless the partition has the largest number of recoveries.
    pub fn recover(&mut self, mark: RecoveryMark) {
        if self.recoveries.len() < RECOVERIES_MAX {
            self.recoveries.push(mark);
        }
    }

    /// True if a recovery is under way at `now`, so that end offsets are needed more often.
    pub fn is_recovering(&self, now: Time) -> bool {
        self.recoveries.iter().rev().take(RECOVERIES_OPEN_MAX).any(|mark| mark.is_under_way(now))
    }

    /// Notes an answer of the end-offset client for this partition, asked at `asked` and entered at `now`.
    pub fn observe_end(&mut self, end: Offset, asked: Time, now: Time) {
        self.lag.observe(end, self.next_offset, now, self.window);
        let lag = self.lag.last;
        if let Some(watch) = &mut self.watch {
            watch.observed(lag > 0, asked, now);
        }
        self.recent_recoveries().for_each(|mark| mark.observe_lag(lag, now));
    }
}
