//! The effect of a fault: the actions of supervisors, hosts, clients and clusters that it needs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::PartitionId;
use crate::reader::value::words;

/// The effect of a fault on its targets.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultEffect {
    /// The effect on each consumer.
    Consumers(ConsumerFault),
    /// The effect on each producer pool.
    Pools(PoolFault),
    /// The effect on each partition.
    Partitions(PartitionFault),
    /// The effect on each broker, at the beginning and at the end of the fault.
    Brokers {
        /// The change at the beginning.
        begin: BrokerChange,
        /// The change that reverts it; `None` if the fault is over at once.
        end: Option<BrokerChange>,
    },
    /// The effect on the cluster as a whole.
    Cluster(ClusterFault),
    /// A rule for calls of clients, in force while the fault lasts.
    Calls(CallRule),
    /// New members join the group, and leave it when the fault is over.
    Join,
    /// Commands of the user.
    Exec(ExecPlan),
}

/// The effect on a consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConsumerFault {
    /// The actor is killed. No cleanup runs, and the client is closed in parallel with the restart.
    Kill,
    /// The consumer shuts down gracefully, and the supervisor restarts it.
    Stop,
    /// The actor is killed, and the close of its client takes as long as the fault.
    LateClose,
    /// The handler panics on the next record.
    Panic,
    /// The poll loop stops polling and handles no command.
    Hang,
    /// The handler blocks on the next record.
    Stall,
    /// Records take longer to process.
    Slow {
        /// Factor of each record's work.
        factor: f64,
        /// Time added to the work of each record.
        add: Duration,
    },
    /// The consumer crashes each time it starts.
    CrashLoop {
        /// Number of crashes; `None` while the fault lasts.
        times: Option<u32>,
    },
}

/// The effect on a producer pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PoolFault {
    /// The actor is killed.
    Kill,
    /// The pool sends nothing. Overdue records are sent late afterwards.
    Pause,
    /// The schedule is faster while the fault lasts.
    Burst {
        /// Factor of the rate.
        factor: f64,
    },
}

/// The effect on a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionFault {
    /// The next record makes the consumer panic each time it is processed.
    Poison,
    /// A second process reads the partition as if the partition were assigned to it.
    SecondOwner,
    /// All records of the partition are deleted.
    DeleteRecords,
}

/// A change of a cluster: a fault, or its end.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterFault {
    /// A change of each of these brokers, counted from 1.
    Brokers(Vec<u32>, BrokerChange),
    /// The group's coordinator moves to this broker. `None` means the next broker that runs.
    MoveCoordinator(Option<u32>),
    /// The next requests of a kind are refused.
    Refuse {
        /// Kind of request.
        api: Api,
        /// Error code of the response.
        code: ApiError,
        /// Number of requests.
        count: u32,
    },
    /// The topic gets more partitions, up to this total number.
    Grow(u32),
    /// All records of these partitions are deleted.
    DeleteRecords(Vec<PartitionId>),
}

/// A change of a broker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BrokerChange {
    /// The broker is unreachable, or has crashed.
    Down,
    /// The broker is up again.
    Up,
    /// The broker pauses. Requests that arrive wait.
    Pause,
    /// The broker resumes.
    GoOn,
    /// Each response takes this much longer. Zero ends the delay.
    Rtt(Duration),
    /// Each append to the disk takes this much longer. Zero ends the delay.
    SlowDisk(Duration),
    /// The quality of the broker's links. A delay and shares of 0 restore them.
    Link {
        /// Time added to each message.
        delay: Duration,
        /// Share of messages that is lost and retransmitted.
        loss: f64,
        /// Share of batches that arrives twice.
        duplicate: f64,
    },
    /// No message passes between the broker and this side.
    Cut(LinkSide),
    /// Messages to and from this side pass again.
    Join(LinkSide),
    /// Every client connection to the broker is reset.
    Reset,
    /// No message passes on the present client connections to the broker, and neither end is notified.
    HalfOpen,
    /// The broker carries out the next requests of a kind, and closes their connections instead of responding.
    LoseAnswers {
        /// Kind of request.
        api: Api,
        /// Number of requests.
        count: u32,
    },
}

/// A rule for calls of clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallRule {
    /// The calls that the rule applies to.
    pub call: Call,
    /// The effect on these calls.
    pub action: CallAction,
    /// Share of the calls that are affected, drawn from the seed. Above 0, at most 1.
    pub share: f64,
    /// Most calls that are affected; `None` without a limit while the rule is in force.
    pub count: Option<u32>,
}

/// A kind of call of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A record handed to a producer's client.
    Produce,
    /// The records of one partition that one poll of a consumer's client returns.
    Fetch,
}

/// The effect on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAction {
    /// The call takes this much longer.
    Delay(Duration),
    /// The call is dropped silently.
    Drop,
    /// The call fails, and the client reports an error.
    Error(CallError),
    /// The call is carried out, and its response is lost.
    LoseAnswer,
}

/// The commands of an `exec` fault, with their arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecPlan {
    /// The command at the beginning of the fault.
    pub start: Vec<String>,
    /// The command at the end of the fault, or at the end of the run if that is earlier. Empty if there is none.
    pub end: Vec<String>,
    /// Time limit of each command.
    pub limit: Duration,
    /// The ids of the brokers that are down between the two commands.
    pub brokers: BTreeSet<u32>,
    /// True if more brokers may be down at once than the topic's replicas allow.
    pub allow_outage: bool,
}

words! {
    /// The error a client reports.
    CallError {
        /// A retriable error: nothing is lost.
        Retriable = "retriable",
        /// A fatal error: the record has failed, or the consumer's client must be replaced.
        Fatal = "fatal",
    }
}

words! {
    /// The other end of a link.
    LinkSide {
        /// Clients; other brokers and the controller stay reachable.
        Clients = "clients",
        /// Other brokers and the controller; clients stay reachable.
        Brokers = "brokers",
        /// Clients, other brokers and the controller.
        All = "all",
    }
}

words! {
    /// A kind of request.
    Api {
        /// Records to be appended.
        Produce = "produce",
        /// Records to be read.
        Fetch = "fetch",
        /// Offsets of a partition.
        ListOffsets = "list-offsets",
        /// Brokers, topics, leaders.
        Metadata = "metadata",
        /// Offsets to be kept for a group.
        OffsetCommit = "offset-commit",
        /// The coordinator of a group.
        FindCoordinator = "find-coordinator",
        /// A member joins a group.
        JoinGroup = "join-group",
        /// A member reports that it is alive.
        Heartbeat = "heartbeat",
    }
}

words! {
    /// An error code of a response.
    ApiError {
        /// Another broker leads the partition.
        NotLeader = "not-leader",
        /// The broker did not finish in time.
        RequestTimedOut = "request-timed-out",
        /// Too few replicas are in sync; the records were not appended.
        NotEnoughReplicas = "not-enough-replicas",
        /// Too few replicas were in sync; the records were appended.
        NotEnoughReplicasAfterAppend = "not-enough-replicas-after-append",
        /// The coordinator is loading the group.
        CoordinatorLoading = "coordinator-loading",
        /// Another broker coordinates the group.
        NotCoordinator = "not-coordinator",
        /// The broker does not know the topic or partition.
        UnknownTopicOrPartition = "unknown-topic-or-partition",
        /// The broker could not write to its disk.
        StorageError = "storage-error",
        /// The connection is closed instead of a response.
        Disconnect = "disconnect",
    }
}
