//! The consumer's side of the native client: positions, a fetch per broker, and a group's partitions.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use super::Profile;
use super::member_protocol::{MemberEvent, MemberSettings};
use super::membership::Membership;
use super::metadata::Metadata;
use super::received::{Event, Received, Run};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::protocol::{
    BrokerId, Client, ErrorCode, Fetch, FetchSlot, Outbox, Produce, Records, Request, Response,
};
use crate::broker::{
    BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, ErrorClass, Flow, GroupSpec,
};

/// librdkafka's `max.partition.fetch.bytes`.
const PARTITION_BYTES_MAX: u32 = 1024 * 1024;
/// What may be received and not yet handed over; beyond it nothing is fetched. lanekeeper sets
/// `queued.max.messages.kbytes` to about this.
const RECEIVED_BYTES_MAX: usize = 1024 * 1024;

/// A consumer's client. Implements the port by handing over what has been received.
#[derive(Debug)]
pub struct NativeConsumer {
    profile: Profile,
    metadata: Metadata,
    positions: Vec<Position>,
    /// By broker.
    connections: Vec<Connection>,
    received: Received,
    member: Option<Membership>,
    /// When everything was asked for last, and when something is due next, if nothing has changed since.
    asked: Option<(Time, Time)>,
    outbox: Outbox,
}

/// A partition that is read.
#[derive(Debug)]
struct Position {
    partition: PartitionId,
    /// The next offset to fetch, and the leader's epoch of the record before it; -1 where that is not known.
    next: i64,
    epoch: i32,
    /// Not before then: something was wrong with it.
    not_before: Time,
    /// Whether the end was announced since the last record.
    at_end: bool,
}

/// What is asked of a broker.
#[derive(Debug)]
enum Connection {
    /// Nothing; with the memory of the last fetch, empty.
    Idle(Box<Fetch>),
    /// A fetch is out since then.
    Fetching(Time),
}

impl Connection {
    fn idle(profile: &Profile) -> Connection {
        Connection::Idle(Box::new(Fetch {
            wait_max: profile.fetch_wait_max,
            partition_bytes_max: PARTITION_BYTES_MAX,
            slots: Vec::new(),
        }))
    }
}

impl NativeConsumer {
    /// A consumer that reads what it is told to.
    pub fn new(profile: Profile) -> NativeConsumer {
        NativeConsumer {
            metadata: Metadata::new(profile.clone()),
            positions: Vec::new(),
            connections: (0..profile.brokers).map(|_| Connection::idle(&profile)).collect(),
            profile,
            received: Received::default(),
            member: None,
            asked: None,
            outbox: Outbox::new(),
        }
    }

    /// A member of the run's group.
    pub fn member(settings: MemberSettings, profile: Profile, spec: &GroupSpec) -> NativeConsumer {
        let membership = Membership::new(settings, profile.clone(), spec);
        NativeConsumer { member: Some(membership), ..NativeConsumer::new(profile) }
    }

    /// Leaves the group in order, if it is a member: commits, and says goodbye unless it is a static member of a classic
    /// group, or has crashed.
    pub fn leave(&mut self, now: Time) {
        if let Some(membership) = &mut self.member {
            membership.leave();
        }
        self.tell_coordinator(now);
    }

    /// Sends what the member has to say, and does what it was told.
    fn tell_coordinator(&mut self, now: Time) {
        let Some(membership) = &mut self.member else { return };
        for event in membership.tell(now, &mut self.outbox) {
            let event = match event {
                MemberEvent::Assigned(starts) => {
                    // Nothing committed: from the beginning, where the topic was when the run began.
                    let next = |start: Option<Offset>| start.map_or(0, |Offset(next)| next);
                    starts
                        .iter()
                        .for_each(|(partition, start)| self.assign(now, *partition, next(*start)));
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
                MemberEvent::Refused("UnsupportedVersion") => Event::Error(BrokerError::fatal(
                    "the cluster does not serve groups of the consumer protocol (KIP-848), as Kafka does from 4.0 on; \
                     use `consumers.protocol = \"classic\"`",
                )),
                MemberEvent::Refused(name) => Event::Error(BrokerError::fatal(format!(
                    "the coordinator refuses this member of the group: {name}"
                ))),
            };
            self.received.push_other(event);
        }
    }

    /// Hands over what is next.
    fn hand_over(&mut self, now: Time, events: &mut dyn ConsumerEvents) -> Flow {
        let Some(event) = self.received.take_other() else {
            return self.received.hand_over(events);
        };
        match event {
            Event::Error(error) => {
                events.error(now, error);
                return Flow::Stop;
            }
            Event::Assigned(partitions) => events.assigned(now, &partitions),
            Event::Revoked(partitions) => {
                let progress = self.member.as_ref().map(|member| member.progress(&partitions));
                events.revoked(now, &partitions);
                if let Some(membership) = &mut self.member {
                    membership.member.given_up(progress.unwrap_or_default());
                }
            }
            Event::Lost(partitions) => events.revoked(now, &partitions),
        }
        self.tell_coordinator(now);
        Flow::More
    }

    /// Whether the coordinator has answered everything the member has asked, or there is nothing to leave.
    pub fn has_left(&self) -> bool {
        self.member.as_ref().is_none_or(|membership| !membership.member.is_asking())
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

    fn assign(&mut self, now: Time, partition: PartitionId, next: i64) {
        self.positions.retain(|position| position.partition != partition);
        self.positions.push(Position {
            partition,
            next,
            epoch: -1,
            not_before: Time::ZERO,
            at_end: false,
        });
        self.positions.sort_by_key(|position| position.partition);
        self.asked = None;
        self.fetch(now);
    }

    fn unassign(&mut self, partition: PartitionId) {
        self.asked = None;
        self.positions.retain(|position| position.partition != partition);
        self.received.forget(partition);
    }

    /// Asks whatever is not being asked already; returns when something is due next.
    fn fetch(&mut self, now: Time) -> Time {
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
        let later = self.fill_slots(now);
        for broker in 0..self.connections.len() as BrokerId {
            let connection = &mut self.connections[broker as usize];
            match connection {
                Connection::Fetching(since) => {
                    let since = *since;
                    next = next.min(self.answer_is_due(broker, since, now));
                }
                Connection::Idle(fetch) if fetch.slots.is_empty() => next = next.min(later),
                Connection::Idle(_) => {
                    next = next.min(later);
                    let asked = mem::replace(connection, Connection::Fetching(now));
                    if let Connection::Idle(fetch) = asked {
                        self.outbox.push((now, broker, Request::Fetch(fetch)));
                    }
                }
            }
        }
        next.min(self.metadata.next_try(now))
    }

    /// Puts what is to be fetched into the fetches of the leaders at which none is out. Returns when the next position
    /// may be fetched that may not be now.
    #[inline]
    fn fill_slots(&mut self, now: Time) -> Time {
        let mut later = Time::NEVER;
        for position in &self.positions {
            if position.not_before > now {
                later = later.min(position.not_before);
            } else if let Some(leader) = self.metadata.leader(position.partition, now)
                && let Connection::Idle(fetch) = &mut self.connections[leader as usize]
            {
                let slot = FetchSlot::new(position.partition, position.next);
                fetch.slots.push(FetchSlot { epoch: position.epoch, ..slot });
            }
        }
        later
    }

    /// Closes a connection on which a fetch was not answered in time; returns when that is.
    fn answer_is_due(&mut self, broker: BrokerId, since: Time, now: Time) -> Time {
        let limit = since + self.profile.fetch_wait_max + self.profile.request_timeout;
        if limit > now {
            return limit;
        }
        self.outbox.push((now, broker, Request::Close));
        self.disconnected(broker, now);
        now
    }

    /// Takes the answer to a fetch.
    fn fetched(
        &mut self,
        broker: BrokerId,
        mut fetch: Box<Fetch>,
        records: &dyn Records,
        now: Time,
    ) {
        for slot in &fetch.slots {
            self.take(broker, slot, records, now);
        }
        fetch.slots.clear();
        self.connections[broker as usize] = Connection::Idle(fetch);
    }

    fn take(&mut self, broker: BrokerId, slot: &FetchSlot, records: &dyn Records, arrived: Time) {
        let position = self.positions.iter_mut().find(|p| p.partition == slot.partition);
        // An answer to a question that is no longer asked.
        let Some(position) = position.filter(|position| position.next == slot.offset) else {
            return;
        };
        if let Some(code) = slot.error {
            return self.refused(broker, slot, code, arrived);
        }
        let (partition, offset) = (slot.partition, slot.offset);
        let count = (slot.end - offset).max(0) as u32;
        if count > 0 {
            let out = &mut self.received.records;
            let before = (out.bytes.len(), out.lengths.len());
            records.copy(partition, offset, slot.end, out);
            if out.lengths.len() - before.1 != count as usize {
                // The log has lost some of it while the answer was under way. Asked again, the broker says so.
                return out.truncate(before.0, before.1);
            }
            position.next = slot.end;
            position.at_end = false;
        }
        position.next = position.next.max(slot.resume);
        position.epoch = slot.epoch;
        let is_end = position.next == slot.high_watermark && !position.at_end;
        position.at_end |= is_end;
        if count > 0 || is_end {
            self.received.push(Run { partition, count, offset, arrived, is_end });
        }
    }

    /// A broker has not read a partition.
    fn refused(&mut self, broker: BrokerId, slot: &FetchSlot, code: ErrorCode, arrived: Time) {
        let (partition, offset) = (slot.partition, slot.offset);
        let (class, message) = match code {
            ErrorCode::OffsetOutOfRange => {
                (ErrorClass::Position, format!("offset {offset} is not in the log of {partition}"))
            }
            ErrorCode::LogTruncation => {
                let message = format!(
                    "the log of {partition} was cut before offset {offset} and continued: records that \
                     were read are not in it any more"
                );
                (ErrorClass::Position, message)
            }
            ErrorCode::Rejected(name) => {
                (ErrorClass::Denied, format!("the broker refuses to read {partition}: {name}"))
            }
            // The leader is known: there is nothing to ask, and nothing to wait for.
            ErrorCode::NotLeaderOrFollower if self.metadata.has_moved_from(broker, partition) => {
                return;
            }
            _ => {
                let mut positions = self.positions.iter_mut();
                if let Some(position) = positions.find(|it| it.partition == partition) {
                    position.not_before = arrived + self.profile.retry_backoff;
                }
                return self.metadata.invalidate(arrived);
            }
        };
        self.unassign(partition);
        self.received.push_other(Event::Error(BrokerError { class, message }));
    }
}

impl AsRef<NativeConsumer> for NativeConsumer {
    fn as_ref(&self) -> &NativeConsumer {
        self
    }
}

impl AsMut<NativeConsumer> for NativeConsumer {
    fn as_mut(&mut self) -> &mut NativeConsumer {
        self
    }
}

impl ConsumerPort for NativeConsumer {
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        match command {
            ConsumerCommand::Assign(partition, Offset(next)) => self.assign(now, partition, next),
            ConsumerCommand::Seek(partition, Offset(next)) => {
                self.unassign(partition);
                self.assign(now, partition, next);
            }
            ConsumerCommand::Unassign(partition) => self.unassign(partition),
            ConsumerCommand::Commit(offsets) => {
                if let Some(membership) = &mut self.member {
                    membership.member.commit(offsets);
                }
                self.tell_coordinator(now);
            }
        }
        Ok(())
    }

    fn poll(&mut self, now: Time, _wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        if let Some(membership) = &mut self.member {
            membership.polled = true;
        }
        while self.has_events() {
            self.asked = None;
            if self.hand_over(now, events) == Flow::Stop {
                break;
            }
        }
        self.received.tidy();
        self.fetch(now);
        now
    }

    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        if !self.received.is_empty() {
            return BTreeMap::new();
        }
        let at_end = self.positions.iter().filter(|position| position.at_end);
        at_end.map(|position| (position.partition, Offset(position.next))).collect()
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
                    self.tell_coordinator(now);
                }
            }
            Response::Group(response) => {
                if let Some(membership) = &mut self.member {
                    membership.receive(broker, *response, now);
                }
                self.tell_coordinator(now);
            }
            Response::Coordinator(coordinator) => {
                if let Some(membership) = &mut self.member {
                    membership.found(coordinator);
                }
                self.tell_coordinator(now);
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
        self.connections[broker as usize] = Connection::idle(&self.profile);
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

    fn brokers_are(&mut self, count: u32) {
        self.metadata.brokers_are(count);
        let count = self.connections.len().max(count as usize);
        self.connections.resize_with(count, || Connection::idle(&self.profile));
    }

    fn leader_is(&mut self, partition: PartitionId, leader: BrokerId) {
        self.metadata.leader_is(partition, leader);
    }

    fn reuse(&mut self, _done: Box<Produce>) {}

    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        let mut next = self.fetch(now);
        if let Some(membership) = &mut self.member {
            next = next.min(membership.tick(now, &mut self.metadata, &mut self.outbox));
            // It may have learned something of the brokers.
            self.asked = None;
            self.tell_coordinator(now);
        }
        next
    }
}
