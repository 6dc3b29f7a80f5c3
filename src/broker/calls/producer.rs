//! The producer's side: rules for the records that a client gets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{PartitionId, PoolId, ProducerId, Time};
use crate::broker::{Answers, ProducerPort, SendError, SendRecord, StampedRecord};
use crate::fault::{CallAction, CallError};
use crate::logic::{ActiveFaults, CallingClient};
use crate::measure::{Ack, Outcome};

/// Largest number of delayed records: librdkafka's `queue.buffering.max.messages`. When it is reached, the client's
/// queue is full.
const HELD_MAX: usize = 100_000;
/// Time until another attempt to send a record that is due and for which the client had no room.
const TRY_AGAIN: Duration = Duration::from_micros(500);

/// A producer's client, with rules for the records that it gets.
pub struct RuledProducer<P> {
    inner: P,
    pool: PoolId,
    active_faults: Arc<ActiveFaults>,
    /// Delayed records, in the order in which they came.
    held: BTreeMap<PartitionId, VecDeque<Held>>,
    count: usize,
    /// Records whose acknowledgement is to be lost.
    unanswered: BTreeSet<(ProducerId, PartitionId, u64)>,
    /// Answers that the rules make, and not the client.
    answers: Answers,
    /// Records that a fault kept from being sent, since the last call of `take_withheld`.
    withheld: u64,
}

struct Held {
    due: Time,
    producer: ProducerId,
    sequence: u64,
    payload: Vec<u8>,
    is_packed: bool,
    sent: Time,
}

impl Held {
    /// The record, for this partition.
    fn record(&self, partition: PartitionId) -> SendRecord<'_> {
        let Held { producer, sequence, payload, is_packed, sent, .. } = self;
        SendRecord {
            producer: *producer,
            partition,
            sequence: *sequence,
            payload,
            is_packed: *is_packed,
            sent: *sent,
            is_alone: false,
        }
    }
}

impl<P: ProducerPort> RuledProducer<P> {
    /// `inner` as the client of `pool`.
    pub fn new(inner: P, pool: PoolId, active_faults: Arc<ActiveFaults>) -> RuledProducer<P> {
        RuledProducer {
            inner,
            pool,
            active_faults,
            held: BTreeMap::new(),
            count: 0,
            unanswered: BTreeSet::new(),
            answers: Answers::default(),
            withheld: 0,
        }
    }

    /// True if records pass as if there were no rules.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.count == 0 && !self.active_faults.calls().is_armed()
    }

    /// The client without the rules.
    #[inline]
    pub fn as_inner(&self) -> &P {
        &self.inner
    }

    /// The client without the rules.
    pub fn inner(&mut self) -> &mut P {
        &mut self.inner
    }

    /// Time at which the next delayed record is due.
    pub fn next_due(&self) -> Time {
        let fronts = self.held.values().filter_map(VecDeque::front);
        fronts.map(|held| held.due).min().unwrap_or(Time::NEVER)
    }

    /// Number of records that a fault kept from being sent, since the last call.
    pub fn take_withheld(&mut self) -> u64 {
        std::mem::take(&mut self.withheld)
    }

    #[cold]
    fn send_by_the_rules(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        let hit =
            self.active_faults.calls().decide(CallingClient::Pool(self.pool), record.partition);
        match hit.map(|(_, action)| action) {
            Some(CallAction::Delay(delay)) => self.hold(record, now + delay),
            Some(CallAction::LoseAnswer) => {
                self.send_in_order(now, record)?;
                let SendRecord { producer, partition, sequence, .. } = *record;
                self.unanswered.insert((producer, partition, sequence));
                Ok(())
            }
            Some(CallAction::Drop) => {
                // For the sender it is a record without an answer.
                self.answers.acks.push(unsent(record, now, Outcome::Indeterminate));
                self.answers.add_error("dropped by a fault", 1);
                self.withheld += 1;
                Ok(())
            }
            Some(CallAction::Error(CallError::Retriable)) => Err(SendError::Full),
            Some(CallAction::Error(CallError::Fatal)) => {
                self.withheld += 1;
                Err(SendError::Refused("refused by a fault".to_owned()))
            }
            None => self.send_in_order(now, record),
        }
    }

    /// Sends a record, or queues it behind the delayed ones of its partition.
    fn send_in_order(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        match self.held.contains_key(&record.partition) {
            true => self.hold(record, now),
            false => self.inner.send(now, record),
        }
    }

    /// Makes the acknowledgements that are to be lost indeterminate, which is all that a sender would know.
    fn lose(&mut self, answers: &mut Answers) {
        let mut lost = 0;
        for ack in &mut answers.acks {
            let is_lost = self.unanswered.remove(&(ack.producer, ack.partition, ack.sequence));
            if is_lost && ack.outcome == Outcome::Acked {
                (ack.outcome, ack.offset) = (Outcome::Indeterminate, None);
                lost += 1;
            }
        }
        if lost > 0 {
            answers.add_error("answer lost by a fault", lost);
        }
    }

    /// Delays a record until `due`. Later records of its partition wait as well, so that lanes keep their order.
    fn hold(&mut self, record: &SendRecord<'_>, due: Time) -> Result<(), SendError> {
        if self.count >= HELD_MAX {
            return Err(SendError::Full);
        }
        let SendRecord { producer, partition, sequence, payload, is_packed, sent, .. } = *record;
        let held = Held { due, producer, sequence, payload: payload.to_vec(), is_packed, sent };
        self.held.entry(partition).or_default().push_back(held);
        self.count += 1;
        Ok(())
    }

    /// Sends the records that are due.
    fn release(&mut self, now: Time) {
        let mut held = std::mem::take(&mut self.held);
        held.retain(|partition, queue| {
            while let Some(first) = queue.front_mut().filter(|first| first.due <= now) {
                let record = first.record(*partition);
                match self.inner.send(now, &record) {
                    Ok(()) => {}
                    Err(SendError::Full) => {
                        first.due = now + TRY_AGAIN;
                        return true;
                    }
                    Err(SendError::Refused(name)) => {
                        self.answers.acks.push(unsent(&record, now, Outcome::Failed));
                        self.answers.add_error(&name, 1);
                    }
                }
                queue.pop_front();
                self.count -= 1;
            }
            !queue.is_empty()
        });
        self.held = held;
    }
}

/// The answer to a record that was not given to the client.
fn unsent(record: &SendRecord<'_>, at: Time, outcome: Outcome) -> Ack {
    let SendRecord { producer, partition, sequence, sent, .. } = *record;
    Ack { producer, partition, sequence, offset: None, sent, at, outcome }
}

impl<P: ProducerPort> ProducerPort for RuledProducer<P> {
    #[inline]
    fn send(&mut self, now: Time, record: &SendRecord<'_>) -> Result<(), SendError> {
        if self.is_idle() {
            return self.inner.send(now, record);
        }
        self.send_by_the_rules(now, record)
    }

    #[inline]
    fn makes_payloads(&self) -> bool {
        self.inner.makes_payloads()
    }

    #[inline]
    fn send_stamped(&mut self, now: Time, record: &StampedRecord<'_>) -> Result<(), SendError> {
        if self.is_idle() {
            return self.inner.send_stamped(now, record);
        }
        // Rules may delay a record, which needs memory anyway.
        self.send_by_the_rules(now, &record.with_payload(&mut Vec::new()))
    }

    #[inline]
    fn send_due(&mut self, now: Time) -> Time {
        self.inner.send_due(now)
    }

    /// Not while a rule is active or a record is delayed.
    #[inline]
    fn sends_immediately_at(&self, at: Time) -> bool {
        self.is_idle() && self.inner.sends_immediately_at(at)
    }

    fn answers(&mut self, now: Time, wait: Duration, answers: &mut Answers) {
        let mut wait = wait;
        if self.count > 0 {
            self.release(now);
            wait = wait.min(self.next_due().remaining(now));
        }
        if !self.answers.is_empty() {
            answers.append(&mut self.answers);
            wait = Duration::ZERO;
        }
        self.inner.answers(now, wait, answers);
        if !self.unanswered.is_empty() {
            self.lose(answers);
        }
    }

    fn ensure_partitions(&mut self, now: Time, partitions: u32) -> bool {
        self.inner.ensure_partitions(now, partitions)
    }

    fn give_up(&mut self, now: Time, limit: Duration) {
        // Delayed records were never sent.
        for (partition, queue) in std::mem::take(&mut self.held) {
            for held in queue {
                let failed = unsent(&held.record(partition), now, Outcome::Failed);
                self.answers.acks.push(failed);
            }
        }
        self.count = 0;
        self.inner.give_up(now, limit);
    }
}
