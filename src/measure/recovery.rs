//! The recovery of a partition after a fault.
//!
//! *Recovered* is the first moment from which the partition's lag and the age of its oldest unprocessed record are
//! normal: at or below the largest of its quiet window, for one second or to the end of the load. The search starts at
//! the fault's last effect. Effects are the release of the consumer and a stall that is not ordinary. While a fault
//! lasts, any departure from the quiet figures is an effect too.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault_watch::{ProcessedRecord, Quiet, RecordFindings};
use crate::base::{ConsumerId, Time};

/// Time for which a partition must be normal to count as recovered.
const HOLD: Duration = Duration::from_secs(1);

/// The recovery of one partition from one fault. The mark of a planned fault is created when it is injected, or when a
/// stall shows that it has hit a partition at which it was not aimed. The mark of an unplanned failure is created when
/// the partition is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryMark {
    /// The occurrence, by its position in the plan; `None` for an unplanned failure.
    pub fault: Option<usize>,
    /// True if the fault was aimed at this partition.
    pub is_target: bool,
    /// The consumer that was hit; `None` if the fault hit no consumer.
    pub consumer: Option<ConsumerId>,
    /// Injection of the fault, or detection of an unplanned failure.
    pub since: Time,
    /// Time at which the supervisor first noticed the failure.
    pub detected: Option<Time>,
    /// Time at which the failed consumer was first fenced.
    pub fenced: Option<Time>,
    /// Start of the last replacement.
    pub restarted: Option<Time>,
    /// Time at which the partition could be read again: its consumer has fetched, or a member has taken it over.
    pub ready: Option<Time>,
    /// End of the fault by itself.
    pub ended: Option<Time>,
    /// Time at which the first record after the fence, or after the end of the fault, was processed.
    pub first_record: Option<Time>,
    /// Time since which lag and age are normal; `None` while the partition is fenced and not readable.
    pub normal_since: Option<Time>,
    /// Time of the recovery; `None` before it.
    pub recovered: Option<Time>,
    /// Records processed again because of the fault.
    pub redelivered: u64,
    /// Largest lag before the recovery, in records, as seen by the end-offset client.
    pub lag_peak: u64,
    /// True if the partition's consumer was given up.
    pub given_up: bool,
    /// True if the fault lasts and ends by itself.
    pub lasts: bool,
    /// The partition's figures before the fault.
    pub quiet: Quiet,
    /// The lag 1, 2, 4, 8 ... seconds after the fault; `None` where it was not seen before the recovery.
    pub lag_after: [Option<u64>; LAGS],
}

/// Number of times at which the lag is kept, at powers of two of a second. The last one is after about half an hour.
pub(super) const LAGS: usize = 12;

impl RecoveryMark {
    /// A mark for a partition that occurrence `fault` hit at `since` and that had the figures `quiet` before.
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

    /// True if the partition has not recovered and its consumer was not given up.
    pub fn is_open(&self) -> bool {
        self.recovered.is_none() && !self.given_up
    }

    /// True if the partition is not recovered and has not been normal for more than one second at `now`.
    pub fn is_under_way(&self, now: Time) -> bool {
        let holds = |since: Time| now.since_ns(since) > HOLD.as_nanos() as i64;
        self.is_open() && !self.normal_since.is_some_and(holds)
    }

    /// True if the partition is fenced and waits for the replacement of its consumer.
    pub fn awaits_restart(&self) -> bool {
        self.fenced.is_some() && self.restarted.is_none() && self.is_open()
    }

    /// Notes that the failed consumer was fenced. Called again if its replacement fails as well.
    pub fn release(&mut self, now: Time) {
        self.fenced.get_or_insert(now);
        self.restarted = None;
        self.ready = None;
        self.first_record = None;
        self.normal_since = None;
        self.recovered = None;
    }

    /// Notes that a fenced partition can be read again. It counts as normal from then at the earliest.
    pub fn is_ready(&mut self, now: Time) {
        if self.fenced.is_some() && self.ready.is_none() {
            self.ready = Some(now);
            self.normal_since = Some(now);
        }
    }

    /// Notes that the commands of the fault have ended at `now`, and with them the fault. Records processed before
    /// `now` do not belong to the recovery.
    pub fn commands_ended(&mut self, now: Time) {
        self.ended = Some(now);
        self.first_record = None;
        self.normal_since = self.normal_since.map(|since| since.max(now));
    }

    /// Notes that a record was processed at `now`, for the first time or again. Records between a fault and its effect
    /// do not count.
    #[inline]
    pub fn read(&mut self, now: Time) {
        if self.first_record.is_none() && (self.fenced.is_some() || self.ended.is_some()) {
            self.first_record = Some(now);
        }
    }

    /// True if this mark's fault is in `hit_by`, the faults that have hit the partition.
    pub(super) fn is_hit(&self, hit_by: Option<&Range<usize>>) -> bool {
        hit_by.zip(self.fault).is_some_and(|(faults, own)| faults.contains(&own))
    }

    /// Notes a record that is processed for the first time, with its findings about the partition.
    pub fn processed(&mut self, record: &ProcessedRecord, step: &RecordFindings) {
        let done = record.done;
        if self.fenced.is_some() && self.ready.is_none() {
            // The next owner in a group may process a record before it is noted as ready.
            self.is_ready(done);
        }
        let is_hit = self.is_hit(step.hit_by.as_ref());
        let stalled_from = done - Duration::from_nanos(step.stall_ns.max(0) as u64);
        // The partition is not normal while records that waited for its consumer are processed.
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

    /// Notes that the partition was not normal from `from` to `to`.
    fn departs(&mut self, from: Time, to: Time, is_hit: bool) {
        self.holds_until(from);
        let still_lasts = self.lasts && self.ended.is_none_or(|ended| from < ended);
        if self.recovered.is_none() || is_hit || still_lasts {
            self.recovered = None;
            self.normal_since = self.normal_since.map(|_| to);
        }
    }

    /// Notes that the partition has been normal until `now`.
    fn holds_until(&mut self, now: Time) {
        let has_ended = !self.lasts || self.ended.is_some();
        if self.recovered.is_none()
            && has_ended
            && self.normal_since.is_some_and(|since| now.since_ns(since) >= HOLD.as_nanos() as i64)
        {
            self.recovered = self.normal_since;
        }
    }

    /// Notes an answer of the end-offset client, entered at `now`, with the partition's lag in records.
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

    /// Notes the end of the load at `now`. `stalled_from` is the start of the current stall; `None` without one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Offset;

    fn ms(ms: i64) -> Time {
        Time(ms * 1_000_000)
    }

    /// A mark since 0 of a partition with ages up to 10 ms and up to 3 waiting records.
    fn mark() -> RecoveryMark {
        let quiet = Quiet { records: 100, age_ns: 10_000_000, lag: 3, ..Quiet::default() };
        RecoveryMark::new(Some(4), None, Time::ZERO, quiet)
    }

    /// A record with these times of send and end in milliseconds, which was the only one to wait.
    fn processed(mark: &mut RecoveryMark, sent: i64, done: i64) {
        processed_as(mark, (sent, done), 1, None);
    }

    /// A record that is one of `lag` waiting ones, or that shows the faults that have hit the partition.
    fn processed_as(
        mark: &mut RecoveryMark,
        (sent, done): (i64, i64),
        lag: u64,
        hit_by: Option<Range<usize>>,
    ) {
        let record = ProcessedRecord {
            offset: Offset(0),
            sent: Some(ms(sent)),
            response_ns: None,
            done: ms(done),
        };
        let age_ns = ms(done).since_ns(ms(sent));
        mark.processed(&record, &RecordFindings { stall_ns: age_ns, age_ns, lag, hit_by });
    }

    #[test]
    fn it_is_watched_until_the_partition_was_as_before_for_more_than_a_second() {
        let mut mark = mark();
        assert!(mark.is_under_way(ms(1_000)));
        assert!(!mark.is_under_way(ms(1_001)) && !mark.is_under_way(ms(5_000)));
        mark.release(ms(2_000));
        assert!(mark.is_under_way(ms(5_000)));
        mark.given_up = true;
        assert!(!mark.is_under_way(ms(5_000)));
    }

    #[test]
    fn a_partition_has_recovered_when_ages_and_lag_stay_normal_for_a_second() {
        for (age, lag, departs) in [(11, 1, true), (10, 4, true), (10, 3, false)] {
            let mut mark = mark();
            processed_as(&mut mark, (500, 500 + age), lag, None);
            let since = if departs { 500 + age } else { 0 };
            processed(&mut mark, since + 999, since + 999);
            assert_eq!(mark.recovered, None, "{age} {lag}");
            processed(&mut mark, since + 1_000, since + 1_000);
            assert_eq!(mark.recovered, Some(ms(since)), "{age} {lag}");
        }
    }

    #[test]
    fn a_partition_that_has_recovered_departs_again_by_its_own_fault_only() {
        let mut mark = mark();
        processed(&mut mark, 1_000, 1_000);
        processed(&mut mark, 1_500, 1_600);
        processed_as(&mut mark, (1_600, 1_601), 1, Some(5..6));
        assert_eq!(mark.recovered, Some(Time::ZERO));
        processed_as(&mut mark, (1_700, 1_705), 1, Some(3..5));
        assert_eq!((mark.recovered, mark.normal_since), (None, Some(ms(1_705))));
    }

    #[test]
    fn while_its_fault_lasts_a_partition_does_not_recover() {
        let mut mark = mark();
        mark.lasts = true;
        processed(&mut mark, 1_500, 1_500);
        assert_eq!(mark.recovered, None);
        mark.commands_ended(ms(1_600));
        assert_eq!((mark.first_record, mark.normal_since), (None, Some(ms(1_600))));
        mark.read(ms(1_700));
        mark.read(ms(1_800));
        assert_eq!(mark.first_record, Some(ms(1_700)));
        processed(&mut mark, 2_599, 2_599);
        assert_eq!(mark.recovered, None);
        processed(&mut mark, 2_600, 2_600);
        assert_eq!(mark.recovered, Some(ms(1_600)));
    }

    #[test]
    fn behind_a_fence_a_partition_is_not_as_before_while_the_first_records_wait() {
        let mut mark = mark();
        mark.release(ms(100));
        assert!(mark.awaits_restart());
        mark.restarted = Some(ms(150));
        assert!(!mark.awaits_restart());
        mark.is_ready(ms(200));
        mark.is_ready(ms(250));
        assert_eq!((mark.ready, mark.normal_since), (Some(ms(200)), Some(ms(200))));
        // The record has waited since before the partition could be read.
        processed(&mut mark, 200, 205);
        assert_eq!(mark.normal_since, Some(ms(205)));
        processed(&mut mark, 201, 206);
        assert_eq!(mark.normal_since, Some(ms(205)));
        processed(&mut mark, 1_205, 1_205);
        assert_eq!(mark.recovered, Some(ms(205)));
        // The replacement fails as well. The time of the first fence stays.
        mark.release(ms(1_300));
        assert_eq!((mark.fenced, mark.ready, mark.recovered), (Some(ms(100)), None, None));
    }

    #[test]
    fn at_the_end_a_stall_that_is_no_longer_than_normal_ages_is_none() {
        for (stalled_from, is_hit, recovered) in [
            (None, false, Some(ms(1_500))),
            (Some(1_990), false, Some(ms(1_500))),
            (Some(1_989), false, None),
            (Some(1_990), true, None),
        ] {
            let mut mark = mark();
            mark.normal_since = Some(ms(1_500));
            mark.end(ms(2_000), stalled_from.map(ms), is_hit);
            assert_eq!(mark.recovered, recovered, "{stalled_from:?} {is_hit}");
        }
        let mut given_up = mark();
        given_up.given_up = true;
        given_up.end(ms(2_000), None, false);
        assert_eq!(given_up.recovered, None);
        let mut lasting = mark();
        lasting.lasts = true;
        lasting.end(ms(2_000), None, false);
        assert_eq!(lasting.recovered, None);
    }

    #[test]
    fn the_first_lag_from_each_power_of_two_on_is_kept_until_it_has_recovered() {
        let mut mark = mark();
        for (at, lag) in [(999, 9), (1_000, 8), (1_999, 7), (2_500, 6), (3_999, 5), (4_000, 4)] {
            mark.observe_lag(lag, ms(at));
        }
        assert_eq!(mark.lag_after[..4], [Some(8), Some(6), Some(4), None]);
        mark.recovered = Some(ms(4_500));
        mark.observe_lag(100, ms(8_000));
        assert_eq!((mark.lag_peak, mark.lag_after[3]), (9, None));
    }
}
