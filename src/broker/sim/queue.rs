//! The event queue: by time, and at the same instant in an order the seed decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::{Seed, Time};

/// So many of the next events are kept sorted: putting one in its place moves a few cache lines, which is less work
/// than a heap's comparisons. A simulation of some dozen connections never has more.
const NEAR_MAX: usize = 128;

/// Events that are to come.
#[derive(Debug)]
pub(super) struct Queue<E> {
    /// The next events, the very next one last.
    near: Vec<Key>,
    /// The events after those.
    far: BinaryHeap<Reverse<Key>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    salt: u64,
    count: u64,
}

/// Time, tie-break, place in `events`, packed so that comparing is one instruction or two.
type Key = u128;

impl<E> Queue<E> {
    pub(super) fn new(seed: Seed) -> Queue<E> {
        let salt = seed.child("ties", 0).0;
        Queue {
            near: Vec::with_capacity(NEAR_MAX + 1),
            far: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            salt,
            count: 0,
        }
    }

    /// Lets `event` happen at `at`; nothing happens before the epoch.
    #[inline]
    pub(super) fn push(&mut self, at: Time, event: E) {
        self.count += 1;
        let tie = ((self.count ^ self.salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() as u32 - 1
            }
        };
        let at = u128::from(at.0.max(0) as u64);
        self.insert(at << 64 | u128::from(tie) << 32 | u128::from(place));
    }

    /// Keeps everything near before everything far.
    #[inline]
    fn insert(&mut self, key: Key) {
        if self.far.peek().is_some_and(|Reverse(first)| *first < key) {
            self.far.push(Reverse(key));
            return;
        }
        let at = self.near.partition_point(|later| *later > key);
        self.near.insert(at, key);
        if self.near.len() > NEAR_MAX {
            self.far.extend(self.near.drain(..NEAR_MAX / 2).map(Reverse));
        }
    }

    /// The next event.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Time, E)> {
        let key = match self.near.pop() {
            Some(key) => key,
            None => self.far.pop()?.0,
        };
        let place = key as u32;
        self.free.push(place);
        let event = self.events[place as usize].take()?;
        Some((Time((key >> 64) as i64), event))
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
                queue.push(Time(last.0 + (random.next_u64() % 1_000) as i64), step);
            }
            if (!grows || step % 3 == 0)
                && let Some((at, _)) = queue.pop()
            {
                assert!(at >= last);
                last = at;
            }
        }
        while let Some((at, _)) = queue.pop() {
            assert!(at >= last);
            last = at;
        }
    }

    fn order(seed: u64, times: &[i64]) -> Vec<usize> {
        let mut queue = Queue::new(Seed(seed));
        times.iter().enumerate().for_each(|(i, at)| queue.push(Time(*at), i));
        std::iter::from_fn(|| queue.pop()).map(|(_, i)| i).collect()
    }

    #[test]
    fn time_decides_and_then_the_seed() {
        assert_eq!(order(1, &[30, 10, 20]), [1, 2, 0]);
        let ties = [5; 12];
        assert_eq!(order(1, &ties), order(1, &ties));
        assert!((2..10).any(|seed| order(seed, &ties) != order(1, &ties)));
    }
}
