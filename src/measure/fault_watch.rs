//! How a partition fares: its stalls, and what it was like before and after each fault.
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

/// A record that is processed for the first time, as its partition notes it.
#[derive(Clone, Copy, Debug)]
pub struct ProcessedRecord {
    /// Where it stood.
    pub offset: Offset,
    /// When it was sent; `None` of a record that carries no intact stamp.
    pub sent: Option<Time>,
    /// Processed - intended send, in nanoseconds; likewise.
    pub response_ns: Option<i64>,
    /// When its processing was done.
    pub done: Time,
}

/// What a processed record shows of its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFindings {
    /// The stall the record ended, in nanoseconds before it was done.
    pub stall_ns: i64,
    /// Age of the record in nanoseconds: how old the oldest unprocessed record became.
    pub age_ns: i64,
    /// Records that waited when it was sent, itself included; 0 when that is not watched.
    pub lag: u64,
    /// The occurrences of faults that have hit the partition, when this stall shows it.
    pub hit_by: Option<Range<usize>>,
}

/// A partition's figures before a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// Records processed.
    pub records: u64,
    /// Longest stall, in nanoseconds.
    pub stall_ns: i64,
    /// Largest age of an unprocessed record, in nanoseconds.
    pub age_ns: i64,
    /// Most records that waited at once.
    pub lag: u64,
    /// Response time p99, in nanoseconds; `None` without records.
    pub p99_ns: Option<u64>,
    /// Records slower than that.
    pub slow: u64,
    /// Whether its second half was like its first; `None` with too few records to tell.
    pub is_stable: Option<bool>,
}

/// A partition's figures around one instant with faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Before.
    pub quiet: Quiet,
    /// Longest stall from the fault on, in nanoseconds, cut to the window.
    pub stall_ns: i64,
    /// Records processed in the window.
    pub records: u64,
    /// Of these, slower than the partition's own quiet p99.
    pub slow: u64,
}

/// A stall is out of the ordinary beyond this, whatever the quiet time was like.
const STALL_NS: i64 = 100_000_000;
/// ... and beyond the longest quiet one times this.
const STALL_FACTOR: i64 = 3;
/// Shorter stalls are not looked at: they are the time a record takes.
const SHORTEST_STALL_NS: i64 = 1_000_000;
/// Fewer records in a quiet window say nothing about its p99.
const RECORDS_MIN: u64 = 20;
/// Share of the second half that may be slower than the first half's p99 (1 % is expected), and how many records
/// at least.
const DRIFT_SHARE: f64 = 0.05;
const DRIFT_RECORDS: u64 = 3;
/// A record this young is as good as processed: no partition is called not recovered for less.
const YOUNG_NS: i64 = 1_000_000;
/// With fewer quiet records than this, a partition counts as recovered at an age of [`STALL_NS`].
const AGES_MIN: u64 = 10;

impl Quiet {
    /// Whether a stall of `stall_ns` is out of the ordinary.
    pub fn is_exceeded_by(&self, stall_ns: i64) -> bool {
        stall_ns > STALL_NS.max(STALL_FACTOR * self.stall_ns)
    }

    /// The largest age of an unprocessed record that counts as normal, in nanoseconds.
    pub fn normal_age_ns(&self) -> i64 {
        self.age_ns.max(if self.records < AGES_MIN { STALL_NS } else { YOUNG_NS })
    }

    /// The most waiting records that count as normal: a single one is no backlog.
    pub fn normal_lag(&self) -> u64 {
        self.lag.max(1)
    }
}

impl Effect {
    /// Whether the partition stalled because of the fault.
    pub fn is_hit(&self) -> bool {
        self.quiet.is_exceeded_by(self.stall_ns)
    }
}

/// Watches one partition. See the module's documentation.
#[derive(Clone, Debug)]
pub struct FaultWatch {
    /// When the last record was processed; the start of the load before the first one.
    last: Time,
    /// The last instant at which the end-offset client saw nothing to read.
    empty: Time,
    /// The first instant since `last` at which it saw records wait.
    waits: Option<Time>,
    measured: (Time, Time),
    measured_stall_ns: i64,
    windows: Arc<[FaultWindows]>,
    /// Of each window whose faults have come.
    effects: Vec<Effect>,
    before: Before,
    backlog: Backlog,
    /// Over the whole run so far.
    ever: Quiet,
}

/// What is measured of the quiet window before the next fault.
#[derive(Clone, Debug, Default)]
struct Before {
    quiet: Quiet,
    responses: Latencies,
    /// p99 of its first half, and records of the second half: slower ones, and all.
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

    /// Enters a record into the quiet window it lies in, and into the disturbed one.
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

    /// Notes a stall. Returns the faults it shows to have hit the partition.
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

    /// The faults due until `now` have come: their quiet windows are over.
    pub fn reach(&mut self, now: Time) {
        while let Some(window) = self.windows.get(self.effects.len()).filter(|next| next.at <= now)
        {
            // What stands still across the fault did so before it as well.
            if let Some(from) = self.stands_still_since() {
                let stall_ns = overlap_ns((from, now), window.quiet);
                self.before.quiet.stall_ns = self.before.quiet.stall_ns.max(stall_ns);
            }
            let quiet = std::mem::take(&mut self.before).figures();
            self.effects.push(Effect { quiet, ..Effect::default() });
        }
    }

    /// Notes an answer of the end-offset client, asked at `asked` and entered at `now`: whether there is something
    /// to read.
    pub fn observed(&mut self, has_records: bool, asked: Time, now: Time) {
        if has_records {
            self.waits.get_or_insert(now);
        } else {
            self.empty = self.empty.max(asked);
            self.waits = None;
        }
    }

    /// Since when the partition is known to be stalled, if it is.
    pub fn stands_still_since(&self) -> Option<Time> {
        self.waits
    }

    /// Notes that the load has ended at `now`: a partition that is stalled has been so until now. Returns the
    /// faults that its stall shows to have hit it.
    pub fn end(&mut self, now: Time) -> Option<Range<usize>> {
        self.reach(now);
        let from = self.stands_still_since().filter(|from| *from < now)?;
        self.stalled(from, now)
    }

    /// Longest stall in the measured window, in nanoseconds; one under way lasts until `now`.
    pub fn longest_stall_ns(&self, now: Time) -> i64 {
        let open = self.waits.map_or(0, |from| overlap_ns((from, now), self.measured));
        self.measured_stall_ns.max(open)
    }

    /// The effect of occurrence number `fault`, once it was due.
    pub fn effect(&self, fault: usize) -> Option<&Effect> {
        self.effects.get(self.number(fault))
    }

    /// When occurrence number `fault` was due.
    pub fn fault_at(&self, fault: usize) -> Option<Time> {
        self.windows.get(self.number(fault)).map(|window| window.at)
    }

    /// The number of the window of occurrence number `fault`.
    fn number(&self, fault: usize) -> usize {
        self.windows.partition_point(|window| window.faults.end <= fault)
    }

    /// The figures before occurrence number `fault`; of an unplanned failure, those of the run so far.
    pub fn quiet(&self, fault: Option<usize>) -> Quiet {
        match fault {
            Some(fault) => self.effect(fault).map_or_else(Quiet::default, |effect| effect.quiet),
            // Records that wait are counted around planned faults only.
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

/// How long `span` lies within `window`, in nanoseconds.
fn overlap_ns(span: (Time, Time), window: (Time, Time)) -> i64 {
    span.1.min(window.1).since_ns(span.0.max(window.0)).max(0)
}

/// The times of a fault that are not a partition's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTimes {
    /// When it was injected.
    pub injected: Option<Time>,
    /// When it ended by itself, or a killed pool was back.
    pub ended: Option<Time>,
    /// When the supervisor was told that a pool had failed.
    pub detected: Option<Time>,
    /// When the last pool was released.
    pub fenced: Option<Time>,
    /// When a pool's replacement was started.
    pub restarted: Option<Time>,
    /// Targets that were not there to be hit, and why.
    pub missed: Vec<String>,
}

/// An instant at which faults are injected, and the two equally long stretches their effect is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultWindows {
    /// When the faults are due.
    pub at: Time,
    /// Which occurrences, by their positions in the plan.
    pub faults: Range<usize>,
    /// Before the faults: ends at `at`.
    pub quiet: (Time, Time),
    /// From the faults on: begins at `at`.
    pub disturbed: (Time, Time),
}

/// Longest stretch compared under explicit assignment.
const WINDOW_MAX: Duration = Duration::from_secs(10);

/// The windows of every instant with faults, in order, given the start of the load. A quiet window begins after
/// the faults before it have ended; a disturbed one ends before the next fault, so that no effect is read twice.
pub fn fault_windows(plan: &Plan, start: Time) -> Vec<FaultWindows> {
    let shortest = match &plan.consumers.membership {
        Membership::Assigned { .. } => WINDOW_MAX,
        // A crash is only noticed after the session timeout, and answered by a rebalance.
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
        // A fault that lasts longer is watched as long as it lasts, and as long again.
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
