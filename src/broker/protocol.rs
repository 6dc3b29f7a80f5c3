//! Kafka's requests and responses as values: what the native client and the broker model say to each other.
//!
//! A simulated network carries them as they are; a socket would carry their bytes.

use std::sync::Arc;
use std::time::Duration;

use super::model::group::{GroupRequest, GroupResponse};
use crate::base::{Offset, PartitionId, Time};
use crate::plan::Acks;

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
    /// The producer's number, or why there is none yet.
    InitProducerId(Result<i64, ErrorCode>),
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

/// A batch for one partition.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Tells a client's batches apart.
    pub number: u64,
    /// The request that it is in: batches of one request have the number of its first batch here, are for different
    /// partitions of one broker, and are in the outbox together.
    pub request: u64,
    /// Where it goes.
    pub partition: PartitionId,
    /// Who must have it before it is acknowledged.
    pub acks: Acks,
    /// The idempotent producer's number and the sequence of the first record, if it is one.
    pub sequence: Option<(i64, u64)>,
    /// The records, which the client has as well until they are acknowledged; `None` once the request has done its work.
    pub batch: Option<Arc<Batch>>,
}

impl Produce {
    /// The records.
    #[inline]
    pub fn batch(&self) -> &Batch {
        self.batch.as_deref().unwrap_or(&NO_RECORDS)
    }
}

impl Default for Produce {
    /// Nothing.
    fn default() -> Produce {
        Produce {
            number: 0,
            request: 0,
            partition: PartitionId(0),
            acks: Acks::None,
            sequence: None,
            batch: None,
        }
    }
}

/// Records on their way to a partition.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All payloads, one after the other.
    pub bytes: Vec<u8>,
    /// Where each payload ends.
    pub ends: Vec<u32>,
    /// Whether each payload is a packed record, with key and headers, or only its value.
    pub is_packed: bool,
}

static NO_RECORDS: Batch = Batch { bytes: Vec::new(), ends: Vec::new(), is_packed: false };

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
    /// The leader's epoch in which the record before `offset` was appended, and in the answer that before `resume` or
    /// `end`; -1 where that is not known. With it a broker finds out whether its log is another one (KIP-320).
    pub epoch: i32,
    /// The first offset wanted.
    pub offset: i64,
    /// Answer: the offset after the last record given.
    pub end: i64,
    /// Answer: the offset to be fetched next, if that is larger than `end`: what lies between has no records. Marks of
    /// transactions have offsets, and so had records that compaction has removed.
    pub resume: i64,
    /// Answer: the offset after the last record a consumer may see.
    pub high_watermark: i64,
    /// Answer: what is wrong, if anything.
    pub error: Option<ErrorCode>,
}

impl FetchSlot {
    /// A question.
    pub fn new(partition: PartitionId, offset: i64) -> FetchSlot {
        FetchSlot {
            partition,
            epoch: -1,
            offset,
            end: offset,
            resume: offset,
            high_watermark: -1,
            error: None,
        }
    }
}

/// Kafka's error codes, as far as the model gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The offset is not in the log.
    OffsetOutOfRange,
    /// The log has been cut and continued: what was read last is not in it any more.
    LogTruncation,
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
    /// The same request would be refused again: its name, as librdkafka has it.
    Rejected(&'static str),
}

impl ErrorCode {
    /// The name librdkafka's errors have.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::OffsetOutOfRange => "OffsetOutOfRange",
            ErrorCode::LogTruncation => "LogTruncation",
            ErrorCode::NotLeaderOrFollower => "NotLeaderForPartition",
            ErrorCode::OutOfOrderSequence => "OutOfOrderSequenceNumber",
            ErrorCode::NotEnoughReplicas => "NotEnoughReplicas",
            ErrorCode::NotEnoughReplicasAfterAppend => "NotEnoughReplicasAfterAppend",
            ErrorCode::RequestTimedOut => "RequestTimedOut",
            ErrorCode::Unavailable => "Unavailable",
            ErrorCode::Rejected(name) => name,
        }
    }
}

/// Where a client copies fetched records from: a broker's log in simulation, a socket's buffer otherwise.
pub trait Records {
    /// Appends the records of `from..to` of a partition to `out`; fewer where the log has lost some meanwhile.
    fn copy(&self, partition: PartitionId, from: i64, to: i64, out: &mut RecordBuffer);
}

/// Marks a record of a [`RecordBuffer`] that is packed: the highest bit of its length.
pub const PACKED: u32 = 1 << 31;

/// Records that were fetched, one after the other.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    /// Their values, or the packed form of those that have more.
    pub bytes: Vec<u8>,
    /// How long each is, and whether it is [`PACKED`].
    pub lengths: Vec<u32>,
    /// The timestamp of each, milliseconds since 1970; none at all in a simulation.
    pub timestamps: Vec<i64>,
}

impl RecordBuffer {
    /// The length of a record without its mark.
    #[inline]
    pub fn length(marked: u32) -> usize {
        (marked & !PACKED) as usize
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.timestamps.clear();
    }

    /// Forgets all but the first `records`, which have this many bytes.
    pub fn truncate(&mut self, bytes: usize, records: usize) {
        self.bytes.truncate(bytes);
        self.lengths.truncate(records);
        self.timestamps.truncate(records);
    }
}

/// Nothing was fetched.
impl Records for () {
    fn copy(&self, _: PartitionId, _: i64, _: i64, _: &mut RecordBuffer) {}
}

/// Requests of a client, each with the time at which it leaves and its broker.
pub type Outbox = Vec<(Time, BrokerId, Request)>;

/// A client without socket and clock. Its host carries its requests and brings the responses.
pub trait Client {
    /// Takes a response from `broker`. What follows from it is done by the next [`tick`](Self::tick).
    fn receive(&mut self, broker: BrokerId, response: Response, records: &dyn Records, now: Time);

    /// There are `count` brokers now, of which the new ones have the highest numbers. A simulated cluster never grows.
    fn brokers_are(&mut self, count: u32);

    /// A broker that does not lead a partition any more has named the one that does (KIP-951). Its refusal comes next, as
    /// a response.
    fn leader_is(&mut self, partition: PartitionId, leader: BrokerId);

    /// Takes the memory of a request that has done its work.
    fn reuse(&mut self, done: Box<Produce>);

    /// The connection to `broker` broke, or could not be made: what was asked there is not answered any more.
    fn disconnected(&mut self, broker: BrokerId, now: Time);

    /// Requests to be sent, in the order of their times. The host that takes them sends them.
    fn outbox(&mut self) -> &mut Outbox;

    /// Does what is due, and says when something is due next.
    fn tick(&mut self, now: Time) -> Time;
}
