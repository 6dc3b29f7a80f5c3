//! ListOffsets: the first offsets and the ends of partitions.
//!
//! Source: the message definitions of Kafka. A request asks for one end of each partition, because brokers reject a
//! partition that a request names twice.

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};

use super::errors::KafkaError;
use super::layouts::LIST_OFFSETS;
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;
use crate::base::{Offset, PartitionId};

/// The requested offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// The first offset of the log: the low watermark.
    Earliest,
    /// The offset after the last record that a consumer may read: the high watermark, or the first record of an open
    /// transaction.
    Latest,
}

/// A partition, and its offset or the error.
pub(crate) type ListedOffset = (PartitionId, Result<Offset, KafkaError>);

/// Writes the body of a ListOffsets request. `partitions` has the leader epoch of each partition, -1 if it is not
/// known.
///
/// # Errors
/// The topic's name is too long.
pub(crate) fn put_list_offsets(
    out: &mut Vec<u8>,
    version: i16,
    topic: &str,
    partitions: &[(PartitionId, i32)],
    end: LogEnd,
) -> Result<(), WireError> {
    let timestamp = match end {
        LogEnd::Earliest => -2,
        LogEnd::Latest => -1,
    };
    let partition = |(id, epoch): &(PartitionId, i32)| {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(i32::try_from(id.0).unwrap_or(i32::MAX))
            .with_timestamp(timestamp);
        if version >= 4 { partition.with_current_leader_epoch(*epoch) } else { partition }
    };
    let topic = ListOffsetsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(partitions.iter().map(partition).collect());
    // A consumer has no replica id.
    let request =
        ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    // The isolation level read_committed, the default of librdkafka: open transactions are not read.
    let request = if version >= 2 { request.with_isolation_level(1) } else { request };
    put(out, (Api::ListOffsets, version), &request)
}

/// Reads the body of a ListOffsets response: its partitions, in its order.
///
/// # Errors
/// The bytes are not a response for `topic`.
pub(crate) fn listed_offsets(
    body: &[u8],
    version: i16,
    topic: &str,
) -> Result<Vec<ListedOffset>, WireError> {
    let response: ListOffsetsResponse = read(body, (Api::ListOffsets, version), LIST_OFFSETS)?;
    let mut listed = Vec::new();
    for found in response.topics {
        if found.name.as_str() != topic {
            return Err(WireError::Malformed("the topic of an offsets response"));
        }
        for its in found.partitions {
            let id = u32::try_from(its.partition_index)
                .map_err(|_| WireError::Malformed("a partition"))?;
            let offset = KafkaError::of(its.error_code).map_or(Ok(Offset(its.offset)), Err);
            listed.push((PartitionId(id), offset));
        }
    }
    Ok(listed)
}
