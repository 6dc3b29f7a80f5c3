//! A batch on its way to a partition, and the partition's batches in order.

use std::collections::VecDeque;

use super::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::base::{PartitionId, ProducerId, Time, sent_time};
use crate::broker::SendRecord;
use crate::broker::protocol::{Batch, BrokerId};

/// A batch and what its acknowledgements need.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) partition: PartitionId,
    /// When its first record came.
    pub(super) since: Time,
    /// The records, of which every request takes a copy.
    pub(super) batch: Batch,
    pub(super) records: Vec<Sent>,
    /// Sequence of the first record, given when the batch is closed.
    pub(super) sequence: u64,
    /// How often it was sent, as which request last, and until when the answer is waited for.
    pub(super) tries: u32,
    pub(super) number: u64,
    pub(super) limit: Time,
    /// It may be in the log although no answer said so.
    pub(super) may_be_there: bool,
    /// The producer's number it was sent with last.
    pub(super) sent_as: i64,
}

/// A record of a batch, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) producer: ProducerId,
    pub(super) sequence: u64,
    /// When, from its stamp.
    pub(super) at: Time,
}

impl Parcel {
    /// A batch without records.
    #[inline]
    pub(super) fn begun(mut self: Box<Self>, partition: PartitionId, now: Time) -> Box<Parcel> {
        (self.partition, self.since) = (partition, now);
        self
    }

    /// Adds a record.
    #[inline]
    pub(super) fn add(&mut self, record: &SendRecord<'_>, now: Time) {
        let SendRecord { producer, sequence, payload, .. } = *record;
        self.batch.push(payload);
        self.records.push(Sent { producer, sequence, at: sent_time(payload).unwrap_or(now) });
    }

    /// Whether another record is too much.
    #[inline]
    pub(super) fn is_full_for(&self, record: &SendRecord<'_>) -> bool {
        self.records.len() >= BATCH_RECORDS_MAX
            || self.batch.bytes.len() + record.payload.len() > BATCH_BYTES_MAX
    }
}

/// What waits for a partition.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The batch that takes records.
    pub(super) open: Option<Box<Parcel>>,
    /// Closed batches that cannot be sent yet, by sequence.
    closed: VecDeque<Box<Parcel>>,
    /// Sequence of the next record.
    sequence: u64,
    /// Sequence after the last batch that was acknowledged.
    pub(super) acked: u64,
    /// Batches in flight, and to whom.
    pub(super) in_flight: u32,
    pub(super) leader: BrokerId,
    /// With which number of the producer.
    pub(super) sent_as: i64,
    /// Nothing is sent before.
    pub(super) not_before: Time,
}

impl Lane {
    /// Whether closed batches wait.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Closes the open batch.
    #[inline]
    pub(super) fn close(&mut self) -> Option<Box<Parcel>> {
        let mut parcel = self.open.take()?;
        self.number(&mut parcel);
        Some(parcel)
    }

    /// Gives a batch that is complete its sequence.
    #[inline]
    pub(super) fn number(&mut self, parcel: &mut Parcel) {
        parcel.sequence = self.sequence;
        self.sequence += parcel.records.len() as u64;
    }

    /// Puts a batch in its place among those that wait.
    pub(super) fn put(&mut self, parcel: Box<Parcel>) {
        let place = self.closed.partition_point(|other| other.sequence < parcel.sequence);
        self.closed.insert(place, parcel);
    }

    /// The batch that is to be sent next.
    pub(super) fn first(&self) -> Option<&Parcel> {
        self.closed.front().map(|parcel| &**parcel)
    }

    pub(super) fn take_first(&mut self) -> Option<Box<Parcel>> {
        self.closed.pop_front()
    }
}
