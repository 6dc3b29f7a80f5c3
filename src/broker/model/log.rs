//! A partition's log: records by offset, one after the other in memory.

use crate::broker::protocol::Batch;

/// Bytes dropped at once when more than the retention is kept: as Kafka drops whole segments.
const DROP_SHARE: usize = 8;

/// The records of one partition.
#[derive(Debug, Default)]
pub struct PartitionLog {
    /// Offset of the first record kept.
    start: i64,
    bytes: Vec<u8>,
    /// Where each kept record ends in `bytes`.
    ends: Vec<u32>,
}

impl PartitionLog {
    /// The first offset there is.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The offset the next record gets.
    pub fn end(&self) -> i64 {
        self.start + self.ends.len() as i64
    }

    /// Appends a batch and returns the offset of its first record.
    pub fn append(&mut self, batch: &Batch) -> i64 {
        let offset = self.end();
        let before = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&batch.bytes);
        self.ends.extend(batch.ends.iter().map(|end| before + end));
        offset
    }

    /// Drops the oldest records when more than `bytes_max` are kept.
    pub fn retain(&mut self, bytes_max: u64) {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(u32::MAX as usize / 2);
        if self.bytes.len() <= bytes_max + bytes_max / DROP_SHARE {
            return;
        }
        let excess = (self.bytes.len() - bytes_max) as u32;
        let dropped = self.ends.partition_point(|end| *end <= excess);
        self.drop_first(dropped);
    }

    /// Drops what stands before `offset`.
    pub fn delete_before(&mut self, offset: i64) {
        self.drop_first((offset.min(self.end()) - self.start).max(0) as usize);
    }

    /// Cuts off what stands at `end` and beyond.
    pub fn truncate(&mut self, end: i64) {
        let kept = (end - self.start).max(0) as usize;
        if kept < self.ends.len() {
            self.ends.truncate(kept);
            self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
        }
    }

    fn drop_first(&mut self, records: usize) {
        let Some(byte) = records.checked_sub(1).map(|last| self.ends[last]) else {
            return;
        };
        self.bytes.drain(..byte as usize);
        self.ends.drain(..records);
        self.ends.iter_mut().for_each(|end| *end -= byte);
        self.start += records as i64;
    }

    /// The offset up to which records from `from` fit into `bytes_max`; at least one record, if there is one
    /// before `to`.
    pub fn fitting(&self, from: i64, to: i64, bytes_max: u32) -> i64 {
        if from >= to {
            return from;
        }
        let (first, limit) = (self.index(from), self.index(to));
        let whole = self.ends[limit - 1] - self.byte(first) as u32;
        if whole <= bytes_max {
            return to;
        }
        let last_byte = self.byte(first) as u32 + bytes_max;
        let fitting = self.ends[first..limit].partition_point(|end| *end <= last_byte);
        from + fitting.max(1) as i64
    }

    /// Appends the payloads of `from..to` and their lengths.
    pub fn copy(&self, from: i64, to: i64, bytes: &mut Vec<u8>, lengths: &mut Vec<u32>) {
        // Retention may have overtaken an answer that was under way.
        let (from, to) = (from.max(self.start), to.min(self.end()));
        if from >= to {
            return;
        }
        let (first, limit) = (self.index(from), self.index(to));
        let begin = self.byte(first);
        bytes.extend_from_slice(&self.bytes[begin..self.ends[limit - 1] as usize]);
        let mut start = begin as u32;
        for end in &self.ends[first..limit] {
            lengths.push(end - start);
            start = *end;
        }
    }

    fn index(&self, offset: i64) -> usize {
        (offset - self.start) as usize
    }

    /// Where the record of this index begins.
    fn byte(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
        log.copy(from, to, &mut bytes, &mut lengths);
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

    #[test]
    fn what_is_appended_is_read_at_its_offset() {
        let log = log(5);
        assert_eq!((log.start(), log.end()), (0, 5));
        assert_eq!(read(&log, 1, 4), [1, 2, 3]);
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
