//! Deferred messages: messages that are applied without an event of their own while no fault is active.
//!
//! Two kinds of message have no visible effect on arrival: an acknowledgement after which no client acts, and a fetch
//! that will be delayed. They are kept with their keys in the order of events, and applied with their arrival times
//! before the next event of the same client or broker. As soon as one could have an effect, it becomes an event. The
//! result is the same: the same times, ties, draws and trace.

use std::collections::VecDeque;

use super::event_queue::Key;
use super::kernel::{DeferredAck, DeferredFetch, Event, Kernel, Occupant, has_left};
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
            if !has_left(offset) && !self.network.is_current(to, from) {
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
            let event = self.response_event(to, from, Response::Produce(number, Ok(offset)));
            self.queue.insert(key, event);
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
                let event = self.request_event(asked.caller, broker, Request::Fetch(asked.fetch));
                self.queue.insert(asked.key, event);
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

    /// An event that is a request's arrival.
    #[inline]
    pub(super) fn request_event(
        &mut self,
        caller: Caller,
        broker: BrokerId,
        request: Request,
    ) -> Event {
        Event::Request(self.requests.insert((caller, broker, request)) as u32)
    }

    /// An event that is a response's arrival.
    #[inline]
    pub(super) fn response_event(
        &mut self,
        caller: Caller,
        broker: BrokerId,
        response: Response,
    ) -> Event {
        Event::Response(self.responses.insert((caller, broker, response)) as u32)
    }
}
