//! Counts by value, in HdrHistogram's layout.

use std::iter::successors;
use std::num::NonZeroU64;

/// Values that differ by less than so many nanoseconds are one: finer than any clock that is compared here, and half
/// the memory of a nanosecond.
const UNIT: u64 = 1 << UNIT_BITS;
const UNIT_BITS: u32 = 6;

/// How often each value was seen, within 64 ns or a number of significant digits, whichever is coarser.
///
/// The layout is that of HdrHistogram's `AbstractHistogram` (`countsArrayIndex`) and of the `hdrhistogram` crate, with
/// a lowest discernible value of 64 and a range that grows: what is written from here any tool for HdrHistogram reads.
///
/// A bit beside each count says whether it is zero. A second of a partition has about a hundred values among thousands
/// of counts; with the bits, merging, clearing and reading take their time for the values and not for the range.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    total: u64,
    /// The largest value, rounded up to the end of its unit; 0 while only zeros were seen.
    max: u64,
    digits: u8,
    /// A bucket has `1 << half_bits` counts, the first one twice as many; the widths double from bucket to bucket.
    half_bits: u32,
    blocks: Vec<Block>,
}

/// So many counts that a word has a bit for each.
#[derive(Clone, Debug)]
struct Block {
    /// Which of the counts are not zero.
    used: u64,
    counts: [u32; Block::LEN],
}

impl Counts {
    /// No values, `digits` significant digits (2 to 5).
    pub(super) fn new(digits: u8) -> Counts {
        let digits = digits.clamp(2, 5);
        let half_bits = 10_u32.pow(u32::from(digits)).next_power_of_two().ilog2();
        Counts { total: 0, max: 0, digits, half_bits, blocks: Vec::new() }
    }

    /// Counts one value, in nanoseconds, at most `i64::MAX`.
    #[inline]
    pub(super) fn record(&mut self, value: u64) {
        let index = self.index_of(value);
        let Some(block) = self.blocks.get_mut(index / Block::LEN) else {
            self.grow(index);
            return self.record(value);
        };
        block.add(index % Block::LEN, 1);
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
        if last / Block::LEN >= self.blocks.len() {
            self.grow(last);
        }
        for (own, theirs) in self.blocks.iter_mut().zip(&other.blocks) {
            theirs.iter().for_each(|(at, count)| own.add(at, count));
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// Forgets all values and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.blocks.iter_mut().filter(|block| block.used != 0).for_each(Block::clear);
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
        let found = self.iter().find(|(_, count)| {
            seen += u64::from(*count);
            seen >= rank
        });
        // Counts that are full hold fewer values than there were; like HdrHistogram, a rank beyond them is at 0.
        let value = found.map_or(0, |(index, _)| match quantile {
            0.0 => self.lowest_at(index),
            _ => self.highest_at(index),
        });
        Some(value.min(self.max()))
    }

    /// Number of values that are larger than all that count as the same as `value`.
    pub fn count_above(&self, value: u64) -> u64 {
        let index = self.index_of(value);
        self.iter().filter(|(at, _)| *at > index).map(|(_, count)| u64::from(count)).sum()
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
        let len = self.blocks.len() * Block::LEN;
        match len >> self.half_bits {
            0..=2 => 2 * UNIT,
            _ => self.highest_at(len - 1),
        }
    }

    /// The counts that are not zero, each with its index, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        self.blocks.iter().enumerate().flat_map(|(number, block)| {
            block.iter().map(move |(at, count)| (number * Block::LEN + at, count))
        })
    }

    /// Makes room for `index`, to the end of its bucket.
    #[cold]
    fn grow(&mut self, index: usize) {
        let halves = ((index >> self.half_bits) + 1).max(2);
        self.blocks.resize((halves << self.half_bits) / Block::LEN, Block::EMPTY);
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

impl Block {
    const LEN: usize = u64::BITS as usize;
    const EMPTY: Block = Block { used: 0, counts: [0; Block::LEN] };

    #[inline]
    fn add(&mut self, at: usize, count: u32) {
        self.counts[at] = self.counts[at].saturating_add(count);
        self.used |= 1 << at;
    }

    fn clear(&mut self) {
        *self = Block::EMPTY;
    }

    /// The counts that are not zero, each with its place, in ascending order.
    fn iter(&self) -> impl Iterator<Item = (usize, u32)> {
        let without_lowest = |bits: &NonZeroU64| NonZeroU64::new(bits.get() & (bits.get() - 1));
        successors(NonZeroU64::new(self.used), without_lowest).map(|bits| {
            let at = bits.trailing_zeros() as usize;
            (at, self.counts[at])
        })
    }
}

impl PartialEq for Block {
    /// Most blocks are empty: their counts need not be looked at.
    fn eq(&self, other: &Block) -> bool {
        self.used == other.used && (self.used == 0 || self.counts == other.counts)
    }
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
            digits in 2_u8..=4,
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
    fn what_was_counted_before_a_clear_makes_no_difference() {
        let (mut counts, mut same) = (Counts::new(3), Counts::new(3));
        [70_000, 300].into_iter().for_each(|value| counts.record(value));
        [5_000, 70_000].into_iter().for_each(|value| same.record(value));
        assert_ne!(counts, same);
        for counts in [&mut counts, &mut same] {
            counts.clear();
            counts.record(1_000);
        }
        assert_eq!(counts, same);
        same.record(1_000);
        assert_ne!(counts, same);
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
