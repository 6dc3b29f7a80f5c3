//! The instance ids that only one client at a time may hold: those of static members of the consumer protocol.
//!
//! In that protocol a broker refuses a member (`UNRELEASED_INSTANCE_ID`, fatal to its client) as long as its
//! predecessor has not left temporarily (epoch -2, KIP-848). In the classic protocol the broker fences the predecessor
//! instead.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{Clock, ConsumerId, Incarnation, Time};
use crate::plan::GroupPlan;

/// The holders of instance ids. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct InstanceIds(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    holders: Mutex<BTreeMap<ConsumerId, Incarnation>>,
    freed: Condvar,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConsumerId, Incarnation>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InstanceIds {
    /// The instance ids of this group's members, if only one client may hold each.
    pub(crate) fn of(group: Option<&GroupPlan>) -> Option<InstanceIds> {
        group.is_some_and(GroupPlan::has_exclusive_instance_ids).then(InstanceIds::default)
    }

    /// A claim to the instance id of `consumer`. It is valid once the holder has released it, or after `limit`: then
    /// the broker decides.
    pub(crate) fn claim(
        &self,
        consumer: ConsumerId,
        incarnation: Incarnation,
        clock: Clock,
        limit: Duration,
    ) -> InstanceIdClaim {
        let patient_until = clock.now() + limit;
        InstanceIdClaim { held: self.0.clone(), consumer, incarnation, clock, patient_until }
    }
}

/// A member's instance id, or the claim to it. Dropping it releases the id, to be done when the client is closed.
#[derive(Debug)]
pub(crate) struct InstanceIdClaim {
    held: Arc<Held>,
    consumer: ConsumerId,
    incarnation: Incarnation,
    clock: Clock,
    patient_until: Time,
}

impl InstanceIdClaim {
    /// Takes the instance id, for which it waits at most `wait`. True if it is held now.
    pub(crate) fn take(&self, wait: Duration) -> bool {
        let wait = wait.min(self.patient_until.remaining(self.clock.now()));
        let is_other = |holders: &mut BTreeMap<_, _>| {
            holders.get(&self.consumer).is_some_and(|i| *i != self.incarnation)
        };
        let waited = self.held.freed.wait_timeout_while(self.held.lock(), wait, is_other);
        let (mut holders, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && self.clock.now() < self.patient_until {
            return false;
        }
        holders.insert(self.consumer, self.incarnation);
        true
    }
}

impl Drop for InstanceIdClaim {
    fn drop(&mut self) {
        let mut holders = self.held.lock();
        if holders.get(&self.consumer) == Some(&self.incarnation) {
            holders.remove(&self.consumer);
            self.held.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn claim(
        ids: &InstanceIds,
        consumer: u32,
        incarnation: u32,
        limit: Duration,
    ) -> InstanceIdClaim {
        ids.claim(ConsumerId(consumer), Incarnation(incarnation), Clock::start(), limit)
    }

    #[test]
    fn a_successor_has_the_place_when_its_predecessor_has_gone() {
        let ids = InstanceIds::default();
        let (first, second) = (claim(&ids, 2, 1, LONG), claim(&ids, 2, 2, LONG));
        assert!(first.take(Duration::ZERO) && first.take(Duration::ZERO));
        assert!(!second.take(Duration::from_millis(1)));
        // Another consumer has an instance id of its own.
        assert!(claim(&ids, 3, 1, LONG).take(Duration::ZERO));
        let waiting = std::thread::spawn(move || second.take(LONG));
        drop(first);
        assert!(waiting.join().expect("no panic"));
    }

    #[test]
    fn who_has_lost_patience_takes_the_place_and_keeps_it() {
        let ids = InstanceIds::default();
        let (first, second) = (claim(&ids, 2, 1, LONG), claim(&ids, 2, 2, Duration::ZERO));
        assert!(first.take(Duration::ZERO) && second.take(LONG));
        drop(first);
        assert!(!claim(&ids, 2, 3, LONG).take(Duration::ZERO));
        drop(second);
        assert!(claim(&ids, 2, 4, LONG).take(Duration::ZERO));
    }
}
