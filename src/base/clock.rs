//! Time: the only module that reads a clock.
//!
//! Also the seed tree: every random decision comes from a named branch of one root seed.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// An instant, in nanoseconds since the run's epoch. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time(pub i64);

impl Time {
    /// The run's epoch.
    pub const ZERO: Time = Time(0);
    /// Later than all events of a run.
    pub const NEVER: Time = Time(i64::MAX);

    /// Nanoseconds from `earlier` to `self`; negative if `earlier` is later than `self`.
    pub fn since_ns(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Time left from `now` until `self`; zero if it has passed.
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

/// The clock of a run: monotonic time of the machine, or virtual time. Copies have the same epoch.
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

/// Sets the time of a simulated clock. Each clock has one driver.
#[derive(Debug)]
pub struct VirtualClockDriver(&'static AtomicI64);

impl VirtualClockDriver {
    /// Moves every copy of the clock to `now`.
    #[inline]
    pub fn set(&mut self, now: Time) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock {
    /// A simulated clock at its epoch, and the driver that sets it. The epoch is no instant of the wall clock.
    pub fn simulated() -> (Clock, VirtualClockDriver) {
        // Each simulation leaks these eight bytes, so that the clock is `Copy` without a lifetime.
        let hand: &'static AtomicI64 = Box::leak(Box::default());
        (Clock { source: Source::Simulated(hand), epoch_unix_ns: 0 }, VirtualClockDriver(hand))
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

    /// True if a driver sets the time, and not the machine.
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

    /// An instant of the run as wall-clock time (RFC 3339, UTC, milliseconds); `None` if simulated.
    pub fn wall_clock(&self, at: Time) -> Option<String> {
        if self.is_simulated() {
            return None;
        }
        let ns = i128::from(self.epoch_unix_ns) + i128::from(at.0);
        let timestamp = jiff::Timestamp::from_nanosecond(ns).ok()?;
        Some(format!("{timestamp:.3}"))
    }

    /// The same clock with an epoch that is `by_ns` nanoseconds earlier, so that its times are larger by that.
    #[must_use]
    pub fn with_earlier_epoch(self, by_ns: i64) -> Clock {
        let span = Duration::from_nanos(by_ns.unsigned_abs());
        let source = match self.source {
            Source::Machine(origin) if by_ns >= 0 => {
                Source::Machine(origin.checked_sub(span).unwrap_or(origin))
            }
            Source::Machine(origin) => Source::Machine(origin + span),
            simulated => simulated,
        };
        Clock { source, epoch_unix_ns: self.epoch_unix_ns - by_ns }
    }

    /// The clock's epoch on the clock that all processes of the machine share, in nanoseconds, with the error bound.
    /// `None` if the system has no such clock.
    pub fn epoch_on_machine(&self) -> Option<(i64, i64)> {
        let reading = |_| {
            let before = self.now();
            let machine_ns = machine_ns()?;
            let took = self.now().since_ns(before);
            Some((machine_ns - before.0 - took / 2, took / 2 + 1))
        };
        // The reading that took least time is the most accurate one.
        (0..32).filter_map(reading).min_by_key(|(_, bound)| *bound)
    }

    /// The smallest difference between two readings: the resolution of every latency.
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

/// The machine's monotonic time in nanoseconds, which is the same in every process on it.
#[cfg(unix)]
fn machine_ns() -> Option<i64> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.checked_mul(1_000_000_000)?.checked_add(time.tv_nsec)
}

#[cfg(not(unix))]
fn machine_ns() -> Option<i64> {
    None
}

/// Identifies the clock that all processes of this machine share: the id of its boot, and the time namespace. `None` if
/// the system does not report them. So two machines never have the same identifier.
pub fn machine_clock() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/time").ok();
    let namespace = namespace.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    Some(format!("{} {namespace}", boot.trim()).trim_end().to_owned())
}

/// A node of the seed tree. Children are independent of each other, and of the order in which they are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The branch `name`, number `index`.
    pub fn child(self, name: &str, index: u64) -> Seed {
        let named = name
            .bytes()
            .fold(self.0 ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| mix(hash ^ u64::from(byte)));
        Seed(mix(named ^ mix(index.wrapping_add(0x632b_e59b_d9b4_e019))))
    }

    /// The random stream of this node.
    pub fn random(self) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(self.0))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of random numbers (xoshiro256++).
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift (Lemire 2019) without the rejection step: the bias is below 2^-40
        // for every bound used here.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with the given mean (inverse transform).
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
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

    #[test]
    fn branches_differ_by_name_index_and_root() {
        let root = Seed(1);
        assert_eq!(root.child("phase", 3), root.child("phase", 3));
        assert_ne!(root.child("phase", 3), root.child("phase", 4));
        assert_ne!(root.child("phase", 3), root.child("jitter", 3));
        assert_ne!(root.child("phase", 3), Seed(2).child("phase", 3));
    }

    #[test]
    fn the_stream_of_seed_1_is_the_same_on_every_machine() {
        let mut random = Seed(1).child("phase", 0).random();
        let drawn: Vec<u64> = (0..3).map(|_| random.below(1_000_000)).collect();
        assert_eq!(drawn, [897_322, 902_977, 802_547]);
    }

    #[test]
    fn exponential_has_the_mean_it_was_given() {
        let mut random = Seed(7).random();
        let n = 200_000;
        let mean = (0..n).map(|_| random.exponential(5.0)).sum::<f64>() / f64::from(n);
        assert!((mean - 5.0).abs() < 0.05, "{mean}");
    }
}
