//! Who reads the topic, what a record costs to process, and where processed offsets are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::ConsumerId;

/// The consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumersPlan {
    /// How partitions are assigned to consumers.
    pub membership: Membership,
    /// Where reading starts.
    pub start: StartAt,
    /// What a record costs to process.
    pub work: WorkPlan,
    /// Records processed before they are counted and the checkpoint moves, at most.
    pub batch_records: u32,
    /// Where processed offsets are kept.
    pub checkpoint: CheckpointPlan,
    /// What happens to a record on which the consumer fails each time it is started.
    pub poison: PoisonPolicy,
}

/// What happens to poison: a record on which three starts of the consumer in a row failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoisonPolicy {
    /// The consumer is given up, and the run has failed.
    Stop,
    /// The record is skipped, counted and reported.
    Skip,
}

/// How partitions are assigned to consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Explicit assignment: consumer i reads partition i, always.
    Assigned {
        /// Connections behind the consumers.
        clients: ClientTopology,
    },
    /// A consumer group.
    Group(GroupPlan),
}

/// Connections behind explicitly assigned consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTopology {
    /// A client per partition: isolation, at the price of threads and sockets.
    PerPartition,
    /// One client for all partitions, polled by one thread.
    Shared,
}

/// A consumer group's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Number of members.
    pub members: u32,
    /// How members and coordinator agree.
    pub protocol: GroupProtocol,
    /// How long a member's place lasts.
    pub identity: Identity,
    /// Members that a fault kills: with [`Identity::Crashable`] they alone are not dynamic.
    pub killed: BTreeSet<ConsumerId>,
    /// How often processed offsets are committed.
    pub commit_interval: Duration,
    /// How long a member may go without asking for records before its client leaves the group for it.
    pub max_poll_interval: Duration,
}

impl GroupPlan {
    /// How long the place of this member lasts.
    pub fn identity_of(&self, member: ConsumerId) -> Identity {
        match self.identity {
            Identity::Crashable if !self.killed.contains(&member) => Identity::Dynamic,
            identity => identity,
        }
    }

    /// Whether a member's place can be taken only when its holder has left it: that of a static member of the consumer
    /// protocol (KIP-848). In the classic protocol a new member fences the holder.
    pub fn has_exclusive_places(&self) -> bool {
        self.identity == Identity::Static && matches!(self.protocol, GroupProtocol::Consumer { .. })
    }

    /// How long a silent member keeps its partitions; `None` when that is the broker's setting.
    pub fn session_timeout(&self) -> Option<Duration> {
        match self.protocol {
            GroupProtocol::Classic { session_timeout, .. } => Some(session_timeout),
            GroupProtocol::Consumer { .. } => None,
        }
    }

    /// How long a crashed member keeps its partitions, as far as that can be known beforehand.
    pub fn crash_noticed_after(&self) -> Duration {
        self.session_timeout().unwrap_or(SESSION_TIMEOUT_OF_BROKERS)
    }
}

/// `group.consumer.session.timeout.ms` as brokers come.
pub(super) const SESSION_TIMEOUT_OF_BROKERS: Duration = Duration::from_secs(45);

/// How the members of a group and its coordinator agree on the assignment of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// JoinGroup and SyncGroup: one of the members assigns the partitions.
    Classic {
        /// How partitions are assigned to members.
        assignor: Assignor,
        /// How long a silent member keeps its partitions.
        session_timeout: Duration,
        /// Interval of heartbeats.
        heartbeat_interval: Duration,
    },
    /// ConsumerGroupHeartbeat (KIP-848): the broker assigns the partitions, with timeouts of its own.
    Consumer {
        /// How partitions are assigned to members; `None` leaves it to the broker.
        assignor: Option<RemoteAssignor>,
    },
}

/// How a broker deals out partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAssignor {
    /// Evenly, keeping what it can.
    Uniform,
    /// Contiguous ranges.
    Range,
}

/// How a member assigns partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Contiguous ranges; eager.
    Range,
    /// One by one; eager.
    RoundRobin,
    /// Keeps what it can; incremental.
    CooperativeSticky,
}

/// How members identify themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Leaves the group when closed.
    Dynamic,
    /// Those a fault kills have a fresh `group.instance.id` for each start: closing does not send LeaveGroup, so a kill is a
    /// crash as the group sees it, found out by the session timeout.
    Crashable,
    /// The same `group.instance.id` for every start of a member: it gets its partitions back, without a rebalance,
    /// if it is back within the session timeout. Closing does not send LeaveGroup.
    Static,
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record there is.
    Beginning,
    /// Whatever comes after the run's start.
    End,
}

/// Processing cost per partition.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkPlan {
    /// For partitions not named in `of`.
    pub default: Work,
    /// For single partitions.
    pub of: BTreeMap<u32, Work>,
}

impl WorkPlan {
    /// Whether any record costs anything beyond verification.
    pub fn is_some(&self) -> bool {
        self.default != Work::None || self.of.values().any(|work| *work != Work::None)
    }

    /// What a record of partition `partition` costs.
    pub fn of(&self, partition: u32) -> Work {
        self.of.get(&partition).copied().unwrap_or(self.default)
    }
}

/// What processing a record costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Nothing beyond verification.
    None,
    /// Occupies a core.
    Cpu(ServiceTime),
    /// Waits, as for a database.
    Wait(ServiceTime),
}

impl Work {
    /// The expected time a record takes.
    pub fn mean(&self) -> Duration {
        match self {
            Work::None => Duration::ZERO,
            Work::Cpu(span) | Work::Wait(span) => span.mean(),
        }
    }
}

/// How long the work on a record takes, perhaps random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceTime {
    /// Always the same.
    Fixed(Duration),
    /// Exponentially distributed with this mean.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Uniform between the two.
    Uniform {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

impl ServiceTime {
    /// The expected value.
    pub fn mean(&self) -> Duration {
        match *self {
            ServiceTime::Fixed(span) => span,
            ServiceTime::Exponential { mean } => mean,
            ServiceTime::Uniform { min, max } => (min + max) / 2,
        }
    }
}

impl fmt::Display for Assignor {
    /// librdkafka's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::CooperativeSticky => "cooperative-sticky",
        })
    }
}

impl fmt::Display for RemoteAssignor {
    /// Kafka's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemoteAssignor::Uniform => "uniform",
            RemoteAssignor::Range => "range",
        })
    }
}

/// Where processed offsets are kept, under explicit assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointPlan {
    /// In this process only: a restarted consumer goes on, a later run does not.
    Memory,
    /// In a file as well, from which a later run goes on.
    File {
        /// The file.
        path: PathBuf,
        /// Between two writes.
        interval: Duration,
    },
    /// Committed as well, for other tools to see. Never read back.
    Commit {
        /// For which group.
        group: String,
        /// Between two commits.
        interval: Duration,
    },
}
