//! The requests of members to a coordinator, its responses, and a member as the coordinator sees it.
//!
//! The names and errors are those of the Kafka protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup,
//! ConsumerGroupHeartbeat, OffsetCommit, OffsetFetch). Fields that the model does not need are left out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::assignor::Subscription;
use crate::base::{Offset, PartitionId, Time};
use crate::plan::{Assignor, RemoteAssignor};

/// Identifies the request that a response belongs to. The host, which delivers the messages, assigns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A request to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup: the leader sends all assignments, and each member gets its own.
    Sync {
        /// The member that asks.
        member: MemberRef,
        /// The leader's assignments, by member id; empty from other members.
        assignments: BTreeMap<String, Vec<PartitionId>>,
    },
    /// Heartbeat.
    Heartbeat(MemberRef),
    /// LeaveGroup.
    Leave(MemberRef),
    /// ConsumerGroupHeartbeat, the one request of a member of the consumer protocol (KIP-848).
    ConsumerHeartbeat(ConsumerHeartbeat),
    /// OffsetCommit.
    Commit {
        /// The member that commits; `None` for a client outside the group, which may commit while the group is empty.
        member: Option<MemberRef>,
        /// Next offsets to process.
        offsets: BTreeMap<PartitionId, Offset>,
    },
    /// OffsetFetch of these partitions, or of all with an offset if there are none. The model answers with all.
    FetchOffsets(Vec<PartitionId>),
}

/// The identity of a member, as it sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The member id; with the classic protocol the coordinator assigns it.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The generation that the member knows; in the consumer protocol the member epoch.
    pub generation: i32,
}

/// The member epoch of a member that joins.
pub const JOINS: i32 = 0;
/// The member epoch of a member that leaves.
pub const LEAVES: i32 = -1;
/// The member epoch of a static member that leaves temporarily.
pub const LEAVES_FOR_A_WHILE: i32 = -2;

/// The content of a ConsumerGroupHeartbeat. A `None` means no change since the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The member, with its epoch or one of [`JOINS`], [`LEAVES`] and [`LEAVES_FOR_A_WHILE`].
    pub member: MemberRef,
    /// The settings of the member. They are sent when it joins, and to a coordinator that may not know it.
    pub settings: Option<HeartbeatSettings>,
    /// The partitions that the member owns.
    pub owned: Option<Vec<PartitionId>>,
}

/// The settings of a member of the consumer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// `max.poll.interval.ms`: longest time to give up partitions.
    pub rebalance_timeout: Duration,
    /// `group.remote.assignor`; `None` for the group's default.
    pub assignor: Option<RemoteAssignor>,
}

/// The response to an accepted heartbeat of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatAccepted {
    /// The member id, if the coordinator assigns it.
    pub member_id: Option<String>,
    /// The member epoch.
    pub epoch: i32,
    /// `group.consumer.heartbeat.interval.ms`: time until the next heartbeat.
    pub interval: Duration,
    /// The assignment of the member; `None` if it has not changed.
    pub assignment: Option<TargetAssignment>,
}

/// The assignment of a member of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAssignment {
    /// These partitions, ascending.
    Known(Vec<PartitionId>),
    /// Partitions of a topic whose id the client does not know yet.
    UnknownTopic,
}

/// The content of a JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Name of the client, which the id of a new member begins with.
    pub client_id: String,
    /// The member id; empty for a new member.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `max.poll.interval.ms`.
    pub rebalance_timeout: Duration,
    /// The assignor of the leader.
    pub assignor: Assignor,
    /// The partitions that the member owns; empty with an eager assignor.
    pub owned: Vec<PartitionId>,
    /// The generation in which it owned them; -1 for a new member.
    pub generation: i32,
}

/// The reason why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// MEMBER_ID_REQUIRED: join again with the id in the response.
    MemberIdRequired,
    /// UNKNOWN_MEMBER_ID: join again as a new member.
    UnknownMemberId,
    /// ILLEGAL_GENERATION.
    IllegalGeneration,
    /// REBALANCE_IN_PROGRESS: join again.
    RebalanceInProgress,
    /// FENCED_INSTANCE_ID: another client has this `group.instance.id` now.
    FencedInstanceId,
    /// INCONSISTENT_GROUP_PROTOCOL: the group uses another assignor or protocol.
    InconsistentGroupProtocol,
    /// NOT_COORDINATOR: another broker coordinates the group.
    NotCoordinator,
    /// FENCED_MEMBER_EPOCH: the member owns nothing any more, and joins again.
    FencedMemberEpoch,
    /// STALE_MEMBER_EPOCH: the member's epoch has changed, and the response to its next heartbeat has the new one.
    StaleMemberEpoch,
    /// COORDINATOR_LOAD_IN_PROGRESS and other temporary errors.
    Unavailable,
    /// A permanent error, with its name in librdkafka.
    Rejected(&'static str),
}

/// A response of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupResponse {
    /// To a JoinGroup: the member id, and the generation or the error.
    Join(String, Result<Joined, GroupError>),
    /// To a SyncGroup: the assignment of the member.
    Sync(Result<Vec<PartitionId>, GroupError>),
    /// To a Heartbeat, LeaveGroup or OffsetCommit; and to any request that was refused without being read.
    Done(Result<(), GroupError>),
    /// To a ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Result<HeartbeatAccepted, GroupError>),
    /// To an OffsetFetch.
    Offsets(BTreeMap<PartitionId, Offset>),
}

impl GroupResponse {
    /// True if the response is of a broker that does not coordinate the group, or does not yet.
    pub fn is_not_coordinator(&self) -> bool {
        let (GroupResponse::Join(_, Err(error))
        | GroupResponse::Sync(Err(error))
        | GroupResponse::ConsumerHeartbeat(Err(error))
        | GroupResponse::Done(Err(error))) = self
        else {
            return false;
        };
        matches!(error, GroupError::NotCoordinator | GroupError::Unavailable)
    }

    /// The response to a request that is refused without being read.
    pub fn refusal(request: &GroupRequest, error: GroupError) -> GroupResponse {
        match request {
            GroupRequest::Join(join) => GroupResponse::Join(join.member_id.clone(), Err(error)),
            GroupRequest::Sync { .. } => GroupResponse::Sync(Err(error)),
            GroupRequest::ConsumerHeartbeat(_) => GroupResponse::ConsumerHeartbeat(Err(error)),
            _ => GroupResponse::Done(Err(error)),
        }
    }
}

/// The generation, in the response to a JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Number of the generation.
    pub generation: i32,
    /// Member id of the leader.
    pub leader: String,
    /// All members, for the leader; empty for the others.
    pub members: Vec<Subscription>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) subscription: Subscription,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// The assignment in the last generation.
    pub(super) assignment: Vec<PartitionId>,
    /// End of the session.
    pub(super) silent_until: Time,
    /// The JoinGroup that waits for its response.
    pub(super) joining: Option<Ticket>,
    /// The SyncGroup that waits for its response.
    pub(super) syncing: Option<Ticket>,
    /// True if the member has got its assignment in this generation.
    pub(super) has_synced: bool,
    /// True if the member was in no generation yet.
    pub(super) is_new: bool,
}

impl Member {
    pub(super) fn new(member_id: String, join: &Join, silent_until: Time) -> Member {
        Member {
            subscription: Subscription {
                member_id,
                instance_id: join.instance_id.clone(),
                owned: join.owned.clone(),
                generation: join.generation,
            },
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            assignment: Vec::new(),
            silent_until,
            joining: None,
            syncing: None,
            has_synced: false,
            is_new: true,
        }
    }

    pub(super) fn is_static(&self) -> bool {
        self.subscription.instance_id.is_some()
    }

    /// Updates the settings of a member that joins again. True if they have changed.
    pub(super) fn update(&mut self, join: &Join) -> bool {
        let changed = self.subscription.owned != join.owned;
        self.subscription.owned.clone_from(&join.owned);
        self.subscription.generation = join.generation;
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        changed
    }

    /// Extends the session.
    pub(super) fn heard(&mut self, now: Time) {
        self.silent_until = now + self.session_timeout;
    }

    /// End of the session. The session of a member that waits for a response does not end, but a new member does not
    /// wait without a limit.
    pub(super) fn expires(&self) -> Time {
        let waits = self.joining.is_some() || self.syncing.is_some();
        if waits && !self.is_new { Time::NEVER } else { self.silent_until }
    }
}
