//! Conservative look-ahead: events that are applied early while no fault is active, because nothing can change them.
//!
//! As long as no process can notify an actor, nothing but messages can reach a process before the next control event.
//! So a pool sends what is due until then. A fetch response that is the next input of its client is delivered at
//! once, with its arrival time. A trace turns this off, so that it has every event in its order. The results are the
//! same.

use super::event_queue::Key;
use super::kernel::{DeferredAck, Kernel, Occupant};
use super::process::{Delivered, TurnRequest};
use super::trace::fetched_content;
use crate::base::Time;
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::{BrokerId, Fetch};

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
}
