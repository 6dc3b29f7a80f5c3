//! The stalls of a partition, and its figures before and after each fault.
//!
//! A partition *stalls* while records wait and none is processed. A record waits from its send until it is
//! processed, unless the end-offset client saw later that the partition had nothing to read. So a pause without
//! anything to read is none, and a producer that pauses stalls no partition.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Latencies;
use super::lag::Backlog;
use crate::base::{Offset, Time};
use crate::plan::{FaultPlan, Membership, Plan};

/// A record that is processed for the first time.
#[derive(Clone, Copy, Debug)]
pub struct ProcessedRecord {
    /// Offset of the record.
    pub offset: Offset,
    /// Send time of the record; `None` if it has no intact stamp.
    pub sent: Option<Time>,
    /// Processed - intended send, in nanoseconds; `None` if the record has no intact stamp.
    pub response_ns: Option<i64>,
    /// Time at which the processing was complete.
    pub done: Time,
}

/// The findings from a processed record about its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFindings {
    /// Length of the stall that the record ended, in nanoseconds.
    pub stall_ns: i64,
    /// Age of the record when it was processed, in nanoseconds. The oldest unprocessed record was this old.
    pub age_ns: i64,
    /// Records that waited when this record was sent, itself included; 0 if that is not watched.
    pub lag: u64,
    /// The occurrences of faults that have hit the partition, if the stall reveals that.
    pub hit_by: Option<Range<usize>>,
}

/// The figures of a partition before a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// Records processed.
    pub records: u64,
    /// Longest stall, in nanoseconds.
    pub stall_ns: i64,
    /// Largest age of an unprocessed record, in nanoseconds.
    pub age_ns: i64,
    /// Largest number of records that waited at once.
    pub lag: u64,
    /// Response time p99, in nanoseconds; `None` without records.
    pub p99_ns: Option<u64>,
    /// Records slower than that p99.
    pub slow: u64,
    /// True if the second half of the window was like the first; `None` with too few records to decide.
    pub is_stable: Option<bool>,
}

/// The figures of a partition around one instant with faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The figures before the faults.
    pub quiet: Quiet,
    /// Longest stall from the fault on, in nanoseconds, as far as it is in the window.
    pub stall_ns: i64,
    /// Records processed in the window.
    pub records: u64,
    /// Of these records, those slower than the partition's p99 in its quiet window.
    pub slow: u64,
}

/// A stall up to this length is always ordinary.
const STALL_NS: i64 = 100_000_000;
/// A stall up to this multiple of the longest quiet one is ordinary.
const STALL_FACTOR: i64 = 3;
/// Shorter stalls are not counted: processing a record takes that long.
const SHORTEST_STALL_NS: i64 = 1_000_000;
/// A quiet window with fewer records has no reliable p99.
const RECORDS_MIN: u64 = 20;
/// A quiet window is stable if no more than this share of its second half is slower than the p99 of the first half (1 %
/// is expected), and at least this number of records may be slower.
const DRIFT_SHARE: f64 = 0.05;
const DRIFT_RECORDS: u64 = 3;
/// A record of this age is as good as processed: a partition is not called unrecovered for less.
const YOUNG_NS: i64 = 1_000_000;
/// With fewer quiet records, a partition counts as recovered at an age of [`STALL_NS`].
const AGES_MIN: u64 = 10;

impl Quiet {
    /// True if a stall of `stall_ns` is longer than an ordinary one.
    pub fn is_exceeded_by(&self, stall_ns: i64) -> bool {
        stall_ns > STALL_NS.max(STALL_FACTOR * self.stall_ns)
    }

    /// The largest age of an unprocessed record that counts as normal, in nanoseconds.
    pub fn normal_age_ns(&self) -> i64 {
        self.age_ns.max(if self.records < AGES_MIN { STALL_NS } else { YOUNG_NS })
    }

    /// The largest number of waiting records that counts as normal. One record is no backlog.
    pub fn normal_lag(&self) -> u64 {
        self.lag.max(1)
    }
}

impl Effect {
    /// True if the partition stalled because of the fault.
    pub fn is_hit(&self) -> bool {
        self.quiet.is_exceeded_by(self.stall_ns)
    }
}

/// Watches one partition. See the documentation of the module.
#[derive(Clone, Debug)]
pub struct FaultWatch {
    /// Time at which the last record was processed; before the first record, the start of the load.
    last: Time,
    /// The last time at which the end-offset client found nothing to read.
    empty: Time,
    /// The first time since `last` at which the end-offset client found records to read.
    waits: Option<Time>,
    measured: (Time, Time),
    measured_stall_ns: i64,
    windows: Arc<[FaultWindows]>,
    /// The effect of each window whose faults are due.
    effects: Vec<Effect>,
    before: Before,
    backlog: Backlog,
    /// The figures of the whole run so far.
    ever: Quiet,
}

/// The measurements of the quiet window before the next fault.
#[derive(Clone, Debug, Default)]
struct Before {
    quiet: Quiet,
    responses: Latencies,
    /// The p99 of the first half, and of the second half the number of slower records and of all records.
    half: Option<(u64, u64, u64)>,
}

impl FaultWatch {
    /// Watches a partition from `start` on.
    pub fn new(start: Time, measured: (Time, Time), windows: Arc<[FaultWindows]>) -> FaultWatch {
        FaultWatch {
            last: start,
            empty: Time(i64::MIN),
            waits: None,
            measured,
            measured_stall_ns: 0,
            windows,
            effects: Vec::new(),
            before: Before::default(),
            backlog: Backlog::default(),
            ever: Quiet::default(),
        }
    }

    /// Notes a record.
    pub fn processed(&mut self, record: &ProcessedRecord) -> RecordFindings {
        let ProcessedRecord { offset, sent, done, .. } = *record;
        let from = self.last.max(self.empty).max(sent.unwrap_or(done)).min(done);
        let stall_ns = done.since_ns(from);
        self.reach(done);
        let mut hit_by = None;
        if stall_ns >= SHORTEST_STALL_NS {
            hit_by = self.stalled(from, done);
        }
        self.last = self.last.max(done);
        self.waits = None;
        let age_ns = sent.map_or(0, |sent| done.since_ns(sent));
        let lag = match sent {
            Some(sent) if !self.windows.is_empty() => self.backlog.processed(offset, sent, done),
            _ => 0,
        };
        self.ever.records += 1;
        self.ever.age_ns = self.ever.age_ns.max(age_ns);
        self.ever.stall_ns = self.ever.stall_ns.max(stall_ns);
        if !self.windows.is_empty() {
            self.compare(record, age_ns, lag);
        }
        RecordFindings { stall_ns, age_ns, lag, hit_by }
    }

    /// Enters a record into the quiet window or the disturbed window that it lies in.
    fn compare(&mut self, record: &ProcessedRecord, age_ns: i64, lag: u64) {
        let response = record.response_ns.map(|ns| u64::try_from(ns).unwrap_or(0));
        if let Some(next) = self.windows.get(self.effects.len())
            && record.done >= next.quiet.0
        {
            let middle = next.quiet.0.0 + (next.at.0 - next.quiet.0.0) / 2;
            self.before.add(response, age_ns, lag, record.done.0 >= middle);
        }
        let reached = self.windows.get(..self.effects.len()).and_then(<[_]>::last);
        if let (Some(window), Some(effect)) = (reached, self.effects.last_mut())
            && record.done < window.disturbed.1
        {
            effect.records += 1;
            let p99 = effect.quiet.p99_ns;
            effect.slow += u64::from(response.zip(p99).is_some_and(|(ns, p99)| ns > p99));
        }
    }

    /// Notes a stall. Returns the faults that have hit the partition according to it.
    fn stalled(&mut self, from: Time, to: Time) -> Option<Range<usize>> {
        self.measured_stall_ns = self.measured_stall_ns.max(overlap_ns((from, to), self.measured));
        if let Some(next) = self.windows.get(self.effects.len()) {
            let stall_ns = overlap_ns((from, to), next.quiet);
            self.before.quiet.stall_ns = self.before.quiet.stall_ns.max(stall_ns);
        }
        let mut hit_by = None;
        for (effect, window) in self.effects.iter_mut().zip(&*self.windows).rev() {
            if window.disturbed.1 <= from {
                break;
            }
            let stall_ns = overlap_ns((from, to), window.disturbed);
            effect.stall_ns = effect.stall_ns.max(stall_ns);
            if effect.quiet.is_exceeded_by(stall_ns) {
                hit_by = Some(window.faults.clone());
            }
        }
        hit_by
    }

    /// Ends the quiet windows of the faults that are due until `now`.
    pub fn reach(&mut self, now: Time) {
        while let Some(window) = self.windows.get(self.effects.len()).filter(|next| next.at <= now)
        {
            // A stall that lasts across the fault began before it.
            if let Some(from) = self.stands_still_since() {
                let stall_ns = overlap_ns((from, now), window.quiet);
                self.before.quiet.stall_ns = self.before.quiet.stall_ns.max(stall_ns);
            }
            let quiet = std::mem::take(&mut self.before).figures();
            self.effects.push(Effect { quiet, ..Effect::default() });
        }
    }

    /// Notes an answer of the end-offset client, asked at `asked` and entered at `now`. `has_records` is true if there
    /// is something to read.
    pub fn observed(&mut self, has_records: bool, asked: Time, now: Time) {
        if has_records {
            self.waits.get_or_insert(now);
        } else {
            self.empty = self.empty.max(asked);
            self.waits = None;
        }
    }

    /// Start of the current stall; `None` if the partition is not known to be stalled.
    pub fn stands_still_since(&self) -> Option<Time> {
        self.waits
    }

    /// Notes the end of the load at `now`, which also ends a stall. Returns the faults that have hit the partition
    /// according to that stall.
    pub fn end(&mut self, now: Time) -> Option<Range<usize>> {
        self.reach(now);
        let from = self.stands_still_since().filter(|from| *from < now)?;
        self.stalled(from, now)
    }

    /// Longest stall in the measured window, in nanoseconds. A current stall counts until `now`.
    pub fn longest_stall_ns(&self, now: Time) -> i64 {
        let open = self.waits.map_or(0, |from| overlap_ns((from, now), self.measured));
        self.measured_stall_ns.max(open)
    }

    /// The effect of occurrence number `fault`; `None` before it is due.
    pub fn effect(&self, fault: usize) -> Option<&Effect> {
        self.effects.get(self.number(fault))
    }

    /// Time at which occurrence number `fault` was due.
    pub fn fault_at(&self, fault: usize) -> Option<Time> {
        self.windows.get(self.number(fault)).map(|window| window.at)
    }

    /// The index of the window of occurrence number `fault`.
    fn number(&self, fault: usize) -> usize {
        self.windows.partition_point(|window| window.faults.end <= fault)
    }

    /// The figures before occurrence number `fault`; for an unplanned failure, those of the run so far.
    pub fn quiet(&self, fault: Option<usize>) -> Quiet {
        match fault {
            Some(fault) => self.effect(fault).map_or_else(Quiet::default, |effect| effect.quiet),
            // Waiting records are counted around planned faults only.
            None => Quiet { lag: u64::MAX, ..self.ever },
        }
    }
}

impl Before {
    fn add(&mut self, response: Option<u64>, age_ns: i64, lag: u64, is_late: bool) {
        self.quiet.records += 1;
        self.quiet.age_ns = self.quiet.age_ns.max(age_ns);
        self.quiet.lag = self.quiet.lag.max(lag);
        let Some(response) = response else { return };
        if is_late {
            let first = self.responses.quantile_ns(0.99).unwrap_or(0);
            let (p99, slower, all) = self.half.get_or_insert((first, 0, 0));
            *all += 1;
            *slower += u64::from(response > *p99);
        }
        self.responses.record(i64::try_from(response).unwrap_or(i64::MAX));
    }

    fn figures(self) -> Quiet {
        let p99_ns = self.responses.quantile_ns(0.99);
        let is_stable = self
            .half
            .filter(|_| self.quiet.records >= RECORDS_MIN)
            .map(|(_, slower, all)| slower <= DRIFT_RECORDS.max((DRIFT_SHARE * all as f64) as u64));
        let slow = p99_ns.map_or(0, |p99| self.responses.count_above(p99));
        Quiet { p99_ns, slow, is_stable, ..self.quiet }
    }
}

/// Length of the part of `span` that lies within `window`, in nanoseconds.
fn overlap_ns(span: (Time, Time), window: (Time, Time)) -> i64 {
    span.1.min(window.1).since_ns(span.0.max(window.0)).max(0)
}

/// The times of a fault that belong to no single partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTimes {
    /// Injection of the fault.
    pub injected: Option<Time>,
    /// End of the fault by itself, or return of a killed pool.
    pub ended: Option<Time>,
    /// Time at which the supervisor noticed the failure of a pool.
    pub detected: Option<Time>,
    /// Time at which the last pool was released.
    pub fenced: Option<Time>,
    /// Start of a pool's replacement.
    pub restarted: Option<Time>,
    /// Reasons why targets could not be hit.
    pub missed: Vec<String>,
}

/// An instant at which faults are injected, and two equally long windows before and after it, which are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultWindows {
    /// Time at which the faults are due.
    pub at: Time,
    /// The occurrences, by their positions in the plan.
    pub faults: Range<usize>,
    /// The window before the faults, which ends at `at`.
    pub quiet: (Time, Time),
    /// The window after the faults, which begins at `at`.
    pub disturbed: (Time, Time),
}

/// Longest window under explicit assignment.
const WINDOW_MAX: Duration = Duration::from_secs(10);

/// The windows of every instant with faults, in order, for a load that begins at `start`. A quiet window begins after
/// the earlier faults have ended. A disturbed window ends before the next fault. Therefore no effect is counted twice.
pub fn fault_windows(plan: &Plan, start: Time) -> Vec<FaultWindows> {
    let shortest = match &plan.consumers.membership {
        Membership::Assigned { .. } => WINDOW_MAX,
        // A crash is noticed after the session timeout, and a rebalance follows.
        Membership::Group(group) => WINDOW_MAX.max(group.crash_noticed_after() * 2),
    };
    let mut windows: Vec<FaultWindows> = Vec::new();
    let mut ended = Duration::ZERO;
    let mut first = 0;
    while let Some(fault) = plan.faults.get(first) {
        let at = fault.at;
        let count = plan.faults[first..].iter().take_while(|other| other.at == at).count();
        let faults = first..first + count;
        let next = plan.faults.get(faults.end).map_or(plan.times.load_end(), |next| next.at);
        let its = &plan.faults[faults.clone()];
        // A fault that lasts longer is watched for twice its duration.
        let longest = its.iter().filter_map(|fault| fault.lasts).max().unwrap_or_default() * 2;
        let span = shortest.max(longest).min(at - ended.min(at)).min(next.saturating_sub(at));
        first = faults.end;
        ended = its.iter().map(FaultPlan::end).fold(ended, Duration::max);
        let at = start + at;
        windows.push(FaultWindows {
            at,
            faults,
            quiet: (at - span, at),
            disturbed: (at, at + span),
        });
    }
    windows
}

#[cfg(test)]
mod tests;
