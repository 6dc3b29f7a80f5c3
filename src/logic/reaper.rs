//! The reaper counts the threads of incarnations that were released, until they have closed their clients. An old
//! thread closes its client while the replacement already works. A thread that does not end in time is abandoned: no
//! operating system can kill a single thread, so it is only counted, and fenced.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Time;
use crate::measure::Owner;

/// The threads of all incarnations that have not ended.
#[derive(Clone, Debug)]
pub struct Reaper {
    limit: Duration,
    threads: BTreeMap<Owner, Thread>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    Working,
    Closing { since: Time },
    Abandoned,
}

impl Reaper {
    /// A reaper that abandons a thread after this time.
    pub fn new(limit: Duration) -> Reaper {
        Reaper { limit, threads: BTreeMap::new() }
    }

    /// Notes that an incarnation was started, with a thread of its own.
    pub fn started(&mut self, owner: Owner) {
        self.threads.insert(owner, Thread::Working);
    }

    /// Notes that an incarnation was released. Its thread has to end, unless it has ended already.
    pub fn released(&mut self, owner: Owner, now: Time) {
        if let Some(thread) = self.threads.get_mut(&owner) {
            *thread = Thread::Closing { since: now };
        }
    }

    /// Notes that a thread has closed its client and ended.
    pub fn closed(&mut self, owner: Owner) {
        self.threads.remove(&owner);
    }

    /// The threads that have become abandoned since the last check.
    pub fn check(&mut self, now: Time) -> Vec<Owner> {
        let mut late = Vec::new();
        for (owner, thread) in &mut self.threads {
            if matches!(thread, Thread::Closing { since } if now > *since + self.limit) {
                *thread = Thread::Abandoned;
                late.push(*owner);
            }
        }
        late
    }

    /// Number of threads that are abandoned and have not ended.
    pub fn abandoned(&self) -> u32 {
        self.threads.values().filter(|thread| **thread == Thread::Abandoned).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConsumerId, Incarnation};

    #[test]
    fn a_thread_is_abandoned_once_it_is_late_and_forgotten_when_it_ends_after_all() {
        let owner = |n| Owner { consumer: ConsumerId(7), incarnation: Incarnation(n) };
        let s = |s: i64| Time(s * 1_000_000_000);
        let mut reaper = Reaper::new(Duration::from_secs(10));
        (1..=4).for_each(|n| reaper.started(owner(n)));
        // The first one has ended before it was known that it failed.
        reaper.closed(owner(1));
        (1..=3).for_each(|n| reaper.released(owner(n), s(0)));
        assert_eq!(reaper.check(s(10)), []);
        assert_eq!(reaper.check(s(11)), [owner(2), owner(3)]);
        assert_eq!((reaper.check(s(12)), reaper.abandoned()), (Vec::new(), 2));
        reaper.closed(owner(3));
        assert_eq!(reaper.abandoned(), 1);
    }
}
