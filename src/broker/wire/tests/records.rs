//! Record batches, compared with the message codec, and damaged ones.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as Codec, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType,
};
use proptest::prelude::*;

use super::super::batch::{
    BatchFacts, BatchMemory, CHECKED_FROM, CHECKSUM_AT, PreparedBatch, wire_sequence,
};
use super::super::records::{BatchRecord, RecordBatch, RecordBatches, RecordsError};
use super::{Changes, batches, changed, changes, codecs, in_log, payloads};
use crate::base::{
    FillerRing, Headers, PartitionId, ProducerId, RecordView, RunId, STAMP_BYTES, Seed, Stamp,
    Time, put_header,
};
use crate::broker::protocol::Batch;
use crate::plan::Compression;

const FACTS: BatchFacts =
    BatchFacts { timestamp_ms: 1_700_000_000_000, producer: None, compression: Compression::None };

fn read<'p>(
    batch: &RecordBatch<'p>,
    plain: &'p mut Vec<u8>,
) -> Result<Vec<BatchRecord<'p>>, RecordsError> {
    batch.decompress(1_000_000, plain)?;
    let plain: &'p [u8] = plain;
    batch.records(plain).collect()
}

fn offsets_of(bytes: &[u8]) -> Vec<i64> {
    RecordBatches::new(bytes).map_while(Result::ok).map(|batch| batch.base_offset).collect()
}

fn only_error(bytes: &[u8]) -> RecordsError {
    let mut batches = RecordBatches::new(bytes);
    let error = batches.next().expect("a batch").expect_err("an error");
    assert!(batches.next().is_none());
    error
}

/// Writes the right checksum into a changed batch.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    bytes[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn batch_of(payloads: &[&[u8]]) -> Batch {
    let mut batch = Batch::default();
    payloads.iter().for_each(|payload| batch.push(payload));
    batch
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..50));
    let header = ("[a-z]{0,8}", bytes());
    let headers = prop::collection::vec(header, 0..3);
    let record = (bytes(), bytes(), headers, 0i64..100_000);
    prop::collection::vec(record, 1..10).prop_map(|records| {
        let record = |(at, (key, value, headers, delta)): (usize, (_, _, Vec<_>, i64))| {
            let key: Option<Vec<u8>> = key;
            let value: Option<Vec<u8>> = value;
            let header = |(name, value): (String, Option<Vec<u8>>)| {
                (StrBytes::from_string(name), value.map(Bytes::from))
            };
            Record {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 4,
                producer_id: 5,
                producer_epoch: 6,
                timestamp_type: TimestampType::Creation,
                offset: 1000 + at as i64,
                sequence: 7 + at as i32,
                timestamp: 1_700_000_000_000 + delta,
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers: headers.into_iter().map(header).collect::<IndexMap<_, _>>(),
            }
        };
        records.into_iter().enumerate().map(record).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_the_message_codec_reads(
        batch in batches(),
        codec in codecs(),
        producer: Option<(u32, u8, u64)>,
        timestamp_ms in 0i64..1 << 45,
    ) {
        let producer = producer.map(|(id, epoch, first)| (i64::from(id), i16::from(epoch), first));
        let facts = BatchFacts { timestamp_ms, producer, compression: codec };
        let mut bytes = Bytes::from(in_log(&batch, &facts, 77));
        let set = RecordBatchDecoder::decode(&mut bytes).expect("a batch");
        prop_assert!(bytes.is_empty());
        prop_assert_eq!(set.records.len(), batch.len());
        let (id, epoch, first) = producer.unwrap_or((-1, -1, 0));
        for (at, (record, payload)) in set.records.iter().zip(payloads(&batch)).enumerate() {
            prop_assert_eq!(record.value.as_deref(), Some(&payload[..]));
            prop_assert_eq!((record.offset, record.timestamp), (77 + at as i64, timestamp_ms));
            prop_assert_eq!((record.producer_id, record.producer_epoch), (id, epoch));
            if producer.is_some() && at == 0 {
                prop_assert_eq!(record.sequence, wire_sequence(first));
            }
        }
    }

    #[test]
    fn stamps_are_written_as_the_payloads_that_they_make(
        payload_bytes in STAMP_BYTES..400,
        ring_bytes in 1usize..2_000,
        // Offsets take one, two and three bytes.
        count in prop::sample::select(&[1usize, 63, 64, 65, 300, 8_193][..]),
        codec in codecs(),
        seed: u64,
    ) {
        let ring = Arc::new(FillerRing::new(payload_bytes, ring_bytes, Seed(seed)));
        let (mut stamped, mut plain, mut position) = (Batch::default(), Batch::default(), 0);
        for at in 0..count as u64 {
            let stamp = Stamp {
                run: RunId(seed),
                producer: ProducerId(at as u32 % 7),
                partition: PartitionId(3),
                sequence: at,
                intended: Time(at as i64 * 11),
                sent: Time(at as i64 * 13),
            };
            stamped.stamped.push(&stamp, &ring, position);
            let mut payload = Vec::new();
            ring.append_payload(&stamp, position, &mut payload);
            plain.push(&payload);
            position = ring.after(position);
        }
        let facts = BatchFacts { compression: codec, ..FACTS };
        prop_assert_eq!(stamped.len(), count);
        prop_assert_eq!(in_log(&stamped, &facts, 7), in_log(&plain, &facts, 7));
        let sizes = |batch| {
            let mut memory = BatchMemory::default();
            PreparedBatch::new(batch, &facts, &mut memory).expect("a batch").sizes()
        };
        prop_assert_eq!(sizes(&stamped), sizes(&plain));
        stamped.clear();
        prop_assert!(stamped.is_empty());
    }

    #[test]
    fn keys_and_headers_that_are_written_the_message_codec_reads(
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..90)),
        value in prop::collection::vec(any::<u8>(), 0..200),
        names in prop::collection::btree_set("[a-z]{1,8}", 0..4),
        codec in codecs(),
    ) {
        let mut headers = Vec::new();
        names.iter().for_each(|name| put_header(&mut headers, name, Some(name.as_bytes())));
        let headers = Headers::written(&headers);
        let written = RecordView { key: key.as_deref(), value: &value, headers, timestamp_ms: None };
        let mut packed = Vec::new();
        written.pack(&mut packed);
        let mut batch = batch_of(&[&packed, &packed]);
        batch.is_packed = true;
        let facts = BatchFacts { compression: codec, ..FACTS };
        let mut bytes = Bytes::from(in_log(&batch, &facts, 5));
        let set = RecordBatchDecoder::decode(&mut bytes).expect("a batch");
        prop_assert_eq!(set.records.len(), 2);
        for record in &set.records {
            prop_assert_eq!(record.key.as_deref(), key.as_deref());
            prop_assert_eq!(record.value.as_deref(), Some(&value[..]));
            let read: Vec<_> = record.headers.iter().map(|(name, value)| {
                (name.to_string(), value.as_deref().map(<[u8]>::to_vec))
            }).collect();
            let expected: Vec<_> = names.iter().map(|name| {
                (name.clone(), Some(name.as_bytes().to_vec()))
            }).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_the_message_codec_writes_is_read(records in records(), gzip: bool) {
        let compression = if gzip { Codec::Gzip } else { Codec::None };
        let options = RecordEncodeOptions { version: 2, compression };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("a batch");
        let batches: Vec<_> =
            RecordBatches::new(&bytes).collect::<Result<_, _>>().expect("batches");
        let mut found = 0;
        for batch in batches {
            let mut plain = Vec::new();
            prop_assert_eq!((batch.producer_id, batch.producer_epoch), (5, 6));
            for record in read(&batch, &mut plain).expect("records") {
                let expected = &records[found];
                prop_assert_eq!(record.offset, expected.offset);
                prop_assert_eq!(record.timestamp_ms, expected.timestamp);
                prop_assert_eq!(record.key, expected.key.as_deref());
                prop_assert_eq!(record.value, expected.value.as_deref());
                found += 1;
            }
        }
        prop_assert_eq!(found, records.len());
    }

    #[test]
    fn damage_is_found_and_never_a_panic(
        batch in batches(),
        codec in codecs(),
        changes in changes(),
        is_sealed: bool,
        offset in prop_oneof![Just(5), i64::MAX - 20..=i64::MAX],
    ) {
        let changes: Changes = changes;
        let whole = in_log(&batch, &BatchFacts { compression: codec, ..FACTS }, offset);
        let mut bytes = changed(&whole, &changes);
        if is_sealed && bytes.len() > CHECKED_FROM {
            bytes = sealed(bytes);
        }
        for batch in RecordBatches::new(&bytes).map_while(Result::ok) {
            let mut plain = Vec::new();
            let _ = read(&batch, &mut plain);
            // Otherwise the change is in bytes that the checksum does not cover.
            prop_assert!(is_sealed || bytes[CHECKED_FROM..whole.len()] == whole[CHECKED_FROM..]);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, offset: i64) {
        // A valid header, so that the decoder reads the fields behind it.
        let mut framed = offset.to_be_bytes().to_vec();
        framed.extend((bytes.len() as u32 + 9).to_be_bytes());
        framed.extend([0, 0, 0, 0, 2, 0, 0, 0, 0]);
        framed.extend(&bytes);
        for bytes in [bytes, sealed(framed)] {
            for batch in RecordBatches::new(&bytes).map_while(Result::ok) {
                let _ = read(&batch, &mut Vec::new());
            }
        }
    }
}

#[test]
fn a_batch_that_is_cut_off_is_left_for_the_next_fetch() {
    let first = in_log(&batch_of(&[b"a", b"b"]), &FACTS, 10);
    let second = in_log(&batch_of(&[b"c"]), &FACTS, 12);
    let both = [&first[..], &second].concat();
    assert_eq!(offsets_of(&both), [10, 12]);
    for end in first.len()..both.len() {
        let batches: Result<Vec<_>, _> = RecordBatches::new(&both[..end]).collect();
        assert_eq!(batches.expect("whole batches").len(), 1);
    }
}

#[test]
fn what_is_wrong_with_a_batch_is_said() {
    let whole = in_log(&batch_of(&[b"payload"]), &FACTS, 3);
    let with = |at: usize, value: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let message = |bytes: &[u8]| only_error(bytes).to_string();
    assert_eq!(message(&with(70, b"X")), "the batch at offset 3 has a wrong CRC-32C");
    assert_eq!(message(&with(16, &[1])), "the batch at offset 3 has the old format 1");
    assert!(message(&with(8, &(-1i32).to_be_bytes())).ends_with("its length is negative"));
    assert!(message(&with(8, &8i32.to_be_bytes())).ends_with("shorter than its header"));
    // All following batches have the right checksum.
    let many = sealed(with(57, &1_000_000i32.to_be_bytes()));
    assert!(message(&many).ends_with("more records than offsets"));
    let mut many = with(57, &1_000_000i32.to_be_bytes());
    many[23..27].copy_from_slice(&1_000_000i32.to_be_bytes());
    assert!(message(&sealed(many)).ends_with("more records than its bytes can hold"));
    let unknown = sealed(with(21, &[0, 7]));
    let batch = RecordBatches::new(&unknown).next().expect("a batch").expect("its header");
    assert_eq!(
        batch.codec().expect_err("no such codec").to_string(),
        "the batch at offset 3: codec 7 is unknown"
    );
}

#[test]
fn marks_and_times_of_the_broker_are_told_apart() {
    let mut bytes = in_log(&batch_of(&[b"x"]), &FACTS, 0);
    bytes[22] = 0x38;
    bytes[35..43].copy_from_slice(&9i64.to_be_bytes());
    let bytes = sealed(bytes);
    let batch = RecordBatches::new(&bytes).next().expect("a batch").expect("its header");
    assert!(batch.is_control && batch.is_transactional && batch.is_append_time);
    let record = batch.records(batch.raw()).next().expect("a record").expect("readable");
    assert_eq!(record.timestamp_ms, 9);
    assert_eq!((batch.timestamp_ms, batch.leader_epoch), (FACTS.timestamp_ms, -1));
    assert_eq!((batch.base_sequence, batch.next_offset), (-1, 1));
}
