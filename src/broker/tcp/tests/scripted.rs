//! A cluster of one topic with one partition that responds by a script, with the broker's side of the message codec.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    LeaderIdAndEpoch as ProduceLeader, NodeEndpoint as ProduceEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, InitProducerIdResponse, MetadataResponse, ProduceResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use uuid::Uuid;

use crate::base::{Clock, Time};
use crate::broker::wire::{Api, answer_of};
use crate::measure::RequestLog;

/// NOT_LEADER_OR_FOLLOWER.
const NOT_LEADER: i16 = 6;
const TOPIC: &str = "orders";
const TOPIC_ID: [u8; 16] = [5; 16];

/// The responses of the brokers, whose ids are 1, 2 and so on.
#[derive(Debug)]
pub(super) struct Script {
    /// Ids of the brokers in metadata.
    pub(super) named: Vec<i32>,
    /// Host name of broker 2 in metadata; `None` for its address.
    pub(super) host_of_2: Option<&'static str>,
    /// Leader and epoch in metadata.
    pub(super) said: (i32, i32),
    /// The real leader and epoch.
    pub(super) real: (i32, i32),
    /// True if a broker that rejects a request names the real leader.
    pub(super) names_leader: bool,
    /// True if it names the next broker instead, with a later epoch each time.
    pub(super) names_next: bool,
    /// The throttle time in responses to Produce, in milliseconds.
    pub(super) throttle_ms: i32,
    /// The record batches of the log, for a fetch from offset 0.
    pub(super) log: Vec<u8>,
    /// The end offset at which the log diverges from the one that a client has read; `None` if it does not.
    pub(super) diverges_at: Option<i64>,
}

/// A received request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) broker: i32,
    pub(super) api: i16,
    pub(super) at: Time,
    /// For a fetch: offset, leader epoch, epoch of the last record.
    pub(super) fetch: Option<(i64, i32, i32)>,
}

pub(super) struct ScriptedCluster {
    pub(super) ports: Vec<u16>,
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    clock: Clock,
    /// The clients' counts of their requests.
    pub(super) counted: Arc<RequestLog>,
}

impl ScriptedCluster {
    /// Starts brokers, each on a port. Their threads end with the process.
    pub(super) fn start(brokers: usize, script: Script) -> Arc<ScriptedCluster> {
        let listeners: Vec<TcpListener> =
            (0..brokers).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let ports = listeners.iter().map(port).collect();
        let (script, asked) = (Mutex::new(script), Mutex::default());
        let counted: Arc<RequestLog> = Arc::default();
        counted.measure(Time::ZERO, Time::NEVER);
        let cluster =
            Arc::new(ScriptedCluster { ports, script, asked, clock: Clock::start(), counted });
        for (broker, listener) in (1..).zip(listeners) {
            let cluster = cluster.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let cluster = cluster.clone();
                    std::thread::spawn(move || cluster.serve(broker, stream));
                }
            });
        }
        cluster
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no panic")
    }

    /// The received requests of this kind, in order.
    pub(super) fn asked(&self, api: Api) -> Vec<Asked> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().filter(|asked| asked.api == api.key()).cloned().collect()
    }

    fn serve(&self, broker: i32, mut stream: TcpStream) {
        while let Some((api, version, id, body)) = request(&mut stream) {
            let fetch = (api == Api::Fetch.key()).then(|| fetched_from(version, &body));
            self.asked.lock().expect("no panic").push(Asked {
                broker,
                api,
                at: self.clock.now(),
                fetch,
            });
            let known = Api::ALL.into_iter().find(|known| known.key() == api).expect("an api");
            let body = self.answer(broker, known, version, fetch);
            let has_tags = known != Api::ApiVersions && known.is_flexible(version);
            let tags: &[u8] = if has_tags { &[0] } else { &[] };
            let frame = [&id.to_be_bytes(), tags, &body].concat();
            let length = (frame.len() as i32).to_be_bytes();
            if stream.write_all(&[&length, &frame[..]].concat()).is_err() {
                return;
            }
        }
    }

    fn answer(
        &self,
        broker: i32,
        api: Api,
        version: i16,
        fetch: Option<(i64, i32, i32)>,
    ) -> Vec<u8> {
        let script = self.script();
        match api {
            // The response has version 0 and UNSUPPORTED_VERSION, so the client sends the request again.
            Api::ApiVersions => {
                let ours = Api::ALL.map(|api| match api {
                    Api::ApiVersions => (api, 0, 0),
                    _ => (api, api.ours().min, api.ours().max),
                });
                answer_of(&ours, if version > 0 { 35 } else { 0 })
            }
            Api::Metadata => bytes(&self.metadata(&script), version),
            Api::InitProducerId => {
                bytes(&InitProducerIdResponse::default().with_producer_id(9.into()), version)
            }
            Api::Produce => bytes(&self.produce(&script, broker), version),
            Api::Fetch => bytes(&self.fetch(&script, broker, fetch.unwrap_or_default()), version),
            other => panic!("the script has no {other:?}"),
        }
    }

    fn metadata(&self, script: &Script) -> MetadataResponse {
        let broker = |node: &i32| {
            MetadataResponseBroker::default()
                .with_node_id((*node).into())
                .with_host(text(script.host_of_2.filter(|_| *node == 2).unwrap_or("127.0.0.1")))
                .with_port(i32::from(self.ports[*node as usize - 1]))
        };
        let partition = MetadataResponsePartition::default()
            .with_leader_id(script.said.0.into())
            .with_leader_epoch(script.said.1);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(text(TOPIC).into()))
            .with_topic_id(Uuid::from_bytes(TOPIC_ID))
            .with_partitions(vec![partition]);
        MetadataResponse::default()
            .with_brokers(script.named.iter().map(broker).collect())
            .with_topics(vec![topic])
    }

    /// The leader that a broker names when it rejects a request: id, epoch and port; `None` if it names none.
    fn hint(&self, script: &Script, broker: i32) -> Option<(i32, i32, i32)> {
        let (mut node, mut epoch) = script.real;
        if script.names_next {
            node = broker % self.ports.len() as i32 + 1;
            epoch = 4 + self.asked(Api::Produce).len() as i32;
        }
        let port = i32::from(self.ports[node as usize - 1]);
        (script.names_leader || script.names_next).then_some((node, epoch, port))
    }

    fn produce(&self, script: &Script, broker: i32) -> ProduceResponse {
        let mut partition = PartitionProduceResponse::default().with_base_offset(0);
        let mut response = ProduceResponse::default().with_throttle_time_ms(script.throttle_ms);
        if broker != script.real.0 {
            partition = partition.with_error_code(NOT_LEADER);
            if let Some((node, epoch, port)) = self.hint(script, broker) {
                let leader = ProduceLeader::default().with_leader_id(node.into());
                partition = partition.with_current_leader(leader.with_leader_epoch(epoch));
                let endpoint = ProduceEndpoint::default().with_node_id(node.into());
                let endpoint = endpoint.with_host(text("127.0.0.1")).with_port(port);
                response = response.with_node_endpoints(vec![endpoint]);
            }
        }
        let topic = TopicProduceResponse::default().with_name(text(TOPIC).into());
        response.with_responses(vec![topic.with_partition_responses(vec![partition])])
    }

    fn fetch(&self, script: &Script, broker: i32, asked: (i64, i32, i32)) -> FetchResponse {
        let (offset, _, last_epoch) = asked;
        let mut partition = PartitionData::default().with_high_watermark(1);
        let mut response = FetchResponse::default();
        if broker != script.real.0 {
            partition = partition.with_error_code(NOT_LEADER);
            if let Some((node, epoch, port)) = self.hint(script, broker) {
                let leader = LeaderIdAndEpoch::default().with_leader_id(node.into());
                partition = partition.with_current_leader(leader.with_leader_epoch(epoch));
                let endpoint = NodeEndpoint::default().with_node_id(node.into());
                let endpoint = endpoint.with_host(text("127.0.0.1")).with_port(port);
                response = response.with_node_endpoints(vec![endpoint]);
            }
        } else if let Some(end) = script.diverges_at.filter(|_| last_epoch >= 0) {
            let diverging = EpochEndOffset::default().with_epoch(0).with_end_offset(end);
            partition = partition.with_diverging_epoch(diverging);
        } else if offset == 0 {
            partition = partition.with_records(Some(Bytes::from(script.log.clone())));
        }
        let topic = FetchableTopicResponse::default().with_topic_id(Uuid::from_bytes(TOPIC_ID));
        response.with_responses(vec![topic.with_partitions(vec![partition])])
    }
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn bytes(message: &impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).expect("a response");
    out.to_vec()
}

/// Reads a request: API, version, correlation id, and the other bytes.
fn request(stream: &mut TcpStream) -> Option<(i16, i16, i32, Bytes)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
    stream.read_exact(&mut frame).ok()?;
    let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    let id = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
    let (api, version, name) = (number(0), number(2), number(8) as usize);
    Some((api, version, id, Bytes::from(frame).slice(10 + name..)))
}

/// Offset, leader epoch and epoch of the last record in a fetch.
fn fetched_from(version: i16, body: &Bytes) -> (i64, i32, i32) {
    // The body begins after the tagged fields of the header.
    let mut body = body.slice(usize::from(Api::Fetch.is_flexible(version))..);
    let request = FetchRequest::decode(&mut body, version).expect("a fetch");
    let partition = &request.topics[0].partitions[0];
    (partition.fetch_offset, partition.current_leader_epoch, partition.last_fetched_epoch)
}
