//! The due times of many items, with fast access to the earliest one.

use std::collections::BTreeSet;

use super::Time;

/// The due time of each number, from 0 on.
#[derive(Debug, Default)]
pub struct DueTimes {
    by_number: Vec<Time>,
    by_time: BTreeSet<(Time, usize)>,
}

impl DueTimes {
    /// `count` numbers without a due time.
    pub fn new(count: usize) -> DueTimes {
        DueTimes { by_number: vec![Time::NEVER; count], by_time: BTreeSet::new() }
    }

    /// Sets the only due time of `number`; [`Time::NEVER`] removes it.
    pub fn set(&mut self, number: usize, at: Time) {
        if number >= self.by_number.len() {
            self.by_number.resize(number + 1, Time::NEVER);
        }
        let before = std::mem::replace(&mut self.by_number[number], at);
        if before == at {
            return;
        }
        if before != Time::NEVER {
            self.by_time.remove(&(before, number));
        }
        if at != Time::NEVER {
            self.by_time.insert((at, number));
        }
    }

    /// The earliest due time; [`Time::NEVER`] without any.
    pub fn first(&self) -> Time {
        self.by_time.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    /// Removes the earliest due time and returns its number; `None` if it is after `now`.
    pub fn take(&mut self, now: Time) -> Option<usize> {
        let &(at, number) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(number, Time::NEVER);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_taken_when_it_is_due_and_the_last_time_that_was_set_counts() {
        let mut due = DueTimes::new(2);
        assert_eq!((due.first(), due.take(Time(9))), (Time::NEVER, None));
        due.set(0, Time(5));
        due.set(1, Time(3));
        due.set(7, Time(4));
        due.set(1, Time(8));
        due.set(0, Time::NEVER);
        assert_eq!((due.first(), due.take(Time(3))), (Time(4), None));
        assert_eq!(
            (due.take(Time(9)), due.take(Time(9)), due.take(Time(9))),
            (Some(7), Some(1), None)
        );
    }
}
