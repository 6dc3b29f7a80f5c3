//! The event queue: events in the order of their times, and at the same instant in an order that the seed decides.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::base::{Seed, Time};

/// The future events.
#[derive(Debug)]
pub(super) struct Queue<E> {
    events: BinaryHeap<Reverse<Entry<E>>>,
    salt: u64,
}

/// The place of an event in the order of events: its time, and at the same instant a tie-break that follows from the
/// seed and from the subject of the event. It does not depend on the time at which the event was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    at: u64,
    tie: u64,
}

impl Key {
    /// The place before every event.
    pub(super) const FIRST: Key = Key { at: 0, tie: 0 };
    /// The place after every event.
    pub(super) const NEVER: Key = Key { at: u64::MAX, tie: u64::MAX };

    /// Time of the event.
    #[inline]
    pub(super) fn at(self) -> Time {
        Time(self.at as i64)
    }
}

#[derive(Debug)]
struct Entry<E> {
    key: Key,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<E: Copy> Queue<E> {
    pub(super) fn new(seed: Seed) -> Queue<E> {
        Queue { events: BinaryHeap::new(), salt: seed.child("ties", 0).0 }
    }

    /// The place of the event at `at` whose subject is `what`.
    #[inline]
    pub(super) fn key(&self, at: Time, what: u64) -> Key {
        let at = at.0.max(0) as u64;
        // A multiplication by an odd number gives each subject another tie-break, in another order at each instant.
        let tie = (what ^ self.salt ^ at.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Key { at, tie }
    }

    /// Inserts `event` at its place.
    #[inline]
    pub(super) fn insert(&mut self, key: Key, event: E) {
        self.events.push(Reverse(Entry { key, event }));
    }

    /// The next event, which remains in the queue.
    #[inline]
    pub(super) fn peek(&self) -> Option<(Key, E)> {
        self.events.peek().map(|Reverse(Entry { key, event })| (*key, *event))
    }

    /// Moves the next event to another place, or removes it.
    #[inline]
    pub(super) fn advance(&mut self, next: Option<Key>) {
        let Some(mut first) = self.events.peek_mut() else { return };
        match next {
            Some(key) => first.0.key = key,
            None => drop(PeekMut::pop(first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<E: Copy> Queue<E> {
        fn pop(&mut self) -> Option<(Key, E)> {
            let next = self.peek();
            self.advance(None);
            next
        }
    }

    #[test]
    fn any_number_of_events_comes_in_order() {
        let mut random = Seed(4).random();
        let (mut queue, mut last) = (Queue::new(Seed(2)), Time::ZERO);
        for step in 0..20_000_u64 {
            // Up to some thousand waiting, and down again, several times.
            let grows = (step / 2_500) % 2 == 0;
            if grows || step % 3 == 0 {
                // Some now, most within a millisecond, some much later.
                let span = [1, 100_000, 100_000, 900_000, 50_000_000][(step % 5) as usize];
                let at = Time(last.0 + (random.next_u64() % span) as i64);
                queue.insert(queue.key(at, step), step);
            }
            if (!grows || step % 3 == 0)
                && let Some((key, _)) = queue.pop()
            {
                assert!(key.at() >= last);
                last = key.at();
            }
        }
        while let Some((key, _)) = queue.pop() {
            assert!(key.at() >= last);
            last = key.at();
        }
    }

    fn order(seed: u64, times: &[i64]) -> Vec<usize> {
        let mut queue = Queue::new(Seed(seed));
        for (i, at) in times.iter().enumerate() {
            queue.insert(queue.key(Time(*at), i as u64), i);
        }
        std::iter::from_fn(|| queue.pop()).map(|(_, i)| i).collect()
    }

    #[test]
    fn time_decides_and_then_the_seed_and_not_who_came_first() {
        assert_eq!(order(1, &[30, 10, 20]), [1, 2, 0]);
        let ties = [5; 12];
        assert_eq!(order(1, &ties), order(1, &ties));
        assert!((2..10).any(|seed| order(seed, &ties) != order(1, &ties)));
        let mut queue = Queue::new(Seed(1));
        (0..12).rev().for_each(|i| queue.insert(queue.key(Time(5), i), i as usize));
        let backwards: Vec<usize> = std::iter::from_fn(|| queue.pop()).map(|(_, i)| i).collect();
        assert_eq!(backwards, order(1, &ties));
    }
}
