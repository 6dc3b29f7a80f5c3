//! The time that consumers need for a backlog, which was written before they were started.
//!
//! A record belongs to the backlog if it was due before the consumers were started. Its age depends on how long it was
//! left unread on purpose, so it is part of no latency, neither of the measured window nor of the warmup.
//!
//! A partition *has caught up* when every record of its backlog is processed, and a record of the load is processed
//! within 100 ms of its send. 100 ms is the age that counts as normal if no quiet window is known. If that record was
//! sent after all earlier ones were processed, the partition had caught up when the last of these was processed.

use super::Quiet;
use crate::base::Time;

/// The backlog of a partition, and the number of its records that are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogReading {
    /// Start of the consumers.
    pub(super) began: Time,
    /// Backlog records that the brokers have.
    pub(super) written: u64,
    /// Backlog records that are processed.
    read: u64,
    /// Records of the load that are processed.
    others: u64,
    /// Time at which the last record was processed.
    last: Time,
    /// Time at which the last record of the backlog was processed.
    pub(super) read_at: Option<Time>,
    caught_up_at: Option<Time>,
}

impl BacklogReading {
    /// A partition with `written` backlog records, whose consumer is started at `began`.
    pub fn new(written: u64, began: Time) -> BacklogReading {
        let (read, others, last) = (0, 0, began);
        BacklogReading { began, written, read, others, last, read_at: None, caught_up_at: None }
    }

    /// Notes a record that is processed for the first time. Returns true if it is part of the backlog.
    pub fn processed(&mut self, intended: Time, sent: Time, done: Time) -> bool {
        let is_its = intended < self.began;
        if is_its {
            self.read += 1;
            if self.read >= self.written {
                self.read_at.get_or_insert(done);
            }
        } else {
            self.others += 1;
            if self.read_at.is_some() && self.caught_up_at.is_none() {
                let is_young = done.since_ns(sent) <= Quiet::default().normal_age_ns();
                let idle_since = (sent > self.last).then_some(self.last);
                self.caught_up_at = idle_since.or(is_young.then_some(done));
            }
        }
        self.last = done;
        is_its
    }

    /// Time at which the partition had caught up. `is_complete` is true if every record that was sent is processed.
    pub(super) fn caught_up(&self, is_complete: bool) -> Option<Time> {
        let without_others = self.read_at.filter(|_| is_complete && self.others == 0);
        self.caught_up_at.or(without_others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Time {
        Time(ms * 1_000_000)
    }

    /// A backlog of three records, and those of the load as (sent, done) in ms.
    fn read(load: &[(i64, i64)]) -> BacklogReading {
        let mut reading = BacklogReading::new(3, ms(1_000));
        for k in 0..3 {
            assert!(reading.processed(ms(100 + k), ms(100 + k), ms(1_010 + 10 * k)));
        }
        for (sent, done) in load {
            assert!(!reading.processed(ms(*sent), ms(*sent), ms(*done)));
        }
        reading
    }

    #[test]
    fn a_partition_has_caught_up_when_a_record_of_the_load_is_young() {
        let reading = read(&[(1_005, 1_200), (1_100, 1_210), (1_150, 1_220), (1_215, 1_230)]);
        assert_eq!((reading.read_at, reading.caught_up(true)), (Some(ms(1_030)), Some(ms(1_220))));
    }

    #[test]
    fn nothing_is_left_from_the_last_record_on_if_the_next_is_sent_later() {
        assert_eq!(read(&[(4_000, 4_300)]).caught_up(true), Some(ms(1_030)));
        assert_eq!(read(&[(1_000, 1_300), (4_000, 4_900)]).caught_up(true), Some(ms(1_300)));
    }

    #[test]
    fn without_a_record_of_the_load_it_has_caught_up_with_the_last_of_the_backlog() {
        let reading = read(&[]);
        assert_eq!((reading.caught_up(true), reading.caught_up(false)), (Some(ms(1_030)), None));
        assert_eq!(read(&[(1_001, 9_000)]).caught_up(true), None, "old to the end");
        let mut half = BacklogReading::new(2, ms(10));
        half.processed(ms(1), ms(1), ms(20));
        half.processed(ms(15), ms(15), ms(21));
        assert_eq!((half.read_at, half.caught_up(true)), (None, None));
    }
}
