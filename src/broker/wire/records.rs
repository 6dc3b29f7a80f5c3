//! Reads record batches of version 2 out of fetched bytes: batch by batch, and record by record without memory of its
//! own.
//!
//! Source: "Record Batch" of Kafka's protocol guide, KIP-98. A fetch cuts the last batch off where its size limit is;
//! the offset that was asked for may be in the middle of the first batch.

use super::batch::{CHECKED_FROM, CODEC_BITS, COUNTED_FROM, HEADER_BYTES, MAGIC};
use super::compression::{CompressionError, codec_of, decompress};
use super::primitives::{WireError, WireReader};
use crate::plan::Compression;

/// Why fetched bytes are not records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordsError {
    /// A batch of the formats before Kafka 0.11, which brokers before 4.0 may still have.
    #[error("the batch at offset {offset} has the old format {magic}")]
    OldFormat {
        /// Offset of its first record.
        offset: i64,
        /// The magic byte.
        magic: i8,
    },
    /// The checksum of a batch is not that of its bytes.
    #[error("the batch at offset {0} has a wrong CRC-32C")]
    Checksum(i64),
    /// A batch's header contradicts itself.
    #[error("the batch at offset {offset}: {what}")]
    Header {
        /// Offset of its first record.
        offset: i64,
        /// The error.
        what: &'static str,
    },
    /// A record of a batch is not readable.
    #[error("a record in the batch at offset {offset}: {error}")]
    Record {
        /// Offset of the batch's first record.
        offset: i64,
        /// The error.
        error: WireError,
    },
    /// The records of a batch cannot be decompressed.
    #[error("the batch at offset {offset}: {error}")]
    Compression {
        /// Offset of its first record.
        offset: i64,
        /// The error.
        error: CompressionError,
    },
}

/// The batches in the records of a fetched partition. Ends at the first that is damaged, or cut off.
#[derive(Clone, Debug)]
pub(crate) struct RecordBatches<'a> {
    rest: &'a [u8],
}

impl<'a> RecordBatches<'a> {
    /// The batches in `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> RecordBatches<'a> {
        RecordBatches { rest: bytes }
    }

    /// The next batch; `None` where the bytes end or are cut off.
    fn read(&mut self) -> Result<Option<RecordBatch<'a>>, RecordsError> {
        let mut reader = WireReader::new(self.rest);
        let (Ok(base_offset), Ok(length)) = (reader.i64("an offset"), reader.i32("a length"))
        else {
            return Ok(None);
        };
        let header = |what| RecordsError::Header { offset: base_offset, what };
        let length = usize::try_from(length).map_err(|_| header("its length is negative"))?;
        // Both formats have the magic byte at the same place, so it is looked at before anything else.
        let Some((bytes, rest)) = self.rest.split_at_checked(COUNTED_FROM.saturating_add(length))
        else {
            return Ok(None);
        };
        self.rest = rest;
        let batch = RecordBatch::read(base_offset, bytes)?;
        Ok(Some(batch))
    }
}

impl<'a> Iterator for RecordBatches<'a> {
    type Item = Result<RecordBatch<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.rest = &[];
        }
        next
    }
}

/// A batch whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordBatch<'a> {
    /// Offset of its first record.
    pub(crate) base_offset: i64,
    /// The offset after its last record. Compaction may have removed records, the last one too.
    pub(crate) next_offset: i64,
    /// Epoch of the leader that appended it; -1 where that is not known.
    pub(crate) leader_epoch: i32,
    /// Time of the first record, in milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    /// The largest time of a record; with log append time, the time of all.
    pub(crate) max_timestamp_ms: i64,
    /// The producer's id; -1 without idempotence.
    pub(crate) producer_id: i64,
    /// The producer's epoch; -1 without idempotence.
    pub(crate) producer_epoch: i16,
    /// The sequence of the first record; -1 without idempotence.
    pub(crate) base_sequence: i32,
    /// Whether it belongs to a transaction.
    pub(crate) is_transactional: bool,
    /// Whether it is the mark at the end of a transaction: its records are no data.
    pub(crate) is_control: bool,
    /// Whether the broker gave the records their time (`LogAppendTime`).
    pub(crate) is_append_time: bool,
    /// Number of records.
    pub(crate) count: usize,
    codec: u8,
    records: &'a [u8],
}

/// Bytes of the smallest record: its length, attributes, two deltas, two lengths and the number of headers.
const RECORD_BYTES_MIN: usize = 7;

impl<'a> RecordBatch<'a> {
    /// Reads the batch that `bytes` is from the first to the last byte.
    fn read(base_offset: i64, bytes: &'a [u8]) -> Result<RecordBatch<'a>, RecordsError> {
        let header = |what| RecordsError::Header { offset: base_offset, what };
        let short = |_| header("it is shorter than its header");
        let mut reader = WireReader::new(bytes);
        reader.take(COUNTED_FROM, "").map_err(short)?;
        let leader_epoch = reader.i32("").map_err(short)?;
        let magic = reader.i8("").map_err(short)?;
        if magic != MAGIC {
            return Err(RecordsError::OldFormat { offset: base_offset, magic });
        }
        let checksum = reader.u32("").map_err(short)?;
        if bytes.len() < HEADER_BYTES {
            return Err(header("it is shorter than its header"));
        }
        if crc32c::crc32c(&bytes[CHECKED_FROM..]) != checksum {
            return Err(RecordsError::Checksum(base_offset));
        }
        let attributes = reader.i16("").map_err(short)?;
        let last_delta = reader.i32("").map_err(short)?;
        let timestamp_ms = reader.i64("").map_err(short)?;
        let max_timestamp_ms = reader.i64("").map_err(short)?;
        let producer_id = reader.i64("").map_err(short)?;
        let producer_epoch = reader.i16("").map_err(short)?;
        let base_sequence = reader.i32("").map_err(short)?;
        let count = reader.i32("").map_err(short)?;
        let count = usize::try_from(count).map_err(|_| header("its count is negative"))?;
        if last_delta < 0 || base_offset < 0 {
            return Err(header("its offsets are negative"));
        }
        if count > last_delta as usize + 1 {
            return Err(header("it has more records than offsets"));
        }
        let next_offset = base_offset.checked_add(i64::from(last_delta) + 1);
        let batch = RecordBatch {
            base_offset,
            next_offset: next_offset.ok_or_else(|| header("its offsets are too large"))?,
            leader_epoch,
            timestamp_ms,
            max_timestamp_ms,
            producer_id,
            producer_epoch,
            base_sequence,
            is_transactional: attributes & 0x10 != 0,
            is_control: attributes & 0x20 != 0,
            is_append_time: attributes & 0x08 != 0,
            count,
            codec: (attributes & CODEC_BITS) as u8,
            records: reader.rest(),
        };
        if batch.codec == 0 && count > batch.records.len() / RECORD_BYTES_MIN {
            return Err(header("it counts more records than its bytes can hold"));
        }
        Ok(batch)
    }

    /// Compression of the batch.
    ///
    /// # Errors
    /// The codec is unknown.
    pub(crate) fn codec(&self) -> Result<Compression, RecordsError> {
        codec_of(self.codec)
            .map_err(|error| RecordsError::Compression { offset: self.base_offset, error })
    }

    /// The bytes of its records as they came, compressed or not.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.records
    }

    /// Appends its records to `out` without compression, at most `limit` bytes.
    ///
    /// # Errors
    /// The bytes are damaged, or more comes out. `out` is then as it was.
    pub(crate) fn decompress(&self, limit: usize, out: &mut Vec<u8>) -> Result<(), RecordsError> {
        decompress(self.codec()?, self.records, limit, out)
            .map_err(|error| RecordsError::Compression { offset: self.base_offset, error })
    }

    /// The records in `plain`, which is [`raw`](Self::raw) or what [`decompress`](Self::decompress) gives.
    pub(crate) fn records<'p>(&self, plain: &'p [u8]) -> BatchRecords<'p> {
        let timestamp_ms = match self.is_append_time {
            true => Err(self.max_timestamp_ms),
            false => Ok(self.timestamp_ms),
        };
        BatchRecords {
            reader: WireReader::new(plain),
            base_offset: self.base_offset,
            next_delta: 0,
            next_offset: self.next_offset,
            timestamp_ms,
            left: self.count,
        }
    }
}

/// A record in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchRecord<'a> {
    /// Offset of the record.
    pub(crate) offset: i64,
    /// Timestamp in milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    /// Key; `None` without one.
    pub(crate) key: Option<&'a [u8]>,
    /// Value; `None` for a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// All of it in the packed form, if it has a key or headers.
    pub(crate) packed: Option<&'a [u8]>,
}

/// The records of a batch. Ends at the first that is not readable, with an error.
#[derive(Clone, Debug)]
pub(crate) struct BatchRecords<'a> {
    reader: WireReader<'a>,
    base_offset: i64,
    /// Offsets ascend; compaction leaves gaps.
    next_delta: i32,
    next_offset: i64,
    /// The time of the first record, or as an error that of all.
    timestamp_ms: Result<i64, i64>,
    left: usize,
}

impl<'a> BatchRecords<'a> {
    fn read(&mut self) -> Result<BatchRecord<'a>, WireError> {
        let length = self.reader.varint("the length of a record")?;
        let length = usize::try_from(length).map_err(|_| WireError::Malformed("a length"))?;
        let mut record = WireReader::new(self.reader.take(length, "a record")?);
        record.i8("attributes")?;
        let timestamp_delta = record.varlong("a timestamp")?;
        let delta = record.varint("an offset")?;
        let offset = self.base_offset.checked_add(i64::from(delta));
        let is_in_batch = |offset: &i64| delta >= self.next_delta && *offset < self.next_offset;
        let Some(offset) = offset.filter(is_in_batch) else {
            return Err(WireError::Malformed("the offset of a record"));
        };
        self.next_delta = delta.saturating_add(1);
        let whole = record.rest();
        let key = nullable(&mut record, "a key")?;
        let value = nullable(&mut record, "a value")?;
        let has_headers = skip_headers(&mut record)? > 0;
        let packed = (key.is_some() || has_headers).then_some(whole);
        let timestamp_ms = match self.timestamp_ms {
            Ok(first) => first.wrapping_add(timestamp_delta),
            Err(all) => all,
        };
        Ok(BatchRecord { offset, timestamp_ms, key, value, packed })
    }
}

impl<'a> Iterator for BatchRecords<'a> {
    type Item = Result<BatchRecord<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.read();
        if read.is_err() {
            self.left = 0;
        }
        let offset = self.base_offset;
        Some(read.map_err(|error| RecordsError::Record { offset, error }))
    }
}

/// Bytes with a VARINT before them that is their length, or -1.
fn nullable<'a>(
    reader: &mut WireReader<'a>,
    what: &'static str,
) -> Result<Option<&'a [u8]>, WireError> {
    match reader.varint(what)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| WireError::Malformed(what))?;
            reader.take(length, what).map(Some)
        }
    }
}

/// Passes over headers, and returns their number; each takes bytes, so a large count ends with them.
fn skip_headers(record: &mut WireReader<'_>) -> Result<i32, WireError> {
    let count = record.varint("headers")?;
    if count < 0 {
        return Err(WireError::Malformed("the number of headers"));
    }
    for _ in 0..count {
        let _ = nullable(record, "a header's key")?.ok_or(WireError::Malformed("a header"))?;
        nullable(record, "a header's value")?;
    }
    if record.remaining() > 0 {
        return Err(WireError::Malformed("the length of a record"));
    }
    Ok(count)
}
