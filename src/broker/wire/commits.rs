//! OffsetCommit and OffsetFetch of a group.
//!
//! Source: the message definitions of Kafka, KIP-709 (several groups in OffsetFetch from version 8 on).

use std::collections::BTreeMap;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition as PartitionOf1, OffsetFetchResponsePartitions as PartitionOf8,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::errors::KafkaError;
use super::layouts::{OFFSET_COMMIT, OFFSET_FETCH};
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;
use crate::base::{Offset, PartitionId};
use crate::broker::model::group::MemberRef;

/// Committed offsets by partition.
type CommittedOffsets = BTreeMap<PartitionId, Offset>;

/// Writes the body of an OffsetCommit request. `commit` has the member (`None` for a client outside the group), and the
/// next offset to process of each partition.
///
/// # Errors
/// A text is too long.
pub(crate) fn put_commit(
    out: &mut Vec<u8>,
    version: i16,
    group: &str,
    topic: &str,
    commit: (Option<&MemberRef>, &CommittedOffsets),
) -> Result<(), WireError> {
    let (member, offsets) = commit;
    let partition = |(id, offset): (&PartitionId, &Offset)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(i32::try_from(id.0).unwrap_or(i32::MAX))
            .with_committed_offset(offset.0)
            .with_committed_metadata(Some(StrBytes::from_static_str("")))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(text(topic).into())
        .with_partitions(offsets.iter().map(partition).collect());
    let request =
        OffsetCommitRequest::default().with_group_id(text(group).into()).with_topics(vec![topic]);
    let request = match member {
        None => request.with_generation_id_or_member_epoch(-1),
        Some(member) => request
            .with_generation_id_or_member_epoch(member.generation)
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.as_deref().map(text)),
    };
    put(out, (Api::OffsetCommit, version), &request)
}

/// Reads the body of an OffsetCommit response: the first error of a partition, and the throttle time.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn committed(body: &[u8], version: i16) -> Result<(Option<KafkaError>, i32), WireError> {
    let response: OffsetCommitResponse = read(body, (Api::OffsetCommit, version), OFFSET_COMMIT)?;
    let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let error = partitions.find_map(|its| KafkaError::of(its.error_code));
    Ok((error, response.throttle_time_ms))
}

/// Writes the body of an OffsetFetch request for the committed offsets of a group: of these partitions of a topic, or
/// of all topics if there are none.
///
/// # Errors
/// A name is too long.
pub(crate) fn put_fetch_offsets(
    out: &mut Vec<u8>,
    version: i16,
    group: &str,
    (topic, partitions): (&str, &[PartitionId]),
) -> Result<(), WireError> {
    let index = |id: &PartitionId| i32::try_from(id.0).unwrap_or(i32::MAX);
    let indexes: Vec<i32> = partitions.iter().map(index).collect();
    let (name, group) = (TopicName::from(text(topic)), text(group).into());
    let request = match version >= 8 {
        true => {
            let topics = OffsetFetchRequestTopics::default().with_name(name);
            let topics =
                (!indexes.is_empty()).then(|| vec![topics.with_partition_indexes(indexes)]);
            let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(topics);
            OffsetFetchRequest::default().with_groups(vec![group])
        }
        false => {
            let topics = OffsetFetchRequestTopic::default().with_name(name);
            let topics =
                (!indexes.is_empty()).then(|| vec![topics.with_partition_indexes(indexes)]);
            OffsetFetchRequest::default().with_group_id(group).with_topics(topics)
        }
    };
    put(out, (Api::OffsetFetch, version), &request)
}

/// Reads the body of an OffsetFetch response: the committed offsets for `topic`, or the first error, and the throttle
/// time. Partitions without a committed offset are left out.
///
/// # Errors
/// The bytes are not a response for `group`.
pub(crate) fn fetched_offsets(
    body: &[u8],
    version: i16,
    group: &str,
    topic: &str,
) -> Result<(Result<CommittedOffsets, KafkaError>, i32), WireError> {
    let response: OffsetFetchResponse = read(body, (Api::OffsetFetch, version), OFFSET_FETCH)?;
    let throttle_ms = response.throttle_time_ms;
    let mut found = Vec::new();
    let code = if version >= 8 {
        let mut groups = response.groups.into_iter();
        let its = groups.find(|its| its.group_id.as_str() == group);
        let its = its.ok_or(WireError::Malformed("the group of an offsets response"))?;
        for its in its.topics.iter().filter(|its| its.name.as_str() == topic) {
            let partition =
                |at: &PartitionOf8| (at.partition_index, at.committed_offset, at.error_code);
            found.extend(its.partitions.iter().map(partition));
        }
        its.error_code
    } else {
        for its in response.topics.iter().filter(|its| its.name.as_str() == topic) {
            let partition =
                |at: &PartitionOf1| (at.partition_index, at.committed_offset, at.error_code);
            found.extend(its.partitions.iter().map(partition));
        }
        response.error_code
    };
    let mut errors = std::iter::once(code).chain(found.iter().map(|(_, _, code)| *code));
    if let Some(error) = errors.find_map(KafkaError::of) {
        return Ok((Err(error), throttle_ms));
    }
    let mut offsets = BTreeMap::new();
    for (partition, offset, _) in found {
        let id = u32::try_from(partition).map_err(|_| WireError::Malformed("a partition"))?;
        if offset >= 0 {
            offsets.insert(PartitionId(id), Offset(offset));
        }
    }
    Ok((Ok(offsets), throttle_ms))
}
