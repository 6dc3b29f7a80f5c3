//! The ledger: every record of every lane is accounted for.
//!
//! A lane is the records of one producer on one partition, with sequences from 0. The producer's side ([`SentLane`])
//! knows what was sent and how the client answered. The consumer's side ([`ReadLane`]) knows what was processed.
//! [`balance`] compares the two. [`LaneShape`] numbers the lanes of a run, and [`Lanes`] finds them by number.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::SequenceSet;
use crate::base::{PartitionId, ProducerId};
use crate::summary::Ledger;

/// The client's answer for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker has the record.
    Acked,
    /// The record was not appended, as far as the client knows.
    Failed,
    /// There is no acknowledgement. The record may have been appended or not.
    Indeterminate,
}

/// The producer's side of a lane. It is small, because there is one for each producer and partition. At maximum rate
/// the sending thread waits for the memory of these lanes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SentLane {
    sent: u64,
    acked: SequenceSet,
    /// `None` for nearly every lane.
    unacked: Option<Box<UnackedRecords>>,
}

/// The records of a lane that were not acknowledged, as far as the client has answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct UnackedRecords {
    failed: SequenceSet,
    indeterminate: SequenceSet,
}

impl SentLane {
    /// The next record's sequence.
    #[inline]
    pub fn next_sequence(&self) -> u64 {
        self.sent
    }

    /// Notes that the next record was handed to the client; returns its sequence.
    #[inline]
    pub fn sent(&mut self) -> u64 {
        let sequence = self.sent;
        self.sent += 1;
        sequence
    }

    /// Notes the outcome of record `sequence`.
    #[inline]
    pub fn resolve(&mut self, sequence: u64, outcome: Outcome) {
        match outcome {
            Outcome::Acked => self.acked.insert(sequence),
            Outcome::Failed => self.unacked.get_or_insert_default().failed.insert(sequence),
            Outcome::Indeterminate => {
                self.unacked.get_or_insert_default().indeterminate.insert(sequence)
            }
        };
    }

    /// Number of gaps in the sets. The memory of a lane grows with them.
    pub fn gaps(&self) -> usize {
        self.acked.gaps()
    }
}

/// The place of a record in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Processed for the first time, after all earlier records of its lane that were processed.
    InOrder,
    /// Processed for the first time, after a later record of its lane.
    Late,
    /// Processed before, at another offset.
    Again,
}

/// The consumer's side of a lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReadLane {
    read: SequenceSet,
    /// One more than the largest sequence processed.
    front: u64,
    /// Sequences in `read` that were skipped.
    skipped: u64,
}

impl ReadLane {
    /// Notes that record `sequence` was processed at an offset not processed before.
    #[inline]
    pub fn arrive(&mut self, sequence: u64) -> Arrival {
        if !self.read.insert(sequence) {
            return Arrival::Again;
        }
        if sequence < self.front {
            return Arrival::Late;
        }
        self.front = sequence + 1;
        Arrival::InOrder
    }

    /// Notes that record `sequence` was skipped: it is neither missing nor processed. False if it was processed or
    /// skipped before, at another offset.
    pub fn skip(&mut self, sequence: u64) -> bool {
        let is_first = self.read.insert(sequence);
        if is_first {
            self.skipped += 1;
            self.front = self.front.max(sequence + 1);
        }
        is_first
    }

    /// True if record `sequence` was processed or skipped.
    pub fn has(&self, sequence: u64) -> bool {
        self.read.count_in(&(sequence..sequence + 1)) > 0
    }

    /// Distinct records processed.
    pub fn delivered(&self) -> u64 {
        self.read.len() - self.skipped
    }

    /// Number of gaps in the set. The memory of a lane grows with them.
    pub fn gaps(&self) -> usize {
        self.read.gaps()
    }
}

/// The account of a lane from both sides: sent, acked, failed, indeterminate, delivered and lost. `lost` includes
/// records that are only [unread](Ledger::unread), which the partition tells apart, see [`Ledger::tell_unread`]. The
/// other counts are made when records are processed.
///
/// A record without an answer from the client counts as indeterminate. So does one that was reported as failed and was
/// processed nevertheless.
pub fn balance(sent: &SentLane, read: Option<&ReadLane>) -> Ledger {
    let acked = sent.acked.len();
    let failed = sent.unacked.as_ref().map_or(0, |unacked| {
        let failed_but_read =
            read.map_or(0, |lane| overlap(&unacked.failed, &lane.read, sent.sent));
        unacked.failed.len() - failed_but_read
    });
    let delivered = read.map_or(0, |lane| lane.read.len() - lane.skipped);
    let lost = match read {
        None => acked,
        Some(lane) => lane
            .read
            .missing_below(sent.sent)
            .iter()
            .map(|missing| sent.acked.count_in(missing))
            .sum(),
    };
    Ledger {
        sent: sent.sent,
        acked,
        failed,
        indeterminate: sent.sent.saturating_sub(acked + failed),
        delivered,
        lost,
        ..Ledger::default()
    }
}

/// The first sequence of a lane that [`balance`] counts as lost.
pub fn first_lost(sent: &SentLane, read: Option<&ReadLane>) -> Option<u64> {
    let nothing = SequenceSet::default();
    let missing = read.map_or(&nothing, |lane| &lane.read).missing_below(sent.sent);
    let range = missing.into_iter().find(|missing| sent.acked.count_in(missing) > 0)?;
    range.into_iter().find(|sequence| sent.acked.contains(*sequence))
}

/// The count of numbers below `end` that both sets contain.
fn overlap(a: &SequenceSet, b: &SequenceSet, end: u64) -> u64 {
    if a.is_empty() {
        return 0;
    }
    let missing: u64 = b.missing_below(end).iter().map(|range| a.count_in(range)).sum();
    a.count_in(&(0..end)) - missing
}

/// The numbering of lanes in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneShape {
    /// True if producer i sends only to partition i mod `partitions`.
    pub fixed: bool,
    /// Number of partitions.
    pub partitions: u32,
    /// Number of pools; producer i belongs to pool i mod `pools`.
    pub pools: u32,
}

impl LaneShape {
    /// Key of a lane within its pool.
    #[inline]
    pub fn sent_key(&self, producer: ProducerId, partition: PartitionId) -> u32 {
        let local = producer.0 / self.pools;
        if self.fixed { local } else { local * self.partitions + partition.0 }
    }

    /// The lane of key `key` in pool `pool`.
    pub fn sent_lane(&self, pool: u32, key: u32) -> (ProducerId, PartitionId) {
        let local = if self.fixed { key } else { key / self.partitions };
        let producer = local * self.pools + pool;
        let partition = if self.fixed { producer % self.partitions } else { key % self.partitions };
        (ProducerId(producer), PartitionId(partition))
    }

    /// Key of a lane within its partition.
    #[inline]
    pub fn read_key(&self, producer: ProducerId) -> u32 {
        if self.fixed { producer.0 / self.partitions } else { producer.0 }
    }

    /// The producer of the lane of key `key` within `partition`.
    pub fn read_lane(&self, partition: PartitionId, key: u32) -> ProducerId {
        ProducerId(if self.fixed { key * self.partitions + partition.0 } else { key })
    }

    /// The numbering after the topic has grown to `partitions`. A producer may then send to several of them.
    pub fn grown(&self, partitions: u32) -> LaneShape {
        LaneShape { fixed: false, partitions, pools: self.pools }
    }
}

/// Lanes by key, in a dense index. Keys are small numbers (a producer, or producer x partition).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    bound = "L: Default + Clone + Serialize + DeserializeOwned",
    from = "Vec<(u32, L)>",
    into = "Vec<(u32, L)>"
)]
pub struct Lanes<L> {
    /// Position in `lanes` plus one; 0 = no lane yet.
    index: Vec<u32>,
    lanes: Vec<(u32, L)>,
}

impl<L> Default for Lanes<L> {
    fn default() -> Self {
        Lanes { index: Vec::new(), lanes: Vec::new() }
    }
}

impl<L: Default> Lanes<L> {
    /// The lane of `key`, which is created if it does not exist.
    #[inline]
    pub fn lane(&mut self, key: u32) -> &mut L {
        let number = match self.index.get(key as usize) {
            Some(number) if *number > 0 => *number,
            _ => self.make(key),
        };
        &mut self.lanes[number as usize - 1].1
    }

    #[cold]
    fn make(&mut self, key: u32) -> u32 {
        self.lanes.push((key, L::default()));
        let number = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        note(&mut self.index, key, number);
        number
    }

    /// The lane of `key`, if there is one.
    pub fn get(&self, key: u32) -> Option<&L> {
        let at = *self.index.get(key as usize)?;
        at.checked_sub(1).map(|position| &self.lanes[position as usize].1)
    }

    /// Gives all lanes new keys. `key` returns the new key of an old one, and must return distinct keys.
    pub fn rekey(&mut self, key: impl Fn(u32) -> u32) {
        self.index.clear();
        for (number, (at, _)) in (1..).zip(&mut self.lanes) {
            *at = key(*at);
            note(&mut self.index, *at, number);
        }
    }

    /// All lanes with their keys, in the order of their creation.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &L)> {
        self.lanes.iter().map(|(key, lane)| (*key, lane))
    }
}

impl<L> From<Lanes<L>> for Vec<(u32, L)> {
    fn from(lanes: Lanes<L>) -> Vec<(u32, L)> {
        lanes.lanes
    }
}

impl<L: Default> From<Vec<(u32, L)>> for Lanes<L> {
    fn from(given: Vec<(u32, L)>) -> Lanes<L> {
        let mut lanes = Lanes::default();
        given.into_iter().for_each(|(key, lane)| *lanes.lane(key) = lane);
        lanes
    }
}

fn note(index: &mut Vec<u32>, key: u32, number: u32) {
    let at = key as usize;
    if at >= index.len() {
        index.resize(at + 1, 0);
    }
    index[at] = number;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(outcomes: &[Outcome]) -> SentLane {
        let mut lane = SentLane::default();
        for (sequence, outcome) in outcomes.iter().enumerate() {
            assert_eq!((lane.next_sequence(), lane.sent()), (sequence as u64, sequence as u64));
            lane.resolve(sequence as u64, *outcome);
        }
        lane
    }

    #[test]
    fn an_acknowledged_record_that_never_arrives_is_lost() {
        let sent = lane(&[Outcome::Acked, Outcome::Acked, Outcome::Acked]);
        let mut read = ReadLane::default();
        assert_eq!(read.arrive(0), Arrival::InOrder);
        assert_eq!(read.arrive(2), Arrival::InOrder);
        let account = balance(&sent, Some(&read));
        assert_eq!((account.delivered, account.lost), (2, 1));
        assert_eq!(balance(&sent, None).lost, 3);
    }

    #[test]
    fn absence_of_an_indeterminate_record_is_not_loss_and_its_delivery_is_legal() {
        let sent = lane(&[Outcome::Indeterminate, Outcome::Acked, Outcome::Indeterminate]);
        let mut read = ReadLane::default();
        read.arrive(0);
        read.arrive(1);
        let account = balance(&sent, Some(&read));
        assert_eq!((account.indeterminate, account.lost, account.delivered), (2, 0, 2));
    }

    #[test]
    fn a_failed_record_that_arrives_was_indeterminate() {
        let sent = lane(&[Outcome::Failed, Outcome::Failed, Outcome::Acked]);
        let mut read = ReadLane::default();
        read.arrive(1);
        read.arrive(2);
        let account = balance(&sent, Some(&read));
        assert_eq!((account.failed, account.indeterminate, account.lost), (1, 1, 0));
    }

    #[test]
    fn late_and_repeated_arrivals_are_told_apart() {
        let mut read = ReadLane::default();
        assert_eq!(read.arrive(1), Arrival::InOrder);
        assert_eq!(read.arrive(0), Arrival::Late);
        assert_eq!(read.arrive(1), Arrival::Again);
        assert_eq!(read.arrive(2), Arrival::InOrder);
    }

    #[test]
    fn a_key_leads_back_to_its_lane() {
        for shape in [
            LaneShape { fixed: true, partitions: 18, pools: 3 },
            LaneShape { fixed: false, partitions: 18, pools: 3 },
        ] {
            for producer in (0..1024).map(ProducerId) {
                let partition = PartitionId(producer.0 % 18);
                let key = shape.sent_key(producer, partition);
                assert_eq!(shape.sent_lane(producer.0 % 3, key), (producer, partition));
                assert_eq!(shape.read_lane(partition, shape.read_key(producer)), producer);
            }
        }
    }

    #[test]
    fn a_lane_is_made_once_and_keeps_what_is_in_it_when_keys_change() {
        let mut lanes: Lanes<u64> = Lanes::default();
        for (key, value) in [(7, 70), (2, 20), (7, 1)] {
            *lanes.lane(key) += value;
        }
        assert_eq!((lanes.get(7), lanes.get(2), lanes.get(3)), (Some(&71), Some(&20), None));
        lanes.rekey(|key| 3 * key);
        assert_eq!((*lanes.lane(21), *lanes.lane(6), *lanes.lane(7)), (71, 20, 0));
        assert_eq!(lanes.iter().map(|(key, _)| key).collect::<Vec<_>>(), [21, 6, 7]);
    }
}
