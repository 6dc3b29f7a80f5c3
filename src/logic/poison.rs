//! Poison records: records on which one incarnation after the other dies.

use std::collections::BTreeMap;

use crate::base::{Offset, PartitionId};
use crate::plan::PoisonPolicy;

/// Incarnations that die on one record until it counts as poison.
const POISON_DEATHS: u32 = 3;
/// Records skipped per partition until skipping counts as no remedy.
const SKIPS_MAX: u32 = 1_000;

/// Counts the deaths of incarnations on records, for each partition. In group mode the incarnations may be of different
/// members.
#[derive(Clone, Debug)]
pub struct PoisonWatch {
    policy: PoisonPolicy,
    partitions: BTreeMap<PartitionId, Deaths>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Deaths {
    on: Offset,
    count: u32,
    skipped: u32,
}

/// The consequence of a death on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The death is an ordinary failure.
    Common,
    /// The record is poison, and the consumer is not restarted any more.
    Stop,
    /// The record is poison. It is skipped, and the consumer restarted.
    Skip,
}

impl PoisonWatch {
    /// No deaths so far.
    pub fn new(policy: PoisonPolicy) -> PoisonWatch {
        PoisonWatch { policy, partitions: BTreeMap::new() }
    }

    /// Notes that an incarnation died while it processed this record.
    pub fn died(&mut self, partition: PartitionId, offset: Offset) -> Death {
        let deaths = self.partitions.entry(partition).or_default();
        if deaths.on != offset {
            deaths.count = 0;
        }
        deaths.on = offset;
        deaths.count += 1;
        if deaths.count < POISON_DEATHS { Death::Common } else { self.declared(partition) }
    }

    /// Notes that a record is poison, because its handler said so or because no incarnation survives it.
    pub fn declared(&mut self, partition: PartitionId) -> Death {
        let deaths = self.partitions.entry(partition).or_default();
        if self.policy == PoisonPolicy::Stop || deaths.skipped == SKIPS_MAX {
            return Death::Stop;
        }
        deaths.count = 0;
        deaths.skipped += 1;
        Death::Skip
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const P: PartitionId = PartitionId(0);

    #[test]
    fn the_third_death_on_one_record_is_poison_and_only_there() {
        for (policy, expected) in
            [(PoisonPolicy::Stop, Death::Stop), (PoisonPolicy::Skip, Death::Skip)]
        {
            let mut watch = PoisonWatch::new(policy);
            for offset in [5, 5, 6, 5, 5] {
                assert_eq!(watch.died(P, Offset(offset)), Death::Common);
                assert_eq!(watch.died(PartitionId(1), Offset(100 + offset)), Death::Common);
            }
            assert_eq!(watch.died(P, Offset(5)), expected);
        }
    }

    #[test]
    fn skipping_has_a_limit() {
        let mut watch = PoisonWatch::new(PoisonPolicy::Skip);
        let mut skipped = 0;
        let last = (0..10_000).find(|offset| {
            let deaths: Vec<Death> = (0..3).map(|_| watch.died(P, Offset(*offset))).collect();
            skipped += u32::from(deaths[2] == Death::Skip);
            deaths[2] == Death::Stop
        });
        assert_eq!((skipped, last), (SKIPS_MAX, Some(i64::from(SKIPS_MAX))));
    }

    proptest! {
        #[test]
        fn nothing_is_poison_before_three_deaths_in_a_row_on_it(
            deaths in proptest::collection::vec((0u32..3, 0i64..3), 1..200),
        ) {
            let mut watch = PoisonWatch::new(PoisonPolicy::Skip);
            let mut runs: BTreeMap<u32, (i64, u32)> = BTreeMap::new();
            for (partition, offset) in deaths {
                let run = runs.entry(partition).or_insert((-1, 0));
                *run = if run.0 == offset { (offset, run.1 + 1) } else { (offset, 1) };
                let death = watch.died(PartitionId(partition), Offset(offset));
                prop_assert_eq!(death == Death::Skip, run.1 == POISON_DEATHS);
                if death == Death::Skip {
                    run.1 = 0;
                }
            }
        }
    }
}
