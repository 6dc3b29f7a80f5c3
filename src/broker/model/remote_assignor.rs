//! The server-side assignors, with which a coordinator assigns the partitions of a topic to the members of the consumer
//! protocol: `uniform` and `range`, the two of Kafka's `group.consumer.assignors`.
//!
//! The rules follow Kafka's `UniformHomogeneousAssignmentBuilder` and `RangeAssignor` of the module
//! `group-coordinator`, for a topic that every member subscribes to. Kafka's uniform assignor iterates over members in
//! the order of a hash map. Here the order is that of the member ids, so that a run can be repeated.

use std::collections::BTreeSet;

use crate::base::PartitionId;
use crate::plan::RemoteAssignor;

/// A member, as the assignor sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assignee {
    /// The member's id.
    pub(super) member_id: String,
    /// `group.instance.id` of a static member.
    pub(super) instance_id: Option<String>,
    /// The partitions of the member in the last target assignment. Only `uniform` uses them.
    pub(super) target: BTreeSet<PartitionId>,
}

/// The target assignment of `partitions` partitions, in the order of the given members.
pub(super) fn assign_remotely(
    assignor: RemoteAssignor,
    partitions: u32,
    members: &[Assignee],
) -> Vec<BTreeSet<PartitionId>> {
    if members.is_empty() {
        return Vec::new();
    }
    match assignor {
        RemoteAssignor::Uniform => uniform(partitions, members),
        RemoteAssignor::Range => range(partitions, members),
    }
}

/// The number of partitions of each member, in this order of members. The first ones get one more if the division
/// leaves a rest.
fn quotas(partitions: u32, members: usize) -> impl Iterator<Item = usize> {
    let (each, more) = (partitions as usize / members, partitions as usize % members);
    (0..members).map(move |turn| each + usize::from(turn < more))
}

/// First balance, then stickiness: a member keeps its partitions up to its quota, and the others go to members below
/// their quota.
fn uniform(partitions: u32, members: &[Assignee]) -> Vec<BTreeSet<PartitionId>> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|at| &members[*at].member_id);
    let is_assigned = |id: &PartitionId| members.iter().any(|member| member.target.contains(id));
    let mut free: Vec<PartitionId> =
        (0..partitions).map(PartitionId).filter(|id| !is_assigned(id)).collect();
    let mut assignment = vec![BTreeSet::new(); members.len()];
    let mut unfilled = Vec::new();
    for (at, quota) in order.into_iter().zip(quotas(partitions, members.len())) {
        let mut had = members[at].target.iter().copied();
        assignment[at] = had.by_ref().take(quota).collect();
        free.extend(had);
        unfilled.push((at, quota - assignment[at].len()));
    }
    let mut free = free.into_iter();
    for (at, missing) in unfilled {
        assignment[at].extend(free.by_ref().take(missing));
    }
    assignment
}

/// Contiguous ranges. Static members come first, by instance id; the others follow by member id.
fn range(partitions: u32, members: &[Assignee]) -> Vec<BTreeSet<PartitionId>> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    let place = |at: &usize| {
        let Assignee { member_id, instance_id, .. } = &members[*at];
        (instance_id.is_none(), instance_id.as_ref().unwrap_or(member_id))
    };
    order.sort_by_key(place);
    let mut assignment = vec![BTreeSet::new(); members.len()];
    let mut all = (0..partitions).map(PartitionId);
    for (at, quota) in order.into_iter().zip(quotas(partitions, members.len())) {
        assignment[at] = all.by_ref().take(quota).collect();
    }
    assignment
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(member_id: &str, target: &[u32]) -> Assignee {
        Assignee {
            member_id: member_id.to_owned(),
            instance_id: None,
            target: target.iter().copied().map(PartitionId).collect(),
        }
    }

    fn assigned(assignor: RemoteAssignor, partitions: u32, members: &[Assignee]) -> Vec<Vec<u32>> {
        let numbers = |own: BTreeSet<PartitionId>| own.into_iter().map(|id| id.0).collect();
        assign_remotely(assignor, partitions, members).into_iter().map(numbers).collect()
    }

    /// `RangeAssignorTest`: members get neighbouring partitions, and the first members have one more.
    #[test]
    fn range_gives_neighbours_in_the_order_of_instances_and_then_of_members() {
        let mut members = [member("b", &[]), member("a", &[]), member("c", &[])];
        let range = |members: &[Assignee]| assigned(RemoteAssignor::Range, 4, members);
        assert_eq!(range(&members), [vec![2], vec![0, 1], vec![3]]);
        members[2].instance_id = Some("z".to_owned());
        assert_eq!(range(&members), [vec![3], vec![2], vec![0, 1]], "static ones come first");
        assert_eq!(assigned(RemoteAssignor::Range, 1, &members[..2]), [vec![], vec![0]]);
    }

    /// `OptimizedUniformAssignmentBuilderTest`: members keep their partitions up to their quota.
    #[test]
    fn uniform_moves_only_what_exceeds_a_members_share() {
        let uniform = |members: &[Assignee]| assigned(RemoteAssignor::Uniform, 6, members);
        assert_eq!(uniform(&[member("a", &[]), member("b", &[])]), [vec![0, 1, 2], vec![3, 4, 5]]);
        // A new member gets the last partitions of each.
        let members = [member("a", &[0, 1, 2]), member("b", &[3, 4, 5]), member("c", &[])];
        assert_eq!(uniform(&members), [vec![0, 1], vec![3, 4], vec![2, 5]]);
        // The others share the partitions of a member that leaves.
        let members = [member("a", &[0, 1]), member("c", &[2, 5])];
        assert_eq!(uniform(&members), [vec![0, 1, 3], vec![2, 4, 5]]);
        assert_eq!(assigned(RemoteAssignor::Uniform, 1, &members[..0]), Vec::<Vec<u32>>::new());
    }

    proptest! {
        #[test]
        fn every_partition_is_assigned_once_and_evenly_and_uniform_keeps_what_it_can(
            partitions in 1u32..40,
            owners in proptest::collection::vec(0usize..14, 40),
            members in 1usize..12,
        ) {
            let of = |at: usize| -> Vec<u32> {
                (0..partitions).filter(|id| owners[*id as usize] == at).collect()
            };
            let members: Vec<Assignee> =
                (0..members).map(|at| member(&format!("m-{at:02}"), &of(at))).collect();
            for assignor in [RemoteAssignor::Uniform, RemoteAssignor::Range] {
                let assignment = assign_remotely(assignor, partitions, &members);
                let mut all: Vec<u32> = assignment.iter().flatten().map(|id| id.0).collect();
                all.sort_unstable();
                prop_assert_eq!(all, (0..partitions).collect::<Vec<_>>());
                let sizes: Vec<usize> = assignment.iter().map(BTreeSet::len).collect();
                prop_assert!(sizes.iter().max() <= sizes.iter().min().map(|least| least + 1).as_ref());
                let kept = |(member, own): (&Assignee, &BTreeSet<PartitionId>)| {
                    let kept = member.target.intersection(own).count();
                    kept == member.target.len().min(own.len())
                };
                let is_sticky = members.iter().zip(&assignment).all(kept);
                prop_assert!(is_sticky || assignor == RemoteAssignor::Range);
            }
        }
    }
}
