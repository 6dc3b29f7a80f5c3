//! What happens without an event of its own while nothing is wrong.
//!
//! An acknowledgement that lets no client do anything, and a fetch that will find nothing and wait, change nothing when
//! they arrive. They are put aside with their places in the order of events and dealt with, as of their own time, when
//! the client or the broker is next needed; as soon as they could make a difference they become events.
//! Both ways lead to the same: the same times, ties, draws and trace.

use std::collections::VecDeque;

use super::carrying::has_left;
use super::hosted::Who;
use super::kernel::{Event, Kernel};
use super::queue::Key;
use crate::base::Offset;
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::{BrokerId, Fetch, Request, Response};

/// An acknowledgement on its way to a client that can wait for it.
#[derive(Clone, Copy)]
pub(super) struct Ack {
    pub(super) key: Key,
    pub(super) from: BrokerId,
    pub(super) to: Caller,
    pub(super) number: u64,
    pub(super) offset: Offset,
}

/// A fetch on its way to a broker where it will wait.
pub(super) struct Asked {
    key: Key,
    caller: Caller,
    fetch: Box<Fetch>,
}

/// Puts what is aside in the order of keys; it mostly is already.
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
    /// Whether nothing is wrong, and no trace wants everything in its order.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_watched && !self.network.has_trouble && self.cluster.is_quiet()
    }

    /// Puts an acknowledgement aside, if nothing is wrong and its client can wait for it.
    pub(super) fn put_ack_aside(&mut self, ack: Ack) -> bool {
        if !self.is_quiet() {
            return false;
        }
        let seat = &mut self.seats[ack.to.client as usize];
        match &mut seat.who {
            Who::Machine(machine) if machine.acks_can_wait() => {}
            _ => return false,
        }
        put(&mut seat.acks, ack, |ack| ack.key);
        true
    }

    /// Lets a client hear of the acknowledgements that have arrived.
    #[inline]
    pub(super) fn hear(&mut self, client: ClientId) {
        if !self.seats[client as usize].acks.is_empty() {
            self.hear_acks(client);
        }
    }

    fn hear_acks(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        while seat.acks.front().is_some_and(|ack| ack.key < self.key)
            && let Some(ack) = seat.acks.pop_front()
        {
            let Ack { key, from, to, number, offset } = ack;
            if !has_left(offset) && !self.network.carries(to, from) {
                continue;
            }
            self.trace.acked(key.at(), client, offset);
            if let Who::Machine(machine) = &mut seat.who {
                let done = &mut self.output.done;
                machine.client().acknowledged(from, (number, offset), key.at(), done);
            }
        }
    }

    /// A client has done something: if acknowledgements cannot wait any more, they become events.
    #[inline]
    pub(super) fn look_at_acks(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        if seat.acks.is_empty() {
            return;
        }
        match &mut seat.who {
            Who::Machine(machine) if machine.acks_can_wait() => {}
            _ => self.acks_become_events(client),
        }
    }

    fn acks_become_events(&mut self, client: ClientId) {
        while let Some(ack) = self.seats[client as usize].acks.pop_front() {
            let Ack { key, from, to, number, offset } = ack;
            let event = self.response_event(to, from, Response::Produce(number, Ok(offset)));
            self.queue.insert(key, event);
        }
    }

    /// Puts a fetch that arrives at `key` aside, or gives it back.
    #[inline]
    pub(super) fn put_fetch_aside(
        &mut self,
        key: Key,
        broker: BrokerId,
        caller: Caller,
        fetch: Box<Fetch>,
    ) -> Option<Box<Fetch>> {
        if !self.is_quiet() || !self.cluster.would_wait(broker, caller.client, &fetch) {
            return Some(fetch);
        }
        put(&mut self.asked[broker as usize], Asked { key, caller, fetch }, |asked| asked.key);
        None
    }

    /// Lets a broker find the fetches that have arrived.
    #[inline]
    pub(super) fn take_in(&mut self, broker: BrokerId) {
        let asked = &mut self.asked[broker as usize];
        while asked.front().is_some_and(|asked| asked.key < self.key)
            && let Some(arrived) = asked.pop_front()
        {
            let Asked { key, caller, fetch } = arrived;
            if !self.network.carries(caller, broker) {
                continue;
            }
            self.trace.fetch(key.at(), caller.client, &fetch);
            self.cluster.let_wait(key.at(), broker, caller, fetch);
        }
    }

    /// A broker has done something: fetches that would not wait any more become events.
    #[inline]
    pub(super) fn look_at_asked(&mut self, broker: BrokerId) {
        if !self.asked[broker as usize].is_empty() {
            self.asked_become_events(broker, false);
        }
    }

    fn asked_become_events(&mut self, broker: BrokerId, all: bool) {
        let mut next = 0;
        while let Some(Asked { caller, fetch, .. }) = self.asked[broker as usize].get(next) {
            if !all && self.cluster.would_wait(broker, caller.client, fetch) {
                next += 1;
            } else if let Some(asked) = self.asked[broker as usize].remove(next) {
                let event = self.request_event(asked.caller, broker, Request::Fetch(asked.fetch));
                self.queue.insert(asked.key, event);
            }
        }
    }

    /// Lets nothing be aside: something is about to go wrong.
    pub(super) fn end_quiet(&mut self) {
        for broker in 0..self.cluster.brokers() {
            self.take_in(broker);
            self.asked_become_events(broker, true);
        }
        for client in 0..self.seats.len() as ClientId {
            self.hear(client);
            self.acks_become_events(client);
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
