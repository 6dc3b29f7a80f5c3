//! What has changed about the leaders and the replicas in sync, for those who watch the cluster from outside.

use super::state::Cluster;
use crate::base::{PartitionId, Time};
use crate::broker::protocol::BrokerId;
use crate::measure::PartitionBrokers;

/// A partition's brokers from some time on.
pub type LeaderChange = (Time, PartitionId, PartitionBrokers);

/// Changes that wait to be taken, at most.
const WAITING_MAX: usize = 1 << 20;

impl Cluster {
    /// Notes what has changed about the replicas of a partition, if anything has.
    #[inline]
    pub(super) fn note_change(&mut self, now: Time, id: PartitionId) {
        if self.partition(id).replicas.take_changed() {
            self.keep_change(now, id);
        }
    }

    #[cold]
    fn keep_change(&mut self, now: Time, id: PartitionId) {
        // Counted from 1, as in a scenario and in the real thing.
        let number = |broker: BrokerId| broker as i32 + 1;
        let replicas = &self.partition(id).replicas;
        let brokers = PartitionBrokers {
            leader: replicas.leader().map(number),
            replicas: (0..replicas.copies()).map(|place| number(replicas.broker(place))).collect(),
            in_sync: replicas.in_sync().map(number).collect(),
        };
        if self.leader_changes.len() < WAITING_MAX {
            self.leader_changes.push((now, id, brokers));
        }
    }

    /// What has changed since the last call, in the order of the times.
    pub fn take_leader_changes(&mut self) -> Vec<LeaderChange> {
        std::mem::take(&mut self.leader_changes)
    }
}
