//! The producer's side of the native client: batches, a window of requests in flight, sequences, retries.
//!
//! A batch that was refused or not answered goes back to its place before those that were not sent yet. Batches behind
//! it that are in flight already stay there: without idempotence they may overtake it, as with librdkafka.

mod answering;
mod parcel;
mod sending;

use std::collections::VecDeque;
use std::time::Duration;

use self::answering::LOOK_FOR_OLD;
use self::parcel::{Lane, Parcel};
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
/// librdkafka's `batch.num.messages` and `batch.size`.
const BATCH_RECORDS_MAX: usize = 10_000;
const BATCH_BYTES_MAX: usize = 1_000_000;
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
    /// An idempotent producer's number.
    number: Number,
    metadata: Metadata,
    /// By partition.
    lanes: Vec<Lane>,
    /// Partitions with an open batch, in the order in which they were opened, and when.
    opened: VecDeque<(Time, PartitionId)>,
    /// Partitions with closed batches that wait, in the order they began to.
    waiting: Vec<PartitionId>,
    /// By broker, in the order they were sent.
    in_flight: Vec<VecDeque<Box<Parcel>>>,
    requests: u64,
    #[expect(clippy::vec_box, reason = "it moves from list to list")]
    spare: Vec<Box<Parcel>>,
    /// Requests that have done their work; their memory is used again.
    #[expect(clippy::vec_box, reason = "it moves from list to list")]
    spare_requests: Vec<Box<Produce>>,
    /// Records queued or in flight, and their bytes.
    queued: usize,
    queued_bytes: usize,
    /// When to look for records that have waited too long.
    look_for_old_at: Time,
    answers: Answers,
    outbox: Vec<(BrokerId, Request)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    NotNeeded,
    Wanted,
    Asked(BrokerId, Time),
    Known(i64),
}

impl NativeProducer {
    /// A client for `partitions` partitions.
    pub fn new(load: &LoadPlan, partitions: u32, profile: Profile, clock: Clock) -> NativeProducer {
        let (number, in_flight_max) = match load.idempotence {
            true => (Number::Wanted, IN_FLIGHT_IDEMPOTENT),
            false => (Number::NotNeeded, IN_FLIGHT),
        };
        NativeProducer {
            clock,
            acks: load.acks,
            linger: load.linger,
            in_flight_max,
            number,
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            opened: VecDeque::new(),
            waiting: Vec::new(),
            in_flight: (0..profile.brokers).map(|_| VecDeque::new()).collect(),
            metadata: Metadata::new(profile.clone()),
            profile,
            requests: 0,
            spare: Vec::new(),
            spare_requests: Vec::new(),
            queued: 0,
            queued_bytes: 0,
            look_for_old_at: Time::ZERO + LOOK_FOR_OLD,
            answers: Answers::default(),
            outbox: Vec::new(),
        }
    }

    /// Whether nothing waits for an acknowledgement.
    #[inline]
    pub fn acks_are_inert(&self) -> bool {
        let is_empty = self.opened.is_empty() || !self.has_due(self.clock.now());
        is_empty && self.waiting.is_empty() && self.is_ready()
    }

    /// Whether a record that is handed over at `at` leaves at once, with and without the acknowledgements that are
    /// still to come, and no broker is to be doubted before.
    #[inline]
    pub fn can_go_ahead(&self, at: Time) -> bool {
        let has_room = |in_flight: &VecDeque<Box<Parcel>>| {
            in_flight.len() < self.in_flight_max
                && in_flight.front().is_none_or(|oldest| at < oldest.limit)
        };
        self.linger.is_zero()
            && self.opened.is_empty()
            && self.waiting.is_empty()
            && self.is_ready()
            && self.metadata.is_whole()
            && self.in_flight.iter().all(has_room)
    }

    /// Takes a record at `at` and sends it, if it [can](Self::can_go_ahead). Returns when something is due next.
    #[inline]
    pub fn send_ahead(&mut self, record: &SendRecord<'_>, at: Time) -> Time {
        let Some(leader) = self.way(record.partition, at) else {
            self.take(record, at);
            return self.send_due(at);
        };
        // As a batch of its own, which need not be opened first.
        let mut parcel = self.spare.pop().unwrap_or_default().begun(record.partition, at);
        parcel.add(record, at);
        self.queued += 1;
        self.queued_bytes += record.payload.len();
        self.lanes[record.partition.0 as usize].number(&mut parcel);
        self.send_parcel(parcel, leader, at);
        self.look_for_trouble(at)
    }

    /// Adds a record to its partition's open batch.
    fn take(&mut self, record: &SendRecord<'_>, now: Time) {
        let at = record.partition.0 as usize;
        let is_full = self.lanes[at].open.as_ref().is_some_and(|parcel| parcel.is_full_for(record));
        if is_full && let Some(parcel) = self.lanes[at].close() {
            self.put_by(parcel);
            self.opened.retain(|(_, partition)| *partition != record.partition);
        }
        let parcel = self.lanes[at].open.get_or_insert_with(|| {
            self.opened.push_back((now, record.partition));
            self.spare.pop().unwrap_or_default().begun(record.partition, now)
        });
        parcel.add(record, now);
        self.queued += 1;
        self.queued_bytes += record.payload.len();
    }

    /// What became of a batch is a broker's word, unless it was not to be answered.
    #[inline]
    fn hears_from(&mut self, broker: BrokerId) {
        if self.acks != Acks::None {
            self.metadata.answered(broker);
        }
    }

    /// Asks for a number if that is due; returns when something is due next.
    fn ask_for_number(&mut self, now: Time) -> Time {
        if let Number::Asked(broker, since) = self.number {
            let limit = since + self.profile.request_timeout;
            if now < limit {
                return limit;
            }
            self.close_connection(broker, now);
        }
        match self.metadata.any(now) {
            Some(broker) if self.number == Number::Wanted => {
                self.number = Number::Asked(broker, now);
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
            self.metadata.doubt(self.clock.now());
            return false;
        }
        if self.lanes.len() < partitions {
            self.lanes.resize_with(partitions, Lane::default);
        }
        true
    }

    fn give_up(&mut self, _limit: Duration) {
        let now = self.clock.now();
        self.opened.clear();
        self.waiting.clear();
        for lane in 0..self.lanes.len() {
            let open = self.lanes[lane].close();
            while let Some(parcel) = self.lanes[lane].take_first() {
                self.resolve_unsent(parcel, now);
            }
            open.into_iter().for_each(|parcel| self.resolve_unsent(parcel, now));
            self.lanes[lane].in_flight = 0;
        }
        for broker in 0..self.in_flight.len() {
            for parcel in std::mem::take(&mut self.in_flight[broker]) {
                self.resolve(parcel, now, Outcome::Indeterminate, None);
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
            Response::InitProducerId(number) => self.number = Number::Known(number),
            Response::Refused(_) => self.metadata.refused(),
            Response::Produce(number, result) => {
                self.hears_from(broker);
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
            self.spare_requests.push(request);
        }
        self.hears_from(from);
        self.answered(from, number, Ok(first), now);
    }

    fn disconnected(&mut self, broker: BrokerId, now: Time) {
        if self.metadata.broken(broker, now) {
            self.answers.add_error("BrokerTransportFailure", 1);
        }
        if matches!(self.number, Number::Asked(asked, _) if asked == broker) {
            self.number = Number::Wanted;
        }
        for mut parcel in std::mem::take(&mut self.in_flight[broker as usize]) {
            self.lanes[parcel.partition.0 as usize].in_flight -= 1;
            parcel.may_be_there = true;
            self.retry(parcel, now);
        }
    }

    fn outbox(&mut self) -> &mut Vec<(BrokerId, Request)> {
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        self.send_due(now)
    }
}
