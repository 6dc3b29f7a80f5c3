//! Time: the only place that reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
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
    origin: Instant,
    epoch_unix_ns: i64,
}

impl Clock {
    /// Starts a clock whose epoch is now.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the clock")]
    pub fn start() -> Clock {
        let since_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            origin: Instant::now(),
            epoch_unix_ns: i64::try_from(since_unix.as_nanos()).unwrap_or(0),
        }
    }

    /// Nanoseconds since the epoch, monotonic.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the clock")]
    pub fn now(&self) -> Time {
        let since = Instant::now().saturating_duration_since(self.origin);
        Time(since.as_nanos() as i64)
    }

    /// The wall-clock instant of the epoch, in nanoseconds since 1970-01-01T00:00:00Z.
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
