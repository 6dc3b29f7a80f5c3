//! The changes of leaders and in-sync replicas, for observers outside the cluster.

use super::state::Cluster;
use crate::base::{PartitionId, Time};
use crate::broker::protocol::BrokerId;
use crate::measure::PartitionBrokers;

/// The brokers of a partition from this time on.
pub type LeaderChange = (Time, PartitionId, PartitionBrokers);

/// Largest number of changes that are not taken yet.
const WAITING_MAX: usize = 1 << 20;

impl Cluster {
    /// Notes a change of a partition's replicas, if there is one.
    #[inline]
    pub(super) fn note_change(&mut self, now: Time, id: PartitionId) {
        if self.partition(id).replicas.take_changed() {
            self.keep_change(now, id);
        }
    }

    #[cold]
    fn keep_change(&mut self, now: Time, id: PartitionId) {
        // Brokers are counted from 1, as in a scenario.
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

    /// The changes since the last call, in the order of their times.
    pub fn take_leader_changes(&mut self) -> Vec<LeaderChange> {
        std::mem::take(&mut self.leader_changes)
    }
}
