//! The cluster: requests in, responses with the time they leave out.
//!
//! A pure machine. [`Cluster::request`] takes what reaches a broker, [`Cluster::alarm`] is called at the times the
//! cluster has announced, and what is done to it on purpose has a method each; all put what follows into
//! [`Outputs`].

mod brokers;
mod fetching;
mod outage;
mod producing;
mod replication;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::brokers::Cores;
use self::brokers::{Broker, Refusals};
use self::fetching::Place;
use self::producing::Unacknowledged;
use self::replication::Lanes;
use super::group::{GroupCoordinator, GroupSettings};
use super::log::{PartitionLog, Sequences};
use super::replicas::Replicas;
use crate::base::{Offset, PartitionId, Seed, Time};
use crate::broker::protocol::{
    BrokerId, ErrorCode, Fetch, GroupError, GroupResponse, Produce, Records, Request, Response,
    Ticket,
};

/// Requests whose memory waits for another use.
const DONE_MAX: usize = 64;

/// A client's connections, as the cluster tells clients apart.
pub type ClientId = u32;

/// A connection of a client to a broker: the destination of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client.
    pub client: ClientId,
    /// How many connections to this broker it has had before.
    pub connection: u32,
}

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Number of brokers.
    pub brokers: u32,
    /// Cores of each broker.
    pub cores: u32,
    /// CPU time of a request.
    pub request_cost: Duration,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// `min.insync.replicas`.
    pub min_insync: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_elections: bool,
    /// One-way time between brokers.
    pub link: Duration,
    /// `broker.session.timeout.ms`: a broker without heartbeats for this long is fenced.
    pub broker_session: Duration,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_max: Duration,
    /// `leader.imbalance.check.interval.seconds`; `None` without `auto.leader.rebalance.enable`.
    pub leader_balance: Option<Duration>,
    /// Bytes kept per partition.
    pub retention_bytes: u64,
    /// How the coordinator treats groups.
    pub group: GroupSettings,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// A fetch has waited for as long as it may.
    Fetch {
        /// Whose.
        client: ClientId,
        /// At which broker.
        broker: BrokerId,
    },
    /// A deadline of the group's coordinator.
    Group,
    /// Followers have fetched what they asked for.
    Replicated {
        /// Which of the cluster's lanes.
        lane: u32,
    },
    /// A broker's session with the controller is over, unless it has been back since.
    Session {
        /// Which broker.
        broker: BrokerId,
        /// Which of its silences.
        silence: u32,
    },
    /// Leaders look whether followers have been behind for too long.
    Laggards,
    /// The controller gives leadership back to the preferred replicas.
    Balance,
}

impl Alarm {
    /// A number that tells what and whose it is, for a trace.
    pub fn number(self) -> u32 {
        match self {
            Alarm::Fetch { client, .. } => client << 3,
            Alarm::Group => 1,
            Alarm::Replicated { lane } => 2 + (lane << 3),
            Alarm::Session { broker, .. } => 3 + (broker << 3),
            Alarm::Laggards => 4,
            Alarm::Balance => 5,
        }
    }
}

/// What follows from something that has happened.
///
/// Answers to batches and to fetches have lists of their own: nearly everything that is said is one of them, and plain
/// values go from hand to hand faster than one of many kinds of things. Between two lists no order is kept.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Batches that are answered.
    pub produced: Vec<Produced>,
    /// Fetches that are answered.
    pub fetched: Vec<Fetched>,
    /// Everything else, in its order.
    pub others: Vec<Output>,
    /// Requests that have done their work, for a use of their memory.
    pub done: Vec<Box<Produce>>,
}

/// A batch is answered.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    /// When the answer leaves.
    pub at: Time,
    /// From which broker.
    pub from: BrokerId,
    /// The receiver.
    pub to: Caller,
    /// The request's number.
    pub number: u64,
    /// Offset of the batch's first record, if it was taken.
    pub offset: Offset,
    /// Why it was not.
    pub error: Option<ErrorCode>,
}

/// A fetch is answered.
#[derive(Debug)]
pub struct Fetched {
    /// When the answer leaves.
    pub at: Time,
    /// From which broker.
    pub from: BrokerId,
    /// The receiver.
    pub to: Caller,
    /// The request, its slots filled in.
    pub fetch: Box<Fetch>,
}

/// Something else the cluster says.
#[derive(Debug)]
pub enum Output {
    /// A response leaves `from` for `to` at `at`.
    Reply {
        /// When.
        at: Time,
        /// From which broker.
        from: BrokerId,
        /// The receiver.
        to: Caller,
        /// What.
        response: Response,
    },
    /// `broker` closes a connection instead of an answer.
    HangUp {
        /// Which broker.
        broker: BrokerId,
        /// Whose connection.
        caller: Caller,
    },
    /// [`Cluster::alarm`] wants to be called at `at`.
    Alarm {
        /// When.
        at: Time,
        /// With this.
        alarm: Alarm,
    },
}

impl Output {
    /// The connection that is closed by this, if one is.
    fn closes(&self) -> Option<Caller> {
        match self {
            Output::HangUp { caller, .. } => Some(*caller),
            Output::Reply { .. } | Output::Alarm { .. } => None,
        }
    }
}

impl Outputs {
    /// A request has done its work.
    #[inline]
    fn done(&mut self, request: Box<Produce>) {
        if self.done.len() < DONE_MAX {
            self.done.push(request);
        }
    }

    /// Says something that is no answer to a batch or a fetch.
    pub fn push(&mut self, output: Output) {
        self.others.push(output);
    }
}

/// All brokers and partitions.
#[derive(Debug)]
pub struct Cluster {
    settings: ClusterSettings,
    brokers: Vec<Broker>,
    partitions: Vec<Partition>,
    /// By client and broker.
    places: Vec<Place>,
    lanes: Lanes,
    refusals: Refusals,
    producers: i64,
    group: GroupCoordinator,
    coordinator: BrokerId,
    /// The earliest announced deadline of the group.
    group_alarm: Time,
    /// Whether every broker replicates as fast as ever, and whether leaders look after laggards.
    is_smooth: bool,
    laggards_alarm: bool,
    balance_alarm: bool,
}

#[derive(Debug)]
struct Partition {
    log: PartitionLog,
    replicas: Replicas,
    sequences: Sequences,
    /// Clients whose fetch waits for a record here.
    waiting: VecDeque<ClientId>,
    /// Batches that are not replicated yet, with the request that waits for that.
    unacknowledged: VecDeque<Unacknowledged>,
    /// Records appended since the last round of replication began.
    is_dirty: bool,
}

impl Partition {
    /// A client waits here no more. Rare: mostly it was the only one, and is taken out before it is answered.
    #[cold]
    fn forget_waiter(&mut self, client: ClientId) {
        self.waiting.retain(|waiter| *waiter != client);
    }
}

impl Cluster {
    /// A cluster whose partitions are empty and led by the brokers in turn.
    pub fn new(settings: ClusterSettings, seed: Seed) -> Cluster {
        let mut cluster = Cluster {
            settings,
            brokers: (0..settings.brokers).map(|_| Broker::new(settings.cores)).collect(),
            partitions: Vec::new(),
            places: Vec::new(),
            lanes: Lanes::new(settings.brokers),
            refusals: Refusals::default(),
            producers: 0,
            group: GroupCoordinator::new(settings.group, seed.child("group", 0)),
            coordinator: 0,
            group_alarm: Time::NEVER,
            is_smooth: true,
            laggards_alarm: false,
            balance_alarm: false,
        };
        cluster.grow(settings.partitions);
        cluster
    }

    /// Adds partitions to the topic, up to this number in all.
    pub fn grow(&mut self, partitions: u32) {
        let (brokers, copies) = (self.settings.brokers, self.settings.replication_factor);
        for id in self.partitions.len() as u32..partitions {
            let on: Vec<BrokerId> =
                (0..copies.min(brokers)).map(|copy| (id + copy) % brokers).collect();
            self.partitions.push(Partition {
                log: PartitionLog::default(),
                replicas: Replicas::new(&on),
                sequences: Sequences::default(),
                waiting: VecDeque::new(),
                unacknowledged: VecDeque::new(),
                is_dirty: false,
            });
        }
    }

    /// Number of partitions.
    pub fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    /// Takes a request that reaches `broker` at `now`. It takes effect at once, unless the broker is paused; the answer
    /// leaves when the broker's CPU has dealt with it.
    pub fn request(
        &mut self,
        now: Time,
        broker: BrokerId,
        caller: Caller,
        request: Request,
        out: &mut Outputs,
    ) {
        if self.brokers[broker as usize].is_paused {
            return self.brokers[broker as usize].queue.push((caller, request));
        }
        let cost = self.settings.request_cost;
        let at = self.brokers[broker as usize].cores.occupy(now, cost);
        let request = match self.refusals.is_empty() {
            true => request,
            false => match self.refused(broker, caller, request, at, out) {
                Some(request) => request,
                None => return,
            },
        };
        let response = match request {
            Request::Produce(produce) => return self.produce(at, broker, caller, produce, out),
            Request::Fetch(fetch) => return self.fetch(at, broker, caller, fetch, out),
            Request::Group(request) if broker == self.coordinator => {
                self.group.request(ticket(caller), *request, at);
                return self.group_says(at, out);
            }
            Request::Group(request) => {
                let refusal = GroupResponse::refusal(&request, GroupError::NotCoordinator);
                Response::Group(Box::new(refusal))
            }
            Request::FindCoordinator => Response::Coordinator(self.coordinator),
            Request::Metadata => Response::Metadata(self.leaders(broker)),
            Request::InitProducerId => {
                self.producers += 1;
                Response::InitProducerId(self.producers)
            }
            Request::ListOffsets => {
                let watermarks = |Partition { log, replicas, .. }: &Partition| {
                    (Offset(log.start()), Offset(replicas.high_watermark()))
                };
                Response::ListOffsets(self.partitions.iter().map(watermarks).collect())
            }
            Request::Close => return,
        };
        out.push(Output::Reply { at, from: broker, to: caller, response });
    }

    /// What was announced by [`Output::Alarm`] is due.
    pub fn alarm(&mut self, now: Time, alarm: Alarm, out: &mut Outputs) {
        match alarm {
            Alarm::Fetch { client, broker } => self.expire(now, broker, client, out),
            Alarm::Group => self.group_is_due(now, out),
            Alarm::Replicated { lane } => self.replicated(now, lane, out),
            Alarm::Session { broker, silence } => self.session_is_over(now, broker, silence, out),
            Alarm::Laggards => self.drop_laggards(now, out),
            Alarm::Balance => self.balance(now, out),
        }
    }

    /// Forgets a client whose connections are closed.
    pub fn disconnect(&mut self, client: ClientId) {
        for broker in 0..self.settings.brokers {
            self.hang_up(client, broker);
            // Batches that no request waits for any more are not looked at.
            let queue = &mut self.brokers[broker as usize].queue;
            queue.retain(|(caller, request)| {
                caller.client != client || !matches!(request, Request::Produce(_))
            });
        }
    }

    fn group_is_due(&mut self, now: Time, out: &mut Outputs) {
        if now >= self.group_alarm {
            self.group_alarm = Time::NEVER;
        }
        // No session is over while the coordinator cannot listen.
        if self.brokers[self.coordinator as usize].is_running() {
            self.group.tick(now);
            self.group_says(now, out);
        }
    }

    fn group_says(&mut self, at: Time, out: &mut Outputs) {
        let from = self.coordinator;
        for (ticket, response) in self.group.take_answers() {
            let (to, response) = (caller(ticket), Response::Group(Box::new(response)));
            out.push(Output::Reply { at, from, to, response });
        }
        let deadline = self.group.next_deadline().unwrap_or(Time::NEVER);
        if deadline < self.group_alarm {
            self.group_alarm = deadline;
            out.push(Output::Alarm { at: deadline, alarm: Alarm::Group });
        }
    }

    fn partition(&mut self, id: PartitionId) -> &mut Partition {
        &mut self.partitions[id.0 as usize]
    }

    fn place(&self, client: ClientId, broker: BrokerId) -> usize {
        (client * self.settings.brokers + broker) as usize
    }

    fn place_mut(&mut self, client: ClientId, broker: BrokerId) -> &mut Place {
        let place = self.place(client, broker);
        if self.places.len() <= place {
            self.make_place(place);
        }
        &mut self.places[place]
    }

    #[cold]
    fn make_place(&mut self, place: usize) {
        self.places.resize_with(place + 1, Place::default);
    }
}

/// An answer's address as the coordinator keeps it.
fn ticket(caller: Caller) -> Ticket {
    Ticket(u64::from(caller.connection) << 32 | u64::from(caller.client))
}

fn caller(Ticket(number): Ticket) -> Caller {
    Caller { client: number as ClientId, connection: (number >> 32) as u32 }
}

impl Records for Cluster {
    fn copy(
        &self,
        partition: PartitionId,
        from: i64,
        to: i64,
        bytes: &mut Vec<u8>,
        lengths: &mut Vec<u32>,
    ) {
        self.partitions[partition.0 as usize].log.copy(from, to, bytes, lengths);
    }
}
