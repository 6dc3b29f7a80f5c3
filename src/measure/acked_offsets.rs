//! Which offsets of a partition were acknowledged, from the consumer's position on.

use std::collections::VecDeque;

use crate::base::Offset;

const WORDS: usize = 16;
/// Offsets in a block.
const BLOCK: i64 = 64 * WORDS as i64;
/// Blocks kept: a consumer that is further behind than two thousand million records is not followed.
const BLOCKS_MAX: usize = 1 << 21;

/// A bit per acknowledged offset. What the consumer has passed is forgotten, so memory grows with the backlog: an
/// eighth of a byte per record.
#[derive(Clone, Debug, Default)]
pub struct AckedOffsets {
    /// Number of the first block kept.
    first: i64,
    blocks: VecDeque<[u64; WORDS]>,
    /// Records acknowledged without an offset.
    unknown: u64,
}

impl AckedOffsets {
    /// Notes an acknowledgement; the consumer is at `position`.
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

    /// Acknowledged offsets in `from..to`; those the consumer had passed when they were acknowledged are left out.
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_counts_what_a_set_would(
            offsets in prop::collection::vec(0_i64..5_000, 0..200),
            position in 0_i64..4_000,
            span in (0_i64..5_000, 0_i64..5_000),
        ) {
            let (mut acked, mut set) = (AckedOffsets::default(), BTreeSet::new());
            for (n, offset) in offsets.iter().enumerate() {
                // The consumer moves on while acknowledgements come.
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
