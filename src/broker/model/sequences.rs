//! What a partition remembers of idempotent producers, so that a retry is neither appended twice nor out of order.
//!
//! After Kafka's `ProducerStateManager` and `ProducerStateEntry` (KIP-98): the last five batches of each producer.

use std::collections::{BTreeMap, VecDeque};

/// Batches remembered per producer: as many as a client may have in flight.
const BATCHES_KEPT: usize = 5;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Append it.
    Append,
    /// It is in the log already, from this offset on: acknowledge it again.
    Duplicate(i64),
    /// A batch before it is missing.
    OutOfOrder,
}

/// The producers of a partition.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    producers: BTreeMap<i64, VecDeque<Kept>>,
}

/// A batch that was appended.
#[derive(Clone, Copy, Debug)]
struct Kept {
    first: u64,
    count: u64,
    offset: i64,
}

impl Sequences {
    /// Looks at a batch of `count` records whose first one has sequence `first`. A producer nothing is known of may
    /// begin anywhere: what it did before may have been deleted.
    pub fn admit(&self, producer: i64, first: u64, count: u64) -> Admission {
        let Some(kept) = self.producers.get(&producer) else {
            return Admission::Append;
        };
        if kept.back().is_none_or(|last| first == last.first + last.count) {
            return Admission::Append;
        }
        let known = kept.iter().find(|kept| (kept.first, kept.count) == (first, count));
        known.map_or(Admission::OutOfOrder, |known| Admission::Duplicate(known.offset))
    }

    /// Remembers a batch that was appended at `offset`.
    pub fn appended(&mut self, producer: i64, first: u64, count: u64, offset: i64) {
        let kept = self.producers.entry(producer).or_default();
        kept.push_back(Kept { first, count, offset });
        if kept.len() > BATCHES_KEPT {
            kept.pop_front();
        }
    }

    /// Forgets what the log has lost from offset `from` on.
    pub fn truncate(&mut self, from: i64) {
        self.producers.values_mut().for_each(|kept| kept.retain(|batch| batch.offset < from));
        self.producers.retain(|_, kept| !kept.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(batches: u64) -> Sequences {
        let mut sequences = Sequences::default();
        for i in 0..batches {
            assert_eq!(sequences.admit(1, i * 10, 10), Admission::Append);
            sequences.appended(1, i * 10, 10, 100 + i as i64 * 10);
        }
        sequences
    }

    #[test]
    fn a_retry_is_acknowledged_and_not_appended() {
        let sequences = filled(7);
        assert_eq!(sequences.admit(1, 30, 10), Admission::Duplicate(130));
        assert_eq!(sequences.admit(1, 70, 10), Admission::Append);
        assert_eq!(sequences.admit(2, 30, 10), Admission::Append, "another producer");
    }

    #[test]
    fn a_gap_is_refused_and_so_is_what_is_long_past() {
        let sequences = filled(7);
        assert_eq!(sequences.admit(1, 80, 10), Admission::OutOfOrder);
        assert_eq!(sequences.admit(1, 10, 10), Admission::OutOfOrder, "only five are remembered");
    }

    #[test]
    fn what_the_log_has_lost_may_come_again() {
        let mut sequences = filled(3);
        sequences.truncate(120);
        assert_eq!(sequences.admit(1, 20, 10), Admission::Append);
        assert_eq!(sequences.admit(1, 10, 10), Admission::Duplicate(110));
    }
}
