//! DeleteRecords: the leader of a partition deletes all records before an offset.
//!
//! Source: the message definitions of Kafka.

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::errors::KafkaError;
use super::layouts::DELETE_RECORDS;
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;
use crate::base::PartitionId;

/// The offset that stands for the high watermark: every record.
const ALL: i64 = -1;

/// Writes the body of a DeleteRecords request for every record of these partitions.
///
/// # Errors
/// The topic's name is too long.
pub(crate) fn put_delete_records(
    out: &mut Vec<u8>,
    version: i16,
    (topic, partitions): (&str, &[PartitionId]),
    timeout_ms: i32,
) -> Result<(), WireError> {
    let partition = |id: &PartitionId| {
        DeleteRecordsPartition::default()
            .with_partition_index(i32::try_from(id.0).unwrap_or(i32::MAX))
            .with_offset(ALL)
    };
    let topic = DeleteRecordsTopic::default()
        .with_name(text(topic).into())
        .with_partitions(partitions.iter().map(partition).collect());
    let request =
        DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
    put(out, (Api::DeleteRecords, version), &request)
}

/// Reads the body of a DeleteRecords response: the first error of a partition.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn deleted_records(body: &[u8], version: i16) -> Result<Option<KafkaError>, WireError> {
    let response: DeleteRecordsResponse =
        read(body, (Api::DeleteRecords, version), DELETE_RECORDS)?;
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    Ok(partitions.find_map(|its| KafkaError::of(its.error_code)))
}
