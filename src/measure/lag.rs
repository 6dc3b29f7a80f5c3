//! The lag of consumers: end offset minus position, waiting records, and the decision whether a partition keeps up.
//!
//! The lag is the end offset, which an independent client asks of the broker, minus the next offset to process. The end
//! offsets in fetch responses are not used, because they become stale exactly when a fetch hangs.
//!
//! A partition *does not keep up* if three things are true of the last quarter of the measured window. Every record
//! waited longer than a limit. The number of waiting records grew by more than 1 % of the records sent. The shortest
//! wait was longer in the second half of the quarter than in the first, by more than 1 % of such a half. A backlog that
//! shrinks, a crash shortly before the end, and a slow but steady path through the cluster do not meet all three. If
//! records arrive in bursts, the number at one moment depends on the time of the last burst. Therefore the third
//! condition is needed.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Offset, Time};

/// A partition's lag over the run, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// The lag at the last answer, in records.
    pub last: u64,
    /// The largest lag in the measured window, in records.
    pub max: u64,
    /// The end offset in the last answer.
    pub end: Option<Offset>,
    /// Time at which the last answer was entered.
    pub asked: Option<Time>,
}

impl Lag {
    /// Notes that the partition ends at `end`, and `next` is the next offset to process.
    pub fn observe(&mut self, end: Offset, next: Offset, now: Time, window: (Time, Time)) {
        self.last = u64::try_from(end.0 - next.0).unwrap_or(0);
        self.end = Some(end);
        self.asked = Some(now);
        if now >= window.0 && now < window.1 {
            self.max = self.max.max(self.last);
        }
    }

    /// True if records have waited since `from` and none was processed. `last_done` is the time at which the last
    /// record was processed. A record that was processed after the last answer may have been the one that waited.
    pub fn is_stalled(&self, last_done: Option<Time>, from: Time) -> bool {
        let Some(asked) = self.asked.filter(|_| self.last > 0) else { return false };
        last_done.is_none_or(|done| done < asked && done < from)
    }
}

/// Entries kept. When there are more, every second one is removed. The count may then be one record too large for each
/// two entries that are kept.
const ENTRIES_MAX: usize = 1 << 16;

/// Counts, at the time of each send, the records that were sent before and not processed.
///
/// The count of a record is known when it is processed. Its offset gives the number of records before it, and the times
/// of earlier records give the number of those that were processed when it was sent. Records that are never processed
/// are not counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog {
    /// Records that were processed later than the last record was sent: the time, and the offset after each.
    recent: VecDeque<(Time, i64)>,
    /// The next offset to process at the time when the last record was sent.
    position: Option<i64>,
}

impl Backlog {
    /// Notes that the record at `offset`, sent at `sent`, is processed at `done`. Returns the number of the partition's
    /// records that waited when it was sent, itself included.
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

/// Largest age that is always normal. In a short window it is a twentieth of the window.
const AGE_MAX: Duration = Duration::from_secs(1);
const AGE_SHARE: u32 = 20;
/// Largest growth that may be chance: of the records sent, and of the time in which they wait.
const GROWTH_MAX: f64 = 0.01;

/// The counts of one partition at both ends of the measured window's last quarter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarter {
    ends: (Time, Time),
    /// The count at each end, once that was reached.
    counts: [Option<u64>; 2],
}

impl Quarter {
    /// The last quarter of a measured window.
    pub fn of(measured: (Time, Time)) -> Quarter {
        let length = measured.1.since_ns(measured.0).max(0);
        Quarter { ends: (Time(measured.1.0 - length / 4), measured.1), counts: [None; 2] }
    }

    /// Notes that something is counted at `now`, with the count `before` until then.
    #[inline]
    pub fn count(&mut self, before: u64, now: Time) {
        if now < self.ends.0 {
            return;
        }
        self.counts[0].get_or_insert(before);
        if now >= self.ends.1 {
            self.counts[1].get_or_insert(before);
        }
    }

    /// Length of a half of the quarter, in nanoseconds.
    fn half_ns(&self) -> i64 {
        self.ends.1.since_ns(self.ends.0) / 2
    }

    /// Growth of the count in the quarter, with `last` as its last value.
    pub fn growth(&self, last: u64) -> u64 {
        let [from, to] = self.counts.map(|count| count.unwrap_or(last));
        to - from
    }
}

/// The counts that decide whether the consumer of one partition keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepUp {
    /// Distinct records processed.
    pub processed: Quarter,
    /// True if a record was processed in the quarter that had not waited long.
    had_young: bool,
    age_max_ns: i64,
    /// The shortest wait of a record that was processed in each half of the quarter, in nanoseconds.
    shortest_ns: [Option<i64>; 2],
}

impl KeepUp {
    /// Watches the last quarter of the `measured` window.
    pub fn new(measured: (Time, Time)) -> KeepUp {
        let length = Duration::from_nanos(measured.1.since_ns(measured.0).max(0) as u64);
        let age_max_ns = AGE_MAX.min(length / AGE_SHARE).as_nanos() as i64;
        let processed = Quarter::of(measured);
        KeepUp { processed, had_young: false, age_max_ns, shortest_ns: [None; 2] }
    }

    /// Notes a record, sent at `sent`, that is processed at `done` after `before` others.
    #[inline]
    pub fn processed(&mut self, before: u64, sent: Time, done: Time) {
        if done < self.processed.ends.0 {
            return;
        }
        self.processed.count(before, done);
        if done >= self.processed.ends.1 {
            return;
        }
        let age_ns = done.since_ns(sent);
        self.had_young |= age_ns <= self.age_max_ns;
        let half = usize::from(done.since_ns(self.processed.ends.0) >= self.processed.half_ns());
        let shortest_ns = &mut self.shortest_ns[half];
        *shortest_ns = Some(shortest_ns.map_or(age_ns, |so_far| so_far.min(age_ns)));
    }

    /// True if the shortest wait was longer in the second half of the quarter than in the first, by more than 1 % of a
    /// half. Also true if a half has no record.
    fn ages(&self) -> bool {
        match self.shortest_ns {
            [Some(first), Some(second)] => {
                second - first > (self.processed.half_ns() as f64 * GROWTH_MAX) as i64
            }
            _ => true,
        }
    }

    /// True if the partition keeps up. `sent` records were sent in the quarter, `delivered` were processed in total,
    /// and `never` of those sent will not be processed.
    pub fn holds(&self, sent: u64, delivered: u64, never: u64) -> bool {
        let kept_pace = self.processed.growth(delivered) + never;
        let grew = sent.saturating_sub(kept_pace);
        self.had_young || grew as f64 <= sent as f64 * GROWTH_MAX || !self.ages()
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
            let done = if k < 3 { sent + Duration::from_millis(1) } else { ms(100 + k) };
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

    #[test]
    fn a_partition_is_stalled_when_records_waited_and_none_was_processed() {
        let mut lag = Lag::default();
        let window = (ms(0), ms(10_000));
        assert!(!lag.is_stalled(None, ms(1_000)), "the broker was not asked");
        lag.observe(Offset(10), Offset(10), ms(1_500), window);
        assert!(!lag.is_stalled(Some(ms(100)), ms(1_000)), "nothing waits");
        lag.observe(Offset(12), Offset(10), ms(1_500), window);
        assert!(lag.is_stalled(Some(ms(100)), ms(1_000)));
        assert!(lag.is_stalled(None, ms(1_000)), "nothing was ever processed");
        assert!(!lag.is_stalled(Some(ms(1_200)), ms(1_000)), "processed in the interval");
        assert!(!lag.is_stalled(Some(ms(1_600)), ms(1_700)), "processed after the answer");
    }

    /// Records sent each 10 ms for 40 s, each done `wait(k)` ms later.
    fn kept_up(wait: impl Fn(i64) -> i64) -> bool {
        let measured = (ms(0), ms(40_000));
        let (mut keep, mut sent) = (KeepUp::new(measured), Quarter::of(measured));
        let mut delivered = 0;
        for k in 0..4_000 {
            let at = ms(10 * k);
            sent.count(k as u64, at);
            let done = at + Duration::from_millis(wait(k) as u64);
            keep.processed(delivered, at, done);
            delivered += 1;
        }
        keep.holds(sent.growth(4_000), delivered, 0)
    }

    #[test]
    fn only_a_backlog_that_grows_to_the_end_is_a_failure_to_keep_up() {
        assert!(kept_up(|_| 2), "fast");
        assert!(kept_up(|_| 3_000), "slow but steady");
        assert!(!kept_up(|k| k * 2), "each record takes 12 ms and one comes each 10 ms");
        assert!(kept_up(|k| 20_000 - (k - 1_000).max(0) * 5), "a backlog is worked off");
        assert!(
            kept_up(|k| if k > 3_800 { 40_000 - 10 * k } else { 2 }),
            "stops shortly before the end"
        );
        assert!(!kept_up(|k| if k < 3_000 { 2_000 } else { 12_000 }), "stops before the quarter");
    }

    /// Bursts of 1.6 s that have been on their way for 1.3 s when the first of their records is processed: the window
    /// ends right before one, wherever the quarter begins.
    #[test]
    fn bursts_that_come_late_are_no_failure_to_keep_up_while_they_do_not_come_later_and_later() {
        let burst = |offset: i64, later: i64| {
            move |k: i64| {
                let (at, length) = (10 * k + offset, 1_600);
                (at / length + 1) * length - at + 1_300 + later * k
            }
        };
        for offset in (0..1_600).step_by(100) {
            assert!(kept_up(burst(offset, 0)), "{offset}");
            assert!(!kept_up(burst(offset, 1)), "later and later: {offset}");
        }
    }
}
