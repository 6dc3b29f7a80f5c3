//! The stamp of a record: its binary format at the beginning of a payload, writing and checking it. Also sizes of
//! records and batches on the wire.
//!
//! Layout of the stamp, little endian, [`STAMP_BYTES`] in all; filler follows up to the payload's size:
//!
//! | bytes | field |
//! |---|---|
//! | 0..2 | magic `LK` |
//! | 2 | format version, 3 |
//! | 3 | reserved, 0 |
//! | 4..8 | lower half of XXH3 (64 bits) of bytes 8.. to the end of the payload |
//! | 8..16 | lane sequence, counted from 0 per producer and partition |
//! | 16..24 | intended send time, ns since the run's epoch |
//! | 24..32 | actual send time, ns since the run's epoch |
//! | 32..36 | producer |
//! | 36..40 | partition |
//! | 40..48 | run id |
//!
//! The fields that are equal in all records of a partition are last, next to the filler. A log that stores common
//! endings once then needs less memory.
//!
//! The checksum covers the key as well: the hash of the key is the seed of the payload's hash. A value from a schema, a
//! template or a file has no room for a stamp. Then the stamp is the value of the header [`STAMP_HEADER`], and its
//! checksum covers key, value and stamp, in this order.
//!
//! A client compares a record's size with `message.max.bytes`. A broker compares it with the limit of its topic
//! (`max.message.bytes`).

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use serde::{Deserialize, Serialize};

use super::record_view::{RecordView, STAMP_HEADER};
use super::{PartitionId, ProducerId, RunId, Time};

/// Size of a stamp in bytes, and the smallest payload.
pub const STAMP_BYTES: usize = 48;

/// Magic, version, and the reserved byte.
const MARK: [u8; 4] = [b'L', b'K', 3, 0];
/// Offset of the first byte that the checksum covers.
const BODY: usize = 8;

/// The contents of a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The run that sent it.
    pub run: RunId,
    /// The producer that sent it.
    pub producer: ProducerId,
    /// The partition it was sent to.
    pub partition: PartitionId,
    /// The sequence in its lane (producer x partition).
    pub sequence: u64,
    /// The send time of the schedule.
    pub intended: Time,
    /// The time at which the record was handed to the client.
    pub sent: Time,
}

/// The result of checking a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampCheck {
    /// An intact record of this run.
    Intact(Stamp),
    /// A record with the magic whose bytes are not those that were sent.
    Corrupt,
    /// An intact record of another run of lanekeeper.
    OtherRun(Stamp),
    /// A record of another program.
    OtherProducer,
}

/// Writes `stamp` over the first [`STAMP_BYTES`] of `payload`, with a checksum of all bytes after it. The rest of
/// `payload` is the filler, which does not change.
///
/// # Panics
/// `payload` is shorter than a stamp. The plan refuses such a scenario.
pub fn write_payload(stamp: &Stamp, payload: &mut [u8]) {
    write_keyed(stamp, None, payload);
}

/// The same as [`write_payload`] for a record with this key.
fn write_keyed(stamp: &Stamp, key: Option<&[u8]>, payload: &mut [u8]) {
    assert!(payload.len() >= STAMP_BYTES, "payload of {} bytes", payload.len());
    // The checksum reads words of eight bytes. Store-to-load forwarding is only fast if a single write has stored a
    // whole word.
    let lane = u64::from(stamp.partition.0) << 32 | u64::from(stamp.producer.0);
    write_fields(stamp, lane, payload);
    let checksum = checksum(payload, seed_of(key));
    seal(payload, checksum);
}

/// Writes the fields of a stamp without its mark and checksum.
#[inline]
fn write_fields(stamp: &Stamp, lane: u64, payload: &mut [u8]) {
    payload[8..16].copy_from_slice(&stamp.sequence.to_le_bytes());
    payload[16..24].copy_from_slice(&stamp.intended.0.to_le_bytes());
    payload[24..32].copy_from_slice(&stamp.sent.0.to_le_bytes());
    payload[32..40].copy_from_slice(&lane.to_le_bytes());
    payload[40..48].copy_from_slice(&stamp.run.0.to_le_bytes());
}

#[inline]
fn seal(payload: &mut [u8], checksum: u32) {
    payload[0..4].copy_from_slice(&MARK);
    payload[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Stamps a record with a key and a value. Without `header` the stamp is in the value. Otherwise it is in `header`, the
/// value of the header [`STAMP_HEADER`].
///
/// # Panics
/// `header` is missing and the value is shorter than a stamp. The plan refuses such a scenario.
pub fn stamp_parts(
    stamp: &Stamp,
    key: Option<&[u8]>,
    value: &mut [u8],
    header: Option<&mut [u8; STAMP_BYTES]>,
) {
    let Some(header) = header else { return write_keyed(stamp, key, value) };
    let lane = u64::from(stamp.partition.0) << 32 | u64::from(stamp.producer.0);
    write_fields(stamp, lane, header);
    let checksum = checksum(header, xxh3_64_with_seed(value, seed_of(key)));
    seal(header, checksum);
}

/// Checks a record in place. Its stamp is in the value or in a header.
#[inline]
pub fn verify_record(record: &RecordView<'_>, run: RunId) -> StampCheck {
    match record.is_plain() {
        true => verify(record.value, run),
        false => verify_parts(record, run),
    }
}

fn verify_parts(record: &RecordView<'_>, run: RunId) -> StampCheck {
    let seed = seed_of(record.key);
    match record.headers.get(STAMP_HEADER) {
        Some(stamp) if stamp.len() == STAMP_BYTES => {
            verify_seeded(stamp, xxh3_64_with_seed(record.value, seed), run)
        }
        _ => verify_seeded(record.value, seed, run),
    }
}

/// Checks a payload in place.
pub fn verify(payload: &[u8], run: RunId) -> StampCheck {
    verify_seeded(payload, 0, run)
}

#[inline]
fn verify_seeded(payload: &[u8], seed: u64, run: RunId) -> StampCheck {
    if payload.len() < STAMP_BYTES || payload[0..4] != MARK {
        return StampCheck::OtherProducer;
    }
    if checksum(payload, seed) != u32::from_le_bytes(bytes(payload, 4)) {
        return StampCheck::Corrupt;
    }
    let stamp = Stamp {
        run: RunId(u64::from_le_bytes(bytes(payload, 40))),
        producer: ProducerId(u32::from_le_bytes(bytes(payload, 32))),
        partition: PartitionId(u32::from_le_bytes(bytes(payload, 36))),
        sequence: u64::from_le_bytes(bytes(payload, 8)),
        intended: Time(i64::from_le_bytes(bytes(payload, 16))),
        sent: Time(i64::from_le_bytes(bytes(payload, 24))),
    };
    if stamp.run == run { StampCheck::Intact(stamp) } else { StampCheck::OtherRun(stamp) }
}

/// The send time of a payload that this process has stamped, without a check; `None` if it is too short.
pub fn sent_time(payload: &[u8]) -> Option<Time> {
    (payload.len() >= STAMP_BYTES).then(|| Time(i64::from_le_bytes(bytes(payload, 24))))
}

/// The lower half of XXH3 of the bytes of `payload` that the checksum covers. XXH3 without a seed has the seed 0.
#[inline]
fn checksum(payload: &[u8], seed: u64) -> u32 {
    let hash = match seed {
        0 => xxh3_64(&payload[BODY..]),
        seed => xxh3_64_with_seed(&payload[BODY..], seed),
    };
    hash as u32
}

/// The seed of the checksum for a key; 0 without a key.
#[inline]
fn seed_of(key: Option<&[u8]>) -> u64 {
    key.map_or(0, xxh3_64)
}

fn bytes<const N: usize>(payload: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&payload[at..at + N]);
    out
}

/// Default of librdkafka's `message.max.bytes`.
pub const CLIENT_MESSAGE_BYTES: u64 = 1_000_000;

/// Bytes that librdkafka adds to a payload before it compares: the longest fields of a record
/// (`RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`: length 5, attributes 1, time 10, offset 5, key 5, value 5, headers 5).
const CLIENT_OVERHEAD: u64 = 36;

/// The header of a record batch, format version 2: base offset, length, leader epoch, magic, checksum, attributes,
/// offset delta, two times, producer id and epoch, sequence and count.
const BATCH_HEADER: u64 = 61;

/// The largest payload that a client accepts with this `message.max.bytes`.
pub fn client_payload_max(message_bytes: u64) -> u64 {
    message_bytes.saturating_sub(CLIENT_OVERHEAD)
}

/// Bytes of a record batch, format version 2, with one record of this payload, uncompressed.
pub fn batch_bytes(payload: u64) -> u64 {
    // Attributes, time and offset deltas, no key, the payload with its length, no headers.
    let record = 4 + varint_bytes(payload) + payload + 1;
    BATCH_HEADER + varint_bytes(record) + record
}

/// The largest payload whose batch has at most this many bytes.
pub fn batch_payload_max(bytes: u64) -> u64 {
    let mut payload = bytes.saturating_sub(batch_bytes(0));
    // Lengths may take one more byte, so a few steps down are enough.
    while payload > 0 && batch_bytes(payload) > bytes {
        payload -= 1;
    }
    payload
}

/// Bytes of a length as VARINT: seven bits per byte, one of them for the sign.
fn varint_bytes(length: u64) -> u64 {
    let bits = u64::from(u64::BITS - length.leading_zeros()) + 1;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Headers, put_header};

    fn stamp() -> Stamp {
        Stamp {
            run: RunId(0xfeed),
            producer: ProducerId(1023),
            partition: PartitionId(17),
            sequence: 1 << 40,
            intended: Time(-5),
            sent: Time(123_456_789),
        }
    }

    #[test]
    fn a_stamp_survives_its_byte_form() {
        let mut payload = vec![0xab; 100];
        write_payload(&stamp(), &mut payload);
        assert_eq!(verify(&payload, RunId(0xfeed)), StampCheck::Intact(stamp()));
    }

    #[test]
    fn any_flipped_bit_behind_the_magic_is_corrupt() {
        let mut payload = vec![0xab; 60];
        write_payload(&stamp(), &mut payload);
        for byte in 4..payload.len() {
            for bit in 0..8 {
                payload[byte] ^= 1 << bit;
                assert_eq!(verify(&payload, RunId(0xfeed)), StampCheck::Corrupt, "byte {byte}");
                payload[byte] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn a_stamp_covers_key_and_value_in_the_value_and_in_a_header() {
        let run = RunId(0xfeed);
        for (key, has_header) in [(Some(&b"k-1"[..]), false), (Some(b""), true), (None, true)] {
            let mut value = vec![0xab; 60];
            let mut header = [0; STAMP_BYTES];
            stamp_parts(&stamp(), key, &mut value, has_header.then_some(&mut header));
            let mut headers = Vec::new();
            if has_header {
                put_header(&mut headers, "of another program", None);
                put_header(&mut headers, STAMP_HEADER, Some(&header));
            }
            let headers = Headers::written(&headers);
            let record = RecordView { key, value: &value, headers, timestamp_ms: Some(1) };
            assert_eq!(verify_record(&record, run), StampCheck::Intact(stamp()));
            // The checksum covers the key, and the absence of a key.
            for other in [Some(&b"k-2"[..]), Some(b"k"), None].into_iter().filter(|it| *it != key) {
                let other = RecordView { key: other, ..record };
                assert_eq!(verify_record(&other, run), StampCheck::Corrupt, "{other:?}");
            }
            for byte in 4..value.len() {
                let mut value = value.clone();
                value[byte] ^= 4;
                let other = RecordView { value: &value, ..record };
                assert_eq!(verify_record(&other, run), StampCheck::Corrupt, "byte {byte}");
            }
        }
    }

    #[test]
    fn another_run_is_named_and_other_programs_are_other_producers() {
        let mut payload = vec![0; 100];
        write_payload(&stamp(), &mut payload);
        assert_eq!(verify(&payload, RunId(1)), StampCheck::OtherRun(stamp()));
        assert_eq!(verify(b"hello", RunId(1)), StampCheck::OtherProducer);
        assert_eq!(verify(&[b'x'; 100], RunId(1)), StampCheck::OtherProducer);
    }

    #[test]
    fn a_batch_has_a_header_and_lengths() {
        // One record without a payload: 61 bytes, and one byte each for length, attributes, time, offset, key, value
        // and headers.
        assert_eq!(batch_bytes(0), 68);
        assert_eq!(batch_bytes(63), 68 + 63 + 1);
        assert_eq!(batch_bytes(64), 68 + 64 + 2);
        assert_eq!(batch_bytes(999_964), 999_964 + 61 + 11);
    }

    #[test]
    fn the_largest_payload_is_the_largest() {
        for bytes in [68, 69, 132, 133, 134, 1_000, 1_048_588, 5 << 20] {
            let largest = batch_payload_max(bytes);
            assert!(batch_bytes(largest) <= bytes, "{bytes}");
            assert!(batch_bytes(largest + 1) > bytes, "{bytes}");
        }
        assert_eq!(batch_payload_max(10), 0);
        assert_eq!(batch_payload_max(1_048_588), 1_048_516);
        assert_eq!(client_payload_max(CLIENT_MESSAGE_BYTES), 999_964);
    }
}
