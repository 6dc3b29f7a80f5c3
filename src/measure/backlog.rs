//! How many records of a partition wait, counted exactly at each send.

use std::collections::VecDeque;

use crate::base::{Offset, Time};

/// Entries kept. Beyond, every second one goes: the count is then too large by one record at most for each two
/// that are kept.
const ENTRIES_MAX: usize = 1 << 16;

/// Counts the records that were sent and not yet processed at the moments records were sent.
///
/// The count is known when a record is processed: its offset says how many records are before it, and the times
/// of earlier records say how many of those were processed when it was sent. Records that are never processed are
/// not in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog {
    /// Records processed later than the last one looked at was sent: when, and the offset behind each.
    recent: VecDeque<(Time, i64)>,
    /// The next offset to process when the last record looked at was sent.
    position: Option<i64>,
}

impl Backlog {
    /// Notes that the record at `offset`, sent at `sent`, is processed at `done`. Returns how many records of the
    /// partition waited when it was sent, itself included.
    pub(super) fn processed(&mut self, offset: Offset, sent: Time, done: Time) -> u64 {
        let Offset(offset) = offset;
        let mut position = *self.position.get_or_insert(offset);
        while let Some((_, next)) = self.recent.front().filter(|(at, _)| *at <= sent) {
            position = *next;
            self.recent.pop_front();
        }
        self.position = Some(position);
        if self.recent.len() >= ENTRIES_MAX {
            let mut keep = false;
            self.recent.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.recent.push_back((done, offset + 1));
        u64::try_from(offset + 1 - position).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn records_that_wait_for_each_other_are_counted_when_they_are_sent() {
        let mut backlog = Backlog::default();
        // Sent each 10 ms, the first three processed at once, then a stop until 100 ms.
        let mut waited = Vec::new();
        for k in 0..10 {
            let sent = ms(10 * k);
            let done = if k < 3 { sent + std::time::Duration::from_millis(1) } else { ms(100 + k) };
            waited.push(backlog.processed(Offset(k), sent, done));
        }
        assert_eq!(waited, [1, 1, 1, 1, 2, 3, 4, 5, 6, 7]);
        // Caught up: the next one waits alone.
        assert_eq!(backlog.processed(Offset(10), ms(200), ms(201)), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_count_stays_close() {
        let mut backlog = Backlog::default();
        let count = 3 * ENTRIES_MAX as i64;
        for k in 0..count {
            assert_eq!(backlog.processed(Offset(k), Time(k), Time(count + k)), k as u64 + 1);
            assert!(backlog.recent.len() <= ENTRIES_MAX);
        }
        let waits = backlog.processed(Offset(count), Time(count + count / 2), Time(3 * count));
        let exact = count as u64 / 2;
        assert!((exact..exact + 8).contains(&waits), "{waits} {exact}");
    }
}
