//! The trace of a simulation: a hash of all events, and a line for each event if they are wanted.
//!
//! Two runs are the same if and only if the hashes are equal (to 64 bits).

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::follower::{FollowedRecord, RecordFollower};

use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::ClientId;
use crate::broker::protocol::{ErrorCode, Fetch, Request, Response};
use crate::measure::{TraceKind, TraceLine};

/// A hash of the events so far: the sum of a hash of each event with its time. The order in which events are added does
/// not matter, because the look-ahead adds some before their time.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    sum: u64,
    events: u64,
}

impl Trace {
    /// No events.
    pub fn new(seed: u64) -> Trace {
        Trace { sum: seed ^ 0x9e37_79b9_7f4a_7c15, events: 0 }
    }

    /// Adds an event: its time, kind and subject, and a number made of its content.
    #[inline]
    pub fn add(&mut self, at: Time, kind: u8, who: u32, content: u64) {
        self.events += 1;
        let what = (u64::from(kind) << 56) ^ (u64::from(who) << 24) ^ content.rotate_left(32);
        let mut mixed = (at.0 as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
        mixed = (mixed ^ (mixed >> 32) ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.sum = self.sum.wrapping_add(mixed ^ (mixed >> 29));
    }

    /// Adds a scheduled turn of a process.
    #[inline]
    pub(super) fn turn(&mut self, at: Time, client: ClientId) {
        self.add(at, 1, client, 0);
    }

    /// Adds the arrival of a request at its broker.
    #[inline]
    pub(super) fn request(&mut self, at: Time, client: ClientId, request: &Request) {
        match request {
            Request::Fetch(fetch) => self.fetch(at, client, fetch),
            _ => self.add(at, 2, client, content_of(request)),
        }
    }

    /// Adds the arrival of a fetch at its broker.
    #[inline]
    pub(super) fn fetch(&mut self, at: Time, client: ClientId, fetch: &Fetch) {
        let content = fetch.slots.iter().fold(5, |content: u64, slot| {
            content.rotate_left(7) ^ u64::from(slot.partition.0) ^ (slot.offset as u64) << 16
        });
        self.add(at, 2, client, content);
    }

    /// Adds the arrival of a response at its client.
    #[inline]
    pub(super) fn response(&mut self, at: Time, client: ClientId, response: &Response) {
        match response {
            Response::Produce(_, Ok(offset)) => self.acked(at, client, *offset),
            Response::Fetch(fetch) => self.fetched(at, client, fetched_content(fetch)),
            _ => self.add(at, 3, client, content_of_response(response)),
        }
    }

    /// Adds the arrival of an acknowledgement at its client.
    #[inline]
    pub(super) fn acked(&mut self, at: Time, client: ClientId, offset: Offset) {
        self.add(at, 3, client, (offset.0 as u64) << 8);
    }

    /// Adds the arrival of a fetch response with this [content](fetched_content) at its client.
    #[inline]
    pub(super) fn fetched(&mut self, at: Time, client: ClientId, content: u64) {
        self.add(at, 3, client, content);
    }

    /// The hash.
    pub fn hash(&self) -> u64 {
        self.sum
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.events
    }
}

/// The part of a request that enters the hash.
fn content_of(request: &Request) -> u64 {
    match request {
        Request::Metadata => 1,
        Request::InitProducerId => 2,
        Request::ListOffsets => 3,
        Request::FindCoordinator => 7,
        Request::Group(_) => 6,
        // A fetch is added by [`Trace::fetch`].
        Request::Close | Request::Fetch(_) => 0,
        Request::Produce(produce) => {
            let sequence = produce.sequence.map_or(0, |(_, sequence)| sequence);
            4 + (u64::from(produce.partition.0) << 8) + (sequence << 24)
        }
    }
}

/// The part of a response that enters the hash.
fn content_of_response(response: &Response) -> u64 {
    match response {
        Response::Metadata(_) => 1,
        Response::Coordinator(broker) => 7 + (u64::from(*broker) << 8),
        Response::Group(_) => 6,
        Response::Refused(code) => 8 + (number_of(*code) << 8),
        Response::InitProducerId(answer) => 2 + ((answer.unwrap_or(-1) as u64) << 8),
        Response::ListOffsets(ends) => ends.iter().map(|(_, end)| end.0 as u64).sum(),
        Response::Produce(..) => 4,
        // A fetch response is added by [`Trace::fetched`].
        Response::Fetch(_) => 0,
    }
}

fn number_of(code: ErrorCode) -> u64 {
    match code {
        ErrorCode::OffsetOutOfRange => 0,
        ErrorCode::NotLeaderOrFollower => 1,
        ErrorCode::OutOfOrderSequence => 2,
        ErrorCode::NotEnoughReplicas => 3,
        ErrorCode::NotEnoughReplicasAfterAppend => 4,
        ErrorCode::RequestTimedOut => 5,
        ErrorCode::Unavailable => 6,
        // The model has no permanent errors and no epochs.
        ErrorCode::Rejected(_) => 7,
        ErrorCode::LogTruncation => 8,
    }
}

/// The part of a fetch response that enters the hash.
#[inline]
pub(super) fn fetched_content(fetch: &Fetch) -> u64 {
    fetch.slots.iter().fold(5, |content: u64, slot| {
        content.rotate_left(7) ^ u64::from(slot.partition.0) ^ (slot.end as u64) << 16
    })
}

/// Gets the lines of a trace, in the order of the events.
pub struct TraceSink {
    take: Box<dyn FnMut(TraceLine) + Send>,
    followed: Option<FollowedRecord>,
}

impl TraceSink {
    /// Passes every line to `take`.
    pub fn new(take: impl FnMut(TraceLine) + Send + 'static) -> TraceSink {
        TraceSink { take: Box::new(take), followed: None }
    }

    /// Adds lines of [`TraceKind::Record`] about this record.
    pub fn following(self, record: FollowedRecord) -> TraceSink {
        TraceSink { followed: Some(record), ..self }
    }
}

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceSink")
    }
}

/// A sink, and the names of clients.
pub struct TraceWriter {
    inner: Mutex<Inner>,
    follower: Option<Mutex<RecordFollower>>,
}

struct Inner {
    sink: TraceSink,
    /// Index: the client.
    names: Vec<String>,
    /// Time of the last event that was checked for the followed record.
    last_event: Time,
}

impl TraceWriter {
    pub(super) fn new(sink: TraceSink) -> TraceWriter {
        let follower = sink.followed.map(|record| Mutex::new(RecordFollower::new(record)));
        let inner = Inner { sink, names: Vec::new(), last_event: Time::ZERO };
        TraceWriter { inner: Mutex::new(inner), follower }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of the followed record, if there is one.
    pub(super) fn follower(&self) -> Option<MutexGuard<'_, RecordFollower>> {
        let follower = self.follower.as_ref()?;
        Some(follower.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Time of the previous event.
    pub(super) fn last_event(&self) -> Time {
        self.lock().last_event
    }

    pub(super) fn set_last_event(&self, at: Time) {
        self.lock().last_event = at;
    }

    /// Notes that the consumer `who` has processed records of a partition at `at`. Writes a line if the followed record
    /// is among them.
    pub fn processed(
        &self,
        at: Time,
        who: &str,
        partition: PartitionId,
        offsets: Range<Offset>,
        counts: &str,
    ) {
        let Some(follower) = self.follower().filter(|it| it.record.partition == partition) else {
            return;
        };
        let copies = follower.copies_in(offsets.start, offsets.end);
        drop(follower);
        for offset in copies {
            let what = format!("processed at offset {offset}{counts}");
            self.emit_trace(at, TraceKind::Record, who.to_owned(), (what, vec![partition]));
        }
    }

    /// Sets the name of a client.
    pub(super) fn name(&self, client: ClientId, name: String) {
        let names = &mut self.lock().names;
        let count = names.len().max(client as usize + 1);
        names.resize(count, String::new());
        names[client as usize] = name;
    }

    /// The name of a client.
    pub(super) fn name_of(&self, client: ClientId) -> String {
        self.lock().names.get(client as usize).cloned().unwrap_or_default()
    }

    /// Writes an event at `at`: its subject, a description, and its partitions.
    pub fn emit_trace(
        &self,
        at: Time,
        kind: TraceKind,
        who: String,
        (what, partitions): (String, Vec<PartitionId>),
    ) {
        (self.lock().sink.take)(TraceLine { at, kind, who, what, partitions });
    }
}

impl fmt::Debug for TraceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceWriter")
    }
}
