//! The client-side assignors, with which a group's leader assigns the partitions of a topic: range, round robin, sticky
//! and cooperative sticky.
//!
//! The rules are those of librdkafka and the Java client (KIP-54, KIP-341, KIP-429) for a topic that every member
//! subscribes to. Ties are broken by order, never at random.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::base::PartitionId;
use crate::plan::Assignor;

/// A member, as the leader sees it in the response to its JoinGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The member id, which the coordinator assigned.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The partitions that the member owned when it joined. Only sticky assignors use them.
    pub owned: Vec<PartitionId>,
    /// The generation in which it owned them; -1 for a new member.
    pub generation: i32,
}

/// The partitions of each member, ascending, in the order of the given members.
pub type Assignment = Vec<Vec<PartitionId>>;

/// Assigns `partitions` partitions. A cooperative assignor leaves out a partition that changes its owner, because the
/// old owner has to give it up first.
pub fn assign(assignor: Assignor, partitions: u32, members: &[Subscription]) -> Assignment {
    let order = in_order(members);
    if order.is_empty() {
        return Vec::new();
    }
    match assignor {
        Assignor::Range => range(partitions, &order),
        Assignor::RoundRobin => round_robin(partitions, &order),
        Assignor::CooperativeSticky => {
            let owners = owners(partitions, members);
            withhold_moved(sticky(partitions, &order, &owners), &owners)
        }
    }
}

/// Indices of the members in the order that assignors use: static members by instance id, others by member id.
fn in_order(members: &[Subscription]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    let name = |at: &usize| {
        let member = &members[*at];
        member.instance_id.clone().unwrap_or_else(|| member.member_id.clone())
    };
    order.sort_by_key(name);
    order
}

/// Contiguous ranges. The first members get one partition more if the division leaves a rest.
fn range(partitions: u32, order: &[usize]) -> Assignment {
    let members = order.len() as u32;
    let (each, more) = (partitions / members, partitions % members);
    let mut assignment = vec![Vec::new(); order.len()];
    let mut next = 0;
    for (turn, member) in (0u32..).zip(order) {
        let end = next + each + u32::from(turn < more);
        assignment[*member] = (next..end).map(PartitionId).collect();
        next = end;
    }
    assignment
}

/// One partition after the other to one member after the other.
fn round_robin(partitions: u32, order: &[usize]) -> Assignment {
    let mut assignment = vec![Vec::new(); order.len()];
    for partition in 0..partitions {
        assignment[order[partition as usize % order.len()]].push(PartitionId(partition));
    }
    assignment
}

/// The owner of each partition. Of several claims, the one with the highest generation is valid.
fn owners(partitions: u32, members: &[Subscription]) -> BTreeMap<PartitionId, usize> {
    let mut owners: BTreeMap<PartitionId, usize> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        for partition in member.owned.iter().filter(|partition| partition.0 < partitions) {
            let owner = owners.entry(*partition).or_insert(at);
            if member.generation > members[*owner].generation {
                *owner = at;
            }
        }
    }
    owners
}

/// As balanced as possible, with as few moves as possible.
fn sticky(partitions: u32, order: &[usize], owners: &BTreeMap<PartitionId, usize>) -> Assignment {
    let mut assignment: Assignment = vec![Vec::new(); order.len()];
    for (partition, owner) in owners {
        assignment[*owner].push(*partition);
    }
    let emptiest = |assignment: &Assignment| {
        order.iter().copied().min_by_key(|member| assignment[*member].len()).unwrap_or(0)
    };
    for partition in (0..partitions).map(PartitionId) {
        if !owners.contains_key(&partition) {
            let member = emptiest(&assignment);
            assignment[member].push(partition);
        }
    }
    // Each move improves the balance, so there are fewer moves than partitions.
    for _ in 0..partitions {
        let to = emptiest(&assignment);
        let fullest = order.iter().copied().max_by_key(|member| {
            (assignment[*member].len(), Reverse(assignment[*member].iter().min().copied()))
        });
        let Some(from) = fullest.filter(|from| assignment[*from].len() > assignment[to].len() + 1)
        else {
            break;
        };
        assignment[from].sort_unstable();
        let moved = assignment[from].remove(0);
        assignment[to].push(moved);
    }
    assignment.iter_mut().for_each(|own| own.sort_unstable());
    assignment
}

/// Leaves out partitions that still belong to another member.
fn withhold_moved(assignment: Assignment, owners: &BTreeMap<PartitionId, usize>) -> Assignment {
    let may_have = |member: usize, partition: &PartitionId| {
        owners.get(partition).is_none_or(|owner| *owner == member)
    };
    let kept = |(member, own): (usize, Vec<PartitionId>)| {
        own.into_iter().filter(|partition| may_have(member, partition)).collect()
    };
    assignment.into_iter().enumerate().map(kept).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn newcomers(count: usize) -> Vec<Subscription> {
        let member = |i| Subscription {
            member_id: format!("consumer-{i:02}"),
            generation: -1,
            ..Subscription::default()
        };
        (0..count).map(member).collect()
    }

    /// The same members a generation later, with their assigned partitions.
    fn later(members: &[Subscription], assignment: &Assignment) -> Vec<Subscription> {
        let next = |(member, own): (&Subscription, &Vec<PartitionId>)| Subscription {
            owned: own.clone(),
            generation: member.generation + 1,
            ..member.clone()
        };
        members.iter().zip(assignment).map(next).collect()
    }

    /// Rounds until no member has to give anything up.
    fn settle(assignor: Assignor, partitions: u32, members: &mut Vec<Subscription>) -> Assignment {
        let mut last = Assignment::new();
        for _ in 0..3 {
            let assignment = assign(assignor, partitions, members);
            *members = later(members, &assignment);
            if assignment == last {
                break;
            }
            last = assignment;
        }
        last
    }

    fn ids(assignment: &Assignment) -> Vec<Vec<u32>> {
        assignment.iter().map(|own| own.iter().map(|partition| partition.0).collect()).collect()
    }

    fn sizes(assignment: &Assignment) -> Vec<usize> {
        assignment.iter().map(Vec::len).collect()
    }

    #[test]
    fn range_gives_neighbours_and_the_first_members_one_more() {
        assert_eq!(sizes(&assign(Assignor::Range, 18, &newcomers(8))), [3, 3, 2, 2, 2, 2, 2, 2]);
        let two = ids(&assign(Assignor::Range, 3, &newcomers(2)));
        assert_eq!(two, [vec![0, 1], vec![2]]);
        assert_eq!(ids(&assign(Assignor::Range, 1, &newcomers(2))), [vec![0], vec![]]);
    }

    #[test]
    fn round_robin_takes_turns() {
        let two = ids(&assign(Assignor::RoundRobin, 3, &newcomers(2)));
        assert_eq!(two, [vec![0, 2], vec![1]]);
    }

    #[test]
    fn static_members_are_ordered_by_instance() {
        let mut members = newcomers(2);
        members[0].instance_id = Some("b".to_owned());
        members[1].instance_id = Some("a".to_owned());
        assert_eq!(ids(&assign(Assignor::Range, 2, &members)), [vec![1], vec![0]]);
    }

    /// librdkafka's case of one consumer with three partitions that gets company.
    #[test]
    fn sticky_moves_only_what_it_must_and_in_two_rounds() {
        let mut members = newcomers(1);
        settle(Assignor::CooperativeSticky, 3, &mut members);
        members.push(newcomers(2).remove(1));
        let first = assign(Assignor::CooperativeSticky, 3, &members);
        assert_eq!(ids(&first), [vec![1, 2], vec![]], "0 has to be given up first");
        let members = later(&members, &first);
        let second = assign(Assignor::CooperativeSticky, 3, &members);
        assert_eq!(ids(&second), [vec![1, 2], vec![0]]);
    }

    #[test]
    fn of_two_claims_the_younger_generation_holds() {
        let mut members = newcomers(2);
        members[0].owned = vec![PartitionId(0), PartitionId(1)];
        members[0].generation = 4;
        members[1].owned = vec![PartitionId(0), PartitionId(1)];
        members[1].generation = 5;
        // The second has both; the first gets one as soon as it is given up.
        assert_eq!(ids(&assign(Assignor::CooperativeSticky, 2, &members)), [vec![], vec![1]]);
    }

    /// Partitions that survivors lose although their owner stays, averaged over who leaves.
    fn needless_moves(assignor: Assignor, partitions: u32, members: usize) -> f64 {
        let lost = |leaver: usize| {
            let mut group = newcomers(members);
            let before = settle(assignor, partitions, &mut group);
            group.remove(leaver);
            let after = settle(assignor, partitions, &mut group);
            let survivors = before.iter().enumerate().filter(|(at, _)| *at != leaver);
            let lost = survivors.zip(&after).map(|((_, before), after)| {
                before.iter().filter(|partition| !after.contains(partition)).count()
            });
            lost.sum::<usize>()
        };
        (0..members).map(lost).sum::<usize>() as f64 / members as f64
    }

    #[test]
    fn what_a_leaver_costs_the_others() {
        assert_eq!(needless_moves(Assignor::Range, 18, 8), 3.25);
        assert_eq!(needless_moves(Assignor::RoundRobin, 18, 8), 12.25);
        assert_eq!(needless_moves(Assignor::CooperativeSticky, 18, 8), 0.0);
        assert_eq!((needless_moves(Assignor::Range, 18, 18) * 100.0).round(), 756.0);
        assert_eq!(needless_moves(Assignor::RoundRobin, 18, 18), 8.5);
        assert_eq!(needless_moves(Assignor::CooperativeSticky, 18, 18), 0.0);
    }

    proptest! {
        #[test]
        fn every_partition_has_one_owner_and_no_member_two_more_than_another(
            partitions in 1u32..40,
            members in 1usize..12,
            claims in proptest::collection::vec((0usize..12, 0u32..40, -1i32..4), 0..40),
        ) {
            for assignor in [Assignor::Range, Assignor::RoundRobin, Assignor::CooperativeSticky] {
                let mut group = newcomers(members);
                for (member, partition, generation) in &claims {
                    let member = &mut group[member % members];
                    member.owned.push(PartitionId(*partition));
                    member.owned.sort_unstable();
                    member.owned.dedup();
                    member.generation = *generation;
                }
                let first = assign(assignor, partitions, &group);
                let owners = owners(partitions, &group);
                let settled = settle(assignor, partitions, &mut group);
                let mut all: Vec<_> = settled.concat();
                all.sort_unstable();
                prop_assert_eq!(all, (0..partitions).map(PartitionId).collect::<Vec<_>>());
                let sizes = sizes(&settled);
                prop_assert!(sizes.iter().max() <= sizes.iter().min().map(|least| least + 1).as_ref());
                // In a cooperative round no member gets what another one still has.
                if assignor == Assignor::CooperativeSticky {
                    for (member, own) in first.iter().enumerate() {
                        prop_assert!(own.iter().all(|id| owners.get(id).is_none_or(|o| *o == member)));
                    }
                }
            }
        }
    }
}
