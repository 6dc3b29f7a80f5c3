//! The consumer's side of the native client: positions, a fetch per broker, and a group's partitions.

use std::mem;
use std::time::Duration;

use super::Profile;
use super::member::{MemberEvent, MemberSettings};
use super::metadata::Membership;
use super::metadata::Metadata;
use super::received::{Event, Received, Run};
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::protocol::{
    BrokerId, Client, ErrorCode, Fetch, FetchSlot, Records, Request, Response,
};
use crate::broker::{
    BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, ErrorClass, Flow, GroupSpec,
};

/// librdkafka's `fetch.wait.max.ms`.
const FETCH_WAIT_MAX: Duration = Duration::from_millis(500);
/// librdkafka's `max.partition.fetch.bytes`.
const PARTITION_BYTES_MAX: u32 = 1024 * 1024;
/// What may be received and not yet handed over; beyond it nothing is fetched. lanekeeper sets
/// `queued.max.messages.kbytes` to about this.
const RECEIVED_BYTES_MAX: usize = 1024 * 1024;

/// A consumer's client. Implements the port by handing over what has been received.
#[derive(Debug)]
pub struct NativeConsumer {
    clock: Clock,
    profile: Profile,
    metadata: Metadata,
    positions: Vec<Position>,
    /// By broker.
    connections: Vec<Connection>,
    received: Received,
    member: Option<Membership>,
    /// When everything was asked for last, and when something is due next, if nothing has changed since.
    asked: Option<(Time, Time)>,
    outbox: Vec<(BrokerId, Request)>,
}

/// A partition that is read.
#[derive(Debug)]
struct Position {
    partition: PartitionId,
    /// The next offset to fetch.
    next: i64,
    /// Not before then: something was wrong with it.
    not_before: Time,
    /// Whether the end was announced since the last record.
    at_end: bool,
}

/// What is asked of a broker.
#[derive(Debug)]
enum Connection {
    /// Nothing; with the memory of the last fetch.
    Idle(Box<Fetch>),
    /// A fetch is out since then.
    Fetching(Time),
}

impl Default for Connection {
    fn default() -> Connection {
        Connection::Idle(Box::new(Fetch {
            wait_max: FETCH_WAIT_MAX,
            partition_bytes_max: PARTITION_BYTES_MAX,
            slots: Vec::new(),
        }))
    }
}

impl NativeConsumer {
    /// A consumer that reads what it is told to.
    pub fn new(profile: Profile, clock: Clock) -> NativeConsumer {
        NativeConsumer {
            clock,
            metadata: Metadata::new(profile.clone()),
            positions: Vec::new(),
            connections: (0..profile.brokers).map(|_| Connection::default()).collect(),
            profile,
            received: Received::default(),
            member: None,
            asked: None,
            outbox: Vec::new(),
        }
    }

    /// A member of the run's group.
    pub fn member(
        settings: MemberSettings,
        profile: Profile,
        spec: &GroupSpec,
        clock: Clock,
    ) -> NativeConsumer {
        let membership = Membership::new(settings, profile.clone(), spec);
        NativeConsumer { member: Some(membership), ..NativeConsumer::new(profile, clock) }
    }

    /// Leaves the group in order, if it is a member: commits, and says goodbye unless it is a static member.
    pub fn leave(&mut self) {
        if let Some(membership) = &mut self.member {
            let progress = membership.progress(membership.member.owned());
            membership.member.commit(progress);
            membership.member.leave();
        }
        self.tell_coordinator();
    }

    /// Sends what the member has to say, and does what it was told.
    fn tell_coordinator(&mut self) {
        let Some(membership) = &mut self.member else { return };
        for event in membership.tell(&mut self.outbox) {
            let event = match event {
                MemberEvent::Assigned(starts) => {
                    // Nothing committed: from the beginning, where the topic was when the run began.
                    let next = |start: Option<Offset>| start.map_or(0, |Offset(next)| next);
                    starts
                        .iter()
                        .for_each(|(partition, start)| self.assign(*partition, next(*start)));
                    Event::Assigned(starts.into_iter().map(|(partition, _)| partition).collect())
                }
                MemberEvent::Revoke(partitions) => {
                    partitions.iter().for_each(|partition| self.unassign(*partition));
                    Event::Revoked(partitions)
                }
                MemberEvent::Lost(partitions) => {
                    partitions.iter().for_each(|partition| self.unassign(*partition));
                    Event::Lost(partitions)
                }
                MemberEvent::Fenced => {
                    Event::Error(BrokerError::fatal("another client uses this group.instance.id"))
                }
            };
            self.received.push_other(event);
        }
    }

    /// Hands over what is next.
    fn hand_over(&mut self, events: &mut dyn ConsumerEvents) -> Flow {
        let Some(event) = self.received.take_other() else {
            return self.received.hand_over(events);
        };
        match event {
            Event::Error(error) => {
                events.error(error);
                return Flow::Stop;
            }
            Event::Assigned(partitions) => events.assigned(&partitions),
            Event::Revoked(partitions) => {
                let progress = self.member.as_ref().map(|member| member.progress(&partitions));
                events.revoked(&partitions);
                if let Some(membership) = &mut self.member {
                    membership.member.given_up(progress.unwrap_or_default());
                }
            }
            Event::Lost(partitions) => events.revoked(&partitions),
        }
        self.tell_coordinator();
        Flow::More
    }

    /// Whether something can be handed over.
    pub fn has_events(&self) -> bool {
        !self.received.is_empty()
    }

    /// Bytes of what can be handed over, if it is nothing but records and ends of partitions.
    pub fn waiting_records_only(&self) -> Option<usize> {
        self.received.is_plain().then(|| self.received.waiting_bytes())
    }

    /// Whether the answer to one fetch is all that is to come from any broker.
    #[inline]
    pub fn waits_for_one_answer(&self) -> bool {
        let fetching = |connection: &&Connection| matches!(connection, Connection::Fetching(_));
        self.member.is_none()
            && self.metadata.all_leaders_known()
            && self.connections.iter().filter(fetching).count() == 1
    }

    fn assign(&mut self, partition: PartitionId, next: i64) {
        self.positions.retain(|position| position.partition != partition);
        self.positions.push(Position { partition, next, not_before: Time::ZERO, at_end: false });
        self.positions.sort_by_key(|position| position.partition);
        self.asked = None;
        self.fetch();
    }

    fn unassign(&mut self, partition: PartitionId) {
        self.asked = None;
        self.positions.retain(|position| position.partition != partition);
        self.received.forget(partition);
    }

    /// Asks whatever is not being asked already; returns when something is due next.
    fn fetch(&mut self) -> Time {
        let now = self.clock.now();
        if let Some((_, next)) = self.asked.filter(|(at, _)| *at == now) {
            return next;
        }
        let next = self.ask(now);
        self.asked = (next > now).then_some((now, next));
        next
    }

    fn ask(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        if let Some(last) = self.positions.last() {
            // A partition that is newer than what is known.
            if last.partition.0 as usize >= self.metadata.partitions() {
                self.metadata.invalidate(now);
            }
            next = self.metadata.refresh(now, &mut self.outbox);
        }
        if self.received.waiting_bytes() > RECEIVED_BYTES_MAX {
            return next;
        }
        for broker in 0..self.connections.len() as BrokerId {
            let connection = &mut self.connections[broker as usize];
            let slots = match connection {
                Connection::Idle(fetch) => &mut fetch.slots,
                Connection::Fetching(since) => {
                    let since = *since;
                    next = next.min(self.answer_is_due(broker, since, now));
                    continue;
                }
            };
            slots.clear();
            for position in &self.positions {
                if position.not_before > now {
                    next = next.min(position.not_before);
                } else if self.metadata.leader(position.partition, now) == Some(broker) {
                    slots.push(FetchSlot::new(position.partition, position.next));
                }
            }
            if slots.is_empty() {
                continue;
            }
            if let Connection::Idle(fetch) = mem::replace(connection, Connection::Fetching(now)) {
                self.outbox.push((broker, Request::Fetch(fetch)));
            }
        }
        next.min(self.metadata.next_try(now))
    }

    /// Closes a connection on which a fetch was not answered in time; returns when that is.
    fn answer_is_due(&mut self, broker: BrokerId, since: Time, now: Time) -> Time {
        let limit = since + FETCH_WAIT_MAX + self.profile.request_timeout;
        if limit > now {
            return limit;
        }
        self.outbox.push((broker, Request::Close));
        self.disconnected(broker, now);
        now
    }

    /// Takes the answer to a fetch.
    fn fetched(&mut self, broker: BrokerId, fetch: Box<Fetch>, records: &dyn Records, now: Time) {
        for slot in &fetch.slots {
            self.take(slot, records, now);
        }
        self.connections[broker as usize] = Connection::Idle(fetch);
    }

    fn take(&mut self, slot: &FetchSlot, records: &dyn Records, arrived: Time) {
        let position = self.positions.iter_mut().find(|p| p.partition == slot.partition);
        // An answer to a question that is no longer asked.
        let Some(position) = position.filter(|position| position.next == slot.offset) else {
            return;
        };
        match slot.error {
            None => {}
            Some(ErrorCode::OffsetOutOfRange) => {
                let partition = position.partition;
                self.unassign(partition);
                self.received.push_other(Event::Error(BrokerError {
                    class: ErrorClass::Position,
                    message: format!("offset {} is not in the log of {partition}", slot.offset),
                }));
                return;
            }
            Some(_) => {
                let now = self.clock.now();
                position.not_before = now + self.profile.retry_backoff;
                return self.metadata.invalidate(now);
            }
        }
        let (partition, offset) = (slot.partition, slot.offset);
        let count = (slot.end - offset).max(0) as u32;
        if count > 0 {
            let (bytes, lengths) = (&mut self.received.bytes, &mut self.received.lengths);
            let before = (bytes.len(), lengths.len());
            records.copy(partition, offset, slot.end, bytes, lengths);
            if lengths.len() - before.1 != count as usize {
                // The log has lost some of it while the answer was under way. Asked again, the broker says so.
                bytes.truncate(before.0);
                return lengths.truncate(before.1);
            }
            position.next = slot.end;
            position.at_end = false;
        }
        let is_end = slot.end == slot.high_watermark && !position.at_end;
        position.at_end |= is_end;
        if count > 0 || is_end {
            self.received.push(Run { partition, count, offset, arrived, is_end });
        }
    }
}

impl ConsumerPort for NativeConsumer {
    fn submit(&mut self, command: ConsumerCommand) -> Result<(), BrokerError> {
        match command {
            ConsumerCommand::Assign(partition, Offset(next)) => self.assign(partition, next),
            ConsumerCommand::Seek(partition, Offset(next)) => {
                self.unassign(partition);
                self.assign(partition, next);
            }
            ConsumerCommand::Unassign(partition) => self.unassign(partition),
            ConsumerCommand::Commit(offsets) => {
                if let Some(membership) = &mut self.member {
                    membership.member.commit(offsets);
                }
                self.tell_coordinator();
            }
        }
        Ok(())
    }

    fn poll(&mut self, _wait: Duration, events: &mut dyn ConsumerEvents) {
        if let Some(membership) = &mut self.member {
            membership.polled = true;
        }
        while self.has_events() {
            self.asked = None;
            if self.hand_over(events) == Flow::Stop {
                break;
            }
        }
        self.received.tidy();
        self.fetch();
    }

    fn close(self: Box<Self>, _limit: Duration) -> bool {
        true
    }
}

impl Client for NativeConsumer {
    fn receive(&mut self, broker: BrokerId, response: Response, records: &dyn Records, now: Time) {
        self.asked = None;
        self.metadata.answered(broker);
        match response {
            Response::Fetch(fetch) => self.fetched(broker, fetch, records, now),
            Response::Metadata(leaders) => {
                let partitions = leaders.len() as u32;
                self.metadata.learn(leaders);
                if let Some(membership) = &mut self.member {
                    membership.topic_has(partitions);
                    self.tell_coordinator();
                }
            }
            Response::Group(response) => {
                if let Some(membership) = &mut self.member {
                    membership.receive(broker, *response, now);
                }
                self.tell_coordinator();
            }
            Response::Coordinator(coordinator) => {
                if let Some(membership) = &mut self.member {
                    membership.found(coordinator);
                }
                self.tell_coordinator();
            }
            Response::Refused(_) => {
                self.metadata.refused();
                if let Some(membership) = &mut self.member {
                    membership.not_found(now);
                }
            }
            Response::InitProducerId(_) | Response::Produce(..) | Response::ListOffsets(_) => {}
        }
    }

    fn disconnected(&mut self, broker: BrokerId, now: Time) {
        self.asked = None;
        self.connections[broker as usize] = Connection::default();
        if self.metadata.broken(broker, now) {
            self.received.push_other(Event::Error(BrokerError {
                class: ErrorClass::Informational,
                message: format!("broker {}: connection lost", broker + 1),
            }));
        }
        if let Some(membership) = &mut self.member {
            membership.disconnected(broker, now);
        }
    }

    fn outbox(&mut self) -> &mut Vec<(BrokerId, Request)> {
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        let mut next = self.fetch();
        if let Some(membership) = &mut self.member {
            next = next.min(membership.tick(now, &mut self.metadata, &mut self.outbox));
            // It may have learned something of the brokers.
            self.asked = None;
            self.tell_coordinator();
        }
        next
    }
}
