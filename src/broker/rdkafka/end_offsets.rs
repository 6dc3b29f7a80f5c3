//! Asks where partitions end, with a client of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset as RdOffset, TopicPartitionList};

use super::config::ClientSettings;
use super::error::classify;
use super::told::Told;
use crate::base::{Offset, PartitionId};
use crate::broker::{BrokerError, EndOffsets, Watermarks};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// ListOffsets for all partitions at once: one request per leader.
pub(super) struct RdEndOffsets {
    client: BaseConsumer<Told>,
    topic: String,
    /// How many partitions are known by now.
    partitions: Arc<AtomicU32>,
}

impl RdEndOffsets {
    pub(super) fn new(
        settings: &ClientSettings,
        topic: &str,
        partitions: Arc<AtomicU32>,
    ) -> Result<RdEndOffsets, BrokerError> {
        let client = settings.create(&settings.end_offsets())?;
        Ok(RdEndOffsets { client, topic: topic.to_owned(), partitions })
    }

    /// The first or the end offset of every partition.
    pub(super) fn ask(&self, what: RdOffset) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions.load(Ordering::Acquire) {
            list.add_partition_offset(&self.topic, partition as i32, what)
                .map_err(|error| classify(&error))?;
        }
        // "Timestamps" -1 and -2 ask for the end and the beginning (ListOffsets, KIP-79).
        let list =
            self.client.offsets_for_times(list, TIMEOUT).map_err(|error| classify(&error))?;
        let offset =
            |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element
                .offset()
            {
                RdOffset::Offset(offset) => {
                    Some((PartitionId(element.partition() as u32), Offset(offset)))
                }
                _ => None,
            };
        Ok(list.elements().iter().filter_map(offset).collect())
    }
}

impl EndOffsets for RdEndOffsets {
    fn fetch(&mut self) -> Result<BTreeMap<PartitionId, Offset>, BrokerError> {
        self.ask(RdOffset::End)
    }

    fn watermarks(&mut self) -> Result<Watermarks, BrokerError> {
        // The end first: what is removed in between must not look like a log that was cut.
        let high = self.ask(RdOffset::End)?;
        let low = self.ask(RdOffset::Beginning)?;
        let both = |(partition, high)| Some((partition, (*low.get(&partition)?, high)));
        Ok(high.into_iter().filter_map(both).collect())
    }
}
