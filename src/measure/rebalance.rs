//! Rebalances of a group, read from the journal.

use std::collections::{BTreeMap, BTreeSet};

use super::event::growths;
use super::{Event, Owner};
use crate::base::{ConsumerId, Incarnation, PartitionId, Time};
use crate::summary::Rebalance;

/// Reads rebalances from the ownership events of a journal. Events before `start`, the start of the load, form the
/// group and do not count. With static membership (`are_static`), a member that gets back its partitions is no
/// rebalance if no other member is affected.
pub fn rebalances(
    journal: &[(Time, Event)],
    partitions: u32,
    start: Time,
    are_static: bool,
) -> Vec<Rebalance> {
    let found = journal.iter().filter_map(|(at, event)| match event {
        Event::PartitionsAdded { from, to } => Some((*at, *from..*to)),
        _ => None,
    });
    let growths = growths(found);
    let mut reader = Reader { partitions, are_static, ..Reader::default() };
    for (at, event) in journal {
        reader.counting = *at >= start;
        reader.read(event, *at);
        if let Event::PartitionsAdded { from, to } = event {
            let growth = growths.iter().find(|(_, ids)| ids.contains(from));
            reader.partitions = growth.map_or(*to, |(_, ids)| ids.end);
        }
    }
    reader.finish(start)
}

#[derive(Default)]
struct Reader {
    partitions: u32,
    are_static: bool,
    owners: BTreeMap<PartitionId, Owner>,
    counting: bool,
    open: Option<Open>,
    /// Partitions whose owner failed and that have no new owner yet.
    orphans: BTreeMap<PartitionId, Owner>,
    /// The lowest current incarnation of each consumer. Late events of older ones are about clients that are no members
    /// any more.
    lowest: BTreeMap<ConsumerId, Incarnation>,
    done: Vec<(Time, Option<Time>, usize, usize)>,
}

struct Open {
    at: Time,
    before: BTreeMap<PartitionId, Owner>,
    stopped: BTreeSet<PartitionId>,
}

impl Reader {
    fn read(&mut self, event: &Event, at: Time) {
        let owner = |consumer: &ConsumerId, incarnation: &Incarnation| Owner {
            consumer: *consumer,
            incarnation: *incarnation,
        };
        match event {
            Event::ConsumerStarted { consumer, incarnation } => {
                self.replaced(*consumer, *incarnation);
            }
            Event::Assigned { consumer, incarnation, partitions } => {
                self.assigned(owner(consumer, incarnation), partitions, at);
            }
            Event::Revoked { consumer, incarnation, partitions } => {
                self.revoked(owner(consumer, incarnation), partitions, at);
            }
            Event::Orphaned { consumer, incarnation, partitions } => {
                self.orphaned(partitions);
                self.replaced(*consumer, Incarnation(incarnation.0 + 1));
            }
            _ => {}
        }
    }

    /// Ignores later events of incarnations of `consumer` before `next`.
    fn replaced(&mut self, consumer: ConsumerId, next: Incarnation) {
        let lowest = self.lowest.entry(consumer).or_insert(next);
        *lowest = next.max(*lowest);
    }

    fn assigned(&mut self, owner: Owner, partitions: &[PartitionId], at: Time) {
        if self.lowest.get(&owner.consumer).is_some_and(|lowest| owner.incarnation < *lowest) {
            return;
        }
        let had = |partition: &PartitionId| Some(self.orphans.get(partition)?.consumer);
        let is_own = |partition: &PartitionId| had(partition) == Some(owner.consumer);
        let is_back = self.are_static && partitions.iter().all(is_own);
        if self.counting && !partitions.is_empty() && !is_back {
            self.open(at);
        }
        for partition in partitions {
            self.owners.insert(*partition, owner);
            self.orphans.remove(partition);
        }
        if self.owners.len() as u32 == self.partitions {
            self.close(at);
        }
    }

    fn revoked(&mut self, owner: Owner, partitions: &[PartitionId], at: Time) {
        let its = |partition: &&PartitionId| self.owners.get(*partition) == Some(&owner);
        let its: Vec<PartitionId> = partitions.iter().filter(its).copied().collect();
        if self.counting && !its.is_empty() {
            self.open(at);
        }
        for partition in its {
            self.owners.remove(&partition);
            self.stopped([partition]);
        }
    }

    fn orphaned(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            if let Some(owner) = self.owners.remove(partition) {
                self.orphans.insert(*partition, owner);
            }
        }
        self.stopped(partitions.iter().copied());
    }

    fn stopped(&mut self, partitions: impl IntoIterator<Item = PartitionId>) {
        if let Some(open) = &mut self.open {
            open.stopped.extend(partitions);
        }
    }

    fn open(&mut self, at: Time) {
        if self.open.is_none() {
            let mut before = self.owners.clone();
            before.extend(self.orphans.iter().map(|(partition, owner)| (*partition, *owner)));
            let stopped = self.orphans.keys().copied().collect();
            self.open = Some(Open { at, before, stopped });
        }
    }

    fn close(&mut self, at: Time) {
        if let Some(open) = self.open.take() {
            let had = |partition: &PartitionId| Some(open.before.get(partition)?.consumer);
            let moved = self.owners.iter().filter(|(p, owner)| had(p) != Some(owner.consumer));
            let moved = moved.count();
            self.done.push((open.at, Some(at), open.stopped.len(), moved));
        }
    }

    fn finish(mut self, start: Time) -> Vec<Rebalance> {
        if let Some(open) = self.open.take() {
            self.done.push((open.at, None, open.stopped.len(), 0));
        }
        let rebalance =
            |(at, end, partitions_stopped, partitions_moved): (Time, Option<Time>, _, _)| {
                Rebalance {
                    at_s: at.since_ns(start) as f64 / 1e9,
                    duration_ms: end.map(|end: Time| end.ms_since(at)),
                    partitions_stopped,
                    partitions_moved,
                }
            };
        self.done.into_iter().map(rebalance).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u32]) -> Vec<PartitionId> {
        ids.iter().copied().map(PartitionId).collect()
    }

    fn event(
        at_ms: i64,
        kind: fn(ConsumerId, Incarnation, Vec<PartitionId>) -> Event,
        (consumer, incarnation): (u32, u32),
        partitions: &[u32],
    ) -> (Time, Event) {
        let event = kind(ConsumerId(consumer), Incarnation(incarnation), ids(partitions));
        (Time(at_ms * 1_000_000), event)
    }

    fn assigned_to(at_ms: i64, owner: (u32, u32), partitions: &[u32]) -> (Time, Event) {
        let kind = |consumer, incarnation, partitions| Event::Assigned {
            consumer,
            incarnation,
            partitions,
        };
        event(at_ms, kind, owner, partitions)
    }

    fn revoked_from(at_ms: i64, owner: (u32, u32), partitions: &[u32]) -> (Time, Event) {
        let kind = |consumer, incarnation, partitions| Event::Revoked {
            consumer,
            incarnation,
            partitions,
        };
        event(at_ms, kind, owner, partitions)
    }

    fn assigned(at_ms: i64, consumer: u32, partitions: &[u32]) -> (Time, Event) {
        assigned_to(at_ms, (consumer, 1), partitions)
    }

    fn revoked(at_ms: i64, consumer: u32, partitions: &[u32]) -> (Time, Event) {
        revoked_from(at_ms, (consumer, 1), partitions)
    }

    fn orphaned(at_ms: i64, consumer: u32, partitions: &[u32]) -> (Time, Event) {
        let kind = |consumer, incarnation, partitions| Event::Orphaned {
            consumer,
            incarnation,
            partitions,
        };
        event(at_ms, kind, (consumer, 1), partitions)
    }

    /// Member 1 dies. After the session timeout member 0 has all partitions.
    fn taken_over() -> [(Time, Event); 5] {
        [
            assigned(0, 0, &[0, 1]),
            assigned(0, 1, &[2]),
            orphaned(1000, 1, &[2]),
            revoked(7000, 0, &[0, 1]),
            assigned(7100, 0, &[0, 1, 2]),
        ]
    }

    #[test]
    fn forming_the_group_is_not_a_rebalance() {
        let journal = [
            assigned(0, 0, &[0, 1]),
            revoked(5, 0, &[0, 1]),
            assigned(9, 0, &[0]),
            assigned(9, 1, &[1]),
        ];
        assert_eq!(rebalances(&journal, 2, Time(10_000_000), false), []);
    }

    #[test]
    fn an_eager_rebalance_after_a_crash_stops_every_partition() {
        let found = rebalances(&taken_over(), 3, Time(500_000_000), false);
        assert_eq!(
            found,
            [Rebalance {
                at_s: 6.5,
                duration_ms: Some(100.0),
                partitions_stopped: 3,
                partitions_moved: 1
            }]
        );
    }

    #[test]
    fn a_static_member_that_comes_back_in_time_is_no_rebalance() {
        let journal = [
            assigned(0, 0, &[0, 1]),
            assigned(0, 1, &[2]),
            orphaned(1000, 1, &[2]),
            assigned_to(1100, (1, 2), &[2]),
        ];
        assert_eq!(rebalances(&journal, 3, Time(500_000_000), true), []);
        // A dynamic member is a new member, even with the partitions of the dead one.
        assert_eq!(rebalances(&journal, 3, Time(500_000_000), false).len(), 1);
    }

    #[test]
    fn a_static_member_that_comes_back_too_late_is_one() {
        let found = rebalances(&taken_over(), 3, Time(500_000_000), true);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].partitions_stopped, found[0].partitions_moved), (3, 1));
    }

    /// Member 1 hangs and is replaced. Its successor takes over its share from member 0.
    fn replaced() -> Vec<(Time, Event)> {
        vec![
            assigned(0, 0, &[0]),
            assigned(0, 1, &[1]),
            orphaned(1000, 1, &[1]),
            revoked(1100, 0, &[0]),
            assigned(1200, 0, &[0]),
            assigned_to(1200, (1, 2), &[1]),
        ]
    }

    #[test]
    fn what_a_replaced_incarnation_says_late_is_not_about_its_successor() {
        let mut journal = replaced();
        let expected = rebalances(&journal, 2, Time(500_000_000), false);
        assert_eq!((expected.len(), expected[0].duration_ms), (1, Some(100.0)));
        // Its thread continues: first its client gives up its partitions, then the group assigns partitions to it
        // again.
        journal.push(revoked_from(9000, (1, 1), &[1]));
        journal.push(assigned_to(9100, (1, 1), &[0, 1]));
        assert_eq!(rebalances(&journal, 2, Time(500_000_000), false), expected);
        // Events of the successor itself count.
        journal.push(revoked_from(9200, (1, 2), &[1]));
        assert_eq!(rebalances(&journal, 2, Time(500_000_000), false).len(), 2);
    }

    #[test]
    fn giving_up_what_another_one_has_by_now_is_no_rebalance() {
        let mut journal = taken_over().to_vec();
        let expected = rebalances(&journal, 3, Time(500_000_000), false);
        journal.push(revoked(9000, 1, &[2]));
        assert_eq!(rebalances(&journal, 3, Time(500_000_000), false), expected);
    }
}
