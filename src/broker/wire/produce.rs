//! Bodies of Produce, versions 3 to 12, for batches of different partitions.
//!
//! Source: the message definitions of Kafka, KIP-98 (record batches), KIP-951 (hints from version 10 on). Version 13
//! names topics by id, which Produce does not need.

use std::collections::BTreeMap;

use bytes::BufMut;

use super::batch::{BatchError, BatchFacts, BatchMemory, BatchSizes, PreparedBatch};
use super::errors::KafkaError;
use super::hints::{Endpoint, LeaderHint, endpoints, leader_hint};
use super::primitives::{WireError, WireReader, WireWriter};
use super::versions::Api;
use crate::base::{Offset, PartitionId};
use crate::broker::protocol::{Produce, Response};
use crate::plan::{Acks, Compression};

/// The first version in which brokers take zstd.
const ZSTD_FROM: i16 = 7;

/// The settings of a Produce request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProduceContext<'a> {
    /// The topic's name.
    pub(crate) topic: &'a str,
    /// Longest wait of the leader for replicas, in milliseconds.
    pub(crate) timeout_ms: i32,
    /// The epoch of an idempotent producer, from InitProducerId.
    pub(crate) producer_epoch: i16,
    /// The time of all records, in milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    /// Compression of the records.
    pub(crate) compression: Compression,
}

/// Why a Produce request cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProduceError {
    /// A field is too large.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The batch cannot be written.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Brokers take zstd from version 7 on (KIP-110), and give it from Fetch 10 on.
    #[error("zstd needs version {ZSTD_FROM} of Produce, and {0} is spoken")]
    Zstd(i16),
}

/// Writes the body of a Produce request with these batches, at least one, which have the same acks and are of different
/// partitions, and says how large the batches are together. With [`Acks::None`] a broker does not answer it.
///
/// # Errors
/// See [`ProduceError`].
pub(crate) fn put_produce(
    out: &mut Vec<u8>,
    version: i16,
    batches: &[Box<Produce>],
    context: &ProduceContext<'_>,
    memory: &mut BatchMemory,
) -> Result<BatchSizes, ProduceError> {
    let flexible = Api::Produce.is_flexible(version);
    if context.compression == Compression::Zstd && version < ZSTD_FROM {
        return Err(ProduceError::Zstd(version));
    }
    out.put_text(None, flexible, "transactional id")?;
    out.put_i16(match batches.first().map_or(Acks::None, |first| first.acks) {
        Acks::None => 0,
        Acks::Leader => 1,
        Acks::All => -1,
    });
    out.put_i32(context.timeout_ms);
    out.put_count(1, flexible, "topics")?;
    out.put_text(Some(context.topic), flexible, "topic name")?;
    out.put_count(batches.len(), flexible, "partitions")?;
    let mut sizes = BatchSizes::default();
    for produce in batches {
        let facts = BatchFacts {
            timestamp_ms: context.timestamp_ms,
            producer: produce.sequence.map(|(id, first)| (id, context.producer_epoch, first)),
            compression: context.compression,
        };
        let batch = PreparedBatch::new(produce.batch(), &facts, memory)?;
        out.put_u32(produce.partition.0);
        out.put_count(batch.size(), flexible, "records")?;
        batch.put(out);
        out.put_no_tags(flexible);
        let BatchSizes { bytes, uncompressed } = batch.sizes();
        (sizes.bytes, sizes.uncompressed) =
            (sizes.bytes + bytes, sizes.uncompressed + uncompressed);
    }
    // Of the topic and the request.
    (0..2).for_each(|_| out.put_no_tags(flexible));
    Ok(sizes)
}

/// The response of a broker to a Produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceAnswers {
    /// For each batch, in the order in which they were asked for.
    pub(crate) partitions: Vec<ProduceAnswer>,
    /// Addresses of leaders that are named.
    pub(crate) endpoints: Vec<Endpoint>,
    /// For how long a quota holds the client's requests back, in milliseconds.
    pub(crate) throttle_ms: i32,
}

/// The response of a broker to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceAnswer {
    /// The partition of the batch.
    pub(crate) partition: PartitionId,
    /// Why the batch was refused, if it was.
    pub(crate) error: Option<KafkaError>,
    /// Message of the error (from version 8 on).
    pub(crate) message: Option<String>,
    /// Offset of the batch's first record; -1 where the broker does not know it.
    pub(crate) base_offset: i64,
    /// Time of the append, in milliseconds since 1970; -1 with CreateTime.
    pub(crate) append_time_ms: i64,
    /// The first offset of the log (from version 5 on); -1 where that is not known.
    pub(crate) log_start_offset: i64,
    /// The partition's leader, if it is another broker (from version 10 on).
    pub(crate) leader: Option<LeaderHint>,
}

impl ProduceAnswer {
    /// As the answer to the batch of this number. A batch that an earlier try has appended counts as appended.
    pub(crate) fn response(&self, number: u64) -> Response {
        let result = match self.error {
            Some(error) if !error.is_duplicate() => Err(error.of_partition()),
            _ => Ok(Offset(self.base_offset)),
        };
        Response::Produce(number, result)
    }
}

/// Reads the body of a Produce response. A broker may answer the batches in any order.
///
/// # Errors
/// The bytes are not the answer to a batch for each partition of `topic` in `asked`, which are all different.
pub(crate) fn produced(
    body: &[u8],
    version: i16,
    topic: &str,
    asked: impl ExactSizeIterator<Item = PartitionId>,
) -> Result<ProduceAnswers, WireError> {
    let flexible = Api::Produce.is_flexible(version);
    let mut reader = WireReader::new(body);
    if reader.count(flexible, 1, "topics")? != Some(1) {
        return Err(WireError::Malformed("the number of topics"));
    }
    if reader.string(flexible, "a topic name")? != topic {
        return Err(WireError::Malformed("the topic of a produce response"));
    }
    if reader.count(flexible, 1, "partitions")? != Some(asked.len()) {
        return Err(WireError::Malformed("the number of partitions"));
    }
    let mut by_partition = BTreeMap::new();
    for _ in 0..asked.len() {
        let answer = partition(&mut reader, version)?;
        by_partition.insert(answer.partition, answer);
    }
    reader.skip_tags(flexible)?;
    let throttle_ms = reader.i32("a throttle time")?;
    let mut named = Vec::new();
    reader.tags(flexible, |tag, value| {
        if tag == 0 && version >= 10 {
            named = endpoints(value)?;
        }
        Ok(())
    })?;
    // There are as many answers as batches: one that is there twice, or is for another partition, leaves a batch without.
    let taken: Option<Vec<_>> = asked.map(|asked| by_partition.remove(&asked)).collect();
    let partitions = taken.ok_or(WireError::Malformed("the partitions of a produce response"))?;
    Ok(ProduceAnswers { partitions, endpoints: named, throttle_ms })
}

/// Bytes of the smallest record error: an index, a null message.
const RECORD_ERROR_BYTES_MIN: usize = 5;

fn partition(reader: &mut WireReader<'_>, version: i16) -> Result<ProduceAnswer, WireError> {
    let flexible = Api::Produce.is_flexible(version);
    let index = reader.i32("a partition")?;
    let index = u32::try_from(index).map_err(|_| WireError::Malformed("a partition"))?;
    let error = KafkaError::of(reader.i16("an error")?);
    let base_offset = reader.i64("an offset")?;
    let append_time_ms = reader.i64("an append time")?;
    let log_start_offset = if version >= 5 { reader.i64("a start offset")? } else { -1 };
    let mut message = None;
    if version >= 8 {
        let least = RECORD_ERROR_BYTES_MIN;
        let count = reader.count(flexible, least, "record errors")?.unwrap_or_default();
        let mut of_record = None;
        for _ in 0..count {
            reader.i32("the index of a record")?;
            of_record = of_record.or(reader.nullable_string(flexible, "a message")?);
            reader.skip_tags(flexible)?;
        }
        message = reader.nullable_string(flexible, "a message")?.or(of_record);
    }
    let mut leader = None;
    reader.tags(flexible, |tag, value| {
        if tag == 0 && version >= 10 {
            leader = Some(leader_hint(value)?);
        }
        Ok(())
    })?;
    Ok(ProduceAnswer {
        partition: PartitionId(index),
        error,
        message: message.map(str::to_owned),
        base_offset,
        append_time_ms,
        log_start_offset,
        leader,
    })
}
