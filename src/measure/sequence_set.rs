//! Which sequence numbers were seen: a prefix without gaps, and ranges beyond it.

use std::ops::Range;

use rangemap::RangeSet;

/// A set of sequence numbers that is cheap while they come in order, and small: there is one for every lane.
#[derive(Clone, Debug, Default)]
pub struct SequenceSet {
    /// Everything below is in the set.
    prefix: u64,
    /// What is in the set beyond the prefix, if anything is; almost always nothing.
    above: Option<Box<RangeSet<u64>>>,
}

impl SequenceSet {
    /// Adds `sequence`; false when it was in already.
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

    /// Whether `sequence` is in the set.
    pub fn contains(&self, sequence: u64) -> bool {
        sequence < self.prefix || self.above.as_ref().is_some_and(|above| above.contains(&sequence))
    }

    /// Number of sequence numbers in the set.
    pub fn len(&self) -> u64 {
        let above = self.above.iter().flat_map(|above| above.iter());
        self.prefix + above.map(|range| range.end - range.start).sum::<u64>()
    }

    /// Whether nothing was ever added.
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

    /// How many numbers of `range` are in the set.
    pub fn count_in(&self, range: &Range<u64>) -> u64 {
        let in_prefix = self.prefix.min(range.end).saturating_sub(range.start);
        let beyond = self.above.iter().flat_map(|above| above.overlapping(range));
        let beyond = beyond.map(|held| held.end.min(range.end) - held.start.max(range.start));
        in_prefix + beyond.sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

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
}
