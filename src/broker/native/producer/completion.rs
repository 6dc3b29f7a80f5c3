//! Completion of batches: acknowledged, sent again, or expired.

use std::collections::VecDeque;

use super::batch::{EXPIRE_INTERVAL, ProducerBatch, Sent};
use super::{NativeProducer, ProducerIdState};
use crate::base::{Offset, Time};
use crate::broker::protocol::{BrokerId, Client, ErrorCode, Request};
use crate::measure::{Ack, Outcome};

impl NativeProducer {
    /// Closes connections whose requests have timed out, and expires batches. Returns when the next check is due.
    #[inline]
    pub(super) fn check_timeouts(&mut self, now: Time) -> Time {
        let limit = self.limit();
        if now >= limit {
            return self.close_silent_connections(now);
        }
        if now >= self.expire_batches_at {
            self.expire_batches(now);
        }
        limit
    }

    /// Until when the oldest batch in flight is to be answered.
    #[inline]
    fn limit(&self) -> Time {
        let oldest = self.in_flight.iter().filter_map(VecDeque::front);
        oldest.map(|batch| batch.limit).fold(Time::NEVER, Time::min)
    }

    #[cold]
    fn close_silent_connections(&mut self, now: Time) -> Time {
        for broker in 0..self.in_flight.len() {
            if self.in_flight[broker].front().is_some_and(|oldest| oldest.limit <= now) {
                self.close_connection(broker as BrokerId, now);
            }
        }
        self.check_timeouts(now)
    }

    pub(super) fn close_connection(&mut self, broker: BrokerId, now: Time) {
        self.outbox.push((broker, Request::Close));
        self.disconnected(broker, now);
    }

    fn expire_batches(&mut self, now: Time) {
        self.expire_batches_at = now + EXPIRE_INTERVAL;
        let too_old = |since: Time| since + self.profile.message_timeout <= now;
        let mut old = Vec::new();
        for queue in &mut self.queues {
            if queue.open.as_ref().is_some_and(|batch| too_old(batch.since)) {
                old.extend(queue.close());
            }
        }
        let queues = &self.queues;
        self.opened.retain(|(_, partition)| queues[partition.0 as usize].open.is_some());
        for partition in &self.waiting {
            let queue = &mut self.queues[partition.0 as usize];
            while queue.first().is_some_and(|batch| too_old(batch.since)) {
                old.extend(queue.take_first());
            }
        }
        for batch in old {
            self.answers.add_error("MessageTimedOut", 1);
            self.resolve_unsent(batch, now);
        }
    }

    /// Completes a batch that is not in flight, and will not be sent.
    pub(super) fn resolve_unsent(&mut self, batch: Box<ProducerBatch>, now: Time) {
        // What never left has certainly failed; what left may have arrived.
        let outcome = if batch.may_be_there { Outcome::Indeterminate } else { Outcome::Failed };
        self.resolve(batch, now, outcome, None);
    }

    /// A batch was refused, or not answered: it is sent again later.
    pub(super) fn retry(&mut self, batch: Box<ProducerBatch>, now: Time) {
        let doublings = batch.tries.saturating_sub(1).min(16);
        let backoff = self.profile.retry_backoff * (1 << doublings);
        let queue = &mut self.queues[batch.partition.0 as usize];
        queue.not_before = now + backoff.min(self.profile.retry_backoff_max);
        self.requeue(batch);
    }

    /// Puts a closed batch back into its queue.
    pub(super) fn requeue(&mut self, batch: Box<ProducerBatch>) {
        let partition = batch.partition;
        self.queues[partition.0 as usize].put(batch);
        if !self.waiting.contains(&partition) {
            self.waiting.push(partition);
        }
    }

    /// Completes the batch that was sent as request `number`, unless that request is answered already.
    pub(super) fn answered(
        &mut self,
        broker: BrokerId,
        number: u64,
        result: Result<Offset, ErrorCode>,
        now: Time,
    ) {
        let in_flight = &mut self.in_flight[broker as usize];
        let batch = match in_flight.front() {
            Some(first) if first.number == number => in_flight.pop_front(),
            _ => remove_batch(in_flight, number),
        };
        let Some(batch) = batch else { return };
        self.queues[batch.partition.0 as usize].in_flight -= 1;
        match result {
            // It is not known where a batch stands that is not answered.
            Ok(first) => {
                let queue = &mut self.queues[batch.partition.0 as usize];
                queue.acked = queue.acked.max(batch.sequence + batch.records.len() as u64);
                let first = Some(first).filter(|first| first.0 >= 0);
                self.resolve(batch, now, Outcome::Acked, first);
            }
            Err(code) => self.refused(batch, code, now),
        }
    }

    fn refused(&mut self, mut batch: Box<ProducerBatch>, code: ErrorCode, now: Time) {
        match code {
            ErrorCode::NotLeaderOrFollower | ErrorCode::Unavailable => {
                self.metadata.invalidate(now);
            }
            ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend => {
                batch.may_be_there = true;
            }
            ErrorCode::OutOfOrderSequence => {
                let queue = &self.queues[batch.partition.0 as usize];
                // It was refused when the log knew nothing of this producer yet, and then the next one was taken,
                // whatever its sequence. Behind that one it must not stand: it is given up, as the Java client does
                // in the end.
                if batch.sequence < queue.acked {
                    self.answers.add_error(code.name(), 1);
                    return self.resolve_unsent(batch, now);
                }
                let is_first = queue.first().is_none_or(|first| first.sequence > batch.sequence);
                // The batch before it is still to come, or the log has lost it: then a new producer id begins with a
                // new sequence.
                if is_first && queue.in_flight == 0 && batch.tries > 1 {
                    // It cannot be there without the one before it.
                    batch.may_be_there = false;
                    self.answers.add_error(code.name(), 1);
                    self.producer_id = ProducerIdState::Wanted;
                }
            }
            ErrorCode::NotEnoughReplicas | ErrorCode::OffsetOutOfRange => {}
        }
        self.retry(batch, now);
    }

    /// Answers every record of a batch, whose first one stands at `first` if that is known, and keeps the memory.
    pub(super) fn resolve(
        &mut self,
        mut batch: Box<ProducerBatch>,
        at: Time,
        outcome: Outcome,
        first: Option<Offset>,
    ) {
        let partition = batch.partition;
        let ack = |(index, &Sent { producer, sequence, at: sent }): (i64, &Sent)| {
            let offset = first.map(|first| Offset(first.0 + index));
            Ack { producer, partition, sequence, offset, sent, at, outcome }
        };
        self.answers.acks.extend((0..).zip(&batch.records).map(ack));
        self.queued -= batch.records.len();
        self.queued_bytes -= batch.payloads.bytes.len();
        batch.payloads.clear();
        batch.records.clear();
        (batch.tries, batch.may_be_there) = (0, false);
        self.batch_pool.push(batch);
    }
}

/// A batch that is not the first one, which is rare.
#[cold]
fn remove_batch(
    in_flight: &mut VecDeque<Box<ProducerBatch>>,
    number: u64,
) -> Option<Box<ProducerBatch>> {
    // Requests are numbered as they are sent.
    let place = in_flight.binary_search_by_key(&number, |batch| batch.number).ok()?;
    in_flight.remove(place)
}
