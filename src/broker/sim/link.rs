//! A connection between a client and a broker: latency, order and faults as with TCP, and the messages in flight.

use std::collections::VecDeque;
use std::time::Duration;

use super::event_queue::Key;
use crate::base::{Offset, Random, Seed, Time};
use crate::broker::model::Caller;
use crate::broker::protocol::{BrokerId, Request, Response};

/// Number of quantiles of the latency distribution that are drawn from.
pub(super) const QUANTILES: usize = 1024;

/// Linux's shortest retransmission timeout of TCP, and the longest one used here.
const RETRANSMITTED_AFTER_NS: i64 = 200_000_000;
const RETRANSMITTED_AFTER_MAX_NS: i64 = 120_000_000_000;

/// The current connection of a client to a broker.
#[derive(Debug)]
pub(super) struct Link {
    /// Number of the connection.
    pub(super) connection: u32,
    pub(super) is_open: bool,
    /// True if messages vanish and the client does not know (yet).
    pub(super) is_blackholed: bool,
    pub(super) up: LinkDirection<Request>,
    pub(super) down: LinkDirection<Response>,
}

/// One direction of a link. The draws for a message depend only on the earlier messages of the same direction, and not
/// on the order in which the kernel handles messages elsewhere.
#[derive(Debug)]
pub(super) struct LinkDirection<M> {
    random: Random,
    /// Arrival of the last message. Later messages arrive after it.
    pub(super) last: Time,
    /// With limited bandwidth, the time at which the last message has left.
    pub(super) free: Time,
    /// Messages in flight, in the order of arrival.
    in_flight: VecDeque<(Key, M)>,
    /// The place of the first arrival here that is in the event queue.
    scheduled: Key,
    /// Messages on a blocked link. They get a time of arrival once the link is healed.
    blocked: VecDeque<M>,
}

/// Arrival time of a message, and its tie-break among the arrivals of the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Time,
    pub(super) tie: u64,
}

impl Link {
    pub(super) fn new(seed: Seed) -> Link {
        Link {
            connection: 0,
            is_open: false,
            is_blackholed: false,
            up: LinkDirection::new(seed.child("up", 0)),
            down: LinkDirection::new(seed.child("down", 0)),
        }
    }

    /// True if a response to `to` can arrive: it belongs to the current connection, or to none.
    #[inline]
    pub(super) fn carries(&self, to: Caller, response: &Response) -> bool {
        (self.connection == to.connection && !self.is_blackholed) || is_local(response)
    }

    /// Lets all later messages of this connection vanish.
    pub(super) fn blackhole(&mut self) {
        self.is_blackholed = true;
        self.lose();
    }

    /// Drops the messages in flight.
    pub(super) fn lose(&mut self) {
        self.up.lose(|_| false);
        self.down.lose(is_local);
    }
}

/// The offset in the acknowledgement of a batch that no broker answers.
pub(super) const HAS_LEFT: Offset = Offset(-1);

/// True if the response is not sent by a broker: a batch with `acks = 0` has left. It does not depend on the
/// connection.
#[inline]
fn is_local(response: &Response) -> bool {
    matches!(response, Response::Produce(_, Ok(HAS_LEFT)))
}

impl<M> LinkDirection<M> {
    fn new(seed: Seed) -> LinkDirection<M> {
        LinkDirection {
            random: seed.random(),
            last: Time::ZERO,
            free: Time::ZERO,
            in_flight: VecDeque::new(),
            scheduled: Key::NEVER,
            blocked: VecDeque::new(),
        }
    }

    /// The arrival of a message whose last byte leaves at `left`. Each of its `trips` takes a latency that is drawn,
    /// and `extra_ns`.
    #[inline]
    pub(super) fn arrives(
        &mut self,
        left: Time,
        trips: u32,
        latencies: &[i64; QUANTILES],
        extra_ns: i64,
    ) -> Arrival {
        let tie = self.random.next_u64();
        let latency = latencies[tie as usize % QUANTILES] + extra_ns;
        self.last = Time((left.0 + latency * i64::from(trips)).max(self.last.0 + 1));
        Arrival { at: self.last, tie }
    }

    /// Departure of the last byte of a message that is sent at `at`, queued behind earlier messages.
    #[inline]
    pub(super) fn leaves(&mut self, at: Time, bytes: u64, bandwidth: Option<u64>) -> Time {
        let Some(bytes_per_s) = bandwidth else { return at };
        let ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s);
        let ns = i64::try_from(ns).unwrap_or(i64::MAX);
        self.free = Time(self.free.max(at).0.saturating_add(ns));
        self.free
    }

    /// Puts a message in flight that arrives at `key`. True if its arrival has to be scheduled, because no earlier one
    /// is.
    #[inline]
    #[must_use]
    pub(super) fn put(&mut self, key: Key, message: M) -> bool {
        insert_sorted(&mut self.in_flight, key, message);
        let is_first = key < self.scheduled;
        if is_first {
            self.scheduled = key;
        }
        is_first
    }

    /// The message that arrives at `key` (`None` if that event is stale), and the next arrival to be scheduled.
    #[inline]
    pub(super) fn take(&mut self, key: Key) -> (Option<M>, Option<Key>) {
        if key != self.scheduled {
            return (None, None);
        }
        let is_here = self.in_flight.front().is_some_and(|(first, _)| *first == key);
        let message = if is_here { self.in_flight.pop_front() } else { None };
        let next = self.in_flight.front().map(|(next, _)| *next);
        self.scheduled = next.unwrap_or(Key::NEVER);
        (message.map(|(_, message)| message), next)
    }

    /// The message that arrives at `key`.
    pub(super) fn arriving(&self, key: Key) -> Option<&M> {
        let (first, message) = self.in_flight.front()?;
        (*first == key && key == self.scheduled).then_some(message)
    }

    /// Keeps a message until the link is healed.
    pub(super) fn block(&mut self, message: M) {
        self.blocked.push_back(message);
    }

    /// Removes the blocked messages.
    pub(super) fn take_blocked(&mut self) -> VecDeque<M> {
        std::mem::take(&mut self.blocked)
    }

    /// All messages in flight, blocked ones included.
    pub(super) fn messages(&self) -> impl Iterator<Item = &M> {
        self.in_flight.iter().map(|(_, message)| message).chain(&self.blocked)
    }

    /// Drops the messages in flight after a break, except those for which `is_local` is true.
    pub(super) fn lose(&mut self, is_local: impl Fn(&M) -> bool) {
        self.in_flight.retain(|(_, message)| is_local(message));
        self.blocked.retain(is_local);
    }
}

/// Deferred messages to a receiver, in the order of arrival.
#[derive(Debug)]
pub(super) struct Inbox<M>(VecDeque<(Key, M)>);

/// An acknowledgement on its way to a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) from: BrokerId,
    pub(super) to: Caller,
    pub(super) number: u64,
    pub(super) offset: Offset,
}

impl<M> Default for Inbox<M> {
    fn default() -> Inbox<M> {
        Inbox(VecDeque::new())
    }
}

impl<M> Inbox<M> {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn defer(&mut self, key: Key, message: M) {
        insert_sorted(&mut self.0, key, message);
    }

    /// Removes the first message, if it arrives before `key`.
    #[inline]
    pub(super) fn take_before(&mut self, key: Key) -> Option<(Key, M)> {
        let has_arrived = self.0.front().is_some_and(|(first, _)| *first < key);
        if has_arrived { self.0.pop_front() } else { None }
    }

    /// Removes the first message from index `place` on for which `is_it` is true. Sets `place` to where the search
    /// continues.
    pub(super) fn take_next(
        &mut self,
        place: &mut usize,
        mut is_it: impl FnMut(&M) -> bool,
    ) -> Option<(Key, M)> {
        *place += self.0.range(*place..).position(|(_, message)| is_it(message))?;
        self.0.remove(*place)
    }
}

/// Inserts a message in the order of keys. As a rule its place is the last one.
#[inline]
fn insert_sorted<M>(all: &mut VecDeque<(Key, M)>, key: Key, message: M) {
    if all.back().is_none_or(|(last, _)| *last <= key) {
        return all.push_back((key, message));
    }
    // On a link with a long queue, the place of another message may be far from the end.
    let place = all.partition_point(|(at, _)| *at <= key);
    all.insert(place, (key, message));
}

/// The active faults of a broker's links.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkFault {
    /// True if a fault is active.
    pub(super) is_active: bool,
    delay: Duration,
    loss: f64,
    duplicate: f64,
    answer_delay: Duration,
    /// True if messages are blocked until the link is healed.
    pub(super) is_blocked: bool,
}

impl LinkFault {
    /// Delays messages by `delay` in each direction, loses a fraction `loss` of them on the way, and delivers a
    /// fraction `duplicate` of the batches twice.
    pub(super) fn set(&mut self, delay: Duration, loss: f64, duplicate: f64) {
        (self.delay, self.loss, self.duplicate) = (delay, loss, duplicate);
        self.refresh();
    }

    /// Delays responses by this time.
    pub(super) fn set_answer_delay(&mut self, by: Duration) {
        self.answer_delay = by;
        self.refresh();
    }

    /// Blocks messages, or lets them pass.
    pub(super) fn block(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
        self.refresh();
    }

    pub(super) fn answer_delay_ns(&self) -> i64 {
        self.answer_delay.as_nanos() as i64
    }

    /// The extra latency of a message, in nanoseconds. TCP retransmits a lost message after growing timeouts, and
    /// delivers no later message before it.
    pub(super) fn extra_latency_ns(&self, random: &mut Random) -> i64 {
        let mut extra_ns = self.delay.as_nanos() as i64;
        let mut wait = RETRANSMITTED_AFTER_NS;
        while self.loss > 0.0 && wait < RETRANSMITTED_AFTER_MAX_NS && random.unit() < self.loss {
            extra_ns += wait;
            wait *= 2;
        }
        extra_ns
    }

    /// True if a batch arrives twice.
    pub(super) fn duplicates(&self, random: &mut Random) -> bool {
        self.duplicate > 0.0 && random.unit() < self.duplicate
    }

    fn refresh(&mut self) {
        self.is_active = self.is_blocked
            || self.loss > 0.0
            || self.duplicate > 0.0
            || !self.delay.is_zero()
            || !self.answer_delay.is_zero();
    }
}
