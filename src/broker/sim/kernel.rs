//! The kernel: takes the next event, moves time to it, and lets it happen.

use super::audit::Question;
use super::carrying::ASK_AGAIN;
use super::handle::{Ask, Command, Job, KernelHandle};
use super::network::{Network, NetworkSettings};
use super::queue::Queue;
use super::trace::{Trace, content_of, content_of_response};
use crate::base::{ClockHand, PartitionId, Seed, Time};
use crate::broker::model::{Alarm, Caller, ClientId, Cluster, ClusterSettings, Cores, Output};
use crate::broker::protocol::{BrokerId, Client, Request, Response};
use crate::logic::Effort;

/// A data machine with its client, hosted by the kernel.
pub trait Hosted: Send {
    /// Does what can be done now, without waiting.
    fn turn(&mut self) -> Next;
    /// What it is called in a trace.
    fn name(&self) -> String;
    /// Its client.
    fn client(&mut self) -> &mut dyn Client;
    /// Whether its client has something for the machine.
    fn wants_turn(&self) -> bool;
}

/// What a hosted machine wants after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A turn at this time at the latest.
    At(Time),
    /// A turn when this effort is made.
    After(Effort),
    /// No turn any more: its client is closed.
    Over,
}

/// Why the kernel stopped stepping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Actors were told something: let them come to rest first.
    Settle,
    /// Nothing will ever happen again.
    Empty,
}

/// Virtual time and everything that happens in it.
pub struct Kernel {
    hand: ClockHand,
    pub(super) now: Time,
    pub(super) queue: Queue<Event>,
    pub(super) seats: Vec<Seat>,
    pub(super) cluster: Cluster,
    pub(super) network: Network,
    /// Messages on links that are cut: they pass once those are whole again.
    pub(super) held: Vec<(BrokerId, Event)>,
    /// Cores of the machine the consumers run on.
    cores: Cores,
    trace: Trace,
    pub(super) handle: KernelHandle,
    pub(super) output: Vec<Output>,
}

pub(super) enum Event {
    Turn(ClientId),
    Request {
        caller: Caller,
        broker: BrokerId,
        request: Request,
    },
    Response {
        caller: Caller,
        broker: BrokerId,
        response: Response,
    },
    /// A client finds that its connection is broken, or could not be made.
    Broken {
        client: ClientId,
        broker: BrokerId,
    },
    Alarm(Alarm),
    Job(Job),
    /// Somebody asks for watermarks.
    Ask(ClientId),
}

pub(super) struct Seat {
    pub(super) who: Who,
    /// When its next turn comes; other turns in the queue are stale.
    pub(super) turn_at: Time,
    /// Until when it is busy with an effort.
    pub(super) busy_until: Time,
}

pub(super) enum Who {
    Nobody,
    Machine(Box<dyn Hosted>),
    Asks(Ask),
}

impl Kernel {
    /// A kernel at time zero, with nobody in it yet.
    pub fn new(
        hand: ClockHand,
        seed: Seed,
        cluster: ClusterSettings,
        network: NetworkSettings,
        host_cores: u32,
    ) -> Kernel {
        Kernel {
            hand,
            now: Time::ZERO,
            queue: Queue::new(seed),
            seats: Vec::new(),
            held: Vec::new(),
            network: Network::new(network, cluster.brokers, seed),
            cluster: Cluster::new(cluster, seed),
            cores: Cores::new(host_cores),
            trace: Trace::new(seed.0),
            handle: KernelHandle::new(cluster.partitions),
            output: Vec::new(),
        }
    }

    /// A way to it for actors.
    pub fn handle(&self) -> KernelHandle {
        self.handle.clone()
    }

    /// Lets events happen until actors are involved. Actors must be at rest.
    pub fn step(&mut self) -> Step {
        loop {
            for command in self.handle.take_commands() {
                self.obey(command);
            }
            if self.handle.take_stirred() {
                self.handle.publish(self.now, &self.trace);
                return Step::Settle;
            }
            let Some((at, event)) = self.queue.pop() else {
                return Step::Empty;
            };
            self.now = at;
            self.hand.set(at);
            if self.handle.watched().is_some() {
                self.tell(&event);
            }
            self.happen(event);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Host(client, hosted) => {
                if let Some(watch) = self.handle.watched() {
                    watch.name(client, hosted.name());
                }
                self.seat(client, Who::Machine(hosted));
                self.turn_at(client, self.now);
            }
            Command::Wake(client) => self.turn_at(client, self.now),
            Command::At(at, job) => self.queue.push(at.max(self.now), Event::Job(job)),
            Command::Ask(client, answer) => {
                if let Some(watch) = self.handle.watched() {
                    watch.name(client, "oracle".to_owned());
                }
                self.seat(client, Who::Asks(answer));
                self.ask(client);
            }
            Command::Grow(total) => self.cluster.grow(total),
            Command::Disturb(disturbance) => self.disturb(&disturbance),
        }
    }

    fn seat(&mut self, client: ClientId, who: Who) {
        let vacant = || Seat { who: Who::Nobody, turn_at: Time::NEVER, busy_until: Time::ZERO };
        let seats = self.seats.len().max(client as usize + 1);
        self.seats.resize_with(seats, vacant);
        self.seats[client as usize].who = who;
    }

    /// Gives a machine a turn at `at`, unless it has one before.
    fn turn_at(&mut self, client: ClientId, at: Time) {
        let seat = &mut self.seats[client as usize];
        if at < seat.turn_at {
            seat.turn_at = at;
            self.queue.push(at, Event::Turn(client));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn(client) => {
                let seat = &mut self.seats[client as usize];
                if seat.turn_at != self.now {
                    return;
                }
                seat.turn_at = Time::NEVER;
                if self.now < seat.busy_until {
                    // The turn at the end of the work is in the queue still.
                    seat.turn_at = seat.busy_until;
                    return;
                }
                self.trace.add(self.now, 1, client, 0);
                self.turn(client);
            }
            Event::Request { caller, broker, request } => {
                if !self.network.carries(caller, broker) {
                    return;
                }
                self.trace.add(self.now, 2, caller.client, content_of(&request));
                if !self.cluster.is_up(broker) {
                    return self.break_off(caller.client, broker);
                }
                let question = Question::of(&request);
                self.cluster.request(self.now, broker, caller, request, &mut self.output);
                if let Some(question) = question {
                    self.handle.audit().answered(question, caller, &self.output);
                }
                self.put_out();
            }
            Event::Response { caller, broker, response } => {
                if !self.network.carries(caller, broker) {
                    return;
                }
                self.trace.add(self.now, 3, caller.client, content_of_response(&response));
                self.receive(caller.client, broker, response);
            }
            Event::Broken { client, broker } => {
                self.trace.add(self.now, 8, client, u64::from(broker));
                self.broken(client, broker);
            }
            Event::Alarm(alarm) => {
                self.trace.add(self.now, 4, alarm.number(), 0);
                self.cluster.alarm(self.now, alarm, &mut self.output);
                self.put_out();
            }
            Event::Ask(client) => self.ask(client),
            Event::Job(mut job) => {
                self.trace.add(self.now, 5, 0, 0);
                if let Some(again) = job(self.now) {
                    self.queue.push(again.max(self.now), Event::Job(job));
                }
            }
        }
    }

    fn receive(&mut self, client: ClientId, broker: BrokerId, response: Response) {
        let seat = &mut self.seats[client as usize];
        match &mut seat.who {
            // It is gone, and its connections with it.
            Who::Nobody => {}
            Who::Asks(_) => {
                let Response::ListOffsets(watermarks) = response else {
                    return self.queue.push(self.now + ASK_AGAIN, Event::Ask(client));
                };
                if let Who::Asks(answer) = std::mem::replace(&mut seat.who, Who::Nobody) {
                    self.handle.stir();
                    let with_id = |(id, both)| (PartitionId(id as u32), both);
                    answer(watermarks.into_iter().enumerate().map(with_id).collect());
                }
            }
            Who::Machine(machine) => {
                machine.client().receive(broker, response, &self.cluster, self.now);
                self.after_news(client);
            }
        }
    }

    /// A client has heard something: its machine gets a turn if it wants one, or its client does what is due.
    pub(super) fn after_news(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        let Who::Machine(machine) = &mut seat.who else { return };
        if machine.wants_turn() && self.now >= seat.busy_until {
            return self.turn(client);
        }
        let due = machine.client().tick(self.now);
        self.carry(client);
        if due < Time::NEVER {
            self.turn_at(client, due);
        }
    }

    fn turn(&mut self, client: ClientId) {
        let seat = &mut self.seats[client as usize];
        let Who::Machine(machine) = &mut seat.who else { return };
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
                seat.who = Who::Nobody;
                seat.turn_at = Time::NEVER;
                // What it has sent last is still under way, unless the way is bad: then the system gives up on it.
                for broker in 0..self.cluster.brokers() {
                    if self.network.is_held_up(self.now, client, broker) {
                        self.network.end(client, broker);
                    }
                }
                self.cluster.disconnect(client);
                return;
            }
        };
        self.carry(client);
        if next < Time::NEVER {
            self.turn_at(client, next);
        }
    }

    /// Sends what a client wants sent.
    fn carry(&mut self, client: ClientId) {
        let Who::Machine(machine) = &mut self.seats[client as usize].who else { return };
        let outbox = machine.client().outbox();
        if outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(outbox);
        for (broker, request) in outbox.drain(..) {
            self.send(client, broker, request);
        }
        // The memory goes back.
        if let Who::Machine(machine) = &mut self.seats[client as usize].who {
            *machine.client().outbox() = outbox;
        }
    }
}
