//! Time: the only place that reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant, in nanoseconds since the run's epoch. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    /// The run's epoch.
    pub const ZERO: Time = Time(0);
    /// Later than anything that happens in a run.
    pub const NEVER: Time = Time(i64::MAX);

    /// Nanoseconds from `earlier` to `self`; negative when `earlier` is in fact later.
    pub fn since_ns(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time left from `now` until `self`, zero when it has passed.
    pub fn remaining(self, now: Time) -> Duration {
        Duration::from_nanos(u64::try_from(self.since_ns(now)).unwrap_or(0))
    }

    /// Seconds since the epoch.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Milliseconds from `earlier` to `self`.
    pub fn ms_since(self, earlier: Time) -> f64 {
        self.since_ns(earlier) as f64 / 1e6
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, span: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, span: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.as_secs_f64())
    }
}

/// The monotonic clock of a run. Cheap to copy; every copy has the same epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    source: Source,
    epoch_unix_ns: i64,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Machine(Instant),
    Simulated(&'static AtomicI64),
}

/// The hand that moves a simulated clock. There is one per clock.
#[derive(Debug)]
pub struct ClockHand(&'static AtomicI64);

impl ClockHand {
    /// Moves every copy of the clock to `now`.
    #[inline]
    pub fn set(&mut self, now: Time) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock {
    /// A clock that shows what its hand says, beginning at the epoch, which is no instant of the wall clock.
    pub fn simulated() -> (Clock, ClockHand) {
        // Eight bytes for each simulation that are never given back are the price of a clock that can be
        // copied everywhere.
        let hand: &'static AtomicI64 = Box::leak(Box::default());
        (Clock { source: Source::Simulated(hand), epoch_unix_ns: 0 }, ClockHand(hand))
    }

    /// Starts a clock whose epoch is now.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the clock")]
    pub fn start() -> Clock {
        let since_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            source: Source::Machine(Instant::now()),
            epoch_unix_ns: i64::try_from(since_unix.as_nanos()).unwrap_or(0),
        }
    }

    /// Whether a hand moves it, and not the machine.
    pub fn is_simulated(&self) -> bool {
        matches!(self.source, Source::Simulated(_))
    }

    /// Nanoseconds since the epoch, monotonic.
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the clock")]
    pub fn now(&self) -> Time {
        match self.source {
            Source::Simulated(hand) => Time(hand.load(Ordering::Relaxed)),
            Source::Machine(origin) => {
                Time(Instant::now().saturating_duration_since(origin).as_nanos() as i64)
            }
        }
    }

    /// The wall-clock instant of the epoch, in nanoseconds since 1970-01-01T00:00:00Z; 0 when simulated.
    pub fn epoch_unix_ns(&self) -> i64 {
        self.epoch_unix_ns
    }

    /// The smallest step seen between two readings: the resolution of every latency.
    pub fn resolution(&self) -> Duration {
        let mut smallest_ns = i64::MAX;
        for _ in 0..64 {
            let start = self.now();
            let mut next = self.now();
            let mut reads = 0;
            while next == start && reads < 1_000_000 {
                next = self.now();
                reads += 1;
            }
            smallest_ns = smallest_ns.min(next.since_ns(start));
        }
        Duration::from_nanos(u64::try_from(smallest_ns).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_is_zero_once_the_instant_has_passed() {
        let deadline = Time(1_000);
        assert_eq!(deadline.remaining(Time(400)), Duration::from_nanos(600));
        assert_eq!(deadline.remaining(Time(1_500)), Duration::ZERO);
    }

    #[test]
    fn a_simulated_clock_shows_what_its_hand_says() {
        let ((clock, mut hand), (other, _)) = (Clock::simulated(), Clock::simulated());
        let copy = clock;
        hand.set(Time(7));
        assert_eq!((copy.now(), other.now()), (Time(7), Time::ZERO));
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
