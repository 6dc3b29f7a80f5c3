//! The requests of a native client as bytes, and the bytes of responses as the client's responses.

use std::sync::Arc;

use super::brokers::Brokers;
use super::leaders::Leaders;
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::protocol::{BrokerId, Client, Fetch, Produce, Request, Response};
use crate::broker::wire::{
    Api, BatchMemory, BatchSizes, BrokerVersions, Endpoint, FetchAsked, FetchContext, FetchMemory,
    FetchedPartition, GroupContext, KafkaError, LeaderHint, Pending, ProduceContext, ProduceError,
    TopicId, VersionError, Waiting, WireError, begin_request, coordinator, coordinator_response,
    end_request, group_answer, group_api, metadata, produced, producer_id, put_fetch,
    put_find_coordinator, put_group, put_init_producer_id, put_metadata, put_produce, put_request,
};
use crate::measure::RequestCounter;
use crate::plan::{Acks, Assignor, Compression};

/// The values that the requests of all clients of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// The topic's name.
    pub(super) name: String,
    /// Id of the topic; all zero until it is known.
    pub(super) id: TopicId,
    /// `client.id`.
    pub(super) client_id: Arc<str>,
    /// `compression.type`.
    pub(super) compression: Compression,
    /// The group of the run, and the assignor of its leader.
    pub(super) group: String,
    /// The assignor of the group's leader.
    pub(super) assignor: Assignor,
    /// True if the group is of the consumer protocol.
    pub(super) is_of_consumer_protocol: bool,
    /// For the timestamps of batches.
    pub(super) clock: Clock,
}

/// Batches of a Produce request.
pub(super) type Batches = Vec<Box<Produce>>;

/// The content of one request.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A request other than Produce.
    One(Request),
    /// A Produce request with these batches, which are of different partitions.
    Batches(Batches),
}

impl Outgoing {
    /// Number of batches, and of their records.
    pub(super) fn counts(&self) -> (u64, u64) {
        match self {
            Outgoing::One(_) => (0, 0),
            Outgoing::Batches(batches) => {
                let records = batches.iter().map(|batch| batch.batch().len() as u64).sum();
                (batches.len() as u64, records)
            }
        }
    }
}

/// A request that waits for its response, with what is needed to handle that.
#[derive(Debug)]
pub(super) enum Question {
    /// The login or ApiVersions request of the connection itself.
    Opening,
    /// A request for the leaders of partitions.
    Metadata,
    /// A request for a producer id.
    ProducerId,
    /// Batches.
    Produce(Batches),
    /// A fetch.
    Fetch(Box<Fetch>),
    /// A request for the coordinator of the group.
    Coordinator,
    /// A request to the group's coordinator. The response has the same kind.
    Group,
}

/// Buffers that the requests of a thread use one after the other.
#[derive(Debug, Default)]
pub(super) struct Memory {
    batch: BatchMemory,
    /// Sizes of the batch in the last Produce request.
    pub(super) batch_sizes: BatchSizes,
    fetch: FetchMemory,
}

/// Longest wait of a leader for replicas: `request.timeout.ms` of librdkafka.
const REPLICATION_MS: i32 = 30_000;
/// Largest Fetch response, in bytes: `fetch.max.bytes` of librdkafka.
const FETCH_BYTES_MAX: i32 = 50 << 20;
/// Largest number of decompressed bytes of a partition in a response.
const PLAIN_BYTES_MAX: usize = 64 << 20;

impl Topic {
    fn fetch<'a>(&'a self, leader_epochs: &'a [i32]) -> FetchContext<'a> {
        FetchContext {
            topic: &self.name,
            topic_id: self.id,
            leader_epochs,
            bytes_min: 1,
            bytes_max: FETCH_BYTES_MAX,
            rack: "",
        }
    }

    fn group(&self) -> GroupContext<'_> {
        GroupContext {
            group: &self.group,
            topic: &self.name,
            topic_id: self.id,
            assignor: self.assignor,
        }
    }

    fn produce(&self) -> ProduceContext<'_> {
        let timestamp_ms = (self.clock.epoch_unix_ns() + self.clock.now().0) / 1_000_000;
        ProduceContext {
            topic: &self.name,
            timeout_ms: REPLICATION_MS,
            // A new producer id has epoch 0, and each id is requested once.
            producer_epoch: 0,
            timestamp_ms,
            compression: self.compression,
        }
    }

    fn has_id(&self) -> bool {
        self.id != TopicId::default()
    }
}

/// The reason why a request cannot be sent on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum PutError {
    /// No version of the request is known to both sides.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The request cannot be encoded.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A batch cannot be encoded.
    #[error(transparent)]
    Produce(#[from] ProduceError),
}

/// Encodes a request, and notes it until its response comes. Returns the batches that need no response, because no
/// replica acknowledges them.
///
/// # Errors
/// The broker speaks no version of the request that this client speaks, or a text is too long.
pub(super) fn put(
    out: &mut Vec<u8>,
    pending: &mut Pending<Question>,
    outgoing: Outgoing,
    (versions, topic, leaders, memory): (&BrokerVersions, &Topic, &Leaders, &mut Memory),
) -> Result<Option<Question>, PutError> {
    let (id, name) = (pending.next_id(), &*topic.client_id);
    let request = match outgoing {
        Outgoing::One(request) => request,
        Outgoing::Batches(batches) => {
            return put_batches(out, pending, batches, (versions, topic, memory));
        }
    };
    let (api, version, question) = match request {
        Request::Fetch(fetch) => {
            let version = versions.fetch_version(topic.has_id())?;
            let body =
                |out: &mut Vec<u8>| put_fetch(out, version, &fetch, &topic.fetch(leaders.epochs()));
            put_request(out, (Api::Fetch, version), id, name, body)?;
            (Api::Fetch, version, Question::Fetch(fetch))
        }
        Request::Metadata => {
            let version = versions.version(Api::Metadata)?;
            let body = |out: &mut Vec<u8>| put_metadata(out, version, &topic.name);
            put_request(out, (Api::Metadata, version), id, name, body)?;
            (Api::Metadata, version, Question::Metadata)
        }
        Request::InitProducerId => {
            let version = versions.version(Api::InitProducerId)?;
            let body = |out: &mut Vec<u8>| put_init_producer_id(out, version, None);
            put_request(out, (Api::InitProducerId, version), id, name, body)?;
            (Api::InitProducerId, version, Question::ProducerId)
        }
        Request::FindCoordinator => {
            let version = versions.version(Api::FindCoordinator)?;
            let body = |out: &mut Vec<u8>| put_find_coordinator(out, version, &topic.group);
            put_request(out, (Api::FindCoordinator, version), id, name, body)?;
            (Api::FindCoordinator, version, Question::Coordinator)
        }
        Request::Group(request) => {
            let api = group_api(&request);
            let version = versions.version(api)?;
            let body = |out: &mut Vec<u8>| put_group(out, version, &request, &topic.group());
            put_request(out, (api, version), id, name, body)?;
            (api, version, Question::Group)
        }
        // The transport handles closes and gathers batches. Consumers and producers never ask for offsets.
        Request::Close | Request::ListOffsets | Request::Produce(_) => return Ok(None),
    };
    sent(api, version);
    pending.asked(api, version, question);
    Ok(None)
}

fn put_batches(
    out: &mut Vec<u8>,
    pending: &mut Pending<Question>,
    batches: Batches,
    (versions, topic, memory): (&BrokerVersions, &Topic, &mut Memory),
) -> Result<Option<Question>, PutError> {
    let version = versions.version(Api::Produce)?;
    let start = begin_request(out, (Api::Produce, version), pending.next_id(), &topic.client_id)?;
    match put_produce(out, version, &batches, &topic.produce(), &mut memory.batch) {
        Ok(sizes) => memory.batch_sizes = sizes,
        Err(error) => {
            out.truncate(start);
            return Err(error.into());
        }
    }
    end_request(out, start)?;
    sent(Api::Produce, version);
    if batches.iter().all(|batch| batch.acks == Acks::None) {
        pending.unanswered();
        return Ok(Some(Question::Produce(batches)));
    }
    pending.asked(Api::Produce, version, Question::Produce(batches));
    Ok(None)
}

/// Logs a request, as the trace of a simulation does.
#[inline]
fn sent(api: Api, version: i16) {
    tracing::trace!(api = api.name(), version, "request");
}

/// The client's side of a connection: the client, and the values that it shares with others of its thread.
pub(super) struct ClientSide<'a, C> {
    /// The client.
    pub(super) client: &'a mut C,
    /// The broker of the connection.
    pub(super) broker: BrokerId,
    /// The brokers of the cluster. Responses update their addresses.
    pub(super) brokers: &'a mut Brokers,
    /// The leaders with their epochs. Responses update them.
    pub(super) leaders: &'a mut Leaders,
    /// The values that requests have in common. Metadata update the topic's id.
    pub(super) topic: &'a mut Topic,
    /// Buffers for bytes to write and to read.
    pub(super) memory: &'a mut Memory,
    /// The counts of requests.
    pub(super) counter: &'a mut RequestCounter,
    /// Time at which the connection is served.
    pub(super) now: Time,
}

impl<C: Client> ClientSide<'_, C> {
    /// Takes the addresses in a response. The client is told of new brokers first.
    fn learn(&mut self, endpoints: &[Endpoint]) {
        self.brokers.learn(endpoints);
        self.client.brokers_are(self.brokers.len() as u32);
    }

    /// Takes the leader that a broker names with an error.
    fn take_hint(&mut self, partition: PartitionId, hint: LeaderHint, endpoints: &[Endpoint]) {
        self.learn(endpoints);
        let named = self.leaders.take_hint(partition, hint, self.brokers.nodes());
        if let Some(leader) = named.filter(|leader| *leader != self.broker) {
            self.client.leader_is(partition, leader);
        }
    }
}

/// Passes the response in `body` to the client. Returns the throttle time in milliseconds, if it is at the end of the
/// response.
///
/// # Errors
/// The bytes are no response to the request. The connection cannot be used any more.
pub(super) fn answered<C: Client>(
    side: &mut ClientSide<'_, C>,
    waiting: Waiting<Question>,
    body: &[u8],
) -> Result<i32, WireError> {
    let (broker, now) = (side.broker, side.now);
    let version = waiting.version;
    match waiting.context {
        Question::Opening => {}
        Question::Produce(batches) => {
            let asked = batches.iter().map(|batch| batch.partition);
            let answers = produced(body, version, &side.topic.name, asked)?;
            for (batch, answer) in batches.into_iter().zip(answers.partitions) {
                if let (Some(_), Some(hint)) = (answer.error, answer.leader) {
                    side.take_hint(answer.partition, hint, &answers.endpoints);
                }
                let response = answer.response(batch.number);
                // First, so that the client is the only owner of the records when it handles the response.
                side.client.reuse(batch);
                side.client.receive(broker, response, &(), now);
            }
            return Ok(answers.throttle_ms);
        }
        Question::Fetch(fetch) => fetched(side, version, fetch, body)?,
        Question::Metadata => {
            let answer = metadata(body, version, &side.topic.name)?;
            side.learn(&answer.brokers);
            let response = side.leaders.learn(&answer, &mut side.topic.id, side.brokers.nodes());
            side.client.receive(broker, response, &(), now);
        }
        Question::ProducerId => {
            let answer = producer_id(body, version)?;
            let id = answer.map(|(id, _epoch)| id).map_err(KafkaError::of_partition);
            side.client.receive(broker, Response::InitProducerId(id), &(), now);
        }
        Question::Coordinator => {
            let found = coordinator(body, version, &side.topic.group)?;
            if let Ok(endpoint) = &found {
                side.learn(std::slice::from_ref(endpoint));
            }
            let response = coordinator_response(&found, side.brokers.nodes());
            side.client.receive(broker, response, &(), now);
        }
        Question::Group => {
            let answer = group_answer(body, (waiting.api, version), &side.topic.group())?;
            side.client.receive(broker, Response::Group(Box::new(answer.response)), &(), now);
        }
    }
    Ok(0)
}

fn fetched<C: Client>(
    side: &mut ClientSide<'_, C>,
    version: i16,
    mut fetch: Box<Fetch>,
    body: &[u8],
) -> Result<(), WireError> {
    let context = side.topic.fetch(&[]);
    let partition_plain_bytes_max = PLAIN_BYTES_MAX;
    let asked = FetchAsked { version, context: &context, partition_plain_bytes_max };
    let answer = side.memory.fetch.read(body, &asked, &mut fetch)?;
    if fetch.slots.iter().any(|slot| slot.error.is_some()) {
        let named = |its: &FetchedPartition| Some((its.partition, its.error.and(its.leader)?));
        let hints: Vec<_> = side.memory.fetch.partitions().iter().filter_map(named).collect();
        for (partition, hint) in hints {
            side.take_hint(partition, hint, &answer.endpoints);
        }
    }
    let read = fetch.slots.iter().map(|slot| (slot.end - slot.offset).max(0) as u64).sum();
    side.counter.fetched(read, body.len() as u64, side.now);
    let records = side.memory.fetch.records(body);
    side.client.receive(side.broker, Response::Fetch(fetch), &records, side.now);
    Ok(())
}

/// Completes batches that no replica acknowledges, when they are sent.
pub(super) fn without_response<C: Client>(
    client: &mut C,
    broker: BrokerId,
    question: Question,
    now: Time,
) {
    if let Question::Produce(batches) = question {
        for batch in batches {
            let response = Response::Produce(batch.number, Ok(Offset(-1)));
            client.reuse(batch);
            client.receive(broker, response, &(), now);
        }
    }
}
