//! Sequence numbers that were seen: a prefix without gaps, and ranges above it.
//!
//! Also the offsets of a partition that were acknowledged, from the consumer's position on.

use std::collections::VecDeque;
use std::ops::Range;

use rangemap::RangeSet;
use serde::{Deserialize, Serialize};

use crate::base::Offset;

/// A set of sequence numbers. It is small, because each lane has one, and fast for numbers in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct SequenceSet {
    /// All numbers below are in the set.
    prefix: u64,
    /// The numbers above the prefix that are in the set; `None` without any, which is the usual case.
    above: Option<Box<RangeSet<u64>>>,
}

impl SequenceSet {
    /// Adds `sequence`; false if the set contained it.
    #[inline]
    pub fn insert(&mut self, sequence: u64) -> bool {
        if sequence == self.prefix {
            self.prefix += 1;
            if self.above.is_some() {
                self.absorb();
            }
            return true;
        }
        self.insert_out_of_order(sequence)
    }

    fn insert_out_of_order(&mut self, sequence: u64) -> bool {
        if self.contains(sequence) {
            return false;
        }
        self.above.get_or_insert_default().insert(sequence..sequence + 1);
        true
    }

    fn absorb(&mut self) {
        let Some(above) = &mut self.above else { return };
        while let Some(first) = above.first().cloned() {
            if first.start > self.prefix {
                return;
            }
            self.prefix = self.prefix.max(first.end);
            above.remove(first);
        }
        self.above = None;
    }

    /// True if `sequence` is in the set.
    pub fn contains(&self, sequence: u64) -> bool {
        sequence < self.prefix || self.above.as_ref().is_some_and(|above| above.contains(&sequence))
    }

    /// Number of sequence numbers in the set.
    pub fn len(&self) -> u64 {
        let above = self.above.iter().flat_map(|above| above.iter());
        self.prefix + above.map(|range| range.end - range.start).sum::<u64>()
    }

    /// True if the set has no number.
    pub fn is_empty(&self) -> bool {
        self.prefix == 0 && self.above.is_none()
    }

    /// Number of gaps: runs of missing numbers below the largest one.
    pub fn gaps(&self) -> usize {
        self.above.as_ref().map_or(0, |above| above.len())
    }

    /// The runs of numbers in `0..end` that are not in the set, in order.
    pub fn missing_below(&self, end: u64) -> Vec<Range<u64>> {
        let beyond = self.prefix..end;
        match &self.above {
            _ if beyond.is_empty() => Vec::new(),
            None => vec![beyond],
            Some(above) => above.gaps(&beyond).collect(),
        }
    }

    /// Number of elements in `range`.
    pub fn count_in(&self, range: &Range<u64>) -> u64 {
        let in_prefix = self.prefix.min(range.end).saturating_sub(range.start);
        let beyond = self.above.iter().flat_map(|above| above.overlapping(range));
        let beyond = beyond.map(|held| held.end.min(range.end) - held.start.max(range.start));
        in_prefix + beyond.sum::<u64>()
    }
}

/// The serialized form: the first number of each run, and one more than its last.
impl From<SequenceSet> for Vec<(u64, u64)> {
    fn from(set: SequenceSet) -> Vec<(u64, u64)> {
        let prefix = (set.prefix > 0).then_some((0, set.prefix));
        let above = set.above.iter().flat_map(|above| above.iter());
        prefix.into_iter().chain(above.map(|run| (run.start, run.end))).collect()
    }
}

impl From<Vec<(u64, u64)>> for SequenceSet {
    fn from(runs: Vec<(u64, u64)>) -> SequenceSet {
        let mut set = SequenceSet::default();
        // Empty runs come from no set, and a `RangeSet` must not get them.
        for (from, to) in runs.into_iter().filter(|(from, to)| from < to) {
            match from {
                0 => set.prefix = set.prefix.max(to),
                _ => set.above.get_or_insert_default().insert(from..to),
            }
        }
        set.absorb();
        set
    }
}

const WORDS: usize = 16;
/// Offsets in a block.
const BLOCK: i64 = 64 * WORDS as i64;
/// Largest number of blocks. A backlog of more than about two thousand million records is not tracked.
const BLOCKS_MAX: usize = 1 << 21;

/// One bit per acknowledged offset. Blocks that the consumer has passed are removed, so the memory grows with the
/// backlog: 1/8 byte per record.
#[derive(Clone, Debug, Default)]
pub struct AckedOffsets {
    /// Number of the first block kept.
    first: i64,
    blocks: VecDeque<[u64; WORDS]>,
    /// Records acknowledged without an offset.
    unknown: u64,
}

impl AckedOffsets {
    /// Notes an acknowledgement while the consumer is at `position`. `None` counts as acknowledged without an offset.
    #[inline]
    pub fn insert(&mut self, offset: Option<Offset>, position: Offset) {
        let Some(Offset(offset)) = offset else {
            self.unknown += 1;
            return;
        };
        if offset < position.0 {
            return;
        }
        let number = offset / BLOCK;
        if self.blocks.is_empty() {
            self.first = number;
        }
        if number < self.first || number - self.first >= self.blocks.len() as i64 {
            self.make_room(number, position.0 / BLOCK);
        }
        let within = (offset % BLOCK) as usize;
        if let Some(block) = self.blocks.get_mut((number - self.first) as usize) {
            block[within / 64] |= 1 << (within % 64);
        }
    }

    #[cold]
    fn make_room(&mut self, number: i64, passed: i64) {
        while self.first < passed && !self.blocks.is_empty() {
            self.blocks.pop_front();
            self.first += 1;
        }
        if self.blocks.is_empty() {
            self.first = number;
        }
        while number < self.first && self.blocks.len() < BLOCKS_MAX {
            self.blocks.push_front([0; WORDS]);
            self.first -= 1;
        }
        while number - self.first >= self.blocks.len() as i64 && self.blocks.len() < BLOCKS_MAX {
            self.blocks.push_back([0; WORDS]);
        }
    }

    /// Records acknowledged without an offset.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Acknowledged offsets in `from..to`, without those that the consumer had passed when they were acknowledged.
    pub fn count(&self, from: Offset, to: Offset) -> u64 {
        let start = self.first * BLOCK;
        let of_word = |(at, word): (usize, &u64)| {
            let at = start + 64 * at as i64;
            let low = (from.0 - at).clamp(0, 64) as u32;
            let high = (to.0 - at).clamp(0, 64) as u32;
            let below = |bits: u32| u64::MAX.checked_shr(64 - bits).unwrap_or(0);
            u64::from((word & below(high) & !below(low)).count_ones())
        };
        self.blocks.iter().flatten().enumerate().map(of_word).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set(inserted in proptest::collection::vec(0u64..40, 0..80)) {
            let (mut set, mut plain) = (SequenceSet::default(), BTreeSet::new());
            for sequence in inserted {
                prop_assert_eq!(set.insert(sequence), plain.insert(sequence));
            }
            prop_assert_eq!(set.len(), plain.len() as u64);
            for sequence in 0..40 {
                prop_assert_eq!(set.contains(sequence), plain.contains(&sequence));
            }
            let missing: Vec<u64> = set.missing_below(40).into_iter().flatten().collect();
            let expected: Vec<u64> = (0..40).filter(|s| !plain.contains(s)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert_eq!(set.count_in(&(7..23)), plain.range(7..23).count() as u64);
        }
    }

    #[test]
    fn numbers_in_order_leave_no_gaps() {
        let mut set = SequenceSet::default();
        assert!((0..1000).all(|sequence| set.insert(sequence)));
        assert_eq!(set.gaps(), 0);
        set.insert(1001);
        assert_eq!(set.gaps(), 1);
    }

    proptest! {
        #[test]
        fn it_counts_what_a_set_would(
            offsets in prop::collection::vec(0_i64..5_000, 0..200),
            position in 0_i64..4_000,
            span in (0_i64..5_000, 0_i64..5_000),
        ) {
            let (mut acked, mut set) = (AckedOffsets::default(), BTreeSet::new());
            for (n, offset) in offsets.iter().enumerate() {
                // The consumer continues while acknowledgements arrive.
                let at = position * n as i64 / 200;
                acked.insert(Some(Offset(*offset)), Offset(at));
                if *offset >= at {
                    set.insert(*offset);
                }
            }
            let (from, to) = (position + span.0, position + span.0 + span.1);
            let expected = set.range(from..to).count() as u64;
            prop_assert_eq!(acked.count(Offset(from), Offset(to)), expected);
        }
    }

    #[test]
    fn memory_follows_the_consumer() {
        let mut acked = AckedOffsets::default();
        for offset in 0..1_000_000 {
            acked.insert(Some(Offset(offset)), Offset(offset - 2_000));
        }
        assert!(acked.blocks.len() < 8, "{}", acked.blocks.len());
        assert_eq!(acked.count(Offset(999_000), Offset(2_000_000)), 1_000);
        acked.insert(None, Offset(0));
        assert_eq!(acked.unknown(), 1);
    }
}
