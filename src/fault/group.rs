//! Faults of a consumer group, and the one a group prevents.

use super::effect::{Disturbance, FaultEffect, PartitionFault};
use super::kind::{FaultDraw, FaultFacts, FaultKind, Hits, Lasts, Planned};
use super::targets::{Aim, PartitionAim};
use crate::reader::section::section;
use crate::reader::{At, Diagnostic, Findings, GivenKey, codes};

section! {
    /// The new coordinator of the group.
    CoordinatorMove {
        /// A broker, from 1.
        to: u64 = ("the next one that runs"), 2;
    }
}

impl FaultKind for CoordinatorMove {
    type Keys = CoordinatorMove;
    const NAME: &'static str = "coordinator_move";
    const DOC: &'static str = "Another broker of the simulator becomes the group coordinator.";
    const EXAMPLE: &'static str = "{ to = 2 }";
    const IS_OVER_AT_ONCE: bool = true;
    const DRAWS: &'static [FaultDraw] = &[FaultDraw::at_once(Hits::Cluster)];

    fn plan(
        keys: &At<CoordinatorMove>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        let brokers = facts.there.brokers;
        let given = keys.value.to.as_ref();
        if let Some(to) = given.filter(|to| !(1..=u64::from(brokers)).contains(&to.value)) {
            let message = format!("there is no broker {} to move the coordinator to", to.value);
            let remedy = match brokers {
                1 => "the only broker is number 1".to_owned(),
                brokers => format!("brokers are numbered 1 to {brokers}"),
            };
            found.push(Diagnostic::error(codes::NO_SUCH_MEMBER, to.origin, message).remedy(remedy));
        }
        let to = given.and_then(|at| u32::try_from(at.value).ok());
        let effect = FaultEffect::Cluster(Disturbance::MoveCoordinator(to));
        let planned = Planned::new(effect, Lasts::Never, Aim::Cluster);
        Some(planned.described(to.map_or_else(String::new, |to| format!(" to broker {to}"))))
    }
}

/// `second_owner`
pub(super) struct SecondOwner;

impl FaultKind for SecondOwner {
    type Keys = PartitionAim;
    const NAME: &'static str = "second_owner";
    const DOC: &'static str = "A second process reads the same partitions for `for`: explicit assignment does not \
                               prevent it. Only on the simulator.";
    const EXAMPLE: &'static str = "{ partition = 3 }";
    const VERB: &'static str = "give to a second process";

    fn plan(
        keys: &At<PartitionAim>,
        facts: &FaultFacts<'_>,
        found: &mut Findings,
    ) -> Option<Planned> {
        facts.needs_simulator(Self::NAME, keys.key, found);
        if facts.is_group {
            let message = "`second_owner` is what a group prevents";
            found.push(Diagnostic::error(codes::CONFLICT, keys.key, message).remedy(
                "let a second process `join` the group instead, or set `consumers.mode = \"assigned\"`",
            ));
        }
        keys.value.planned(PartitionFault::SecondOwner, Lasts::Must)
    }
}

/// Members one fault may add: as many as a group is ever given here.
const MEMBERS_MAX: u32 = 100;

section! {
    /// Members that join a group.
    Join {
        /// Their number.
        members: u64 = 1, 2;
    }
}

impl FaultKind for Join {
    type Keys = Join;
    const NAME: &'static str = "join";
    const DOC: &'static str = "More members join the group, numbered above the existing ones, for `for` or until the end.";
    const EXAMPLE: &'static str = "{ members = 1 }";

    fn plan(keys: &At<Join>, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        if !facts.is_group {
            let message = "`join` needs a consumer group";
            found.push(
                Diagnostic::error(codes::CONFLICT, keys.key, message)
                    .label("with explicit assignment there is no group to join")
                    .remedy("set `consumers.mode` to `group`, or remove the fault"),
            );
        }
        let key = GivenKey::new("join.members", keys.value.members.as_ref());
        let count = found.count(key, 1, 1..=MEMBERS_MAX, "each is a client of its own");
        Some(Planned::new(FaultEffect::Join, Lasts::May, Aim::New(count)))
    }
}
