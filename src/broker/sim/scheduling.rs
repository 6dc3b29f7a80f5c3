//! Scheduling of processes: their turns, and the deliveries to their clients.

use super::delivery::ASK_AGAIN;
use super::kernel::{ClientSlot, ControlEvent, Event, Kernel, Lookahead, Occupant};
use super::link::Inbox;
use super::process::{NextTurn, TurnRequest};
use crate::base::{PartitionId, Time};
use crate::broker::model::ClientId;
use crate::broker::protocol::{BrokerId, Response};
use crate::logic::Effort;

impl Kernel {
    pub(super) fn occupy(&mut self, client: ClientId, occupant: Occupant) {
        let vacant = || ClientSlot {
            occupant: Occupant::None,
            turn_at: Time::NEVER,
            busy_until: Time::ZERO,
            wants_deferred_turn: false,
            cannot_notify_actors: true,
            question: 0,
            acks: Inbox::default(),
        };
        let slots = self.slots.len().max(client as usize + 1);
        self.slots.resize_with(slots, vacant);
        self.slots[client as usize].occupant = occupant;
        self.set_cannot_notify_actors(client, false);
    }

    /// Sets whether the process in a slot can notify actors.
    fn set_cannot_notify_actors(&mut self, client: ClientId, cannot_notify_actors: bool) {
        let slot = &mut self.slots[client as usize];
        match (slot.cannot_notify_actors, cannot_notify_actors) {
            (true, false) => self.unsettled += 1,
            (false, true) => self.unsettled -= 1,
            _ => {}
        }
        slot.cannot_notify_actors = cannot_notify_actors;
    }

    /// Schedules a turn of a process at `at`, unless it has an earlier one.
    #[inline]
    pub(super) fn turn_at(&mut self, client: ClientId, at: Time) {
        if at < self.slots[client as usize].turn_at {
            self.turn_earlier(client, at);
        }
    }

    fn turn_earlier(&mut self, client: ClientId, at: Time) {
        self.slots[client as usize].turn_at = at;
        self.queue.insert(self.queue.key(at, u64::from(client)), Event::Turn(client));
    }

    /// Delivers a response to its client.
    pub(super) fn receive(&mut self, client: ClientId, broker: BrokerId, response: Response) {
        self.drain_acks(client);
        let slot = &mut self.slots[client as usize];
        self.trace.response(self.now, client, &response);
        match &mut slot.occupant {
            // The process has ended, and its connections with it.
            Occupant::None => {}
            Occupant::Asks(_) => {
                let Response::ListOffsets(watermarks) = response else {
                    slot.question = 0;
                    return self.push(self.now + ASK_AGAIN, ControlEvent::Ask(client));
                };
                let occupant = std::mem::replace(&mut slot.occupant, Occupant::None);
                self.set_cannot_notify_actors(client, true);
                self.run_deferred_turns();
                self.handle.asked(client);
                if let Occupant::Asks(answer) = occupant {
                    self.handle.mark_actors_busy();
                    let with_id = |(id, both)| (PartitionId(id as u32), both);
                    answer(watermarks.into_iter().enumerate().map(with_id).collect());
                }
            }
            Occupant::Process(process) => {
                let is_ack = matches!(response, Response::Produce(_, Ok(_)));
                let changes_nothing = is_ack && process.acks_are_inert(self.now);
                process.client().receive(broker, response, &self.cluster, self.now);
                if !changes_nothing {
                    self.after_delivery(client);
                }
            }
        }
    }

    /// To be called after a delivery to a client. Grants its process the turn that it requests, or does what is due in
    /// the client.
    pub(super) fn after_delivery(&mut self, client: ClientId) {
        let slot = &mut self.slots[client as usize];
        let Occupant::Process(process) = &mut slot.occupant else { return };
        let request = process.turn_request();
        self.grant(client, request);
    }

    /// Grants a process the turn that it requests, or does what is due in its client.
    #[inline]
    pub(super) fn grant(&mut self, client: ClientId, request: TurnRequest) {
        match request {
            TurnRequest::None => {}
            // A trace has all events in their order.
            TurnRequest::Later if self.lookahead == Lookahead::On => self.defer_turn(client),
            TurnRequest::Later | TurnRequest::Now => {
                if self.now >= self.slots[client as usize].busy_until {
                    return self.turn(client);
                }
            }
        }
        self.tick(client);
    }

    fn tick(&mut self, client: ClientId) {
        let Occupant::Process(process) = &mut self.slots[client as usize].occupant else { return };
        let due = process.client().tick(self.now);
        self.carry(client);
        self.rearm_acks(client);
        self.turn_at(client, due);
    }

    /// Defers the turn of a process, unless it has a turn at the end of its work.
    #[inline]
    pub(super) fn defer_turn(&mut self, client: ClientId) {
        let slot = &mut self.slots[client as usize];
        if self.now >= slot.busy_until && !std::mem::replace(&mut slot.wants_deferred_turn, true) {
            self.deferred_turns.push(client);
        }
    }

    /// Runs the deferred turns.
    pub(super) fn run_deferred_turns(&mut self) {
        let mut deferred_turns = std::mem::take(&mut self.deferred_turns);
        for client in deferred_turns.drain(..) {
            if self.slots[client as usize].wants_deferred_turn {
                self.turn(client);
            }
        }
        // A turn of one process does not defer the turn of another one.
        self.deferred_turns = deferred_turns;
    }

    /// Runs the turn that is scheduled for this time, and the early ones that the look-ahead allows.
    pub(super) fn scheduled_turn(&mut self, client: ClientId) {
        self.drain_acks(client);
        self.trace.turn(self.now, client);
        let next = self.act(client, self.safe_horizon());
        self.turn_at(client, next);
    }

    pub(super) fn turn(&mut self, client: ClientId) {
        self.drain_acks(client);
        let next = self.act(client, self.now);
        self.turn_at(client, next);
    }

    /// Runs a turn of a process, after the deliveries to its client. Returns the time of its next turn.
    fn act(&mut self, client: ClientId, horizon: Time) -> Time {
        let slot = &mut self.slots[client as usize];
        slot.wants_deferred_turn = false;
        let Occupant::Process(process) = &mut slot.occupant else { return Time::NEVER };
        let next = match process.turn(self.now, horizon) {
            NextTurn::At(at) => at,
            NextTurn::After(effort) => {
                slot.busy_until = match effort {
                    Effort::None => self.now,
                    Effort::Wait(span) => self.now + span,
                    Effort::Cpu(span) => self.cores.occupy(self.now, span),
                };
                // An earlier turn would have nothing to do.
                slot.turn_at = Time::NEVER;
                slot.busy_until
            }
            NextTurn::Over => {
                self.end(client);
                return Time::NEVER;
            }
        };
        let cannot_notify_actors = process.cannot_notify_actors();
        self.set_cannot_notify_actors(client, cannot_notify_actors);
        self.carry(client);
        self.rearm_acks(client);
        next
    }

    /// Ends a process.
    fn end(&mut self, client: ClientId) {
        let slot = &mut self.slots[client as usize];
        slot.occupant = Occupant::None;
        slot.turn_at = Time::NEVER;
        self.set_cannot_notify_actors(client, true);
        self.rearm_acks(client);
        // Its last messages still arrive, unless the link is faulty: then the operating system drops them.
        for broker in 0..self.cluster.brokers() {
            self.drain_fetches(broker);
            if self.network.is_held_up(self.now, client, broker) {
                self.network.end(client, broker);
            }
        }
        self.cluster.disconnect(client);
    }

    /// Sends the requests of a client. The client gets the memory of another one's outbox.
    fn carry(&mut self, client: ClientId) {
        if let Occupant::Process(process) = &mut self.slots[client as usize].occupant {
            std::mem::swap(process.client().outbox(), &mut self.outbox);
            self.send_all(client);
        }
    }

    /// Sends the requests that a client has put into the outbox.
    #[inline]
    pub(super) fn send_all(&mut self, client: ClientId) {
        let mut turn = self.now;
        // The usual case is a single request.
        if self.outbox.len() <= 1 {
            if let Some((at, broker, request)) = self.outbox.pop() {
                if at > turn {
                    self.trace.turn(at, client);
                }
                self.send(at, client, broker, request);
            }
            return;
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        for (at, broker, request) in outbox.drain(..) {
            // A turn before the scheduled one.
            if at > turn {
                turn = at;
                self.trace.turn(at, client);
            }
            self.send(at, client, broker, request);
        }
        self.outbox = outbox;
    }
}
