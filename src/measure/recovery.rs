//! The recovery of a partition after a fault.
//!
//! *Recovered* is the first moment from which the partition's lag and the age of its oldest unprocessed record are at
//! or below the largest of its quiet window, and stay there for one second or to the end of the load. It is sought
//! from the fault's last effect on: the release of its consumer, a stall that is out of the ordinary, or, of a fault
//! that lasts, any departure from the quiet figures while it does.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault_watch::{ProcessedRecord, Quiet, RecordFindings};
use crate::base::{ConsumerId, Time};

/// How long a partition has to be like before.
const HOLD: Duration = Duration::from_secs(1);

/// The recovery of one partition from one fault. Made when the fault is injected, when a stall shows that it has hit a
/// partition it was not aimed at, or, of an unplanned failure, when the partition is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryMark {
    /// Which occurrence, by its position in the plan; `None` for a failure that was not planned.
    pub fault: Option<usize>,
    /// Whether the fault was aimed at this partition.
    pub is_target: bool,
    /// The consumer that was hit, if it was one.
    pub consumer: Option<ConsumerId>,
    /// When the fault was injected; of an unplanned failure, when it was detected.
    pub since: Time,
    /// When the supervisor first learned of it.
    pub detected: Option<Time>,
    /// When the failed consumer was first fenced.
    pub fenced: Option<Time>,
    /// When the last replacement was started.
    pub restarted: Option<Time>,
    /// When the partition could be read again: its consumer has fetched, or a member has taken it over.
    pub ready: Option<Time>,
    /// When the fault ended by itself.
    pub ended: Option<Time>,
    /// When the first record after the fence, or after the fault ended, was processed.
    pub first_record: Option<Time>,
    /// Since when lag and age are at or below the quiet figures.
    pub normal_since: Option<Time>,
    /// When the partition had recovered.
    pub recovered: Option<Time>,
    /// Records processed again because of it.
    pub redelivered: u64,
    /// Largest lag until recovered, in records, as the end-offset client saw it.
    pub lag_peak: u64,
    /// Whether the partition's consumer was given up.
    pub given_up: bool,
    /// Whether the fault ends by itself, later than it began.
    pub lasts: bool,
    /// What the partition was like before.
    pub quiet: Quiet,
    /// Its lag 1, 2, 4, 8 ... seconds after the fault, as far as it was seen before it had recovered.
    pub lag_after: [Option<u64>; LAGS],
}

/// Powers of two of a second at which the lag is kept: the last one is after half an hour.
pub(super) const LAGS: usize = 12;

impl RecoveryMark {
    /// A mark for a partition that fault number `fault` has hit at `since` and that was like `quiet` before.
    pub fn new(
        fault: Option<usize>,
        consumer: Option<ConsumerId>,
        since: Time,
        quiet: Quiet,
    ) -> RecoveryMark {
        RecoveryMark {
            fault,
            is_target: true,
            consumer,
            since,
            detected: None,
            fenced: None,
            restarted: None,
            ready: None,
            ended: None,
            first_record: None,
            normal_since: Some(since),
            recovered: None,
            redelivered: 0,
            lag_peak: 0,
            given_up: false,
            lasts: false,
            quiet,
            lag_after: [None; LAGS],
        }
    }

    /// Whether the partition has not recovered, and still may.
    pub fn is_open(&self) -> bool {
        self.recovered.is_none() && !self.given_up
    }

    /// Whether its recovery is to be watched closely at `now`: it has not been as before for a while.
    pub fn is_under_way(&self, now: Time) -> bool {
        let holds = |since: Time| now.since_ns(since) > HOLD.as_nanos() as i64;
        self.is_open() && !self.normal_since.is_some_and(holds)
    }

    /// Whether it is fenced and waits for its replacement.
    pub fn awaits_restart(&self) -> bool {
        self.fenced.is_some() && self.restarted.is_none() && self.is_open()
    }

    /// Notes that the failed consumer was fenced; again, when its replacement failed as well.
    pub fn release(&mut self, now: Time) {
        self.fenced.get_or_insert(now);
        self.restarted = None;
        self.ready = None;
        self.first_record = None;
        self.normal_since = None;
        self.recovered = None;
    }

    /// Notes that the partition can be read again. Only then may it be as before.
    pub fn is_ready(&mut self, now: Time) {
        if self.fenced.is_some() && self.ready.is_none() {
            self.ready = Some(now);
            self.normal_since = Some(now);
        }
    }

    /// Notes that the commands of its fault have ended at `now`: only then is the fault over, and what was processed
    /// or looked as before until then does not belong to the recovery.
    pub fn commands_ended(&mut self, now: Time) {
        self.ended = Some(now);
        self.first_record = None;
        self.normal_since = self.normal_since.map(|since| since.max(now));
    }

    /// Notes that any record was processed at `now`, for the first time or again. What comes between a fault and its
    /// effect does not count.
    #[inline]
    pub fn read(&mut self, now: Time) {
        if self.first_record.is_none() && (self.fenced.is_some() || self.ended.is_some()) {
            self.first_record = Some(now);
        }
    }

    /// Whether its fault is one of those that have hit the partition.
    pub(super) fn is_hit(&self, hit_by: Option<&Range<usize>>) -> bool {
        hit_by.zip(self.fault).is_some_and(|(faults, own)| faults.contains(&own))
    }

    /// Notes a record that is processed for the first time, and what it told about the partition.
    pub fn processed(&mut self, record: &ProcessedRecord, step: &RecordFindings) {
        let done = record.done;
        if self.fenced.is_some() && self.ready.is_none() {
            // A group hands partitions out without asking.
            self.is_ready(done);
        }
        let is_hit = self.is_hit(step.hit_by.as_ref());
        let stalled_from = done - Duration::from_nanos(step.stall_ns.max(0) as u64);
        // A partition is not as before while the first records wait.
        let waited = self.ready.is_some_and(|ready| {
            self.normal_since == Some(ready) && record.sent.is_some_and(|sent| sent <= ready)
        });
        if waited {
            self.normal_since = Some(done);
        }
        let (age, lag) =
            (step.age_ns > self.quiet.normal_age_ns(), step.lag > self.quiet.normal_lag());
        if age || lag || is_hit {
            let sent = record.sent.unwrap_or(done);
            let old = sent + Duration::from_nanos(self.quiet.normal_age_ns().max(0) as u64);
            let from = if lag {
                sent
            } else if age {
                old
            } else {
                stalled_from
            };
            self.departs(from, done, is_hit);
        } else {
            self.holds_until(done);
        }
    }

    /// The partition was not as before from `from` to `to`.
    fn departs(&mut self, from: Time, to: Time, is_hit: bool) {
        self.holds_until(from);
        let still_lasts = self.lasts && self.ended.is_none_or(|ended| from < ended);
        if self.recovered.is_none() || is_hit || still_lasts {
            self.recovered = None;
            self.normal_since = self.normal_since.map(|_| to);
        }
    }

    /// The partition has been as before until `now`.
    fn holds_until(&mut self, now: Time) {
        let has_ended = !self.lasts || self.ended.is_some();
        if self.recovered.is_none()
            && has_ended
            && self.normal_since.is_some_and(|since| now.since_ns(since) >= HOLD.as_nanos() as i64)
        {
            self.recovered = self.normal_since;
        }
    }

    /// Notes an answer of the end-offset client at `now`: `lag` records are to be read.
    pub fn observe_lag(&mut self, lag: u64, now: Time) {
        if self.recovered.is_some() {
            return;
        }
        self.lag_peak = self.lag_peak.max(lag);
        let seconds = u64::try_from(now.since_ns(self.since)).unwrap_or(0) / 1_000_000_000;
        if let Some(at) = seconds.checked_ilog2()
            && let Some(kept) = self.lag_after.get_mut(at as usize)
        {
            kept.get_or_insert(lag);
        }
    }

    /// Notes that the load has ended at `now`. The partition has been stalled since `stalled_from`, if it is.
    pub fn end(&mut self, now: Time, stalled_from: Option<Time>, is_hit: bool) {
        if let Some(from) = stalled_from {
            let limit = Duration::from_nanos(self.quiet.normal_age_ns().max(0) as u64);
            if is_hit || from + limit < now {
                self.departs(from + limit, Time::NEVER, is_hit);
            }
        }
        let is_open = self.is_open() && (!self.lasts || self.ended.is_some());
        if is_open && self.normal_since.is_some_and(|since| since <= now) {
            self.recovered = self.normal_since;
        }
        if self.given_up || self.recovered.is_some_and(|at| at > now) {
            self.recovered = None;
        }
    }
}
