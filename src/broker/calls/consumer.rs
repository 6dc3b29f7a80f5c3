//! The consumer's side: rules for the records that a client delivers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ConsumerId, Offset, OwnedRecord, PartitionId, RecordView, Time};
use crate::broker::{BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, ErrorClass, Flow};
use crate::fault::{CallAction, CallError};
use crate::logic::{ActiveFaults, CallingClient};

/// Largest number of delayed records. When it is reached, the client is not polled.
const HELD_MAX: usize = 10_000;
/// Delay before dropped records are fetched again, as by a client whose request was not answered. A real client waits
/// for `socket.timeout.ms`, by default a minute, which would hide all other effects.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A consumer's client, with rules for the records that it delivers.
pub struct RuledConsumer<P> {
    inner: P,
    rules: Rules,
}

struct Rules {
    /// The group member; `None` if each consumer has the number of its partition.
    member: Option<ConsumerId>,
    active_faults: Arc<ActiveFaults>,
    /// The assigned partitions, unless a group assigns them.
    assigned: BTreeSet<PartitionId>,
    /// Delayed records, in the order in which they came.
    held: BTreeMap<PartitionId, VecDeque<Held>>,
    count: usize,
    /// Partitions to be read again, with the offset and the time.
    dropped: BTreeMap<PartitionId, (Offset, Time)>,
    /// The decisions about the current poll.
    decided: BTreeMap<PartitionId, Option<CallAction>>,
}

struct Held {
    due: Time,
    what: Arrival,
}

enum Arrival {
    /// A record with its arrival time, which would be earlier without the delay.
    Record(Offset, OwnedRecord, Time),
    End,
}

impl<P: ConsumerPort> RuledConsumer<P> {
    /// `inner` as the client of a group member, or of the owners whose partitions it is assigned.
    pub fn new(
        inner: P,
        member: Option<ConsumerId>,
        active_faults: Arc<ActiveFaults>,
    ) -> RuledConsumer<P> {
        let rules = Rules {
            member,
            active_faults,
            assigned: BTreeSet::new(),
            held: BTreeMap::new(),
            count: 0,
            dropped: BTreeMap::new(),
            decided: BTreeMap::new(),
        };
        RuledConsumer { inner, rules }
    }

    /// The client without the rules.
    pub fn inner(&mut self) -> &mut P {
        &mut self.inner
    }

    /// The client without the rules.
    pub fn as_inner(&self) -> &P {
        &self.inner
    }

    /// True if records pass as if there were no rules.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.rules.is_idle()
    }

    /// True if the client may be polled.
    pub fn has_room(&self) -> bool {
        self.rules.count < HELD_MAX
    }

    /// Time at which a delayed or dropped record is due.
    pub fn next_due(&self) -> Time {
        let fronts = self.rules.held.values().filter_map(VecDeque::front).map(|held| held.due);
        let again = self.rules.dropped.values().map(|(_, at)| *at);
        fronts.chain(again).min().unwrap_or(Time::NEVER)
    }

    #[cold]
    fn poll_by_the_rules(
        &mut self,
        now: Time,
        wait: Duration,
        events: &mut dyn ConsumerEvents,
    ) -> Time {
        self.ask_again(now, events);
        if self.rules.release(now, events) == Flow::Stop {
            return now;
        }
        let wait = wait.min(self.next_due().remaining(now));
        if !self.has_room() {
            std::thread::sleep(wait);
            return now + wait;
        }
        self.rules.decided.clear();
        self.inner.poll(now, wait, &mut Filter { rules: &mut self.rules, events, now })
    }

    /// Seeks back to dropped records whose time has come.
    fn ask_again(&mut self, now: Time, events: &mut dyn ConsumerEvents) {
        while let Some((partition, from)) = self.rules.take_dropped(now) {
            if let Err(error) = self.inner.submit(now, ConsumerCommand::Seek(partition, from)) {
                // The next incarnation reads from the checkpoint, which is before the dropped records.
                let message =
                    format!("{error}; dropped records of {partition} cannot be read again");
                events.error(now, BrokerError::fatal(message));
            }
        }
    }
}

impl Rules {
    fn is_idle(&self) -> bool {
        self.count == 0 && self.dropped.is_empty() && !self.active_faults.calls().is_armed()
    }

    fn take_dropped(&mut self, now: Time) -> Option<(PartitionId, Offset)> {
        let (partition, (from, _)) = self.dropped.iter().find(|(_, (_, at))| *at <= now)?;
        let (partition, from) = (*partition, *from);
        self.dropped.remove(&partition);
        Some((partition, from))
    }

    /// Drops what is kept for a partition that is read from another offset, or not any more.
    fn forget(&mut self, partition: PartitionId) {
        self.dropped.remove(&partition);
        let held = self.held.remove(&partition);
        self.count -= held.map_or(0, |queue| queue.len());
    }

    /// Hands over the records that are due, as long as the host wants more.
    fn release(&mut self, now: Time, events: &mut dyn ConsumerEvents) -> Flow {
        let mut flow = Flow::More;
        let count = &mut self.count;
        self.held.retain(|partition, queue| {
            while flow == Flow::More && queue.front().is_some_and(|first| first.due <= now) {
                let Some(first) = queue.pop_front() else { break };
                *count -= 1;
                match first.what {
                    Arrival::Record(offset, record, arrived) => {
                        flow = events.record(*partition, offset, &record.view(), arrived);
                    }
                    Arrival::End => events.end_of_partition(*partition),
                }
            }
            !queue.is_empty()
        });
        flow
    }

    fn hold(&mut self, partition: PartitionId, due: Time, what: Arrival) {
        self.held.entry(partition).or_default().push_back(Held { due, what });
        self.count += 1;
    }

    /// The action on the records of `partition` in this poll. It is decided with the first of them.
    fn decide(&mut self, partition: PartitionId) -> (Option<CallAction>, bool) {
        if let Some(decided) = self.decided.get(&partition) {
            return (*decided, false);
        }
        let caller = CallingClient::Consumer(self.member.unwrap_or(ConsumerId(partition.0)));
        let hit = self.active_faults.calls().decide(caller, partition);
        let action = hit.map(|(_, action)| action);
        self.decided.insert(partition, action);
        if let Some((fault, CallAction::Error(CallError::Fatal))) = hit {
            // Every owner that this client reads for fails with it.
            let others = self.assigned.iter().map(|partition| ConsumerId(partition.0));
            let failing: Vec<ConsumerId> =
                self.member.map_or_else(|| others.collect(), |id| vec![id]);
            failing.into_iter().for_each(|consumer| self.active_faults.note_cause(consumer, fault));
        }
        (action, true)
    }
}

impl<P: ConsumerPort> ConsumerPort for RuledConsumer<P> {
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        match &command {
            ConsumerCommand::Assign(partition, _) => {
                self.rules.forget(*partition);
                self.rules.assigned.insert(*partition);
            }
            ConsumerCommand::Unassign(partition) => {
                self.rules.forget(*partition);
                self.rules.assigned.remove(partition);
            }
            ConsumerCommand::Seek(partition, _) => self.rules.forget(*partition),
            ConsumerCommand::Commit(_) => {}
        }
        self.inner.submit(now, command)
    }

    #[inline]
    fn poll(&mut self, now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        if self.rules.is_idle() {
            return self.inner.poll(now, wait, events);
        }
        self.poll_by_the_rules(now, wait, events)
    }

    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        let mut ends = self.inner.ends_reached();
        // Delayed and dropped records are still to come.
        let Rules { held, dropped, .. } = &self.rules;
        ends.retain(|partition, _| {
            !held.contains_key(partition) && !dropped.contains_key(partition)
        });
        ends
    }

    fn has_events(&self) -> bool {
        self.inner.has_events() && self.has_room()
    }

    fn close(self: Box<Self>, limit: Duration) -> bool {
        Box::new(self.inner).close(limit)
    }
}

/// Passes the events of a client on to the host, with the rules applied.
struct Filter<'a> {
    rules: &'a mut Rules,
    events: &'a mut dyn ConsumerEvents,
    /// Start of the poll.
    now: Time,
}

impl ConsumerEvents for Filter<'_> {
    fn present(&mut self, now: Time) {
        self.events.present(now);
    }

    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow {
        let rules = &mut *self.rules;
        if rules.dropped.contains_key(&partition) {
            return Flow::More;
        }
        // A poll that waits hands over records that arrive during the wait.
        let now = self.now.max(arrived);
        let (action, is_new) = rules.decide(partition);
        match action {
            None if !rules.held.contains_key(&partition) => {
                return self.events.record(partition, offset, record, arrived);
            }
            None => {
                rules.hold(partition, now, Arrival::Record(offset, (*record).into(), arrived));
            }
            Some(CallAction::Delay(delay)) => {
                let what = Arrival::Record(offset, (*record).into(), arrived + delay);
                rules.hold(partition, now + delay, what);
            }
            Some(CallAction::Drop | CallAction::LoseAnswer) => {
                rules.dropped.insert(partition, (offset, now + ASK_AGAIN));
            }
            Some(CallAction::Error(CallError::Retriable)) => {
                rules.dropped.insert(partition, (offset, now + ASK_AGAIN));
                if is_new {
                    let (class, message) = (ErrorClass::Informational, "fetch refused by a fault");
                    self.events.error(now, BrokerError { class, message: message.to_owned() });
                }
            }
            Some(CallAction::Error(CallError::Fatal)) => {
                self.events.error(now, BrokerError::fatal("client broken by a fault"));
                return Flow::Stop;
            }
        }
        if rules.count < HELD_MAX { Flow::More } else { Flow::Stop }
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        if self.rules.dropped.contains_key(&partition) {
            return;
        }
        match self.rules.held.get(&partition).and_then(VecDeque::back).map(|last| last.due) {
            Some(due) => self.rules.hold(partition, due, Arrival::End),
            None => self.events.end_of_partition(partition),
        }
    }

    fn assigned(&mut self, now: Time, partitions: &[PartitionId]) {
        partitions.iter().for_each(|partition| self.rules.forget(*partition));
        self.events.assigned(now, partitions);
    }

    fn revoked(&mut self, now: Time, partitions: &[PartitionId]) {
        partitions.iter().for_each(|partition| self.rules.forget(*partition));
        self.events.revoked(now, partitions);
    }

    fn error(&mut self, now: Time, error: BrokerError) {
        self.events.error(now, error);
    }
}
