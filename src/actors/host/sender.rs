//! What a pool sends: stamps and fills payloads, and hands them to the client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::actors::Context;
use crate::base::{Offset, PartitionId, PoolId, RunId, Stamp, Time, write_payload};
use crate::broker::calls::RuledProducer;
use crate::broker::native::NativeProducer;
use crate::broker::{Answers, ProducerPort, SendError, SendRecord};
use crate::logic::Due;
use crate::measure::{Ack, Measurements, Outcome, PoolState};
use crate::plan::Pace;

/// Random bytes the fillers are cut from: large enough that compression finds nothing. In simulation nothing is
/// compressed, and one filler does for all.
const FILLER_BYTES: usize = 256 * 1024;

/// A pool's client, and what is sent through it.
pub(super) struct Sender<P> {
    pub(super) port: RuledProducer<P>,
    measurements: Arc<Measurements>,
    run: RunId,
    payload: Vec<u8>,
    filler: Vec<u8>,
    filler_at: usize,
    /// Where the next filler begins is counted up to this.
    fillers_end: usize,
    /// What was answered and not entered yet.
    answers: Answers,
    /// Records sent per partition, for the cap on what is unprocessed.
    pub(super) sent: Vec<i64>,
    unprocessed_max: Option<i64>,
    at_max_rate: bool,
}

impl<P: ProducerPort> Sender<P> {
    pub(super) fn new(context: &Context, pool: PoolId, port: RuledProducer<P>) -> Sender<P> {
        let load = &context.plan.load;
        let fillers_end = if context.hosting.is_kernel() { 1 } else { FILLER_BYTES };
        let size = load.payload_bytes as usize;
        let mut filler = vec![0; fillers_end + size];
        context.seed.child("filler", u64::from(pool.0)).random().fill(&mut filler);
        let per_pool = |bytes: u64| bytes / u64::from(load.payload_bytes) / u64::from(load.pools);
        Sender {
            port,
            measurements: context.measurements.clone(),
            run: context.run,
            payload: filler[..size].to_vec(),
            filler,
            filler_at: 0,
            fillers_end,
            answers: Answers::default(),
            sent: vec![0; context.measurements.cells.len()],
            unprocessed_max: load.unprocessed_bytes_max.map(|bytes| per_pool(bytes).max(1) as i64),
            at_max_rate: load.pace == Pace::Max,
        }
    }

    /// Makes room for so many partitions.
    pub(super) fn grow(&mut self, partitions: usize) {
        self.sent.resize(partitions, 0);
    }

    /// Whether more than the cap of this partition is sent and not processed.
    #[inline]
    pub(super) fn is_behind(&self, context: &Context, partition: PartitionId) -> bool {
        let Some(max) = self.unprocessed_max else {
            return false;
        };
        let at = partition.0 as usize;
        let measurements = &context.measurements;
        let Offset(start) = measurements.starts[at];
        let processed = measurements.progress[at].load(Ordering::Acquire) - start;
        let others = i64::from(context.plan.load.pools);
        self.sent[at] - processed / others >= max
    }

    /// Whether it does not matter to the pool how far consumers are.
    pub(super) fn is_independent(&self) -> bool {
        self.unprocessed_max.is_none()
    }

    /// Stamps and hands over one record. `Err` when the client's queue is full.
    pub(super) fn send(&mut self, cell: &mut PoolState, due: Due, now: Time) -> Result<(), ()> {
        let Due { producer, partition, .. } = due;
        let sequence = cell.next_sequence(producer, partition);
        self.stamp(due, sequence, now);
        let record = SendRecord { producer, partition, sequence, payload: &self.payload };
        match self.port.send(&record) {
            Ok(()) => {}
            Err(SendError::Full) => return Err(()),
            Err(SendError::Refused(name)) => {
                cell.error(&name, 1);
                let (sent, at, offset, outcome) = (now, now, None, Outcome::Failed);
                let ack = Ack { producer, partition, sequence, offset, sent, at, outcome };
                self.answers.acks.push(ack);
            }
        }
        self.note_sent(cell, due, now);
        Ok(())
    }

    /// When a record that is sent now was to be sent.
    #[inline]
    fn intended(&self, due: Due, now: Time) -> Time {
        if self.at_max_rate { now } else { due.intended }
    }

    /// Writes a record's payload.
    #[inline]
    fn stamp(&mut self, due: Due, sequence: u64, now: Time) {
        let stamp = Stamp {
            run: self.run,
            producer: due.producer,
            partition: due.partition,
            sequence,
            intended: self.intended(due, now),
            sent: now,
        };
        self.fill();
        write_payload(&stamp, &mut self.payload);
    }

    /// Puts the next filler into the payload, unless there is only one, which stays there.
    fn fill(&mut self) {
        if self.fillers_end > 1 {
            let size = self.payload.len();
            self.payload.copy_from_slice(&self.filler[self.filler_at..self.filler_at + size]);
            self.filler_at = (self.filler_at + size) % self.fillers_end;
        }
    }

    /// Enters a record the client takes; returns its sequence.
    fn note_sent(&mut self, cell: &mut PoolState, due: Due, now: Time) -> u64 {
        self.sent[due.partition.0 as usize] += 1;
        cell.sent(due.producer, due.partition, self.intended(due, now), now)
    }

    /// Lets `wait` pass, or less; whether the client has answered something that is to be entered.
    pub(super) fn has_answers(&mut self, wait: Duration) -> bool {
        self.port.answers(wait, &mut self.answers);
        !self.answers.is_empty()
    }

    /// Enters what was answered until now.
    pub(super) fn enter_answers(&mut self, cell: &mut PoolState) {
        if self.has_answers(Duration::ZERO) {
            self.enter(cell);
        }
    }

    /// Enters what was answered.
    pub(super) fn enter(&mut self, cell: &mut PoolState) {
        // What was not appended will not be processed: it does not count against the cap.
        for ack in self.answers.acks.iter().filter(|ack| ack.outcome != Outcome::Acked) {
            self.sent[ack.partition.0 as usize] -= 1;
        }
        let progress = &self.measurements.progress;
        cell.resolve(&self.answers.acks, |partition| {
            Offset(progress[partition.0 as usize].load(Ordering::Relaxed))
        });
        self.answers.acks.clear();
        let errors = std::mem::take(&mut self.answers.errors);
        errors.into_iter().for_each(|(name, times)| cell.error(&name, times));
        cell.withheld += self.port.take_withheld();
    }
}

impl Sender<NativeProducer> {
    /// Sends a record at `at`, for which the client [has room](NativeProducer::sends_immediately_at) then. Returns when the
    /// client wants its next tick.
    #[inline]
    pub(super) fn send_early(&mut self, cell: &mut PoolState, due: Due, at: Time) -> Time {
        let Due { producer, partition, .. } = due;
        let sequence = self.note_sent(cell, due, at);
        self.stamp(due, sequence, at);
        let record = SendRecord { producer, partition, sequence, payload: &self.payload };
        self.port.inner().send_early(&record, at)
    }
}
