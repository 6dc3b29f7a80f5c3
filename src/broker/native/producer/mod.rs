//! The producer's side of the native client: batches, a window of requests in flight, sequences, retries.
//!
//! A batch that was refused or not answered is put back in front of the batches that were not sent yet. Later batches
//! that are in flight stay in flight: without idempotence they may overtake it, as with librdkafka.

mod batch;
mod drain;
mod in_flight;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use self::batch::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, EXPIRE_INTERVAL, NewRecord, PartitionQueue, ProducerBatch,
};
use self::in_flight::{InFlight, InFlightLimits};
use super::NativeSettings;
use super::metadata::Metadata;
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, Client, Outbox, Produce, Records, Request, Response};
use crate::broker::{Answers, ProducerPort, SendError, SendRecord, StampedRecord};
use crate::measure::Outcome;
use crate::plan::{Acks, LoadPlan};
use crate::summary::Sending;

/// librdkafka's `queue.buffering.max.messages` and `queue.buffering.max.kbytes`.
const QUEUED_MAX: usize = 100_000;
const QUEUED_BYTES_MAX: usize = 1 << 30;
/// librdkafka's `max.in.flight` of an idempotent producer. Without idempotence the limit is a million.
const IN_FLIGHT_IDEMPOTENT: usize = 5;
const IN_FLIGHT: usize = 1_000_000;

/// A pool's client.
#[derive(Debug)]
pub struct NativeProducer {
    settings: NativeSettings,
    acks: Acks,
    linger: Duration,
    in_flight_max: usize,
    /// The state of an idempotent producer's id.
    producer_id: ProducerIdState,
    metadata: Metadata,
    /// Index: the partition.
    queues: Vec<PartitionQueue>,
    /// Partitions with an open batch, in the order in which they were opened, with the time of that.
    opened: VecDeque<(Time, PartitionId)>,
    /// Partitions with closed batches that wait, in the order in which they began to wait.
    waiting: Vec<PartitionId>,
    /// Index: the broker.
    in_flight: Vec<InFlight>,
    /// Number of batches that were sent.
    numbered: u64,
    /// Number of times the outbox was taken.
    outboxes: u64,
    #[expect(clippy::vec_box, reason = "it moves from list to list")]
    batch_pool: Vec<Box<ProducerBatch>>,
    /// Requests that are not used any more, kept for their memory.
    #[expect(clippy::vec_box, reason = "it moves from list to list")]
    request_pool: Vec<Box<Produce>>,
    /// Number of records queued or in flight, and their bytes.
    queued: usize,
    queued_bytes: usize,
    /// Time of the next check for batches to expire.
    expire_batches_at: Time,
    answers: Answers,
    /// Number of the last batch that was sent before the metadata or the producer id changed. While a batch up to this
    /// one is in flight, batches may have to wait for its response.
    unsettled: u64,
    outbox: Outbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProducerIdState {
    NotNeeded,
    Wanted,
    Asked(BrokerId, Time),
    /// To be requested again, not before this time.
    Refused(Time),
    Known(i64),
}

/// Largest number of Produce requests without a response on a connection.
fn in_flight_max(load: &LoadPlan) -> usize {
    if load.idempotence { IN_FLIGHT_IDEMPOTENT } else { IN_FLIGHT }
}

impl NativeProducer {
    /// The settings with which clients of this load send.
    pub fn sending(load: &LoadPlan) -> Sending {
        Sending {
            acks: load.acks.to_string(),
            idempotence: load.idempotence,
            linger_ms: Some(load.linger.as_secs_f64() * 1e3),
            batch_bytes_max: Some(BATCH_BYTES_MAX as u64),
            batch_records_max: Some(BATCH_RECORDS_MAX as u64),
            compression: load.compression.to_string(),
            in_flight_max: Some(in_flight_max(load) as u64),
            ..Sending::default()
        }
    }

    /// A client for `partitions` partitions.
    pub fn new(load: &LoadPlan, partitions: u32, settings: NativeSettings) -> NativeProducer {
        let producer_id = match load.idempotence {
            true => ProducerIdState::Wanted,
            false => ProducerIdState::NotNeeded,
        };
        NativeProducer {
            acks: load.acks,
            linger: load.linger,
            in_flight_max: in_flight_max(load),
            producer_id,
            queues: (0..partitions).map(|_| PartitionQueue::default()).collect(),
            opened: VecDeque::new(),
            waiting: Vec::new(),
            in_flight: (0..settings.brokers).map(|_| InFlight::default()).collect(),
            metadata: Metadata::new(settings.clone()),
            settings,
            numbered: 0,
            outboxes: 1,
            batch_pool: Vec::new(),
            request_pool: Vec::new(),
            queued: 0,
            queued_bytes: 0,
            expire_batches_at: Time::ZERO + EXPIRE_INTERVAL,
            answers: Answers::default(),
            unsettled: 0,
            outbox: Outbox::new(),
        }
    }

    /// True if an acknowledgement would let no batch leave.
    #[inline]
    pub fn acks_are_inert(&self, now: Time) -> bool {
        let is_empty = self.opened.is_empty() || !self.has_due(now);
        is_empty && self.waiting.is_empty() && self.is_ready()
    }

    /// The limits of requests in flight.
    #[inline]
    fn window(&self) -> InFlightLimits {
        let (requests_max, request_bytes) = (self.in_flight_max, self.settings.request_bytes);
        InFlightLimits { requests_max, request_bytes, outbox: self.outboxes }
    }

    /// True if there is no room for another record.
    #[inline]
    fn is_full(&self) -> bool {
        self.queued >= QUEUED_MAX || self.queued_bytes >= QUEUED_BYTES_MAX
    }

    /// True if no batch has to wait for anything that is the same for all partitions.
    #[inline]
    fn waits_for_nothing(&self) -> bool {
        self.linger.is_zero()
            && self.opened.is_empty()
            && self.waiting.is_empty()
            && self.is_ready()
            && self.metadata.all_leaders_known()
    }

    /// Sends a record as a batch of its own, without opening the batch first, if it can leave now.
    #[inline]
    fn send_alone<R: NewRecord>(&mut self, record: &R, now: Time) {
        let partition = record.partition();
        let Some(leader) = self.ready_leader(partition, now) else {
            return self.take(record, now);
        };
        let mut batch = self.batch_pool.pop().unwrap_or_default().begun(partition, now);
        record.add_to(&mut batch);
        self.queued += 1;
        self.queued_bytes += record.payload_bytes();
        self.queues[partition.0 as usize].assign_sequence(&mut batch);
        self.send_batch(batch, leader, now);
        self.expire_if_due(now);
    }

    /// Adds a record to its partition's open batch.
    fn take<R: NewRecord>(&mut self, record: &R, now: Time) {
        let partition = record.partition();
        let at = partition.0 as usize;
        let is_full = self.queues[at].open.as_ref().is_some_and(|batch| batch.is_full_for(record));
        if is_full && let Some(batch) = self.queues[at].close() {
            self.requeue(batch);
            self.opened.retain(|(_, other)| *other != partition);
        }
        let batch = self.queues[at].open.get_or_insert_with(|| {
            self.opened.push_back((now, partition));
            self.batch_pool.pop().unwrap_or_default().begun(partition, now)
        });
        record.add_to(batch);
        self.queued += 1;
        self.queued_bytes += record.payload_bytes();
    }

    /// Accepts a record, unless the queue is full.
    #[inline(always)]
    fn accept<R: NewRecord>(&mut self, now: Time, record: &R) -> Result<(), SendError> {
        if self.is_full() {
            return Err(SendError::Full);
        }
        match record.is_alone() && self.waits_for_nothing() {
            true => self.send_alone(record, now),
            false => self.take(record, now),
        }
        Ok(())
    }

    /// Notes a response of a broker, unless the batch needs none.
    #[inline]
    fn note_answer(&mut self, broker: BrokerId) {
        if self.acks != Acks::None {
            self.metadata.answered(broker);
        }
    }

    /// Requests a producer id if that is due. Returns the time of the next call.
    fn request_producer_id(&mut self, now: Time) -> Time {
        if let ProducerIdState::Refused(until) = self.producer_id {
            if now < until {
                return until;
            }
            self.producer_id = ProducerIdState::Wanted;
        }
        if let ProducerIdState::Asked(broker, since) = self.producer_id {
            let limit = since + self.settings.request_timeout;
            if now < limit {
                return limit;
            }
            self.close_connection(broker, now);
        }
        match self.metadata.any(now) {
            Some(broker) if self.producer_id == ProducerIdState::Wanted => {
                self.producer_id = ProducerIdState::Asked(broker, now);
                self.outbox.push((now, broker, Request::InitProducerId));
                now + self.settings.request_timeout
            }
            _ => now + self.settings.retry_backoff,
        }
    }
}

impl ProducerPort for NativeProducer {
    // Called for each record.
    #[inline(always)]
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        self.accept(now, record)
    }

    #[inline]
    fn send_stamped(&mut self, now: Time, record: &StampedRecord<'_>) -> Result<(), SendError> {
        self.accept(now, record)
    }

    #[inline]
    fn send_due(&mut self, now: Time) -> Time {
        self.drain(now)
    }

    #[inline]
    fn sends_immediately_at(&self, at: Time) -> bool {
        let window = self.window();
        let has_room = |in_flight: &InFlight| {
            in_flight.may_have_room(window)
                && (in_flight.first())
                    .is_none_or(|oldest| at < oldest.limit && oldest.number > self.unsettled)
        };
        self.waits_for_nothing() && !self.is_full() && self.in_flight.iter().all(has_room)
    }

    fn answers(&mut self, _now: Time, _wait: Duration, answers: &mut Answers) {
        if !self.answers.is_empty() {
            answers.append(&mut self.answers);
        }
    }

    fn ensure_partitions(&mut self, now: Time, partitions: u32) -> bool {
        let partitions = partitions as usize;
        if self.metadata.partitions() < partitions {
            self.metadata.invalidate(now);
            return false;
        }
        if self.queues.len() < partitions {
            self.queues.resize_with(partitions, PartitionQueue::default);
        }
        true
    }

    fn give_up(&mut self, now: Time, _limit: Duration) {
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
            for batch in self.in_flight[broker].take_all() {
                self.resolve(batch, now, Outcome::Indeterminate, None);
            }
        }
    }
}

impl Client for NativeProducer {
    // Called for each record: inlined where the response is made.
    #[inline(always)]
    fn receive(&mut self, broker: BrokerId, response: Response, _records: &dyn Records, now: Time) {
        if !matches!(response, Response::Produce(..)) {
            self.metadata.answered(broker);
        }
        match response {
            Response::Metadata(leaders) => {
                self.unsettled = self.numbered;
                self.metadata.learn(leaders);
            }
            Response::InitProducerId(Ok(id)) => {
                self.unsettled = self.numbered;
                self.producer_id = ProducerIdState::Known(id);
            }
            // A broker that has just started cannot assign producer ids yet.
            Response::InitProducerId(Err(_)) => {
                self.producer_id = ProducerIdState::Refused(now + self.settings.retry_backoff);
            }
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

    fn brokers_are(&mut self, count: u32) {
        self.metadata.brokers_are(count);
        let count = self.in_flight.len().max(count as usize);
        self.in_flight.resize_with(count, InFlight::default);
    }

    fn leader_is(&mut self, partition: PartitionId, leader: BrokerId) {
        self.unsettled = self.numbered;
        self.metadata.leader_is(partition, leader);
    }

    #[inline]
    fn reuse(&mut self, mut done: Box<Produce>) {
        done.batch = None;
        self.request_pool.push(done);
    }

    fn disconnected(&mut self, broker: BrokerId, now: Time) {
        if self.metadata.broken(broker, now) {
            self.answers.add_error("BrokerTransportFailure", 1);
        }
        if matches!(self.producer_id, ProducerIdState::Asked(asked, _) if asked == broker) {
            self.producer_id = ProducerIdState::Wanted;
        }
        for mut batch in self.in_flight[broker as usize].take_all() {
            self.queues[batch.partition.0 as usize].in_flight -= 1;
            batch.may_be_there = true;
            self.retry(batch, now);
        }
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox {
        self.outboxes += 1;
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        self.drain(now)
    }
}
