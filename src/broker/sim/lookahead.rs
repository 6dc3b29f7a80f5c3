//! Conservative look-ahead: what is applied early or late while no fault is active, because nothing can change it. The
//! result is the same: the same times, ties, draws and trace.
//!
//! # Early
//!
//! As long as no process can notify an actor, nothing but messages can reach a process before the next control event.
//! So a pool sends what is due until then. A fetch response that is the next input of its client is delivered at
//! once, with its arrival time. A trace turns this off, so that it has every event in its order. The results are the
//! same.
//!
//! # Deferred
//!
//! Two kinds of message have no visible effect on arrival: an acknowledgement after which no client acts, and a fetch
//! that will be delayed. They are kept with their keys in the order of events, and applied with their arrival times
//! before the next event of the same client or broker. As soon as one could have an effect, it becomes an event.

use std::collections::VecDeque;

use super::event_queue::Key;
use super::kernel::{DeferredAck, DeferredFetch, Event, Kernel, Occupant};
use super::link::HAS_LEFT;
use super::process::{Delivered, TurnRequest};
use super::trace::fetched_content;
use crate::base::Time;
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::{BrokerId, Fetch, Request, Response};

/// Inserts a message in the order of keys. Most messages are the last one.
fn put<T>(all: &mut VecDeque<T>, one: T, key: impl Fn(&T) -> Key) {
    let mut place = all.len();
    while place > 0 && key(&all[place - 1]) > key(&one) {
        place -= 1;
    }
    match place == all.len() {
        true => all.push_back(one),
        false => all.insert(place, one),
    }
}

impl Kernel {
    /// The time before which nothing but messages can arrive.
    #[inline]
    pub(super) fn safe_horizon(&self) -> Time {
        match self.unsettled == 0 && self.is_fault_free() {
            true => self.control_times.peek().map_or(Time::NEVER, |at| at.0),
            false => Time::ZERO,
        }
    }

    /// Runs the turns of a process before their time; returns when its next turn is due.
    ///
    /// (Only an error that was not planned could come between: retention that overtakes a consumer. Its actor hears of
    /// that at its time, when a pool may have sent some records early.)
    pub(super) fn run_until(&mut self, client: ClientId, next: Time) -> Time {
        let until = self.safe_horizon();
        let Occupant::Process(process) = &mut self.slots[client as usize].occupant else {
            return next;
        };
        let next = process.run_until(next, until, &mut self.early_turns);
        if self.early_turns.is_empty() {
            return next;
        }
        std::mem::swap(process.client().outbox(), &mut self.outbox);
        let (mut early_turns, mut outbox) =
            (std::mem::take(&mut self.early_turns), std::mem::take(&mut self.outbox));
        debug_assert_eq!(early_turns.len(), outbox.len(), "one request each");
        for (at, (broker, request)) in early_turns.drain(..).zip(outbox.drain(..)) {
            self.trace.turn(at, client);
            self.send(at, client, broker, request);
        }
        (self.early_turns, self.outbox) = (early_turns, outbox);
        next
    }

    /// Delivers a fetch response that arrives at `key` early, or returns it.
    #[inline]
    pub(super) fn deliver_early(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        fetch: Box<Fetch>,
        safe_horizon: Time,
    ) -> Option<Box<Fetch>> {
        let until = safe_horizon.min(self.slots[to.client as usize].turn_at);
        let is_possible =
            key.at() < until && self.cluster.keeps(&fetch) && self.network.is_current(to, from);
        if !is_possible {
            return Some(fetch);
        }
        let here = self.key;
        self.set_time(key);
        let fetch = self.deliver_fetch(from, to.client, fetch);
        self.set_time(here);
        fetch
    }

    /// Delivers a fetch response to its client now, unless the client waits for something else besides.
    #[inline]
    fn deliver_fetch(
        &mut self,
        from: BrokerId,
        client: ClientId,
        fetch: Box<Fetch>,
    ) -> Option<Box<Fetch>> {
        let slot = &mut self.slots[client as usize];
        let Occupant::Process(process) = &mut slot.occupant else { return Some(fetch) };
        let content = fetched_content(&fetch);
        let outbox = &mut self.outbox;
        let heard = match process.deliver_early(from, fetch, &self.cluster, self.now, outbox) {
            Ok(heard) => heard,
            Err(fetch) => return Some(fetch),
        };
        self.trace.fetched(self.now, client, content);
        match heard {
            Delivered::Turn => self.grant(client, TurnRequest::Now),
            Delivered::Wait { wants_deferred_turn, due } => {
                if wants_deferred_turn {
                    self.defer_turn(client);
                }
                self.send_all(client);
                self.turn_at(client, due);
            }
        }
        None
    }

    /// Delivers an acknowledgement early, if its client has no turn until then.
    #[inline]
    pub(super) fn ack_early(&mut self, ack: DeferredAck, safe_horizon: Time) -> bool {
        let DeferredAck { key, from, to, number, offset } = ack;
        let slot = &mut self.slots[to.client as usize];
        let Occupant::Process(process) = &mut slot.occupant else { return false };
        let is_possible = key.at() < safe_horizon.min(slot.turn_at)
            && slot.acks.is_empty()
            && self.network.is_current(to, from)
            && process.ack_early(from, (number, offset), key.at(), &mut self.output.done);
        if is_possible {
            self.trace.acked(key.at(), to.client, offset);
        }
        is_possible
    }

    /// Whether no fault is active, and no trace wants every event in its order.
    #[inline]
    pub(super) fn is_fault_free(&self) -> bool {
        !self.is_traced && !self.network.has_link_fault && self.cluster.is_quiet()
    }

    /// Defers an acknowledgement, if no fault is active and its client will not act on it.
    pub(super) fn defer_ack(&mut self, ack: DeferredAck) -> bool {
        if !self.is_fault_free() {
            return false;
        }
        let slot = &mut self.slots[ack.to.client as usize];
        match &mut slot.occupant {
            Occupant::Process(process) if process.acks_are_inert() => {}
            _ => return false,
        }
        put(&mut slot.acks, ack, |ack| ack.key);
        true
    }

    /// Applies the deferred acknowledgements that have arrived at a client.
    #[inline]
    pub(super) fn drain_acks(&mut self, client: ClientId) {
        if !self.slots[client as usize].acks.is_empty() {
            self.apply_acks(client);
        }
    }

    fn apply_acks(&mut self, client: ClientId) {
        let slot = &mut self.slots[client as usize];
        while slot.acks.front().is_some_and(|ack| ack.key < self.key)
            && let Some(ack) = slot.acks.pop_front()
        {
            let DeferredAck { key, from, to, number, offset } = ack;
            if offset != HAS_LEFT && !self.network.is_current(to, from) {
                continue;
            }
            self.trace.acked(key.at(), client, offset);
            if let Occupant::Process(process) = &mut slot.occupant {
                let done = &mut self.output.done;
                process.client().acknowledged(from, (number, offset), key.at(), done);
            }
        }
    }

    /// A client has acted: if it would act on acknowledgements now, the deferred ones become events.
    #[inline]
    pub(super) fn rearm_acks(&mut self, client: ClientId) {
        let slot = &mut self.slots[client as usize];
        if slot.acks.is_empty() {
            return;
        }
        match &mut slot.occupant {
            Occupant::Process(process) if process.acks_are_inert() => {}
            _ => self.acks_to_events(client),
        }
    }

    fn acks_to_events(&mut self, client: ClientId) {
        while let Some(ack) = self.slots[client as usize].acks.pop_front() {
            let DeferredAck { key, from, to, number, offset } = ack;
            self.put_response(key, from, to, Response::Produce(number, Ok(offset)));
        }
    }

    /// Defers a fetch that arrives at `key`, or returns it.
    #[inline]
    pub(super) fn defer_fetch(
        &mut self,
        key: Key,
        broker: BrokerId,
        caller: Caller,
        fetch: Box<Fetch>,
    ) -> Option<Box<Fetch>> {
        if !self.is_fault_free() || !self.cluster.would_wait(broker, caller.client, &fetch) {
            return Some(fetch);
        }
        put(
            &mut self.deferred_fetches[broker as usize],
            DeferredFetch { key, caller, fetch },
            |asked| asked.key,
        );
        None
    }

    /// Applies the deferred fetches that have arrived at a broker.
    #[inline]
    pub(super) fn drain_fetches(&mut self, broker: BrokerId) {
        let asked = &mut self.deferred_fetches[broker as usize];
        while asked.front().is_some_and(|asked| asked.key < self.key)
            && let Some(arrived) = asked.pop_front()
        {
            let DeferredFetch { key, caller, fetch } = arrived;
            if !self.network.is_current(caller, broker) {
                continue;
            }
            self.trace.fetch(key.at(), caller.client, &fetch);
            self.cluster.let_wait(key.at(), broker, caller, fetch);
        }
    }

    /// A broker has acted: deferred fetches that would not be delayed any more become events.
    #[inline]
    pub(super) fn rearm_fetches(&mut self, broker: BrokerId) {
        if !self.deferred_fetches[broker as usize].is_empty() {
            self.fetches_to_events(broker, false);
        }
    }

    fn fetches_to_events(&mut self, broker: BrokerId, all: bool) {
        let mut next = 0;
        while let Some(DeferredFetch { caller, fetch, .. }) =
            self.deferred_fetches[broker as usize].get(next)
        {
            if !all && self.cluster.would_wait(broker, caller.client, fetch) {
                next += 1;
            } else if let Some(asked) = self.deferred_fetches[broker as usize].remove(next) {
                self.put_request(
                    asked.key,
                    asked.caller.client,
                    broker,
                    Request::Fetch(asked.fetch),
                );
            }
        }
    }

    /// Applies every deferred message, or makes it an event: a fault is about to begin.
    pub(super) fn flush_deferred(&mut self) {
        for broker in 0..self.cluster.brokers() {
            self.drain_fetches(broker);
            self.fetches_to_events(broker, true);
        }
        for client in 0..self.slots.len() as ClientId {
            self.drain_acks(client);
            self.acks_to_events(client);
        }
    }

    /// Puts a request under way.
    #[inline]
    pub(super) fn put_request(
        &mut self,
        key: Key,
        client: ClientId,
        broker: BrokerId,
        request: Request,
    ) {
        if let Some(link) = self.network.put_request(key, client, broker, request) {
            self.queue.insert(key, Event::Request(link));
        }
    }

    /// Puts a response under way.
    #[inline]
    pub(super) fn put_response(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        response: Response,
    ) {
        if let Some(link) = self.network.put_response(key, from, to, response) {
            self.queue.insert(key, Event::Response(link));
        }
    }
}
