//! Records and events that were received from brokers and are not handed over yet.

use std::collections::VecDeque;

use crate::base::{Offset, PartitionId, RecordView, Time};
use crate::broker::protocol::{PACKED, RecordBuffer};
use crate::broker::{BrokerError, ConsumerEvents, Flow};

/// Records and events that are not handed over yet. Records are in runs, and events have their places between runs.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) records: RecordBuffer,
    runs: Vec<Run>,
    /// Each with the number of runs before it.
    others: VecDeque<(usize, Event)>,
    /// Progress of handing over: runs, lengths, bytes.
    done: usize,
    length_at: usize,
    byte_at: usize,
}

/// Bytes that are handed over from which on they are removed although others are left.
const MOVED_FROM: usize = 64 * 1024;

/// Successive records of a partition; without records if only the end was reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) partition: PartitionId,
    /// Number of records.
    pub(super) count: u32,
    /// Offset of the first record.
    pub(super) offset: i64,
    /// Time at which the records arrived.
    pub(super) arrived: Time,
    /// True if the end of the partition follows.
    pub(super) is_end: bool,
}

/// An event that is not about records.
#[derive(Debug)]
pub(super) enum Event {
    Error(BrokerError),
    Assigned(Vec<PartitionId>),
    /// Partitions to be given up. The client reports to the coordinator when they are.
    Revoked(Vec<PartitionId>),
    /// Partitions that are lost already.
    Lost(Vec<PartitionId>),
}

impl Received {
    /// True if there is nothing to hand over.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.done == self.runs.len() && self.others.is_empty()
    }

    /// True if there are only records and ends of partitions.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.others.is_empty()
    }

    /// Bytes that are not handed over yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.records.bytes.len() - self.byte_at
    }

    /// Adds a run, whose payloads and lengths were added before.
    #[inline]
    pub(super) fn push(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Adds an event.
    pub(super) fn push_other(&mut self, event: Event) {
        self.others.push_back((self.runs.len(), event));
    }

    /// The next event, if no records come before it.
    #[inline]
    pub(super) fn take_other(&mut self) -> Option<Event> {
        if self.others.front()?.0 > self.done {
            return None;
        }
        self.others.pop_front().map(|(_, event)| event)
    }

    /// Drops the records of a partition that is not read any more.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        let mut kept = Received::default();
        let (mut length_at, mut byte_at) = (self.length_at, self.byte_at);
        for (at, run) in self.runs.iter().enumerate().skip(self.done) {
            while self.others.front().is_some_and(|(before, _)| *before <= at)
                && let Some((_, event)) = self.others.pop_front()
            {
                kept.push_other(event);
            }
            let its = length_at..length_at + run.count as usize;
            let lengths = &self.records.lengths[its.clone()];
            let bytes = |at| self.records.gap(at) + RecordBuffer::length(self.records.lengths[at]);
            let size: usize = its.clone().map(bytes).sum();
            if run.partition != partition {
                kept.records.lengths.extend_from_slice(lengths);
                let gaps = self.records.gaps.get(its.clone()).unwrap_or_default();
                kept.records.gaps.extend_from_slice(gaps);
                let timestamps = self.records.timestamps.get(its).unwrap_or_default();
                kept.records.timestamps.extend_from_slice(timestamps);
                kept.records.bytes.extend_from_slice(&self.records.bytes[byte_at..byte_at + size]);
                kept.push(*run);
            }
            length_at += lengths.len();
            byte_at += size;
        }
        self.others.drain(..).for_each(|(_, event)| kept.push_other(event));
        *self = kept;
    }

    /// Removes what is handed over, once that is everything, or much and more than what is left. A consumer that
    /// lags is always given more before everything is handed over. Each byte is moved once at most.
    pub(super) fn tidy(&mut self) {
        if self.is_empty() {
            self.records.clear();
            self.runs.clear();
        } else if self.byte_at >= MOVED_FROM && self.byte_at >= self.waiting_bytes() {
            self.records.remove_first(self.byte_at, self.length_at);
            self.runs.drain(..self.done);
            self.others.iter_mut().for_each(|(before, _)| *before -= self.done);
        } else {
            return;
        }
        (self.done, self.length_at, self.byte_at) = (0, 0, 0);
    }

    /// Hands over records, until the host wants no more or an event is next.
    pub(super) fn hand_over(&mut self, events: &mut dyn ConsumerEvents) -> Flow {
        let end = self.others.front().map_or(self.runs.len(), |(before, _)| *before);
        let mut flow = Flow::More;
        while self.done < end && flow == Flow::More {
            flow = self.hand_over_run(events);
        }
        flow
    }

    /// Hands over the next run, or the rest of it.
    #[inline]
    fn hand_over_run(&mut self, events: &mut dyn ConsumerEvents) -> Flow {
        let run = &mut self.runs[self.done];
        let mut flow = Flow::More;
        while run.count > 0 && flow == Flow::More {
            let marked = self.records.lengths[self.length_at];
            let length = RecordBuffer::length(marked);
            self.byte_at += self.records.gap(self.length_at);
            let bytes = &self.records.bytes[self.byte_at..self.byte_at + length];
            let mut record = RecordView::of(bytes, marked & PACKED != 0);
            record.timestamp_ms = self.records.timestamps.get(self.length_at).copied();
            let offset = Offset(run.offset);
            self.length_at += 1;
            self.byte_at += length;
            run.offset += 1;
            run.count -= 1;
            flow = events.record(run.partition, offset, &record, run.arrived);
        }
        if flow == Flow::Stop && (run.count > 0 || run.is_end) {
            return flow;
        }
        if run.is_end {
            events.end_of_partition(run.partition);
        }
        self.done += 1;
        flow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events as texts, and the answer to each record.
    struct Told(Vec<String>, Flow);

    impl ConsumerEvents for Told {
        fn present(&mut self, _now: Time) {}

        fn record(
            &mut self,
            partition: PartitionId,
            offset: Offset,
            record: &RecordView<'_>,
            _arrived: Time,
        ) -> Flow {
            self.0.push(format!("{partition}@{}: {}", offset.0, record.value.len()));
            self.1
        }

        fn end_of_partition(&mut self, partition: PartitionId) {
            self.0.push(format!("{partition} ends"));
        }

        fn assigned(&mut self, _now: Time, _partitions: &[PartitionId]) {}

        fn revoked(&mut self, _now: Time, _partitions: &[PartitionId]) {}

        fn error(&mut self, _now: Time, _error: BrokerError) {}
    }

    fn received() -> Received {
        let mut received = Received::default();
        for (partition, offset, lengths) in [(0, 5, vec![1, 2]), (1, 7, vec![3]), (0, 7, vec![])] {
            received
                .records
                .bytes
                .extend(std::iter::repeat_n(0, lengths.iter().sum::<u32>() as usize));
            let (count, is_end) = (lengths.len() as u32, partition == 0);
            received.records.lengths.extend(lengths);
            let (partition, arrived) = (PartitionId(partition), Time(0));
            received.push(Run { partition, count, offset, arrived, is_end });
            received.push_other(Event::Lost(vec![partition]));
        }
        received
    }

    fn all(mut received: Received, flow: Flow) -> Vec<String> {
        let mut told = Told(Vec::new(), flow);
        while !received.is_empty() {
            match received.take_other() {
                Some(event) => told.0.push(format!("{event:?}")),
                None => drop(received.hand_over(&mut told)),
            }
        }
        received.tidy();
        assert_eq!(received.waiting_bytes(), 0);
        told.0
    }

    #[test]
    fn everything_is_handed_over_in_its_order_however_often_it_is_stopped() {
        let told = all(received(), Flow::More);
        let lost = |id| format!("{:?}", Event::Lost(vec![PartitionId(id)]));
        let expected =
            ["0@5: 1", "0@6: 2", "0 ends", &lost(0), "1@7: 3", &lost(1), "0 ends", &lost(0)];
        assert_eq!(told, expected);
        assert_eq!(all(received(), Flow::Stop), expected);
    }

    #[test]
    fn a_consumer_that_lags_keeps_no_records_that_are_handed_over() {
        const RECORD_BYTES: usize = 1_000;
        let mut received = Received::default();
        let (mut told, mut expected) = (Told(Vec::new(), Flow::Stop), Vec::new());
        for offset in 0..2_000 {
            received.records.bytes.resize(received.records.bytes.len() + 7 + RECORD_BYTES, 0);
            received.records.gaps.push(7);
            received.records.lengths.push(RECORD_BYTES as u32);
            let (partition, arrived) = (PartitionId(0), Time(0));
            received.push(Run { partition, count: 1, offset, arrived, is_end: offset % 3 == 0 });
            expected.push(format!("0@{offset}: {RECORD_BYTES}"));
            expected.extend((offset % 3 == 0).then(|| "0 ends".to_owned()));
            if offset == 5 {
                received.push_other(Event::Lost(vec![PartitionId(9)]));
                expected.push(format!("{:?}", Event::Lost(vec![PartitionId(9)])));
            }
            // From the fourth record on, as much is handed over as comes.
            if offset >= 3 {
                match received.take_other() {
                    Some(event) => told.0.push(format!("{event:?}")),
                    None => drop(received.hand_over(&mut told)),
                }
                received.tidy();
            }
            let bytes = received.records.bytes.len();
            assert!(bytes <= 2 * MOVED_FROM + 10_000 + received.waiting_bytes(), "{bytes} bytes");
        }
        assert!(!received.is_empty());
        told.0.extend(all(received, Flow::More));
        assert_eq!(told.0, expected);
    }

    #[test]
    fn a_partition_is_forgotten_and_everything_else_is_kept() {
        let mut received = received();
        received.hand_over(&mut Told(Vec::new(), Flow::Stop));
        received.forget(PartitionId(0));
        let lost = |id| format!("{:?}", Event::Lost(vec![PartitionId(id)]));
        assert_eq!(all(received, Flow::More), [&lost(0), "1@7: 3", &lost(1), &lost(0)]);
    }
}
