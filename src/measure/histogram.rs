//! Lossless latency distributions.

use super::Counts;
use crate::base::Time;
use crate::summary::Digest;

/// A latency distribution in nanoseconds, three significant digits (or 64 ns, if that is coarser), growing as needed.
///
/// Negative values (possible when clocks disagree) are counted, not dropped or bent to zero.
#[derive(Clone, Debug)]
pub struct Latencies {
    counts: Counts,
    negative: u64,
    sum_ns: u128,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::with_digits(3)
    }
}

impl Latencies {
    /// An empty distribution with `digits` significant digits (2 to 5).
    pub fn with_digits(digits: u8) -> Latencies {
        Latencies { counts: Counts::new(digits), negative: 0, sum_ns: 0 }
    }

    /// Adds one value.
    #[inline]
    pub fn record(&mut self, latency_ns: i64) {
        match u64::try_from(latency_ns) {
            Ok(value) => {
                self.counts.record(value);
                self.sum_ns += u128::from(value);
            }
            Err(_) => self.negative += 1,
        }
    }

    /// Adds the time from `from` to `to`, which are instants of a run.
    #[inline]
    pub fn between(&mut self, from: Time, to: Time) {
        self.record(to.0 - from.0);
    }

    /// Adds all of `other`, which has the same number of digits.
    pub fn merge(&mut self, other: &Latencies) {
        self.counts.merge(&other.counts);
        self.negative += other.negative;
        self.sum_ns += other.sum_ns;
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.negative = 0;
        self.sum_ns = 0;
    }

    /// Number of values, negative ones included.
    pub fn count(&self) -> u64 {
        self.counts.total() + self.negative
    }

    /// Number of negative values.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Mean of the values that are not negative, in nanoseconds.
    pub fn mean_ns(&self) -> f64 {
        match self.counts.total() {
            0 => 0.0,
            total => self.sum_ns as f64 / total as f64,
        }
    }

    /// The value at `quantile` (0..=1), in nanoseconds; `None` when there are no values.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        self.counts.quantile(quantile)
    }

    /// Number of values above the one at `quantile_ns`, as [`Latencies::quantile_ns`] names it.
    pub fn count_above(&self, quantile_ns: u64) -> u64 {
        self.counts.count_above(quantile_ns)
    }

    /// The figures reports show. A quantile below the resolution is 0.
    pub fn digest(&self) -> Digest {
        let us = |quantile| {
            let ns = self.quantile_ns(quantile)?;
            Some(if ns < self.counts.lowest() { 0.0 } else { ns as f64 / 1e3 })
        };
        Digest {
            p50: us(0.50),
            p90: us(0.90),
            p95: us(0.95),
            p99: us(0.99),
            p999: us(0.999),
            max: us(1.0),
            mean: (self.counts.total() > 0).then(|| self.mean_ns() / 1e3),
            count: self.count(),
            negative: self.negative,
        }
    }

    /// The values that are not negative, for export.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_is_the_distribution_of_all_values_not_a_mean_of_quantiles() {
        let (mut fast, mut slow) = (Latencies::default(), Latencies::default());
        (0..990).for_each(|_| fast.record(1_000_000));
        (0..10).for_each(|_| slow.record(500_000_000));
        fast.merge(&slow);
        assert_eq!(fast.count(), 1000);
        assert!(fast.quantile_ns(0.98).unwrap() < 1_001_000);
        assert!(fast.quantile_ns(0.995).unwrap() >= 499_000_000);
    }

    #[test]
    fn what_took_no_time_is_zero() {
        let mut latencies = Latencies::default();
        // A histogram that is used again is no different.
        latencies.record(1_000);
        latencies.clear();
        (0..10).for_each(|_| latencies.record(0));
        let digest = latencies.digest();
        assert_eq!((digest.p50, digest.max, digest.mean), (Some(0.0), Some(0.0), Some(0.0)));
    }

    #[test]
    fn negative_values_are_counted() {
        let mut latencies = Latencies::default();
        latencies.record(-1);
        latencies.record(2_000);
        assert_eq!((latencies.count(), latencies.negative()), (2, 1));
        assert!((1.936..2.064).contains(&latencies.digest().p50.unwrap()), "within 64 ns");
    }
}
