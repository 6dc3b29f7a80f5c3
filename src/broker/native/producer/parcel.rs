//! A batch on its way to a partition, and the partition's batches in order.

use std::collections::VecDeque;

use triomphe::Arc;

use crate::base::{PartitionId, ProducerId, Time};
use crate::broker::protocol::{BrokerId, Produce};

/// A batch and what its acknowledgements need.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) partition: PartitionId,
    /// When its first record came.
    pub(super) since: Time,
    /// The request; the one of the last try may still be under way.
    pub(super) request: Arc<Produce>,
    pub(super) records: Vec<(ProducerId, u64)>,
    /// Sequence of the first record, given when the batch is closed.
    pub(super) sequence: u64,
    /// How often it was sent, when last, and the number of that request.
    pub(super) tries: u32,
    pub(super) sent: Time,
    pub(super) number: u64,
    /// It may be in the log although nobody said so.
    pub(super) may_be_there: bool,
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
    /// Batches in flight, and to whom.
    pub(super) in_flight: u32,
    pub(super) leader: BrokerId,
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
        parcel.sequence = self.sequence;
        self.sequence += parcel.records.len() as u64;
        Some(parcel)
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
