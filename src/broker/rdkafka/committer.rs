//! Commits offsets for a group without being a member of it.

use std::collections::BTreeMap;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset as RdOffset, TopicPartitionList};

use super::config::ClientSettings;
use super::error::classify;
use super::told::Told;
use crate::base::{Offset, PartitionId};
use crate::broker::{BrokerError, Committer};

/// A client that only commits. A coordinator takes that as long as the group has no members.
pub(super) struct RdCommitter {
    client: BaseConsumer<Told>,
    topic: String,
}

impl RdCommitter {
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        group: &str,
    ) -> Result<RdCommitter, BrokerError> {
        let client = settings.create(&settings.mirror(group))?;
        Ok(RdCommitter { client, topic: topic.to_owned() })
    }
}

impl Committer for RdCommitter {
    fn commit(&mut self, positions: &BTreeMap<PartitionId, Offset>) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let offset = RdOffset::Offset(offset.0);
            list.add_partition_offset(&self.topic, partition.0 as i32, offset)
                .map_err(|error| classify(&error))?;
        }
        self.client.commit(&list, CommitMode::Sync).map_err(|error| classify(&error))
    }
}
