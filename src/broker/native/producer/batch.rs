//! A producer's batch, and the queue of batches of a partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{PartitionId, ProducerId, Time};
use crate::broker::protocol::{Batch, BrokerId};
use crate::broker::{SendRecord, StampedRecord};

/// librdkafka's `batch.num.messages` and `batch.size`.
pub(super) const BATCH_RECORDS_MAX: usize = 10_000;
pub(super) const BATCH_BYTES_MAX: usize = 1_000_000;
/// The interval at which librdkafka expires records.
pub(super) const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);

/// A batch, with what is needed to acknowledge its records.
#[derive(Debug, Default)]
pub(super) struct ProducerBatch {
    pub(super) partition: PartitionId,
    /// Time of the first record.
    pub(super) since: Time,
    /// The records before the batch is sent.
    payloads: Batch,
    /// The records once it is sent.
    shared: Arc<Batch>,
    is_shared: bool,
    /// Bytes of the records.
    pub(super) bytes: usize,
    /// The records of payloads. Stamps are among the records themselves.
    sent: Vec<Sent>,
    /// Sequence of the first record, which is set when the batch is closed.
    pub(super) sequence: u64,
    /// Number of times the batch was sent, the number of the last time, and the time limit of its response.
    pub(super) tries: u32,
    pub(super) number: u64,
    pub(super) limit: Time,
    /// The request of the last time.
    pub(super) request: u64,
    /// True if the batch may be in the log although no response said so.
    pub(super) may_be_there: bool,
    /// The producer id of the last time.
    pub(super) sent_as: i64,
}

/// A record of a batch, as its acknowledgement needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) producer: ProducerId,
    pub(super) sequence: u64,
    /// Send time, from the record's stamp.
    pub(super) at: Time,
}

impl ProducerBatch {
    /// A batch without records.
    #[inline]
    pub(super) fn begun(
        mut self: Box<Self>,
        partition: PartitionId,
        now: Time,
    ) -> Box<ProducerBatch> {
        (self.partition, self.since) = (partition, now);
        self
    }

    /// The records.
    #[inline]
    fn content(&self) -> &Batch {
        if self.is_shared { &self.shared } else { &self.payloads }
    }

    /// Number of records.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.content().len()
    }

    /// The records in order, as their acknowledgements need them.
    #[inline]
    pub(super) fn sent(&self) -> impl Iterator<Item = Sent> {
        let stamped = self.content().stamped.records.iter();
        let stamped =
            stamped.map(|it| Sent { producer: it.producer, sequence: it.sequence, at: it.sent });
        self.sent.iter().copied().chain(stamped)
    }

    /// Shares the records with a request. They are kept for a retry.
    #[inline]
    pub(super) fn share(&mut self) -> Arc<Batch> {
        if !self.is_shared {
            match Arc::get_mut(&mut self.shared) {
                Some(empty) => std::mem::swap(empty, &mut self.payloads),
                // A request still has the records of an earlier use, so these get memory of their own.
                None => self.shared = Arc::new(std::mem::take(&mut self.payloads)),
            }
            self.is_shared = true;
        }
        self.shared.clone()
    }

    /// Removes the records, and keeps the memory unless a request still uses it.
    #[inline]
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shared)
            && let Some(records) = Arc::get_mut(&mut self.shared)
        {
            std::mem::swap(records, &mut self.payloads);
        }
        self.payloads.clear();
        self.sent.clear();
        (self.bytes, self.tries, self.may_be_there) = (0, 0, false);
    }

    /// True if there is no room for this record, or the batch has records of the other form.
    #[inline]
    pub(super) fn is_full_for<R: NewRecord>(&self, record: &R) -> bool {
        self.count() >= BATCH_RECORDS_MAX
            || self.bytes + record.payload_bytes() > BATCH_BYTES_MAX
            || self.sent.is_empty() != R::IS_STAMPED
    }
}

/// A record in one of the forms that a batch takes: with its payload, or as a stamp.
pub(super) trait NewRecord {
    /// True for a stamp whose payload is made later.
    const IS_STAMPED: bool;

    /// Partition of the record.
    fn partition(&self) -> PartitionId;

    /// Size of the payload in bytes.
    fn payload_bytes(&self) -> usize;

    /// True if no other record is sent at the same time.
    fn is_alone(&self) -> bool;

    /// Adds the record to a batch of records of the same form.
    fn add_to(&self, batch: &mut ProducerBatch);
}

impl NewRecord for SendRecord<'_> {
    const IS_STAMPED: bool = false;

    #[inline]
    fn partition(&self) -> PartitionId {
        self.partition
    }

    #[inline]
    fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    #[inline]
    fn is_alone(&self) -> bool {
        self.is_alone
    }

    #[inline]
    fn add_to(&self, batch: &mut ProducerBatch) {
        batch.payloads.push(self.payload);
        batch.bytes += self.payload.len();
        // All records of a load have the same form.
        batch.payloads.is_packed = self.is_packed;
        let (producer, sequence, at) = (self.producer, self.sequence, self.sent);
        batch.sent.push(Sent { producer, sequence, at });
    }
}

impl NewRecord for StampedRecord<'_> {
    const IS_STAMPED: bool = true;

    #[inline]
    fn partition(&self) -> PartitionId {
        self.stamp.partition
    }

    #[inline]
    fn payload_bytes(&self) -> usize {
        self.ring.payload_bytes()
    }

    #[inline]
    fn is_alone(&self) -> bool {
        self.is_alone
    }

    #[inline]
    fn add_to(&self, batch: &mut ProducerBatch) {
        batch.payloads.stamped.push(&self.stamp, self.ring, self.position);
        batch.bytes += self.ring.payload_bytes();
    }
}

/// The batches of a partition that are not in flight.
#[derive(Debug, Default)]
pub(super) struct PartitionQueue {
    /// The batch that takes new records.
    pub(super) open: Option<Box<ProducerBatch>>,
    /// Closed batches that cannot be sent yet, by sequence.
    closed: VecDeque<Box<ProducerBatch>>,
    /// Sequence of the next batch's first record.
    sequence: u64,
    /// Sequence after the last batch that was acknowledged.
    pub(super) acked: u64,
    /// Number of batches in flight, and the broker they were sent to.
    pub(super) in_flight: u32,
    pub(super) leader: BrokerId,
    /// The producer id of the batches in flight.
    pub(super) sent_as: i64,
    /// Nothing is sent before this time.
    pub(super) not_before: Time,
    /// The request of the batch that was sent last.
    pub(super) request: u64,
}

impl PartitionQueue {
    /// True if closed batches wait.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Closes the open batch.
    #[inline]
    pub(super) fn close(&mut self) -> Option<Box<ProducerBatch>> {
        let mut batch = self.open.take()?;
        self.assign_sequence(&mut batch);
        Some(batch)
    }

    /// Sets the sequence of a batch that is complete.
    #[inline]
    pub(super) fn assign_sequence(&mut self, batch: &mut ProducerBatch) {
        batch.sequence = self.sequence;
        self.sequence += batch.count() as u64;
    }

    /// Inserts a batch by its sequence among the closed ones.
    pub(super) fn put(&mut self, batch: Box<ProducerBatch>) {
        let place = self.closed.partition_point(|other| other.sequence < batch.sequence);
        self.closed.insert(place, batch);
    }

    /// The batch to be sent next.
    pub(super) fn first(&self) -> Option<&ProducerBatch> {
        self.closed.front().map(|batch| &**batch)
    }

    pub(super) fn take_first(&mut self) -> Option<Box<ProducerBatch>> {
        self.closed.pop_front()
    }
}
