//! The producer's side of the native client: batches, a window of requests in flight, sequences, retries.
//!
//! A batch that was refused or not answered goes back to its place before those that were not sent yet. Batches behind
//! it that are in flight already stay there: without idempotence they may overtake it, as with librdkafka.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Profile;
use super::metadata::Metadata;
use super::parcel::{Lane, Parcel};
use crate::base::{Clock, PartitionId, Time, sent_time};
use crate::broker::protocol::{BrokerId, Client, ErrorCode, Produce, Records, Request, Response};
use crate::broker::{ProducerPort, SendError, SendRecord};
use crate::measure::{Ack, Outcome};
use crate::plan::{Acks, LoadPlan};

/// librdkafka's `queue.buffering.max.messages`.
const QUEUED_MAX: usize = 100_000;
/// librdkafka's `batch.num.messages` and `batch.size`.
const BATCH_RECORDS_MAX: usize = 10_000;
const BATCH_BYTES_MAX: usize = 1_000_000;
/// librdkafka's `max.in.flight` of an idempotent producer; without idempotence its window is a million.
const IN_FLIGHT_IDEMPOTENT: usize = 5;
const IN_FLIGHT: usize = 1_000_000;
/// How often librdkafka looks for records that have waited too long.
const LOOK_FOR_OLD: Duration = Duration::from_secs(1);

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
    /// Partitions with an open batch, in the order they were opened.
    opened: Vec<PartitionId>,
    /// Partitions with closed batches that wait, in the order they began to.
    waiting: Vec<PartitionId>,
    /// By broker, in the order they were sent.
    in_flight: Vec<VecDeque<Parcel>>,
    requests: u64,
    spare: Vec<Parcel>,
    /// Records queued or in flight.
    queued: usize,
    looked_for_old: Time,
    answers: Vec<Ack>,
    errors: Vec<String>,
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
            opened: Vec::new(),
            waiting: Vec::new(),
            in_flight: (0..profile.brokers).map(|_| VecDeque::new()).collect(),
            metadata: Metadata::new(profile.clone()),
            profile,
            requests: 0,
            spare: Vec::new(),
            queued: 0,
            looked_for_old: Time::ZERO,
            answers: Vec::new(),
            errors: Vec::new(),
            outbox: Vec::new(),
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

    #[inline]
    fn is_ready(&self) -> bool {
        matches!(self.number, Number::NotNeeded | Number::Known(_))
    }

    /// Where a partition's next batch can go now: its leader, when it is known, reached and has room.
    #[inline]
    fn way(&self, partition: PartitionId, now: Time) -> Option<BrokerId> {
        let leader = self.metadata.leader(partition, now)?;
        let lane = &self.lanes[partition.0 as usize];
        // A new leader that has nothing of this producer yet takes any sequence: those before it come first.
        let is_split = lane.in_flight > 0 && lane.leader != leader;
        if is_split && self.number != Number::NotNeeded {
            return None;
        }
        (self.in_flight[leader as usize].len() < self.in_flight_max).then_some(leader)
    }

    /// Sends the batches that have waited long enough and have room; the others go on filling. Returns when
    /// something is due next.
    fn send_due(&mut self, now: Time) -> Time {
        let mut next = self.metadata.refresh(now, &mut self.outbox);
        if !self.is_ready() {
            return next.min(self.ask_for_number(now));
        }
        if !self.waiting.is_empty() {
            next = next.min(self.send_waiting(now));
        }
        let mut kept = 0;
        for i in 0..self.opened.len() {
            let partition = self.opened[i];
            let lane = &mut self.lanes[partition.0 as usize];
            let Some(parcel) = &lane.open else { continue };
            let due = parcel.since + self.linger;
            if due <= now
                && !lane.waits()
                && let Some(leader) = self.way(partition, now)
            {
                if let Some(parcel) = self.lanes[partition.0 as usize].close() {
                    self.send_parcel(parcel, leader, now);
                }
                continue;
            }
            next = next.min(if due > now { due } else { self.metadata.next_try(now) });
            self.opened[kept] = partition;
            kept += 1;
        }
        self.opened.truncate(kept);
        next.min(self.look_for_trouble(now))
    }

    /// Sends closed batches as far as that is possible; returns when more may be.
    fn send_waiting(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|partition| {
            while self.may_send_first(*partition, now, &mut next) {
                let parcel = self.lanes[partition.0 as usize].take_first();
                let leader = self.way(*partition, now);
                if let (Some(parcel), Some(leader)) = (parcel, leader) {
                    self.send_parcel(parcel, leader, now);
                }
            }
            self.lanes[partition.0 as usize].waits()
        });
        // Nothing joins the list meanwhile.
        self.waiting = waiting;
        next.min(self.metadata.next_try(now))
    }

    fn may_send_first(&self, partition: PartitionId, now: Time, next: &mut Time) -> bool {
        let lane = &self.lanes[partition.0 as usize];
        let Some(first) = lane.first() else { return false };
        if lane.not_before > now {
            *next = lane.not_before.min(*next);
            return false;
        }
        // An idempotent producer sends nothing again before it knows what became of the rest.
        let drains = first.tries > 0 && lane.in_flight > 0 && self.number != Number::NotNeeded;
        !drains && self.way(partition, now).is_some()
    }

    fn send_parcel(&mut self, mut parcel: Parcel, leader: BrokerId, now: Time) {
        let sequence = match self.number {
            Number::Known(number) => Some((number, parcel.sequence)),
            _ => None,
        };
        self.requests += 1;
        parcel.number = self.requests;
        parcel.tries += 1;
        parcel.sent = now;
        let (partition, acks, batch) = (parcel.partition, self.acks, parcel.batch.clone());
        let produce = Produce { number: parcel.number, partition, acks, sequence, batch };
        self.outbox.push((leader, Request::Produce(produce)));
        match self.acks {
            // A send counts as acknowledged when it leaves.
            Acks::None => self.resolve(parcel, now, Outcome::Acked),
            Acks::Leader | Acks::All => {
                let lane = &mut self.lanes[partition.0 as usize];
                lane.in_flight += 1;
                lane.leader = leader;
                self.in_flight[leader as usize].push_back(parcel);
            }
        }
    }

    /// Closes connections that do not answer, and gives up what has taken too long.
    #[inline]
    fn look_for_trouble(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        for broker in 0..self.in_flight.len() {
            let Some(oldest) = self.in_flight[broker].front() else { continue };
            let limit = oldest.sent + self.profile.request_timeout;
            if limit <= now {
                self.close_connection(broker as BrokerId, now);
            } else {
                next = next.min(limit);
            }
        }
        if now >= self.looked_for_old + LOOK_FOR_OLD {
            self.looked_for_old = now;
            self.give_up_old(now);
        }
        next
    }

    fn close_connection(&mut self, broker: BrokerId, now: Time) {
        self.outbox.push((broker, Request::Close));
        self.disconnected(broker, now);
    }

    fn give_up_old(&mut self, now: Time) {
        let too_old = |since: Time| since + self.profile.message_timeout <= now;
        let mut old = Vec::new();
        for lane in &mut self.lanes {
            if lane.open.as_ref().is_some_and(|parcel| too_old(parcel.since)) {
                old.extend(lane.close());
            }
        }
        for partition in &self.waiting {
            let lane = &mut self.lanes[partition.0 as usize];
            while lane.first().is_some_and(|parcel| too_old(parcel.since)) {
                old.extend(lane.take_first());
            }
        }
        for parcel in old {
            self.errors.push("MessageTimedOut".to_owned());
            self.resolve_unsent(parcel, now);
        }
    }

    /// A batch that is not in flight is given up.
    fn resolve_unsent(&mut self, parcel: Parcel, now: Time) {
        // What never left has certainly failed; what left may have arrived.
        let outcome = if parcel.may_be_there { Outcome::Indeterminate } else { Outcome::Failed };
        self.resolve(parcel, now, outcome);
    }

    /// A batch was refused, or not answered: it is sent again later.
    fn retry(&mut self, parcel: Parcel, now: Time) {
        let doublings = parcel.tries.saturating_sub(1).min(16);
        let backoff = self.profile.retry_backoff * (1 << doublings);
        let lane = &mut self.lanes[parcel.partition.0 as usize];
        lane.not_before = now + backoff.min(self.profile.retry_backoff_max);
        self.put_by(parcel);
    }

    /// Lets a closed batch wait in its place.
    fn put_by(&mut self, parcel: Parcel) {
        let partition = parcel.partition;
        self.lanes[partition.0 as usize].put(parcel);
        if !self.waiting.contains(&partition) {
            self.waiting.push(partition);
        }
    }

    fn answered(&mut self, mut parcel: Parcel, result: Result<(), ErrorCode>, now: Time) {
        let Err(code) = result else {
            return self.resolve(parcel, now, Outcome::Acked);
        };
        match code {
            ErrorCode::NotLeaderOrFollower | ErrorCode::Unavailable => self.metadata.doubt(now),
            ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend => {
                parcel.may_be_there = true;
            }
            ErrorCode::OutOfOrderSequence => {
                let lane = &self.lanes[parcel.partition.0 as usize];
                let is_first = lane.first().is_none_or(|first| first.sequence > parcel.sequence);
                // The batch before it is still to come, or the log has lost it: then a new number begins anew.
                if is_first && lane.in_flight == 0 && parcel.tries > 1 {
                    self.errors.push(code.name().to_owned());
                    self.number = Number::Wanted;
                }
            }
            ErrorCode::NotEnoughReplicas | ErrorCode::OffsetOutOfRange => {}
        }
        self.retry(parcel, now);
    }

    /// Answers every record of a batch and keeps the memory.
    fn resolve(&mut self, mut parcel: Parcel, at: Time, outcome: Outcome) {
        let (partition, batch) = (parcel.partition, &parcel.batch);
        let mut start = 0;
        for ((producer, sequence), end) in parcel.records.drain(..).zip(&batch.ends) {
            let sent = sent_time(&batch.bytes[start..*end as usize]).unwrap_or(at);
            start = *end as usize;
            self.answers.push(Ack {
                producer,
                partition,
                sequence,
                sent,
                at,
                timed: true,
                outcome,
            });
        }
        self.queued -= parcel.batch.len();
        if let Some(batch) = Arc::get_mut(&mut parcel.batch) {
            batch.clear();
            (parcel.tries, parcel.may_be_there) = (0, false);
            self.spare.push(parcel);
        }
    }
}

impl ProducerPort for NativeProducer {
    fn send(&mut self, record: &SendRecord<'_>) -> Result<(), SendError> {
        if self.queued >= QUEUED_MAX {
            return Err(SendError::Full);
        }
        let at = record.partition.0 as usize;
        let is_full = self.lanes[at].open.as_ref().is_some_and(|parcel| {
            parcel.records.len() >= BATCH_RECORDS_MAX
                || parcel.batch.bytes.len() + record.payload.len() > BATCH_BYTES_MAX
        });
        if is_full && let Some(parcel) = self.lanes[at].close() {
            self.put_by(parcel);
            self.opened.retain(|partition| *partition != record.partition);
        }
        if self.lanes[at].open.is_none() {
            let mut parcel = self.spare.pop().unwrap_or_default();
            parcel.partition = record.partition;
            parcel.since = self.clock.now();
            self.lanes[at].open = Some(parcel);
            self.opened.push(record.partition);
        }
        if let Some(parcel) = &mut self.lanes[at].open {
            // Nobody else holds a batch that is still open.
            Arc::make_mut(&mut parcel.batch).push(record.payload);
            parcel.records.push((record.producer, record.sequence));
            self.queued += 1;
        }
        Ok(())
    }

    fn acks(&mut self, _wait: Duration, acks: &mut Vec<Ack>) {
        acks.append(&mut self.answers);
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

    fn errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
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
                self.resolve(parcel, now, Outcome::Indeterminate);
            }
        }
    }
}

impl Client for NativeProducer {
    fn receive(&mut self, broker: BrokerId, response: Response, _records: &dyn Records, now: Time) {
        self.metadata.answered(broker);
        match response {
            Response::Metadata(leaders) => self.metadata.learn(leaders),
            Response::InitProducerId(number) => self.number = Number::Known(number),
            Response::Refused(_) => self.metadata.refused(),
            Response::Produce(number, result) => {
                let in_flight = &mut self.in_flight[broker as usize];
                // What was answered already is not there any more.
                let place = in_flight.iter().position(|parcel| parcel.number == number);
                if let Some(parcel) = place.and_then(|place| in_flight.remove(place)) {
                    self.lanes[parcel.partition.0 as usize].in_flight -= 1;
                    self.answered(parcel, result.map(|_| ()), now);
                }
            }
            Response::Fetch(_)
            | Response::ListOffsets(_)
            | Response::Coordinator(_)
            | Response::Group(_) => {}
        }
    }

    fn disconnected(&mut self, broker: BrokerId, now: Time) {
        if self.metadata.broken(broker, now) {
            self.errors.push("BrokerTransportFailure".to_owned());
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
