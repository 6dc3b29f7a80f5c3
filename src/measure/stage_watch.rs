//! The measurements of each stage of the load.
//!
//! A record's latency counts for the stage in which the record was due. Processed records and lag count for the stage
//! in which they were observed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Latencies;
use crate::base::Time;

/// The beginnings of a load's stages; empty if the load has no stages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageBounds {
    /// The beginning of each stage, and the end of the last one.
    times: Vec<Time>,
}

impl StageBounds {
    /// Stages that begin at all of these times but the last one, at which the last stage ends.
    pub fn new(times: Vec<Time>) -> StageBounds {
        StageBounds { times }
    }

    /// The stage at `at`; `None` before the first and after the last.
    #[inline]
    pub fn stage(&self, at: Time) -> Option<usize> {
        if self.times.is_empty() {
            return None;
        }
        self.find(at)
    }

    fn find(&self, at: Time) -> Option<usize> {
        let number = self.times.partition_point(|begins| *begins <= at).checked_sub(1)?;
        (number + 1 < self.times.len()).then_some(number)
    }

    /// Number of stages.
    pub fn count(&self) -> usize {
        self.times.len().saturating_sub(1)
    }

    /// The end of the last stage; `None` without stages.
    pub fn end(&self) -> Option<Time> {
        self.times.last().copied()
    }

    /// Beginning and end of a stage; `None` if it does not exist.
    pub fn span(&self, stage: usize) -> Option<(Time, Time)> {
        Some((*self.times.get(stage)?, *self.times.get(stage + 1)?))
    }

    /// Ends a stage at `at`. Later stages begin earlier by the same time.
    fn end_stage(&mut self, stage: usize, at: Time) {
        let Some((from, to)) = self.span(stage) else { return };
        let saved = to.since_ns(at.max(from)).max(0);
        self.times[stage + 1..].iter_mut().for_each(|time| time.0 -= saved);
    }
}

/// The records that one partition processed in a stage, over one interval.
#[derive(Clone, Debug, Default)]
pub struct StageShard {
    /// Processed - intended send, of records due in the stage.
    pub response: Latencies,
    /// Records processed while the stage lasted.
    pub processed: u64,
}

impl StageShard {
    /// Adds the shards of another interval or partition, by stage.
    pub fn merge_all(all: &mut Vec<StageShard>, others: &[StageShard]) {
        all.resize_with(all.len().max(others.len()), StageShard::default);
        for (one, other) in all.iter_mut().zip(others) {
            one.response.merge(&other.response);
            one.processed += other.processed;
        }
    }

    /// Removes all values and keeps the memory.
    pub fn clear(&mut self) {
        self.response.clear();
        self.processed = 0;
    }

    /// The shard of `stage`, which is created if it does not exist.
    pub fn of(all: &mut Vec<StageShard>, stage: usize) -> &mut StageShard {
        if all.len() <= stage {
            all.resize_with(stage + 1, StageShard::default);
        }
        &mut all[stage]
    }
}

/// The actual stages: their ends, and the largest lag in each.
#[derive(Debug, Default)]
pub struct StageWatch {
    /// Number of stages that ended early. It can be read without the lock.
    ends: AtomicUsize,
    state: Mutex<StageState>,
}

/// The state behind the lock of a [`StageWatch`].
#[derive(Clone, Debug, Default)]
pub struct StageState {
    /// Beginnings and ends of the stages.
    pub bounds: StageBounds,
    /// The largest lag of all partitions together, in records.
    pub lag_max: Vec<u64>,
    /// True for each stage that ends when the lag is 0.
    pub until_lag_is_zero: Vec<bool>,
    /// The stages that ended because the lag was 0, each with its end, in the order of time.
    pub ends: Vec<(usize, Time)>,
}

impl StageWatch {
    fn lock(&self) -> MutexGuard<'_, StageState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the load with these stages.
    pub fn begin(&self, bounds: StageBounds, until_lag_is_zero: Vec<bool>) {
        let count = bounds.count();
        *self.lock() =
            StageState { bounds, until_lag_is_zero, lag_max: vec![0; count], ends: Vec::new() };
    }

    /// The current state.
    pub fn state(&self) -> StageState {
        self.lock().clone()
    }

    /// Notes the lag of all partitions together at `now`.
    pub fn observe_lag(&self, lag: u64, now: Time) {
        let mut state = self.lock();
        if let Some(stage) = state.bounds.stage(now) {
            let largest = &mut state.lag_max[stage];
            *largest = lag.max(*largest);
        }
    }

    /// The stage at `now`, if it ends when the lag is 0 and began at `asked` or earlier.
    pub fn waiting(&self, asked: Time, now: Time) -> Option<usize> {
        let state = self.lock();
        let stage = state.bounds.stage(now)?;
        let (from, _) = state.bounds.span(stage)?;
        (state.until_lag_is_zero[stage] && from <= asked).then_some(stage)
    }

    /// Beginning of the next stage that waits for a lag of 0, or `now` if one is under way. `None` if no such stage is
    /// left.
    pub fn waits_from(&self, now: Time) -> Option<Time> {
        let state = self.lock();
        let numbered = state.until_lag_is_zero.iter().enumerate();
        let spans = numbered.filter_map(|(stage, waits)| {
            state.bounds.span(stage).filter(|span| *waits && now < span.1)
        });
        spans.map(|(from, _)| from.max(now)).min()
    }

    /// Ends a stage at `at`, unless it has ended. Returns the new beginnings of the stages.
    pub fn end_stage(&self, stage: usize, at: Time) -> Option<StageBounds> {
        let mut state = self.lock();
        if state.ends.iter().any(|(ended, _)| *ended == stage)
            || state.bounds.span(stage).is_none_or(|(_, end)| end <= at)
        {
            return None;
        }
        state.bounds.end_stage(stage, at);
        state.ends.push((stage, at));
        self.ends.store(state.ends.len(), Ordering::Release);
        Some(state.bounds.clone())
    }

    /// The stages that ended early, from number `known` on: usually none.
    #[inline]
    pub fn ends_from(&self, known: usize) -> Vec<(usize, Time)> {
        if self.ends.load(Ordering::Acquire) <= known {
            return Vec::new();
        }
        self.lock().ends.get(known..).unwrap_or_default().to_vec()
    }

    /// True if the load has stages.
    pub fn has_any(&self) -> bool {
        self.lock().bounds.count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_stage_that_began_last() {
        let mut bounds = StageBounds::new([10, 20, 30].map(Time).to_vec());
        let stages =
            |bounds: &StageBounds| [9, 10, 19, 20, 29, 30].map(|at| bounds.stage(Time(at)));
        assert_eq!(stages(&bounds), [None, Some(0), Some(0), Some(1), Some(1), None]);
        bounds.end_stage(0, Time(12));
        assert_eq!(bounds.span(1), Some((Time(12), Time(22))));
        assert_eq!(StageBounds::default().stage(Time(5)), None);
    }

    #[test]
    fn a_stage_that_waits_ends_by_an_answer_that_was_asked_for_in_it() {
        let watch = StageWatch::default();
        watch.begin(StageBounds::new([10, 20, 30].map(Time).to_vec()), vec![false, true]);
        watch.observe_lag(7, Time(12));
        assert_eq!(watch.waiting(Time(11), Time(12)), None);
        assert_eq!(watch.waiting(Time(19), Time(21)), None, "asked for before");
        assert_eq!(watch.waiting(Time(20), Time(21)), Some(1));
        watch.end_stage(1, Time(25));
        let state = watch.state();
        assert_eq!((state.lag_max, state.ends), (vec![7, 0], vec![(1, Time(25))]));
        assert_eq!((watch.ends_from(0).len(), watch.ends_from(1).len()), (1, 0));
        assert_eq!(watch.end_stage(1, Time(24)), None, "it has ended");
        assert_eq!(state.bounds.span(1), Some((Time(20), Time(25))));
    }
}
