//! The topic under test.
//!
//! The simulated cluster, network and machine.

use std::time::Duration;

use crate::base::RunId;

/// The topic and what may be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: TopicName,
    /// Number of partitions; an existing topic must have exactly these.
    pub partitions: u32,
    /// Copies of each partition, if the topic is created.
    pub replication_factor: u32,
    /// Replicas that have to be in sync for `acks = all`.
    pub min_insync_replicas: u32,
    /// Retention time of records, if the topic is created.
    pub retention: Duration,
    /// Retention size per partition in bytes, if the topic is created.
    pub retention_bytes: u64,
    /// Whether the run may write into a topic that is there already.
    pub writes_to_existing: bool,
    /// Whether a topic this run created stays after it.
    pub keep: bool,
    /// Interval of checks for new partitions.
    pub discover: Duration,
}

/// A fixed name, or one of the run's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// As given; may exist already.
    Given(String),
    /// `lanekeeper-<scenario>-<run id>`: never exists before the run.
    OfRun {
        /// The scenario's name, reduced to characters a topic may have.
        scenario: String,
    },
}

impl TopicName {
    /// The name in run `run`.
    pub fn resolve(&self, run: RunId) -> String {
        match self {
            TopicName::Given(name) => name.clone(),
            TopicName::OfRun { scenario } => format!("lanekeeper-{scenario}-{run}"),
        }
    }
}

/// The model of a simulation. Its values were fitted to no real cluster unless the book says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimPlan {
    /// Number of brokers.
    pub brokers: u32,
    /// Cores of each broker.
    pub broker_cores: u32,
    /// CPU time of a request.
    pub request_cost: Duration,
    /// Shortest one-way time between a client and a broker.
    pub latency: Duration,
    /// Mean of what comes on top, exponentially distributed.
    pub jitter: Duration,
    /// Bytes a second that each connection carries in each direction; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Timeouts of the cluster for brokers that fail.
    pub outage: OutagePlan,
    /// Settings of the cluster for groups of the consumer protocol.
    pub consumer_groups: ConsumerGroupsPlan,
    /// Timeouts of clients.
    pub client: RetryPlan,
    /// Cores of the machine the consumers run on.
    pub host_cores: u32,
}

/// When the controller and leaders give up on a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutagePlan {
    /// A broker without heartbeats for this long is fenced, and others become leaders.
    pub broker_session: Duration,
    /// A follower that is behind for this long leaves the in-sync replicas.
    pub replica_lag_max: Duration,
    /// Interval at which preferred replicas that are in sync become leaders again; `None` for never.
    pub leader_balance: Option<Duration>,
    /// Whether a replica that is not in sync may lead when no other is left.
    pub unclean_elections: bool,
}

/// What brokers set for groups of the consumer protocol (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupsPlan {
    /// Session timeout.
    pub session_timeout: Duration,
    /// Interval of heartbeats.
    pub heartbeat_interval: Duration,
}

/// When a client begins, when it gives up on an answer, and when it tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPlan {
    /// Time from the creation of a consumer's client to its first request.
    pub start: Duration,
    /// A client closes a connection on which a request is unanswered for this long.
    pub request_timeout: Duration,
    /// Longest time until a record is acknowledged.
    pub message_timeout: Duration,
    /// Backoff before a retry. It doubles up to ten times this value.
    pub retry_backoff: Duration,
}
