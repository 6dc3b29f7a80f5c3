//! The event queue: by time, and at the same instant in an order the seed decides.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::{Seed, Time};

/// Events that are to come.
#[derive(Debug)]
pub(super) struct Queue<E> {
    /// Time, tie-break, place in `events`, packed so that comparing is one instruction or two.
    heap: BinaryHeap<Reverse<u128>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
    salt: u64,
    count: u64,
}

impl<E> Queue<E> {
    pub(super) fn new(seed: Seed) -> Queue<E> {
        let salt = seed.child("ties", 0).0;
        Queue { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), salt, count: 0 }
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
        self.heap.push(Reverse(at << 64 | u128::from(tie) << 32 | u128::from(place)));
    }

    /// The next event.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse(key) = self.heap.pop()?;
        let place = key as u32;
        self.free.push(place);
        let event = self.events[place as usize].take()?;
        Some((Time((key >> 64) as i64), event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
