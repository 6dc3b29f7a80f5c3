//! The event queue: by time, and at the same instant in an order the seed decides.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::base::{Seed, Time};

/// Stretches of time with a list of events each; as many as a word has bits.
const STRETCHES: u64 = 64;
/// A stretch is 2^16 ns, 66 us, long: all of them together are about as far as a pool sends early.
const STRETCH_BITS: u32 = 16;

/// Events that are to come.
///
/// Those of the next four milliseconds lie in short lists, one for each stretch of time, and the next one is found by
/// reading one word and one list; whatever is later lies in a heap.
#[derive(Debug)]
pub(super) struct Queue<E> {
    /// By number of the stretch, modulo their count.
    near: Box<[Vec<Entry<E>>; STRETCHES as usize]>,
    /// Which of these lists are not empty.
    occupied: u64,
    /// The stretch of the last event taken. No event is earlier, and none that is near is a round later.
    current: u64,
    far: BinaryHeap<Reverse<Entry<E>>>,
    salt: u64,
}

/// An event's place in the order of events: by time, and at the same instant by what it is about, in an order the seed
/// decides. It does not matter when the event is put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    at: u64,
    tie: u64,
}

impl Key {
    /// Before every event.
    pub(super) const FIRST: Key = Key { at: 0, tie: 0 };
    /// After every event.
    pub(super) const NEVER: Key = Key { at: u64::MAX, tie: u64::MAX };

    /// When the event happens.
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

impl<E> Queue<E> {
    pub(super) fn new(seed: Seed) -> Queue<E> {
        Queue {
            near: Box::new(std::array::from_fn(|_| Vec::new())),
            occupied: 0,
            current: 0,
            far: BinaryHeap::new(),
            salt: seed.child("ties", 0).0,
        }
    }

    /// The place of what happens at `at` and is about `what`.
    #[inline]
    pub(super) fn key(&self, at: Time, what: u64) -> Key {
        let at = at.0.max(0) as u64;
        // A multiplication by an odd number gives everything another tie, and other instants another order.
        let tie = (what ^ self.salt ^ at.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Key { at, tie }
    }

    /// Lets `event` happen at its place.
    #[inline]
    pub(super) fn insert(&mut self, key: Key, event: E) {
        let stretch = (key.at >> STRETCH_BITS).max(self.current);
        let entry = Entry { key, event };
        if stretch - self.current < STRETCHES {
            let list = stretch % STRETCHES;
            self.near[list as usize].push(entry);
            self.occupied |= 1 << list;
        } else {
            self.insert_far(entry);
        }
    }

    #[cold]
    fn insert_far(&mut self, entry: Entry<E>) {
        self.far.push(Reverse(entry));
    }

    /// The next event.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Key, E)> {
        let Entry { key, event } = match self.pop_near() {
            Some(next) => next,
            None => self.far.pop()?.0,
        };
        self.current = self.current.max(key.at >> STRETCH_BITS);
        Some((key, event))
    }

    /// The next event, if it is near.
    #[inline]
    fn pop_near(&mut self) -> Option<Entry<E>> {
        if self.occupied == 0 {
            return None;
        }
        let first = (self.current % STRETCHES) as u32;
        let list = (first + self.occupied.rotate_right(first).trailing_zeros()) as usize;
        let list = list % STRETCHES as usize;
        let events = &mut self.near[list];
        let (place, next) = events.iter().enumerate().min_by_key(|(_, event)| event.key)?;
        if self.far.peek().is_some_and(|Reverse(far)| far.key < next.key) {
            return None;
        }
        let next = events.swap_remove(place);
        if events.is_empty() {
            self.occupied &= !(1 << list);
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
