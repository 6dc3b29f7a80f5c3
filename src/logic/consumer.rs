//! The consumer machine of one partition: verifies records, draws their work, and hands batches to the cell.

use std::sync::Arc;

use crate::base::{Offset, PartitionId, RecordView, RunId, Stamp, StampCheck, Time, verify_record};
use crate::logic::{Effort, WorkSampler};
use crate::measure::{Applied, Content, Handed, Owner, PartitionCell, Processed};

/// The runs whose records a consumer processes.
#[derive(Clone, Debug)]
pub struct Runs {
    /// This run.
    pub own: RunId,
    /// The runs that this run continues: their records are processed, and counted separately.
    pub earlier: Arc<[RunId]>,
}

impl From<RunId> for Runs {
    /// A run that continues none.
    fn from(own: RunId) -> Runs {
        Runs { own, earlier: Arc::new([]) }
    }
}

/// Processes the records of one partition for one incarnation of its consumer.
///
/// The host calls [`begin`](Self::begin) with each record where it lies, makes the effort that is returned, calls
/// [`done`](Self::done), and [`flush`](Self::flush)es at the end of a batch.
#[derive(Debug)]
pub struct ConsumerMachine {
    partition: PartitionId,
    owner: Owner,
    runs: Runs,
    work: WorkSampler,
    batch: Vec<Processed>,
    /// True if the last record of the batch is in progress. It does not count until it is done.
    is_begun: bool,
    batch_max: usize,
    position: Option<Offset>,
}

impl ConsumerMachine {
    /// A machine without records.
    pub fn new(
        partition: PartitionId,
        owner: Owner,
        runs: impl Into<Runs>,
        work: WorkSampler,
        batch_max: usize,
    ) -> ConsumerMachine {
        let batch = Vec::with_capacity(batch_max);
        ConsumerMachine {
            partition,
            owner,
            runs: runs.into(),
            work,
            batch,
            is_begun: false,
            batch_max,
            position: None,
        }
    }

    /// The partition of the machine.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The incarnation that the machine works for.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The next offset to process, as far as this machine has come.
    pub fn position(&self) -> Option<Offset> {
        self.position
    }

    /// Verifies a record in place, and returns the effort to be made for it.
    #[inline]
    pub fn begin<'a>(
        &mut self,
        offset: Offset,
        record: impl Into<RecordView<'a>>,
        handed: impl Into<Handed>,
    ) -> Effort {
        let record = record.into();
        let content = match verify_record(&record, self.runs.own) {
            StampCheck::Intact(stamp) => Content::Intact(stamp),
            StampCheck::Corrupt => Content::Corrupt,
            StampCheck::OtherRun(stamp) if self.runs.earlier.contains(&stamp.run) => {
                Content::Earlier(stamp)
            }
            StampCheck::OtherRun(_) | StampCheck::OtherProducer => Content::OtherProducer,
        };
        self.forget_begun();
        self.is_begun = true;
        let (handed, bytes) = (handed.into(), record.bytes() as u32);
        self.batch.push(Processed { offset, content, handed, done: handed.at, bytes });
        match content {
            Content::Intact(_) | Content::Earlier(_) => self.work.draw(),
            Content::Corrupt | Content::OtherProducer | Content::Skipped(_) => Effort::None,
        }
    }

    /// The stamp of the record in progress, if it is intact and of this run, or of one that this run continues.
    #[inline]
    pub fn begun_stamp(&self) -> Option<Stamp> {
        match self.begun()?.content {
            Content::Intact(stamp) | Content::Earlier(stamp) => Some(stamp),
            Content::Corrupt | Content::OtherProducer | Content::Skipped(_) => None,
        }
    }

    /// Notes that the effort of the record begun last is done.
    #[inline]
    pub fn done(&mut self, now: Time) {
        if std::mem::take(&mut self.is_begun)
            && let Some(record) = self.batch.last_mut()
        {
            record.done = now;
            self.position = Some(Offset(record.offset.0 + 1));
        }
    }

    /// Drops the record begun last, if it was not done.
    #[inline]
    fn forget_begun(&mut self) {
        if std::mem::take(&mut self.is_begun) {
            self.batch.pop();
        }
    }

    fn begun(&self) -> Option<&Processed> {
        self.batch.last().filter(|_| self.is_begun)
    }

    /// Skips a record, without work.
    pub fn skip<'a>(&mut self, offset: Offset, record: impl Into<RecordView<'a>>, now: Time) {
        let record = record.into();
        let stamp = match verify_record(&record, self.runs.own) {
            StampCheck::Intact(stamp) => Some(stamp),
            StampCheck::Corrupt | StampCheck::OtherRun(_) | StampCheck::OtherProducer => None,
        };
        let (content, bytes) = (Content::Skipped(stamp), record.bytes() as u32);
        self.forget_begun();
        self.batch.push(Processed { offset, content, handed: now.into(), done: now, bytes });
        self.position = Some(Offset(offset.0 + 1));
    }

    /// Notes that no record is left before `next`.
    pub fn reach(&mut self, next: Offset) {
        self.position = self.position.max(Some(next));
    }

    /// The offset of the first record of the batch, if that one is done.
    pub fn first_of_batch(&self) -> Option<Offset> {
        let done = self.batch.len() - usize::from(self.is_begun);
        self.batch[..done].first().map(|record| record.offset)
    }

    /// True if the batch should be handed over.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.batch.len() >= self.batch_max
    }

    /// Hands the batch to the cell, which counts or fences it.
    pub fn flush(&mut self, cell: &PartitionCell) -> Applied {
        let done = self.batch.len() - usize::from(self.is_begun);
        if done == 0 {
            return Applied::Counted;
        }
        let applied = cell.lock().apply(self.owner, &self.batch[..done]);
        self.batch.drain(..done);
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ConsumerId, Incarnation, ProducerId, Seed, write_payload};
    use crate::measure::{LaneShape, Outcome, PartitionCell, SentLane, balance};
    use crate::plan::Work;
    use crate::summary::Ledger;

    const RUN: RunId = RunId(42);

    fn payload(sequence: u64) -> Vec<u8> {
        let mut payload = vec![7; 100];
        let stamp = Stamp {
            run: RUN,
            producer: ProducerId(0),
            partition: PartitionId(0),
            sequence,
            intended: Time(0),
            sent: Time(0),
        };
        write_payload(&stamp, &mut payload);
        payload
    }

    fn machine(incarnation: u32) -> ConsumerMachine {
        let owner = Owner { consumer: ConsumerId(0), incarnation: Incarnation(incarnation) };
        ConsumerMachine::new(PartitionId(0), owner, RUN, WorkSampler::new(Work::None, Seed(1)), 256)
    }

    fn cell() -> PartitionCell {
        let shape = LaneShape { fixed: true, partitions: 1, pools: 1 };
        PartitionCell::new(PartitionId(0), Offset(0), shape)
    }

    fn process(machine: &mut ConsumerMachine, offsets: std::ops::Range<i64>) {
        for offset in offsets {
            machine.begin(Offset(offset), &payload(offset as u64), Time(offset));
            machine.done(Time(offset + 1));
        }
    }

    #[test]
    fn the_end_of_a_partition_moves_the_checkpoint_over_what_is_no_record() {
        let (cell, mut old, mut new) = (cell(), machine(1), machine(2));
        process(&mut old, 0..3);
        old.flush(&cell);
        let owner = old.owner();
        assert_eq!(cell.lock().reach(owner, Offset(5), Time(9)), Applied::Counted);
        old.reach(Offset(5));
        assert_eq!((cell.lock().next_offset(), old.position()), (Offset(5), Some(Offset(5))));
        // The record before is still what the log is recognised by.
        assert_eq!(cell.lock().start().reads_from(), Offset(2));
        // The next record is counted once, at its offset.
        old.begin(Offset(6), &payload(3), Time(10));
        old.done(Time(11));
        old.flush(&cell);
        let state = |cell: &PartitionCell| {
            let cell = cell.lock();
            (cell.offset_gaps, cell.next_offset())
        };
        assert_eq!(state(&cell), (3, Offset(7)));
        // The checkpoint never moves back, and does not move for a replaced incarnation.
        assert_eq!(cell.lock().reach(owner, Offset(6), Time(12)), Applied::Counted);
        cell.lock().release(ConsumerId(0), Incarnation(2));
        assert_eq!(cell.lock().reach(owner, Offset(20), Time(13)), Applied::Fenced);
        assert_eq!(state(&cell), (3, Offset(7)));
        new.begin(Offset(7), &payload(4), Time(14));
        new.done(Time(15));
        assert_eq!(new.flush(&cell), Applied::Counted);
        let cell = cell.lock();
        assert_eq!((cell.delivered(), cell.counts().redelivered), (5, 0));
    }

    #[test]
    fn a_batch_moves_the_checkpoint_when_it_is_handed_over() {
        let (cell, mut machine) = (cell(), machine(1));
        process(&mut machine, 0..10);
        assert_eq!(cell.lock().next_offset(), Offset(0));
        assert_eq!(machine.flush(&cell), Applied::Counted);
        assert_eq!(cell.lock().next_offset(), Offset(10));
    }

    #[test]
    fn a_record_that_was_begun_and_not_done_does_not_count() {
        let (cell, mut machine) = (cell(), machine(1));
        process(&mut machine, 0..3);
        machine.begin(Offset(3), &payload(3), Time(3));
        machine.flush(&cell);
        assert_eq!((cell.lock().next_offset(), machine.position()), (Offset(3), Some(Offset(3))));
        assert_eq!(cell.lock().delivered(), 3);
    }

    #[test]
    fn a_skipped_record_is_neither_delivered_nor_lost() {
        let (cell, mut machine) = (cell(), machine(1));
        process(&mut machine, 0..3);
        machine.skip(Offset(3), &payload(3), Time(3));
        process(&mut machine, 4..6);
        machine.flush(&cell);
        let cell = cell.lock();
        assert_eq!((cell.next_offset(), cell.counts().skipped), (Offset(6), 1));
        let mut sent = SentLane::default();
        for sequence in 0..6 {
            sent.sent();
            sent.resolve(sequence, Outcome::Acked);
        }
        let account = balance(&sent, cell.lane(ProducerId(0)));
        assert_eq!((account.sent, account.delivered, account.lost), (6, 5, 0));
    }

    /// The account of a partition after these reads, in order: the sequence of an acknowledged record, and true if it
    /// was skipped.
    fn account(sequences: u64, read: &[(u64, bool)]) -> Ledger {
        let (cell, mut machine) = (cell(), machine(1));
        for (offset, (sequence, is_skipped)) in (0..).map(Offset).zip(read) {
            if *is_skipped {
                machine.skip(offset, &payload(*sequence), Time(0));
            } else {
                machine.begin(offset, &payload(*sequence), Time(0));
                machine.done(Time(1));
            }
        }
        machine.flush(&cell);
        let mut sent = SentLane::default();
        for sequence in 0..sequences {
            sent.sent();
            sent.resolve(sequence, Outcome::Acked);
        }
        let cell = cell.lock();
        let mut account = cell.counts();
        account.merge(&balance(&sent, cell.lane(ProducerId(0))));
        account
    }

    #[test]
    fn each_record_of_several_copies_has_one_fate_and_the_others_are_duplicates() {
        // Passed over or processed, and then once more, one way or the other.
        for first in [true, false] {
            for again in [true, false] {
                let account = account(2, &[(0, first), (0, again), (1, false)]);
                let skipped = u64::from(first);
                assert_eq!((account.skipped, account.delivered), (skipped, 2 - skipped));
                assert_eq!((account.duplicated, account.lost, account.unaccounted()), (1, 0, 0));
            }
        }
    }

    #[test]
    fn what_is_skipped_and_is_no_record_of_this_run_leaves_the_account_alone() {
        let (cell, mut machine) = (cell(), machine(1));
        machine.skip(Offset(0), b"of another program", Time(0));
        let mut astray = payload(3);
        let stamp = Stamp {
            run: RUN,
            producer: ProducerId(0),
            partition: PartitionId(7),
            sequence: 3,
            intended: Time(0),
            sent: Time(0),
        };
        write_payload(&stamp, &mut astray);
        machine.skip(Offset(1), &astray, Time(0));
        machine.flush(&cell);
        let cell = cell.lock();
        assert_eq!((cell.counts().skipped, cell.counts().unaccounted()), (2, 0));
        assert_eq!(cell.wrong_partition, 1);
    }

    #[test]
    fn records_of_a_run_that_is_continued_are_counted_apart_from_those_of_other_producers() {
        for (own, expected) in [
            (Runs { own: RunId(7), earlier: [RUN].into() }, (5, 0)),
            (Runs { own: RunId(7), earlier: [RunId(8)].into() }, (0, 5)),
        ] {
            let (cell, owner) = (cell(), machine(1).owner());
            let work = WorkSampler::new(Work::None, Seed(1));
            let mut machine = ConsumerMachine::new(PartitionId(0), owner, own, work, 256);
            process(&mut machine, 0..5);
            machine.flush(&cell);
            let cell = cell.lock();
            let counts = cell.counts();
            assert_eq!((counts.earlier, counts.other_producers), expected);
            assert_eq!((cell.delivered(), cell.next_offset()), (0, Offset(5)));
            // Only a record that can be recognised is a resume point.
            assert_eq!(cell.start().resume_point.is_some(), expected.0 > 0);
        }
    }

    #[test]
    fn what_a_released_incarnation_brings_is_dropped_and_its_repetition_is_redelivery() {
        let (cell, mut old, mut new) = (cell(), machine(1), machine(2));
        process(&mut old, 0..5);
        old.flush(&cell);
        process(&mut old, 5..8);
        cell.lock().release(ConsumerId(0), Incarnation(2));
        assert_eq!(old.flush(&cell), Applied::Fenced);
        process(&mut new, 5..20);
        new.flush(&cell);
        let cell = cell.lock();
        assert_eq!(cell.next_offset(), Offset(20));
        assert_eq!((cell.fenced, cell.counts().redelivered), (3, 3));
        assert_eq!(cell.counts().duplicated, 0);
    }

    #[test]
    fn a_fenced_batch_that_comes_late_counts_the_same_redeliveries() {
        let (cell, mut old, mut new) = (cell(), machine(1), machine(2));
        process(&mut old, 0..3);
        cell.lock().release(ConsumerId(0), Incarnation(2));
        process(&mut new, 0..10);
        new.flush(&cell);
        old.flush(&cell);
        assert_eq!(cell.lock().counts().redelivered, 3);
    }

    #[test]
    fn a_record_at_a_second_offset_is_a_duplicate() {
        let (cell, mut machine) = (cell(), machine(1));
        for (offset, sequence) in [(0, 0), (1, 1), (2, 1), (3, 2)] {
            machine.begin(Offset(offset), &payload(sequence), Time(0));
            machine.done(Time(1));
        }
        machine.flush(&cell);
        let counts = cell.lock().counts();
        assert_eq!((counts.duplicated, counts.redelivered, counts.reordered), (1, 0, 0));
    }

    #[test]
    fn a_repetition_is_noted_as_unexpected_unless_the_partition_has_moved() {
        let noted = |cell: &PartitionCell| {
            let cell = cell.lock();
            let noted: Vec<_> =
                cell.wrong.records().iter().map(|it| (it.lane, it.offset)).collect();
            (cell.counts().redelivered, cell.unexpected_redelivered, noted)
        };
        let read = |cell: &PartitionCell, incarnation: u32, offsets| {
            let mut machine = machine(incarnation);
            cell.lock().take_over(machine.owner(), Time(0));
            process(&mut machine, offsets);
            machine.flush(cell);
            process(&mut machine, 2..4);
            machine.flush(cell);
        };
        let stays = cell();
        read(&stays, 1, 0..3);
        assert_eq!(noted(&stays), (1, 1, vec![(Some((ProducerId(0), 2)), Offset(2))]));
        let moves = cell();
        moves.lock().take_over(machine(1).owner(), Time(0));
        read(&moves, 2, 0..3);
        assert_eq!(noted(&moves), (1, 0, Vec::new()));
    }
}
