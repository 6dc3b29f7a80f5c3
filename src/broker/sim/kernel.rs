//! The kernel: takes the next event, moves time to it, and lets it happen.

use super::handle::{Ask, Command, Job, KernelHandle};
use super::network::{Network, NetworkSettings};
use super::queue::Queue;
use super::telling;
use super::trace::Trace;
use crate::base::{ClockHand, PartitionId, Seed, Time};
use crate::broker::model::{ClientId, Cluster, ClusterSettings, Cores, Output};
use crate::broker::protocol::{BrokerId, Client, Request, Response};
use crate::logic::Effort;
use crate::measure::TraceKind;

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
    now: Time,
    queue: Queue<Event>,
    seats: Vec<Seat>,
    cluster: Cluster,
    network: Network,
    /// Cores of the machine the consumers run on.
    cores: Cores,
    trace: Trace,
    handle: KernelHandle,
    output: Vec<Output>,
}

pub(super) enum Event {
    Turn(ClientId),
    Request { client: ClientId, broker: BrokerId, request: Request },
    Response { client: ClientId, broker: BrokerId, response: Response },
    Deadline { client: ClientId, broker: BrokerId },
    GroupDeadline,
    Job(Job),
}

struct Seat {
    who: Who,
    /// When its next turn comes; other turns in the queue are stale.
    turn_at: Time,
    /// Until when it is busy with an effort.
    busy_until: Time,
}

enum Who {
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
            network: Network::new(network, cluster.brokers, seed),
            cluster: Cluster::new(cluster, seed),
            cores: Cores::new(host_cores),
            trace: Trace::new(seed.0),
            handle: KernelHandle::new(),
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
                self.send(client, 0, Request::ListOffsets);
            }
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

    fn send(&mut self, client: ClientId, broker: BrokerId, request: Request) {
        let at = self.network.request_arrives(self.now, client, broker);
        self.queue.push(at, Event::Request { client, broker, request });
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
            Event::Request { client, broker, request } => {
                self.trace.add(self.now, 2, client, content_of(&request));
                self.cluster.request(self.now, broker, client, request, &mut self.output);
                self.put_out();
            }
            Event::Response { client, broker, response } => {
                self.trace.add(self.now, 3, client, content_of_response(&response));
                self.receive(client, broker, response);
            }
            Event::Deadline { client, broker } => {
                self.trace.add(self.now, 4, client, 0);
                self.cluster.expire(self.now, broker, client, &mut self.output);
                self.put_out();
            }
            Event::GroupDeadline => {
                self.trace.add(self.now, 6, 0, 0);
                self.cluster.group_deadline(self.now, &mut self.output);
                self.put_out();
            }
            Event::Job(mut job) => {
                self.trace.add(self.now, 5, 0, 0);
                if let Some(again) = job(self.now) {
                    self.queue.push(again.max(self.now), Event::Job(job));
                }
            }
        }
    }

    /// Tells whoever watches what is about to happen.
    #[cold]
    fn tell(&self, event: &Event) {
        let Some(watch) = self.handle.watched() else { return };
        let broker = |broker: BrokerId| format!("broker-{broker}");
        let nothing = |what: &str| (what.to_owned(), Vec::new());
        let (kind, who, told) = match event {
            Event::Turn(client) => {
                let seat = &self.seats[*client as usize];
                if seat.turn_at != self.now || self.now < seat.busy_until {
                    return;
                }
                (TraceKind::Turn, watch.name_of(*client), nothing("has a turn"))
            }
            Event::Request { client, broker: to, request } => {
                let (what, partitions) = telling::request(request);
                let what = format!("from {}: {what}", watch.name_of(*client));
                (TraceKind::Request, broker(*to), (what, partitions))
            }
            Event::Response { client, broker: from, response } => {
                let (what, partitions) = telling::response(response);
                let what = format!("from {}: {what}", broker(*from));
                (TraceKind::Response, watch.name_of(*client), (what, partitions))
            }
            Event::Deadline { client, broker: of } => {
                let what = format!("the longest wait of {}'s fetch", watch.name_of(*client));
                (TraceKind::Deadline, broker(*of), nothing(&what))
            }
            Event::GroupDeadline => {
                (TraceKind::Deadline, "coordinator".to_owned(), nothing("looks at its group"))
            }
            Event::Job(_) => (TraceKind::Timer, "kernel".to_owned(), nothing("a timer goes off")),
        };
        watch.tell(self.now, kind, who, told);
    }

    fn put_out(&mut self) {
        for output in self.output.drain(..) {
            match output {
                Output::Reply { at, from: broker, to: client, response } => {
                    let at = self.network.response_arrives(at, client, broker);
                    self.queue.push(at, Event::Response { client, broker, response });
                }
                Output::Deadline { at, broker, client } => {
                    self.queue.push(at, Event::Deadline { client, broker });
                }
                Output::GroupDeadline { at } => self.queue.push(at, Event::GroupDeadline),
            }
        }
    }

    fn receive(&mut self, client: ClientId, broker: BrokerId, response: Response) {
        let seat = &mut self.seats[client as usize];
        match &mut seat.who {
            // It is gone, and its connections with it.
            Who::Nobody => {}
            Who::Asks(_) => {
                if let (Who::Asks(answer), Response::ListOffsets(watermarks)) =
                    (std::mem::replace(&mut seat.who, Who::Nobody), response)
                {
                    self.handle.stir();
                    let with_id = |(id, both)| (PartitionId(id as u32), both);
                    answer(watermarks.into_iter().enumerate().map(with_id).collect());
                }
            }
            Who::Machine(machine) => {
                machine.client().receive(broker, response, &self.cluster, self.now);
                if machine.wants_turn() && self.now >= seat.busy_until {
                    self.turn(client);
                } else {
                    let due = machine.client().tick(self.now);
                    self.carry(client);
                    if due < Time::NEVER {
                        self.turn_at(client, due);
                    }
                }
            }
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
        for (broker, request) in outbox.drain(..) {
            let at = self.network.request_arrives(self.now, client, broker);
            self.queue.push(at, Event::Request { client, broker, request });
        }
    }
}

/// What the trace notes of a request.
fn content_of(request: &Request) -> u64 {
    match request {
        Request::Metadata => 1,
        Request::InitProducerId => 2,
        Request::ListOffsets => 3,
        Request::Group(_) => 6,
        Request::Produce(produce) => {
            let sequence = produce.sequence.map_or(0, |(_, sequence)| sequence);
            4 + (u64::from(produce.partition.0) << 8) + (sequence << 24)
        }
        Request::Fetch(fetch) => fetch.slots.iter().fold(5, |content, slot| {
            content.rotate_left(7) ^ u64::from(slot.partition.0) ^ (slot.offset as u64) << 16
        }),
    }
}

/// What the trace notes of a response.
fn content_of_response(response: &Response) -> u64 {
    match response {
        Response::Metadata(_) => 1,
        Response::Group(_) => 6,
        Response::InitProducerId(number) => 2 + ((*number as u64) << 8),
        Response::ListOffsets(ends) => ends.iter().map(|(_, end)| end.0 as u64).sum(),
        Response::Produce(result) => result.map_or(4, |offset| (offset.0 as u64) << 8),
        Response::Fetch(slots) => slots.iter().fold(5, |content, slot| {
            content.rotate_left(7) ^ u64::from(slot.partition.0) ^ (slot.end as u64) << 16
        }),
    }
}
