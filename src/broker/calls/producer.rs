//! The producer's side: records on their way into a client.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, PartitionId, PoolId, ProducerId, Time, sent_time};
use crate::broker::{Answers, ProducerPort, SendError, SendRecord};
use crate::fault::{CallAction, CallError};
use crate::logic::{ActiveFaults, CallingClient};
use crate::measure::{Ack, Outcome};

/// Records held back at once; librdkafka's `queue.buffering.max.messages`. Beyond it the client's queue is full.
const HELD_MAX: usize = 100_000;
/// How soon a record is tried again that was due and had no room.
const TRY_AGAIN: Duration = Duration::from_micros(500);

/// A producer's client with rules for what it is given.
pub struct RuledProducer<P> {
    inner: P,
    pool: PoolId,
    active_faults: Arc<ActiveFaults>,
    clock: Clock,
    /// What is held back, in the order it came.
    held: BTreeMap<PartitionId, VecDeque<Held>>,
    count: usize,
    /// Records whose answer is lost when it comes.
    unanswered: BTreeSet<(ProducerId, PartitionId, u64)>,
    /// Answers the client knows nothing of.
    answers: Answers,
    /// Records that were not sent because of a fault, since this was last asked.
    withheld: u64,
}

struct Held {
    due: Time,
    producer: ProducerId,
    sequence: u64,
    payload: Vec<u8>,
}

impl<P: ProducerPort> RuledProducer<P> {
    /// `inner` as the client of `pool`.
    pub fn new(
        inner: P,
        pool: PoolId,
        active_faults: Arc<ActiveFaults>,
        clock: Clock,
    ) -> RuledProducer<P> {
        RuledProducer {
            inner,
            pool,
            active_faults,
            clock,
            held: BTreeMap::new(),
            count: 0,
            unanswered: BTreeSet::new(),
            answers: Answers::default(),
            withheld: 0,
        }
    }

    /// Whether records pass as if there were no rules.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.count == 0 && !self.active_faults.calls().is_armed()
    }

    /// The client itself.
    #[inline]
    pub fn as_inner(&self) -> &P {
        &self.inner
    }

    /// The client itself.
    pub fn inner(&mut self) -> &mut P {
        &mut self.inner
    }

    /// When the next record that is held back is due.
    pub fn next_due(&self) -> Time {
        let fronts = self.held.values().filter_map(VecDeque::front);
        fronts.map(|held| held.due).min().unwrap_or(Time::NEVER)
    }

    /// How many records were not sent because of a fault since the last call.
    pub fn take_withheld(&mut self) -> u64 {
        std::mem::take(&mut self.withheld)
    }

    #[cold]
    fn send_by_the_rules(&mut self, record: &SendRecord<'_>) -> Result<(), SendError> {
        let now = self.clock.now();
        let hit =
            self.active_faults.calls().decide(CallingClient::Pool(self.pool), record.partition);
        match hit.map(|(_, action)| action) {
            Some(CallAction::Delay(delay)) => self.hold(record, now + delay),
            Some(CallAction::LoseAnswer) => {
                self.send_in_order(record, now)?;
                let SendRecord { producer, partition, sequence, .. } = *record;
                self.unanswered.insert((producer, partition, sequence));
                Ok(())
            }
            Some(CallAction::Drop) => {
                // To its sender it is one that was never answered.
                self.answer(record, now, Outcome::Indeterminate);
                self.answers.add_error("dropped by a fault", 1);
                self.withheld += 1;
                Ok(())
            }
            Some(CallAction::Error(CallError::Retriable)) => Err(SendError::Full),
            Some(CallAction::Error(CallError::Fatal)) => {
                self.withheld += 1;
                Err(SendError::Refused("refused by a fault".to_owned()))
            }
            None => self.send_in_order(record, now),
        }
    }

    /// Sends a record, or keeps it behind those of its partition that are held back.
    fn send_in_order(&mut self, record: &SendRecord<'_>, now: Time) -> Result<(), SendError> {
        match self.held.contains_key(&record.partition) {
            true => self.hold(record, now),
            false => self.inner.send(record),
        }
    }

    /// Turns the acknowledgements that are to be lost into what their sender knows: nothing.
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

    /// Keeps a record until it is due. What is behind it in its partition waits, so that lanes keep their order.
    fn hold(&mut self, record: &SendRecord<'_>, due: Time) -> Result<(), SendError> {
        if self.count >= HELD_MAX {
            return Err(SendError::Full);
        }
        let SendRecord { producer, partition, sequence, payload } = *record;
        let held = Held { due, producer, sequence, payload: payload.to_vec() };
        self.held.entry(partition).or_default().push_back(held);
        self.count += 1;
        Ok(())
    }

    /// Hands over what is due.
    fn release(&mut self, now: Time) {
        let mut held = std::mem::take(&mut self.held);
        held.retain(|partition, queue| {
            while let Some(first) = queue.front_mut().filter(|first| first.due <= now) {
                let Held { producer, sequence, payload, .. } = &*first;
                let (partition, producer, sequence) = (*partition, *producer, *sequence);
                let record = SendRecord { producer, partition, sequence, payload };
                match self.inner.send(&record) {
                    Ok(()) => {}
                    Err(SendError::Full) => {
                        first.due = now + TRY_AGAIN;
                        return true;
                    }
                    Err(SendError::Refused(name)) => {
                        self.answer(&record, now, Outcome::Failed);
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

    fn answer(&mut self, record: &SendRecord<'_>, at: Time, outcome: Outcome) {
        let SendRecord { producer, partition, sequence, payload } = *record;
        let sent = sent_time(payload).unwrap_or(at);
        let offset = None;
        self.answers.acks.push(Ack { producer, partition, sequence, offset, sent, at, outcome });
    }
}

impl<P: ProducerPort> ProducerPort for RuledProducer<P> {
    #[inline]
    fn send(&mut self, record: &SendRecord<'_>) -> Result<(), SendError> {
        if self.is_idle() {
            return self.inner.send(record);
        }
        self.send_by_the_rules(record)
    }

    fn answers(&mut self, wait: Duration, answers: &mut Answers) {
        let mut wait = wait;
        if self.count > 0 {
            let now = self.clock.now();
            self.release(now);
            wait = wait.min(self.next_due().remaining(now));
        }
        if !self.answers.is_empty() {
            answers.append(&mut self.answers);
            wait = Duration::ZERO;
        }
        self.inner.answers(wait, answers);
        if !self.unanswered.is_empty() {
            self.lose(answers);
        }
    }

    fn follow(&mut self, partitions: u32) -> bool {
        self.inner.follow(partitions)
    }

    fn give_up(&mut self, limit: Duration) {
        let now = self.clock.now();
        // What was held back never left.
        for (partition, queue) in std::mem::take(&mut self.held) {
            for Held { producer, sequence, payload, .. } in queue {
                let record = SendRecord { producer, partition, sequence, payload: &payload };
                self.answer(&record, now, Outcome::Failed);
            }
        }
        self.count = 0;
        self.inner.give_up(limit);
    }
}
