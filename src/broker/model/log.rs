//! The log of a partition: its records, contiguous in memory in the order of their offsets.

use crate::broker::protocol::{Batch, PACKED, RecordBuffer};

/// A log may exceed its retention by one part in this number. Then the excess is dropped at once, as Kafka drops whole
/// segments.
const DROP_SHARE: u64 = 8;
/// Initial capacity of a log, in bytes. It is so large that the allocator maps pages for it. These are not copied when
/// the log grows, and take no memory before they are written.
const ROOM: usize = 256 << 10;
/// Flag of a record of which only the beginning is kept.
const SHORT: u32 = 1 << 31;

/// The records of one partition.
///
/// Payloads are filled up to their size, mostly with the same bytes. The end of a record is not kept if it equals the
/// end of the partition's first record, the two have the same length, and all records so far have that end in common.
#[derive(Debug, Default)]
pub struct PartitionLog {
    /// Offset of the first record in the log.
    start: i64,
    bytes: Vec<u8>,
    /// End of each record in `bytes`, and the flag [`SHORT`].
    ends: Vec<u32>,
    /// The first record that was appended, and how many bytes of other records of its length are kept. Their remaining
    /// bytes equal its own.
    first: Vec<u8>,
    head: usize,
    /// Sum of the records' lengths, in bytes.
    size_bytes: u64,
    /// Length of the longest record that was appended.
    longest: u32,
    /// True if the records are packed.
    is_packed: bool,
}

impl PartitionLog {
    /// The first offset in the log.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record gets.
    pub fn end(&self) -> i64 {
        self.start + self.ends.len() as i64
    }

    /// Appends a batch and returns the offset of its first record.
    #[inline]
    pub fn append(&mut self, batch: &Batch) -> i64 {
        let offset = self.end();
        self.size_bytes += batch.bytes.len() as u64;
        self.is_packed = batch.is_packed;
        let mut begin = 0;
        for end in &batch.ends {
            self.push(&batch.bytes[begin..*end as usize]);
            begin = *end as usize;
        }
        offset
    }

    #[inline]
    fn push(&mut self, record: &[u8]) {
        self.longest = self.longest.max(record.len() as u32);
        if record.len() == self.first.len() && !record.is_empty() {
            let head = match record[self.head..] == self.first[self.head..] {
                true => self.head,
                false => self.longer_head(record),
            };
            self.bytes.extend_from_slice(&record[..head]);
            return self.ends.push(self.bytes.len() as u32 | SHORT);
        }
        if self.first.is_empty() {
            self.first.extend_from_slice(record);
            self.bytes.reserve(ROOM);
        }
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len() as u32);
    }

    /// The bytes to keep of a record that has less in common with the first one than the records before it.
    #[cold]
    fn longer_head(&mut self, record: &[u8]) -> usize {
        let head = head(record, &self.first);
        // A record with nothing in common is an exception, and says nothing about the next ones.
        if head < record.len() {
            self.head = head;
        }
        head
    }

    /// Drops the oldest records if the log has more than `bytes_max` bytes.
    #[inline]
    pub fn retain(&mut self, bytes_max: u64) {
        // Positions in `bytes` have 31 bits.
        let bytes_max = bytes_max.min(u64::from(SHORT / 2));
        if self.size_bytes <= bytes_max + bytes_max / DROP_SHARE {
            return;
        }
        let (mut left, mut dropped) = (self.size_bytes - bytes_max, 0);
        while dropped < self.ends.len() && left >= self.length(dropped) {
            left -= self.length(dropped);
            dropped += 1;
        }
        self.drop_first(dropped);
    }

    /// Drops the records before `offset`.
    pub fn delete_before(&mut self, offset: i64) {
        self.drop_first((offset.min(self.end()) - self.start).max(0) as usize);
    }

    /// Drops the records at `end` and after it.
    pub fn truncate(&mut self, end: i64) {
        let kept = (end - self.start).max(0) as usize;
        if kept < self.ends.len() {
            self.size_bytes -= (kept..self.ends.len()).map(|index| self.length(index)).sum::<u64>();
            self.ends.truncate(kept);
            self.bytes.truncate(self.begin(kept));
        }
    }

    fn drop_first(&mut self, records: usize) {
        if records == 0 {
            return;
        }
        self.size_bytes -= (0..records).map(|index| self.length(index)).sum::<u64>();
        let begin = self.begin(records);
        self.bytes.drain(..begin);
        self.ends.drain(..records);
        self.ends.iter_mut().for_each(|end| *end -= begin as u32);
        self.start += records as i64;
    }

    /// The offset up to which the records from `from` fit into `bytes_max`. At least one record fits, if there is one
    /// before `to`.
    #[inline]
    pub fn fitting(&self, from: i64, to: i64, bytes_max: u32) -> i64 {
        if (to - from).saturating_mul(i64::from(self.longest)) <= i64::from(bytes_max) {
            return to.max(from);
        }
        self.fitting_one_by_one(from, to, bytes_max)
    }

    fn fitting_one_by_one(&self, from: i64, to: i64, bytes_max: u32) -> i64 {
        let (mut next, mut left) = (from, u64::from(bytes_max));
        while next < to && (next == from || self.length(self.index(next)) <= left) {
            left = left.saturating_sub(self.length(self.index(next)));
            next += 1;
        }
        next
    }

    /// Bytes of the records from `from` to before `to`, as far as they are in the log.
    pub fn size_of(&self, from: i64, to: i64) -> u64 {
        let there = from.max(self.start)..to.min(self.end());
        there.map(|offset| self.length(self.index(offset))).sum()
    }

    /// Appends the records of `from..to` to `out`.
    pub fn copy(&self, from: i64, to: i64, out: &mut RecordBuffer) {
        let mark = if self.is_packed { PACKED } else { 0 };
        // Retention may have removed records while the response was in flight.
        let (from, to) = (from.max(self.start), to.min(self.end()));
        for offset in from..to {
            let index = self.index(offset);
            let kept = &self.bytes[self.begin(index)..(self.ends[index] & !SHORT) as usize];
            out.bytes.extend_from_slice(kept);
            let is_short = self.ends[index] & SHORT != 0;
            if is_short {
                out.bytes.extend_from_slice(&self.first[kept.len()..]);
            }
            let length = if is_short { self.first.len() } else { kept.len() };
            out.lengths.push(length as u32 | mark);
        }
    }

    fn index(&self, offset: i64) -> usize {
        (offset - self.start) as usize
    }

    /// The length of the record with this index.
    fn length(&self, index: usize) -> u64 {
        match self.ends[index] & SHORT != 0 {
            true => self.first.len() as u64,
            false => (self.ends[index] as usize - self.begin(index)) as u64,
        }
    }

    /// The position of the record with this index.
    fn begin(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| (self.ends[before] & !SHORT) as usize)
    }
}

/// Bytes of `record` without the end that it shares with `other`, which has the same length; in steps of eight bytes.
#[inline]
fn head(record: &[u8], other: &[u8]) -> usize {
    let same =
        record.rchunks_exact(8).zip(other.rchunks_exact(8)).take_while(|(a, b)| a == b).count();
    record.len() - 8 * same
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn log(records: u8) -> PartitionLog {
        let mut log = PartitionLog::default();
        for i in 0..records {
            let mut batch = Batch::default();
            batch.push(&vec![i; 10 + usize::from(i)]);
            log.append(&batch);
        }
        log
    }

    fn read(log: &PartitionLog, from: i64, to: i64) -> Vec<u8> {
        let mut out = RecordBuffer::default();
        log.copy(from, to, &mut out);
        let RecordBuffer { bytes, lengths, .. } = out;
        let mut at = 0;
        lengths
            .iter()
            .map(|length| {
                let payload = &bytes[at..at + *length as usize];
                at += payload.len();
                assert!(payload.iter().all(|byte| *byte == payload[0]));
                payload[0]
            })
            .collect()
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_list(
            steps in proptest::collection::vec((0u8..8, 0u64..40), 1..60),
        ) {
            let (mut log, mut plain, mut start) = (PartitionLog::default(), VecDeque::new(), 0);
            for (kind, number) in steps {
                let end = start + plain.len() as i64;
                match kind {
                    0 => {
                        log.truncate(end - number as i64 / 8);
                        plain.truncate((end - number as i64 / 8 - start).max(0) as usize);
                    }
                    1 => log.delete_before(start + number as i64 / 8),
                    2 => log.retain(number * 16),
                    _ => {
                        // Most are as long as others, and end alike: more of them, less, or not at all.
                        let mut record = vec![9; if kind == 3 { number as usize } else { 24 }];
                        let own = [9, 7, 9, 17, 24][usize::from(kind) - 3];
                        record.iter_mut().take(own).for_each(|byte| *byte = number as u8);
                        let mut batch = Batch::default();
                        batch.push(&record);
                        prop_assert_eq!(log.append(&batch), end);
                        plain.push_back(record);
                    }
                }
                prop_assert!(log.start() <= end.max(log.end()));
                while start < log.start() {
                    plain.pop_front();
                    start += 1;
                }
                prop_assert_eq!(log.end(), start + plain.len() as i64);
                let size: usize = plain.iter().map(Vec::len).sum();
                prop_assert_eq!((log.size_bytes, log.size_of(0, end + 1)), (size as u64, size as u64));
                let mut out = RecordBuffer::default();
                log.copy(start, log.end(), &mut out);
                let RecordBuffer { bytes, lengths, .. } = out;
                prop_assert_eq!(bytes, plain.iter().flatten().copied().collect::<Vec<u8>>());
                let expected: Vec<u32> = plain.iter().map(|record| record.len() as u32).collect();
                prop_assert_eq!(lengths, expected);
            }
        }
    }

    #[test]
    fn what_is_appended_is_read_at_its_offset() {
        let log = log(5);
        assert_eq!((log.start(), log.end()), (0, 5));
        assert_eq!(read(&log, 1, 4), [1, 2, 3]);
    }

    #[test]
    fn what_records_have_in_common_is_kept_once() {
        let mut log = PartitionLog::default();
        let mut kept = Vec::new();
        for own in [3, 3, 12, 32, 3] {
            let mut record = [9; 32];
            record.iter_mut().take(own).for_each(|byte| *byte = log.end() as u8);
            let (mut batch, before) = (Batch::default(), log.bytes.len());
            batch.push(&record);
            log.append(&batch);
            kept.push(log.bytes.len() - before);
        }
        // The fourth is like no other, which changes nothing for the fifth.
        assert_eq!(kept, [32, 8, 16, 32, 16]);
    }

    #[test]
    fn as_many_as_fit_are_given_and_at_least_one() {
        let log = log(5);
        assert_eq!(log.fitting(0, 5, 21), 2, "10 + 11 bytes");
        assert_eq!(log.fitting(0, 5, 1), 1);
        assert_eq!(log.fitting(2, 5, 1_000), 5);
        assert_eq!(log.fitting(5, 5, 1_000), 5);
    }

    #[test]
    fn it_is_cut_at_both_ends() {
        let mut log = log(10);
        log.delete_before(3);
        log.truncate(7);
        assert_eq!((log.start(), log.end(), read(&log, 3, 10)), (3, 7, vec![3, 4, 5, 6]));
        log.truncate(0);
        assert_eq!((log.start(), log.end()), (3, 3));
    }

    #[test]
    fn retention_drops_the_oldest_and_keeps_the_offsets() {
        let mut log = log(10);
        log.retain(50);
        // 17 + 18 + 19 bytes: as in Kafka, never less is kept than is asked for.
        assert_eq!((log.start(), log.end()), (7, 10));
        assert_eq!(read(&log, 7, 10), [7, 8, 9]);
    }
}
