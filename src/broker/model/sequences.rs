//! What a partition remembers of idempotent producers, so that a retry is neither appended twice nor out of order.
//!
//! After Kafka's `ProducerStateManager` and `ProducerStateEntry` (KIP-98): the last five batches of each producer.

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
    /// By number: the cluster gives them one after the other.
    producers: Vec<Producer>,
}

/// The last batches of a producer, in a ring.
#[derive(Clone, Debug, Default)]
struct Producer {
    batches: [Kept; BATCHES_KEPT],
    /// How many of them there are, and which one is the newest.
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

impl Sequences {
    /// Looks at a batch of `count` records whose first one has sequence `first`, and remembers it if it is to be
    /// appended, which is at `offset`. A producer nothing is known of may begin anywhere: what it did before may have
    /// been deleted.
    #[inline]
    pub fn admit(&mut self, producer: i64, first: u64, count: u64, offset: i64) -> Admission {
        let producer = self.producer(producer);
        if producer.newest().is_some_and(|newest| first != newest.first + newest.count) {
            return producer.find(first, count).map_or(Admission::OutOfOrder, Admission::Duplicate);
        }
        producer.remember(Kept { first, count, offset });
        Admission::Append
    }

    #[inline]
    fn producer(&mut self, number: i64) -> &mut Producer {
        let number = number as usize;
        if self.producers.len() <= number {
            self.producers.resize_with(number + 1, Producer::default);
        }
        &mut self.producers[number]
    }

    /// Forgets what the log has lost from offset `from` on.
    pub fn truncate(&mut self, from: i64) {
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

    fn filled(batches: u64) -> Sequences {
        let mut sequences = Sequences::default();
        for i in 0..batches {
            let offset = 100 + i as i64 * 10;
            assert_eq!(sequences.admit(1, i * 10, 10, offset), Admission::Append);
        }
        sequences
    }

    #[test]
    fn a_retry_is_acknowledged_and_not_appended() {
        let mut sequences = filled(7);
        assert_eq!(sequences.admit(1, 30, 10, 170), Admission::Duplicate(130));
        assert_eq!(sequences.admit(1, 70, 10, 170), Admission::Append);
        assert_eq!(sequences.admit(1, 70, 10, 180), Admission::Duplicate(170));
        assert_eq!(sequences.admit(2, 30, 10, 180), Admission::Append, "another producer");
    }

    #[test]
    fn a_gap_is_refused_and_so_is_what_is_long_past() {
        let mut sequences = filled(7);
        assert_eq!(sequences.admit(1, 80, 10, 170), Admission::OutOfOrder);
        let five_are_remembered = sequences.admit(1, 20, 10, 170);
        assert_eq!(five_are_remembered, Admission::Duplicate(120));
        assert_eq!(sequences.admit(1, 10, 10, 170), Admission::OutOfOrder);
    }

    #[test]
    fn what_the_log_has_lost_may_come_again() {
        let mut sequences = filled(3);
        sequences.truncate(120);
        assert_eq!(sequences.admit(1, 20, 10, 120), Admission::Append);
        assert_eq!(sequences.admit(1, 10, 10, 130), Admission::Duplicate(110));
        sequences.truncate(100);
        assert_eq!(sequences.admit(1, 70, 10, 100), Admission::Append, "nothing is known any more");
    }
}
