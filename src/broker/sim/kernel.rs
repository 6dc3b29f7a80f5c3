//! The kernel: takes the next event, moves time to it, and lets it happen.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use slab::Slab;
use tokio::sync::watch;

use super::aside::Asked;
use super::audit::Question;
use super::carrying::has_left;
use super::handle::{Command, Job, KernelHandle};
use super::hosted::{Seat, Who};
use super::limits::{Exceeded, LOOK_EVERY, SimLimits};
use super::network::{Network, NetworkSettings};
use super::queue::{Key, Queue};
use super::trace::Trace;
use crate::base::{ClockHand, Seed, Time};
use crate::broker::model::{Alarm, Caller, ClientId, Cluster, ClusterSettings, Cores, Outputs};
use crate::broker::protocol::{BrokerId, Request, Response};

/// Why the kernel stopped stepping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Actors were told something: let them come to rest first.
    ActorsBusy,
    /// The user has had enough: a run that waits for that hears of it now.
    Interrupted,
    /// A limit is reached.
    Exceeded(Exceeded),
    /// Nothing will ever happen again.
    Finished,
}

/// Virtual time and everything that happens in it.
pub struct Kernel {
    hand: ClockHand,
    pub(super) now: Time,
    /// The place of the event that is happening.
    pub(super) key: Key,
    pub(super) queue: Queue<Event>,
    jobs: u64,
    /// Events taken from the queue.
    pub(super) steps: u64,
    pub(super) limits: SimLimits,
    /// Turns true when the user has enough.
    interrupted: watch::Receiver<bool>,
    /// Questions for watermarks so far.
    pub(super) questions: u64,
    /// When something happens that actors or the cluster itself may answer with anything.
    pub(super) upheavals: BinaryHeap<Reverse<Time>>,
    /// Messages under way, by the number in their event.
    pub(super) requests: Slab<(Caller, BrokerId, Request)>,
    pub(super) responses: Slab<(Caller, BrokerId, Response)>,
    /// What else is to come, likewise.
    pub(super) others: Slab<Other>,
    /// By broker: fetches that are aside.
    pub(super) asked: Vec<VecDeque<Asked>>,
    pub(super) seats: Vec<Seat>,
    /// How many of those who sit there are not calm.
    pub(super) restless: u32,
    /// Whose turns may have been put off.
    pub(super) late: Vec<ClientId>,
    pub(super) cluster: Cluster,
    pub(super) network: Network,
    /// Messages on links that are cut: they pass once those are whole again.
    pub(super) held: Vec<(BrokerId, Event)>,
    /// Cores of the machine the consumers run on.
    pub(super) cores: Cores,
    pub(super) trace: Trace,
    pub(super) handle: KernelHandle,
    pub(super) is_watched: bool,
    pub(super) output: Outputs,
    /// What a client wants sent; empty between two clients.
    pub(super) outbox: Vec<(BrokerId, Request)>,
    /// When turns were that a machine has had ahead; empty between two machines.
    pub(super) ahead: Vec<Time>,
}

/// Something that happens; two small numbers, because events move often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Turn(ClientId),
    /// The request of this number arrives at its broker.
    Request(u32),
    /// The response of this number arrives at its client.
    Response(u32),
    /// What has this number happens.
    Other(u32),
}

/// What is no message and no turn.
pub(super) enum Other {
    /// A client finds that its connection is broken, or could not be made.
    Broken {
        caller: Caller,
        broker: BrokerId,
    },
    Alarm(Alarm),
    /// With a number of its own.
    Job(u64, Job),
    /// Watermarks are asked for.
    Ask(ClientId),
    /// The question of this number should have been answered.
    Unanswered(ClientId, BrokerId, u64),
}

impl Other {
    /// Whether anything may follow. What lets records come and go as they always do is none, and neither is what
    /// concerns only the question for watermarks.
    fn is_upheaval(&self) -> bool {
        let is_usual = matches!(self, Other::Alarm(Alarm::Fetch { .. } | Alarm::Replicated { .. }));
        !is_usual && !matches!(self, Other::Unanswered(..))
    }

    /// What it is about: no other at the same instant is about the same.
    fn what(&self) -> u64 {
        let (kind, what) = match self {
            Other::Broken { caller, broker } => {
                (1, u64::from(*broker) << 32 | u64::from(caller.client))
            }
            Other::Alarm(alarm) => (2, u64::from(alarm.number())),
            Other::Job(number, _) => (3, *number),
            Other::Ask(client) => (4, u64::from(*client)),
            Other::Unanswered(.., question) => (5, *question),
        };
        kind << 60 ^ what
    }
}

impl Kernel {
    /// A kernel at time zero, without hosts.
    pub fn new(
        hand: ClockHand,
        seed: Seed,
        cluster: ClusterSettings,
        network: NetworkSettings,
        host_cores: u32,
        limits: SimLimits,
        interrupted: watch::Receiver<bool>,
    ) -> Kernel {
        Kernel {
            hand,
            now: Time::ZERO,
            key: Key::FIRST,
            queue: Queue::new(seed),
            jobs: 0,
            steps: 0,
            limits,
            interrupted,
            questions: 0,
            upheavals: BinaryHeap::new(),
            requests: Slab::new(),
            responses: Slab::new(),
            others: Slab::new(),
            asked: (0..cluster.brokers).map(|_| VecDeque::new()).collect(),
            seats: Vec::new(),
            restless: 0,
            late: Vec::new(),
            held: Vec::new(),
            network: Network::new(network, cluster.brokers, seed),
            cluster: Cluster::new(cluster, seed),
            cores: Cores::new(host_cores),
            trace: Trace::new(seed.0),
            handle: KernelHandle::new(cluster.partitions),
            is_watched: false,
            output: Outputs::default(),
            outbox: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// A way to it for actors.
    pub fn handle(&self) -> KernelHandle {
        self.handle.clone()
    }

    /// Lets something else happen at `at`.
    pub(super) fn push(&mut self, at: Time, other: Other) {
        if other.is_upheaval() {
            self.upheavals.push(Reverse(at));
        }
        let key = self.queue.key(at, other.what());
        let event = Event::Other(self.others.insert(other) as u32);
        self.queue.insert(key, event);
    }

    /// Lets events happen until actors are involved. Actors must be at rest.
    pub fn step(&mut self) -> StepOutcome {
        self.is_watched = self.handle.watched().is_some();
        loop {
            for command in self.handle.take_commands() {
                if let Command::Fail(message) = command {
                    return StepOutcome::Exceeded(Exceeded::Other(message));
                }
                self.obey(command);
            }
            if self.handle.take_stirred() {
                self.catch_up();
                self.handle.publish(self.now, &self.trace);
                return StepOutcome::ActorsBusy;
            }
            let Some((key, event)) = self.queue.pop() else {
                return StepOutcome::Finished;
            };
            self.be_at(key);
            if self.is_watched {
                self.tell(event);
            }
            self.happen(event);
            self.steps += 1;
            if self.now > self.limits.until {
                return StepOutcome::Exceeded(Exceeded::Time(self.now));
            }
            if self.steps.is_multiple_of(LOOK_EVERY)
                && let Some(exceeded) = self.exceeded()
            {
                return StepOutcome::Exceeded(exceeded);
            }
            if self.is_interrupted() {
                return StepOutcome::Interrupted;
            }
        }
    }

    /// Whether the user has had enough since the last look. An event can be a hundred thousand records, so there is one
    /// after each.
    #[inline]
    fn is_interrupted(&mut self) -> bool {
        // Nothing may interrupt it.
        let is_news = self.interrupted.has_changed().unwrap_or(false);
        is_news && *self.interrupted.borrow_and_update()
    }

    /// Moves time to the event at this place.
    #[inline]
    pub(super) fn be_at(&mut self, key: Key) {
        (self.key, self.now) = (key, key.at());
        self.hand.set(self.now);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Host(client, hosted, start) => {
                if let Some(watch) = self.handle.watched() {
                    watch.name(client, hosted.name());
                }
                self.seat(client, Who::Machine(hosted));
                let begins = self.now + start;
                self.seats[client as usize].busy_until = begins;
                self.turn_at(client, begins);
            }
            Command::Wake(client) => self.turn_at(client, self.now),
            Command::At(at, job) => {
                self.jobs += 1;
                self.push(at.max(self.now), Other::Job(self.jobs, job));
            }
            Command::Ask(client, answer) => {
                if let Some(watch) = self.handle.watched() {
                    watch.name(client, "oracle".to_owned());
                }
                self.seat(client, Who::Asks(answer));
                self.ask(client);
            }
            // Taken where commands are.
            Command::Fail(_) => {}
            Command::Grow(total) => self.cluster.grow(total),
            Command::Disturb(disturbance) => self.disturb(&disturbance),
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
                self.own_turn(client);
            }
            Event::Request(number) => {
                let (caller, broker, request) = self.requests.remove(number as usize);
                if self.network.carries(caller, broker) {
                    self.arrive(caller, broker, request);
                }
            }
            Event::Response(number) => {
                let (caller, broker, response) = self.responses.remove(number as usize);
                let is_own = matches!(response, Response::Produce(_, Ok(at)) if has_left(at));
                if is_own || self.network.carries(caller, broker) {
                    self.receive(caller.client, broker, response);
                }
            }
            Event::Other(number) => {
                let other = self.others.remove(number as usize);
                if other.is_upheaval() {
                    self.upheavals.pop();
                }
                self.happen_rarely(other);
            }
        }
    }

    fn happen_rarely(&mut self, other: Other) {
        match other {
            Other::Broken { caller, broker } => {
                self.trace.add(self.now, 8, caller.client, u64::from(broker));
                self.broken(caller, broker);
            }
            Other::Alarm(alarm) => {
                self.trace.add(self.now, 4, alarm.number(), 0);
                (0..self.cluster.brokers()).for_each(|broker| self.take_in(broker));
                self.cluster.alarm(self.now, alarm, &mut self.output);
                (0..self.cluster.brokers()).for_each(|broker| self.look_at_asked(broker));
                self.put_out();
            }
            Other::Ask(client) => self.ask(client),
            Other::Unanswered(client, broker, question) => {
                self.unanswered(client, broker, question);
            }
            Other::Job(number, mut job) => {
                self.catch_up();
                self.trace.add(self.now, 5, 0, 0);
                if let Some(again) = job(self.now) {
                    self.push(again.max(self.now), Other::Job(number, job));
                }
            }
        }
    }

    /// A request reaches its broker.
    fn arrive(&mut self, caller: Caller, broker: BrokerId, request: Request) {
        self.trace.request(self.now, caller.client, &request);
        if !self.cluster.is_up(broker) {
            return self.break_off(caller.client, broker);
        }
        self.take_in(broker);
        let question = Question::of(&request);
        self.cluster.request(self.now, broker, caller, request, &mut self.output);
        if let Some(question) = question {
            self.handle.audit().answered(question, caller, &self.output.others);
        }
        self.look_at_asked(broker);
        self.put_out();
    }
}
