//! The producer's side of the native client: batches, a window of requests in flight, sequences, retries.
//!
//! A batch that was refused or not answered goes back to its place before those that were not sent yet. Batches behind
//! it that are in flight already stay there: without idempotence they may overtake it, as with librdkafka.

mod batch;
mod drain;

use std::collections::VecDeque;
use std::time::Duration;

use self::batch::{EXPIRE_INTERVAL, PartitionQueue, ProducerBatch};
use super::Profile;
use super::metadata::Metadata;
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::protocol::{BrokerId, Client, Produce, Records, Request, Response};
use crate::broker::{Answers, ProducerPort, SendError, SendRecord};
use crate::measure::Outcome;
use crate::plan::{Acks, LoadPlan};

/// librdkafka's `queue.buffering.max.messages` and `queue.buffering.max.kbytes`.
const QUEUED_MAX: usize = 100_000;
const QUEUED_BYTES_MAX: usize = 1 << 30;
/// librdkafka's `max.in.flight` of an idempotent producer; without idempotence its window is a million.
const IN_FLIGHT_IDEMPOTENT: usize = 5;
const IN_FLIGHT: usize = 1_000_000;

/// A pool's client.
#[derive(Debug)]
pub struct NativeProducer {
    clock: Clock,
    profile: Profile,
    acks: Acks,
    linger: Duration,
    in_flight_max: usize,
    /// The producer id, of an idempotent producer.
    producer_id: ProducerIdState,
    metadata: Metadata,
    /// By partition.
    queues: Vec<PartitionQueue>,
    /// Partitions with an open batch, in the order in which they were opened, and when.
    opened: VecDeque<(Time, PartitionId)>,
    /// Partitions with closed batches that wait, in the order they began to.
    waiting: Vec<PartitionId>,
    /// By broker, in the order they were sent.
    in_flight: Vec<VecDeque<Box<ProducerBatch>>>,
    requests: u64,
    #[expect(clippy::vec_box, reason = "it moves from list to list")]
    batch_pool: Vec<Box<ProducerBatch>>,
    /// Requests that have done their work; their memory is used again.
    #[expect(clippy::vec_box, reason = "it moves from list to list")]
    request_pool: Vec<Box<Produce>>,
    /// Records queued or in flight, and their bytes.
    queued: usize,
    queued_bytes: usize,
    /// When batches are expired next.
    expire_batches_at: Time,
    answers: Answers,
    outbox: Vec<(BrokerId, Request)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProducerIdState {
    NotNeeded,
    Wanted,
    Asked(BrokerId, Time),
    Known(i64),
}

impl NativeProducer {
    /// A client for `partitions` partitions.
    pub fn new(load: &LoadPlan, partitions: u32, profile: Profile, clock: Clock) -> NativeProducer {
        let (producer_id, in_flight_max) = match load.idempotence {
            true => (ProducerIdState::Wanted, IN_FLIGHT_IDEMPOTENT),
            false => (ProducerIdState::NotNeeded, IN_FLIGHT),
        };
        NativeProducer {
            clock,
            acks: load.acks,
            linger: load.linger,
            in_flight_max,
            producer_id,
            queues: (0..partitions).map(|_| PartitionQueue::default()).collect(),
            opened: VecDeque::new(),
            waiting: Vec::new(),
            in_flight: (0..profile.brokers).map(|_| VecDeque::new()).collect(),
            metadata: Metadata::new(profile.clone()),
            profile,
            requests: 0,
            batch_pool: Vec::new(),
            request_pool: Vec::new(),
            queued: 0,
            queued_bytes: 0,
            expire_batches_at: Time::ZERO + EXPIRE_INTERVAL,
            answers: Answers::default(),
            outbox: Vec::new(),
        }
    }

    /// Whether no batch waits for an acknowledgement.
    #[inline]
    pub fn acks_are_inert(&self) -> bool {
        let is_empty = self.opened.is_empty() || !self.has_due(self.clock.now());
        is_empty && self.waiting.is_empty() && self.is_ready()
    }

    /// Whether a record sent at `at` leaves immediately, whatever acknowledgements are pending, and no request times
    /// out before.
    #[inline]
    pub fn sends_immediately_at(&self, at: Time) -> bool {
        let has_room = |in_flight: &VecDeque<Box<ProducerBatch>>| {
            in_flight.len() < self.in_flight_max
                && in_flight.front().is_none_or(|oldest| at < oldest.limit)
        };
        self.linger.is_zero()
            && self.opened.is_empty()
            && self.waiting.is_empty()
            && self.is_ready()
            && self.metadata.all_leaders_known()
            && self.in_flight.iter().all(has_room)
    }

    /// Takes a record at `at` and sends it, if it [leaves immediately](Self::sends_immediately_at). Returns when something is due next.
    #[inline]
    pub fn send_early(&mut self, record: &SendRecord<'_>, at: Time) -> Time {
        let Some(leader) = self.ready_leader(record.partition, at) else {
            self.take(record, at);
            return self.send_due(at);
        };
        // As a batch of its own, which need not be opened first.
        let mut batch = self.batch_pool.pop().unwrap_or_default().begun(record.partition, at);
        batch.add(record, at);
        self.queued += 1;
        self.queued_bytes += record.payload.len();
        self.queues[record.partition.0 as usize].assign_sequence(&mut batch);
        self.send_batch(batch, leader, at);
        self.check_timeouts(at)
    }

    /// Adds a record to its partition's open batch.
    fn take(&mut self, record: &SendRecord<'_>, now: Time) {
        let at = record.partition.0 as usize;
        let is_full = self.queues[at].open.as_ref().is_some_and(|batch| batch.is_full_for(record));
        if is_full && let Some(batch) = self.queues[at].close() {
            self.requeue(batch);
            self.opened.retain(|(_, partition)| *partition != record.partition);
        }
        let batch = self.queues[at].open.get_or_insert_with(|| {
            self.opened.push_back((now, record.partition));
            self.batch_pool.pop().unwrap_or_default().begun(record.partition, now)
        });
        batch.add(record, now);
        self.queued += 1;
        self.queued_bytes += record.payload.len();
    }

    /// Notes that a broker has answered, unless the batch needs no answer.
    #[inline]
    fn note_answer(&mut self, broker: BrokerId) {
        if self.acks != Acks::None {
            self.metadata.answered(broker);
        }
    }

    /// Requests a producer id if that is due; returns when something is due next.
    fn request_producer_id(&mut self, now: Time) -> Time {
        if let ProducerIdState::Asked(broker, since) = self.producer_id {
            let limit = since + self.profile.request_timeout;
            if now < limit {
                return limit;
            }
            self.close_connection(broker, now);
        }
        match self.metadata.any(now) {
            Some(broker) if self.producer_id == ProducerIdState::Wanted => {
                self.producer_id = ProducerIdState::Asked(broker, now);
                self.outbox.push((broker, Request::InitProducerId));
                now + self.profile.request_timeout
            }
            _ => now + self.profile.retry_backoff,
        }
    }
}

impl ProducerPort for NativeProducer {
    fn send(&mut self, record: &SendRecord<'_>) -> Result<(), SendError> {
        if self.queued >= QUEUED_MAX || self.queued_bytes >= QUEUED_BYTES_MAX {
            return Err(SendError::Full);
        }
        self.take(record, self.clock.now());
        Ok(())
    }

    fn answers(&mut self, _wait: Duration, answers: &mut Answers) {
        if !self.answers.is_empty() {
            answers.append(&mut self.answers);
        }
    }

    fn follow(&mut self, partitions: u32) -> bool {
        let partitions = partitions as usize;
        if self.metadata.partitions() < partitions {
            self.metadata.invalidate(self.clock.now());
            return false;
        }
        if self.queues.len() < partitions {
            self.queues.resize_with(partitions, PartitionQueue::default);
        }
        true
    }

    fn give_up(&mut self, _limit: Duration) {
        let now = self.clock.now();
        self.opened.clear();
        self.waiting.clear();
        for queue in 0..self.queues.len() {
            let open = self.queues[queue].close();
            while let Some(batch) = self.queues[queue].take_first() {
                self.resolve_unsent(batch, now);
            }
            open.into_iter().for_each(|batch| self.resolve_unsent(batch, now));
            self.queues[queue].in_flight = 0;
        }
        for broker in 0..self.in_flight.len() {
            for batch in std::mem::take(&mut self.in_flight[broker]) {
                self.resolve(batch, now, Outcome::Indeterminate, None);
            }
        }
    }
}

impl Client for NativeProducer {
    fn receive(&mut self, broker: BrokerId, response: Response, _records: &dyn Records, now: Time) {
        if !matches!(response, Response::Produce(..)) {
            self.metadata.answered(broker);
        }
        match response {
            Response::Metadata(leaders) => self.metadata.learn(leaders),
            Response::InitProducerId(id) => self.producer_id = ProducerIdState::Known(id),
            Response::Refused(_) => self.metadata.refused(),
            Response::Produce(number, result) => {
                self.note_answer(broker);
                self.answered(broker, number, result, now);
            }
            Response::Fetch(_)
            | Response::ListOffsets(_)
            | Response::Coordinator(_)
            | Response::Group(_) => {}
        }
    }

    #[inline]
    fn acknowledged(
        &mut self,
        from: BrokerId,
        (number, first): (u64, Offset),
        now: Time,
        done: &mut Vec<Box<Produce>>,
    ) {
        // One for one: so it has the memory of as many as it sends before it hears of them.
        if let Some(request) = done.pop() {
            self.request_pool.push(request);
        }
        self.note_answer(from);
        self.answered(from, number, Ok(first), now);
    }

    fn disconnected(&mut self, broker: BrokerId, now: Time) {
        if self.metadata.broken(broker, now) {
            self.answers.add_error("BrokerTransportFailure", 1);
        }
        if matches!(self.producer_id, ProducerIdState::Asked(asked, _) if asked == broker) {
            self.producer_id = ProducerIdState::Wanted;
        }
        for mut batch in std::mem::take(&mut self.in_flight[broker as usize]) {
            self.queues[batch.partition.0 as usize].in_flight -= 1;
            batch.may_be_there = true;
            self.retry(batch, now);
        }
    }

    fn outbox(&mut self) -> &mut Vec<(BrokerId, Request)> {
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        self.send_due(now)
    }
}
