//! The cores of a machine: work queues for the core that is free first.

use std::time::Duration;

use crate::base::Time;

/// A number of equal cores.
#[derive(Clone, Debug)]
pub struct Cores {
    free_from: Vec<Time>,
}

impl Cores {
    /// `count` idle cores.
    pub fn new(count: u32) -> Cores {
        Cores { free_from: vec![Time::ZERO; count.max(1) as usize] }
    }

    /// Gives work that arrives at `now` a core, and returns the time at which it is done. Calls are in the order of
    /// their times, so all idle cores are equal.
    #[inline]
    pub fn occupy(&mut self, now: Time, work: Duration) -> Time {
        match self.free_from.iter_mut().find(|free_from| **free_from <= now) {
            Some(idle) => {
                *idle = now + work;
                *idle
            }
            None => self.queue(work),
        }
    }

    /// All cores are busy: the work waits for the one that is free first.
    fn queue(&mut self, work: Duration) -> Time {
        let mut first = 0;
        for i in 1..self.free_from.len() {
            if self.free_from[i] < self.free_from[first] {
                first = i;
            }
        }
        self.free_from[first] = self.free_from[first] + work;
        self.free_from[first]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_for_the_core_that_is_free_first() {
        let mut cores = Cores::new(2);
        let ms = Duration::from_millis(1);
        let done: Vec<i64> = (0..4).map(|_| cores.occupy(Time(0), ms).0 / 1_000_000).collect();
        assert_eq!(done, [1, 1, 2, 2]);
        assert_eq!(cores.occupy(Time(10_000_000), ms), Time(11_000_000));
    }

    #[test]
    fn work_that_comes_while_a_core_is_idle_does_not_wait() {
        let mut cores = Cores::new(2);
        let done = [0, 4, 5, 6, 9].map(|at| cores.occupy(Time(at), Duration::from_nanos(6)).0);
        assert_eq!(done, [6, 10, 12, 16, 18]);
    }
}
