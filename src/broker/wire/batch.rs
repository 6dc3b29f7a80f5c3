//! Writes record batches of version 2 (magic 2) from a batch of payloads.
//!
//! Source: "Record Batch" of Kafka's protocol guide, KIP-98. Payloads are values without key and headers, or packed
//! records with them; all have the timestamp of their batch.

use bytes::BufMut;

use super::compression::{CompressionError, compress, number_of};
use super::primitives::{WireWriter, varint_size};
use crate::broker::protocol::{Batch, StampedPayloads};
use crate::plan::Compression;

/// The record batches of this format.
pub(super) const MAGIC: i8 = 2;
/// Start of the part that a batch's length counts: after the length itself.
pub(super) const COUNTED_FROM: usize = 12;
/// Position of the checksum, and start of the part that it covers.
pub(super) const CHECKSUM_AT: usize = 17;
pub(super) const CHECKED_FROM: usize = 21;
/// Bytes of a batch before its records.
pub(super) const HEADER_BYTES: usize = 61;
/// The codec in a batch's attributes.
pub(super) const CODEC_BITS: i16 = 0b111;

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchFacts {
    /// The time of all records, in milliseconds since 1970 (CreateTime).
    pub(crate) timestamp_ms: i64,
    /// Of an idempotent producer: its id, its epoch, and the sequence of the first record, counted from 0 without end.
    pub(crate) producer: Option<(i64, i16, u64)>,
    /// Compression of the records.
    pub(crate) compression: Compression,
}

/// Why a batch cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// The batch has no records; brokers refuse such a batch.
    #[error("a batch without records")]
    Empty,
    /// The batch has payloads, and stamps without payloads.
    #[error("a batch of payloads and stamps")]
    Mixed,
    /// The ends of its payloads do not ascend, or pass the end of its bytes.
    #[error("record {0} ends outside of its batch")]
    Ends(usize),
    /// The batch has more bytes than 31 bits can count.
    #[error("a batch of {0} bytes")]
    TooLarge(usize),
    /// The records could not be compressed.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

/// The sequence as a batch has it: after the largest number of 31 bits, 0 follows.
pub(crate) fn wire_sequence(sequence: u64) -> i32 {
    (sequence & u64::from(i32::MAX as u32)) as i32
}

/// Memory for batches that are compressed, used again for each.
#[derive(Debug, Default)]
pub(crate) struct BatchMemory {
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

/// A batch whose size is known before it is written.
#[derive(Debug)]
pub(crate) struct PreparedBatch<'a> {
    batch: &'a Batch,
    facts: &'a BatchFacts,
    count: i32,
    /// The records, if they are compressed.
    compressed: Option<&'a [u8]>,
    /// Number of bytes, header included.
    size: usize,
    /// The same without compression.
    plain_size: usize,
}

/// Bytes of a batch, header included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchSizes {
    /// As it is written.
    pub(crate) bytes: u64,
    /// Without compression.
    pub(crate) uncompressed: u64,
}

impl<'a> PreparedBatch<'a> {
    /// Checks a batch, and compresses the records where a codec is given.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub(crate) fn new(
        batch: &'a Batch,
        facts: &'a BatchFacts,
        memory: &'a mut BatchMemory,
    ) -> Result<PreparedBatch<'a>, BatchError> {
        let too_large = |_| BatchError::TooLarge(batch.bytes.len());
        let count = i32::try_from(batch.len()).map_err(too_large)?;
        if count == 0 {
            return Err(BatchError::Empty);
        }
        if !batch.ends.is_empty() && !batch.stamped.records.is_empty() {
            return Err(BatchError::Mixed);
        }
        let plain_size = records_size(batch)? + stamped_size(batch)?;
        let compressed = match facts.compression {
            Compression::None => None,
            codec => {
                memory.plain.clear();
                memory.compressed.clear();
                put_records(&mut memory.plain, batch);
                compress(codec, &memory.plain, &mut memory.compressed)?;
                Some(&memory.compressed[..])
            }
        };
        let size = HEADER_BYTES + compressed.map_or(plain_size, <[u8]>::len);
        i32::try_from(size).map_err(too_large)?;
        let plain_size = HEADER_BYTES + plain_size;
        Ok(PreparedBatch { batch, facts, count, compressed, size, plain_size })
    }

    /// Number of bytes that [`put`](Self::put) writes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The same number, and that of the batch without compression.
    pub(crate) fn sizes(&self) -> BatchSizes {
        BatchSizes { bytes: self.size as u64, uncompressed: self.plain_size as u64 }
    }

    /// Appends the batch to `out`.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(self.size);
        out.put_i64(0);
        out.put_i32((self.size - COUNTED_FROM) as i32);
        // The leader epoch is the broker's to write.
        out.put_i32(-1);
        out.put_i8(MAGIC);
        // The checksum is filled in below.
        out.put_u32(0);
        out.put_i16(i16::from(number_of(self.facts.compression)));
        out.put_i32(self.count - 1);
        out.put_i64(self.facts.timestamp_ms);
        out.put_i64(self.facts.timestamp_ms);
        let (id, epoch, sequence) = match self.facts.producer {
            Some((id, epoch, sequence)) => (id, epoch, wire_sequence(sequence)),
            None => (-1, -1, -1),
        };
        out.put_i64(id);
        out.put_i16(epoch);
        out.put_i32(sequence);
        out.put_i32(self.count);
        match self.compressed {
            Some(records) => out.put_slice(records),
            None => put_records(out, self.batch),
        }
        let written = &mut out[start..];
        let checksum = crc32c::crc32c(&written[CHECKED_FROM..]);
        written[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Attributes, timestamp delta, the key that is null, and the number of headers: one byte each.
const RECORD_FIXED_BYTES: usize = 4;

/// Attributes and timestamp delta.
const PACKED_FIXED_BYTES: usize = 2;

/// Number of bytes of a record after its length.
fn record_size(index: usize, payload: usize, is_packed: bool) -> usize {
    match is_packed {
        true => PACKED_FIXED_BYTES + varint_size(index as i32) + payload,
        false => {
            RECORD_FIXED_BYTES + varint_size(index as i32) + varint_size(payload as i32) + payload
        }
    }
}

/// Number of bytes of all records, whose ends are checked.
fn records_size(batch: &Batch) -> Result<usize, BatchError> {
    let (mut begin, mut total) = (0, 0usize);
    for (index, end) in batch.ends.iter().enumerate() {
        let end = *end as usize;
        if end < begin || end > batch.bytes.len() {
            return Err(BatchError::Ends(index));
        }
        let size = record_size(index, end - begin, batch.is_packed);
        let length = i32::try_from(size).map_err(|_| BatchError::TooLarge(size))?;
        total += varint_size(length) + size;
        begin = end;
    }
    Ok(total)
}

/// Number of bytes of all records whose payloads are not made yet.
fn stamped_size(batch: &Batch) -> Result<usize, BatchError> {
    let (count, payload) = (batch.stamped.records.len(), batch.stamped.payload_bytes());
    let (mut total, mut index) = (0, 0);
    while index < count {
        let size = record_size(index, payload, false);
        let length = i32::try_from(size).map_err(|_| BatchError::TooLarge(size))?;
        // The next records, whose index takes as many bytes, have the same size.
        let end = (1 << (7 * varint_size(index as i32) - 1)).min(count);
        total += (varint_size(length) + size) * (end - index);
        index = end;
    }
    Ok(total)
}

fn put_records(out: &mut Vec<u8>, batch: &Batch) {
    if !batch.stamped.records.is_empty() {
        return put_stamped(out, &batch.stamped);
    }
    let mut begin = 0;
    for (index, end) in batch.ends.iter().enumerate() {
        let payload = &batch.bytes[begin..*end as usize];
        begin = *end as usize;
        if batch.is_packed {
            put_record_head(out, index, payload.len(), true);
            out.put_slice(payload);
        } else {
            put_value(out, index, payload.len(), |out| out.put_slice(payload));
        }
    }
}

/// Writes a record up to its key: length, attributes, timestamp delta, offset delta.
#[inline]
fn put_record_head(out: &mut Vec<u8>, index: usize, payload: usize, is_packed: bool) {
    out.put_varint(record_size(index, payload, is_packed) as i32);
    // Attributes and timestamp delta are 0.
    out.put_slice(&[0, 0]);
    out.put_varint(index as i32);
}

/// Writes a record that is only a value of `payload` bytes, which `put` writes.
#[inline]
fn put_value(out: &mut Vec<u8>, index: usize, payload: usize, put: impl FnOnce(&mut Vec<u8>)) {
    put_record_head(out, index, payload, false);
    out.put_varint(-1);
    out.put_varint(payload as i32);
    put(out);
    out.put_varint(0);
}

/// Makes the payloads where they are written, so that no other memory is needed for them.
fn put_stamped(out: &mut Vec<u8>, payloads: &StampedPayloads) {
    let payload_bytes = payloads.payload_bytes();
    for (index, record) in payloads.records.iter().enumerate() {
        put_value(out, index, payload_bytes, |out| payloads.append_payload(record, out));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{FillerRing, PartitionId, ProducerId, RunId, STAMP_BYTES, Seed, Stamp, Time};

    const FACTS: BatchFacts =
        BatchFacts { timestamp_ms: 1_000, producer: None, compression: Compression::None };

    #[test]
    fn the_bytes_of_a_batch_are_those_of_the_protocol_guide() {
        let mut batch = Batch::default();
        batch.push(b"ab");
        batch.push(b"");
        let facts = BatchFacts { producer: Some((7, 3, (1 << 31) + 5)), ..FACTS };
        let mut out = vec![9];
        let mut memory = BatchMemory::default();
        let prepared = PreparedBatch::new(&batch, &facts, &mut memory).expect("a batch");
        prepared.put(&mut out);
        assert_eq!(out.len(), 1 + prepared.size());
        let expected: Vec<u8> = [
            &[9][..],
            &[0; 8],
            &[0, 0, 0, 49 + 9 + 7],
            &[255, 255, 255, 255, 2],
            &out[18..22],
            &[0, 0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 3, 232],
            &[0, 0, 0, 0, 0, 0, 3, 232],
            &[0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 0, 0, 0, 5, 0, 0, 0, 2],
            &[16, 0, 0, 0, 1, 4, b'a', b'b', 0],
            &[12, 0, 0, 2, 1, 0, 0],
        ]
        .concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let prepare = |batch: &Batch| {
            let mut memory = BatchMemory::default();
            PreparedBatch::new(batch, &FACTS, &mut memory).map(|prepared| prepared.size())
        };
        assert_eq!(prepare(&Batch::default()), Err(BatchError::Empty));
        let outside = Batch { bytes: vec![0; 4], ends: vec![2, 5], ..Batch::default() };
        assert_eq!(prepare(&outside), Err(BatchError::Ends(1)));
        let descending = Batch { bytes: vec![0; 4], ends: vec![2, 1], ..Batch::default() };
        assert_eq!(prepare(&descending), Err(BatchError::Ends(1)));
        let mut mixed = Batch::default();
        mixed.push(b"a");
        let ring = Arc::new(FillerRing::new(STAMP_BYTES, 1, Seed(1)));
        let (producer, partition) = (ProducerId(0), PartitionId(0));
        let (run, sequence, intended, sent) = (RunId(1), 0, Time(0), Time(0));
        let stamp = Stamp { run, producer, partition, sequence, intended, sent };
        mixed.stamped.push(&stamp, &ring, 0);
        assert_eq!(prepare(&mixed), Err(BatchError::Mixed));
    }

    #[test]
    fn sequences_wrap_as_kafka_does() {
        let largest = i32::MAX as u64;
        assert_eq!(wire_sequence(largest), i32::MAX);
        assert_eq!(wire_sequence(largest + 1), 0);
    }
}
