//! Fetch in each version, compared with the message codec.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use proptest::prelude::*;

use super::super::batch::BatchFacts;
use super::super::fetch::{FetchContext, put_fetch};
use super::super::fetched::{FetchAnswer, FetchAsked, FetchMemory};
use super::super::hints::LeaderHint;
use super::super::primitives::WireError;
use super::super::versions::Api;
use super::{Changes, batch_in_log, changed, changes, codecs, in_log};
use crate::base::PartitionId;
use crate::broker::protocol::{Batch, ErrorCode, Fetch, FetchSlot, RecordBuffer, Records};
use crate::plan::Compression;

const CONTEXT: FetchContext<'static> = FetchContext {
    topic: "lanes",
    topic_id: [7; 16],
    leader_epochs: &[11, 12],
    bytes_min: 1,
    bytes_max: 50_000_000,
    rack: "r1",
};
const FACTS: BatchFacts =
    BatchFacts { timestamp_ms: 1, producer: None, compression: Compression::None };

fn versions() -> std::ops::RangeInclusive<i16> {
    Api::Fetch.ours().min..=Api::Fetch.ours().max
}

fn fetch_of(slots: &[(u32, i64)]) -> Fetch {
    let slot = |(partition, offset): &(u32, i64)| FetchSlot::new(PartitionId(*partition), *offset);
    Fetch {
        wait_max: Duration::from_millis(500),
        partition_bytes_max: 1 << 20,
        slots: slots.iter().map(slot).collect(),
    }
}

fn asked(version: i16) -> FetchAsked<'static> {
    FetchAsked { version, context: &CONTEXT, partition_plain_bytes_max: 10_000 }
}

/// Records `first..first + count`, each named after its offset.
fn log(first: i64, count: i64, compression: Compression) -> Vec<u8> {
    let mut batch = Batch::default();
    let offsets = (0..count).map(|at| first.wrapping_add(at));
    offsets.for_each(|offset| batch.push(offset.to_string().as_bytes()));
    in_log(&batch, &BatchFacts { compression, ..FACTS }, first)
}

fn partition_of(version: i16, index: i32, error: i16, records: Vec<u8>) -> PartitionData {
    let mut partition = PartitionData::default()
        .with_partition_index(index)
        .with_error_code(error)
        .with_high_watermark(100)
        .with_last_stable_offset(99)
        .with_records(Some(Bytes::from(records)))
        .with_aborted_transactions(Some(vec![AbortedTransaction::default()]));
    if version >= 5 {
        partition.log_start_offset = 3;
    }
    if version >= 12 && error == 6 {
        partition.current_leader =
            LeaderIdAndEpoch::default().with_leader_id(9.into()).with_leader_epoch(8);
    }
    partition
}

fn response(version: i16, partitions: Vec<PartitionData>) -> Vec<u8> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let mut topic = FetchableTopicResponse::default().with_partitions(partitions);
    match version <= 12 {
        true => topic.topic = text("lanes").into(),
        false => topic.topic_id = uuid::Uuid::from_bytes([7; 16]),
    }
    let mut response =
        FetchResponse::default().with_throttle_time_ms(5).with_responses(vec![topic]);
    if version >= 16 {
        let endpoint =
            NodeEndpoint::default().with_node_id(9.into()).with_host(text("far")).with_port(9092);
        response.node_endpoints = vec![endpoint];
    }
    let mut bytes = BytesMut::new();
    response.encode(&mut bytes, version).expect("a response");
    bytes.to_vec()
}

/// The records of a slot, as the client reads them.
fn copied(memory: &FetchMemory, body: &[u8], slot: &FetchSlot) -> Vec<String> {
    let mut out = RecordBuffer::default();
    memory.records(body).copy(slot.partition, slot.offset, slot.end, &mut out);
    out.records().map(|(text, _)| String::from_utf8(text.to_vec()).expect("text")).collect()
}

fn read_one(version: i16, offset: i64, records: Vec<u8>) -> (FetchMemory, Vec<u8>, FetchSlot) {
    let mut memory = FetchMemory::default();
    let body = response(version, vec![partition_of(version, 0, 0, records)]);
    let mut fetch = fetch_of(&[(0, offset)]);
    memory.read(&body, &asked(version), &mut fetch).expect("an answer");
    let slot = fetch.slots[0];
    (memory, body, slot)
}

#[test]
fn the_epoch_of_the_record_before_the_next_offset_is_known_or_not_said() {
    let batch = |first: i64, epoch: i32| {
        let mut batch = Batch::default();
        batch.push(b"x");
        batch_in_log(&batch, first, epoch)
    };
    let read = |offset, batches: &[Vec<u8>]| {
        let (_, _, slot) = read_one(12, offset, batches.concat());
        (slot.end.max(slot.resume), slot.epoch)
    };
    assert_eq!(read(0, &[]), (0, -1), "nothing was read");
    assert_eq!(read(0, &[batch(0, 3), batch(1, 4)]), (2, 4));
    // The record before offset 5 may be of epoch 3, 4 or one between.
    assert_eq!(read(0, &[batch(0, 3), batch(5, 4)]), (5, -1));
    assert_eq!(read(5, &[batch(5, 4)]), (6, 4));
}

proptest! {
    #[test]
    fn each_version_of_the_request_is_read_by_the_message_codec(
        version in versions(),
        slots in prop::collection::vec((0u32..1 << 31, 0i64..1 << 60), 0..5),
    ) {
        let mut out = Vec::new();
        put_fetch(&mut out, version, &fetch_of(&slots), &CONTEXT).expect("a request");
        let mut bytes = Bytes::from(out);
        let request = FetchRequest::decode(&mut bytes, version).expect("a request");
        prop_assert!(bytes.is_empty());
        prop_assert_eq!((request.max_wait_ms, request.min_bytes), (500, 1));
        prop_assert_eq!((request.max_bytes, request.isolation_level), (50_000_000, 1));
        prop_assert_eq!((request.replica_id.0, request.session_id), (-1, 0));
        prop_assert_eq!(request.session_epoch, -1);
        prop_assert_eq!(request.rack_id.as_str(), if version >= 11 { "r1" } else { "" });
        let topic = &request.topics[0];
        match version <= 12 {
            true => prop_assert_eq!(topic.topic.as_str(), "lanes"),
            false => prop_assert_eq!(topic.topic_id.into_bytes(), [7; 16]),
        }
        prop_assert_eq!(topic.partitions.len(), slots.len());
        for (asked, (partition, offset)) in topic.partitions.iter().zip(&slots) {
            prop_assert_eq!((asked.partition, asked.fetch_offset), (*partition as i32, *offset));
            prop_assert_eq!(asked.partition_max_bytes, 1 << 20);
            let epoch = match *partition { 0 => 11, 1 => 12, _ => -1 };
            prop_assert_eq!(asked.current_leader_epoch, if version >= 9 { epoch } else { -1 });
        }
    }

    #[test]
    fn a_fetch_that_begins_within_a_batch_gives_the_rest_of_it(
        version in versions(),
        codec in codecs(),
        counts in prop::collection::vec(1i64..6, 1..5),
        skip in 0i64..6,
    ) {
        let mut records = Vec::new();
        let mut next = 10;
        for count in counts {
            records.extend(log(next, count, codec));
            next += count;
        }
        let from = (10 + skip).min(next);
        let (memory, body, slot) = read_one(version, from, records);
        // A consumer reads up to the last stable offset, which is below the high watermark.
        prop_assert_eq!((slot.end, slot.high_watermark, slot.error), (next, 99, None));
        prop_assert_eq!(slot.resume, next);
        let expected: Vec<String> = (from..next).map(|offset| offset.to_string()).collect();
        prop_assert_eq!(copied(&memory, &body, &slot), expected);
        prop_assert_eq!(memory.partitions()[0].next_offset, next);
    }

    #[test]
    fn no_response_makes_it_panic(
        version in versions(),
        codec in codecs(),
        changes in changes(),
        random: Vec<u8>,
    ) {
        let changes: Changes = changes;
        let partition = |index, error| partition_of(version, index, error, log(3, 9, codec));
        let body = response(version, vec![partition(0, 0), partition(1, 6)]);
        for body in [changed(&body, &changes), random] {
            let mut memory = FetchMemory::default();
            let mut fetch = fetch_of(&[(0, 3), (1, 5)]);
            if memory.read(&body, &asked(version), &mut fetch).is_ok() {
                for slot in &fetch.slots {
                    let records = copied(&memory, &body, slot).len() as i64;
                    prop_assert_eq!(records, slot.end - slot.offset);
                }
            }
        }
    }
}

#[test]
fn each_version_of_the_response_is_read() {
    for version in versions() {
        let partitions = vec![
            partition_of(version, 1, 6, Vec::new()),
            partition_of(version, 0, 0, log(5, 2, Compression::Gzip)),
        ];
        let body = response(version, partitions);
        let mut memory = FetchMemory::default();
        // The response lacks the third one.
        let mut fetch = fetch_of(&[(0, 5), (1, 0), (2, 8)]);
        let answer = memory.read(&body, &asked(version), &mut fetch).expect("an answer");
        assert_eq!((answer.error, answer.throttle_ms), (None, 5));
        assert_eq!(answer.endpoints.len(), usize::from(version >= 16));
        assert_eq!((fetch.slots[0].end, fetch.slots[0].error), (7, None));
        assert_eq!(fetch.slots[1].error, Some(ErrorCode::NotLeaderOrFollower));
        assert_eq!((fetch.slots[2].end, fetch.slots[2].error), (8, Some(ErrorCode::Unavailable)));
        let hint = LeaderHint { node_id: 9, epoch: 8 };
        let [moved, read] = memory.partitions() else { panic!("two") };
        assert_eq!(moved.leader, (version >= 12).then_some(hint));
        assert_eq!((read.last_stable_offset, read.preferred_replica), (99, -1));
        assert_eq!(read.log_start_offset, if version >= 5 { 3 } else { -1 });
        assert_eq!(copied(&memory, &body, &fetch.slots[0]), ["5", "6"]);
    }
}

#[test]
fn offsets_without_records_are_passed_over() {
    // A transaction marker is a batch without data.
    let mut mark = log(12, 1, Compression::None);
    mark[22] |= 0x20;
    let checksum = crc32c::crc32c(&mark[21..]);
    mark[17..21].copy_from_slice(&checksum.to_be_bytes());
    let records = [log(10, 2, Compression::None), mark, log(13, 2, Compression::None)].concat();
    let (memory, body, slot) = read_one(12, 10, records.clone());
    assert_eq!((slot.end, memory.partitions()[0].next_offset), (12, 15));
    assert_eq!(copied(&memory, &body, &slot), ["10", "11"]);
    let all: Vec<i64> =
        memory.records(&body).of(&memory.partitions()[0]).map(|(at, ..)| at).collect();
    assert_eq!(all, [10, 11, 13, 14]);
    let (memory, _, slot) = read_one(12, 12, records);
    assert_eq!((slot.end, slot.error, memory.partitions()[0].next_offset), (12, None, 15));
}

#[test]
fn the_largest_offsets_are_read() {
    let first = i64::MAX - 3;
    let (memory, body, slot) = read_one(12, first + 1, log(first, 3, Compression::None));
    assert_eq!((slot.end, slot.error), (i64::MAX, None));
    assert_eq!(copied(&memory, &body, &slot).len(), 2);
    let (_, _, slot) = read_one(12, first, log(first, 4, Compression::None));
    assert_eq!((slot.end, slot.error), (first, Some(ErrorCode::Unavailable)));
}

#[test]
fn damage_costs_only_what_is_behind_it() {
    let mut damaged = log(12, 2, Compression::None);
    *damaged.last_mut().expect("bytes") ^= 1;
    let records = [log(10, 2, Compression::None), damaged.clone()].concat();
    let (memory, body, slot) = read_one(12, 10, records);
    assert_eq!((slot.end, slot.error), (12, None));
    assert_eq!(copied(&memory, &body, &slot), ["10", "11"]);
    assert!(memory.partitions()[0].damage.is_some());
    let (memory, _, slot) = read_one(12, 12, damaged);
    assert_eq!((slot.end, slot.error), (12, Some(ErrorCode::Unavailable)));
    let damage = memory.partitions()[0].damage.clone().expect("damage").to_string();
    assert_eq!(damage, "the batch at offset 12 has a wrong CRC-32C");
}

#[test]
fn batches_beyond_the_limit_wait_and_one_beyond_it_is_damage() {
    let mut large = Batch::default();
    large.push(&[0; 6_000]);
    let gzip = BatchFacts { compression: Compression::Gzip, ..FACTS };
    let two = [in_log(&large, &gzip, 0), in_log(&large, &gzip, 1)].concat();
    let (memory, _, slot) = read_one(12, 0, two);
    assert_eq!((slot.end, slot.error), (1, None));
    assert_eq!(memory.partitions()[0].damage, None);
    large.push(&[0; 6_000]);
    let (memory, _, slot) = read_one(12, 0, in_log(&large, &gzip, 0));
    assert_eq!((slot.end, slot.error), (0, Some(ErrorCode::Unavailable)));
    assert!(memory.partitions()[0].damage.is_some());
}

#[test]
fn an_answer_that_was_not_asked_for_is_refused() {
    let read = |partitions: &[i32], slots: &[(u32, i64)]| -> Result<FetchAnswer, WireError> {
        let partition = |index: &i32| partition_of(12, *index, 0, Vec::new());
        let body = response(12, partitions.iter().map(partition).collect());
        FetchMemory::default().read(&body, &asked(12), &mut fetch_of(slots))
    };
    assert!(read(&[0, 1], &[(0, 0), (1, 0)]).is_ok());
    assert!(read(&[0, 2], &[(0, 0), (1, 0)]).is_err());
    assert!(read(&[0, 0], &[(0, 0), (1, 0)]).is_err());
    let other = FetchContext { topic: "other", ..CONTEXT };
    let body = response(12, Vec::new());
    let asked = FetchAsked { context: &other, ..asked(12) };
    assert!(FetchMemory::default().read(&body, &asked, &mut fetch_of(&[(0, 0)])).is_err());
}
