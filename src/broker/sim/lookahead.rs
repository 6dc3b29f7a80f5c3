//! The delivery of messages: in order, early, or deferred.
//!
//! In order is the reference: a message is an event, and takes effect at its time. [`Lookahead::On`] may apply some
//! messages earlier or later, but only where no process or actor can see the difference: times, ties, draws and the
//! hash of the trace are the same. A test compares both for random plans of faults.
//!
//! # Early
//!
//! As long as no process can notify an actor, nothing but messages can reach a process before the next control event.
//! That time is the safe horizon (conservative look-ahead, as of Chandy, Misra and Bryant). Before it a pool sends the
//! records that are due, each at its time. A message is delivered as soon as it is sent, with its arrival time, if it
//! is the next input of its client.
//!
//! # Deferred
//!
//! Two kinds of message have no visible effect on arrival: an acknowledgement after which no client acts, and a fetch
//! that will be delayed at its broker. They stay in the [`Inbox`](super::link::Inbox) of their receiver, and are
//! applied with their arrival times before the receiver's next event. As soon as one could have an effect, it goes back
//! to its link.

use super::event_queue::Key;
use super::kernel::{Kernel, Lookahead, Occupant};
use super::link::{Ack, HAS_LEFT};
use crate::base::Time;
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::{BrokerId, Fetch, Request, Response};

/// The way in which a message is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// As an event.
    InOrder,
    /// Now, with its arrival time.
    Early,
    /// Before the receiver's next event, with its arrival time.
    Deferred,
}

impl Kernel {
    /// The time before which nothing but messages can arrive.
    ///
    /// (One error could come between: retention that overtakes a consumer. The consumer's actor gets that error at its
    /// time, when a pool may have sent some records early.)
    #[inline]
    pub(super) fn safe_horizon(&self) -> Time {
        match self.unsettled == 0 && self.may_reorder() {
            true => self.control_times.peek().map_or(Time::NEVER, |at| at.0),
            false => Time::ZERO,
        }
    }

    /// The rule for an acknowledgement: early if the client has no turn and no other message before it arrives,
    /// deferred if the client will not act on it.
    #[inline]
    fn delivery_of_ack(&mut self, key: Key, ack: &Ack, safe_horizon: Time) -> Delivery {
        let slot = &mut self.slots[ack.to.client as usize];
        let Occupant::Process(process) = &mut slot.occupant else { return Delivery::InOrder };
        if !process.acks_are_inert(self.now) {
            return Delivery::InOrder;
        }
        let is_next = key.at() < safe_horizon.min(slot.turn_at) && slot.acks.is_empty();
        match is_next && ack.offset != HAS_LEFT && self.network.is_current(ack.to, ack.from) {
            true => Delivery::Early,
            false if self.may_reorder() => Delivery::Deferred,
            false => Delivery::InOrder,
        }
    }

    /// The rule for a fetch: deferred if the broker will delay it, and nothing else changes.
    #[inline]
    fn delivery_of_fetch(&self, broker: BrokerId, client: ClientId, fetch: &Fetch) -> Delivery {
        match self.may_reorder() && self.cluster.would_delay(broker, client, fetch) {
            true => Delivery::Deferred,
            false => Delivery::InOrder,
        }
    }

    /// The rule for a fetch response: early if its client waits for nothing else and has no turn before it arrives, and
    /// the log keeps the records until then.
    #[inline]
    fn delivery_of_fetched(
        &self,
        key: Key,
        from: BrokerId,
        to: Caller,
        fetch: &Fetch,
        safe_horizon: Time,
    ) -> Delivery {
        let slot = &self.slots[to.client as usize];
        let is_next = key.at() < safe_horizon.min(slot.turn_at)
            && self.cluster.keeps(fetch)
            && self.network.is_current(to, from);
        match &slot.occupant {
            Occupant::Process(process) if is_next && process.awaits_one_fetch() => Delivery::Early,
            _ => Delivery::InOrder,
        }
    }

    /// Delivers an acknowledgement that arrives at `key`.
    #[inline]
    pub(super) fn deliver_ack(&mut self, key: Key, ack: Ack, safe_horizon: Time) {
        let client = ack.to.client;
        match self.delivery_of_ack(key, &ack, safe_horizon) {
            Delivery::Early => self.acknowledge(key, client, &ack),
            Delivery::Deferred => self.slots[client as usize].acks.defer(key, ack),
            Delivery::InOrder => {
                let response = Response::Produce(ack.number, Ok(ack.offset));
                self.enqueue_response(key, ack.from, ack.to, response);
            }
        }
    }

    /// Delivers a fetch that arrives at `key`.
    #[inline]
    pub(super) fn deliver_fetch(
        &mut self,
        key: Key,
        broker: BrokerId,
        caller: Caller,
        fetch: Box<Fetch>,
    ) {
        match self.delivery_of_fetch(broker, caller.client, &fetch) {
            Delivery::Deferred => {
                self.deferred_fetches[broker as usize].defer(key, (caller, fetch));
            }
            Delivery::Early | Delivery::InOrder => {
                self.put_request(key, caller.client, broker, Request::Fetch(fetch));
            }
        }
    }

    /// Delivers a fetch response that arrives at `key`.
    #[inline]
    pub(super) fn deliver_fetched(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        fetch: Box<Fetch>,
        safe_horizon: Time,
    ) {
        match self.delivery_of_fetched(key, from, to, &fetch, safe_horizon) {
            Delivery::Early => {
                // The clock is not moved: the time is an argument of the process.
                let here = (self.key, self.now);
                (self.key, self.now) = (key, key.at());
                self.receive(to.client, from, Response::Fetch(fetch));
                (self.key, self.now) = here;
            }
            Delivery::Deferred | Delivery::InOrder => {
                self.enqueue_response(key, from, to, Response::Fetch(fetch));
            }
        }
    }

    /// Applies an acknowledgement to a client that does not act on it.
    #[inline]
    fn acknowledge(&mut self, key: Key, client: ClientId, ack: &Ack) {
        self.trace.acked(key.at(), client, ack.offset);
        if let Occupant::Process(process) = &mut self.slots[client as usize].occupant {
            // One used batch for each acknowledgement, so a client has the memory of as many as it sends before they
            // come back.
            let client = process.client();
            if let Some(done) = self.output.done.pop() {
                client.reuse(done);
            }
            let response = Response::Produce(ack.number, Ok(ack.offset));
            client.receive(ack.from, response, &self.cluster, key.at());
        }
    }

    /// True if messages may be delivered out of their order: no fault is active.
    #[inline]
    pub(super) fn may_reorder(&self) -> bool {
        self.lookahead == Lookahead::On
            && !self.network.has_link_fault
            && self.cluster.is_fault_free()
    }

    /// Applies the deferred acknowledgements that have arrived at a client.
    #[inline]
    pub(super) fn drain_acks(&mut self, client: ClientId) {
        if !self.slots[client as usize].acks.is_empty() {
            self.apply_acks(client);
        }
    }

    fn apply_acks(&mut self, client: ClientId) {
        while let Some((key, ack)) = self.slots[client as usize].acks.take_before(self.key) {
            if ack.offset == HAS_LEFT || self.network.is_current(ack.to, ack.from) {
                self.acknowledge(key, client, &ack);
            }
        }
    }

    /// Applies the deferred fetches that have arrived at a broker.
    #[inline]
    pub(super) fn drain_fetches(&mut self, broker: BrokerId) {
        let inbox = &mut self.deferred_fetches[broker as usize];
        while let Some((key, (caller, fetch))) = inbox.take_before(self.key) {
            if self.network.is_current(caller, broker) {
                self.trace.fetch(key.at(), caller.client, &fetch);
                self.cluster.delay_fetch(key.at(), broker, caller, fetch);
            }
        }
    }

    /// Returns the deferred acknowledgements of a client to their links, if the client, which has just acted, would act
    /// on them.
    #[inline]
    pub(super) fn rearm_acks(&mut self, client: ClientId) {
        let slot = &mut self.slots[client as usize];
        if slot.acks.is_empty() {
            return;
        }
        match &mut slot.occupant {
            Occupant::Process(process) if process.acks_are_inert(self.now) => {}
            _ => self.return_acks(client),
        }
    }

    fn return_acks(&mut self, client: ClientId) {
        while let Some((key, ack)) = self.slots[client as usize].acks.take_before(Key::NEVER) {
            let response = Response::Produce(ack.number, Ok(ack.offset));
            self.put_response(key, ack.from, ack.to, response);
        }
    }

    /// Returns deferred fetches to their links if the broker, which has just acted, would not delay them any more.
    #[inline]
    pub(super) fn rearm_fetches(&mut self, broker: BrokerId) {
        if !self.deferred_fetches[broker as usize].is_empty() {
            self.return_fetches(broker, false);
        }
    }

    fn return_fetches(&mut self, broker: BrokerId, all: bool) {
        let mut place = 0;
        loop {
            let (inbox, cluster) = (&mut self.deferred_fetches[broker as usize], &self.cluster);
            let acts = |(caller, fetch): &(Caller, Box<Fetch>)| {
                all || !cluster.would_delay(broker, caller.client, fetch)
            };
            let Some((key, (caller, fetch))) = inbox.take_next(&mut place, acts) else { return };
            self.put_request(key, caller.client, broker, Request::Fetch(fetch));
        }
    }

    /// Applies every deferred message that has arrived, and returns the others to their links, because a fault is about
    /// to begin.
    pub(super) fn flush_deferred(&mut self) {
        for broker in 0..self.cluster.brokers() {
            self.drain_fetches(broker);
            self.return_fetches(broker, true);
        }
        for client in 0..self.slots.len() as ClientId {
            self.drain_acks(client);
            self.return_acks(client);
        }
    }
}
