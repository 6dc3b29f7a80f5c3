//! Turns of hosted machines, and what their clients hear and send.

use std::collections::VecDeque;

use super::carrying::ASK_AGAIN;
use super::hosted::{Next, Seat, Who, Wish};
use super::kernel::{Event, Kernel, Other};
use crate::base::{PartitionId, Time};
use crate::broker::model::ClientId;
use crate::broker::protocol::{BrokerId, Response};
use crate::logic::Effort;

impl Kernel {
    pub(super) fn seat(&mut self, client: ClientId, who: Who) {
        let vacant = || Seat {
            who: Who::None,
            turn_at: Time::NEVER,
            busy_until: Time::ZERO,
            is_late: false,
            is_calm: true,
            question: 0,
            acks: VecDeque::new(),
        };
        let seats = self.seats.len().max(client as usize + 1);
        self.seats.resize_with(seats, vacant);
        self.seats[client as usize].who = who;
        self.note_calm(client, false);
    }

    /// Notes whether who sits there is calm.
    fn note_calm(&mut self, client: ClientId, is_calm: bool) {
        let seat = &mut self.seats[client as usize];
        match (seat.is_calm, is_calm) {
            (true, false) => self.restless += 1,
            (false, true) => self.restless -= 1,
            _ => {}
        }
        seat.is_calm = is_calm;
    }

    /// Gives a machine a turn at `at`, unless it has one before.
    #[inline]
    pub(super) fn turn_at(&mut self, client: ClientId, at: Time) {
        if at < self.seats[client as usize].turn_at {
            self.turn_earlier(client, at);
        }
    }

    fn turn_earlier(&mut self, client: ClientId, at: Time) {
        self.seats[client as usize].turn_at = at;
        self.queue.insert(self.queue.key(at, u64::from(client)), Event::Turn(client));
    }

    /// A response reaches its client.
    pub(super) fn receive(&mut self, client: ClientId, broker: BrokerId, response: Response) {
        self.hear(client);
        let seat = &mut self.seats[client as usize];
        self.trace.response(self.now, client, &response);
        match &mut seat.who {
            // It is gone, and its connections with it.
            Who::None => {}
            Who::Asks(_) => {
                let Response::ListOffsets(watermarks) = response else {
                    seat.question = 0;
                    return self.push(self.now + ASK_AGAIN, Other::Ask(client));
                };
                let who = std::mem::replace(&mut seat.who, Who::None);
                self.note_calm(client, true);
                self.catch_up();
                self.handle.asked(client);
                if let Who::Asks(answer) = who {
                    self.handle.stir();
                    let with_id = |(id, both)| (PartitionId(id as u32), both);
                    answer(watermarks.into_iter().enumerate().map(with_id).collect());
                }
            }
            Who::Machine(machine) => {
                let is_ack = matches!(response, Response::Produce(_, Ok(_)));
                let changes_nothing = is_ack && machine.acks_can_wait();
                machine.client().receive(broker, response, &self.cluster, self.now);
                if !changes_nothing {
                    self.after_news(client);
                }
            }
        }
    }

    /// A client has heard something: its machine gets a turn if it wants one, or its client does what is due.
    pub(super) fn after_news(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        let Who::Machine(machine) = &mut seat.who else { return };
        let wish = machine.wish();
        self.follow(client, wish);
    }

    /// Gives a machine the turn it wishes, or its client does what is due.
    #[inline]
    pub(super) fn follow(&mut self, client: ClientId, wish: Wish) {
        match wish {
            Wish::None => {}
            // A trace has everything in its order.
            Wish::Later if !self.is_watched => self.put_turn_off(client),
            Wish::Later | Wish::Now => {
                if self.now >= self.seats[client as usize].busy_until {
                    return self.turn(client);
                }
            }
        }
        self.tick(client);
    }

    fn tick(&mut self, client: ClientId) {
        let Who::Machine(machine) = &mut self.seats[client as usize].who else { return };
        let due = machine.client().tick(self.now);
        self.carry(client);
        self.look_at_acks(client);
        self.turn_at(client, due);
    }

    /// Gives a machine the turn it wants later, unless it has one when it is not busy any more.
    #[inline]
    pub(super) fn put_turn_off(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        if self.now >= seat.busy_until && !std::mem::replace(&mut seat.is_late, true) {
            self.late.push(client);
        }
    }

    /// Gives every machine the turn that was put off.
    pub(super) fn catch_up(&mut self) {
        let mut late = std::mem::take(&mut self.late);
        for client in late.drain(..) {
            if self.seats[client as usize].is_late {
                self.turn(client);
            }
        }
        // No machine is late because another one had a turn.
        self.late = late;
    }

    /// Gives a machine the turn it wanted at this time, and those that can be had ahead.
    pub(super) fn own_turn(&mut self, client: ClientId) {
        self.hear(client);
        let mut next = self.go_ahead(client, self.now);
        // This one could not be had like those ahead.
        if next == self.now {
            self.trace.turn(self.now, client);
            next = self.act(client);
            next = self.go_ahead(client, next);
        }
        self.turn_at(client, next);
    }

    pub(super) fn turn(&mut self, client: ClientId) {
        self.hear(client);
        let next = self.act(client);
        self.turn_at(client, next);
    }

    /// Lets a machine have a turn, once its client has heard what there is; returns when it wants the next one.
    fn act(&mut self, client: ClientId) -> Time {
        let seat = &mut self.seats[client as usize];
        seat.is_late = false;
        let Who::Machine(machine) = &mut seat.who else { return Time::NEVER };
        let next = match machine.turn() {
            Next::At(at) => at.min(machine.client().tick(self.now)),
            Next::After(effort) => {
                seat.busy_until = match effort {
                    Effort::None => self.now,
                    Effort::Wait(span) => self.now + span,
                    Effort::Cpu(span) => self.cores.occupy(self.now, span),
                };
                // Another turn before would be for nothing.
                seat.turn_at = Time::NEVER;
                seat.busy_until
            }
            Next::Over => {
                self.end(client);
                return Time::NEVER;
            }
        };
        let is_calm = machine.is_calm();
        self.note_calm(client, is_calm);
        self.carry(client);
        self.look_at_acks(client);
        next
    }

    /// A machine has ended.
    fn end(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        seat.who = Who::None;
        seat.turn_at = Time::NEVER;
        self.note_calm(client, true);
        self.look_at_acks(client);
        // What it has sent last is still under way, unless the way is bad: then the system gives up on it.
        for broker in 0..self.cluster.brokers() {
            self.take_in(broker);
            if self.network.is_held_up(self.now, client, broker) {
                self.network.end(client, broker);
            }
        }
        self.clear_lost();
        self.cluster.disconnect(client);
    }

    /// Sends what a client wants sent. It gets the memory of another one's outbox.
    fn carry(&mut self, client: ClientId) {
        if let Who::Machine(machine) = &mut self.seats[client as usize].who {
            std::mem::swap(machine.client().outbox(), &mut self.outbox);
            self.send_all(client);
        }
    }

    /// Sends what a client has put into the outbox.
    #[inline]
    pub(super) fn send_all(&mut self, client: ClientId) {
        // One is the rule.
        if self.outbox.len() <= 1 {
            if let Some((broker, request)) = self.outbox.pop() {
                self.send(self.now, client, broker, request);
            }
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        for (broker, request) in outbox.drain(..) {
            self.send(self.now, client, broker, request);
        }
        self.outbox = outbox;
    }
}
