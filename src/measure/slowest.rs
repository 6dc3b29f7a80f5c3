//! The slowest records of a partition: a short list in order, with room for a fixed number.

use serde::{Deserialize, Serialize};

use super::{Handed, Processed};
use crate::base::{ConsumerId, Incarnation, Offset, Stamp, Time};

/// Slowest records that a partition and a run keep.
pub const SLOWEST_KEPT: usize = 10;

/// A processed record of the measured window, with its times.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TimedRecord {
    /// Offset of the record.
    pub offset: Offset,
    /// Stamp of the record.
    pub stamp: Stamp,
    /// Times at which the record came to its consumer.
    pub handed: Handed,
    /// Time at which its processing was complete.
    pub done: Time,
    /// The consumer that processed it.
    pub consumer: ConsumerId,
    /// The number of that consumer's start.
    pub incarnation: Incarnation,
}

impl TimedRecord {
    /// Processed - intended send, in nanoseconds.
    pub fn response_ns(&self) -> i64 {
        self.done.since_ns(self.stamp.intended)
    }
}

/// The slowest records so far, the slowest first; among equally slow ones, in the order of arrival.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SlowestRecords {
    records: Vec<TimedRecord>,
    /// The response time of the fastest record in a full list, in nanoseconds. Only slower records are kept.
    floor_ns: i64,
}

impl Default for SlowestRecords {
    fn default() -> SlowestRecords {
        SlowestRecords { records: Vec::new(), floor_ns: i64::MIN }
    }
}

impl SlowestRecords {
    /// Notes a record that `owner` processed. A record that is not kept costs one comparison.
    #[inline]
    pub fn note(
        &mut self,
        (consumer, incarnation): (ConsumerId, Incarnation),
        stamp: &Stamp,
        record: &Processed,
    ) {
        if record.done.since_ns(stamp.intended) > self.floor_ns {
            let Processed { offset, handed, done, .. } = *record;
            let stamp = *stamp;
            self.keep(TimedRecord { offset, stamp, handed, done, consumer, incarnation });
        }
    }

    #[cold]
    fn keep(&mut self, record: TimedRecord) {
        let response_ns = record.response_ns();
        let at = self.records.partition_point(|kept| kept.response_ns() >= response_ns);
        self.records.truncate(SLOWEST_KEPT - 1);
        self.records.insert(at, record);
        if let [.., last] = self.records[..]
            && self.records.len() == SLOWEST_KEPT
        {
            self.floor_ns = last.response_ns();
        }
    }

    /// The records, the slowest first.
    pub fn records(&self) -> &[TimedRecord] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use super::super::Content;
    use super::*;
    use crate::base::{PartitionId, ProducerId, RunId};
    use proptest::prelude::*;

    fn noted(responses: &[i64]) -> SlowestRecords {
        let mut slowest = SlowestRecords::default();
        for (offset, response) in (0..).zip(responses) {
            let (run, producer, partition) = (RunId(1), ProducerId(0), PartitionId(0));
            let (intended, sent) = (Time(1_000), Time(1_000));
            let stamp = Stamp { run, producer, partition, sequence: 0, intended, sent };
            let done = Time(1_000 + response);
            let (offset, handed, content) = (Offset(offset), done.into(), Content::Intact(stamp));
            let record = Processed { offset, content, handed, done, bytes: 0 };
            slowest.note((ConsumerId(0), Incarnation(1)), &stamp, &record);
        }
        slowest
    }

    proptest! {
        #[test]
        fn they_are_the_first_of_all_in_order(responses in proptest::collection::vec(-5i64..40, 0..60)) {
            let mut sorted: Vec<(i64, i64)> = (0..).zip(&responses).map(|(at, its)| (-its, at)).collect();
            sorted.sort_unstable();
            sorted.truncate(SLOWEST_KEPT);
            let slowest = noted(&responses);
            let kept: Vec<(i64, i64)> =
                slowest.records().iter().map(|it| (-it.response_ns(), it.offset.0)).collect();
            prop_assert_eq!(kept, sorted);
        }
    }
}
