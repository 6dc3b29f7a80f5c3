//! ConsumerGroupHeartbeat: the only request of a member of a group of KIP-848, and its response.
//!
//! Source: the message definitions of Kafka, KIP-848, KIP-1082 (the client makes the member id, from version 1 on).

use std::time::Duration;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use uuid::Uuid;

use super::consumer_protocol::{ids, numbers};
use super::errors::KafkaError;
use super::fetch::TopicId;
use super::layouts::CONSUMER_GROUP_HEARTBEAT;
use super::messages::{put, read, text};
use super::primitives::WireError;
use super::versions::Api;
use crate::base::PartitionId;
use crate::broker::model::group::{
    ConsumerHeartbeat, GroupError, HeartbeatAccepted, TargetAssignment,
};

/// Partitions by the id of their topic.
pub(crate) type PartitionsByTopic = Vec<(TopicId, Vec<PartitionId>)>;

/// The body of a request. A field that is `None` has not changed since the last heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberHeartbeat<'a> {
    /// `group.id`.
    pub(crate) group: &'a str,
    /// The member's id. With version 0, the coordinator generates one if the first heartbeat has none.
    pub(crate) member_id: &'a str,
    /// The member's epoch; 0 to join, -1 to leave, -2 for a static member that leaves and will come back.
    pub(crate) member_epoch: i32,
    /// `group.instance.id` of a static member.
    pub(crate) instance_id: Option<&'a str>,
    /// `client.rack`.
    pub(crate) rack: Option<&'a str>,
    /// Longest time in which the member revokes partitions, in milliseconds; sent when it joins.
    pub(crate) rebalance_timeout_ms: Option<i32>,
    /// The subscribed topic; sent when the member joins.
    pub(crate) topic: Option<&'a str>,
    /// `group.remote.assignor`; `None` for the default of the group.
    pub(crate) assignor: Option<&'a str>,
    /// The partitions that the member owns; sent when it joins and when they change.
    pub(crate) owned: Option<&'a [(TopicId, Vec<PartitionId>)]>,
}

/// The body of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeartbeatAnswer {
    /// The error; `None` if the heartbeat is accepted.
    pub(crate) error: Option<KafkaError>,
    /// The text of the error; `None` if it is not sent.
    pub(crate) message: Option<String>,
    /// The member's id; `None` if it is not sent.
    pub(crate) member_id: Option<String>,
    /// The member's epoch.
    pub(crate) member_epoch: i32,
    /// Time until the next heartbeat, in milliseconds.
    pub(crate) interval_ms: i32,
    /// The assignment of the member; `None` if it has not changed.
    pub(crate) assignment: Option<PartitionsByTopic>,
    /// Milliseconds for which a quota holds the client's requests back.
    pub(crate) throttle_ms: i32,
}

/// Writes the body of a ConsumerGroupHeartbeat request.
///
/// # Errors
/// A text is too long.
pub(crate) fn put_member_heartbeat(
    out: &mut Vec<u8>,
    version: i16,
    heartbeat: &MemberHeartbeat<'_>,
) -> Result<(), WireError> {
    let topic_partitions = |(id, partitions): &(TopicId, Vec<PartitionId>)| {
        TopicPartitions::default()
            .with_topic_id(Uuid::from_bytes(*id))
            .with_partitions(numbers(partitions))
    };
    let owned = heartbeat.owned.map(|owned| owned.iter().map(topic_partitions).collect());
    // The regular expression is empty, which matches no topic. Null would mean that it has not changed, and
    // librdkafka's mock cluster ends the process of a member that sends null with topics.
    let no_expression = heartbeat.topic.filter(|_| version >= 1).map(|_| text(""));
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text(heartbeat.group).into())
        .with_member_id(text(heartbeat.member_id))
        .with_member_epoch(heartbeat.member_epoch)
        .with_instance_id(heartbeat.instance_id.map(text))
        .with_rack_id(heartbeat.rack.map(text))
        .with_rebalance_timeout_ms(heartbeat.rebalance_timeout_ms.unwrap_or(-1))
        .with_subscribed_topic_names(heartbeat.topic.map(|topic| vec![text(topic).into()]))
        .with_subscribed_topic_regex(no_expression)
        .with_server_assignor(heartbeat.assignor.map(text))
        .with_topic_partitions(owned);
    put(out, (Api::ConsumerGroupHeartbeat, version), &request)
}

/// Reads the body of a ConsumerGroupHeartbeat response.
///
/// # Errors
/// The bytes are not such a body.
pub(crate) fn member_heartbeat(body: &[u8], version: i16) -> Result<HeartbeatAnswer, WireError> {
    let of = (Api::ConsumerGroupHeartbeat, version);
    let response: ConsumerGroupHeartbeatResponse = read(body, of, CONSUMER_GROUP_HEARTBEAT)?;
    let assignment = match response.assignment {
        None => None,
        Some(assignment) => {
            let mut found = Vec::with_capacity(assignment.topic_partitions.len());
            for its in assignment.topic_partitions {
                found.push((its.topic_id.into_bytes(), ids(its.partitions.iter())?));
            }
            Some(found)
        }
    };
    Ok(HeartbeatAnswer {
        error: KafkaError::of(response.error_code),
        message: response.error_message.map(|message| message.to_string()),
        member_id: response.member_id.map(|id| id.to_string()),
        member_epoch: response.member_epoch,
        interval_ms: response.heartbeat_interval_ms,
        assignment,
        throttle_ms: response.throttle_time_ms,
    })
}

/// Writes the body of a request of this client, a member of `group` that reads `topic`.
///
/// # Errors
/// A text is too long.
pub(super) fn put_consumer_heartbeat(
    out: &mut Vec<u8>,
    version: i16,
    heartbeat: &ConsumerHeartbeat,
    group: &str,
    (topic, topic_id): (&str, TopicId),
) -> Result<(), WireError> {
    let assignor = heartbeat.settings.and_then(|settings| settings.assignor);
    let assignor = assignor.map(|assignor| assignor.to_string());
    let timeout = heartbeat.settings.map(|settings| settings.rebalance_timeout.as_millis());
    let owned: Option<PartitionsByTopic> =
        heartbeat.owned.as_ref().map(|owned| match owned.is_empty() {
            true => Vec::new(),
            false => vec![(topic_id, owned.clone())],
        });
    let heartbeat = MemberHeartbeat {
        group,
        member_id: &heartbeat.member.member_id,
        member_epoch: heartbeat.member.generation,
        instance_id: heartbeat.member.instance_id.as_deref(),
        rack: None,
        rebalance_timeout_ms: timeout.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX)),
        topic: heartbeat.settings.map(|_| topic),
        assignor: assignor.as_deref(),
        owned: owned.as_deref(),
    };
    put_member_heartbeat(out, version, &heartbeat)
}

/// The result for the client: partitions of its topic, whose id is `topic_id`.
pub(super) fn accepted(
    answer: HeartbeatAnswer,
    topic_id: TopicId,
) -> Result<HeartbeatAccepted, GroupError> {
    if let Some(error) = answer.error {
        return Err(error.of_group());
    }
    let target = |assignment: PartitionsByTopic| {
        let mut known = Vec::new();
        for (id, partitions) in assignment {
            match id == topic_id {
                true => known.extend(partitions),
                false => return TargetAssignment::UnknownTopic,
            }
        }
        known.sort_unstable();
        known.dedup();
        TargetAssignment::Known(known)
    };
    Ok(HeartbeatAccepted {
        member_id: answer.member_id.filter(|id| !id.is_empty()),
        epoch: answer.member_epoch,
        interval: Duration::from_millis(u64::try_from(answer.interval_ms).unwrap_or(0)),
        assignment: answer.assignment.map(target),
    })
}
