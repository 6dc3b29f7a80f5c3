//! What a fault did to a partition, from injection to caught up.

use crate::base::{ConsumerId, Offset, Time};

/// The recovery of one partition from one fault. Made when the fault is put in, or, of a failure nobody
/// planned, when the partition is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryMark {
    /// Which occurrence, by its position in the plan; `None` for a failure nobody planned.
    pub fault: Option<usize>,
    /// The consumer that was hit, if it was one.
    pub consumer: Option<ConsumerId>,
    /// When the fault was put in; of an unplanned failure, when it was noticed.
    pub since: Time,
    /// When the supervisor first learned of it.
    pub detected: Option<Time>,
    /// When the old incarnation was first released.
    pub released: Option<Time>,
    /// When the last replacement was started.
    pub restarted: Option<Time>,
    /// When the fault was over by itself.
    pub healed: Option<Time>,
    /// When the first record after the release, or after the fault was over, was processed.
    pub first_record: Option<Time>,
    /// The end offset asked of the broker after the replacement started: where "caught up" is.
    pub target: Option<Offset>,
    /// When a record was processed again and the checkpoint had reached the target.
    pub caught_up: Option<Time>,
    /// Records processed again because of it.
    pub redelivered: u64,
    /// Largest lag seen by the oracle until caught up, in records.
    pub lag_peak: u64,
    /// Whether nobody is going to catch up: the consumer was given up.
    pub given_up: bool,
}

impl RecoveryMark {
    /// A mark for a partition that fault number `fault` has hit at `since`.
    pub fn new(fault: Option<usize>, consumer: Option<ConsumerId>, since: Time) -> RecoveryMark {
        RecoveryMark {
            fault,
            consumer,
            since,
            detected: None,
            released: None,
            restarted: None,
            healed: None,
            first_record: None,
            target: None,
            caught_up: None,
            redelivered: 0,
            lag_peak: 0,
            given_up: false,
        }
    }

    /// Whether the partition is still behind, and somebody is at it.
    pub fn is_open(&self) -> bool {
        self.caught_up.is_none() && !self.given_up
    }

    /// Whether it is released and waits for its replacement.
    pub fn awaits_restart(&self) -> bool {
        self.released.is_some() && self.restarted.is_none() && self.is_open()
    }

    /// Notes that the old incarnation was released; again, when its replacement failed as well.
    pub fn release(&mut self, now: Time) {
        self.released.get_or_insert(now);
        self.restarted = None;
        self.target = None;
        self.first_record = None;
    }

    /// Notes that a record was processed at `now`. What comes between a fault and its effect does not count.
    #[inline]
    pub fn processed(&mut self, now: Time) {
        if self.first_record.is_none() && (self.released.is_some() || self.healed.is_some()) {
            self.first_record = Some(now);
        }
    }

    /// Notes that the checkpoint is at `next_offset` at `now`.
    pub fn advanced(&mut self, next_offset: Offset, now: Time) {
        if self.caught_up.is_none() && self.target.is_some_and(|target| next_offset >= target) {
            self.caught_up = Some(now);
        }
    }

    /// Notes the oracle's answer: the partition's end is `end` while the checkpoint is at `next_offset`.
    /// The first answer after the restart, or after the fault was over, becomes the target.
    pub fn end_offset(&mut self, end: Offset, next_offset: Offset, now: Time) {
        if self.caught_up.is_some() {
            return;
        }
        self.lag_peak = self.lag_peak.max(u64::try_from(end.0 - next_offset.0).unwrap_or(0));
        let goes_on =
            if self.released.is_some() { self.restarted.is_some() } else { self.healed.is_some() };
        if goes_on && self.target.is_none() {
            self.target = Some(end);
            if let Some(first) = self.first_record.filter(|_| next_offset >= end) {
                self.caught_up = Some(first.max(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> RecoveryMark {
        let (released, restarted) = (Some(Time(1)), Some(Time(2)));
        RecoveryMark { released, restarted, ..RecoveryMark::new(Some(0), None, Time(0)) }
    }

    #[test]
    fn caught_up_is_when_the_end_seen_after_the_restart_is_reached() {
        let mut mark = mark();
        mark.end_offset(Offset(110), Offset(100), Time(3));
        mark.first_record = Some(Time(4));
        mark.advanced(Offset(105), Time(5));
        mark.end_offset(Offset(130), Offset(105), Time(6));
        assert_eq!((mark.caught_up, mark.lag_peak), (None, 25));
        mark.advanced(Offset(110), Time(7));
        assert_eq!(mark.caught_up, Some(Time(7)));
    }

    #[test]
    fn a_partition_that_was_given_up_is_not_recovering() {
        let mark = RecoveryMark { given_up: true, ..mark() };
        assert!(!mark.is_open());
    }

    #[test]
    fn nobody_has_caught_up_before_processing_a_record() {
        let mut mark = mark();
        mark.end_offset(Offset(100), Offset(100), Time(3));
        assert!(mark.is_open());
        mark.first_record = Some(Time(9));
        mark.advanced(Offset(101), Time(9));
        assert_eq!(mark.caught_up, Some(Time(9)));
    }

    #[test]
    fn records_before_a_panic_or_before_a_stall_is_over_are_not_the_first() {
        let mut mark = RecoveryMark::new(Some(0), None, Time(1));
        mark.processed(Time(2));
        mark.end_offset(Offset(50), Offset(10), Time(3));
        assert_eq!((mark.first_record, mark.target, mark.lag_peak), (None, None, 40));
        mark.healed = Some(Time(4));
        mark.processed(Time(5));
        mark.end_offset(Offset(60), Offset(11), Time(6));
        assert_eq!((mark.first_record, mark.target), (Some(Time(5)), Some(Offset(60))));
    }

    #[test]
    fn a_replacement_that_fails_as_well_begins_anew() {
        let mut mark = mark();
        mark.end_offset(Offset(100), Offset(90), Time(3));
        mark.release(Time(4));
        assert!(mark.awaits_restart());
        assert_eq!((mark.released, mark.target), (Some(Time(1)), None));
        mark.restarted = Some(Time(5));
        mark.end_offset(Offset(120), Offset(90), Time(6));
        assert_eq!(mark.target, Some(Offset(120)));
    }
}
