//! Faults of the topic.

use super::effect::{Disturbance, FaultEffect, PartitionFault};
use super::kind::{FaultFacts, FaultKind, Lasts, Planned};
use super::targets::{Aim, PartitionAim};
use crate::base::PARTITIONS_MAX;
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, codes};

section! {
    /// A topic's new size.
    Grow {
        /// Partitions in all.
        partitions: u64 = required, 24;
    }
}

impl FaultKind for Grow {
    type Keys = Grow;
    const NAME: &'static str = "grow";
    const DOC: &'static str = "Adds partitions to the topic; only to a topic this run created.";
    const EXAMPLE: &'static str = "{ partitions = 24 }";
    const IS_FAILURE: bool = false;
    const IS_OVER_AT_ONCE: bool = true;

    fn plan(keys: &At<Grow>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        if !facts.broker.capability().can_grow {
            let message = format!("the {} cluster cannot grow a topic", facts.broker);
            found.push(
                Diagnostic::error(codes::WRONG_BROKER, keys.key, message)
                    .remedy("use `--broker kafka` or `--broker sim`, or remove the fault"),
            );
        }
        facts.needs_own_topic(Self::NAME, keys.key, found);
        if let Some(every) = &facts.schedule.every {
            let message = "`grow` happens once: it names the topic's new size";
            found.push(
                Diagnostic::error(codes::NO_EFFECT, every.key, message)
                    .remedy("remove it, and write a `[[fault]]` for each size"),
            );
        }
        let (given, most) = (keys.value.partitions.as_ref(), PARTITIONS_MAX as u32);
        let reason = "each partition has a consumer and histograms of its own";
        let partitions = found.count(GivenKey::new("grow.partitions", given), 1, 1..=most, reason);
        let size = facts.partitions_by_then;
        if let Some(given) = given.filter(|_| partitions <= size) {
            let message =
                format!("`grow.partitions` is {partitions}, and the topic has {size} by then");
            found.push(
                Diagnostic::error(codes::CONFLICT, given.origin, message)
                    .remedy("a topic only grows: choose more"),
            );
        }
        let effect = FaultEffect::Cluster(Disturbance::Grow(partitions));
        let planned = Planned::new(effect, Lasts::Never, Aim::Cluster);
        Some(planned.described(format!(" to {partitions} partitions")))
    }
}

/// `delete_records`
pub(super) struct DeleteRecords;

impl FaultKind for DeleteRecords {
    type Keys = PartitionAim;
    const NAME: &'static str = "delete_records";
    const DOC: &'static str =
        "Deletes all records of partitions, read or not; only of a topic this run created.";
    const EXAMPLE: &'static str = "{ partition = 3 }";
    const VERB: &'static str = "delete records of";
    const IS_OVER_AT_ONCE: bool = true;

    fn plan(
        keys: &At<PartitionAim>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        if !facts.broker.capability().deletes_records {
            let message = format!("the {} cluster cannot delete records", facts.broker);
            found.push(
                Diagnostic::error(codes::WRONG_BROKER, keys.key, message)
                    .remedy("use `--broker kafka`, or remove the fault"),
            );
        }
        facts.needs_own_topic(Self::NAME, keys.key, found);
        keys.value.planned(PartitionFault::DeleteRecords, Lasts::Never)
    }
}
