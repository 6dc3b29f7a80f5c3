//! The state of a cluster (its brokers, its partitions, and the rounds between them), and its effects.
//!
//! Responses to batches and to fetches have lists of their own: nearly all effects are of these two kinds, and small
//! values are copied faster than a large enum. The lists are not ordered among each other.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::cores::Cores;
use crate::broker::model::group::{GroupCoordinator, GroupSettings};
use crate::broker::model::log::PartitionLog;
use crate::broker::model::producer_states::ProducerStates;
use crate::broker::model::replicas::Replicas;
use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, Produce, Request, Response};
use crate::fault::{Api, ApiError};
use crate::measure::PartitionBrokers;

/// The settings of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Number of brokers.
    pub brokers: u32,
    /// Cores of each broker.
    pub cores: u32,
    /// CPU time of a request.
    pub request_cost: Duration,
    /// Number of partitions of the topic.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication_factor: u32,
    /// `min.insync.replicas`.
    pub min_insync: u32,
    /// `unclean.leader.election.enable`.
    pub unclean_elections: bool,
    /// One-way latency between brokers.
    pub link: Duration,
    /// `broker.session.timeout.ms`: a broker without heartbeats for this long is fenced.
    pub broker_session: Duration,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_max: Duration,
    /// `leader.imbalance.check.interval.seconds`; `None` without `auto.leader.rebalance.enable`.
    pub leader_balance: Option<Duration>,
    /// Bytes kept per partition.
    pub retention_bytes: u64,
    /// The settings of the coordinator.
    pub group: GroupSettings,
}

/// The brokers and partitions.
#[derive(Debug)]
pub struct Cluster {
    pub(super) settings: ClusterSettings,
    pub(super) brokers: Vec<Broker>,
    pub(super) partitions: Vec<Partition>,
    /// Index: client and broker.
    pub(super) client_states: Vec<ClientState>,
    pub(super) rounds: ReplicationRounds,
    pub(super) refusals: InjectedErrors,
    pub(super) producers: i64,
    pub(super) group: GroupCoordinator,
    pub(super) coordinator: BrokerId,
    /// The earliest announced deadline of the group.
    pub(super) group_timer: Time,
    /// True if every broker replicates at full speed.
    pub(super) is_full_speed: bool,
    /// True while [`ClusterTimer::Laggards`] is announced.
    pub(super) laggards_timer: bool,
    /// True while [`ClusterTimer::Balance`] is announced.
    pub(super) balance_timer: bool,
    /// Changes of leaders and replicas that were not taken yet.
    pub(super) leader_changes: Vec<(Time, PartitionId, PartitionBrokers)>,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) log: PartitionLog,
    pub(super) replicas: Replicas,
    pub(super) sequences: ProducerStates,
    /// Clients with a delayed fetch that waits for this partition.
    pub(super) waiting: VecDeque<ClientId>,
    /// Batches that are not replicated yet, with the request that waits for that.
    pub(super) unacknowledged: VecDeque<Unacknowledged>,
    /// True if records were appended since the last round began.
    pub(super) is_dirty: bool,
}

impl Partition {
    /// Removes a client from those that wait here. That is rare: as a rule it was the only one, and is removed before
    /// it is answered.
    #[cold]
    pub(super) fn forget_waiter(&mut self, client: ClientId) {
        self.waiting.retain(|waiter| *waiter != client);
    }
}

/// A broker of the cluster.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) cores: Cores,
    /// The process does not exist.
    pub(super) is_down: bool,
    /// The process is stopped: requests to it wait.
    pub(super) is_paused: bool,
    /// The broker can reach neither the controller nor another broker.
    pub(super) is_isolated: bool,
    /// The controller has fenced it.
    pub(super) is_fenced: bool,
    /// Number of times that it has become unreachable.
    pub(super) silences: u32,
    /// Requests that have arrived while it was paused.
    pub(super) queue: Vec<(Caller, Request)>,
    /// Additional latency of its messages to other brokers.
    pub(super) link_delay: Duration,
    /// Additional time of its disk for each append, and the time until which the disk is busy.
    pub(super) disk_cost: Duration,
    pub(super) disk_free: Time,
    /// Leaders and high watermarks at the time when the broker was cut off from the controller; `None` if it is not.
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

    /// True if the broker handles requests.
    pub(super) fn is_running(&self) -> bool {
        !self.is_down && !self.is_paused
    }

    /// True if other brokers and the controller can reach it.
    pub(super) fn is_reachable(&self) -> bool {
        self.is_running() && !self.is_isolated
    }

    /// True if it replicates at full speed.
    pub(super) fn is_full_speed(&self) -> bool {
        self.is_reachable()
            && !self.is_fenced
            && self.link_delay.is_zero()
            && self.disk_cost.is_zero()
    }

    /// Time at which an append that arrives at `at` is on the disk.
    #[inline]
    pub(super) fn write(&mut self, at: Time) -> Time {
        if self.disk_cost.is_zero() {
            return at;
        }
        self.disk_free = self.disk_free.max(at) + self.disk_cost;
        self.disk_free
    }
}

/// The state of a client at a broker.
#[derive(Debug, Default)]
pub(super) struct ClientState {
    /// The delayed fetch.
    pub(super) parked: Option<Box<Fetch>>,
    /// Connection of the delayed fetch, and the time since when it is delayed.
    pub(super) caller: Caller,
    pub(super) since: Time,
    /// True if a deadline is announced. A fetch that is answered early leaves its deadline to the next one, so there is
    /// one deadline at a time and not one per fetch.
    pub(super) has_timer: bool,
    /// The connection whose batch waits for replication. Kafka handles one request of a connection at a time.
    pub(super) muted: Option<u32>,
    /// Batches that have arrived meanwhile.
    pub(super) batches: VecDeque<(Caller, Box<Produce>)>,
}

impl ClientState {
    /// End of the delay, if a fetch is delayed.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.parked.as_ref().map(|fetch| self.since + fetch.wait_max)
    }
}

/// A batch that is not replicated yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacknowledged {
    /// The offset after the last record of the batch.
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

/// The injected errors and lost responses that are to come.
#[derive(Debug, Default)]
pub(super) struct InjectedErrors {
    pub(super) planned: Vec<(Api, ApiError, u32)>,
    /// The broker, the kind of request, and the number of responses to lose.
    pub(super) lost: Vec<(BrokerId, Api, u32)>,
    pub(super) unanswered: Vec<Unanswered>,
}

/// A request that is carried out and whose response is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    pub(super) broker: BrokerId,
    pub(super) caller: Caller,
    pub(super) api: Api,
    /// Number of the batch; 0 for other requests, of which a connection has at most one of a kind in progress.
    pub(super) number: u64,
}

impl InjectedErrors {
    /// True if nothing is to be injected.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.planned.is_empty() && self.lost.is_empty() && self.unanswered.is_empty()
    }

    /// Notes that the response to a request of this kind will be lost, if that is planned.
    #[inline]
    pub(super) fn note_lost(&mut self, api: Api, broker: BrokerId, caller: Caller, number: u64) {
        let of_kind = |(of, lost, _): &&mut (BrokerId, Api, u32)| (*of, *lost) == (broker, api);
        if let Some((.., left)) = self.lost.iter_mut().find(of_kind) {
            *left -= 1;
            self.lost.retain(|(.., left)| *left > 0);
            self.unanswered.push(Unanswered { broker, caller, api, number });
        }
    }

    /// Forgets the requests of a connection that is closed.
    #[inline]
    pub(super) fn forget(&mut self, client: ClientId, broker: BrokerId) {
        self.unanswered.retain(|it| (it.caller.client, it.broker) != (client, broker));
    }

    /// Takes the error that is planned for a request of this kind, if there is one.
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

/// The rounds of each leader with all followers at full speed, and with each follower alone.
#[derive(Debug)]
pub(super) struct ReplicationRounds {
    pub(super) brokers: u32,
    pub(super) rounds: Vec<PairRounds>,
}

#[derive(Debug, Default)]
pub(super) struct PairRounds {
    pub(super) is_under_way: bool,
    /// The partitions in the current round, with end of the log and leader epoch at its start.
    pub(super) bringing: Vec<(PartitionId, i64, i32)>,
    /// The partitions in the next round.
    pub(super) next: Vec<PartitionId>,
}

impl ReplicationRounds {
    pub(super) fn new(brokers: u32) -> ReplicationRounds {
        let rounds = (0..brokers * brokers).map(|_| PairRounds::default()).collect();
        ReplicationRounds { brokers, rounds }
    }

    /// Index of the rounds of a pair. A pair of a leader with itself stands for the leader and all its followers at
    /// full speed.
    pub(super) fn number(&self, leader: BrokerId, follower: BrokerId) -> u32 {
        leader * self.brokers + follower
    }
}

/// The number by which the cluster identifies a client.
pub type ClientId = u32;

/// A connection of a client to a broker: the destination of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client.
    pub client: ClientId,
    /// Number of earlier connections of the client to this broker.
    pub connection: u32,
}

/// A timer of the cluster: what happens when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterTimer {
    /// The delay of a fetch is over.
    Fetch {
        /// The client that fetches.
        client: ClientId,
        /// The broker that delays the fetch.
        broker: BrokerId,
    },
    /// A deadline of the group's coordinator.
    Group,
    /// A round of replication is over.
    Replicated {
        /// Index of the rounds.
        pair: u32,
    },
    /// The session of a broker with the controller is over, unless the broker could be reached meanwhile.
    Session {
        /// The broker.
        broker: BrokerId,
        /// Number of the time at which it became unreachable.
        silence: u32,
    },
    /// Leaders check for followers that have been behind for too long.
    Laggards,
    /// The controller elects preferred leaders.
    Balance,
}

impl ClusterTimer {
    /// A number for the trace that identifies kind and subject.
    pub fn number(self) -> u32 {
        match self {
            ClusterTimer::Fetch { client, .. } => client << 3,
            ClusterTimer::Group => 1,
            ClusterTimer::Replicated { pair } => 2 + (pair << 3),
            ClusterTimer::Session { broker, .. } => 3 + (broker << 3),
            ClusterTimer::Laggards => 4,
            ClusterTimer::Balance => 5,
        }
    }
}

/// Largest number of used requests that are kept for their memory.
const DONE_MAX: usize = 64;

/// The effects of a call.
#[derive(Debug, Default)]
pub struct ClusterEffects {
    /// Responses to batches.
    pub produced: Vec<Produced>,
    /// Responses to fetches.
    pub fetched: Vec<Fetched>,
    /// All other effects, in order.
    pub others: Vec<ClusterEffect>,
    /// Used requests, for their memory.
    pub done: Vec<Box<Produce>>,
}

/// The response to a batch.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    /// Time at which the response leaves.
    pub at: Time,
    /// The broker that sends it.
    pub from: BrokerId,
    /// The receiver.
    pub to: Caller,
    /// The request's number.
    pub number: u64,
    /// Offset of the batch's first record, if the batch was accepted.
    pub offset: Offset,
    /// The error, if it was not.
    pub error: Option<ErrorCode>,
}

/// The response to a fetch.
#[derive(Debug)]
pub struct Fetched {
    /// Time at which the response leaves.
    pub at: Time,
    /// The broker that sends it.
    pub from: BrokerId,
    /// The receiver.
    pub to: Caller,
    /// The request, with its slots filled in.
    pub fetch: Box<Fetch>,
}

/// Another effect of the cluster.
#[derive(Debug)]
pub enum ClusterEffect {
    /// A response leaves `from` for `to` at `at`.
    Reply {
        /// Time at which the response leaves.
        at: Time,
        /// The broker that sends it.
        from: BrokerId,
        /// The receiver.
        to: Caller,
        /// The response.
        response: Response,
    },
    /// `broker` closes a connection in place of a response.
    Disconnect {
        /// The broker.
        broker: BrokerId,
        /// The connection.
        caller: Caller,
    },
    /// [`Cluster::expire_timer`](super::Cluster::expire_timer) is to be called at `at`.
    Timer {
        /// Time of the call.
        at: Time,
        /// Argument of the call.
        timer: ClusterTimer,
    },
}

impl ClusterEffect {
    /// The connection that this effect closes, if any.
    pub(super) fn closes(&self) -> Option<Caller> {
        match self {
            ClusterEffect::Disconnect { caller, .. } => Some(*caller),
            ClusterEffect::Reply { .. } | ClusterEffect::Timer { .. } => None,
        }
    }
}

impl ClusterEffects {
    /// Keeps a request that was used, for its memory.
    #[inline]
    pub(super) fn done(&mut self, mut request: Box<Produce>) {
        request.batch = None;
        if self.done.len() < DONE_MAX {
            self.done.push(request);
        }
    }

    /// Adds an effect that is no response to a batch or a fetch.
    pub fn push(&mut self, output: ClusterEffect) {
        self.others.push(output);
    }
}
