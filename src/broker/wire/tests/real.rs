//! The codec on a cluster: with `BOOTSTRAP` in the environment, each version of each API is sent to its first broker.
//! The cluster must have one broker, because the tests do not search for leaders.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::super::batch::BatchMemory;
use super::super::cluster::{
    MetadataAnswer, coordinator, metadata, producer_id, put_find_coordinator, put_init_producer_id,
    put_metadata,
};
use super::super::consumer_heartbeat::{MemberHeartbeat, member_heartbeat, put_member_heartbeat};
use super::super::fetch::{FetchContext, put_fetch};
use super::super::fetched::{FetchAsked, FetchMemory};
use super::super::frame::{FrameBuffer, Pending, put_request};
use super::super::group::{GroupContext, group_answer, group_api, put_group};
use super::super::list_offsets::{LogEnd, listed_offsets, put_list_offsets};
use super::super::primitives::WireError;
use super::super::produce::{ProduceContext, ProduceError, produced, put_produce};
use super::super::topics::{
    NewTopic, created_partitions, created_topic, deleted_topic, put_create_partitions,
    put_create_topic, put_delete_topic,
};
use super::super::versions::{Api, BrokerVersions, VersionsAnswer, api_versions, put_api_versions};
use crate::base::{Offset, PartitionId};
use crate::broker::model::group::{GroupRequest, GroupResponse, JOINS, Join, LEAVES, MemberRef};
use crate::broker::protocol::{Batch, Fetch, FetchSlot, Produce};
use crate::plan::{Acks, Assignor, Compression};

const TRIES: u32 = 50;
const PARTITIONS: i32 = 3;

/// A connection with one request in flight at a time.
struct Conversation {
    stream: TcpStream,
    buffer: FrameBuffer,
    pending: Pending<()>,
    topic: String,
}

impl Conversation {
    fn new(bootstrap: &str) -> Conversation {
        let address = bootstrap.split(',').next().expect("an address");
        let stream = TcpStream::connect(address).expect("a broker");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
        let topic = format!("wire-{}", std::process::id());
        let (buffer, pending) = (FrameBuffer::new(100 << 20), Pending::default());
        Conversation { stream, buffer, pending, topic }
    }

    fn call<E: From<WireError> + std::fmt::Debug>(
        &mut self,
        (api, version): (Api, i16),
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        let id = self.pending.asked(api, version, ());
        put_request(&mut out, (api, version), id, "wire", body).expect("a request");
        self.stream.write_all(&out).expect("sent");
        loop {
            if let Some(frame) = self.buffer.frame().expect("a frame") {
                let (_, body) = self.pending.answered(frame).expect("its answer");
                return body.to_vec();
            }
            let count = self.stream.read(self.buffer.free()).expect("bytes");
            assert!(count > 0, "{} {version}: the broker has closed the connection", api.name());
            self.buffer.received(count);
        }
    }

    fn metadata(&mut self, version: i16) -> MetadataAnswer {
        let topic = self.topic.clone();
        let body = self.call((Api::Metadata, version), |out| put_metadata(out, version, &topic));
        metadata(&body, version, &topic).expect("metadata")
    }

    /// Retries until the coordinator has loaded the group.
    fn group(&mut self, version: i16, request: &GroupRequest) -> GroupResponse {
        let topic = self.topic.clone();
        let context = GroupContext {
            group: &topic,
            topic: &topic,
            topic_id: Default::default(),
            assignor: Assignor::Range,
        };
        let of = (group_api(request), version);
        for _ in 0..TRIES {
            let body = self.call(of, |out| put_group(out, version, request, &context));
            let answer = group_answer(&body, of, &context).expect("an answer");
            if !answer.response.is_not_coordinator() {
                return answer.response;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("no coordinator for {request:?}")
    }
}

#[test]
fn a_cluster_understands_each_version() {
    let Ok(bootstrap) = std::env::var("BOOTSTRAP") else { return };
    let mut broker = Conversation::new(&bootstrap);
    let known = versions(&mut broker);
    let metadata = topics(&mut broker, &known);
    let sent = records(&mut broker, &known);
    read_back(&mut broker, &known, &metadata, &sent);
    classic_group(&mut broker, &known);
    consumer_protocol(&mut broker, &known, &metadata);
    for version in both(&known, Api::DeleteTopics).rev().take(1) {
        let topic = broker.topic.clone();
        let write = |out: &mut Vec<u8>| put_delete_topic(out, version, &topic, 10_000);
        let body = broker.call((Api::DeleteTopics, version), write);
        assert_eq!(deleted_topic(&body, version, &topic), Ok(Ok(())));
    }
}

/// The versions that both sides support.
fn both(known: &BrokerVersions, api: Api) -> std::ops::RangeInclusive<i16> {
    let lowest = (api.ours().min..=api.ours().max).find(|version| known.speaks(api, *version));
    lowest.expect("a version")..=known.version(api).expect("a version")
}

fn versions(broker: &mut Conversation) -> BrokerVersions {
    // A version that no broker supports.
    let body = broker.call((Api::ApiVersions, 99), |out| put_api_versions(out, 3));
    assert_eq!(api_versions(&body, 99), Ok(VersionsAnswer::AskAgain(3)));
    let mut last = None;
    for version in Api::ApiVersions.ours().min..=Api::ApiVersions.ours().max {
        let body = broker.call((Api::ApiVersions, version), |out| put_api_versions(out, version));
        let Ok(VersionsAnswer::Known(known)) = api_versions(&body, version) else {
            panic!("version {version}")
        };
        assert_eq!(last.as_ref().unwrap_or(&known), &known);
        last = Some(known);
    }
    last.expect("an answer")
}

fn topics(broker: &mut Conversation, known: &BrokerVersions) -> MetadataAnswer {
    let name = broker.topic.clone();
    let configs = [("retention.ms", "3600000")];
    let topic =
        NewTopic { name: &name, partitions: 1, replication: 1, configs: &configs, is_check: false };
    for (turn, version) in both(known, Api::CreateTopics).enumerate() {
        let write = |out: &mut Vec<u8>| put_create_topic(out, version, &topic, 10_000);
        let body = broker.call((Api::CreateTopics, version), write);
        let result = created_topic(&body, version, &name).expect("an answer");
        let code = result.err().map(|(error, _)| error.code());
        // All requests after the first one get TOPIC_ALREADY_EXISTS.
        assert_eq!(code, (turn > 0).then_some(36), "version {version}");
    }
    for version in both(known, Api::CreatePartitions) {
        let write =
            |out: &mut Vec<u8>| put_create_partitions(out, version, (&name, PARTITIONS), 10_000);
        let body = broker.call((Api::CreatePartitions, version), write);
        created_partitions(&body, version, &name).expect("an answer").ok();
    }
    for _ in 0..TRIES {
        let all: Vec<MetadataAnswer> =
            both(known, Api::Metadata).map(|version| broker.metadata(version)).collect();
        let last = all.last().expect("a version").clone();
        let leaders = last.partitions.iter().filter(|its| its.leader.is_some()).count();
        if leaders == PARTITIONS as usize {
            assert_ne!(last.topic_id, [0; 16]);
            assert!(all.iter().all(|answer| answer.partitions.len() == leaders), "{all:?}");
            return last;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("no leaders for {name}")
}

/// Sends a batch to partition 0 in each version and with each codec. Returns the payloads.
fn records(broker: &mut Conversation, known: &BrokerVersions) -> Vec<Vec<u8>> {
    let topic = broker.topic.clone();
    let mut ids = Vec::new();
    for version in both(known, Api::InitProducerId) {
        // A new cluster has no producer ids at first.
        let id = (0..TRIES).find_map(|_| {
            let write = |out: &mut Vec<u8>| put_init_producer_id(out, version, None);
            let body = broker.call((Api::InitProducerId, version), write);
            let answer = producer_id(&body, version).expect("an answer");
            if answer.is_err() {
                std::thread::sleep(Duration::from_millis(200));
            }
            answer.ok()
        });
        ids.push(id.expect("an id"));
    }
    let (id, producer_epoch) = ids.pop().expect("an id");
    let mut codecs =
        vec![Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4];
    codecs.extend(cfg!(feature = "zstd").then_some(Compression::Zstd));
    let mut sent = Vec::new();
    for version in both(known, Api::Produce) {
        let is_taken = |codec: &&Compression| version >= 7 || **codec != Compression::Zstd;
        for compression in codecs.iter().filter(is_taken) {
            let mut batch = Batch::default();
            let first = sent.len() as u64;
            for _ in 0..3 {
                let payload = format!("{version} {compression} {}", sent.len()).repeat(20);
                batch.push(payload.as_bytes());
                sent.push(payload.into_bytes());
            }
            let batches = [Box::new(Produce {
                number: first,
                request: first,
                partition: PartitionId(0),
                acks: Acks::All,
                sequence: Some((id, first)),
                batch: Some(Arc::new(batch)),
            })];
            let context = ProduceContext {
                topic: &topic,
                timeout_ms: 10_000,
                producer_epoch,
                timestamp_ms: 1_700_000_000_000,
                compression: *compression,
            };
            // The batch is sent twice. The second one is a duplicate, and gets the offset of the first one.
            for _ in 0..2 {
                let body = broker.call::<ProduceError>((Api::Produce, version), |out| {
                    put_produce(out, version, &batches, &context, &mut BatchMemory::default())
                        .map(drop)
                });
                let asked = batches.iter().map(|batch| batch.partition);
                let answers = produced(&body, version, &topic, asked).expect("an answer");
                let answer = &answers.partitions[0];
                assert_eq!((answer.error, answer.base_offset), (None, first as i64), "{answer:?}");
            }
        }
    }
    sent
}

fn read_back(
    broker: &mut Conversation,
    known: &BrokerVersions,
    metadata: &MetadataAnswer,
    sent: &[Vec<u8>],
) {
    let topic = broker.topic.clone();
    for version in both(known, Api::ListOffsets) {
        for (end, offset) in [(LogEnd::Earliest, 0), (LogEnd::Latest, sent.len() as i64)] {
            let partitions = [(PartitionId(0), metadata.partitions[0].leader_epoch)];
            let write =
                |out: &mut Vec<u8>| put_list_offsets(out, version, &topic, &partitions, end);
            let body = broker.call((Api::ListOffsets, version), write);
            let listed = listed_offsets(&body, version, &topic).expect("an answer");
            assert_eq!(listed, [(PartitionId(0), Ok(Offset(offset)))]);
        }
    }
    let epochs: Vec<i32> = metadata.partitions.iter().map(|its| its.leader_epoch).collect();
    let context = FetchContext {
        topic: &topic,
        topic_id: metadata.topic_id,
        leader_epochs: &epochs,
        bytes_min: 1,
        bytes_max: 50 << 20,
        rack: "",
    };
    let mut memory = FetchMemory::default();
    // A broker returns zstd from Fetch 10 on.
    let least = if cfg!(feature = "zstd") { 10 } else { 0 };
    for version in both(known, Api::Fetch).filter(|version| *version >= least) {
        let mut found = Vec::new();
        // The offset is in the middle of the first batch.
        let mut next = 1;
        while next < sent.len() as i64 {
            let slot = |id, offset| FetchSlot::new(PartitionId(id), offset);
            let mut fetch = Fetch {
                wait_max: Duration::from_millis(500),
                partition_bytes_max: 500,
                slots: vec![slot(0, next), slot(1, 0)],
            };
            let write = |out: &mut Vec<u8>| put_fetch(out, version, &fetch, &context);
            let body = broker.call((Api::Fetch, version), write);
            let asked =
                FetchAsked { version, context: &context, partition_plain_bytes_max: 10 << 20 };
            let answer = memory.read(&body, &asked, &mut fetch).expect("an answer");
            assert_eq!((answer.error, fetch.slots[0].error), (None, None), "version {version}");
            assert_eq!(fetch.slots[0].high_watermark, sent.len() as i64);
            assert_eq!((fetch.slots[1].end, fetch.slots[1].error), (0, None));
            let records = memory.records(&body);
            found.extend(records.of(&memory.partitions()[0]).map(|(_, value, ..)| value.to_vec()));
            assert!(fetch.slots[0].end > next, "version {version}: nothing at {next}");
            next = fetch.slots[0].end;
        }
        assert_eq!(found, sent[1..], "version {version}");
    }
}

fn classic_group(broker: &mut Conversation, known: &BrokerVersions) {
    let group = broker.topic.clone();
    for version in both(known, Api::FindCoordinator) {
        let write = |out: &mut Vec<u8>| put_find_coordinator(out, version, &group);
        let body = broker.call((Api::FindCoordinator, version), write);
        // The offsets topic may not exist at first.
        coordinator(&body, version, &group).expect("an answer").ok();
    }
    let mut join = Join {
        client_id: "wire".to_owned(),
        member_id: String::new(),
        instance_id: None,
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        assignor: Assignor::Range,
        owned: Vec::new(),
        generation: -1,
    };
    let mut generation = 0;
    for version in both(known, Api::JoinGroup) {
        while let GroupResponse::Join(id, result) =
            broker.group(version, &GroupRequest::Join(join.clone()))
        {
            join.member_id = id;
            if let Ok(joined) = result {
                assert_eq!((joined.leader, joined.members.len()), (join.member_id.clone(), 1));
                generation = joined.generation;
                break;
            }
        }
    }
    let member = MemberRef { member_id: join.member_id.clone(), instance_id: None, generation };
    let own = vec![PartitionId(0), PartitionId(2)];
    for version in both(known, Api::SyncGroup) {
        let assignments = BTreeMap::from([(join.member_id.clone(), own.clone())]);
        let sync = GroupRequest::Sync { member: member.clone(), assignments };
        assert_eq!(broker.group(version, &sync), GroupResponse::Sync(Ok(own.clone())));
    }
    for version in both(known, Api::Heartbeat) {
        let beat = GroupRequest::Heartbeat(member.clone());
        assert_eq!(broker.group(version, &beat), GroupResponse::Done(Ok(())));
    }
    let offsets = BTreeMap::from([(PartitionId(0), Offset(5)), (PartitionId(2), Offset(0))]);
    for version in both(known, Api::OffsetCommit) {
        let (member, offsets) = (Some(member.clone()), offsets.clone());
        let commit = GroupRequest::Commit { member, offsets };
        assert_eq!(broker.group(version, &commit), GroupResponse::Done(Ok(())));
    }
    for version in both(known, Api::OffsetFetch) {
        let found = broker.group(version, &GroupRequest::FetchOffsets(Vec::new()));
        assert_eq!(found, GroupResponse::Offsets(offsets.clone()), "version {version}");
    }
    for (turn, version) in both(known, Api::LeaveGroup).enumerate() {
        let left = broker.group(version, &GroupRequest::Leave(member.clone()));
        assert_eq!(left == GroupResponse::Done(Ok(())), turn == 0, "version {version}: {left:?}");
    }
}

fn consumer_protocol(broker: &mut Conversation, known: &BrokerVersions, metadata: &MetadataAnswer) {
    let Ok(version) = known.version(Api::ConsumerGroupHeartbeat) else { return };
    let of = (Api::ConsumerGroupHeartbeat, version);
    let (topic, group) = (broker.topic.clone(), format!("{}-848", broker.topic));
    let mut heartbeat = MemberHeartbeat {
        group: &group,
        member_id: "AAAAAAAAAAAAAAAAAAAAAA",
        member_epoch: JOINS,
        rebalance_timeout_ms: Some(10_000),
        topic: Some(&topic),
        owned: Some(&[]),
        ..MemberHeartbeat::default()
    };
    let body = broker.call(of, |out| put_member_heartbeat(out, version, &heartbeat));
    let answer = member_heartbeat(&body, version).expect("an answer");
    assert_eq!((answer.error, answer.message), (None, None));
    let all: Vec<PartitionId> = (0..PARTITIONS as u32).map(PartitionId).collect();
    assert_eq!(answer.assignment, Some(vec![(metadata.topic_id, all)]));
    assert!(answer.member_epoch > 0 && answer.interval_ms > 0);
    heartbeat.member_epoch = LEAVES;
    heartbeat.topic = None;
    let body = broker.call(of, |out| put_member_heartbeat(out, version, &heartbeat));
    let answer = member_heartbeat(&body, version).expect("an answer");
    assert_eq!((answer.error, answer.member_epoch), (None, LEAVES));
}
