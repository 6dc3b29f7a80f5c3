//! The topic under test.
//!
//! Also the simulated cluster, network and machine.

use std::time::Duration;

use crate::base::RunId;

/// The topic, and the operations on it that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Name of the topic.
    pub name: TopicName,
    /// Number of partitions. An existing topic must have exactly this number.
    pub partitions: u32,
    /// Copies of each partition, if the topic is created.
    pub replication_factor: u32,
    /// Replicas that have to be in sync for `acks = all`.
    pub min_insync_replicas: u32,
    /// Retention time of records, if the topic is created.
    pub retention: Duration,
    /// Retention size per partition in bytes, if the topic is created.
    pub retention_bytes: u64,
    /// True if the run may write into an existing topic.
    pub writes_to_existing: bool,
    /// True if a topic that this run created is kept after the run.
    pub keep: bool,
    /// Interval of checks for new partitions.
    pub discover: Duration,
}

/// A fixed name, or a name that is new for each run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// A given name. The topic may exist.
    Given(String),
    /// `lanekeeper-<scenario>-<run id>`. Such a topic never exists before the run.
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

/// The model of a simulation. Its values were not fitted to a real cluster unless the book says so.
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
    /// Mean of the exponentially distributed time in addition to `latency`.
    pub jitter: Duration,
    /// Bytes per second that each connection carries in each direction; `None` for no limit.
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

/// Timeouts of the controller and of leaders for brokers that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutagePlan {
    /// Time without heartbeats after which a broker is fenced and other brokers become leaders.
    pub broker_session: Duration,
    /// Time after which a follower that is behind leaves the in-sync replicas.
    pub replica_lag_max: Duration,
    /// Interval at which preferred replicas that are in sync become leaders again; `None` for never.
    pub leader_balance: Option<Duration>,
    /// True if a replica that is not in sync may become leader when no other is left.
    pub unclean_elections: bool,
}

/// The brokers' settings for groups of the consumer protocol (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupsPlan {
    /// Session timeout.
    pub session_timeout: Duration,
    /// Interval of heartbeats.
    pub heartbeat_interval: Duration,
}

/// Start time, timeouts and retries of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPlan {
    /// Time from the creation of a consumer's client to its first request.
    pub start: Duration,
    /// Time without a response after which a client closes a connection.
    pub request_timeout: Duration,
    /// Longest time until a record is acknowledged. After that it has failed.
    pub message_timeout: Duration,
    /// Backoff before a retry. It doubles up to ten times this value.
    pub retry_backoff: Duration,
}
