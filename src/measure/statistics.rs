//! Distributions of latency, and the little other statistics that reports need.

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

/// Count, mean and variance of values that come one by one (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let delta = value - self.mean;
        self.mean += delta / self.n as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// Mean; 0 without values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Sample variance; 0 with fewer than two values.
    pub fn variance(&self) -> f64 {
        if self.n < 2 { 0.0 } else { self.squares / (self.n - 1) as f64 }
    }

    /// Standard deviation over mean; `None` where that says nothing.
    pub fn variation(&self) -> Option<f64> {
        (self.n >= 2 && self.mean > 0.0).then(|| self.variance().sqrt() / self.mean)
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Moments::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

/// The median; `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
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

    #[test]
    fn moments_are_the_textbook_ones() {
        let moments: Moments = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().collect();
        assert_eq!(moments.mean(), 5.0);
        assert!((moments.variance() - 32.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
