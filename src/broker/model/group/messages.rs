//! What members ask a coordinator, what it answers, and a member as the coordinator sees it.
//!
//! The names and errors are those of the Kafka protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup,
//! ConsumerGroupHeartbeat, OffsetCommit, OffsetFetch); fields the model does not need are left out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::assignor::Subscription;
use crate::base::{Offset, PartitionId, Time};
use crate::plan::{Assignor, RemoteAssignor};

/// Tells which request an answer belongs to. Given by the host, which carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A request to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup: the leader brings what each member gets, and each fetches its own.
    Sync {
        /// Who asks.
        member: MemberRef,
        /// What the leader dealt out, by member id; empty from all others.
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
        /// Who commits; `None` for a client outside the group, which may while the group is empty.
        member: Option<MemberRef>,
        /// Next offsets to process.
        offsets: BTreeMap<PartitionId, Offset>,
    },
    /// OffsetFetch of these partitions; of all that have an offset if there are none. The model answers with all.
    FetchOffsets(Vec<PartitionId>),
}

/// Who a member says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// Given by the coordinator.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The generation it believes in; in the consumer protocol the member epoch.
    pub generation: i32,
}

/// The member epoch of a member that joins.
pub const JOINS: i32 = 0;
/// The member epoch of a member that leaves.
pub const LEAVES: i32 = -1;
/// The member epoch of a static member that leaves, and comes back.
pub const LEAVES_FOR_A_WHILE: i32 = -2;

/// What a ConsumerGroupHeartbeat says. What is `None` has not changed since the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// Who it is, with the epoch it is in, or one of [`JOINS`], [`LEAVES`] and [`LEAVES_FOR_A_WHILE`].
    pub member: MemberRef,
    /// What the member wants; given when it joins, and to a coordinator that may not know it.
    pub settings: Option<HeartbeatSettings>,
    /// What the member has.
    pub owned: Option<Vec<PartitionId>>,
}

/// What a member of the consumer protocol wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// `max.poll.interval.ms`: how long it may take to give partitions up.
    pub rebalance_timeout: Duration,
    /// `group.remote.assignor`; none for the group's own.
    pub assignor: Option<RemoteAssignor>,
}

/// A heartbeat of the consumer protocol was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatAccepted {
    /// The member's id, where the coordinator gives it.
    pub member_id: Option<String>,
    /// The epoch the member is in.
    pub epoch: i32,
    /// `group.consumer.heartbeat.interval.ms`: when the next heartbeat is due.
    pub interval: Duration,
    /// What the member is to have; none where that has not changed.
    pub assignment: Option<TargetAssignment>,
}

/// What a member of the consumer protocol is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAssignment {
    /// These, ascending.
    Known(Vec<PartitionId>),
    /// Partitions of a topic whose id the client does not know yet.
    UnknownTopic,
}

/// What a JoinGroup says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Name of the client, the first part of the id a newcomer gets.
    pub client_id: String,
    /// Empty for a newcomer.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `max.poll.interval.ms`.
    pub rebalance_timeout: Duration,
    /// How the leader is to deal partitions out.
    pub assignor: Assignor,
    /// What the member has; empty with an eager assignor.
    pub owned: Vec<PartitionId>,
    /// The generation it had that in; -1 for a newcomer.
    pub generation: i32,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupError {
    /// MEMBER_ID_REQUIRED: join again with the id in the answer.
    MemberIdRequired,
    /// UNKNOWN_MEMBER_ID: start over as a newcomer.
    UnknownMemberId,
    /// ILLEGAL_GENERATION.
    IllegalGeneration,
    /// REBALANCE_IN_PROGRESS: join again.
    RebalanceInProgress,
    /// FENCED_INSTANCE_ID: another client has this `group.instance.id` now.
    FencedInstanceId,
    /// INCONSISTENT_GROUP_PROTOCOL: the group deals partitions out differently.
    InconsistentGroupProtocol,
    /// NOT_COORDINATOR: another broker coordinates the group.
    NotCoordinator,
    /// FENCED_MEMBER_EPOCH: the member has nothing any more, and joins again.
    FencedMemberEpoch,
    /// STALE_MEMBER_EPOCH: the member is in another epoch meanwhile, and learns of it with a heartbeat.
    StaleMemberEpoch,
    /// COORDINATOR_LOAD_IN_PROGRESS and other errors that pass.
    Unavailable,
    /// The same request would be refused again: the error's name, as librdkafka has it.
    Rejected(&'static str),
}

/// An answer of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupResponse {
    /// To a JoinGroup: the member's id, and the generation or why not.
    Join(String, Result<Joined, GroupError>),
    /// To a SyncGroup: what the member gets.
    Sync(Result<Vec<PartitionId>, GroupError>),
    /// To a Heartbeat, LeaveGroup or OffsetCommit; to any request that was refused before it was looked at.
    Done(Result<(), GroupError>),
    /// To a ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Result<HeartbeatAccepted, GroupError>),
    /// To an OffsetFetch.
    Offsets(BTreeMap<PartitionId, Offset>),
}

impl GroupResponse {
    /// Whether it comes from a broker that does not coordinate the group, or not yet.
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

    /// The answer to a request that is not even looked at.
    pub fn refusal(request: &GroupRequest, error: GroupError) -> GroupResponse {
        match request {
            GroupRequest::Join(join) => GroupResponse::Join(join.member_id.clone(), Err(error)),
            GroupRequest::Sync { .. } => GroupResponse::Sync(Err(error)),
            GroupRequest::ConsumerHeartbeat(_) => GroupResponse::ConsumerHeartbeat(Err(error)),
            _ => GroupResponse::Done(Err(error)),
        }
    }
}

/// A generation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its number.
    pub generation: i32,
    /// Who deals partitions out.
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
    /// What the last generation gave it.
    pub(super) assignment: Vec<PartitionId>,
    /// When its silence has lasted too long.
    pub(super) silent_until: Time,
    /// Its JoinGroup waits for an answer.
    pub(super) joining: Option<Ticket>,
    /// Its SyncGroup waits for an answer.
    pub(super) syncing: Option<Ticket>,
    /// It has fetched what this generation gives it.
    pub(super) has_synced: bool,
    /// It has not been through a generation yet.
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

    /// Notes what it says when it joins again; whether that differs from the last time.
    pub(super) fn update(&mut self, join: &Join) -> bool {
        let changed = self.subscription.owned != join.owned;
        self.subscription.owned.clone_from(&join.owned);
        self.subscription.generation = join.generation;
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        changed
    }

    /// It was heard of.
    pub(super) fn heard(&mut self, now: Time) {
        self.silent_until = now + self.session_timeout;
    }

    /// When it will have been silent too long. A member that waits for an answer is not silent, but a newcomer does
    /// not wait forever.
    pub(super) fn expires(&self) -> Time {
        let waits = self.joining.is_some() || self.syncing.is_some();
        if waits && !self.is_new { Time::NEVER } else { self.silent_until }
    }
}
