//! What a fault did to a partition, from injection to caught up.

use crate::base::{Offset, Time};

/// The recovery of one partition from one fault. Made when the partition is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryMark {
    /// Which fault, by its position in the plan; `None` for a failure nobody planned.
    pub fault: Option<usize>,
    /// When the old incarnation was released.
    pub released: Time,
    /// When the replacement was started.
    pub restarted: Option<Time>,
    /// When the first record after the release was processed.
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
    /// A mark for a partition released at `released`.
    pub fn new(fault: Option<usize>, released: Time) -> RecoveryMark {
        RecoveryMark {
            fault,
            released,
            restarted: None,
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

    /// Notes that the checkpoint is at `next_offset` at `now`.
    pub fn advanced(&mut self, next_offset: Offset, now: Time) {
        if self.caught_up.is_none() && self.target.is_some_and(|target| next_offset >= target) {
            self.caught_up = Some(now);
        }
    }

    /// Notes the oracle's answer: the partition's end is `end` while the checkpoint is at `next_offset`.
    /// The first answer after the restart becomes the target.
    pub fn end_offset(&mut self, end: Offset, next_offset: Offset, now: Time) {
        if self.caught_up.is_some() {
            return;
        }
        self.lag_peak = self.lag_peak.max(u64::try_from(end.0 - next_offset.0).unwrap_or(0));
        if self.restarted.is_some() && self.target.is_none() {
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
        RecoveryMark { restarted: Some(Time(2)), ..RecoveryMark::new(Some(0), Time(1)) }
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
}
