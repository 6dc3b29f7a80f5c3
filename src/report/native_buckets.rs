//! A distribution in the buckets of Prometheus' native histograms: eight per power of two, only those with values.

use std::ops::Range;

use crate::measure::Latencies;

/// The number of buckets per power of two is 2 to the power of this. A bucket ends 9 % above its beginning.
pub(super) const SCHEMA: i32 = 3;

/// Values up to this count as 0. It is below the resolution of distributions.
const ZERO_NS: u64 = 63;
/// The upper bound of the zero bucket, in seconds.
pub(super) const ZERO_S: f64 = 64e-9;

/// A distribution in native buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeBuckets {
    /// Values up to [`ZERO_NS`].
    pub(super) zero: u64,
    /// Index and count of each bucket with values, in order. Bucket n ends at 2^(n/8) seconds, and begins where the one
    /// before it ends.
    counts: Vec<(i32, u64)>,
}

/// The same buckets in the encoding of the protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BucketSpans {
    /// Runs of consecutive buckets: the distance from the end of the run before, and the length.
    pub(super) spans: Vec<(i32, u32)>,
    /// The count of each bucket minus that of the bucket before it.
    pub(super) deltas: Vec<i64>,
}

impl NativeBuckets {
    /// Adds the values that are not negative.
    pub(super) fn add(&mut self, latencies: &Latencies) {
        for values in latencies.histogram().iter_recorded() {
            let count = u64::from(values.count_at_value());
            match values.value_iterated_to() {
                0..=ZERO_NS => self.zero += count,
                ns => self.add_to(bucket(ns), count),
            }
        }
    }

    fn add_to(&mut self, number: i32, count: u64) {
        match self.counts.binary_search_by_key(&number, |(known, _)| *known) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (number, count)),
        }
    }

    /// Number of all values.
    pub(super) fn count(&self) -> u64 {
        self.zero + self.counts.iter().map(|(_, count)| count).sum::<u64>()
    }

    /// The encoding of the protocol.
    pub(super) fn spans(&self) -> BucketSpans {
        let mut found = BucketSpans::default();
        let (mut span, mut before): (Option<Range<i32>>, i64) = (None, 0);
        for (number, count) in &self.counts {
            match &mut span {
                Some(span) if span.end == *number => span.end += 1,
                open => {
                    let end = open.take().map_or(0, |done| done.end);
                    found.spans.push((number - end, 0));
                    *open = Some(*number..number + 1);
                }
            }
            if let Some(last) = found.spans.last_mut() {
                last.1 += 1;
            }
            found.deltas.push(*count as i64 - before);
            before = *count as i64;
        }
        found
    }
}

/// The index of the bucket with this value.
fn bucket(ns: u64) -> i32 {
    let per_doubling = f64::from(1 << SCHEMA);
    ((ns as f64 / 1e9).log2() * per_doubling).ceil() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_bucket_that_ends_at_it_or_up_to_9_percent_above() {
        let ends = |number: i32| 2_f64.powf(f64::from(number) / 8.0);
        for ns in [1, 250_000, 1_000_000, 999_999_999, 1_000_000_000, 60_000_000_000] {
            let (number, seconds) = (bucket(ns), ns as f64 / 1e9);
            let within = ends(number - 1) * (1.0 - 1e-9)..=ends(number) * (1.0 + 1e-9);
            assert!(within.contains(&seconds), "{ns} {number}");
        }
        assert_eq!([bucket(1_000_000_000), bucket(500_000_000)], [0, -8]);
    }

    #[test]
    fn buckets_that_follow_each_other_are_one_span() {
        let mut buckets = NativeBuckets::default();
        for (number, count) in [(-3, 5), (4, 1), (-2, 7), (-3, 1), (5, 9)] {
            buckets.add_to(number, count);
        }
        let BucketSpans { spans, deltas } = buckets.spans();
        assert_eq!(spans, [(-3, 2), (5, 2)]);
        assert_eq!(deltas, [6, 1, -6, 8]);
        assert_eq!(buckets.count(), 23);
    }

    #[test]
    fn every_value_is_counted_in_lists_and_in_histograms() {
        for count in [3, 5_000] {
            let mut latencies = Latencies::default();
            (0..count).for_each(|n| latencies.record(n * 10_000));
            latencies.record(-1);
            let mut buckets = NativeBuckets::default();
            buckets.add(&latencies);
            buckets.add(&latencies);
            assert_eq!((buckets.zero, buckets.count()), (2, 2 * count as u64));
        }
    }
}
