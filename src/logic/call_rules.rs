//! Rules for the calls of clients: which call is delayed, dropped or refused.
//!
//! Rules are checked in the order of their `[[fault]]` entries. The first rule that targets the call, and whose share
//! includes it, decides. While there is no rule, a call costs a client one relaxed load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{ConsumerId, PartitionId, PoolId, Random, Seed};
use crate::fault::{Call, CallAction, CallRule, Targets};

/// The rules that are active now.
#[derive(Debug)]
pub struct CallRules {
    seed: Seed,
    count: AtomicUsize,
    /// In the order in which they are checked.
    rules: Mutex<Vec<Rule>>,
}

/// The client that makes the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallingClient {
    /// A pool that hands a record to its client.
    Pool(PoolId),
    /// A consumer that gets records from its client.
    Consumer(ConsumerId),
}

impl CallingClient {
    /// A number that no other client has, to derive seeds from.
    fn number(self) -> u64 {
        match self {
            CallingClient::Consumer(consumer) => u64::from(consumer.0),
            CallingClient::Pool(pool) => (1 << 32) + u64::from(pool.0),
        }
    }
}

#[derive(Debug)]
struct Rule {
    /// Number of the `[[fault]]` entry, and number of the occurrence.
    order: (usize, usize),
    rule: CallRule,
    targets: Targets,
    /// By client, so that the draws of one client do not depend on the others.
    random: BTreeMap<u64, Random>,
}

impl Rule {
    fn is_meant(&self, caller: CallingClient, partition: PartitionId) -> bool {
        let call = match caller {
            CallingClient::Pool(_) => Call::Produce,
            CallingClient::Consumer(_) => Call::Fetch,
        };
        self.rule.call == call
            && match (&self.targets, caller) {
                (Targets::Pools(pools), CallingClient::Pool(pool)) => pools.contains(&pool),
                (Targets::Consumers(consumers), CallingClient::Consumer(id)) => {
                    consumers.contains(&id)
                }
                (Targets::Partitions(partitions), _) => partitions.contains(&partition),
                _ => false,
            }
    }

    fn hits(&mut self, caller: CallingClient, seed: Seed) -> bool {
        if self.rule.share >= 1.0 {
            return true;
        }
        let of_rule = || seed.child("rule", self.order.1 as u64);
        let number = caller.number();
        let random =
            self.random.entry(number).or_insert_with(|| of_rule().child("caller", number).random());
        random.unit() < self.rule.share
    }
}

impl CallRules {
    /// No rules.
    pub fn new(seed: Seed) -> CallRules {
        CallRules { seed, count: AtomicUsize::new(0), rules: Mutex::default() }
    }

    /// True if there is a rule.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Activates the rule of occurrence `number` of `[[fault]]` entry `entry`.
    pub fn arm(&self, entry: usize, number: usize, rule: CallRule, targets: Targets) {
        let mut rules = self.lock();
        rules.push(Rule { order: (entry, number), rule, targets, random: BTreeMap::new() });
        rules.sort_by_key(|rule| rule.order);
        self.count.store(rules.len(), Ordering::Relaxed);
    }

    /// Deactivates the rule of occurrence `number`.
    pub fn disarm(&self, number: usize) {
        let mut rules = self.lock();
        rules.retain(|rule| rule.order.1 != number);
        self.count.store(rules.len(), Ordering::Relaxed);
    }

    /// Deactivates all rules.
    pub fn clear(&self) {
        self.lock().clear();
        self.count.store(0, Ordering::Relaxed);
    }

    /// The action on this call and the occurrence that asks for it; `None` if no rule applies.
    pub fn decide(
        &self,
        caller: CallingClient,
        partition: PartitionId,
    ) -> Option<(usize, CallAction)> {
        let seed = self.seed;
        let mut rules = self.lock();
        let mut meant = rules.iter_mut().filter(|rule| rule.is_meant(caller, partition));
        let first = meant.find_map(|rule| rule.hits(caller, seed).then_some(rule))?;
        let decided = (first.order.1, first.rule.action);
        if let Some(left) = &mut first.rule.count {
            *left = left.saturating_sub(1);
            rules.retain(|rule| rule.rule.count != Some(0));
            self.count.store(rules.len(), Ordering::Relaxed);
        }
        Some(decided)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fault::CallError;

    const FETCH: CallRule =
        CallRule { call: Call::Fetch, action: CallAction::Drop, share: 1.0, count: None };
    const ONE: CallingClient = CallingClient::Consumer(ConsumerId(1));

    fn consumers(numbers: &[u32]) -> Targets {
        Targets::Consumers(numbers.iter().map(|number| ConsumerId(*number)).collect())
    }

    #[test]
    fn the_first_rule_that_is_meant_wins() {
        let rules = CallRules::new(Seed(1));
        assert_eq!((rules.is_armed(), rules.decide(ONE, PartitionId(1))), (false, None));
        let late = CallRule { action: CallAction::Delay(Duration::from_millis(5)), ..FETCH };
        rules.arm(2, 0, FETCH, consumers(&[1, 2]));
        rules.arm(1, 7, late, Targets::Partitions(vec![PartitionId(1)]));
        assert_eq!(rules.decide(ONE, PartitionId(1)), Some((7, late.action)));
        assert_eq!(rules.decide(ONE, PartitionId(2)), Some((0, CallAction::Drop)));
        assert_eq!(rules.decide(CallingClient::Consumer(ConsumerId(3)), PartitionId(3)), None);
        assert_eq!(rules.decide(CallingClient::Pool(PoolId(1)), PartitionId(1)), None);
        rules.disarm(7);
        assert_eq!(rules.decide(ONE, PartitionId(1)), Some((0, CallAction::Drop)));
        rules.clear();
        assert!(!rules.is_armed() && rules.decide(ONE, PartitionId(1)).is_none());
    }

    #[test]
    fn a_rule_with_a_count_is_gone_when_it_has_hit_that_often() {
        let rules = CallRules::new(Seed(1));
        rules.arm(0, 3, CallRule { count: Some(2), ..FETCH }, consumers(&[1]));
        let other = CallingClient::Consumer(ConsumerId(2));
        assert_eq!(rules.decide(other, PartitionId(2)), None);
        for _ in 0..2 {
            assert!(rules.is_armed());
            assert_eq!(rules.decide(ONE, PartitionId(1)), Some((3, CallAction::Drop)));
        }
        assert_eq!((rules.is_armed(), rules.decide(ONE, PartitionId(1))), (false, None));
    }

    #[test]
    fn a_share_is_drawn_from_the_seed_for_each_caller_alone() {
        let rule =
            CallRule { action: CallAction::Error(CallError::Retriable), share: 0.25, ..FETCH };
        let draw = |seed: u64, with_another: bool| -> Vec<bool> {
            let rules = CallRules::new(Seed(seed));
            rules.arm(0, 0, rule, consumers(&[1, 2]));
            let one = |_| {
                if with_another {
                    rules.decide(CallingClient::Consumer(ConsumerId(2)), PartitionId(2));
                }
                rules.decide(ONE, PartitionId(1)).is_some()
            };
            (0..4_000).map(one).collect()
        };
        let alone = draw(1, false);
        let hits = alone.iter().filter(|hit| **hit).count();
        assert!((850..1_150).contains(&hits), "{hits}");
        assert_eq!(alone, draw(1, false));
        assert_ne!(alone, draw(2, false));
        assert_eq!(alone, draw(1, true));
    }
}
