//! Draining of the queues: the batch that is sent next, and its broker.

use super::batch::ProducerBatch;
use super::{NativeProducer, ProducerIdState};
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, Request};

impl NativeProducer {
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.producer_id, ProducerIdState::NotNeeded | ProducerIdState::Known(_))
    }

    /// The leader of a partition, if its next batch can be sent there now: it is known, connected and has room.
    #[inline]
    pub(super) fn ready_leader(&self, partition: PartitionId, now: Time) -> Option<BrokerId> {
        let leader = self.metadata.leader(partition, now)?;
        let queue = &self.queues[partition.0 as usize];
        // A leader that has nothing of this producer yet takes any sequence: those before it come first.
        if queue.in_flight > 0
            && let ProducerIdState::Known(id) = self.producer_id
            && (queue.leader != leader || queue.sent_as != producer_id_of(queue.first(), id))
        {
            return None;
        }
        (self.in_flight[leader as usize].len() < self.in_flight_max).then_some(leader)
    }

    /// Sends the batches that have waited long enough and have room; the others go on filling. Returns when
    /// something is due next.
    pub(super) fn send_due(&mut self, now: Time) -> Time {
        let mut next = self.metadata.refresh(now, &mut self.outbox);
        if !self.is_ready() {
            return next.min(self.request_producer_id(now));
        }
        if !self.waiting.is_empty() {
            next = next.min(self.send_waiting(now));
        }
        next = next.min(self.send_opened(now));
        next.min(self.check_timeouts(now))
    }

    /// Whether any broker takes another batch.
    #[inline]
    fn has_room(&self) -> bool {
        self.in_flight.iter().any(|in_flight| in_flight.len() < self.in_flight_max)
    }

    /// Whether an open batch has waited long enough.
    #[inline]
    pub(super) fn has_due(&self, now: Time) -> bool {
        self.opened.front().is_some_and(|(since, _)| *since + self.linger <= now)
    }

    /// Closes and sends the open batches that have waited long enough and have room; they are the first ones. Returns
    /// when something is due next.
    #[inline]
    pub(super) fn send_opened(&mut self, now: Time) -> Time {
        let (mut next, mut at) = (Time::NEVER, 0);
        while let Some((since, partition)) = self.opened.get(at).copied() {
            let due = since + self.linger;
            if due > now {
                return next.min(due);
            }
            // Behind it there may be a thousand others that cannot go either.
            if !self.has_room() {
                return next.min(self.metadata.next_try(now));
            }
            let ready_leader = match self.queues[partition.0 as usize].waits() {
                true => None,
                false => self.ready_leader(partition, now),
            };
            let Some(leader) = ready_leader else {
                next = next.min(self.metadata.next_try(now));
                at += 1;
                continue;
            };
            self.opened.remove(at);
            if let Some(batch) = self.queues[partition.0 as usize].close() {
                self.send_batch(batch, leader, now);
            }
        }
        next
    }

    /// Sends closed batches as far as that is possible; returns when more may be.
    pub(super) fn send_waiting(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|partition| {
            while self.may_send_first(*partition, now, &mut next) {
                // Before the batch is taken: the leader depends on the first batch.
                let leader = self.ready_leader(*partition, now);
                let batch = self.queues[partition.0 as usize].take_first();
                if let (Some(batch), Some(leader)) = (batch, leader) {
                    self.send_batch(batch, leader, now);
                }
            }
            self.queues[partition.0 as usize].waits()
        });
        // Nothing joins the list meanwhile.
        self.waiting = waiting;
        next.min(self.metadata.next_try(now))
    }

    pub(super) fn may_send_first(
        &self,
        partition: PartitionId,
        now: Time,
        next: &mut Time,
    ) -> bool {
        let queue = &self.queues[partition.0 as usize];
        let Some(first) = queue.first() else { return false };
        if queue.not_before > now {
            *next = queue.not_before.min(*next);
            return false;
        }
        // An idempotent producer sends nothing again before it knows what became of the rest.
        let drains = first.tries > 0
            && queue.in_flight > 0
            && self.producer_id != ProducerIdState::NotNeeded;
        !drains && self.ready_leader(partition, now).is_some()
    }

    pub(super) fn send_batch(
        &mut self,
        mut batch: Box<ProducerBatch>,
        leader: BrokerId,
        now: Time,
    ) {
        let sequence = match self.producer_id {
            ProducerIdState::Known(id) => {
                batch.sent_as = producer_id_of(Some(&batch), id);
                Some((batch.sent_as, batch.sequence))
            }
            _ => None,
        };
        self.requests += 1;
        batch.tries += 1;
        batch.number = self.requests;
        batch.limit = now + self.profile.request_timeout;
        let partition = batch.partition;
        let mut request = self.request_pool.pop().unwrap_or_default();
        (request.number, request.partition) = (batch.number, partition);
        (request.acks, request.sequence) = (self.acks, sequence);
        request.batch.clone_from(&batch.payloads);
        self.outbox.push((leader, Request::Produce(request)));
        let queue = &mut self.queues[partition.0 as usize];
        queue.in_flight += 1;
        (queue.leader, queue.sent_as) = (leader, batch.sent_as);
        self.in_flight[leader as usize].push_back(batch);
    }
}

/// The producer id a batch is sent with, when the producer's is `id`. A batch that may be in the log keeps the id it
/// was sent with, so that the broker recognises it.
#[inline]
fn producer_id_of(batch: Option<&ProducerBatch>, id: i64) -> i64 {
    let again = batch.filter(|batch| batch.may_be_there && batch.tries > 0);
    again.map_or(id, |batch| batch.sent_as)
}
