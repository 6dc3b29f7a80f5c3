//! A distribution in few buckets, for small drawings.

use super::Latencies;
use crate::summary::Buckets;

/// Number of buckets.
const BUCKETS: usize = 16;
/// Smaller values count as this one: the resolution of [`Latencies`].
const LEAST_NS: u64 = 64;

/// The values that are not negative, in buckets of equal ratio from the smallest to the largest one. `None` without
/// values.
pub(super) fn buckets(latencies: &Latencies) -> Option<Buckets> {
    let most_ns = latencies.quantile_ns(1.0)?.max(LEAST_NS);
    let least_ns = latencies.quantile_ns(0.0)?.clamp(LEAST_NS, most_ns);
    let length = (most_ns as f64 / least_ns as f64).ln();
    let mut counts = vec![0; BUCKETS];
    for values in latencies.histogram().iter_recorded() {
        let above = (values.value_iterated_to().max(least_ns) as f64 / least_ns as f64).ln();
        let share = if length > 0.0 { above / length } else { 0.0 };
        let bucket = ((share * BUCKETS as f64) as usize).min(BUCKETS - 1);
        counts[bucket] += u64::from(values.count_at_value());
    }
    let us = |ns: u64| ns as f64 / 1e3;
    Some(Buckets { from_us: us(least_ns), to_us: us(most_ns), counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = i64>) -> Option<Buckets> {
        let mut latencies = Latencies::default();
        values.into_iter().for_each(|ns| latencies.record(ns));
        buckets(&latencies)
    }

    #[test]
    fn every_value_is_in_the_bucket_of_its_ratio() {
        // 1 us to 65.5 ms: each bucket ends at twice its beginning.
        let doubled = of((0..=16).map(|power| 1_000 << power)).expect("values");
        assert!(((doubled.to_us / doubled.from_us).log2() - 16.0).abs() < 0.1, "{doubled:?}");
        let mut wanted = vec![1; BUCKETS];
        wanted[BUCKETS - 1] = 2;
        assert_eq!(doubled.counts, wanted);
        let one = of([5_000; 9]).expect("values");
        assert_eq!(one.counts[0] + one.counts[BUCKETS - 1], 9, "{one:?}");
        // Many values are in a histogram, and the counts stay whole.
        let many = of((0..10_000).map(|n| 200_000 + n * 1_000)).expect("values");
        assert_eq!(many.counts.iter().sum::<u64>(), 10_000);
    }

    #[test]
    fn values_that_are_not_above_0_are_in_the_first_or_in_none() {
        assert_eq!(of([]), None);
        assert_eq!(of([-5]), None);
        let some = of([0, -5, 1_000_000]).expect("values");
        assert_eq!((some.from_us, some.counts[0], some.counts[15]), (0.064, 1, 1));
        let zero = of([0, 0]).expect("values");
        assert_eq!((zero.counts[0], zero.counts.iter().sum::<u64>()), (2, 2));
    }
}
