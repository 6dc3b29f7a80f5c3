//! A producer's batch, and the queue of batches of a partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{PartitionId, ProducerId, Time};
use crate::broker::SendRecord;
use crate::broker::protocol::{Batch, BrokerId};

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
    pub(super) records: Vec<Sent>,
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

    /// Adds a record.
    #[inline]
    pub(super) fn add(&mut self, record: &SendRecord<'_>) {
        let SendRecord { producer, sequence, payload, is_packed, sent, .. } = *record;
        self.payloads.push(payload);
        self.bytes += payload.len();
        // All records of a load have the same form.
        self.payloads.is_packed = is_packed;
        self.records.push(Sent { producer, sequence, at: sent });
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
        self.records.clear();
        (self.bytes, self.tries, self.may_be_there) = (0, 0, false);
    }

    /// True if there is no room for this record.
    #[inline]
    pub(super) fn is_full_for(&self, record: &SendRecord<'_>) -> bool {
        self.records.len() >= BATCH_RECORDS_MAX
            || self.bytes + record.payload.len() > BATCH_BYTES_MAX
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
        self.sequence += batch.records.len() as u64;
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
