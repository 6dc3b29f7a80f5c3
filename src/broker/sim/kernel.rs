//! The kernel: takes the next event, sets virtual time to it, and applies it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;
use tokio::sync::watch;

use super::event_queue::{Key, Queue};
use super::group_checker::CheckedRequest;
use super::handle::{Ask, Command, Job, KernelHandle};
use super::limits::{CHECK_EVERY, Exceeded, SimLimits};
use super::link::{Ack, Inbox};
use super::network::{Network, NetworkSettings};
use super::process::SimProcess;
use super::trace::Trace;
use crate::base::{Seed, Time, VirtualClockDriver};
use crate::broker::model::{
    Caller, ClientId, Cluster, ClusterEffects, ClusterSettings, ClusterTimer, Cores,
};
use crate::broker::protocol::{BrokerId, Fetch, Outbox, Request};

/// The reason why the kernel stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Actors have messages, and run until they are idle.
    ActorsBusy,
    /// The user has interrupted the run.
    Interrupted,
    /// A limit was reached.
    Exceeded(Exceeded),
    /// No event is left.
    Finished,
}

/// The switch for deliveries that are not in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookahead {
    /// Allowed where no process or actor can see the difference.
    On,
    /// Not allowed: a trace has every event in order.
    Off,
}

/// Virtual time, and all that it applies to.
pub struct Kernel {
    hand: VirtualClockDriver,
    pub(super) now: Time,
    /// The place of the current event.
    pub(super) key: Key,
    pub(super) queue: Queue<Event>,
    jobs: u64,
    /// Events taken from the queue.
    pub(super) steps: u64,
    pub(super) limits: SimLimits,
    /// Becomes true when the user interrupts the run.
    interrupted: watch::Receiver<bool>,
    /// Number of questions for watermarks so far.
    pub(super) questions: u64,
    /// Times of the control events that end the look-ahead.
    pub(super) control_times: BinaryHeap<Reverse<Time>>,
    /// Control events, by the number in their event.
    pub(super) others: Slab<ControlEvent>,
    /// Deferred fetches. Index: the broker.
    pub(super) deferred_fetches: Vec<Inbox<(Caller, Box<Fetch>)>>,
    pub(super) slots: Vec<ClientSlot>,
    /// Number of processes that can notify an actor.
    pub(super) unsettled: u32,
    /// Clients that may have a deferred turn.
    pub(super) deferred_turns: Vec<ClientId>,
    pub(super) cluster: Cluster,
    pub(super) network: Network,
    /// Cores of the machine that the consumers run on.
    pub(super) cores: Cores,
    pub(super) trace: Trace,
    pub(super) handle: KernelHandle,
    pub(super) lookahead: Lookahead,
    pub(super) output: ClusterEffects,
    /// The requests of a client. Empty between two clients.
    pub(super) outbox: Outbox,
}

/// An event. Two small numbers, because events are moved often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Turn(ClientId),
    /// The first request on this link arrives at its broker.
    Request(u32),
    /// The first response on this link arrives at its client.
    Response(u32),
    /// The control event of this number.
    Control(u32),
}

/// An event that is neither a message nor a turn.
pub(super) enum ControlEvent {
    /// A client notices that its connection is broken, or could not be opened.
    Broken {
        caller: Caller,
        broker: BrokerId,
    },
    Timer(ClusterTimer),
    /// A job, with a unique number.
    Job(u64, Job),
    /// A client asks for watermarks.
    Ask(ClientId),
    /// The answer to the question of this number is overdue.
    Unanswered(ClientId, BrokerId, u64),
}

/// The state of a client in the kernel.
pub(super) struct ClientSlot {
    pub(super) occupant: Occupant,
    /// Time of the client's next turn. Other turns in the queue are stale.
    pub(super) turn_at: Time,
    /// End of the client's current effort.
    pub(super) busy_until: Time,
    /// True if the client has a deferred turn.
    pub(super) wants_deferred_turn: bool,
    /// True if the process [cannot notify actors](SimProcess::cannot_notify_actors).
    pub(super) cannot_notify_actors: bool,
    /// Number of the client's last question for watermarks.
    pub(super) question: u64,
    /// Deferred acknowledgements.
    pub(super) acks: Inbox<Ack>,
}

/// The content of a slot.
pub(super) enum Occupant {
    None,
    Process(Box<dyn SimProcess>),
    Asks(Ask),
}

impl ControlEvent {
    /// True if the event ends the look-ahead, because anything may follow from it. A delayed fetch and replication do
    /// not, nor does an event that concerns only a question for watermarks.
    fn ends_lookahead(&self) -> bool {
        let is_usual = matches!(
            self,
            ControlEvent::Timer(ClusterTimer::Fetch { .. } | ClusterTimer::Replicated { .. })
        );
        !is_usual && !matches!(self, ControlEvent::Unanswered(..))
    }

    /// The subject of the event, unique among the control events of an instant, for the tie-break.
    fn tie_key(&self) -> u64 {
        let (kind, what) = match self {
            ControlEvent::Broken { caller, broker } => {
                (1, u64::from(*broker) << 32 | u64::from(caller.client))
            }
            ControlEvent::Timer(timer) => (2, u64::from(timer.number())),
            ControlEvent::Job(number, _) => (3, *number),
            ControlEvent::Ask(client) => (4, u64::from(*client)),
            ControlEvent::Unanswered(.., question) => (5, *question),
        };
        kind << 60 ^ what
    }
}

impl Kernel {
    /// A kernel at time zero, without hosts.
    pub fn new(
        hand: VirtualClockDriver,
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
            control_times: BinaryHeap::new(),
            others: Slab::new(),
            deferred_fetches: (0..cluster.brokers).map(|_| Inbox::default()).collect(),
            slots: Vec::new(),
            unsettled: 0,
            deferred_turns: Vec::new(),
            network: Network::new(network, cluster.brokers, seed),
            cluster: Cluster::new(cluster, seed),
            cores: Cores::new(host_cores),
            trace: Trace::new(seed.0),
            handle: KernelHandle::new(cluster.partitions, cluster.group.consumer.session_timeout),
            lookahead: Lookahead::On,
            output: ClusterEffects::default(),
            outbox: Outbox::new(),
        }
    }

    /// A handle for actors.
    pub fn handle(&self) -> KernelHandle {
        self.handle.clone()
    }

    /// Schedules a control event at `at`.
    pub(super) fn push(&mut self, at: Time, event: ControlEvent) {
        if event.ends_lookahead() {
            self.control_times.push(Reverse(at));
        }
        let key = self.queue.key(at, event.tie_key());
        let event = Event::Control(self.others.insert(event) as u32);
        self.queue.insert(key, event);
    }

    /// Applies events until actors have messages. Actors must be idle.
    pub fn step(&mut self) -> StepOutcome {
        if self.handle.trace_writer().is_some() {
            self.lookahead = Lookahead::Off;
        }
        loop {
            for command in self.handle.take_commands() {
                if let Command::Fail(message) = command {
                    return StepOutcome::Exceeded(Exceeded::Other(message));
                }
                self.apply(command);
            }
            if self.handle.take_actors_busy() {
                self.run_deferred_turns();
                self.handle.publish(self.now, &self.trace);
                self.handle.publish_leaders(self.cluster.take_leader_changes());
                return StepOutcome::ActorsBusy;
            }
            let Some((key, event)) = self.queue.peek() else {
                return StepOutcome::Finished;
            };
            self.set_time(key);
            if self.lookahead == Lookahead::Off {
                self.emit_trace(event);
            }
            self.dispatch(event);
            self.steps += 1;
            if self.now > self.limits.until {
                return StepOutcome::Exceeded(Exceeded::Time(self.now));
            }
            if self.steps.is_multiple_of(CHECK_EVERY)
                && let Some(exceeded) = self.exceeded()
            {
                return StepOutcome::Exceeded(exceeded);
            }
            if self.is_interrupted() {
                return StepOutcome::Interrupted;
            }
        }
    }

    /// True if the user has interrupted the run since the last call. To be called after each event, because one event
    /// may stand for a hundred thousand records.
    #[inline]
    fn is_interrupted(&mut self) -> bool {
        // An error means that the sender is gone, so that no interruption can come.
        let is_news = self.interrupted.has_changed().unwrap_or(false);
        is_news && *self.interrupted.borrow_and_update()
    }

    /// Sets virtual time to that of this place.
    #[inline]
    fn set_time(&mut self, key: Key) {
        (self.key, self.now) = (key, key.at());
        self.hand.set(self.now);
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Host(client, hosted, start) => {
                if let Some(watch) = self.handle.trace_writer() {
                    watch.name(client, hosted.name());
                }
                self.occupy(client, Occupant::Process(hosted));
                let begins = self.now + start;
                self.slots[client as usize].busy_until = begins;
                self.turn_at(client, begins);
            }
            Command::Wake(client) => self.turn_at(client, self.now),
            Command::At(at, job) => {
                self.jobs += 1;
                self.push(at.max(self.now), ControlEvent::Job(self.jobs, job));
            }
            Command::Ask(client, answer) => {
                if let Some(watch) = self.handle.trace_writer() {
                    watch.name(client, "oracle".to_owned());
                }
                self.occupy(client, Occupant::Asks(answer));
                self.ask(client);
            }
            // Handled where the commands are taken.
            Command::Fail(_) => {}
            Command::Inject(cluster_fault) => self.inject(&cluster_fault),
        }
    }

    fn dispatch(&mut self, event: Event) {
        match event {
            Event::Turn(client) => {
                self.queue.advance(None);
                let slot = &mut self.slots[client as usize];
                if slot.turn_at != self.now {
                    return;
                }
                slot.turn_at = Time::NEVER;
                if self.now < slot.busy_until {
                    // The turn at the end of the current effort is still in the queue.
                    slot.turn_at = slot.busy_until;
                    return;
                }
                self.scheduled_turn(client);
            }
            Event::Request(link) => {
                let (request, next) = self.network.link_at(link).up.take(self.key);
                self.queue.advance(next);
                if let Some(request) = request {
                    let (caller, broker) = self.network.connection_at(link);
                    self.arrive(caller, broker, request);
                }
            }
            Event::Response(link) => {
                let (response, next) = self.network.link_at(link).down.take(self.key);
                self.queue.advance(next);
                if let Some(response) = response {
                    let (caller, broker) = self.network.connection_at(link);
                    self.receive(caller.client, broker, response);
                }
            }
            Event::Control(number) => {
                self.queue.advance(None);
                let event = self.others.remove(number as usize);
                if event.ends_lookahead() {
                    self.control_times.pop();
                }
                self.dispatch_control(event);
            }
        }
    }

    fn dispatch_control(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Broken { caller, broker } => {
                self.trace.add(self.now, 8, caller.client, u64::from(broker));
                self.broken(caller, broker);
            }
            ControlEvent::Timer(timer) => {
                self.trace.add(self.now, 4, timer.number(), 0);
                (0..self.cluster.brokers()).for_each(|broker| self.drain_fetches(broker));
                self.cluster.expire_timer(self.now, timer, &mut self.output);
                (0..self.cluster.brokers()).for_each(|broker| self.rearm_fetches(broker));
                self.send_effects();
            }
            ControlEvent::Ask(client) => self.ask(client),
            ControlEvent::Unanswered(client, broker, question) => {
                self.unanswered(client, broker, question);
            }
            ControlEvent::Job(number, mut job) => {
                self.run_deferred_turns();
                self.trace.add(self.now, 5, 0, 0);
                if let Some(again) = job(self.now) {
                    self.push(again.max(self.now), ControlEvent::Job(number, job));
                }
            }
        }
    }

    /// Delivers a request to its broker.
    fn arrive(&mut self, caller: Caller, broker: BrokerId, request: Request) {
        self.trace.request(self.now, caller.client, &request);
        if !self.cluster.is_up(broker) {
            return self.break_off(caller.client, broker);
        }
        self.drain_fetches(broker);
        let question = CheckedRequest::of(&request);
        self.cluster.request(self.now, broker, caller, request, &mut self.output);
        if let Some(question) = question {
            let others = &self.output.others;
            self.handle.group_checker().answered(question, caller, others, self.now);
        }
        self.rearm_fetches(broker);
        self.send_effects();
    }
}
