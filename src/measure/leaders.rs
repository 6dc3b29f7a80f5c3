//! The leaders, replicas and in-sync replicas of partitions, and their changes over a run.

use crate::base::{PartitionId, Time};
use crate::summary::Leadership;

/// Changes kept of a partition. Later ones are dropped.
const CHANGES_MAX: usize = 1_000;

/// The brokers of one partition at one time, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionBrokers {
    /// The leader; `None` if the partition has none.
    pub leader: Option<i32>,
    /// The brokers with a replica, in the order in which they are preferred as leaders.
    pub replicas: Vec<i32>,
    /// The replicas that are in sync, in any order.
    pub in_sync: Vec<i32>,
}

/// The changes of each partition's brokers.
#[derive(Debug, Default)]
pub struct LeaderLog {
    /// Index: the partition's id.
    changes: Vec<Vec<(Time, PartitionBrokers)>>,
}

impl LeaderLog {
    /// Notes the brokers of a partition at `now`.
    pub fn note(&mut self, now: Time, partition: PartitionId, mut brokers: PartitionBrokers) {
        let id = partition.0 as usize;
        if self.changes.len() <= id {
            self.changes.resize_with(id + 1, Vec::new);
        }
        // The order in a response is not always the same.
        brokers.in_sync.sort_unstable();
        let changes = &mut self.changes[id];
        let is_new = changes.last().is_none_or(|(_, last)| *last != brokers);
        if is_new && changes.len() < CHANGES_MAX {
            changes.push((now, brokers));
        }
    }

    /// The changes of a partition, for a summary; `None` if its brokers were never seen.
    pub fn of(&self, partition: usize, start: Time) -> Option<Vec<Leadership>> {
        let changes = self.changes.get(partition).filter(|changes| !changes.is_empty())?;
        let one = |(at, brokers): &(Time, PartitionBrokers)| Leadership {
            from_s: at.since_ns(start) as f64 / 1e9,
            leader: brokers.leader,
            replicas: brokers.replicas.clone(),
            in_sync: brokers.in_sync.clone(),
        };
        Some(changes.iter().map(one).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_kept_and_not_without_limit() {
        let mut log = LeaderLog::default();
        let brokers = |leader, in_sync: &[i32]| PartitionBrokers {
            leader: Some(leader),
            replicas: vec![1, 2],
            in_sync: in_sync.to_vec(),
        };
        for (at, brokers) in [
            (1, brokers(1, &[1, 2])),
            (2, brokers(1, &[2, 1])),
            (3, brokers(2, &[2])),
            (4, brokers(2, &[1, 2])),
        ] {
            log.note(Time(at * 1_000_000_000), PartitionId(1), brokers);
        }
        assert_eq!(log.of(0, Time(0)), None);
        let changes = log.of(1, Time(2_000_000_000)).expect("changes");
        let seen: Vec<_> =
            changes.iter().map(|it| (it.from_s, it.leader, it.in_sync.len())).collect();
        assert_eq!(seen, [(-1.0, Some(1), 2), (1.0, Some(2), 1), (2.0, Some(2), 2)]);
        for at in 0..2 * CHANGES_MAX as i64 {
            log.note(Time(at), PartitionId(0), brokers(at as i32 % 2, &[1, 2]));
        }
        assert_eq!(log.of(0, Time(0)).map(|changes| changes.len()), Some(CHANGES_MAX));
    }
}
