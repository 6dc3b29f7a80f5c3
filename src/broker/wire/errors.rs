//! Kafka's error codes, and their meaning to this client.
//!
//! Source: "Error Codes" of Kafka's protocol guide.

use std::fmt;

use kafka_protocol::error::ResponseError;

use crate::broker::model::group::GroupError;
use crate::broker::protocol::ErrorCode;

/// An error code of a response; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KafkaError(i16);

/// OFFSET_OUT_OF_RANGE.
const OFFSET_OUT_OF_RANGE: i16 = 1;
/// UNKNOWN_TOPIC_OR_PARTITION.
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// TOPIC_, GROUP_ and CLUSTER_AUTHORIZATION_FAILED.
const DENIALS: [i16; 3] = [29, 30, 31];
/// LEADER_NOT_AVAILABLE.
const LEADER_NOT_AVAILABLE: i16 = 5;
/// NOT_LEADER_OR_FOLLOWER.
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
/// REQUEST_TIMED_OUT.
const REQUEST_TIMED_OUT: i16 = 7;
/// NOT_COORDINATOR.
const NOT_COORDINATOR: i16 = 16;
/// NOT_ENOUGH_REPLICAS.
const NOT_ENOUGH_REPLICAS: i16 = 19;
/// NOT_ENOUGH_REPLICAS_AFTER_APPEND.
const NOT_ENOUGH_REPLICAS_AFTER_APPEND: i16 = 20;
/// ILLEGAL_GENERATION.
const ILLEGAL_GENERATION: i16 = 22;
/// INCONSISTENT_GROUP_PROTOCOL.
const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
/// UNKNOWN_MEMBER_ID.
const UNKNOWN_MEMBER_ID: i16 = 25;
/// REBALANCE_IN_PROGRESS.
const REBALANCE_IN_PROGRESS: i16 = 27;
/// OUT_OF_ORDER_SEQUENCE_NUMBER.
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
/// DUPLICATE_SEQUENCE_NUMBER.
const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;
/// UNKNOWN_PRODUCER_ID: the log has no batch of this producer any more.
const UNKNOWN_PRODUCER_ID: i16 = 59;
/// KAFKA_STORAGE_ERROR: the leader's disk has failed, and another broker becomes leader.
const KAFKA_STORAGE_ERROR: i16 = 56;
/// FENCED_LEADER_EPOCH and UNKNOWN_LEADER_EPOCH.
const LEADER_EPOCHS: [i16; 2] = [74, 75];
/// MEMBER_ID_REQUIRED.
const MEMBER_ID_REQUIRED: i16 = 79;
/// FENCED_INSTANCE_ID.
const FENCED_INSTANCE_ID: i16 = 82;
/// FENCED_MEMBER_EPOCH.
const FENCED_MEMBER_EPOCH: i16 = 110;
/// STALE_MEMBER_EPOCH.
const STALE_MEMBER_EPOCH: i16 = 113;

impl KafkaError {
    /// The error of a code; `None` for 0.
    pub(crate) fn of(code: i16) -> Option<KafkaError> {
        (code != 0).then_some(KafkaError(code))
    }

    /// Number of the error in the protocol.
    pub(crate) fn code(self) -> i16 {
        self.0
    }

    /// True if a retry of the request may succeed (`retriable` in the protocol guide).
    pub(crate) fn is_retriable(self) -> bool {
        ResponseError::try_from_code(self.0).is_some_and(|error| error.is_retriable())
    }

    /// True if the user lacks a right.
    pub(crate) fn is_denial(self) -> bool {
        DENIALS.contains(&self.0)
    }

    /// True if the topic does not exist.
    pub(crate) fn is_unknown_topic(self) -> bool {
        self.0 == UNKNOWN_TOPIC_OR_PARTITION
    }

    /// True if a rejected batch is in the log, because an earlier attempt was appended.
    pub(crate) fn is_duplicate(self) -> bool {
        self.0 == DUPLICATE_SEQUENCE_NUMBER
    }

    /// The error for a partition. Errors after which another broker may lead are [`ErrorCode::NotLeaderOrFollower`].
    pub(crate) fn of_partition(self) -> ErrorCode {
        match self.0 {
            OFFSET_OUT_OF_RANGE => ErrorCode::OffsetOutOfRange,
            LEADER_NOT_AVAILABLE | NOT_LEADER_OR_FOLLOWER | KAFKA_STORAGE_ERROR => {
                ErrorCode::NotLeaderOrFollower
            }
            code if LEADER_EPOCHS.contains(&code) => ErrorCode::NotLeaderOrFollower,
            REQUEST_TIMED_OUT => ErrorCode::RequestTimedOut,
            NOT_ENOUGH_REPLICAS => ErrorCode::NotEnoughReplicas,
            NOT_ENOUGH_REPLICAS_AFTER_APPEND => ErrorCode::NotEnoughReplicasAfterAppend,
            OUT_OF_ORDER_SEQUENCE_NUMBER | UNKNOWN_PRODUCER_ID => ErrorCode::OutOfOrderSequence,
            _ if self.is_retriable() => ErrorCode::Unavailable,
            code => rejected(code).map_or(ErrorCode::Unavailable, ErrorCode::Rejected),
        }
    }

    /// The error for a coordinator.
    pub(crate) fn of_group(self) -> GroupError {
        match self.0 {
            NOT_COORDINATOR => GroupError::NotCoordinator,
            ILLEGAL_GENERATION => GroupError::IllegalGeneration,
            INCONSISTENT_GROUP_PROTOCOL => GroupError::InconsistentGroupProtocol,
            UNKNOWN_MEMBER_ID => GroupError::UnknownMemberId,
            REBALANCE_IN_PROGRESS => GroupError::RebalanceInProgress,
            MEMBER_ID_REQUIRED => GroupError::MemberIdRequired,
            FENCED_INSTANCE_ID => GroupError::FencedInstanceId,
            FENCED_MEMBER_EPOCH => GroupError::FencedMemberEpoch,
            STALE_MEMBER_EPOCH => GroupError::StaleMemberEpoch,
            _ if self.is_retriable() => GroupError::Unavailable,
            code => rejected(code).map_or(GroupError::Unavailable, GroupError::Rejected),
        }
    }
}

/// The name of an error that is not retriable, as librdkafka has it.
fn rejected(code: i16) -> Option<&'static str> {
    Some(match code {
        10 => "MessageSizeTooLarge",
        17 => "InvalidTopic",
        18 => "MessageBatchTooLarge",
        21 => "InvalidRequiredAcks",
        24 => "InvalidGroupId",
        26 => "InvalidSessionTimeout",
        29 => "TopicAuthorizationFailed",
        30 => "GroupAuthorizationFailed",
        31 => "ClusterAuthorizationFailed",
        32 => "InvalidTimestamp",
        35 => "UnsupportedVersion",
        42 => "InvalidRequest",
        43 => "UnsupportedForMessageFormat",
        44 => "PolicyViolation",
        47 => "InvalidProducerEpoch",
        53 => "TransactionalIdAuthorizationFailed",
        76 => "UnsupportedCompressionType",
        81 => "GroupMaxSizeReached",
        87 => "InvalidRecord",
        90 => "ProducerFenced",
        111 => "UnreleasedInstanceId",
        112 => "UnsupportedAssignor",
        _ => return None,
    })
}

impl fmt::Display for KafkaError {
    /// Kafka's name and number of the error: `NotLeaderOrFollower (6)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ResponseError::try_from_code(self.0) {
            Some(ResponseError::Unknown(_)) | None => write!(f, "error {}", self.0),
            Some(known) => write!(f, "{known:?} ({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_and_a_meaning() {
        for code in i16::MIN..=i16::MAX {
            let Some(error) = KafkaError::of(code) else {
                assert_eq!(code, 0);
                continue;
            };
            assert!(error.to_string().contains(&code.to_string()), "{error}");
            let _ = (error.of_partition(), error.of_group(), error.is_retriable());
        }
        let moved = KafkaError::of(6).expect("an error");
        assert_eq!(moved.to_string(), "NotLeaderOrFollower (6)");
        assert!(moved.is_retriable());
        assert_eq!(KafkaError::of(30_000).expect("an error").to_string(), "error 30000");
        assert!(KafkaError::of(46).is_some_and(KafkaError::is_duplicate));
    }

    #[test]
    fn the_codes_are_those_of_their_names() {
        let pairs = [
            (ResponseError::OffsetOutOfRange, OFFSET_OUT_OF_RANGE),
            (ResponseError::LeaderNotAvailable, LEADER_NOT_AVAILABLE),
            (ResponseError::NotLeaderOrFollower, NOT_LEADER_OR_FOLLOWER),
            (ResponseError::RequestTimedOut, REQUEST_TIMED_OUT),
            (ResponseError::NotCoordinator, NOT_COORDINATOR),
            (ResponseError::NotEnoughReplicas, NOT_ENOUGH_REPLICAS),
            (ResponseError::NotEnoughReplicasAfterAppend, NOT_ENOUGH_REPLICAS_AFTER_APPEND),
            (ResponseError::IllegalGeneration, ILLEGAL_GENERATION),
            (ResponseError::InconsistentGroupProtocol, INCONSISTENT_GROUP_PROTOCOL),
            (ResponseError::UnknownMemberId, UNKNOWN_MEMBER_ID),
            (ResponseError::RebalanceInProgress, REBALANCE_IN_PROGRESS),
            (ResponseError::OutOfOrderSequenceNumber, OUT_OF_ORDER_SEQUENCE_NUMBER),
            (ResponseError::DuplicateSequenceNumber, DUPLICATE_SEQUENCE_NUMBER),
            (ResponseError::KafkaStorageError, KAFKA_STORAGE_ERROR),
            (ResponseError::FencedLeaderEpoch, LEADER_EPOCHS[0]),
            (ResponseError::UnknownLeaderEpoch, LEADER_EPOCHS[1]),
            (ResponseError::MemberIdRequired, MEMBER_ID_REQUIRED),
            (ResponseError::FencedInstanceId, FENCED_INSTANCE_ID),
            (ResponseError::FencedMemberEpoch, FENCED_MEMBER_EPOCH),
            (ResponseError::StaleMemberEpoch, STALE_MEMBER_EPOCH),
        ];
        for (error, code) in pairs {
            assert_eq!(error.code(), code, "{error:?}");
        }
    }
}
