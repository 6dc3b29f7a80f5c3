//! The state of idempotent producers at a partition: the last five batches of each, so that a retry is neither appended
//! twice nor out of order.
//!
//! It follows Kafka's `ProducerStateManager` and `ProducerStateEntry` (KIP-98).

/// Batches remembered per producer: as many as an idempotent client may have in flight.
const BATCHES_KEPT: usize = 5;

/// The result of the sequence check of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceCheck {
    /// Append it.
    Append,
    /// The batch is in the log already, at this offset: acknowledge it again.
    Duplicate(i64),
    /// An earlier batch is missing.
    OutOfOrder,
}

/// The state of the producers of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct ProducerStates {
    /// Index: the producer id, which the cluster counts up.
    producers: Vec<Producer>,
}

/// The last batches of a producer, in a ring.
#[derive(Clone, Debug, Default)]
struct Producer {
    batches: [Kept; BATCHES_KEPT],
    /// Number of batches in the ring, and the index of the newest.
    count: usize,
    newest: usize,
}

/// A batch that was appended.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    first: u64,
    count: u64,
    offset: i64,
}

impl ProducerStates {
    /// Checks a batch of `count` records with `first` as the sequence of the first one. Remembers it if it is to be
    /// appended, at `offset`. A producer without state may start with any sequence, because its earlier batches may
    /// have been deleted.
    #[inline]
    pub(super) fn admit(
        &mut self,
        producer: i64,
        first: u64,
        count: u64,
        offset: i64,
    ) -> SequenceCheck {
        let producer = self.producer(producer);
        if producer.newest().is_some_and(|newest| first != newest.first + newest.count) {
            return producer
                .find(first, count)
                .map_or(SequenceCheck::OutOfOrder, SequenceCheck::Duplicate);
        }
        producer.remember(Kept { first, count, offset });
        SequenceCheck::Append
    }

    #[inline]
    fn producer(&mut self, number: i64) -> &mut Producer {
        let number = number as usize;
        if self.producers.len() <= number {
            self.producers.resize_with(number + 1, Producer::default);
        }
        &mut self.producers[number]
    }

    /// Forgets the batches from offset `from` on, which the log has lost.
    pub(super) fn truncate(&mut self, from: i64) {
        for producer in &mut self.producers {
            while producer.newest().is_some_and(|newest| newest.offset >= from) {
                producer.forget_newest();
            }
        }
    }
}

impl Producer {
    #[inline]
    fn newest(&self) -> Option<&Kept> {
        (self.count > 0).then(|| &self.batches[self.newest])
    }

    #[inline]
    fn remember(&mut self, batch: Kept) {
        self.newest = (self.newest + 1) % BATCHES_KEPT;
        self.batches[self.newest] = batch;
        self.count = BATCHES_KEPT.min(self.count + 1);
    }

    fn forget_newest(&mut self) {
        self.newest = (self.newest + BATCHES_KEPT - 1) % BATCHES_KEPT;
        self.count -= 1;
    }

    /// The offset of a batch that is remembered.
    #[cold]
    fn find(&self, first: u64, count: u64) -> Option<i64> {
        let back = |age: usize| &self.batches[(self.newest + BATCHES_KEPT - age) % BATCHES_KEPT];
        let mut kept = (0..self.count).map(back);
        let found = kept.find(|kept| (kept.first, kept.count) == (first, count));
        found.map(|kept| kept.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(batches: u64) -> ProducerStates {
        let mut sequences = ProducerStates::default();
        for i in 0..batches {
            let offset = 100 + i as i64 * 10;
            assert_eq!(sequences.admit(1, i * 10, 10, offset), SequenceCheck::Append);
        }
        sequences
    }

    #[test]
    fn a_retry_is_acknowledged_and_not_appended() {
        let mut sequences = filled(7);
        assert_eq!(sequences.admit(1, 30, 10, 170), SequenceCheck::Duplicate(130));
        assert_eq!(sequences.admit(1, 70, 10, 170), SequenceCheck::Append);
        assert_eq!(sequences.admit(1, 70, 10, 180), SequenceCheck::Duplicate(170));
        assert_eq!(sequences.admit(2, 30, 10, 180), SequenceCheck::Append, "another producer");
    }

    #[test]
    fn a_gap_is_refused_and_so_is_what_is_long_past() {
        let mut sequences = filled(7);
        assert_eq!(sequences.admit(1, 80, 10, 170), SequenceCheck::OutOfOrder);
        let five_are_remembered = sequences.admit(1, 20, 10, 170);
        assert_eq!(five_are_remembered, SequenceCheck::Duplicate(120));
        assert_eq!(sequences.admit(1, 10, 10, 170), SequenceCheck::OutOfOrder);
    }

    #[test]
    fn what_the_log_has_lost_may_come_again() {
        let mut sequences = filled(3);
        sequences.truncate(120);
        assert_eq!(sequences.admit(1, 20, 10, 120), SequenceCheck::Append);
        assert_eq!(sequences.admit(1, 10, 10, 130), SequenceCheck::Duplicate(110));
        sequences.truncate(100);
        assert_eq!(
            sequences.admit(1, 70, 10, 100),
            SequenceCheck::Append,
            "nothing is known any more"
        );
    }
}
