//! The consumers: how partitions are assigned to them, the work per record, and the place of processed offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::ConsumerId;

/// The consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumersPlan {
    /// The assignment of partitions to consumers.
    pub membership: Membership,
    /// The offsets from which partitions are read.
    pub start: StartAt,
    /// The work on a record.
    pub work: WorkPlan,
    /// Largest number of processed records before they are counted and the checkpoint moves.
    pub batch_records: u32,
    /// The place of processed offsets.
    pub checkpoint: CheckpointPlan,
    /// The treatment of a record on which the consumer fails each time it is started.
    pub poison: PoisonPolicy,
}

/// The treatment of poison: a record on which three starts of the consumer in a row failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoisonPolicy {
    /// The consumer is given up, and the run has failed.
    Stop,
    /// The record is skipped, counted and reported.
    Skip,
}

/// The assignment of partitions to consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Explicit assignment: consumer i always reads partition i.
    Assigned {
        /// The connections of the consumers.
        clients: ClientTopology,
    },
    /// A consumer group.
    Group(GroupPlan),
}

/// The connections of explicitly assigned consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTopology {
    /// One client per partition: isolation, at the cost of threads and sockets.
    PerPartition,
    /// One client for all partitions, polled by one thread.
    Shared,
}

/// A consumer group's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// Number of members.
    pub members: u32,
    /// The protocol between members and coordinator.
    pub protocol: GroupProtocol,
    /// The identity of members.
    pub identity: Identity,
    /// Members that a fault kills. With [`Identity::Crashable`] only these have an instance id.
    pub killed: BTreeSet<ConsumerId>,
    /// Interval of commits of processed offsets.
    pub commit_interval: Duration,
    /// Longest time between two polls of a member. After that its client leaves the group.
    pub max_poll_interval: Duration,
}

impl GroupPlan {
    /// The identity of this member.
    pub fn identity_of(&self, member: ConsumerId) -> Identity {
        match self.identity {
            Identity::Crashable if !self.killed.contains(&member) => Identity::Dynamic,
            identity => identity,
        }
    }

    /// True if a member's instance id can only be used again after its holder has left: static members of the consumer
    /// protocol (KIP-848). In the classic protocol a new member fences the holder.
    pub fn has_exclusive_instance_ids(&self) -> bool {
        self.identity == Identity::Static && matches!(self.protocol, GroupProtocol::Consumer { .. })
    }

    /// Time after which a silent member loses its partitions; `None` if the broker decides it.
    pub fn session_timeout(&self) -> Option<Duration> {
        match self.protocol {
            GroupProtocol::Classic { session_timeout, .. } => Some(session_timeout),
            GroupProtocol::Consumer { .. } => None,
        }
    }

    /// Time after which a crashed member loses its partitions. With the consumer protocol, the broker's default.
    pub fn crash_noticed_after(&self) -> Duration {
        self.session_timeout().unwrap_or(SESSION_TIMEOUT_OF_BROKERS)
    }
}

/// Default of `group.consumer.session.timeout.ms`.
pub(super) const SESSION_TIMEOUT_OF_BROKERS: Duration = Duration::from_secs(45);

/// Default of `group.consumer.max.session.timeout.ms`: no session of a member is longer, so an instance id whose holder is
/// silent is free after this time.
pub(crate) const LONGEST_SESSION_OF_BROKERS: Duration = Duration::from_secs(60);

/// The protocol by which the members of a group and its coordinator assign partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// JoinGroup and SyncGroup: one of the members assigns the partitions.
    Classic {
        /// The assignor of the leader.
        assignor: Assignor,
        /// Time after which a silent member loses its partitions.
        session_timeout: Duration,
        /// Interval of heartbeats.
        heartbeat_interval: Duration,
    },
    /// ConsumerGroupHeartbeat (KIP-848): the broker assigns the partitions, with timeouts of its own.
    Consumer {
        /// The assignor of the broker; `None` for its default.
        assignor: Option<RemoteAssignor>,
    },
}

/// The assignor of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAssignor {
    /// Balanced, with as few moves as possible.
    Uniform,
    /// Contiguous ranges.
    Range,
}

/// The assignor of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Contiguous ranges; eager.
    Range,
    /// One partition after the other; eager.
    RoundRobin,
    /// Balanced, with as few moves as possible; incremental.
    CooperativeSticky,
}

/// The identity of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No instance id: the member leaves the group when its client closes.
    Dynamic,
    /// Members that a fault kills have a new `group.instance.id` for each start. Closing their client does not send
    /// LeaveGroup, so the group sees a kill as a crash and detects it by the session timeout.
    Crashable,
    /// The same `group.instance.id` for every start of a member. It gets its partitions back without a rebalance if it
    /// returns within the session timeout. Closing does not send LeaveGroup.
    Static,
}

/// The offsets from which partitions are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record in the log.
    Beginning,
    /// The end of each partition at the start of the run.
    End,
}

/// The work on a record, by partition.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkPlan {
    /// The work in partitions that are not in `of`.
    pub default: Work,
    /// The work in single partitions.
    pub of: BTreeMap<u32, Work>,
}

impl WorkPlan {
    /// True if any record costs work beyond verification.
    pub fn is_some(&self) -> bool {
        self.default != Work::None || self.of.values().any(|work| *work != Work::None)
    }

    /// The work on a record of this partition.
    pub fn of(&self, partition: u32) -> Work {
        self.of.get(&partition).copied().unwrap_or(self.default)
    }
}

/// The work on a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// No work beyond verification.
    None,
    /// Occupies a core.
    Cpu(ServiceTime),
    /// Waits, for example for a database.
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

/// Duration of the work on a record, which may be random.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceTime {
    /// A constant time.
    Fixed(Duration),
    /// Exponentially distributed with this mean.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Uniformly distributed between two times.
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

/// The place of processed offsets, under explicit assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointPlan {
    /// Only in memory: a restarted consumer continues, a later run does not.
    Memory,
    /// Also in a file, from which a later run continues.
    File {
        /// The file.
        path: PathBuf,
        /// Time between two writes.
        interval: Duration,
    },
    /// Also committed to the coordinator, for other tools. Never read back.
    Commit {
        /// The group for which offsets are committed.
        group: String,
        /// Time between two commits.
        interval: Duration,
    },
}
