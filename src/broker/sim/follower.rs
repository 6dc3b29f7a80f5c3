//! Follows one record through a simulation that is traced: the send, the append, fetches, processing and commits.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{
    Offset, PartitionId, ProducerId, RecordView, RunId, Stamp, StampCheck, verify_record,
};
use crate::broker::model::{ClientId, Cluster};
use crate::broker::protocol::{Batch, RecordBuffer, Records};

/// A record, by its lane and its sequence in the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FollowedRecord {
    /// Producer of the record.
    pub producer: ProducerId,
    /// Partition of the record.
    pub partition: PartitionId,
    /// Sequence of the record in its lane, from 0.
    pub sequence: u64,
}

impl FollowedRecord {
    /// The stamp in these bytes, if they are the followed record.
    fn stamp_in(&self, bytes: &[u8], is_packed: bool) -> Option<Stamp> {
        let stamp = match verify_record(&RecordView::of(bytes, is_packed), RunId(0)) {
            StampCheck::Intact(stamp) | StampCheck::OtherRun(stamp) => stamp,
            StampCheck::Corrupt | StampCheck::OtherProducer => return None,
        };
        let Stamp { producer, partition, sequence, .. } = stamp;
        (FollowedRecord { producer, partition, sequence } == *self).then_some(stamp)
    }
}

/// The state of the followed record.
#[derive(Debug)]
pub(super) struct RecordFollower {
    pub(super) record: FollowedRecord,
    /// Beginning and end of the partition's log at the last check.
    seen: (i64, i64),
    /// Offsets of the copies of the record, and whether each is still in the log.
    copies: BTreeMap<i64, bool>,
    /// Index of the record in batches that were sent, by client and number of the request.
    batches: BTreeMap<(ClientId, u64), usize>,
    /// Number of batches with the record that have reached a broker.
    tries: u32,
    /// Offsets whose commit was reported.
    committed: BTreeSet<i64>,
}

impl RecordFollower {
    pub(super) fn new(record: FollowedRecord) -> RecordFollower {
        RecordFollower {
            record,
            seen: (0, 0),
            copies: BTreeMap::new(),
            batches: BTreeMap::new(),
            tries: 0,
            committed: BTreeSet::new(),
        }
    }

    /// The changes of the log since the last check, as text.
    pub(super) fn look_at_log(&mut self, cluster: &Cluster) -> Vec<String> {
        let Some((start, end)) = cluster.log_bounds(self.record.partition) else {
            return Vec::new();
        };
        if (start, end) == self.seen {
            return Vec::new();
        }
        let (_, seen_end) = std::mem::replace(&mut self.seen, (start, end));
        let mut said = Vec::new();
        for (offset, is_there) in self.copies.iter_mut().filter(|(_, is_there)| **is_there) {
            if *offset < start {
                said.push(format!("offset {offset} is deleted: the log begins at {start} now"));
            } else if *offset >= end {
                said.push(format!("offset {offset} is cut off: the new leader does not have it"));
            } else {
                continue;
            }
            *is_there = false;
        }
        let mut records = RecordBuffer::default();
        let from = seen_end.clamp(start, end);
        cluster.copy(self.record.partition, from, end, &mut records);
        for (offset, (record, is_packed)) in (from..).zip(records.records()) {
            if self.record.stamp_in(record, is_packed).is_some() {
                let again = if self.copies.is_empty() { "" } else { " once more" };
                said.push(format!("appended{again} at offset {offset}"));
                self.copies.insert(offset, true);
            }
        }
        said
    }

    /// Notes a batch of `client` that reaches a broker. Returns how many such batches had the record, and the record's
    /// stamp for the first one.
    pub(super) fn batch(
        &mut self,
        (client, number): (ClientId, u64),
        batch: &Batch,
    ) -> Option<(u32, Option<Stamp>)> {
        let mut begin = 0;
        for (place, end) in batch.ends.iter().enumerate() {
            let payload = &batch.bytes[begin..*end as usize];
            begin = *end as usize;
            if let Some(stamp) = self.record.stamp_in(payload, batch.is_packed) {
                self.batches.insert((client, number), place);
                self.tries += 1;
                return Some((self.tries, (self.tries == 1).then_some(stamp)));
            }
        }
        None
    }

    /// Index of the record in the batch of a request that is answered.
    pub(super) fn place_in(&self, client: ClientId, number: u64) -> Option<usize> {
        self.batches.get(&(client, number)).copied()
    }

    /// Offsets of copies within a range.
    pub(super) fn copies_in(&self, from: Offset, to: Offset) -> Vec<i64> {
        if from >= to {
            return Vec::new();
        }
        self.copies.range(from.0..to.0).map(|(offset, _)| *offset).collect()
    }

    /// Offsets of copies below `next` whose commit was not reported before.
    pub(super) fn commit(&mut self, next: Offset) -> Vec<i64> {
        let below = self.copies.range(..next.0).map(|(offset, _)| *offset);
        below.filter(|offset| self.committed.insert(*offset)).collect()
    }
}
