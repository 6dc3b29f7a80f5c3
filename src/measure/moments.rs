//! Mean, variance and median of a few values, and the mean of many times.

use super::Latencies;
use crate::base::Time;

use serde::{Deserialize, Serialize};

/// Count, mean and variance of values that come one by one (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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

    /// Standard deviation over mean; `None` with fewer than two values, or without a positive mean.
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

/// The exact mean of times that come one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeanTime {
    sum_ns: u128,
    count: u64,
    /// Values below zero, which are not in the sum.
    negative: u64,
}

impl MeanTime {
    /// Adds the time from `from` to `to`.
    #[inline]
    pub fn between(&mut self, from: Time, to: Time) {
        match u64::try_from(to.since_ns(from)) {
            Ok(ns) => {
                self.sum_ns += u128::from(ns);
                self.count += 1;
            }
            Err(_) => self.negative += 1,
        }
    }

    /// Adds the values of a distribution.
    pub fn add(&mut self, values: &Latencies) {
        self.sum_ns += values.sum_ns();
        self.count += values.count() - values.negative();
        self.negative += values.negative();
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &MeanTime) {
        self.sum_ns += other.sum_ns;
        self.count += other.count;
        self.negative += other.negative;
    }

    /// Sum in nanoseconds and number of the values; `None` without values, and where one was below zero.
    pub fn sum(&self) -> Option<(u128, u64)> {
        (self.count > 0 && self.negative == 0).then_some((self.sum_ns, self.count))
    }

    /// Mean in microseconds; `None` like [`MeanTime::sum`].
    pub fn mean_us(&self) -> Option<f64> {
        self.sum().map(|(sum, count)| sum as f64 / count as f64 / 1e3)
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

    #[test]
    fn a_mean_time_is_of_all_values_and_unknown_where_one_is_below_zero() {
        assert_eq!(MeanTime::default().mean_us(), None);
        let mut values = Latencies::default();
        [4_000, 8_000].into_iter().for_each(|ns| values.record(ns));
        let mut mean = MeanTime::default();
        mean.add(&values);
        assert_eq!(mean.mean_us(), Some(6.0));
        let mut one = MeanTime::default();
        one.between(Time(5), Time(9_005));
        mean.merge(&one);
        assert_eq!(mean.mean_us(), Some(7.0));
        let (mut negative, mut merged) = (mean, mean);
        negative.between(Time(5), Time(4));
        assert_eq!(negative.mean_us(), None);
        merged.merge(&negative);
        assert_eq!(merged.mean_us(), None);
        values.record(-3_000);
        mean.add(&values);
        assert_eq!(mean.mean_us(), None);
    }
}
