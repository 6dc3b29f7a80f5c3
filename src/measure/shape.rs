//! How lanes are numbered, so that both sides of the ledger stay small.

use crate::base::{PartitionId, ProducerId};

/// The numbering of lanes in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneShape {
    /// Whether producer i only ever sends to partition i mod `partitions`.
    pub fixed: bool,
    /// Number of partitions.
    pub partitions: u32,
    /// Number of pools; producer i belongs to pool i mod `pools`.
    pub pools: u32,
}

impl LaneShape {
    /// Key of a lane within its pool.
    #[inline]
    pub fn sent_key(&self, producer: ProducerId, partition: PartitionId) -> u32 {
        let local = producer.0 / self.pools;
        if self.fixed { local } else { local * self.partitions + partition.0 }
    }

    /// The lane of key `key` in pool `pool`.
    pub fn sent_lane(&self, pool: u32, key: u32) -> (ProducerId, PartitionId) {
        let local = if self.fixed { key } else { key / self.partitions };
        let producer = local * self.pools + pool;
        let partition = if self.fixed { producer % self.partitions } else { key % self.partitions };
        (ProducerId(producer), PartitionId(partition))
    }

    /// Key of a lane within its partition.
    #[inline]
    pub fn read_key(&self, producer: ProducerId) -> u32 {
        if self.fixed { producer.0 / self.partitions } else { producer.0 }
    }

    /// The producer of the lane of key `key` within `partition`.
    pub fn read_lane(&self, partition: PartitionId, key: u32) -> ProducerId {
        ProducerId(if self.fixed { key * self.partitions + partition.0 } else { key })
    }

    /// The numbering once the topic has `partitions`: a producer has several of them from now on.
    pub fn grown(&self, partitions: u32) -> LaneShape {
        LaneShape { fixed: false, partitions, pools: self.pools }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_its_lane() {
        for shape in [
            LaneShape { fixed: true, partitions: 18, pools: 3 },
            LaneShape { fixed: false, partitions: 18, pools: 3 },
        ] {
            for producer in (0..1024).map(ProducerId) {
                let partition = PartitionId(producer.0 % 18);
                let key = shape.sent_key(producer, partition);
                assert_eq!(shape.sent_lane(producer.0 % 3, key), (producer, partition));
                assert_eq!(shape.read_lane(partition, shape.read_key(producer)), producer);
            }
        }
    }
}
