//! What happens before its time while nothing is wrong, because it will be the same then.
//!
//! As long as all machines are calm, nothing can reach one of them before the next upheaval but messages. So a pool
//! sends what is due until then, and an answer that is the only thing its client can hear of until it arrives is heard
//! at once, as of its own time, and answered. A trace has everything at its time and in its order; both ways
//! lead to the same.

use super::aside::Ack;
use super::hosted::{Heard, Who, Wish};
use super::kernel::Kernel;
use super::queue::Key;
use super::trace::fetched_content;
use crate::base::Time;
use crate::broker::model::{Caller, ClientId};
use crate::broker::protocol::{BrokerId, Fetch};

impl Kernel {
    /// Until when nothing but messages can arrive.
    #[inline]
    pub(super) fn calm_until(&self) -> Time {
        match self.restless == 0 && self.is_quiet() {
            true => self.upheavals.peek().map_or(Time::NEVER, |at| at.0),
            false => Time::ZERO,
        }
    }

    /// Lets a machine have turns before their time; returns when it wants the next one.
    ///
    /// (Only an error that was not planned could come between: retention that overtakes a consumer. Its actor hears of
    /// that at its time, when a pool may be some records ahead.)
    pub(super) fn go_ahead(&mut self, client: ClientId, next: Time) -> Time {
        let until = self.calm_until();
        let Who::Machine(machine) = &mut self.seats[client as usize].who else { return next };
        let next = machine.go_ahead(next, until, &mut self.ahead);
        if self.ahead.is_empty() {
            return next;
        }
        std::mem::swap(machine.client().outbox(), &mut self.outbox);
        let (mut ahead, mut outbox) =
            (std::mem::take(&mut self.ahead), std::mem::take(&mut self.outbox));
        debug_assert_eq!(ahead.len(), outbox.len(), "one request each");
        for (at, (broker, request)) in ahead.drain(..).zip(outbox.drain(..)) {
            self.trace.turn(at, client);
            self.send(at, client, broker, request);
        }
        (self.ahead, self.outbox) = (ahead, outbox);
        next
    }

    /// Lets a client hear of the answer to its fetch that arrives at `key`, or gives it back.
    #[inline]
    pub(super) fn hear_ahead(
        &mut self,
        key: Key,
        from: BrokerId,
        to: Caller,
        fetch: Box<Fetch>,
        calm_until: Time,
    ) -> Option<Box<Fetch>> {
        let until = calm_until.min(self.seats[to.client as usize].turn_at);
        let is_possible =
            key.at() < until && self.cluster.keeps(&fetch) && self.network.carries(to, from);
        if !is_possible {
            return Some(fetch);
        }
        let here = self.key;
        self.be_at(key);
        let fetch = self.hear_answer(from, to.client, fetch);
        self.be_at(here);
        fetch
    }

    /// Lets a client hear of the answer to its fetch now, unless it is not the only thing it waits for.
    #[inline]
    fn hear_answer(
        &mut self,
        from: BrokerId,
        client: ClientId,
        fetch: Box<Fetch>,
    ) -> Option<Box<Fetch>> {
        let seat = &mut self.seats[client as usize];
        let Who::Machine(machine) = &mut seat.who else { return Some(fetch) };
        let content = fetched_content(&fetch);
        let outbox = &mut self.outbox;
        let heard = match machine.hear_ahead(from, fetch, &self.cluster, self.now, outbox) {
            Ok(heard) => heard,
            Err(fetch) => return Some(fetch),
        };
        self.trace.fetched(self.now, client, content);
        match heard {
            Heard::Turn => self.follow(client, Wish::Now),
            Heard::Wait { is_late, due } => {
                if is_late {
                    self.put_turn_off(client);
                }
                self.send_all(client);
                self.turn_at(client, due);
            }
        }
        None
    }

    /// Lets a client hear of an acknowledgement, if it has no turn until then.
    #[inline]
    pub(super) fn hear_ack_ahead(&mut self, ack: Ack, calm_until: Time) -> bool {
        let Ack { key, from, to, number, offset } = ack;
        let seat = &mut self.seats[to.client as usize];
        let Who::Machine(machine) = &mut seat.who else { return false };
        let is_possible = key.at() < calm_until.min(seat.turn_at)
            && seat.acks.is_empty()
            && self.network.carries(to, from)
            && machine.hear_ack_ahead(from, (number, offset), key.at(), &mut self.output.done);
        if is_possible {
            self.trace.acked(key.at(), to.client, offset);
        }
        is_possible
    }
}
