//! Produce in each version, compared with the message codec.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use kafka_protocol::records::{Record, RecordBatchDecoder};
use proptest::prelude::*;

use super::super::batch::{BatchError, BatchMemory};
use super::super::hints::LeaderHint;
use super::super::primitives::WireError;
use super::super::produce::{ProduceAnswers, ProduceContext, ProduceError, produced, put_produce};
use super::super::versions::Api;
use super::{Changes, batches, changed, changes, codecs, payloads};
use crate::base::{Offset, PartitionId};
use crate::broker::protocol::{ErrorCode, Produce, Response};
use crate::plan::{Acks, Compression};

const CONTEXT: ProduceContext<'static> = ProduceContext {
    topic: "lanes",
    timeout_ms: 30_000,
    producer_epoch: 2,
    timestamp_ms: 5_000,
    compression: Compression::None,
};

fn versions() -> std::ops::RangeInclusive<i16> {
    Api::Produce.ours().min..=Api::Produce.ours().max
}

/// The only partition of most responses here.
const FOURTH: [PartitionId; 1] = [PartitionId(4)];

/// A response as a broker sends it in `version`.
fn response(version: i16, error: i16, offset: i64, message: Option<&str>) -> Vec<u8> {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let mut partition = PartitionProduceResponse::default()
        .with_index(4)
        .with_error_code(error)
        .with_base_offset(offset)
        .with_log_append_time_ms(-1);
    if version >= 5 {
        partition.log_start_offset = 1;
    }
    if version >= 8 {
        partition.error_message = None;
        if let Some(message) = message {
            let error = BatchIndexAndErrorMessage::default()
                .with_batch_index(3)
                .with_batch_index_error_message(Some(text(message)));
            partition.record_errors = vec![BatchIndexAndErrorMessage::default(), error];
        }
    }
    let mut response = ProduceResponse::default().with_throttle_time_ms(12);
    if version >= 10 && error == 6 {
        partition.current_leader =
            LeaderIdAndEpoch::default().with_leader_id(9.into()).with_leader_epoch(8);
        let endpoint = NodeEndpoint::default()
            .with_node_id(9.into())
            .with_host(text("far"))
            .with_port(9092)
            .with_rack(Some(text("r1")));
        response.node_endpoints = vec![endpoint];
    }
    encoded(version, response, vec![partition])
}

/// A response for these partitions.
fn encoded(
    version: i16,
    response: ProduceResponse,
    partitions: Vec<PartitionProduceResponse>,
) -> Vec<u8> {
    let topic = TopicProduceResponse::default()
        .with_name(StrBytes::from_static_str("lanes").into())
        .with_partition_responses(partitions);
    let mut bytes = BytesMut::new();
    response.with_responses(vec![topic]).encode(&mut bytes, version).expect("a response");
    bytes.to_vec()
}

proptest! {
    #[test]
    fn each_version_of_the_request_is_read_by_the_message_codec(
        version in versions(),
        batch in batches(),
        compression in codecs(),
        more in batches(),
        partition in 0u32..(1 << 31) - 1,
        acks in prop::sample::select(&[Acks::None, Acks::Leader, Acks::All][..]),
    ) {
        let expected = [payloads(&batch), payloads(&more)];
        let produce = |number: u32, batch| Produce {
            number: u64::from(number),
            request: 1,
            partition: PartitionId(partition + number - 1),
            acks,
            sequence: Some((7, 40)),
            batch: Some(Arc::new(batch)),
        };
        let batches = [produce(1, batch), produce(2, more)].map(Box::new);
        let context = ProduceContext { compression, ..CONTEXT };
        let mut out = Vec::new();
        put_produce(&mut out, version, &batches, &context, &mut BatchMemory::default())
            .expect("a request");
        let mut bytes = Bytes::from(out);
        let request = ProduceRequest::decode(&mut bytes, version).expect("a request");
        prop_assert!(bytes.is_empty());
        let code = match acks { Acks::None => 0, Acks::Leader => 1, Acks::All => -1 };
        prop_assert_eq!((request.acks, request.timeout_ms), (code, 30_000));
        prop_assert_eq!(request.transactional_id, None);
        let topic = &request.topic_data[0];
        prop_assert_eq!((topic.name.as_str(), topic.partition_data.len()), ("lanes", 2));
        for (number, data) in (0..).zip(&topic.partition_data) {
            prop_assert_eq!(data.index, partition as i32 + number);
            let mut records = data.records.clone().expect("records");
            let set = RecordBatchDecoder::decode(&mut records).expect("a batch");
            prop_assert!(records.is_empty());
            let value = |record: &Record| record.value.clone().expect("a value").to_vec();
            let found: Vec<Vec<u8>> = set.records.iter().map(value).collect();
            prop_assert_eq!(&found, &expected[number as usize]);
            let first = &set.records[0];
            prop_assert_eq!((first.producer_id, first.producer_epoch, first.sequence), (7, 2, 40));
        }
    }

    #[test]
    fn no_response_makes_it_panic(
        version in versions(),
        changes in changes(),
        random: Vec<u8>,
        error in prop::sample::select(&[0i16, 6, 87][..]),
    ) {
        let changes: Changes = changes;
        let bytes = changed(&response(version, error, 3, Some("why")), &changes);
        for asked in 1..3 {
            let asked = (4..4 + asked).map(PartitionId);
            let _ = produced(&bytes, version, "lanes", asked.clone());
            let _ = produced(&random, version, "lanes", asked);
        }
    }
}

fn read(version: i16, error: i16, offset: i64, message: Option<&str>) -> ProduceAnswers {
    let bytes = response(version, error, offset, message);
    produced(&bytes, version, "lanes", FOURTH.into_iter()).expect("an answer")
}

#[test]
fn each_version_of_the_response_is_read() {
    for version in versions() {
        let answers = read(version, 0, 77, None);
        let answer = &answers.partitions[0];
        assert_eq!((answer.partition, answer.error), (PartitionId(4), None));
        assert_eq!((answer.base_offset, answer.append_time_ms), (77, -1));
        assert_eq!(answer.log_start_offset, if version >= 5 { 1 } else { -1 });
        assert_eq!((answers.throttle_ms, answer.leader), (12, None));
        let Response::Produce(5, Ok(Offset(77))) = answer.response(5) else { panic!("{answer:?}") };

        let answer = &read(version, 87, -1, Some("too old")).partitions[0];
        let expected = (version >= 8).then_some("too old");
        assert_eq!(answer.message.as_deref(), expected);
        let answers = read(version, 6, -1, None);
        let moved = &answers.partitions[0];
        let hint = LeaderHint { node_id: 9, epoch: 8 };
        assert_eq!(moved.leader, (version >= 10).then_some(hint));
        assert_eq!(answers.endpoints.len(), usize::from(version >= 10));
        let Response::Produce(5, Err(ErrorCode::NotLeaderOrFollower)) = moved.response(5) else {
            panic!("{moved:?}")
        };
    }
}

#[test]
fn a_batch_that_was_appended_before_is_no_error() {
    let answer = &read(9, 46, -1, None).partitions[0];
    assert!(matches!(answer.response(0), Response::Produce(0, Ok(Offset(-1)))), "{answer:?}");
}

#[test]
fn an_answer_for_something_else_is_refused() {
    let bytes = response(9, 0, 1, None);
    let fourth = || FOURTH.into_iter();
    assert!(produced(&bytes, 9, "lanes", fourth()).is_ok());
    assert!(produced(&bytes, 9, "other", fourth()).is_err());
    assert!(produced(&bytes, 9, "lanes", [4, 5].map(PartitionId).into_iter()).is_err());
    assert!(produced(&bytes, 5, "lanes", fourth()).is_err());
    assert!(produced(&bytes[..bytes.len() - 1], 9, "lanes", fourth()).is_err());
}

/// The offsets for batches of the partitions `asked` in a response for the partitions `answered`. The offset of each
/// partition is 100 times its id.
fn offsets(version: i16, asked: [u32; 3], answered: [i32; 3]) -> Result<Vec<i64>, WireError> {
    let answer = |index: i32| {
        PartitionProduceResponse::default()
            .with_index(index)
            .with_base_offset(100 * i64::from(index))
    };
    let bytes = encoded(version, ProduceResponse::default(), answered.map(answer).to_vec());
    let answers = produced(&bytes, version, "lanes", asked.map(PartitionId).into_iter())?;
    Ok(answers.partitions.iter().map(|answer| answer.base_offset).collect())
}

#[test]
fn each_batch_gets_its_own_answer_in_any_order_of_the_answers() {
    let orders = [[7, 2, 5], [7, 5, 2], [2, 7, 5], [2, 5, 7], [5, 7, 2], [5, 2, 7]];
    for version in versions() {
        for answered in orders {
            assert_eq!(offsets(version, [7, 2, 5], answered), Ok(vec![700, 200, 500]));
        }
    }
}

#[test]
fn answers_that_are_not_one_for_each_batch_are_refused() {
    let refused = Err(WireError::Malformed("the partitions of a produce response"));
    for version in versions() {
        // A partition is in the response twice, also with correct others.
        assert_eq!(offsets(version, [7, 2, 5], [7, 2, 2]), refused);
        assert_eq!(offsets(version, [7, 2, 5], [7, 7, 7]), refused);
        // The response has a partition that is not in the request.
        assert_eq!(offsets(version, [7, 2, 5], [7, 2, 6]), refused);
        assert_eq!(offsets(version, [7, 2, 5], [0, 2, 5]), refused);
    }
}

#[test]
fn zstd_is_not_sent_to_a_broker_that_refuses_it() {
    let context = ProduceContext { compression: Compression::Zstd, ..CONTEXT };
    let memory = &mut BatchMemory::default();
    let result = put_produce(&mut Vec::new(), 6, &[Box::default()], &context, memory);
    assert_eq!(result, Err(ProduceError::Zstd(6)));
}

#[test]
fn a_batch_without_records_is_not_sent() {
    let result =
        put_produce(&mut Vec::new(), 9, &[Box::default()], &CONTEXT, &mut BatchMemory::default());
    assert_eq!(result, Err(ProduceError::Batch(BatchError::Empty)));
}
