//! The gate: when many slots fail together, the cluster has failed, and not each slot.
//!
//! ```text
//!           a third of the slots within a second
//!   Open ─────────────────────────────────────────► Shut ──► one slot is let through as a probe, and after a
//!    ▲                                               │       longer and longer delay another one
//!    └───────────────────────────────────────────────┘
//!      any slot comes up: the others follow one after the other
//! ```
//!
//! A slot that is held back is not charged for its failure. A slot that failed within the second before gets its charge
//! back.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::{Random, Time};
use crate::plan::RestartPolicy;

/// Failures within this time of each other count as one of the cluster.
pub const GATE_WINDOW: Duration = Duration::from_secs(1);
/// Time between the starts of slots after the gate opens, so that they do not all reach a cluster that has just
/// recovered at once.
const STAGGER: Duration = Duration::from_millis(50);

/// The gate in front of the restarts of all slots. `K` identifies a slot.
#[derive(Clone, Debug)]
pub struct Gate<K> {
    slots: usize,
    policy: RestartPolicy,
    /// Recent failures with an error of the cluster.
    failures: VecDeque<(Time, K)>,
    shut: Option<Shut<K>>,
    generation: u64,
}

#[derive(Clone, Debug)]
struct Shut<K> {
    held: BTreeSet<K>,
    /// The last slot let through. The next probe is the slot after it, so that one bad partition does not decide for
    /// all.
    last: Option<K>,
    probes: u32,
}

/// An action for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateEffect<K> {
    /// The gate has shut.
    Shut,
    /// Hold back the slot that has ended, without a charge.
    Hold(K),
    /// Give back what this slot was charged, because it failed before the gate shut. If it waits for its restart, call
    /// [`Gate::hold`].
    Forgive(K),
    /// Call [`Gate::timer`] with the generation after the delay.
    SetTimer {
        /// The argument for [`Gate::timer`].
        generation: u64,
        /// Delay from now.
        delay: Duration,
    },
    /// Start this slot, to find out whether the cluster is available again.
    Probe(K),
    /// Start this slot after the delay.
    Release(K, Duration),
    /// The gate has opened.
    Opened,
}

impl<K: Copy + Ord> Gate<K> {
    /// An open gate for `slots` slots. The delays between probes are those of `policy`.
    pub fn new(slots: usize, policy: RestartPolicy) -> Gate<K> {
        Gate { slots, policy, failures: VecDeque::new(), shut: None, generation: 0 }
    }

    /// True while restarts are held back.
    pub fn is_shut(&self) -> bool {
        self.shut.is_some()
    }

    /// Notes that a slot ended with an error of the cluster. Without a [`GateEffect::Hold`] for the slot, the failure
    /// is its own.
    pub fn failed(&mut self, slot: K, now: Time, random: &mut Random) -> Vec<GateEffect<K>> {
        if let Some(shut) = &mut self.shut {
            shut.held.insert(slot);
            return vec![GateEffect::Hold(slot)];
        }
        self.failures.push_back((now, slot));
        while self.failures.front().is_some_and(|(at, _)| now >= *at + GATE_WINDOW) {
            self.failures.pop_front();
        }
        let failed: BTreeSet<K> = self.failures.iter().map(|(_, slot)| *slot).collect();
        if failed.len() < self.slots.div_ceil(3).max(2) {
            return Vec::new();
        }
        self.failures.clear();
        self.shut = Some(Shut { held: BTreeSet::from([slot]), last: None, probes: 0 });
        let others = failed.into_iter().filter(|other| *other != slot);
        let mut effects = vec![GateEffect::Shut, GateEffect::Hold(slot)];
        effects.extend(others.map(GateEffect::Forgive));
        effects.push(self.next_probe(random));
        effects
    }

    /// Holds back a slot that waits for its restart.
    pub fn hold(&mut self, slot: K) {
        if let Some(shut) = &mut self.shut {
            shut.held.insert(slot);
        }
    }

    /// Notes that a slot has reached the cluster. The gate opens, and the other slots follow.
    pub fn ready(&mut self, slot: K) -> Vec<GateEffect<K>> {
        let Some(mut shut) = self.shut.take() else {
            return Vec::new();
        };
        self.generation += 1;
        shut.held.remove(&slot);
        let delays = (0u32..).map(|place| STAGGER * place);
        let released = shut.held.into_iter().zip(delays);
        let mut effects = vec![GateEffect::Opened];
        effects.extend(released.map(|(slot, delay)| GateEffect::Release(slot, delay)));
        effects
    }

    /// Notes that the timer for a probe fired.
    pub fn timer(&mut self, generation: u64, random: &mut Random) -> Vec<GateEffect<K>> {
        if generation != self.generation {
            return Vec::new();
        }
        let Some(shut) = &mut self.shut else {
            return Vec::new();
        };
        let after_last = shut.held.iter().find(|slot| Some(**slot) > shut.last);
        let next = after_last.or(shut.held.first()).copied();
        let mut effects = Vec::new();
        if let Some(slot) = next {
            shut.held.remove(&slot);
            shut.last = Some(slot);
            shut.probes += 1;
            effects.push(GateEffect::Probe(slot));
        }
        // The timer for the next probe is set now, because this one may neither fail nor become ready.
        effects.push(self.next_probe(random));
        effects
    }

    fn next_probe(&mut self, random: &mut Random) -> GateEffect<K> {
        self.generation += 1;
        let probes = self.shut.as_ref().map_or(0, |shut| shut.probes);
        let delay = self.policy.delay(probes, random);
        GateEffect::SetTimer { generation: self.generation, delay }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Seed;

    fn gate(slots: usize) -> Gate<u32> {
        Gate::new(slots, RestartPolicy::default())
    }

    #[test]
    fn a_third_of_the_slots_within_a_second_shuts_the_gate_and_one_that_comes_up_opens_it() {
        let (mut gate, mut random) = (gate(6), Seed(1).random());
        assert_eq!(gate.failed(3, Time(0), &mut random), []);
        let effects = gate.failed(5, Time(1), &mut random);
        let expected = [GateEffect::Shut, GateEffect::Hold(5), GateEffect::Forgive(3)];
        assert_eq!(effects[..3], expected);
        let GateEffect::SetTimer { generation, .. } = effects[3] else { panic!("{effects:?}") };
        gate.hold(3);
        let effects = gate.timer(generation, &mut random);
        assert_eq!(effects[0], GateEffect::Probe(3));
        let GateEffect::SetTimer { generation, .. } = effects[1] else { panic!("{effects:?}") };
        // The probe fails: the next one is another slot.
        assert_eq!(gate.failed(3, Time(2), &mut random), [GateEffect::Hold(3)]);
        assert_eq!(gate.timer(generation, &mut random)[0], GateEffect::Probe(5));
        let released = [GateEffect::Opened, GateEffect::Release(3, Duration::ZERO)];
        assert_eq!(gate.ready(5), released);
        assert!(!gate.is_shut());
    }

    #[test]
    fn failures_that_are_not_together_leave_the_gate_open() {
        let (mut gate, mut random) = (gate(6), Seed(1).random());
        for second in 0..20 {
            let now = Time(second * 1_000_000_000);
            assert_eq!(gate.failed(second as u32 % 6, now, &mut random), []);
        }
        // One slot alone is never the cluster, however often it fails.
        for _ in 0..20 {
            assert_eq!(gate.failed(0, Time(30_000_000_000), &mut random), []);
        }
    }

    proptest! {
        #[test]
        fn no_slot_is_lost_behind_the_gate(
            events in proptest::collection::vec((0u8..4, 0u32..9), 1..300), seed in 0u64..100,
        ) {
            let (mut gate, mut random) = (gate(9), Seed(seed).random());
            let mut running: BTreeSet<u32> = (0..9).collect();
            let (mut held, mut timer) = (BTreeSet::new(), None);
            let mut now = Time::ZERO;
            for (kind, slot) in events {
                now = now + Duration::from_millis(20);
                let effects = match kind {
                    0 | 1 if running.contains(&slot) => gate.failed(slot, now, &mut random),
                    2 if running.contains(&slot) => gate.ready(slot),
                    3 => timer.take().map_or(Vec::new(), |at| gate.timer(at, &mut random)),
                    _ => Vec::new(),
                };
                let probes = effects.iter().filter(|e| matches!(e, GateEffect::Probe(_))).count();
                prop_assert!(probes <= usize::from(kind == 3), "only a timer lets a single one through");
                for effect in effects {
                    match effect {
                        GateEffect::Hold(slot) => {
                            prop_assert!(running.remove(&slot));
                            held.insert(slot);
                        }
                        GateEffect::Probe(slot) | GateEffect::Release(slot, _) => {
                            prop_assert!(held.remove(&slot));
                            running.insert(slot);
                        }
                        GateEffect::SetTimer { generation, delay } => {
                            prop_assert!(delay <= Duration::from_secs(36));
                            timer = Some(generation);
                        }
                        GateEffect::Forgive(_) | GateEffect::Shut | GateEffect::Opened => {}
                    }
                }
                // A consumer that is held has a probe coming.
                prop_assert!(held.is_empty() || (gate.is_shut() && timer.is_some()));
                prop_assert_eq!(held.len() + running.len(), 9);
            }
            // The cluster is back: one that comes up brings all others.
            for effect in gate.ready(running.first().copied().unwrap_or(0)) {
                if let GateEffect::Release(slot, _) = effect {
                    held.remove(&slot);
                }
            }
            prop_assert!(running.is_empty() || held.is_empty());
        }
    }
}
