//! The plan of a run, with every default set. It is pure data, built by [`build()`].
//!
//! No later module reads the scenario.

mod backlog;
mod broker_faults;
mod build;
mod consumers;
mod describe;
mod estimate;
mod limits;
mod load;
mod payload;
mod sample;
mod stages;
mod topic;

use std::collections::BTreeMap;
use std::time::Duration;

pub use backlog::CatchUp;
pub use broker_faults::{DownAtOnce, brokers_down_max};
pub use build::{Overrides, build, compile};
pub(crate) use consumers::LONGEST_SESSION_OF_BROKERS;
use consumers::SESSION_TIMEOUT_OF_BROKERS;
pub use consumers::{
    Assignor, CheckpointPlan, ClientTopology, ConsumersPlan, GroupPlan, GroupProtocol, Identity,
    Membership, PoisonPolicy, RemoteAssignor, ServiceTime, StartAt, Work, WorkPlan,
};
pub use estimate::{CONSUMER_THREADS_MAX, MemberUse, Needs, PartitionUse, Utilisation};
pub use limits::FaultPlan;
pub use limits::{Comparison, Expectation};
pub use limits::{Limits, RestartPolicy, WatchPolicy};
pub use load::Placement;
pub use load::{Acks, Compression, LoadPlan, Pace, PartitionChoice, Phases, ProducerClients};
pub use payload::{
    AvroPlan, JsonPlan, PLACEHOLDERS, PayloadPlan, ProtobufPlan, RecordFacts, RecordWriter,
    SizePlan, Template, TemplateError, ValuePlan,
};
pub use stages::{RateBurst, RateCurve, StagePlan};
pub use topic::{ConsumerGroupsPlan, OutagePlan, RetryPlan, SimPlan};
pub use topic::{TopicName, TopicPlan};

use crate::base::{
    BrokerKind, Capability, ClientKind, ConsumerId, PartitionId, PoolId, Seed, Share,
};
use crate::scenario::Origin;

/// All parameters of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The scenario's name: its file name without the ending.
    pub name: String,
    /// The scenario file as it was read.
    pub source: String,
    /// The overrides given on the command line, `path=value` each.
    pub overrides: Vec<String>,
    /// Seed of all randomness.
    pub seed: Seed,
    /// The share of the run that belongs to this process; `None` with a single process.
    pub share: Option<Share>,
    /// The cluster.
    pub broker: BrokerPlan,
    /// The topic under test.
    pub topic: TopicPlan,
    /// The load.
    pub load: LoadPlan,
    /// The consumers.
    pub consumers: ConsumersPlan,
    /// The policy for restarts of consumers and pools.
    pub restart: RestartPolicy,
    /// The limits after which a silent consumer counts as hung.
    pub watch: WatchPolicy,
    /// The durations of the parts of the run.
    pub times: Times,
    /// The limits beyond which the run is invalid.
    pub limits: Limits,
    /// librdkafka properties from the scenario.
    pub client: ClientProperties,
    /// Every occurrence of every fault, in the order of their times.
    pub faults: Vec<FaultPlan>,
    /// The expectations.
    pub expectations: Vec<Expectation>,
}

/// The broker and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerPlan {
    kind: BrokerKind,
    library: ClientKind,
    /// Number of brokers that the run starts itself; `None` for a cluster elsewhere.
    pub brokers: Option<u32>,
    /// Comma-separated `host:port` of a cluster elsewhere; `None` for other kinds.
    pub bootstrap: Option<String>,
    /// The simulated cluster, network and machine; `None` for other kinds.
    pub sim: Option<SimPlan>,
}

impl BrokerPlan {
    /// The kind of the broker.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// The client library. On a simulated cluster it is always the native client.
    pub fn client(&self) -> ClientKind {
        if self.capability().is_modelled { ClientKind::Native } else { self.library }
    }

    /// The capabilities of this kind of broker.
    pub fn capability(&self) -> &'static Capability {
        self.kind.capability()
    }
}

/// The parts of a run. Times count from the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Length of the warmup. Its records are in the ledger, but not in rates and latency.
    pub warmup: Duration,
    /// Length of the measured window. With a message count the window ends when all are sent, at the latest after this
    /// time.
    pub duration: Duration,
    /// Time limit for the records that are unprocessed after the last send.
    pub drain: Duration,
    /// Time limit of the start: broker, topic and all consumers.
    pub startup: Duration,
    /// Interval of the distributions in `latency.hlog`.
    pub latency_interval: Duration,
}

impl Times {
    /// End of the schedule, from the start of the load.
    pub fn load_end(&self) -> Duration {
        self.warmup + self.duration
    }
}

/// librdkafka properties of the scenario, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientProperties {
    /// Properties of every client.
    pub common: BTreeMap<String, PropertyPlan>,
    /// Properties of producers only.
    pub producer: BTreeMap<String, PropertyPlan>,
    /// Properties of consumers only.
    pub consumer: BTreeMap<String, PropertyPlan>,
}

/// A librdkafka property of the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyPlan {
    /// Value of the property, as text.
    pub value: String,
    /// Place of the property in the scenario.
    pub written: Origin,
}

impl ClientProperties {
    /// Every property, with the prefix of the clients to which it applies: `""`, `"producer."` or `"consumer."`.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &str, &PropertyPlan)> {
        let sides =
            [("", &self.common), ("producer.", &self.producer), ("consumer.", &self.consumer)];
        sides.into_iter().flat_map(|(side, properties)| {
            properties.iter().map(move |(name, property)| (side, name.as_str(), property))
        })
    }
}

impl Plan {
    /// Number of messages of the schedule; `None` if it is not known in advance.
    pub fn messages(&self) -> Option<u64> {
        let by_schedule = self
            .load
            .per_second()
            .map(|per_second| (per_second * self.paced_seconds(Duration::ZERO)).round() as u64);
        match (self.load.messages, by_schedule) {
            (Some(limit), Some(scheduled)) => Some(limit.min(scheduled)),
            (limit, scheduled) => limit.or(scheduled),
        }
    }

    /// Number of consumers (assigned) or group members.
    pub fn members(&self) -> u32 {
        match &self.consumers.membership {
            Membership::Assigned { .. } => self.topic.partitions,
            Membership::Group(group) => group.members,
        }
    }

    /// True if the consumer of `partition` is in this process.
    pub fn reads(&self, partition: PartitionId) -> bool {
        self.share.is_none_or(|share| share.reads(partition))
    }

    /// True if this process has the consumer or member `consumer`.
    pub fn starts(&self, consumer: ConsumerId) -> bool {
        self.group().is_some() || self.reads(PartitionId(consumer.0))
    }

    /// Number of consumers or members that this process starts.
    pub fn own_members(&self) -> u32 {
        (0..self.members()).filter(|id| self.starts(ConsumerId(*id))).count() as u32
    }

    /// True if `pool` is in this process.
    pub fn has_pool(&self, pool: PoolId) -> bool {
        self.share.is_none_or(|share| share.has_pool(pool))
    }

    /// The group's settings; `None` under explicit assignment.
    pub fn group(&self) -> Option<&GroupPlan> {
        match &self.consumers.membership {
            Membership::Assigned { .. } => None,
            Membership::Group(group) => Some(group),
        }
    }

    /// True if a fault adds partitions to the topic.
    pub fn grows(&self) -> bool {
        self.partitions_max() > self.topic.partitions
    }

    /// The mode, `assigned` or `group`.
    pub fn mode(&self) -> &'static str {
        match self.consumers.membership {
            Membership::Assigned { .. } => "assigned",
            Membership::Group(_) => "group",
        }
    }
}
