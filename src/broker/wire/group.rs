//! The requests of a member of a group, and their responses. JoinGroup, SyncGroup, Heartbeat and LeaveGroup of the
//! classic protocol are here.
//!
//! Source: the message definitions of Kafka, KIP-345 (`group.instance.id`), KIP-394 (MEMBER_ID_REQUIRED). OffsetCommit
//! and OffsetFetch are in [`super::commits`], ConsumerGroupHeartbeat in [`super::consumer_heartbeat`].

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::commits::{committed, fetched_offsets, put_commit, put_fetch_offsets};
use super::consumer_heartbeat::{accepted, member_heartbeat, put_consumer_heartbeat};
use super::consumer_protocol::{assignment, assignment_bytes, subscription, subscription_bytes};
use super::errors::KafkaError;
use super::fetch::TopicId;
use super::layouts::{HEARTBEAT, JOIN_GROUP, LEAVE_GROUP};
use super::messages::{put, read, text};
use super::primitives::{WireError, WireReader};
use super::versions::Api;
use crate::broker::model::assignor::Subscription;
use crate::broker::model::group::{GroupError, GroupRequest, GroupResponse, Join, Joined};
use crate::plan::Assignor;

/// The protocol type of consumers in classic groups.
const CONSUMER: &str = "consumer";

/// The settings of a group's requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupContext<'a> {
    /// `group.id`.
    pub(crate) group: &'a str,
    /// The topic's name.
    pub(crate) topic: &'a str,
    /// The topic's id; all zero until it is known.
    pub(crate) topic_id: TopicId,
    /// `partition.assignment.strategy`: the group's protocol.
    pub(crate) assignor: Assignor,
}

/// A response of a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupAnswer {
    /// The response for the client.
    pub(crate) response: GroupResponse,
    /// The error; the first one if each partition or member has its own. `None` without an error.
    pub(crate) error: Option<KafkaError>,
    /// Milliseconds for which a quota holds the client's requests back.
    pub(crate) throttle_ms: i32,
}

/// The API of a request.
pub(crate) fn group_api(request: &GroupRequest) -> Api {
    match request {
        GroupRequest::Join(_) => Api::JoinGroup,
        GroupRequest::Sync { .. } => Api::SyncGroup,
        GroupRequest::Heartbeat(_) => Api::Heartbeat,
        GroupRequest::Leave(_) => Api::LeaveGroup,
        GroupRequest::ConsumerHeartbeat(_) => Api::ConsumerGroupHeartbeat,
        GroupRequest::Commit { .. } => Api::OffsetCommit,
        GroupRequest::FetchOffsets(_) => Api::OffsetFetch,
    }
}

/// Writes the body of a request, in a version of its [`group_api`].
///
/// # Errors
/// A text is too long.
pub(crate) fn put_group(
    out: &mut Vec<u8>,
    version: i16,
    request: &GroupRequest,
    context: &GroupContext<'_>,
) -> Result<(), WireError> {
    let of = (group_api(request), version);
    let group = || text(context.group).into();
    match request {
        GroupRequest::Join(join) => put(out, of, &join_request(join, context)?),
        GroupRequest::Sync { member, assignments } => {
            let assignment = |(id, partitions): (&String, &Vec<_>)| {
                let bytes = assignment_bytes(context.topic, partitions)?;
                let its = SyncGroupRequestAssignment::default().with_member_id(text(id));
                Ok(its.with_assignment(bytes.into()))
            };
            let mut request = SyncGroupRequest::default()
                .with_group_id(group())
                .with_generation_id(member.generation)
                .with_member_id(text(&member.member_id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_assignments(assignments.iter().map(assignment).collect::<Result<_, _>>()?);
            if version >= 5 {
                request.protocol_type = Some(StrBytes::from_static_str(CONSUMER));
                request.protocol_name = Some(text(&context.assignor.to_string()));
            }
            put(out, of, &request)
        }
        GroupRequest::Heartbeat(member) => {
            let request = HeartbeatRequest::default()
                .with_group_id(group())
                .with_generation_id(member.generation)
                .with_member_id(text(&member.member_id))
                .with_group_instance_id(member.instance_id.as_deref().map(text));
            put(out, of, &request)
        }
        GroupRequest::Leave(member) => {
            let request = LeaveGroupRequest::default().with_group_id(group());
            let request = match version >= 3 {
                true => request.with_members(vec![
                    MemberIdentity::default()
                        .with_member_id(text(&member.member_id))
                        .with_group_instance_id(member.instance_id.as_deref().map(text)),
                ]),
                false => request.with_member_id(text(&member.member_id)),
            };
            put(out, of, &request)
        }
        GroupRequest::ConsumerHeartbeat(heartbeat) => {
            let topic = (context.topic, context.topic_id);
            put_consumer_heartbeat(out, version, heartbeat, context.group, topic)
        }
        GroupRequest::Commit { member, offsets } => {
            put_commit(out, version, context.group, context.topic, (member.as_ref(), offsets))
        }
        GroupRequest::FetchOffsets(partitions) => {
            put_fetch_offsets(out, version, context.group, (context.topic, partitions))
        }
    }
}

fn join_request(join: &Join, context: &GroupContext<'_>) -> Result<JoinGroupRequest, WireError> {
    let milliseconds =
        |span: std::time::Duration| i32::try_from(span.as_millis()).unwrap_or(i32::MAX);
    let subscription = subscription_bytes(context.topic, &join.owned, join.generation)?;
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text(&join.assignor.to_string()))
        .with_metadata(subscription.into());
    Ok(JoinGroupRequest::default()
        .with_group_id(text(context.group).into())
        .with_session_timeout_ms(milliseconds(join.session_timeout))
        .with_rebalance_timeout_ms(milliseconds(join.rebalance_timeout))
        .with_member_id(text(&join.member_id))
        .with_group_instance_id(join.instance_id.as_deref().map(text))
        .with_protocol_type(StrBytes::from_static_str(CONSUMER))
        .with_protocols(vec![protocol]))
}

/// Reads the body of a response to a request of this API.
///
/// # Errors
/// The bytes are not such a response, or [`group_api`] never returns this API.
pub(crate) fn group_answer(
    body: &[u8],
    (api, version): (Api, i16),
    context: &GroupContext<'_>,
) -> Result<GroupAnswer, WireError> {
    let of = (api, version);
    match api {
        Api::JoinGroup => joined(read(body, of, JOIN_GROUP)?, context),
        Api::SyncGroup => {
            // Read by hand, because with an error the mock cluster sends no assignment field, not even an empty one.
            let mut reader = WireReader::new(body);
            let throttle_ms = reader.i32("a throttle time")?;
            let error = KafkaError::of(reader.i16("an error")?);
            let flexible = api.is_flexible(version);
            let bytes = reader.nullable_bytes(flexible, "an assignment")?.unwrap_or_default();
            let result = match error {
                Some(error) => Err(error.of_group()),
                None => Ok(assignment(bytes, context.topic)?),
            };
            Ok(GroupAnswer { response: GroupResponse::Sync(result), error, throttle_ms })
        }
        Api::Heartbeat => {
            let response: HeartbeatResponse = read(body, of, HEARTBEAT)?;
            Ok(done(KafkaError::of(response.error_code), response.throttle_time_ms))
        }
        Api::LeaveGroup => {
            let response: LeaveGroupResponse = read(body, of, LEAVE_GROUP)?;
            let of_member = response.members.iter().find_map(|its| KafkaError::of(its.error_code));
            let error = KafkaError::of(response.error_code).or(of_member);
            Ok(done(error, response.throttle_time_ms))
        }
        Api::ConsumerGroupHeartbeat => {
            let answer = member_heartbeat(body, version)?;
            let (error, throttle_ms) = (answer.error, answer.throttle_ms);
            let response = GroupResponse::ConsumerHeartbeat(accepted(answer, context.topic_id));
            Ok(GroupAnswer { response, error, throttle_ms })
        }
        Api::OffsetCommit => {
            let (error, throttle_ms) = committed(body, version)?;
            Ok(done(error, throttle_ms))
        }
        Api::OffsetFetch => {
            let found = fetched_offsets(body, version, context.group, context.topic)?;
            let (offsets, throttle_ms) = found;
            Ok(match offsets {
                Err(error) => done(Some(error), throttle_ms),
                Ok(offsets) => {
                    let response = GroupResponse::Offsets(offsets);
                    GroupAnswer { response, error: None, throttle_ms }
                }
            })
        }
        _ => Err(WireError::Malformed("the api of a group's answer")),
    }
}

fn done(error: Option<KafkaError>, throttle_ms: i32) -> GroupAnswer {
    let result = error.map_or(Ok(()), |error| Err(error.of_group()));
    GroupAnswer { response: GroupResponse::Done(result), error, throttle_ms }
}

fn joined(
    response: JoinGroupResponse,
    context: &GroupContext<'_>,
) -> Result<GroupAnswer, WireError> {
    let error = KafkaError::of(response.error_code);
    let result: Result<Joined, GroupError> = match error {
        Some(error) => Err(error.of_group()),
        None => {
            let mut members = Vec::with_capacity(response.members.len());
            for member in response.members {
                let owned = subscription(&member.metadata, context.topic)?;
                members.push(Subscription {
                    member_id: member.member_id.to_string(),
                    instance_id: member.group_instance_id.map(|id| id.to_string()),
                    owned: owned.partitions,
                    generation: owned.generation,
                });
            }
            let leader = response.leader.to_string();
            Ok(Joined { generation: response.generation_id, leader, members })
        }
    };
    let answer = GroupResponse::Join(response.member_id.to_string(), result);
    Ok(GroupAnswer { response: answer, error, throttle_ms: response.throttle_time_ms })
}
