//! Distributions of latencies: a list of values while they are few, an HdrHistogram after that.

use std::borrow::Cow;
use std::sync::LazyLock;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::base::Time;
use crate::summary::Digest;

/// The resolution, in nanoseconds: values that differ by less count as the same. It is finer than the clocks that are
/// compared, and takes half the memory of a resolution of a nanosecond.
const UNIT_NS: u64 = 64;
const DIGITS: u8 = 3;
/// Largest number of values that are kept in a list. They take 16 KiB. A histogram of latencies up to a second takes 60
/// KiB, and each merge reads all of it.
const PLAIN_MAX: usize = 2_048;
const GROWS: &str = "a histogram that grows takes every value";

/// Tells which values count as the same, which depends on the unit and the digits only.
static SCALE: LazyLock<Histogram<u32>> = LazyLock::new(|| histogram_up_to(0));

/// A latency distribution in nanoseconds, with three significant digits (or 64 ns, if that is coarser). It grows as
/// needed.
///
/// A second of a partition has about a hundred values, which are kept in a list. A histogram replaces the list when
/// there are many. All figures are the same as if the histogram had been there from the first value.
///
/// Negative values (possible when clocks disagree) are counted. They are neither dropped nor replaced by zero.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "WrittenLatencies", into = "WrittenLatencies")]
pub struct Latencies {
    /// The values that are not negative, while they are few.
    plain: Vec<u64>,
    /// The same values once they are many. Empty before that, and kept for its memory.
    histogram: Option<Box<Histogram<u32>>>,
    is_many: bool,
    negative: u64,
    sum_ns: u128,
}

impl Latencies {
    /// Adds one value.
    #[inline]
    pub fn record(&mut self, latency_ns: i64) {
        match u64::try_from(latency_ns) {
            Ok(value) => {
                self.add(value);
                self.sum_ns += u128::from(value);
            }
            Err(_) => self.negative += 1,
        }
    }

    #[inline]
    fn add(&mut self, value: u64) {
        if !self.is_many && self.plain.len() < PLAIN_MAX {
            self.plain.push(value);
        } else {
            self.many().record(value).expect(GROWS);
        }
    }

    /// The histogram, into which the values are moved if they are in the list.
    fn many(&mut self) -> &mut Histogram<u32> {
        let histogram = self.histogram.get_or_insert_with(|| Box::new(histogram_up_to(0)));
        if !self.is_many {
            self.is_many = true;
            self.plain.drain(..).for_each(|value| histogram.record(value).expect(GROWS));
        }
        histogram
    }

    /// The histogram; `None` while values are in the list.
    fn if_many(&self) -> Option<&Histogram<u32>> {
        self.histogram.as_deref().filter(|_| self.is_many)
    }

    /// Adds the time from `from` to `to`, which are instants of a run.
    #[inline]
    pub fn between(&mut self, from: Time, to: Time) {
        self.record(to.0 - from.0);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Latencies) {
        match other.if_many() {
            Some(histogram) => self.many().add(histogram).expect(GROWS),
            None if !self.is_many && self.plain.len() + other.plain.len() <= PLAIN_MAX => {
                self.plain.extend_from_slice(&other.plain);
            }
            None if !other.plain.is_empty() => {
                let histogram = self.many();
                other.plain.iter().for_each(|value| histogram.record(*value).expect(GROWS));
            }
            None => {}
        }
        self.negative += other.negative;
        self.sum_ns += other.sum_ns;
    }

    /// Removes all values and keeps the memory.
    pub fn clear(&mut self) {
        self.plain.clear();
        if std::mem::take(&mut self.is_many) {
            self.histogram.iter_mut().for_each(|histogram| histogram.reset());
        }
        self.negative = 0;
        self.sum_ns = 0;
    }

    /// Number of values that are not negative.
    fn total(&self) -> u64 {
        self.if_many().map_or(self.plain.len() as u64, Histogram::len)
    }

    /// Number of values, negative ones included.
    pub fn count(&self) -> u64 {
        self.total() + self.negative
    }

    /// Number of negative values.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Mean of the values that are not negative, in nanoseconds.
    pub fn mean_ns(&self) -> f64 {
        match self.total() {
            0 => 0.0,
            total => self.sum_ns as f64 / total as f64,
        }
    }

    /// The value at `quantile` (0..=1), in nanoseconds: the largest one that counts as the same. One below the resolution
    /// is 0. `None` when there are no values.
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let value = match self.if_many() {
            Some(histogram) => Some(histogram.value_at_quantile(quantile)),
            None => quantile_of(&self.plain, quantile),
        };
        value.map(|ns| if ns < UNIT_NS { 0 } else { ns })
    }

    /// Number of values above the one at `quantile_ns`, as [`Latencies::quantile_ns`] names it.
    pub fn count_above(&self, quantile_ns: u64) -> u64 {
        match self.if_many() {
            Some(histogram) => histogram.len() - histogram.count_between(0, quantile_ns),
            None => {
                let last = SCALE.highest_equivalent(quantile_ns);
                self.plain.iter().filter(|value| **value > last).count() as u64
            }
        }
    }

    /// Counts the values by the first of the ascending `bounds` (in nanoseconds) that they do not exceed. Values above
    /// the last bound are in no count. In a histogram, a value that counts as the same as a bound may be on either
    /// side.
    pub fn counts_by_bound<const N: usize>(&self, bounds: &[u64; N]) -> [u64; N] {
        let mut counts = [0; N];
        let mut count = |value: u64, times: u64| {
            if let Some(counted) = counts.get_mut(bounds.partition_point(|bound| *bound < value)) {
                *counted += times;
            }
        };
        match self.if_many() {
            Some(histogram) => histogram.iter_recorded().for_each(|step| {
                count(
                    SCALE.lowest_equivalent(step.value_iterated_to()),
                    step.count_at_value().into(),
                );
            }),
            None => self.plain.iter().for_each(|value| count(*value, 1)),
        }
        counts
    }

    /// Sum of the values that are not negative, in nanoseconds.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// The figures that reports show. A quantile below the resolution is 0.
    pub fn digest(&self) -> Digest {
        let us = |quantile| self.quantile_ns(quantile).map(|ns| ns as f64 / 1e3);
        Digest {
            p50: us(0.50),
            p90: us(0.90),
            p95: us(0.95),
            p99: us(0.99),
            p999: us(0.999),
            max: us(1.0),
            mean: (self.total() > 0).then(|| self.mean_ns() / 1e3),
            count: self.count(),
            negative: self.negative,
        }
    }

    /// True if both have the same values. It may be false if both are lists in different orders.
    pub fn is_same(&self, other: &Latencies) -> bool {
        (self.negative, self.sum_ns, &self.plain) == (other.negative, other.sum_ns, &other.plain)
            && self.if_many() == other.if_many()
    }

    /// The values that are not negative, as a histogram for export.
    pub fn histogram(&self) -> Cow<'_, Histogram<u32>> {
        self.if_many().map_or_else(|| Cow::Owned(histogram_of(&self.plain)), Cow::Borrowed)
    }
}

/// The serialized form: the list of values, or the largest value of each used step of the histogram, with its count.
#[derive(Serialize, Deserialize)]
struct WrittenLatencies {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<(u64, u32)>,
    negative: u64,
    /// Upper and lower 64 bits.
    sum_ns: (u64, u64),
}

impl From<Latencies> for WrittenLatencies {
    fn from(latencies: Latencies) -> WrittenLatencies {
        let steps = latencies.if_many().map(|histogram| {
            let steps = histogram.iter_recorded();
            steps.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
        });
        WrittenLatencies {
            steps: steps.unwrap_or_default(),
            negative: latencies.negative,
            sum_ns: ((latencies.sum_ns >> 64) as u64, latencies.sum_ns as u64),
            values: latencies.plain,
        }
    }
}

impl From<WrittenLatencies> for Latencies {
    fn from(written: WrittenLatencies) -> Latencies {
        let mut latencies = Latencies {
            negative: written.negative,
            sum_ns: u128::from(written.sum_ns.0) << 64 | u128::from(written.sum_ns.1),
            ..Latencies::default()
        };
        written.values.into_iter().for_each(|value| latencies.add(value));
        for (value, count) in written.steps {
            latencies.many().record_n(value, count).expect(GROWS);
        }
        latencies
    }
}

/// An empty histogram with room for values up to `max`. It grows for larger ones.
fn histogram_up_to(max: u64) -> Histogram<u32> {
    let mut histogram = Histogram::new_with_bounds(UNIT_NS, max.max(2 * UNIT_NS), DIGITS)
        .expect("bounds and digits are as the crate asks for");
    histogram.auto(true);
    histogram
}

fn histogram_of(values: &[u64]) -> Histogram<u32> {
    let mut histogram = histogram_up_to(values.iter().copied().max().unwrap_or(0));
    values.iter().for_each(|value| histogram.record(*value).expect(GROWS));
    histogram
}

/// The result of `Histogram::value_at_quantile` for these values.
fn quantile_of(values: &[u64], quantile: f64) -> Option<u64> {
    let rank = (quantile.min(1.0) * values.len() as f64).ceil().max(1.0) as usize;
    let mut values = values.to_vec();
    if values.is_empty() {
        return None;
    }
    let (_, value, _) = values.select_nth_unstable(rank - 1);
    Some(if quantile == 0.0 {
        SCALE.lowest_equivalent(*value)
    } else {
        SCALE.highest_equivalent(*value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUANTILES: [f64; 10] = [-1.0, 0.0, 0.001, 0.3, 0.5, 0.9, 0.95, 0.99, 1.0, 2.0];

    /// The same values here, in a histogram from the first one on, and as they are.
    #[derive(Clone)]
    struct Both {
        own: Latencies,
        other: Histogram<u32>,
        values: Vec<i64>,
    }

    impl Both {
        fn of(values: &[i64]) -> Both {
            let (own, other) = (Latencies::default(), histogram_up_to(0));
            let mut both = Both { own, other, values: Vec::new() };
            both.record(values);
            both
        }

        fn record(&mut self, values: &[i64]) {
            self.values.extend(values);
            for value in values {
                self.own.record(*value);
                self.other.record(*value as u64).unwrap();
            }
        }

        fn merge(&mut self, other: &Both) {
            self.own.merge(&other.own);
            self.other.add(&other.other).unwrap();
            self.values.extend(&other.values);
        }

        fn clear(&mut self) {
            self.own.clear();
            self.other.reset();
            self.values.clear();
        }

        #[track_caller]
        fn agree(&self) {
            let Both { own, other, values } = self;
            assert_eq!(own.is_many, values.len() > PLAIN_MAX);
            assert_eq!(own.count(), other.len());
            for quantile in QUANTILES {
                let resolved = |ns| if ns < UNIT_NS { 0 } else { ns };
                let expected =
                    (!other.is_empty()).then(|| resolved(other.value_at_quantile(quantile)));
                assert_eq!(own.quantile_ns(quantile), expected, "at {quantile}");
                let expected = expected.unwrap_or(1_000);
                let above = values
                    .iter()
                    .filter(|value| **value as u64 > other.highest_equivalent(expected));
                assert_eq!(own.count_above(expected), above.count() as u64, "above {expected}");
            }
            let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
            assert_eq!(own.mean_ns(), sum as f64 / values.len().max(1) as f64);
            let counts = |histogram: &Histogram<u32>| -> Vec<(u64, u32)> {
                let steps = histogram.iter_recorded();
                steps.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
            };
            assert_eq!(counts(&own.histogram()), counts(other));
            // A histogram that is used again has the end of the first unit as its largest value before it has any.
            if values.iter().any(|value| *value > 0) {
                assert_eq!(own.histogram().max(), other.max());
            }
        }
    }

    /// Values of every magnitude: zeros, less than a unit, and up to `i64::MAX`. Mostly few, now and then many.
    fn values() -> impl Strategy<Value = Vec<i64>> {
        let value = || (0_u32..64, 0..=i64::MAX).prop_map(|(shift, value)| value >> shift);
        prop_oneof![
            proptest::collection::vec(value(), 0..60),
            proptest::collection::vec(value(), PLAIN_MAX - 30..PLAIN_MAX + 30),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn plain_values_give_the_figures_of_a_histogram(
            first in values(),
            second in values(),
            third in values(),
        ) {
            let parts = [Both::of(&first), Both::of(&second), Both::of(&third)];
            parts.iter().for_each(Both::agree);
            let merged = [[0, 1, 2], [2, 1, 0], [1, 2, 0]].map(|order| {
                let mut all = Both::of(&[]);
                order.iter().for_each(|part| all.merge(&parts[*part]));
                all
            });
            merged.iter().for_each(Both::agree);
            let [mut all, ..] = merged;
            all.record(&first);
            all.agree();
            // A distribution that is used again is no different.
            all.clear();
            all.agree();
            all.record(&second);
            all.agree();
        }
    }

    #[test]
    fn the_last_plain_value_makes_no_difference() {
        let mut both = Both::of(&[]);
        for value in 0..2 * PLAIN_MAX as i64 {
            both.record(&[(value * 7_919_993) % 10_000_019]);
            if both.values.len().abs_diff(PLAIN_MAX) < 20 {
                both.agree();
            }
        }
        both.agree();
    }

    #[test]
    fn a_count_that_is_full_stays_full() {
        let mut latencies = Latencies::default();
        (0..=PLAIN_MAX).for_each(|_| latencies.record(1_000));
        for _ in 0..32 {
            let same = latencies.clone();
            latencies.merge(&same);
        }
        assert_eq!(latencies.histogram().count_at(1_000), u32::MAX);
        assert_eq!(latencies.count_above(1_000), latencies.count() - u64::from(u32::MAX));
    }

    #[test]
    fn what_was_recorded_before_a_clear_makes_no_difference() {
        for more in [0, PLAIN_MAX as i64] {
            let (mut one, mut other) = (Latencies::default(), Latencies::default());
            (0..more + 2).for_each(|value| one.record(70_000 + value));
            other.record(5_000);
            assert!(!one.is_same(&other));
            for latencies in [&mut one, &mut other] {
                latencies.clear();
                (0..=more).for_each(|value| latencies.record(1_000 + value));
            }
            assert!(one.is_same(&other));
            // The same number of values with the same sum.
            one.record(2_000);
            one.record(4_000);
            other.record(3_000);
            other.record(3_000);
            assert!(!one.is_same(&other));
        }
    }

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
        assert_eq!(latencies.quantile_ns(0.99), Some(0));
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
    fn values_are_counted_by_the_bound_they_do_not_exceed() {
        for copies in [1, PLAIN_MAX] {
            let mut latencies = Latencies::default();
            for value in [-5, 0, 1_000_000, 1_100_000, 7_000_000, 9_000_000] {
                (0..copies).for_each(|_| latencies.record(value));
            }
            let counts = latencies.counts_by_bound(&[1_000_000, 5_000_000, 8_000_000]);
            assert_eq!(counts.map(|count| count / copies as u64), [2, 1, 1]);
            assert_eq!(latencies.sum_ns(), 18_100_000 * copies as u128);
        }
    }
}
