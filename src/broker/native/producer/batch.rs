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

/// A batch, and what is needed to acknowledge its records.
#[derive(Debug, Default)]
pub(super) struct ProducerBatch {
    pub(super) partition: PartitionId,
    /// When its first record came.
    pub(super) since: Time,
    /// The records, until the batch is sent.
    payloads: Batch,
    /// The records from then on.
    shared: Arc<Batch>,
    is_shared: bool,
    /// Bytes of the records.
    pub(super) bytes: usize,
    pub(super) records: Vec<Sent>,
    /// Sequence of the first record, given when the batch is closed.
    pub(super) sequence: u64,
    /// How often it was sent, as which request last, and until when the answer is waited for.
    pub(super) tries: u32,
    pub(super) number: u64,
    pub(super) limit: Time,
    /// The request it was sent in last.
    pub(super) request: u64,
    /// It may be in the log although no answer said so.
    pub(super) may_be_there: bool,
    /// The producer id it was sent with last.
    pub(super) sent_as: i64,
}

/// A record of a batch, as far as its acknowledgement needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) producer: ProducerId,
    pub(super) sequence: u64,
    /// When, from its stamp.
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

    /// The records for a request. They stay here as well, for another try.
    #[inline]
    pub(super) fn share(&mut self) -> Arc<Batch> {
        if !self.is_shared {
            match Arc::get_mut(&mut self.shared) {
                Some(empty) => std::mem::swap(empty, &mut self.payloads),
                // A request that has not done its work has those of an earlier use.
                None => self.shared = Arc::new(std::mem::take(&mut self.payloads)),
            }
            self.is_shared = true;
        }
        self.shared.clone()
    }

    /// Forgets the records, and keeps the memory unless a request still has it.
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

    /// Whether another record is too much.
    #[inline]
    pub(super) fn is_full_for(&self, record: &SendRecord<'_>) -> bool {
        self.records.len() >= BATCH_RECORDS_MAX
            || self.bytes + record.payload.len() > BATCH_BYTES_MAX
    }
}

/// The batches of a partition that are not in flight.
#[derive(Debug, Default)]
pub(super) struct PartitionQueue {
    /// The batch that takes records.
    pub(super) open: Option<Box<ProducerBatch>>,
    /// Closed batches that cannot be sent yet, by sequence.
    closed: VecDeque<Box<ProducerBatch>>,
    /// Sequence of the next record.
    sequence: u64,
    /// Sequence after the last batch that was acknowledged.
    pub(super) acked: u64,
    /// Batches in flight, and the broker they were sent to.
    pub(super) in_flight: u32,
    pub(super) leader: BrokerId,
    /// The producer id they were sent with.
    pub(super) sent_as: i64,
    /// Nothing is sent before.
    pub(super) not_before: Time,
    /// The request of the batch that was sent last.
    pub(super) request: u64,
}

impl PartitionQueue {
    /// Whether closed batches wait.
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

    /// Gives a batch that is complete its sequence.
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

    /// The batch that is to be sent next.
    pub(super) fn first(&self) -> Option<&ProducerBatch> {
        self.closed.front().map(|batch| &**batch)
    }

    pub(super) fn take_first(&mut self) -> Option<Box<ProducerBatch>> {
        self.closed.pop_front()
    }
}
