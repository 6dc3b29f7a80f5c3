//! Rebalances of a group, read from the journal.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Event;
use super::growth::growths;
use crate::base::{ConsumerId, PartitionId, Time};

/// One rebalance after the group was complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rebalance {
    /// When the first surviving member gave up or got a partition, in seconds since the load began.
    pub at_s: f64,
    /// From then until every partition had an owner and no member was waiting; `null` if that never came.
    pub duration_ms: Option<f64>,
    /// Partitions that were without an owner at some time in it.
    pub partitions_stopped: usize,
    /// Partitions whose owner is another one afterwards.
    pub partitions_moved: usize,
}

/// Reads rebalances from the ownership events of a journal. What happened before `start`, the start of the
/// load, is the group forming and does not count; nor does it when a member whose place is kept (`places_kept`,
/// static membership) gets back what it had and nobody else is touched.
pub fn rebalances(
    journal: &[(Time, Event)],
    partitions: u32,
    start: Time,
    places_kept: bool,
) -> Vec<Rebalance> {
    let found = journal.iter().filter_map(|(at, event)| match event {
        Event::PartitionsAdded { from, to } => Some((*at, *from..*to)),
        _ => None,
    });
    let growths = growths(found);
    let mut reader = Reader { partitions, places_kept, ..Reader::default() };
    for (at, event) in journal {
        reader.counting = *at >= start;
        match event {
            Event::Assigned { consumer, partitions } => reader.assigned(*consumer, partitions, *at),
            Event::Revoked { consumer, partitions } => reader.revoked(*consumer, partitions, *at),
            Event::Orphaned { partitions, .. } => reader.orphaned(partitions),
            Event::PartitionsAdded { from, to } => {
                let growth = growths.iter().find(|(_, ids)| ids.contains(from));
                reader.partitions = growth.map_or(*to, |(_, ids)| ids.end);
            }
            _ => {}
        }
    }
    reader.finish(start)
}

#[derive(Default)]
struct Reader {
    partitions: u32,
    places_kept: bool,
    owners: BTreeMap<PartitionId, ConsumerId>,
    counting: bool,
    open: Option<Open>,
    /// Partitions whose owner died and that nobody has taken yet.
    orphans: BTreeMap<PartitionId, ConsumerId>,
    done: Vec<(Time, Option<Time>, usize, usize)>,
}

struct Open {
    at: Time,
    before: BTreeMap<PartitionId, ConsumerId>,
    stopped: BTreeSet<PartitionId>,
}

impl Reader {
    fn assigned(&mut self, consumer: ConsumerId, partitions: &[PartitionId], at: Time) {
        let is_own = |partition: &PartitionId| self.orphans.get(partition) == Some(&consumer);
        let is_back = self.places_kept && partitions.iter().all(is_own);
        if self.counting && !partitions.is_empty() && !is_back {
            self.open(at);
        }
        for partition in partitions {
            self.owners.insert(*partition, consumer);
            self.orphans.remove(partition);
        }
        if self.owners.len() as u32 == self.partitions {
            self.close(at);
        }
    }

    fn revoked(&mut self, consumer: ConsumerId, partitions: &[PartitionId], at: Time) {
        if self.counting && !partitions.is_empty() {
            self.open(at);
        }
        for partition in partitions {
            if self.owners.get(partition) == Some(&consumer) {
                self.owners.remove(partition);
                self.stopped([*partition]);
            }
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
            let moved =
                self.owners.iter().filter(|(p, owner)| open.before.get(p) != Some(owner)).count();
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

    fn assigned(at_ms: i64, consumer: u32, partitions: &[u32]) -> (Time, Event) {
        let event = Event::Assigned { consumer: ConsumerId(consumer), partitions: ids(partitions) };
        (Time(at_ms * 1_000_000), event)
    }

    fn revoked(at_ms: i64, consumer: u32, partitions: &[u32]) -> (Time, Event) {
        let event = Event::Revoked { consumer: ConsumerId(consumer), partitions: ids(partitions) };
        (Time(at_ms * 1_000_000), event)
    }

    fn orphaned(at_ms: i64, consumer: u32, partitions: &[u32]) -> (Time, Event) {
        let event = Event::Orphaned { consumer: ConsumerId(consumer), partitions: ids(partitions) };
        (Time(at_ms * 1_000_000), event)
    }

    /// Member 1 dies, and its session time-out later member 0 has everything.
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
            assigned(1100, 1, &[2]),
        ];
        assert_eq!(rebalances(&journal, 3, Time(500_000_000), true), []);
        // A dynamic one is a new member, although it gets what the dead one had.
        assert_eq!(rebalances(&journal, 3, Time(500_000_000), false).len(), 1);
    }

    #[test]
    fn a_static_member_that_comes_back_too_late_is_one() {
        let found = rebalances(&taken_over(), 3, Time(500_000_000), true);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].partitions_stopped, found[0].partitions_moved), (3, 1));
    }
}
