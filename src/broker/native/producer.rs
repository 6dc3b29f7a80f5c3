//! The producer's side of the native client: batches, a window of requests in flight, sequences.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, PartitionId, ProducerId, Time, sent_time};
use crate::broker::protocol::{Batch, BrokerId, Client, Produce, Records, Request, Response};
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

/// A pool's client.
#[derive(Debug)]
pub struct NativeProducer {
    clock: Clock,
    acks: Acks,
    linger: Duration,
    in_flight_max: usize,
    /// An idempotent producer's number, and by partition the sequence of the next record.
    number: Number,
    sequences: Vec<u64>,
    leaders: Vec<BrokerId>,
    asked: bool,
    /// By partition: the batch that takes records.
    open: Vec<Option<Parcel>>,
    /// Partitions with an open batch, in the order they were opened.
    opened: Vec<PartitionId>,
    /// Closed batches that wait for room in the window.
    closed: VecDeque<Parcel>,
    /// By broker, in the order they were sent.
    in_flight: Vec<VecDeque<Parcel>>,
    spare: Vec<Parcel>,
    /// Records queued or in flight.
    queued: usize,
    answers: Vec<Ack>,
    errors: Vec<String>,
    outbox: Vec<(BrokerId, Request)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    NotNeeded,
    Wanted,
    Known(i64),
}

/// A batch and what its acknowledgements need.
#[derive(Debug, Default)]
struct Parcel {
    partition: PartitionId,
    since: Time,
    batch: Arc<Batch>,
    records: Vec<(ProducerId, u64)>,
    /// Sequence of the first record, given when the batch is closed.
    sequence: u64,
}

impl NativeProducer {
    /// A client for `partitions` partitions.
    pub fn new(load: &LoadPlan, partitions: u32, clock: Clock) -> NativeProducer {
        let partitions = partitions as usize;
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
            sequences: vec![0; partitions],
            leaders: Vec::new(),
            asked: false,
            open: (0..partitions).map(|_| None).collect(),
            opened: Vec::new(),
            closed: VecDeque::new(),
            in_flight: Vec::new(),
            spare: Vec::new(),
            queued: 0,
            answers: Vec::new(),
            errors: Vec::new(),
            outbox: Vec::new(),
        }
    }

    fn ask(&mut self) {
        if !std::mem::replace(&mut self.asked, true) {
            self.outbox.push((0, Request::Metadata));
            if self.number == Number::Wanted {
                self.outbox.push((0, Request::InitProducerId));
            }
        }
    }

    fn is_ready(&self) -> bool {
        !self.leaders.is_empty() && self.number != Number::Wanted
    }

    /// Closes a partition's open batch.
    fn close(&mut self, partition: PartitionId) {
        let at = partition.0 as usize;
        if let Some(mut parcel) = self.open[at].take() {
            parcel.sequence = self.sequences[at];
            self.sequences[at] += parcel.records.len() as u64;
            self.closed.push_back(parcel);
        }
    }

    /// Whether the window of a partition's leader has room.
    fn has_room(&self, partition: PartitionId) -> bool {
        let broker = self.leaders[partition.0 as usize] as usize;
        self.in_flight[broker].len() < self.in_flight_max
    }

    /// Sends the batches that have waited long enough and have room; the others go on filling. Returns when the
    /// next one will have waited long enough.
    fn send_due(&mut self, now: Time) -> Time {
        self.dispatch(now);
        if !self.is_ready() {
            return Time::NEVER;
        }
        let mut next = Time::NEVER;
        let mut kept = 0;
        for i in 0..self.opened.len() {
            let partition = self.opened[i];
            let Some(parcel) = &self.open[partition.0 as usize] else { continue };
            let due = parcel.since + self.linger;
            if due <= now && self.closed.is_empty() && self.has_room(partition) {
                self.close(partition);
                self.dispatch(now);
                continue;
            }
            if due > now {
                next = next.min(due);
            }
            self.opened[kept] = partition;
            kept += 1;
        }
        self.opened.truncate(kept);
        next
    }

    /// Sends closed batches as far as the window of each broker allows.
    fn dispatch(&mut self, now: Time) {
        if !self.is_ready() {
            return;
        }
        while self.closed.front().is_some_and(|parcel| self.has_room(parcel.partition)) {
            let Some(parcel) = self.closed.pop_front() else { return };
            let broker = self.leaders[parcel.partition.0 as usize];
            let sequence = match self.number {
                Number::Known(number) => Some((number, parcel.sequence)),
                Number::NotNeeded | Number::Wanted => None,
            };
            let (partition, acks, batch) = (parcel.partition, self.acks, parcel.batch.clone());
            let produce = Produce { partition, acks, sequence, batch };
            self.outbox.push((broker, Request::Produce(produce)));
            match self.acks {
                // A send counts as acknowledged when it leaves.
                Acks::None => self.resolve(parcel, now, Outcome::Acked),
                Acks::Leader | Acks::All => self.in_flight[broker as usize].push_back(parcel),
            }
        }
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
        let is_full = self.open[at].as_ref().is_some_and(|parcel| {
            parcel.records.len() >= BATCH_RECORDS_MAX
                || parcel.batch.bytes.len() + record.payload.len() > BATCH_BYTES_MAX
        });
        if is_full {
            self.close(record.partition);
            self.opened.retain(|partition| *partition != record.partition);
        }
        if self.open[at].is_none() {
            let mut parcel = self.spare.pop().unwrap_or_default();
            parcel.partition = record.partition;
            parcel.since = self.clock.now();
            self.open[at] = Some(parcel);
            self.opened.push(record.partition);
        }
        if let Some(parcel) = &mut self.open[at] {
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
        // It knows the topic it was made for; the clusters it serves do not grow one.
        partitions as usize <= self.open.len()
    }

    fn errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    fn give_up(&mut self, _limit: Duration) {
        let now = self.clock.now();
        for partition in std::mem::take(&mut self.opened) {
            self.close(partition);
        }
        // What never left has certainly failed; what left may have arrived.
        for parcel in std::mem::take(&mut self.closed) {
            self.resolve(parcel, now, Outcome::Failed);
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
        match response {
            Response::Metadata(leaders) => {
                let brokers = leaders.iter().max().map_or(1, |last| *last as usize + 1);
                self.in_flight.resize_with(brokers.max(self.in_flight.len()), VecDeque::new);
                self.leaders = leaders;
            }
            Response::InitProducerId(number) => self.number = Number::Known(number),
            Response::Produce(result) => {
                if let Some(parcel) = self.in_flight[broker as usize].pop_front() {
                    let outcome = match result {
                        Ok(_) => Outcome::Acked,
                        Err(_) => Outcome::Failed,
                    };
                    self.resolve(parcel, now, outcome);
                }
            }
            Response::Fetch(_) | Response::ListOffsets(_) | Response::Group(_) => {}
        }
    }

    fn outbox(&mut self) -> &mut Vec<(BrokerId, Request)> {
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        self.ask();
        self.send_due(now)
    }
}
