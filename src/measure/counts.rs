//! Counts by value, in HdrHistogram's layout.

/// Values that differ by less than so many nanoseconds are one: finer than any clock that is compared here, and half
/// the memory of a nanosecond.
const UNIT: u64 = 1 << UNIT_BITS;
const UNIT_BITS: u32 = 6;
const WORD_BITS: usize = u64::BITS as usize;

/// How often each value was seen, within 64 ns or a number of significant digits, whichever is coarser.
///
/// The layout is that of HdrHistogram's `AbstractHistogram` (`countsArrayIndex`) and of the `hdrhistogram` crate, with
/// a lowest discernible value of 64 and a range that grows: what is written from here any tool for HdrHistogram reads.
///
/// A bit beside each count says whether it is zero. A second of a partition has about a hundred values among thousands
/// of counts; with the bits, merging, clearing and reading take their time for the values and not for the range.
#[derive(Clone, Debug)]
pub struct Counts {
    digits: u8,
    /// A bucket has `1 << half_bits` counts, the first one twice as many; the widths double from bucket to bucket.
    half_bits: u32,
    counts: Vec<u32>,
    /// One bit for each of `counts`, set where it is not zero.
    used: Vec<u64>,
    total: u64,
    /// The largest value, rounded up to the end of its unit; 0 while only zeros were seen.
    max: u64,
}

impl Counts {
    /// No values, `digits` significant digits (1 to 5).
    pub(super) fn new(digits: u8) -> Counts {
        let digits = digits.clamp(1, 5);
        let half_bits = 10_u32.pow(u32::from(digits)).next_power_of_two().ilog2();
        Counts { digits, half_bits, counts: Vec::new(), used: Vec::new(), total: 0, max: 0 }
    }

    /// Counts one value, in nanoseconds, at most `i64::MAX`.
    #[inline]
    pub(super) fn record(&mut self, value: u64) {
        let index = self.index_of(value);
        if index >= self.counts.len() {
            self.grow(index);
        }
        self.counts[index] = self.counts[index].saturating_add(1);
        self.used[index / WORD_BITS] |= 1 << (index % WORD_BITS);
        self.total += 1;
        if value > self.max {
            self.max = value | (UNIT - 1);
        }
    }

    /// Adds all of `other`, which has the same number of digits.
    pub(super) fn merge(&mut self, other: &Counts) {
        debug_assert_eq!(self.digits, other.digits);
        if other.total == 0 {
            return;
        }
        let last = other.index_of(other.max);
        if last >= self.counts.len() {
            self.grow(last);
        }
        set_bits(&other.used).for_each(|index| {
            self.counts[index] = self.counts[index].saturating_add(other.counts[index]);
        });
        self.used.iter_mut().zip(&other.used).for_each(|(own, theirs)| *own |= theirs);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// Forgets all values and keeps the memory.
    pub(super) fn clear(&mut self) {
        set_bits(&self.used).for_each(|index| self.counts[index] = 0);
        self.used.fill(0);
        self.total = 0;
        // HdrHistogram's `reset` leaves the first unit's end behind, and interval logs show it.
        self.max = UNIT - 1;
    }

    /// The value at `quantile` (0..=1), in nanoseconds: the largest one that counts as the same. `None` when there are
    /// no values.
    pub(super) fn quantile(&self, quantile: f64) -> Option<u64> {
        if self.total == 0 {
            return None;
        }
        let rank = (quantile.min(1.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let index = set_bits(&self.used).find(|index| {
            seen += u64::from(self.counts[*index]);
            seen >= rank
        });
        // Counts that are full hold fewer values than there were; like HdrHistogram, a rank beyond them is at 0.
        let value = index.map_or(0, |index| match quantile {
            0.0 => self.lowest_at(index),
            _ => self.highest_at(index),
        });
        Some(value.min(self.max()))
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, in nanoseconds, rounded up to the largest one that counts as the same.
    pub fn max(&self) -> u64 {
        if self.max == 0 { 0 } else { self.highest_at(self.index_of(self.max)) }
    }

    /// Significant digits.
    pub fn digits(&self) -> u8 {
        self.digits
    }

    /// The smallest value told from zero, in nanoseconds.
    pub fn lowest(&self) -> u64 {
        UNIT
    }

    /// The largest value there is room for, in nanoseconds, as HdrHistogram names it: before it has grown, that is the
    /// least that may be asked of it.
    pub fn highest(&self) -> u64 {
        match self.counts.len() >> self.half_bits {
            0..=2 => 2 * UNIT,
            _ => self.highest_at(self.counts.len() - 1),
        }
    }

    /// The counts that are not zero, each with its index, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        set_bits(&self.used).map(|index| (index, self.counts[index]))
    }

    /// Makes room for `index`, to the end of its bucket.
    #[cold]
    fn grow(&mut self, index: usize) {
        let halves = ((index >> self.half_bits) + 1).max(2);
        self.counts.resize(halves << self.half_bits, 0);
        self.used.resize(self.counts.len().div_ceil(WORD_BITS), 0);
    }

    #[inline]
    fn index_of(&self, value: u64) -> usize {
        let first_bits = self.half_bits + UNIT_BITS;
        let bucket = (value | 1 << first_bits).ilog2() - first_bits;
        ((bucket as usize) << self.half_bits) + (value >> (bucket + UNIT_BITS)) as usize
    }

    /// The bucket an index lies in.
    fn bucket_at(&self, index: usize) -> usize {
        (index >> self.half_bits).saturating_sub(1)
    }

    fn lowest_at(&self, index: usize) -> u64 {
        let bucket = self.bucket_at(index);
        ((index - (bucket << self.half_bits)) as u64) << (bucket as u32 + UNIT_BITS)
    }

    fn highest_at(&self, index: usize) -> u64 {
        self.lowest_at(index) + (UNIT << self.bucket_at(index)) - 1
    }
}

/// The positions of the bits that are set, in ascending order.
fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(at * WORD_BITS + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

    const QUANTILES: [f64; 10] = [-1.0, 0.0, 0.001, 0.3, 0.5, 0.9, 0.95, 0.99, 1.0, 2.0];

    /// The same values counted here and by the crate.
    #[derive(Clone)]
    struct Both(Counts, Histogram<u32>);

    impl Both {
        fn new(digits: u8) -> Both {
            let mut other = Histogram::new_with_bounds(UNIT, 2 * UNIT, digits).unwrap();
            other.auto(true);
            Both(Counts::new(digits), other)
        }

        fn record(&mut self, values: &[u64]) {
            for value in values {
                self.0.record(*value);
                self.1.record(*value).unwrap();
            }
        }

        fn merge(&mut self, other: &Both) {
            self.0.merge(&other.0);
            self.1.add(&other.1).unwrap();
        }

        fn clear(&mut self) {
            self.0.clear();
            self.1.reset();
        }

        fn agree(&self) {
            let Both(own, other) = self;
            assert_eq!((own.total(), own.max()), (other.len(), other.max()));
            for quantile in QUANTILES {
                let expected = other.value_at_quantile(quantile).min(other.max());
                let expected = (!other.is_empty()).then_some(expected);
                assert_eq!(own.quantile(quantile), expected, "at {quantile}");
            }
            let value_at = |(index, count)| (own.highest_at(index), count);
            let counts: Vec<(u64, u32)> = own.iter().map(value_at).collect();
            let expected = other.iter_recorded();
            let expected: Vec<(u64, u32)> =
                expected.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
            assert_eq!(counts, expected);
        }
    }

    /// Values of every magnitude: zeros, less than a unit, and up to `i64::MAX`.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        let value = (0_u32..64, 0..=i64::MAX).prop_map(|(shift, value)| value as u64 >> shift);
        proptest::collection::vec(value, 0..60)
    }

    proptest! {
        #[test]
        fn they_are_the_counts_of_hdr_histogram(
            digits in 1_u8..=4,
            first in values(),
            second in values(),
            third in values(),
        ) {
            let (mut all, mut part) = (Both::new(digits), Both::new(digits));
            all.record(&first);
            all.agree();
            part.record(&second);
            // Only before a merge: after it the crate names the largest value instead of the room there is.
            prop_assert_eq!(part.0.highest(), part.1.high());
            all.merge(&part);
            all.agree();
            all.record(&third);
            all.agree();
            all.clear();
            all.agree();
            all.record(&third);
            all.agree();
        }
    }

    #[test]
    fn a_count_that_is_full_stays_full() {
        let mut both = Both::new(3);
        both.record(&[1_000]);
        for _ in 0..32 {
            let same = both.clone();
            both.merge(&same);
        }
        both.agree();
        assert_eq!(both.0.iter().next(), Some((15, u32::MAX)));
        assert_eq!(both.0.quantile(1.0), Some(0));
    }
}
