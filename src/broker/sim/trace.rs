//! The trace of a simulation: a rolling hash of everything that happens, and a line for every event when a trace is wanted.
//!
//! Two runs are the same if and only if (to 64 bits) their hashes are.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::delivery::has_left;
use super::kernel::{ControlEvent, Event, Kernel};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::{Alarm, ClientId};
use crate::broker::protocol::{
    BrokerId, Fetch, FetchSlot, GroupRequest, GroupResponse, MemberRef, Request, Response,
};
use crate::measure::{TraceKind, TraceLine};
use crate::plan::Acks;

/// A hash over the events so far.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Of the events in their order.
    hash: u64,
    /// Of events without an order: a sum, so that the time at which they are added does not matter.
    unordered: u64,
    events: u64,
}

impl Trace {
    /// No events.
    pub fn new(seed: u64) -> Trace {
        Trace { hash: seed ^ 0x9e37_79b9_7f4a_7c15, unordered: 0, events: 0 }
    }

    /// Adds an event: its time, kind and subject, and a number made of its content.
    #[inline]
    pub fn add(&mut self, at: Time, kind: u8, who: u32, content: u64) {
        self.events += 1;
        let what = what(kind, who, content);
        self.hash = (self.hash.rotate_left(5) ^ at.0 as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.hash = (self.hash.rotate_left(5) ^ what).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Adds an event that is not always added in its order.
    #[inline]
    fn add_unordered(&mut self, at: Time, kind: u8, who: u32, content: u64) {
        self.events += 1;
        let mut mixed = (at.0 as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
        mixed =
            (mixed ^ (mixed >> 32) ^ what(kind, who, content)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.unordered = self.unordered.wrapping_add(mixed ^ (mixed >> 29));
    }

    /// A machine has a turn because it is time for it. Noted unordered.
    #[inline]
    pub(super) fn turn(&mut self, at: Time, client: ClientId) {
        self.add_unordered(at, 1, client, 0);
    }

    /// A request reaches its broker. A fetch is noted unordered.
    #[inline]
    pub(super) fn request(&mut self, at: Time, client: ClientId, request: &Request) {
        match request {
            Request::Fetch(fetch) => self.fetch(at, client, fetch),
            _ => self.add(at, 2, client, content_of(request)),
        }
    }

    /// A fetch reaches its broker.
    #[inline]
    pub(super) fn fetch(&mut self, at: Time, client: ClientId, fetch: &Fetch) {
        let content = fetch.slots.iter().fold(5, |content: u64, slot| {
            content.rotate_left(7) ^ u64::from(slot.partition.0) ^ (slot.offset as u64) << 16
        });
        self.add_unordered(at, 2, client, content);
    }

    /// A response reaches its client. An acknowledgement and the answer to a fetch are noted unordered.
    #[inline]
    pub(super) fn response(&mut self, at: Time, client: ClientId, response: &Response) {
        match response {
            Response::Produce(_, Ok(offset)) => self.acked(at, client, *offset),
            Response::Fetch(fetch) => self.fetched(at, client, fetched_content(fetch)),
            _ => self.add(at, 3, client, content_of_response(response)),
        }
    }

    /// An acknowledgement reaches its client.
    #[inline]
    pub(super) fn acked(&mut self, at: Time, client: ClientId, offset: Offset) {
        self.add_unordered(at, 3, client, (offset.0 as u64) << 8);
    }

    /// The answer to a fetch with this [content](fetched_content) reaches its client.
    #[inline]
    pub(super) fn fetched(&mut self, at: Time, client: ClientId, content: u64) {
        self.add_unordered(at, 3, client, content);
    }

    /// The hash.
    pub fn hash(&self) -> u64 {
        self.hash ^ self.unordered.wrapping_mul(0x517c_c1b7_2722_0a95)
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.events
    }
}

#[inline]
fn what(kind: u8, who: u32, content: u64) -> u64 {
    (u64::from(kind) << 56) ^ (u64::from(who) << 24) ^ content.rotate_left(32)
}

/// What the trace notes of a request.
fn content_of(request: &Request) -> u64 {
    match request {
        Request::Metadata => 1,
        Request::InitProducerId => 2,
        Request::ListOffsets => 3,
        Request::FindCoordinator => 7,
        Request::Group(_) => 6,
        // A fetch is noted otherwise.
        Request::Close | Request::Fetch(_) => 0,
        Request::Produce(produce) => {
            let sequence = produce.sequence.map_or(0, |(_, sequence)| sequence);
            4 + (u64::from(produce.partition.0) << 8) + (sequence << 24)
        }
    }
}

/// What the trace notes of a response.
fn content_of_response(response: &Response) -> u64 {
    match response {
        Response::Metadata(_) => 1,
        Response::Coordinator(broker) => 7 + (u64::from(*broker) << 8),
        Response::Group(_) => 6,
        Response::Refused(code) => 8 + ((*code as u64) << 8),
        Response::InitProducerId(number) => 2 + ((*number as u64) << 8),
        Response::ListOffsets(ends) => ends.iter().map(|(_, end)| end.0 as u64).sum(),
        Response::Produce(..) => 4,
        // Noted otherwise.
        Response::Fetch(_) => 0,
    }
}

/// What the trace notes of the answer to a fetch.
#[inline]
pub(super) fn fetched_content(fetch: &Fetch) -> u64 {
    fetch.slots.iter().fold(5, |content: u64, slot| {
        content.rotate_left(7) ^ u64::from(slot.partition.0) ^ (slot.end as u64) << 16
    })
}

/// Takes the lines of a trace, in the order of the events.
pub struct TraceSink(Box<dyn FnMut(TraceLine) + Send>);

impl TraceSink {
    /// Gives every line to `take`.
    pub fn new(take: impl FnMut(TraceLine) + Send + 'static) -> TraceSink {
        TraceSink(Box::new(take))
    }
}

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// A sink, and the names of clients.
pub(super) struct TraceWriter(Mutex<Inner>);

struct Inner {
    sink: TraceSink,
    /// By client.
    names: Vec<String>,
}

impl TraceWriter {
    pub(super) fn new(sink: TraceSink) -> TraceWriter {
        TraceWriter(Mutex::new(Inner { sink, names: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client and what it is called.
    pub(super) fn name(&self, client: ClientId, name: String) {
        let names = &mut self.lock().names;
        let count = names.len().max(client as usize + 1);
        names.resize(count, String::new());
        names[client as usize] = name;
    }

    /// What a client is called.
    fn name_of(&self, client: ClientId) -> String {
        self.lock().names.get(client as usize).cloned().unwrap_or_default()
    }

    pub(super) fn emit_trace(
        &self,
        at: Time,
        kind: TraceKind,
        who: String,
        (what, partitions): (String, Vec<PartitionId>),
    ) {
        (self.lock().sink.0)(TraceLine { at, kind, who, what, partitions });
    }
}

impl fmt::Debug for TraceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// The text of an event, and its partitions.
pub(super) type TraceText = (String, Vec<PartitionId>);

/// Slots of a fetch that are written out, at most.
const SLOTS_MAX: usize = 6;

impl Kernel {
    /// Writes the event that is about to happen to the trace.
    #[cold]
    pub(super) fn emit_trace(&self, event: Event) {
        let Some(watch) = self.handle.trace_writer() else { return };
        let (kind, who, text) = match event {
            Event::Turn(client) => {
                let slot = &self.slots[client as usize];
                if slot.turn_at != self.now || self.now < slot.busy_until {
                    return;
                }
                (TraceKind::Turn, watch.name_of(client), nothing("has a turn"))
            }
            Event::Request(number) => {
                let (caller, to, request) = &self.requests[number as usize];
                if !self.network.is_current(*caller, *to) {
                    return;
                }
                let (what, partitions) = request_text(request);
                let what = format!("from {}: {what}", watch.name_of(caller.client));
                (TraceKind::Request, name(*to), (what, partitions))
            }
            Event::Response(number) => {
                let (caller, from, response) = &self.responses[number as usize];
                if !self.network.is_current(*caller, *from) {
                    return;
                }
                let (what, partitions) = response_text(response);
                let what = format!("from {}: {what}", name(*from));
                (TraceKind::Response, watch.name_of(caller.client), (what, partitions))
            }
            Event::Control(number) => self.control_text(watch, &self.others[number as usize]),
        };
        watch.emit_trace(self.now, kind, who, text);
    }

    fn control_text(
        &self,
        watch: &TraceWriter,
        other: &ControlEvent,
    ) -> (TraceKind, String, TraceText) {
        match other {
            ControlEvent::Broken { caller, broker: with } => {
                let what = format!("finds its connection to {} broken", name(*with));
                (TraceKind::Response, watch.name_of(caller.client), nothing(&what))
            }
            ControlEvent::Alarm(Alarm::Fetch { client, broker: of }) => {
                let what = format!("the longest wait of {}'s fetch", watch.name_of(*client));
                (TraceKind::Deadline, name(*of), nothing(&what))
            }
            ControlEvent::Alarm(Alarm::Group) => {
                (TraceKind::Deadline, "coordinator".to_owned(), nothing("looks at its group"))
            }
            ControlEvent::Alarm(Alarm::Replicated { lane }) => {
                let leader = lane / self.cluster.brokers();
                (TraceKind::Deadline, name(leader), nothing("followers have fetched"))
            }
            ControlEvent::Alarm(Alarm::Session { broker: of, .. }) => {
                let what = format!("looks whether {} is still silent", name(*of));
                (TraceKind::Deadline, "controller".to_owned(), nothing(&what))
            }
            ControlEvent::Alarm(Alarm::Laggards) => {
                (TraceKind::Deadline, "leaders".to_owned(), nothing("look for laggards"))
            }
            ControlEvent::Alarm(Alarm::Balance) => {
                let what = "lets preferred leaders lead again";
                (TraceKind::Deadline, "controller".to_owned(), nothing(what))
            }
            ControlEvent::Ask(client) => {
                (TraceKind::Timer, watch.name_of(*client), nothing("asks once more"))
            }
            ControlEvent::Unanswered(client, ..) => {
                (TraceKind::Timer, watch.name_of(*client), nothing("looks whether it was answered"))
            }
            ControlEvent::Job(..) => {
                (TraceKind::Timer, "kernel".to_owned(), nothing("a timer goes off"))
            }
        }
    }
}

/// Counted from 1, as in a scenario and in the real thing.
fn name(broker: BrokerId) -> String {
    format!("broker-{}", broker + 1)
}

fn nothing(what: &str) -> TraceText {
    (what.to_owned(), Vec::new())
}

fn request_text(request: &Request) -> TraceText {
    match request {
        Request::Produce(produce) => {
            let partition = produce.partition;
            let (count, bytes) = (produce.batch.len(), produce.batch.bytes.len());
            let sequence = match produce.sequence {
                Some((producer, first)) => format!(", producer {producer} from sequence {first}"),
                None => String::new(),
            };
            let records = if count == 1 { "record" } else { "records" };
            let acks = match produce.acks {
                Acks::None => "0",
                Acks::Leader => "1",
                Acks::All => "all",
            };
            let what = format!(
                "Produce partition {partition}: {count} {records}, {bytes} B, acks {acks}{sequence}"
            );
            (what, vec![partition])
        }
        Request::Fetch(fetch) => {
            let slot = |slot: &FetchSlot| format!("{}@{}", slot.partition, slot.offset);
            (format!("Fetch {}", listed(&fetch.slots, slot)), partitions(&fetch.slots))
        }
        Request::Group(request) => group_request(request),
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn response_text(response: &Response) -> TraceText {
    match response {
        Response::Produce(_, Ok(offset)) if has_left(*offset) => {
            ("Produce: it has left".to_owned(), Vec::new())
        }
        Response::Produce(_, Ok(offset)) => (format!("Produce: appended at {offset}"), Vec::new()),
        Response::Produce(_, Err(error)) => (format!("Produce: {error:?}"), Vec::new()),
        Response::Fetch(fetch) => fetched_text(&fetch.slots),
        Response::ListOffsets(all) => {
            let end: i64 = all.iter().map(|(_, end)| end.0).sum();
            (format!("ListOffsets: {} partitions, ends add up to {end}", all.len()), Vec::new())
        }
        Response::Metadata(leaders) => {
            (format!("Metadata: {} partitions", leaders.len()), Vec::new())
        }
        Response::Group(response) => group_response(response),
        other => (format!("{other:?}"), Vec::new()),
    }
}

fn group_request(request: &GroupRequest) -> TraceText {
    let of =
        |member: &MemberRef| format!("{} in generation {}", member.member_id, member.generation);
    let what = match request {
        GroupRequest::Join(join) if join.member_id.is_empty() => {
            format!("JoinGroup of a newcomer, {}", join.client_id)
        }
        GroupRequest::Join(join) => format!("JoinGroup of {}", join.member_id),
        GroupRequest::Sync { member, assignments } if assignments.is_empty() => {
            format!("SyncGroup of {}", of(member))
        }
        GroupRequest::Sync { member, assignments } => {
            let dealt: Vec<String> =
                assignments.iter().map(|(id, to)| format!("{id}: {}", ids(to))).collect();
            format!("SyncGroup of the leader {}: {}", of(member), dealt.join("; "))
        }
        GroupRequest::Heartbeat(member) => format!("Heartbeat of {}", of(member)),
        GroupRequest::Leave(member) => format!("LeaveGroup of {}", of(member)),
        GroupRequest::Commit { member, offsets } => {
            let by = member.as_ref().map_or_else(|| "no member of the group".to_owned(), of);
            let all: Vec<String> =
                offsets.iter().map(|(id, next)| format!("{id}@{next}")).collect();
            let what = format!("OffsetCommit of {by}: {}", all.join(", "));
            return (what, offsets.keys().copied().collect());
        }
        GroupRequest::FetchOffsets => "OffsetFetch".to_owned(),
    };
    (what, Vec::new())
}

fn group_response(response: &GroupResponse) -> TraceText {
    match response {
        GroupResponse::Join(member, Ok(joined)) => {
            (format!("JoinGroup: {member} is in generation {}", joined.generation), Vec::new())
        }
        GroupResponse::Join(member, Err(error)) => {
            (format!("JoinGroup: {member}: {error:?}"), Vec::new())
        }
        GroupResponse::Sync(Ok(got)) => (format!("SyncGroup: gets {}", ids(got)), got.clone()),
        GroupResponse::Sync(Err(error)) => (format!("SyncGroup: {error:?}"), Vec::new()),
        GroupResponse::Done(Ok(())) => ("done".to_owned(), Vec::new()),
        GroupResponse::Done(Err(error)) => (format!("{error:?}"), Vec::new()),
        GroupResponse::Offsets(offsets) => {
            (format!("OffsetFetch: {} partitions", offsets.len()), Vec::new())
        }
    }
}

fn fetched_text(slots: &[FetchSlot]) -> TraceText {
    let slot = |slot: &FetchSlot| match slot.error {
        Some(error) => format!("{}@{} {error:?}", slot.partition, slot.offset),
        None if slot.end == slot.offset => {
            format!("{}@{} nothing", slot.partition, slot.offset)
        }
        None => format!("{}@{}..{}", slot.partition, slot.offset, slot.end),
    };
    let with_news: Vec<FetchSlot> =
        slots.iter().filter(|s| s.error.is_some() || s.end > s.offset).copied().collect();
    if with_news.is_empty() {
        return ("Fetch: nothing new".to_owned(), partitions(slots));
    }
    (format!("Fetch: {}", listed(&with_news, slot)), partitions(&with_news))
}

fn partitions(slots: &[FetchSlot]) -> Vec<PartitionId> {
    slots.iter().map(|slot| slot.partition).collect()
}

fn listed(slots: &[FetchSlot], words: impl Fn(&FetchSlot) -> String) -> String {
    let mut text: Vec<String> = slots.iter().take(SLOTS_MAX).map(words).collect();
    if slots.len() > SLOTS_MAX {
        text.push(format!("and {} more", slots.len() - SLOTS_MAX));
    }
    text.join(", ")
}

fn ids(partitions: &[PartitionId]) -> String {
    let ids: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(" "))
}
