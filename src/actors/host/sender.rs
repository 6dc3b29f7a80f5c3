//! The client of a pool, and the records that it gets: stamped, handed over, and acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::filler::Filler;
use super::horizon::{Horizon, SLEEP_MAX};
use crate::actors::runtime::Context;
use crate::base::{Offset, PartitionId, PoolId, RunId, STAMP_BYTES, Stamp, Time};
use crate::broker::calls::RuledProducer;
use crate::broker::{Answers, ProducerPort, SendError, SendRecord, StampedRecord};
use crate::logic::{Due, Pacer};
use crate::measure::{Ack, Measurements, Outcome, PoolState};
use crate::plan::{Pace, RecordFacts, RecordWriter};

/// Acknowledgements that are entered at once: they stay in the processor's cache.
const ENTERED_MAX: usize = 256;

/// The client of a pool, with what it needs to make records.
pub(super) struct Sender<P> {
    pub(super) port: RuledProducer<P>,
    measurements: Arc<Measurements>,
    run: RunId,
    filler: Filler,
    /// True if the client gets stamps and makes the payloads.
    client_makes_payloads: bool,
    /// Makes records that have more than a stamp and filler of a constant size.
    writer: Option<Box<RecordWriter>>,
    /// Acknowledgements and errors that are not entered yet.
    answers: Answers,
    /// Records sent per partition, for the limit on unprocessed records.
    pub(super) sent: Vec<i64>,
    unprocessed_max: Option<i64>,
    pub(super) at_max_rate: bool,
}

impl<P: ProducerPort> Sender<P> {
    /// A sender through `port`, which fills payloads from a ring of `filler_bytes` random bytes.
    pub(super) fn new(
        context: &Context,
        pool: PoolId,
        port: RuledProducer<P>,
        filler_bytes: usize,
    ) -> Sender<P> {
        let load = &context.plan.load;
        let size = load.payload_bytes as usize;
        let filler_seed = context.seed.child("filler", u64::from(pool.0));
        let payload = &load.payload;
        let is_plain = payload.is_plain();
        let writer = || Box::new(RecordWriter::new(payload.clone(), context.seed));
        let per_pool = |bytes: u64| bytes / u64::from(load.payload_bytes) / u64::from(load.pools);
        Sender {
            client_makes_payloads: is_plain && port.makes_payloads(),
            port,
            measurements: context.measurements.clone(),
            run: context.run,
            filler: Filler::new(size.max(STAMP_BYTES), filler_bytes, filler_seed),
            writer: (!is_plain).then(writer),
            answers: Answers::default(),
            sent: vec![0; context.measurements.cells.len()],
            unprocessed_max: load.unprocessed_bytes_max.map(|bytes| per_pool(bytes).max(1) as i64),
            at_max_rate: load.pace == Pace::Max,
        }
    }

    /// Makes room for this number of partitions.
    pub(super) fn grow(&mut self, partitions: usize) {
        self.sent.resize(partitions, 0);
    }

    /// True if this partition has more unprocessed records than the limit.
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

    /// True if the progress of consumers does not matter to the pool.
    pub(super) fn is_independent(&self) -> bool {
        self.unprocessed_max.is_none()
    }

    /// Stamps one record and hands it over. `is_alone` is true if it may be the only one at its time. `Err` if the
    /// client's queue is full.
    pub(super) fn send(
        &mut self,
        cell: &mut PoolState,
        due: Due,
        now: Time,
        is_alone: bool,
    ) -> Result<(), ()> {
        let Due { producer, partition, .. } = due;
        let sequence = cell.next_sequence(producer, partition);
        let stamp = self.stamp(due, sequence, now);
        let accepted = if self.client_makes_payloads {
            let (ring, position) = self.filler.next();
            self.port.send_stamped(now, &StampedRecord { stamp, ring, position, is_alone })
        } else {
            let (payload, is_packed) = match &mut self.writer {
                None => (self.filler.stamped(&stamp), false),
                Some(writer) => {
                    let key = due.key;
                    let facts = RecordFacts { producer, partition, sequence, key, now };
                    writer.write(&stamp, &facts)
                }
            };
            let sent = now;
            let record =
                SendRecord { producer, partition, sequence, payload, is_packed, sent, is_alone };
            self.port.send(now, &record)
        };
        match accepted {
            Ok(()) => self.filler.advance(),
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

    /// Time of the next record if it can be sent early: it is the only one at its time, which is before the horizon and
    /// before the next turn would be, and it leaves the client immediately. Unless `has_left`, records that were sent
    /// at `at` leave the client first.
    #[inline]
    pub(super) fn next_early(
        &mut self,
        pacer: &Pacer,
        at: Time,
        horizon: Horizon,
        has_left: bool,
    ) -> Option<Time> {
        let Horizon::Before(end) = horizon else { return None };
        let is_next = |next: &Time| *next < end && *next <= at + SLEEP_MAX;
        let next = pacer.next_alone(at).filter(is_next)?;
        if next > at && !has_left {
            self.port.send_due(at);
        }
        self.port.sends_immediately_at(next).then_some(next)
    }

    /// The intended time of a record that is sent now.
    #[inline]
    fn intended(&self, due: Due, now: Time) -> Time {
        if self.at_max_rate { now } else { due.intended }
    }

    /// The stamp of a record.
    #[inline]
    fn stamp(&self, due: Due, sequence: u64, now: Time) -> Stamp {
        Stamp {
            run: self.run,
            producer: due.producer,
            partition: due.partition,
            sequence,
            intended: self.intended(due, now),
            sent: now,
        }
    }

    /// Counts a record that the client has taken, and returns its sequence.
    fn note_sent(&mut self, cell: &mut PoolState, due: Due, now: Time) -> u64 {
        self.sent[due.partition.0 as usize] += 1;
        cell.sent(due.producer, due.partition, self.intended(due, now), now)
    }

    /// Waits at most `wait`. Returns true if there are acknowledgements or errors to enter.
    pub(super) fn has_answers(&mut self, now: Time, wait: Duration) -> bool {
        self.port.answers(now, wait, &mut self.answers);
        !self.answers.is_empty()
    }

    /// Enters the acknowledgements that have come until now.
    pub(super) fn enter_answers(&mut self, now: Time, cell: &mut PoolState) {
        if self.has_answers(now, Duration::ZERO) {
            self.enter(cell);
        }
    }

    /// Enters the acknowledgements and errors that were collected.
    pub(super) fn enter(&mut self, cell: &mut PoolState) {
        let progress = &self.measurements.progress;
        let position =
            |partition: PartitionId| Offset(progress[partition.0 as usize].load(Ordering::Relaxed));
        // Twice over a few, which then are in the processor's cache.
        for acks in self.answers.acks.chunks(ENTERED_MAX) {
            // A record that was not appended will not be processed, so it does not count against the limit.
            for ack in acks.iter().filter(|ack| ack.outcome != Outcome::Acked) {
                self.sent[ack.partition.0 as usize] -= 1;
            }
            cell.resolve(acks, position);
        }
        self.answers.acks.clear();
        let errors = std::mem::take(&mut self.answers.errors);
        errors.into_iter().for_each(|(name, times)| cell.error(&name, times));
        cell.withheld += self.port.take_withheld();
    }
}
