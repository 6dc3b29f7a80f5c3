//! The consumer's side of the native client: positions, one fetch per broker, and the partitions of a group.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use super::NativeSettings;
use super::member_protocol::{MemberEvent, MemberSettings};
use super::membership::{Membership, refusal};
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
/// Bytes received and not handed over yet, beyond which nothing is fetched. lanekeeper sets librdkafka's
/// `queued.max.messages.kbytes` to about the same.
const RECEIVED_BYTES_MAX: usize = 1024 * 1024;

/// A consumer's client. As a port it hands over what has been received.
#[derive(Debug)]
pub struct NativeConsumer {
    settings: NativeSettings,
    metadata: Metadata,
    positions: Vec<Position>,
    /// Index: the broker.
    connections: Vec<Connection>,
    received: Received,
    member: Option<Membership>,
    /// Time of the last call of `fetch`, and of the next one that is needed; `None` if something has changed since.
    asked: Option<(Time, Time)>,
    outbox: Outbox,
}

/// A partition that is read.
#[derive(Debug)]
struct Position {
    partition: PartitionId,
    /// The next offset to fetch, and the leader epoch of the record before it; -1 if that is unknown.
    next: i64,
    epoch: i32,
    /// No fetch before this time, after an error.
    not_before: Time,
    /// True if the end was announced and no record has come since.
    at_end: bool,
}

/// A connection to a broker.
#[derive(Debug)]
enum Connection {
    /// No fetch is in flight. The request is empty, and kept for its memory.
    Idle(Box<Fetch>),
    /// A fetch is in flight since this time.
    Fetching(Time),
}

impl Connection {
    fn idle(settings: &NativeSettings) -> Connection {
        Connection::Idle(Box::new(Fetch {
            wait_max: settings.fetch_wait_max,
            partition_bytes_max: PARTITION_BYTES_MAX,
            slots: Vec::new(),
        }))
    }
}

impl NativeConsumer {
    /// A consumer that reads the partitions that it is assigned.
    pub fn new(settings: NativeSettings) -> NativeConsumer {
        NativeConsumer {
            metadata: Metadata::new(settings.clone()),
            positions: Vec::new(),
            connections: (0..settings.brokers).map(|_| Connection::idle(&settings)).collect(),
            settings,
            received: Received::default(),
            member: None,
            asked: None,
            outbox: Outbox::new(),
        }
    }

    /// A member of the run's group.
    pub fn member(
        member: MemberSettings,
        settings: NativeSettings,
        spec: &GroupSpec,
    ) -> NativeConsumer {
        let membership = Membership::new(member, settings.clone(), spec);
        NativeConsumer { member: Some(membership), ..NativeConsumer::new(settings) }
    }

    /// Leaves the group in order, if it is a member: it commits, and sends a leave request, unless it is a static
    /// member of a classic group or has crashed.
    pub fn leave(&mut self, now: Time) {
        if let Some(membership) = &mut self.member {
            membership.leave();
        }
        self.tell_coordinator(now);
    }

    /// Sends the requests of the group member, and applies its events.
    fn tell_coordinator(&mut self, now: Time) {
        let Some(membership) = &mut self.member else { return };
        for event in membership.tell(now, &mut self.outbox) {
            let event = match event {
                MemberEvent::Assigned(starts) => {
                    // A partition without a commit is read from offset 0, where the topic began when the run did.
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
                MemberEvent::Refused(name) => Event::Error(refusal(name)),
            };
            self.received.push_other(event);
        }
    }

    /// Hands over the next records or the next event.
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

    /// True if the coordinator has answered all requests of the member, or there is no group to leave.
    pub fn has_left(&self) -> bool {
        self.member.as_ref().is_none_or(|membership| !membership.member.is_asking())
    }

    /// True if there is something to hand over.
    pub fn has_events(&self) -> bool {
        !self.received.is_empty()
    }

    /// Bytes to hand over; `None` if there is more than records and ends of partitions.
    pub fn waiting_records_only(&self) -> Option<usize> {
        self.received.is_plain().then(|| self.received.waiting_bytes())
    }

    /// True if the response to one fetch is the only input that can come from a broker.
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

    /// Sends the requests that are not in flight. Returns the time of the next call that is needed.
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
            // The partition is newer than the known metadata.
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

    /// Fills the fetches of leaders without one in flight. Returns the time at which the next position may be fetched.
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

    /// Closes a connection on which a fetch was not answered in time. Returns the time at which that is due.
    fn answer_is_due(&mut self, broker: BrokerId, since: Time, now: Time) -> Time {
        let limit = since + self.settings.fetch_wait_max + self.settings.request_timeout;
        if limit > now {
            return limit;
        }
        self.outbox.push((now, broker, Request::Close));
        self.disconnected(broker, now);
        now
    }

    /// Handles the response to a fetch.
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
        // The response to a fetch from another position, which is not needed any more.
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
                // Retention has removed some of the records while the response was in flight. The next fetch shows
                // that.
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

    /// Handles an error for a partition in a fetch response.
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
            // The new leader is known, so no metadata are needed and no backoff.
            ErrorCode::NotLeaderOrFollower if self.metadata.has_moved_from(broker, partition) => {
                return;
            }
            _ => {
                let mut positions = self.positions.iter_mut();
                if let Some(position) = positions.find(|it| it.partition == partition) {
                    position.not_before = arrived + self.settings.retry_backoff;
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
        self.connections[broker as usize] = Connection::idle(&self.settings);
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
        self.connections.resize_with(count, || Connection::idle(&self.settings));
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
            // The response may have changed the known metadata.
            self.asked = None;
            self.tell_coordinator(now);
        }
        next
    }
}
