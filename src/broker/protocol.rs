//! Kafka's requests and responses as values: what the native client and the broker model say to each other.
//!
//! A simulated network carries them as they are; a socket would carry their bytes. Names and errors are those of the
//! Kafka protocol; fields the model does not need are left out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::assignor::Subscription;
use crate::base::{Offset, PartitionId, Time};
use crate::plan::{Acks, Assignor};

/// A broker of the cluster, counted from 0.
pub type BrokerId = u32;

/// What a client asks of a broker. No larger than a word besides what it is: messages change hands many times.
#[derive(Debug)]
pub enum Request {
    /// Who leads which partition.
    Metadata,
    /// A number for an idempotent producer.
    InitProducerId,
    /// Append a batch.
    Produce(Box<Produce>),
    /// Read; answered when there is something to read, or after its longest wait.
    Fetch(Box<Fetch>),
    /// Where every partition begins and ends.
    ListOffsets,
    /// Which broker coordinates the group.
    FindCoordinator,
    /// Something for the coordinator of the group; boxed, because it is large and rare.
    Group(Box<GroupRequest>),
    /// Not sent at all: the client closes its connection to this broker, and gives up what it has asked there.
    Close,
}

/// What a broker answers. Answers to a producer's batches come in the order of the batches.
#[derive(Debug)]
pub enum Response {
    /// The leader of every partition, by id; `None` while it has none.
    Metadata(Vec<Option<BrokerId>>),
    /// The producer's number.
    InitProducerId(i64),
    /// What became of the batch of this number.
    Produce(u64, Result<Offset, ErrorCode>),
    /// The request, its slots filled in.
    Fetch(Box<Fetch>),
    /// The low and the high watermark of every partition, by id.
    ListOffsets(Vec<(Offset, Offset)>),
    /// The group's coordinator.
    Coordinator(BrokerId),
    /// The coordinator's answer; may come much later.
    Group(Box<GroupResponse>),
    /// The request was refused as a whole; it may be tried again.
    Refused(ErrorCode),
}

/// A batch for one partition, as librdkafka sends them.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Tells a client's requests apart, as Kafka's correlation id does.
    pub number: u64,
    /// Where it goes.
    pub partition: PartitionId,
    /// Who must have it before it is acknowledged.
    pub acks: Acks,
    /// The idempotent producer's number and the sequence of the first record, if it is one.
    pub sequence: Option<(i64, u64)>,
    /// The records.
    pub batch: Batch,
}

impl Default for Produce {
    /// Nothing.
    fn default() -> Produce {
        Produce {
            number: 0,
            partition: PartitionId(0),
            acks: Acks::None,
            sequence: None,
            batch: Batch::default(),
        }
    }
}

/// Records on their way to a partition.
#[derive(Debug, Default)]
pub struct Batch {
    /// All payloads, one after the other.
    pub bytes: Vec<u8>,
    /// Where each payload ends.
    pub ends: Vec<u32>,
}

impl Clone for Batch {
    fn clone(&self) -> Batch {
        Batch { bytes: self.bytes.clone(), ends: self.ends.clone() }
    }

    /// Keeps the memory there is.
    #[inline]
    fn clone_from(&mut self, other: &Batch) {
        self.bytes.clone_from(&other.bytes);
        self.ends.clone_from(&other.ends);
    }
}

impl Batch {
    /// Adds a record.
    #[inline]
    pub fn push(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// A fetch of several partitions of one leader.
#[derive(Debug)]
pub struct Fetch {
    /// How long to wait for a first record.
    pub wait_max: Duration,
    /// Bytes per partition, at most; one record is always given.
    pub partition_bytes_max: u32,
    /// One for each partition.
    pub slots: Vec<FetchSlot>,
}

/// One partition of a fetch: the question, and in the response the answer. The same memory goes to and fro.
#[derive(Clone, Copy, Debug)]
pub struct FetchSlot {
    /// Which partition.
    pub partition: PartitionId,
    /// The first offset wanted.
    pub offset: i64,
    /// Answer: the offset after the last record given.
    pub end: i64,
    /// Answer: the offset after the last record a consumer may see.
    pub high_watermark: i64,
    /// Answer: what is wrong, if anything.
    pub error: Option<ErrorCode>,
}

impl FetchSlot {
    /// A question.
    pub fn new(partition: PartitionId, offset: i64) -> FetchSlot {
        FetchSlot { partition, offset, end: offset, high_watermark: -1, error: None }
    }
}

/// Kafka's error codes, as far as the model gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The offset is not in the log.
    OffsetOutOfRange,
    /// Another broker leads the partition.
    NotLeaderOrFollower,
    /// An idempotent producer's sequence has a gap.
    OutOfOrderSequence,
    /// Fewer replicas in sync than `min.insync.replicas`; nothing was appended.
    NotEnoughReplicas,
    /// Too few replicas have it, and it was appended.
    NotEnoughReplicasAfterAppend,
    /// It was not replicated in time; it was appended.
    RequestTimedOut,
    /// Anything else that passes.
    Unavailable,
}

impl ErrorCode {
    /// The name librdkafka's errors have.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::OffsetOutOfRange => "OffsetOutOfRange",
            ErrorCode::NotLeaderOrFollower => "NotLeaderForPartition",
            ErrorCode::OutOfOrderSequence => "OutOfOrderSequenceNumber",
            ErrorCode::NotEnoughReplicas => "NotEnoughReplicas",
            ErrorCode::NotEnoughReplicasAfterAppend => "NotEnoughReplicasAfterAppend",
            ErrorCode::RequestTimedOut => "RequestTimedOut",
            ErrorCode::Unavailable => "Unavailable",
        }
    }
}

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
    /// OffsetCommit.
    Commit {
        /// Who commits; `None` for a client outside the group, which may while the group is empty.
        member: Option<MemberRef>,
        /// Next offsets to process.
        offsets: BTreeMap<PartitionId, Offset>,
    },
    /// OffsetFetch, of all partitions.
    FetchOffsets,
}

/// Who a member says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// Given by the coordinator.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The generation it believes in.
    pub generation: i32,
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
    /// COORDINATOR_LOAD_IN_PROGRESS and other errors that pass.
    Unavailable,
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
    /// To an OffsetFetch.
    Offsets(BTreeMap<PartitionId, Offset>),
}

impl GroupResponse {
    /// Whether it comes from a broker that does not coordinate the group, or not yet.
    pub fn is_not_coordinator(&self) -> bool {
        let (GroupResponse::Join(_, Err(error))
        | GroupResponse::Sync(Err(error))
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

/// Where a client copies fetched records from: a broker's log in simulation, a socket's buffer otherwise.
pub trait Records {
    /// Appends the payloads of `from..to` of a partition to `bytes`, and each one's length to `lengths`; fewer where
    /// the log has lost some meanwhile.
    fn copy(
        &self,
        partition: PartitionId,
        from: i64,
        to: i64,
        bytes: &mut Vec<u8>,
        lengths: &mut Vec<u32>,
    );
}

/// A client without socket and clock. Its host carries its requests and brings the responses.
pub trait Client {
    /// Takes a response from `broker`. What follows from it is done by the next [`tick`](Self::tick).
    fn receive(&mut self, broker: BrokerId, response: Response, records: &dyn Records, now: Time);

    /// Takes a broker's word that it has appended a batch, given by its number and the offset of its first record: what [`receive`](Self::receive) does with
    /// such a response. It may use the memory of one of the requests that are `done`.
    fn acknowledged(
        &mut self,
        _from: BrokerId,
        _batch: (u64, Offset),
        _now: Time,
        _done: &mut Vec<Box<Produce>>,
    ) {
    }

    /// The connection to `broker` broke, or could not be made: what was asked there is not answered any more.
    fn disconnected(&mut self, broker: BrokerId, now: Time);

    /// Requests to be sent, each with its broker. The host that takes them sends them.
    fn outbox(&mut self) -> &mut Vec<(BrokerId, Request)>;

    /// Does what is due, and says when something is due next.
    fn tick(&mut self, now: Time) -> Time;
}
