//! The consumer's side of the native client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::member::{GroupMember, MemberEvent, MemberSettings};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::COORDINATOR;
use crate::broker::protocol::{
    BrokerId, Client, ErrorCode, Fetch, FetchSlot, Records, Request, Response,
};
use crate::broker::{
    BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, ErrorClass, Flow, GroupSpec,
    Positions,
};

/// librdkafka's `fetch.wait.max.ms`.
const FETCH_WAIT_MAX: Duration = Duration::from_millis(500);
/// librdkafka's `max.partition.fetch.bytes`.
const PARTITION_BYTES_MAX: u32 = 1024 * 1024;
/// What may be received and not yet handed over; beyond it nothing is fetched. lanekeeper sets
/// `queued.max.messages.kbytes` to about this.
const RECEIVED_BYTES_MAX: usize = 1024 * 1024;

/// A consumer's client. Implements the port by handing over what has been received.
#[derive(Debug, Default)]
pub struct NativeConsumer {
    /// The leader of each partition, once known.
    leaders: Vec<BrokerId>,
    metadata: Metadata,
    positions: Vec<Position>,
    /// By broker: whether a fetch is out, and the memory of the last one.
    connections: Vec<Connection>,
    received: Received,
    member: Option<Membership>,
    outbox: Vec<(BrokerId, Request)>,
}

/// A group member's side of the client.
#[derive(Debug)]
struct Membership {
    member: GroupMember,
    /// How far the host is, for the commit before partitions are given up.
    positions: Positions,
    crashed: Arc<AtomicBool>,
    /// Whether the host has asked for records since the last tick, and when it last did.
    polled: bool,
    last_poll: Time,
    /// `max.poll.interval.ms`.
    max_poll: Duration,
}

impl Membership {
    /// Leaves the group when nobody asks for records, and comes back when somebody does. Returns when it wants to
    /// look again.
    fn watch_polls(&mut self, now: Time) -> Time {
        if std::mem::take(&mut self.polled) {
            self.last_poll = now;
            self.member.asked_for_records();
        } else if now >= self.last_poll + self.max_poll {
            self.member.fell_silent();
        }
        if self.member.is_up() { self.last_poll + self.max_poll } else { Time::NEVER }
    }

    /// Next offsets to process of `partitions`, as far as they may be committed.
    fn progress(&self, partitions: &[PartitionId]) -> BTreeMap<PartitionId, Offset> {
        if self.crashed.load(Ordering::Acquire) {
            return BTreeMap::new();
        }
        let next = |id: &PartitionId| Some((*id, self.positions.next(*id)?));
        partitions.iter().filter_map(next).collect()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Metadata {
    #[default]
    Unknown,
    Asked,
    Known,
}

/// A partition that is read.
#[derive(Debug)]
struct Position {
    partition: PartitionId,
    /// The next offset to fetch.
    next: i64,
    /// Whether the end was announced since the last record.
    at_end: bool,
}

#[derive(Debug, Default)]
struct Connection {
    fetching: bool,
    spare: Vec<FetchSlot>,
}

/// What came and was not handed over yet.
#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
    events: Vec<Event>,
    /// How far it is handed over: events, lengths, bytes.
    done: usize,
    length_at: usize,
    byte_at: usize,
}

#[derive(Debug)]
enum Event {
    /// So many records from this offset on.
    Records {
        partition: PartitionId,
        offset: i64,
        count: u32,
    },
    End(PartitionId),
    Error(BrokerError),
    Assigned(Vec<PartitionId>),
    /// To be given up; with the word to the coordinator when it is.
    Revoked(Vec<PartitionId>),
    /// Given up already.
    Lost(Vec<PartitionId>),
}

impl NativeConsumer {
    /// A member of the run's group.
    pub fn member(settings: MemberSettings, spec: &GroupSpec) -> NativeConsumer {
        let membership = Membership {
            polled: false,
            last_poll: Time::ZERO,
            max_poll: settings.rebalance_timeout,
            member: GroupMember::new(settings),
            positions: spec.positions.clone(),
            crashed: spec.crashed.clone(),
        };
        NativeConsumer { member: Some(membership), ..NativeConsumer::default() }
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
        let Some(Membership { member, .. }) = &mut self.member else { return };
        let requests = member.outbox().into_iter();
        self.outbox
            .extend(requests.map(|request| (COORDINATOR, Request::Group(Box::new(request)))));
        let events = member.events();
        for event in events {
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
            self.received.events.push(event);
        }
    }

    /// Hands over what is next.
    fn hand_over(&mut self, events: &mut dyn ConsumerEvents) -> Flow {
        let (Event::Assigned(partitions) | Event::Revoked(partitions) | Event::Lost(partitions)) =
            &self.received.events[self.received.done]
        else {
            return self.received.hand_over(events);
        };
        let partitions = partitions.clone();
        let is_revoked = matches!(self.received.events[self.received.done], Event::Revoked(_));
        match self.received.events[self.received.done] {
            Event::Assigned(_) => events.assigned(&partitions),
            _ => {
                let progress = self.member.as_ref().map(|member| member.progress(&partitions));
                events.revoked(&partitions);
                if let (Some(membership), true) = (&mut self.member, is_revoked) {
                    membership.member.given_up(progress.unwrap_or_default());
                }
            }
        }
        self.received.done += 1;
        self.tell_coordinator();
        Flow::More
    }

    /// Whether something can be handed over.
    pub fn has_events(&self) -> bool {
        self.received.done < self.received.events.len()
    }

    fn assign(&mut self, partition: PartitionId, next: i64) {
        self.positions.retain(|position| position.partition != partition);
        self.positions.push(Position { partition, next, at_end: false });
        self.positions.sort_by_key(|position| position.partition);
        self.fetch();
    }

    fn unassign(&mut self, partition: PartitionId) {
        self.positions.retain(|position| position.partition != partition);
        self.received.forget(partition);
    }

    /// Asks whatever is not being asked already.
    fn fetch(&mut self) {
        match self.metadata {
            Metadata::Asked => return,
            Metadata::Unknown => {
                self.metadata = Metadata::Asked;
                self.outbox.push((0, Request::Metadata));
                return;
            }
            Metadata::Known => {}
        }
        if self.received.bytes.len() - self.received.byte_at > RECEIVED_BYTES_MAX {
            return;
        }
        for (broker, connection) in self.connections.iter_mut().enumerate() {
            if connection.fetching {
                continue;
            }
            let broker = broker as BrokerId;
            let mut slots = std::mem::take(&mut connection.spare);
            slots.clear();
            for position in &self.positions {
                if self.leaders.get(position.partition.0 as usize) == Some(&broker) {
                    slots.push(FetchSlot::new(position.partition, position.next));
                }
            }
            if slots.is_empty() {
                connection.spare = slots;
                continue;
            }
            connection.fetching = true;
            self.outbox.push((
                broker,
                Request::Fetch(Fetch {
                    wait_max: FETCH_WAIT_MAX,
                    partition_bytes_max: PARTITION_BYTES_MAX,
                    slots,
                }),
            ));
        }
    }

    fn fetched(&mut self, slot: &FetchSlot, records: &dyn Records) {
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
                self.received.events.push(Event::Error(BrokerError {
                    class: ErrorClass::Position,
                    message: format!("offset {} is not in the log of {partition}", slot.offset),
                }));
                return;
            }
            Some(_) => {
                self.metadata = Metadata::Unknown;
                return;
            }
        }
        if slot.end > slot.offset {
            let received = &mut self.received;
            let (bytes, lengths) = (&mut received.bytes, &mut received.lengths);
            records.copy(slot.partition, slot.offset, slot.end, bytes, lengths);
            let count = (slot.end - slot.offset) as u32;
            let (partition, offset) = (slot.partition, slot.offset);
            received.events.push(Event::Records { partition, offset, count });
            position.next = slot.end;
            position.at_end = false;
        }
        if slot.end == slot.high_watermark && !position.at_end {
            position.at_end = true;
            self.received.events.push(Event::End(slot.partition));
        }
    }
}

impl Received {
    /// Drops what came of a partition that is not read any more.
    fn forget(&mut self, partition: PartitionId) {
        let mut kept = Received::default();
        let (mut length_at, mut byte_at) = (self.length_at, self.byte_at);
        for event in self.events.drain(..).skip(self.done) {
            let Event::Records { partition: of, count, .. } = &event else {
                kept.events.push(event);
                continue;
            };
            let lengths = &self.lengths[length_at..length_at + *count as usize];
            let size: usize = lengths.iter().map(|length| *length as usize).sum();
            if *of != partition {
                kept.lengths.extend_from_slice(lengths);
                kept.bytes.extend_from_slice(&self.bytes[byte_at..byte_at + size]);
            }
            length_at += lengths.len();
            byte_at += size;
            if *of != partition {
                kept.events.push(event);
            }
        }
        *self = kept;
    }

    /// Forgets what is handed over, once that is everything.
    fn tidy(&mut self) {
        if self.done == self.events.len() {
            self.bytes.clear();
            self.lengths.clear();
            self.events.clear();
            (self.done, self.length_at, self.byte_at) = (0, 0, 0);
        }
    }

    fn hand_over(&mut self, events: &mut dyn ConsumerEvents) -> Flow {
        match &mut self.events[self.done] {
            Event::Records { partition, offset, count } => {
                while *count > 0 {
                    let length = self.lengths[self.length_at] as usize;
                    let payload = &self.bytes[self.byte_at..self.byte_at + length];
                    let (partition, at) = (*partition, Offset(*offset));
                    self.length_at += 1;
                    self.byte_at += length;
                    *offset += 1;
                    *count -= 1;
                    if *count == 0 {
                        self.done += 1;
                        return events.record(partition, at, payload);
                    }
                    if events.record(partition, at, payload) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
                self.done += 1;
                Flow::More
            }
            Event::End(partition) => {
                events.end_of_partition(*partition);
                self.done += 1;
                Flow::More
            }
            Event::Error(error) => {
                events.error(error.clone());
                self.done += 1;
                Flow::Stop
            }
            // The client's own affair.
            Event::Assigned(_) | Event::Revoked(_) | Event::Lost(_) => Flow::More,
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
        match response {
            Response::Metadata(leaders) => {
                let brokers = leaders.iter().max().map_or(1, |last| *last as usize + 1);
                self.connections.resize_with(brokers.max(self.connections.len()), Default::default);
                self.leaders = leaders;
                self.metadata = Metadata::Known;
            }
            Response::Fetch(slots) => {
                for slot in &slots {
                    self.fetched(slot, records);
                }
                let connection = &mut self.connections[broker as usize];
                connection.fetching = false;
                connection.spare = slots;
            }
            Response::Group(response) => {
                if let Some(membership) = &mut self.member {
                    membership.member.receive(*response, now);
                }
                self.tell_coordinator();
            }
            Response::InitProducerId(_) | Response::Produce(_) | Response::ListOffsets(_) => {}
        }
        self.fetch();
    }

    fn outbox(&mut self) -> &mut Vec<(BrokerId, Request)> {
        &mut self.outbox
    }

    fn tick(&mut self, now: Time) -> Time {
        let Some(membership) = &mut self.member else { return Time::NEVER };
        let look = membership.watch_polls(now);
        let next = membership.member.tick(now);
        self.tell_coordinator();
        next.min(look)
    }
}
