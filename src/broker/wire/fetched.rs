//! Bodies of Fetch responses, versions 4 to 16, and the records in them.
//!
//! Source: the message definitions of Kafka, KIP-951 (hints). Records stay where they are: in the frame, or in memory for
//! decompressed batches that is used again.

use std::collections::BTreeSet;
use std::ops::Range;

use super::compression::CompressionError;
use super::errors::KafkaError;
use super::fetch::FetchContext;
use super::hints::{Endpoint, LeaderHint, endpoints, leader_hint};
use super::primitives::{WireError, WireReader};
use super::records::{RecordBatch, RecordBatches, RecordsError};
use super::versions::{Api, FETCH_BY_NAME_MAX};
use crate::base::PartitionId;
use crate::broker::protocol::{ErrorCode, Fetch, FetchSlot, PACKED, RecordBuffer, Records};

/// A partition in a Fetch response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchedPartition {
    /// Id of the partition.
    pub(crate) partition: PartitionId,
    /// Error of the partition.
    pub(crate) error: Option<KafkaError>,
    /// Why its records could not be read further.
    pub(crate) damage: Option<RecordsError>,
    /// The offset after the last record a consumer may see; -1 with an error.
    pub(crate) high_watermark: i64,
    /// The offset after the last record of a transaction that has ended.
    pub(crate) last_stable_offset: i64,
    /// The first offset of the log (from version 5 on); -1 where that is not known.
    pub(crate) log_start_offset: i64,
    /// `node.id` of a replica to be asked instead (from version 11 on); -1 for none.
    pub(crate) preferred_replica: i32,
    /// The partition's leader, if it is another broker (from version 12 on).
    pub(crate) leader: Option<LeaderHint>,
    /// Whether the broker's log has parted from the one that was read: it was cut, and continued (from version 12 on).
    pub(crate) has_diverged: bool,
    /// The offset to be fetched next. Larger than the slot's `end` where offsets have no records: marks of transactions,
    /// and records that compaction has removed.
    pub(crate) next_offset: i64,
    /// Runs of the slot, in [`FetchMemory`].
    runs: Range<usize>,
}

/// A Fetch response without its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchAnswer {
    /// Error of the whole request (from version 7 on).
    pub(crate) error: Option<KafkaError>,
    /// For how long a quota holds the client's requests back, in milliseconds.
    pub(crate) throttle_ms: i32,
    /// Addresses of leaders in hints (from version 16 on).
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Position of a record's value, or of the whole record in its packed form, from the first byte of its batch's records.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    /// Length of the value or record, and whether it is [`PACKED`].
    marked: u32,
    timestamp_ms: i64,
}

impl Span {
    fn end(&self) -> usize {
        self.start as usize + RecordBuffer::length(self.marked)
    }
}

/// Records of one batch, without gaps between their offsets.
#[derive(Clone, Debug)]
struct FetchedRun {
    offset: i64,
    /// Whether they are in the body of the response; else in the decompressed bytes.
    is_in_body: bool,
    /// Start of the batch's records.
    base: usize,
    spans: Range<usize>,
}

impl FetchedRun {
    fn end(&self) -> i64 {
        self.offset + self.spans.len() as i64
    }
}

/// A batch that has been read: the offset after its last record, and the leader's epoch.
#[derive(Clone, Copy, Debug, Default)]
struct ReadBatch {
    next_offset: i64,
    epoch: i32,
}

/// The records of one response. Its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct FetchMemory {
    partitions: Vec<FetchedPartition>,
    runs: Vec<FetchedRun>,
    spans: Vec<Span>,
    plain: Vec<u8>,
    /// The last batch of the partition that was read last.
    last: ReadBatch,
    /// True for each slot that has an answer.
    answered: Vec<bool>,
}

/// The request, and the limits of its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchAsked<'a> {
    /// The version of the request.
    pub(crate) version: i16,
    /// The request.
    pub(crate) context: &'a FetchContext<'a>,
    /// Decompressed bytes of one partition, at most. Batches beyond this are left for the next fetch; a first batch beyond
    /// this cannot be read. All partitions together take at most this for each.
    pub(crate) partition_plain_bytes_max: usize,
}

/// Bytes of the smallest partition: index, error, two offsets, no transactions, no records.
const PARTITION_BYTES_MIN: usize = 24;

impl FetchMemory {
    /// Reads the body of a response to `fetch`, and fills in its slots.
    ///
    /// A slot's `end` is behind the records that follow its offset without a gap. Of a partition with damaged records,
    /// those before the damage are given, and an error if there are none.
    ///
    /// # Errors
    /// The bytes are not an answer to this request.
    pub(crate) fn read(
        &mut self,
        body: &[u8],
        asked: &FetchAsked<'_>,
        fetch: &mut Fetch,
    ) -> Result<FetchAnswer, WireError> {
        self.partitions.clear();
        self.runs.clear();
        self.spans.clear();
        self.plain.clear();
        self.answered.clear();
        self.answered.resize(fetch.slots.len(), false);
        let version = asked.version;
        let flexible = Api::Fetch.is_flexible(version);
        let mut answer = FetchAnswer::default();
        let mut reader = WireReader::new(body);
        answer.throttle_ms = reader.i32("a throttle time")?;
        if version >= 7 {
            answer.error = KafkaError::of(reader.i16("an error")?);
            reader.i32("a session id")?;
        }
        // An answer in the order of the request, as brokers give it, needs no search.
        let mut likely = 0;
        // A slot without an answer is asked again.
        let error = answer.error.map_or(ErrorCode::Unavailable, KafkaError::of_partition);
        fetch.slots.iter_mut().for_each(|slot| slot.error = Some(error));
        for _ in 0..reader.count(flexible, 5, "topics")?.unwrap_or_default() {
            check_topic(&mut reader, asked)?;
            let least = PARTITION_BYTES_MIN;
            for _ in 0..reader.count(flexible, least, "partitions")?.unwrap_or_default() {
                let (partition, records) = partition(&mut reader, version)?;
                // Each slot has one answer, so a response has no more partitions than slots.
                let at = slot_of(&fetch.slots, partition.partition, likely)
                    .filter(|at| self.answered.get(*at) == Some(&false))
                    .ok_or(WireError::Malformed("a fetched partition"))?;
                likely = at + 1;
                self.answered[at] = true;
                let max = asked.partition_plain_bytes_max;
                self.take(partition, records, body, &mut fetch.slots[at], max);
            }
            reader.skip_tags(flexible)?;
        }
        reader.tags(flexible, |tag, value| {
            if tag == 0 && version >= 16 {
                answer.endpoints = endpoints(value)?;
            }
            Ok(())
        })?;
        Ok(answer)
    }

    /// The partitions of the response.
    pub(crate) fn partitions(&self) -> &[FetchedPartition] {
        &self.partitions
    }

    /// The records of the response with this body.
    pub(crate) fn records<'a>(&'a self, body: &'a [u8]) -> FetchedRecords<'a> {
        FetchedRecords { memory: self, body }
    }

    /// Takes a partition's answer and its records.
    fn take(
        &mut self,
        mut partition: FetchedPartition,
        records: (&[u8], Aborted),
        body: &[u8],
        slot: &mut FetchSlot,
        plain_max: usize,
    ) {
        partition.next_offset = slot.offset;
        let first_run = self.runs.len();
        if partition.error.is_none() {
            partition.damage = self.batches(records, body, &mut partition.next_offset, plain_max);
        }
        partition.runs = first_run..self.runs.len();
        // Records of open transactions, and what is behind them, cannot be read yet. Before version 4 of Fetch, and with
        // an error, there is no such offset.
        slot.high_watermark = match partition.last_stable_offset {
            -1 => partition.high_watermark,
            stable => stable.min(partition.high_watermark),
        };
        slot.end = slot.offset;
        for run in &self.runs[partition.runs.clone()] {
            if run.offset == slot.end {
                slot.end = run.end();
            }
        }
        let runs = &self.runs[partition.runs.clone()];
        let behind = runs.iter().find(|run| run.offset > slot.end);
        slot.resume = behind.map_or(partition.next_offset, |run| run.offset);
        slot.epoch = self.epoch_before(slot, &partition);
        let is_stuck = partition.damage.is_some() && partition.next_offset == slot.offset;
        slot.error = match partition.error {
            Some(error) => Some(error.of_partition()),
            None if partition.has_diverged => Some(ErrorCode::LogTruncation),
            None => is_stuck.then_some(ErrorCode::Unavailable),
        };
        self.partitions.push(partition);
    }

    /// The epoch of the record before the offset that is fetched next. It is known if that record is in the last batch:
    /// what lies in a gap may be of another epoch.
    fn epoch_before(&self, slot: &FetchSlot, partition: &FetchedPartition) -> i32 {
        match slot.end.max(slot.resume) {
            same if same == slot.offset => slot.epoch,
            next if next == partition.next_offset && next == self.last.next_offset => {
                self.last.epoch
            }
            _ => -1,
        }
    }

    /// Notes the records from `next` on; leaves in `next` the offset after the last one. Returns what ended it early.
    fn batches(
        &mut self,
        (records, mut aborted): (&[u8], Aborted),
        body: &[u8],
        next: &mut i64,
        plain_max: usize,
    ) -> Option<RecordsError> {
        let begin = self.plain.len();
        for batch in RecordBatches::new(records) {
            let read = batch.and_then(|batch| {
                let is_aborted = aborted.contain(&batch);
                if batch.next_offset <= *next {
                    return Ok(());
                }
                let left = plain_max - (self.plain.len() - begin);
                if !is_aborted {
                    self.batch(&batch, body, *next, left)?;
                }
                *next = batch.next_offset;
                self.last = ReadBatch { next_offset: *next, epoch: batch.leader_epoch };
                Ok(())
            });
            match read {
                Ok(()) => {}
                Err(RecordsError::Compression { error: CompressionError::TooLarge(_), .. })
                    if self.plain.len() > begin =>
                {
                    return None;
                }
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// Notes the records of a batch from `next` on; all of them or, with an error, none.
    fn batch(
        &mut self,
        batch: &RecordBatch<'_>,
        body: &[u8],
        mut next: i64,
        plain_max: usize,
    ) -> Result<(), RecordsError> {
        if batch.is_control {
            return Ok(());
        }
        let before = (self.plain.len(), self.runs.len(), self.spans.len());
        let is_in_body = batch.codec()? == crate::plan::Compression::None;
        let (base, plain) = if is_in_body {
            (offset_in(body, batch.raw()), batch.raw())
        } else {
            batch.decompress(plain_max, &mut self.plain)?;
            (before.0, &self.plain[before.0..])
        };
        let mut end = 0;
        for record in batch.records(plain) {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.plain.truncate(before.0);
                    self.runs.truncate(before.1);
                    self.spans.truncate(before.2);
                    return Err(error);
                }
            };
            if record.offset < next {
                continue;
            }
            let (kept, mark) = match record.packed {
                Some(packed) => (packed, PACKED),
                None => (record.value.unwrap_or_default(), 0),
            };
            // A batch has less than 2 GiB. Starts ascend, so records without bytes are where the one before ends.
            let start = if kept.is_empty() { end } else { offset_in(plain, kept) as u32 };
            end = start + kept.len() as u32;
            let at = self.spans.len();
            let (marked, timestamp_ms) = (kept.len() as u32 | mark, record.timestamp_ms);
            self.spans.push(Span { start, marked, timestamp_ms });
            match self.runs[before.1..].last_mut() {
                Some(run) if record.offset == next => run.spans.end = at + 1,
                _ => self.runs.push(FetchedRun {
                    offset: record.offset,
                    is_in_body,
                    base,
                    spans: at..at + 1,
                }),
            }
            next = record.offset + 1;
        }
        Ok(())
    }
}

/// Number of bytes between the start of `whole` and the start of `part`, which is a part of it.
fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr().saturating_sub(whole.as_ptr().addr())
}

fn check_topic(reader: &mut WireReader<'_>, asked: &FetchAsked<'_>) -> Result<(), WireError> {
    let is_ours = match asked.version <= FETCH_BY_NAME_MAX {
        true => {
            let flexible = Api::Fetch.is_flexible(asked.version);
            reader.string(flexible, "a topic name")? == asked.context.topic
        }
        false => reader.uuid("a topic id")? == asked.context.topic_id,
    };
    is_ours.then_some(()).ok_or(WireError::Malformed("the topic of a fetch response"))
}

/// Index of a partition's slot: the likely one, or else found by a search.
fn slot_of(slots: &[FetchSlot], partition: PartitionId, likely: usize) -> Option<usize> {
    let is_it = |slot: &FetchSlot| slot.partition == partition;
    match slots.get(likely).is_some_and(is_it) {
        true => Some(likely),
        false => slots.iter().position(is_it),
    }
}

/// Reads a partition and the bytes of its records.
fn partition<'a>(
    reader: &mut WireReader<'a>,
    version: i16,
) -> Result<(FetchedPartition, (&'a [u8], Aborted)), WireError> {
    let flexible = Api::Fetch.is_flexible(version);
    let index = reader.i32("a partition")?;
    let index = u32::try_from(index).map_err(|_| WireError::Malformed("a partition"))?;
    let error = KafkaError::of(reader.i16("an error")?);
    let high_watermark = reader.i64("a high watermark")?;
    let last_stable_offset = reader.i64("a last stable offset")?;
    let log_start_offset = if version >= 5 { reader.i64("a start offset")? } else { -1 };
    let mut aborted = Aborted::default();
    for _ in 0..reader.count(flexible, 16, "aborted transactions")?.unwrap_or_default() {
        let producer_id = reader.i64("a producer id")?;
        aborted.transactions.push((reader.i64("a first offset")?, producer_id));
        reader.skip_tags(flexible)?;
    }
    aborted.transactions.sort_unstable();
    let preferred_replica = if version >= 11 { reader.i32("a replica")? } else { -1 };
    let records = reader.nullable_bytes(flexible, "records")?.unwrap_or_default();
    let (mut leader, mut has_diverged) = (None, false);
    reader.tags(flexible, |tag, mut value| {
        match tag {
            0 => has_diverged = value.i32("an epoch")? >= 0,
            1 => leader = Some(leader_hint(value)?),
            _ => {}
        }
        Ok(())
    })?;
    let partition = FetchedPartition {
        partition: PartitionId(index),
        error,
        damage: None,
        high_watermark,
        last_stable_offset,
        log_start_offset,
        preferred_replica,
        leader,
        has_diverged,
        next_offset: -1,
        runs: 0..0,
    };
    Ok((partition, (records, aborted)))
}

/// Transactions whose records are not handed over: they were aborted.
#[derive(Debug, Default)]
struct Aborted {
    /// By the offset of their first record, with the producer's id.
    transactions: Vec<(i64, i64)>,
    /// Number of transactions that have begun, and the producers of each.
    begun: usize,
    producers: BTreeSet<i64>,
}

impl Aborted {
    /// Whether the records of this batch were aborted. Batches come in the order of their offsets; the mark at the end of
    /// a producer's transaction ends it.
    fn contain(&mut self, batch: &RecordBatch<'_>) -> bool {
        while let Some((first, producer)) = self.transactions.get(self.begun)
            && *first < batch.next_offset
        {
            self.producers.insert(*producer);
            self.begun += 1;
        }
        match batch.is_control {
            true => {
                self.producers.remove(&batch.producer_id);
                false
            }
            false => batch.is_transactional && self.producers.contains(&batch.producer_id),
        }
    }
}

/// The records of a Fetch response; lives as long as its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchedRecords<'a> {
    memory: &'a FetchMemory,
    body: &'a [u8],
}

impl<'a> FetchedRecords<'a> {
    /// The runs of a partition, each with its records' spans, and the bytes that these are in.
    fn runs(
        self,
        partition: &FetchedPartition,
    ) -> impl Iterator<Item = (&'a FetchedRun, &'a [Span], &'a [u8])> {
        let runs = self.memory.runs.get(partition.runs.clone()).unwrap_or_default();
        runs.iter().map(move |run| {
            let whole: &'a [u8] = if run.is_in_body { self.body } else { &self.memory.plain };
            (run, self.memory.spans.get(run.spans.clone()).unwrap_or_default(), whole)
        })
    }

    /// The records of one partition of [`FetchMemory::partitions`], each with its offset, in ascending order: its value or
    /// packed form, the mark which of them it is, and its timestamp.
    pub(crate) fn of(
        self,
        partition: &FetchedPartition,
    ) -> impl Iterator<Item = (i64, &'a [u8], u32, i64)> {
        self.runs(partition).flat_map(|(run, spans, whole)| {
            spans.iter().enumerate().map(move |(at, span)| {
                let start = run.base + span.start as usize;
                let kept = whole.get(start..start + RecordBuffer::length(span.marked));
                let mark = span.marked & PACKED;
                (run.offset + at as i64, kept.unwrap_or_default(), mark, span.timestamp_ms)
            })
        })
    }
}

impl Records for FetchedRecords<'_> {
    fn copy(&self, partition: PartitionId, from: i64, to: i64, out: &mut RecordBuffer) {
        let found = self.memory.partitions.iter().find(|its| its.partition == partition);
        let Some(found) = found else { return };
        for (run, spans, whole) in self.runs(found) {
            let index = |offset: i64| (offset - run.offset).clamp(0, spans.len() as i64) as usize;
            let spans = spans.get(index(from)..index(to)).unwrap_or_default();
            let (Some(first), Some(last)) = (spans.first(), spans.last()) else { continue };
            // All records in one piece, with what is between them: that is faster than each by itself.
            let bytes = whole.get(run.base + first.start as usize..run.base + last.end());
            out.bytes.extend_from_slice(bytes.unwrap_or_default());
            let mut end = first.start as usize;
            for span in spans {
                out.lengths.push(span.marked);
                out.gaps.push((span.start as usize - end) as u32);
                out.timestamps.push(span.timestamp_ms);
                end = span.end();
            }
        }
    }
}
