//! Kafka's requests and responses as values, which the native client and the broker model exchange.
//!
//! A simulated network delivers these values. `broker::tcp` encodes them with `broker::wire`.

use std::sync::Arc;
use std::time::Duration;

use super::model::group::{GroupRequest, GroupResponse};
use crate::base::{FillerRing, Offset, PartitionId, ProducerId, RunId, Stamp, Time};
use crate::plan::Acks;

/// A broker of the cluster, counted from 0.
pub type BrokerId = u32;

/// A request of a client. Its variants take at most one word besides the tag, because requests are moved often.
#[derive(Debug)]
pub enum Request {
    /// Asks for the leaders of all partitions.
    Metadata,
    /// Asks for the id of an idempotent producer.
    InitProducerId,
    /// Appends a batch.
    Produce(Box<Produce>),
    /// Reads records. The response comes when there are some, or after the longest wait.
    Fetch(Box<Fetch>),
    /// Asks for the beginnings and ends of all partitions.
    ListOffsets,
    /// Asks for the coordinator of the group.
    FindCoordinator,
    /// A request to the group's coordinator. Boxed, because it is large and rare.
    Group(Box<GroupRequest>),
    /// Not sent: the client closes its connection to this broker, and gives up its requests there.
    Close,
}

/// A response of a broker. Responses to a producer's batches come in the order of the batches.
#[derive(Debug)]
pub enum Response {
    /// The leader of every partition, by id; `None` while it has none.
    Metadata(Vec<Option<BrokerId>>),
    /// The id of the producer, or the error.
    InitProducerId(Result<i64, ErrorCode>),
    /// The result of the batch with this number.
    Produce(u64, Result<Offset, ErrorCode>),
    /// The request, its slots filled in.
    Fetch(Box<Fetch>),
    /// The low and the high watermark of every partition, by id.
    ListOffsets(Vec<(Offset, Offset)>),
    /// The group's coordinator.
    Coordinator(BrokerId),
    /// The response of the coordinator, which may come much later.
    Group(Box<GroupResponse>),
    /// The request as a whole had an error, and may be sent again.
    Refused(ErrorCode),
}

/// A batch for one partition.
#[derive(Clone, Debug)]
pub struct Produce {
    /// Number of the batch, unique in its client.
    pub number: u64,
    /// The request that contains the batch: the number of the request's first batch. The batches of one request are for
    /// different partitions of one broker, and are in the outbox together.
    pub request: u64,
    /// Partition of the batch.
    pub partition: PartitionId,
    /// The replicas that must have the batch before it is acknowledged.
    pub acks: Acks,
    /// Id of the idempotent producer, and sequence of the first record.
    pub sequence: Option<(i64, u64)>,
    /// The records, which the client keeps until they are acknowledged; `None` once the request is done.
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
    /// A request without records.
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

/// The records of a batch: either payloads, or stamps whose payloads are made when the batch is written to a request.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All payloads, one after the other.
    pub bytes: Vec<u8>,
    /// End of each payload in `bytes`.
    pub ends: Vec<u32>,
    /// True if each payload is a packed record, with key and headers; false if it is only the value.
    pub is_packed: bool,
    /// The stamps. Only native clients with sockets use them.
    pub stamped: StampedPayloads,
}

static NO_RECORDS: Batch = Batch {
    bytes: Vec::new(),
    ends: Vec::new(),
    is_packed: false,
    stamped: StampedPayloads { common: None, records: Vec::new() },
};

/// Payloads of one partition and of constant size that are not made yet.
#[derive(Clone, Debug, Default)]
pub struct StampedPayloads {
    /// What all payloads have in common; `None` without records.
    common: Option<CommonParts>,
    /// The records.
    pub records: Vec<StampedPayload>,
}

#[derive(Clone, Debug)]
struct CommonParts {
    run: RunId,
    partition: PartitionId,
    /// The ring that fillers are cut from.
    ring: Arc<FillerRing>,
}

/// What differs between the payloads of a partition. A queue of them takes a third of the memory of payloads of 100
/// bytes, and stays in the processor's cache.
#[derive(Clone, Copy, Debug)]
pub struct StampedPayload {
    /// Producer of the record.
    pub producer: ProducerId,
    /// Position of its filler in the ring.
    pub position: u32,
    /// Sequence in its lane.
    pub sequence: u64,
    /// Send time of the schedule.
    pub intended: Time,
    /// Send time.
    pub sent: Time,
}

impl StampedPayloads {
    /// Adds a record. All have the same run, partition and ring.
    #[inline]
    pub fn push(&mut self, stamp: &Stamp, ring: &Arc<FillerRing>, position: u32) {
        let Stamp { run, producer, partition, sequence, intended, sent } = *stamp;
        self.common.get_or_insert_with(|| CommonParts { run, partition, ring: ring.clone() });
        self.records.push(StampedPayload { producer, position, sequence, intended, sent });
    }

    /// Size of each payload in bytes; 0 without records.
    #[inline]
    pub fn payload_bytes(&self) -> usize {
        self.common.as_ref().map_or(0, |common| common.ring.payload_bytes())
    }

    /// Appends the payload of a record to `out`.
    #[inline]
    pub fn append_payload(&self, record: &StampedPayload, out: &mut Vec<u8>) {
        let Some(CommonParts { run, partition, ring }) = &self.common else { return };
        let StampedPayload { producer, position, sequence, intended, sent } = *record;
        let stamp = Stamp { run: *run, producer, partition: *partition, sequence, intended, sent };
        ring.append_payload(&stamp, position, out);
    }

    fn clear(&mut self) {
        self.common = None;
        self.records.clear();
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
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len() + self.stamped.records.len()
    }

    /// True if there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.stamped.clear();
    }
}

/// A fetch of several partitions of one leader.
#[derive(Debug)]
pub struct Fetch {
    /// Longest wait for a first record.
    pub wait_max: Duration,
    /// Largest number of bytes per partition. At least one record is returned.
    pub partition_bytes_max: u32,
    /// A slot for each partition.
    pub slots: Vec<FetchSlot>,
}

/// One partition of a fetch. The request and the response use the same memory.
#[derive(Clone, Copy, Debug)]
pub struct FetchSlot {
    /// The partition.
    pub partition: PartitionId,
    /// The leader epoch of the record before `offset`; in the response that of the record before `resume` or `end`. -1
    /// if it is unknown. With it a broker detects that its log differs from the one that was read (KIP-320).
    pub epoch: i32,
    /// The first offset to return.
    pub offset: i64,
    /// In the response: the offset after the last record.
    pub end: i64,
    /// In the response: the next offset to fetch, if it is larger than `end`. The offsets in between have no records
    /// for a consumer: transaction markers, and records that compaction has removed.
    pub resume: i64,
    /// In the response: the offset after the last record that consumers may see.
    pub high_watermark: i64,
    /// In the response: the error; `None` if there is none.
    pub error: Option<ErrorCode>,
}

impl FetchSlot {
    /// The slot of a request.
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

/// The error codes of Kafka that the model returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The offset is not in the log.
    OffsetOutOfRange,
    /// The log was truncated and continued, and no longer has the record that was read last.
    LogTruncation,
    /// Another broker leads the partition.
    NotLeaderOrFollower,
    /// An idempotent producer's sequence has a gap.
    OutOfOrderSequence,
    /// Fewer replicas in sync than `min.insync.replicas`; nothing was appended.
    NotEnoughReplicas,
    /// Too few replicas have the batch, although it was appended.
    NotEnoughReplicasAfterAppend,
    /// The batch was appended, and not replicated in time.
    RequestTimedOut,
    /// Another temporary error.
    Unavailable,
    /// A permanent error, with its name in librdkafka.
    Rejected(&'static str),
}

impl ErrorCode {
    /// The name of the error in librdkafka.
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

/// The source of fetched records: a broker's log in a simulation, or the buffer of a socket.
pub trait Records {
    /// Appends the records of `from..to` of a partition to `out`. There are fewer if the log has lost some meanwhile.
    fn copy(&self, partition: PartitionId, from: i64, to: i64, out: &mut RecordBuffer);
}

/// Flag of a packed record in [`RecordBuffer::lengths`]: the highest bit.
pub const PACKED: u32 = 1 << 31;

/// Fetched records, one after the other.
#[derive(Debug, Default)]
pub struct RecordBuffer {
    /// The values of records, or the packed form of those that have more than a value.
    pub bytes: Vec<u8>,
    /// Length of each record, with the flag [`PACKED`] for a packed one.
    pub lengths: Vec<u32>,
    /// Number of bytes before each record in `bytes` that belong to no record. Empty if there are none, as in a
    /// simulation.
    pub gaps: Vec<u32>,
    /// Timestamp of each record, milliseconds since 1970; empty in a simulation.
    pub timestamps: Vec<i64>,
}

impl RecordBuffer {
    /// The length without the flag.
    #[inline]
    pub fn length(marked: u32) -> usize {
        (marked & !PACKED) as usize
    }

    /// The records in order, each with whether it is packed.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut at = 0;
        self.lengths.iter().enumerate().map(move |(index, marked)| {
            let start = at + self.gap(index);
            at = start + RecordBuffer::length(*marked);
            (&self.bytes[start..at], marked & PACKED != 0)
        })
    }

    /// Number of bytes before the record at `index` that belong to no record.
    #[inline]
    pub fn gap(&self, index: usize) -> usize {
        self.gaps.get(index).map_or(0, |gap| *gap as usize)
    }

    /// Removes the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.gaps.clear();
        self.timestamps.clear();
    }

    /// Removes the first `records` records, which have this many bytes with the gaps before them.
    pub fn remove_first(&mut self, bytes: usize, records: usize) {
        self.bytes.drain(..bytes);
        self.lengths.drain(..records);
        // These are empty, or as long as the lengths.
        self.gaps.drain(..records.min(self.gaps.len()));
        self.timestamps.drain(..records.min(self.timestamps.len()));
    }

    /// Keeps only the first `records` records, which have this many bytes.
    pub fn truncate(&mut self, bytes: usize, records: usize) {
        self.bytes.truncate(bytes);
        self.lengths.truncate(records);
        self.gaps.truncate(records);
        self.timestamps.truncate(records);
    }
}

/// A source without records.
impl Records for () {
    fn copy(&self, _: PartitionId, _: i64, _: i64, _: &mut RecordBuffer) {}
}

/// Requests of a client, each with the time at which it leaves and its broker.
pub type Outbox = Vec<(Time, BrokerId, Request)>;

/// A client without socket and clock. Its host sends its requests and delivers the responses.
pub trait Client {
    /// Handles a response from `broker`. The next [`tick`](Self::tick) does what follows from it.
    fn receive(&mut self, broker: BrokerId, response: Response, records: &dyn Records, now: Time);

    /// Sets the number of brokers. New brokers have the highest numbers. A simulated cluster never grows.
    fn brokers_are(&mut self, count: u32);

    /// Sets the leader that a former leader has named (KIP-951). The error response of that one comes next.
    fn leader_is(&mut self, partition: PartitionId, leader: BrokerId);

    /// Takes the memory of a request that is done.
    fn reuse(&mut self, done: Box<Produce>);

    /// Notes that the connection to `broker` broke, or could not be opened. Requests on it get no response.
    fn disconnected(&mut self, broker: BrokerId, now: Time);

    /// The requests to send, in the order of their times. The host takes and sends them.
    fn outbox(&mut self) -> &mut Outbox;

    /// Does what is due, and returns the time of the next call.
    fn tick(&mut self, now: Time) -> Time;
}
