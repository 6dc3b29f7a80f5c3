//! What a cluster holds (its brokers, its partitions, and what is under way between them), and what it puts out.
//!
//! Answers to batches and to fetches have lists of their own: nearly all outputs are one of them, and small values are
//! copied faster than a large enum. Between two lists no order is kept.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::cores::Cores;
use crate::broker::model::group::{GroupCoordinator, GroupSettings};
use crate::broker::model::log::{PartitionLog, Sequences};
use crate::broker::model::replicas::Replicas;
use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, Produce, Request, Response};
use crate::fault::{Api, ApiError};
use crate::measure::PartitionBrokers;

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

/// All brokers and partitions.
#[derive(Debug)]
pub struct Cluster {
    pub(super) settings: ClusterSettings,
    pub(super) brokers: Vec<Broker>,
    pub(super) partitions: Vec<Partition>,
    /// By client and broker.
    pub(super) places: Vec<Place>,
    pub(super) lanes: Lanes,
    pub(super) refusals: Refusals,
    pub(super) producers: i64,
    pub(super) group: GroupCoordinator,
    pub(super) coordinator: BrokerId,
    /// The earliest announced deadline of the group.
    pub(super) group_alarm: Time,
    /// Whether every broker replicates as fast as ever, and whether leaders look after laggards.
    pub(super) is_smooth: bool,
    pub(super) laggards_alarm: bool,
    pub(super) balance_alarm: bool,
    /// What has changed about leaders and replicas since it was taken last.
    pub(super) leader_changes: Vec<(Time, PartitionId, PartitionBrokers)>,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) log: PartitionLog,
    pub(super) replicas: Replicas,
    pub(super) sequences: Sequences,
    /// Clients whose fetch waits for a record here.
    pub(super) waiting: VecDeque<ClientId>,
    /// Batches that are not replicated yet, with the request that waits for that.
    pub(super) unacknowledged: VecDeque<Unacknowledged>,
    /// Records appended since the last round of replication began.
    pub(super) is_dirty: bool,
}

impl Partition {
    /// A client waits here no more. Rare: mostly it was the only one, and is taken out before it is answered.
    #[cold]
    pub(super) fn forget_waiter(&mut self, client: ClientId) {
        self.waiting.retain(|waiter| *waiter != client);
    }
}

/// A broker of the cluster.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cores: Cores,
    /// Its process is gone.
    pub(super) is_down: bool,
    /// Its process stands still: what reaches it waits.
    pub(super) is_paused: bool,
    /// It reaches neither the controller nor another broker.
    pub(super) is_isolated: bool,
    /// The controller has given it up.
    pub(super) is_fenced: bool,
    /// How often it has fallen silent.
    pub(super) silences: u32,
    /// What came while it was paused.
    pub(super) queue: Vec<(Caller, Request)>,
    /// What its messages to other brokers take longer.
    pub(super) link_delay: Duration,
    /// What its disk needs for each append besides, and until when it is busy with that.
    pub(super) disk_cost: Duration,
    pub(super) disk_free: Time,
    /// Who led what, and the high watermarks, when it was cut off from the controller and did not hear of elections
    /// any more.
    pub(super) stale: Option<Vec<(Option<BrokerId>, i64)>>,
}

impl Broker {
    pub(super) fn new(cores: u32) -> Broker {
        Broker {
            cores: Cores::new(cores),
            is_down: false,
            is_paused: false,
            is_isolated: false,
            is_fenced: false,
            silences: 0,
            queue: Vec::new(),
            link_delay: Duration::ZERO,
            disk_cost: Duration::ZERO,
            disk_free: Time::ZERO,
            stale: None,
        }
    }

    /// Whether it does anything.
    pub(super) fn is_running(&self) -> bool {
        !self.is_down && !self.is_paused
    }

    /// Whether other brokers and the controller hear of it.
    pub(super) fn is_heard(&self) -> bool {
        self.is_running() && !self.is_isolated
    }

    /// Whether it replicates as fast as ever.
    pub(super) fn is_smooth(&self) -> bool {
        self.is_heard() && !self.is_fenced && self.link_delay.is_zero() && self.disk_cost.is_zero()
    }

    /// When an append that comes at `at` is on its disk.
    #[inline]
    pub(super) fn write(&mut self, at: Time) -> Time {
        if self.disk_cost.is_zero() {
            return at;
        }
        self.disk_free = self.disk_free.max(at) + self.disk_cost;
        self.disk_free
    }
}

/// What a broker keeps of a client.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Its fetch that waits for records.
    pub(super) parked: Option<Box<Fetch>>,
    /// Whose it is, and how long it has waited.
    pub(super) caller: Caller,
    pub(super) since: Time,
    /// Whether a deadline is announced: a fetch that is answered early leaves its own to the next one, so that there
    /// is one at a time and not one per fetch.
    pub(super) has_alarm: bool,
    /// The connection whose batch waits for its replication. Kafka takes one request of a connection at a time.
    pub(super) muted: Option<u32>,
    /// Batches that came meanwhile.
    pub(super) batches: VecDeque<(Caller, Box<Produce>)>,
}

impl Place {
    /// How long the fetch waits, if there is one.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.parked.as_ref().map(|fetch| self.since + fetch.wait_max)
    }
}

/// A batch that is not replicated yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacknowledged {
    /// The offset after its last record.
    pub(super) end: i64,
    pub(super) offset: i64,
    pub(super) number: u64,
    pub(super) broker: BrokerId,
    pub(super) caller: Caller,
}

impl Unacknowledged {
    pub(super) fn is_at(&self, broker: BrokerId) -> bool {
        self.broker == broker
    }

    pub(super) fn answer(&self, at: Time, error: Option<ErrorCode>) -> Produced {
        let Unacknowledged { offset, number, broker, caller, .. } = *self;
        Produced { at, from: broker, to: caller, number, offset: Offset(offset), error }
    }
}

/// Which requests are refused next, and which are not answered.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) planned: Vec<(Api, ApiError, u32)>,
    /// The broker, the kind of request, and how many answers are lost next.
    pub(super) lost: Vec<(BrokerId, Api, u32)>,
    pub(super) unanswered: Vec<Unanswered>,
}

/// A request that is carried out, and whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    pub(super) broker: BrokerId,
    pub(super) caller: Caller,
    pub(super) api: Api,
    /// Of a batch; 0 for other requests: of each other kind, a connection has one under way.
    pub(super) number: u64,
}

impl Refusals {
    /// Whether nothing is planned.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.planned.is_empty() && self.lost.is_empty() && self.unanswered.is_empty()
    }

    /// Notes that the answer to a request of this kind is lost, if that is planned.
    #[inline]
    pub(super) fn note_lost(&mut self, api: Api, broker: BrokerId, caller: Caller, number: u64) {
        let of_kind = |(of, lost, _): &&mut (BrokerId, Api, u32)| (*of, *lost) == (broker, api);
        if let Some((.., left)) = self.lost.iter_mut().find(of_kind) {
            *left -= 1;
            self.lost.retain(|(.., left)| *left > 0);
            self.unanswered.push(Unanswered { broker, caller, api, number });
        }
    }

    /// A connection is closed: nothing is answered there any more.
    #[inline]
    pub(super) fn forget(&mut self, client: ClientId, broker: BrokerId) {
        self.unanswered.retain(|it| (it.caller.client, it.broker) != (client, broker));
    }

    /// The answer planned for a request of this kind, if there is one. It is used up.
    #[inline]
    pub(super) fn take(&mut self, api: Api) -> Option<ApiError> {
        if self.planned.is_empty() {
            return None;
        }
        let (_, code, left) = self.planned.iter_mut().find(|(planned, ..)| *planned == api)?;
        let code = *code;
        *left -= 1;
        self.planned.retain(|(.., left)| *left > 0);
        Some(code)
    }
}

/// The lanes from each leader to all smooth followers, and to each follower on its own.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) brokers: u32,
    pub(super) lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) is_under_way: bool,
    /// What the round under way brings: partition, end and leader epoch when it began.
    pub(super) bringing: Vec<(PartitionId, i64, i32)>,
    /// What the next one will bring.
    pub(super) next: Vec<PartitionId>,
}

impl Lanes {
    pub(super) fn new(brokers: u32) -> Lanes {
        let lanes = (0..brokers * brokers).map(|_| Lane::default()).collect();
        Lanes { brokers, lanes }
    }

    /// The lane of a pair; with itself, that of a leader and all its smooth followers.
    pub(super) fn number(&self, leader: BrokerId, follower: BrokerId) -> u32 {
        leader * self.brokers + follower
    }
}

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

/// Requests whose memory waits for another use.
const DONE_MAX: usize = 64;

/// What follows from something that has happened.
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
    /// [`Cluster::alarm`](super::Cluster::alarm) wants to be called at `at`.
    Alarm {
        /// When.
        at: Time,
        /// With this.
        alarm: Alarm,
    },
}

impl Output {
    /// The connection that is closed by this, if one is.
    pub(super) fn closes(&self) -> Option<Caller> {
        match self {
            Output::HangUp { caller, .. } => Some(*caller),
            Output::Reply { .. } | Output::Alarm { .. } => None,
        }
    }
}

impl Outputs {
    /// A request has done its work.
    #[inline]
    pub(super) fn done(&mut self, mut request: Box<Produce>) {
        request.batch = None;
        if self.done.len() < DONE_MAX {
            self.done.push(request);
        }
    }

    /// Says something that is no answer to a batch or a fetch.
    pub fn push(&mut self, output: Output) {
        self.others.push(output);
    }
}
