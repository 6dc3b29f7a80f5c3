//! What a fault does: what the supervisor, hosts, clients and clusters can be made to do.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::PartitionId;
use crate::reader::value::words;

/// What a fault does to its targets.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultEffect {
    /// To each consumer.
    Consumers(ConsumerFault),
    /// To each producer pool.
    Pools(PoolFault),
    /// To each partition.
    Partitions(PartitionFault),
    /// To each broker, when it begins and when it ends.
    Brokers {
        /// The change.
        begin: BrokerChange,
        /// What takes it back; `None` for what is over at once.
        end: Option<BrokerChange>,
    },
    /// To the cluster as a whole.
    Cluster(ClusterFault),
    /// A rule holds for calls of clients while it lasts.
    Calls(CallRule),
    /// Members more join the group, and leave it when it is over.
    Join,
    /// The user's own commands.
    Exec(ExecPlan),
}

/// What happens to a consumer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConsumerFault {
    /// Its actor is killed: no clean-up runs, its client is closed beside the restart.
    Kill,
    /// It stops in order; the supervisor starts it again.
    Stop,
    /// It is killed, and the old client takes its time to close.
    LateClose,
    /// Its handler panics on the next record.
    Panic,
    /// Its data thread stops polling and obeys no command.
    Hang,
    /// Its handler blocks on the next record.
    Stall,
    /// Its records cost more.
    Slow {
        /// Times the work of each record.
        factor: f64,
        /// Added to each record.
        add: Duration,
    },
    /// The consumer crashes each time it starts.
    CrashLoop {
        /// Number of crashes; `None` while the fault lasts.
        times: Option<u32>,
    },
}

/// What happens to a producer pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PoolFault {
    /// Its actor is killed.
    Kill,
    /// It sends nothing; what is overdue goes late.
    Pause,
    /// Its schedule is faster for a while.
    Burst {
        /// Times the rate.
        factor: f64,
    },
}

/// What happens to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionFault {
    /// The next record makes the consumer panic each time it is processed.
    Poison,
    /// A second process reads it as if it were its own.
    SecondOwner,
    /// Its records are deleted up to the end.
    DeleteRecords,
}

/// Something done to a cluster on purpose, or undone.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterFault {
    /// To each of these brokers, counted from 1.
    Brokers(Vec<u32>, BrokerChange),
    /// This broker coordinates the group, or the next one that runs.
    MoveCoordinator(Option<u32>),
    /// The next requests of a kind are refused.
    Refuse {
        /// Which kind.
        api: Api,
        /// With this answer.
        code: ApiError,
        /// Their number.
        count: u32,
    },
    /// The topic gets more partitions, up to this number in all.
    Grow(u32),
    /// All records of these partitions are deleted.
    DeleteRecords(Vec<PartitionId>),
}

/// What changes about a broker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BrokerChange {
    /// It is gone from now on.
    Down,
    /// It is back.
    Up,
    /// It does nothing: requests that reach it wait.
    Pause,
    /// It goes on.
    GoOn,
    /// It responds this much later.
    Rtt(Duration),
    /// Each append to its disk takes this much longer.
    SlowDisk(Duration),
    /// What its links are like from now on.
    Link {
        /// How much longer each message takes.
        delay: Duration,
        /// Share of messages that is lost on the way and sent again.
        loss: f64,
        /// Share of batches that arrives twice.
        duplicate: f64,
    },
    /// Nothing passes between it and the others on that side.
    Cut(LinkSide),
    /// Everything passes again.
    Join(LinkSide),
    /// Every connection to it breaks.
    Reset,
    /// Nothing passes on the present connections to it, and no side is told.
    HalfOpen,
    /// It carries out the next requests of a kind, and closes their connections instead of answering.
    LoseAnswers {
        /// Which kind.
        api: Api,
        /// Their number.
        count: u32,
    },
}

/// What happens to calls of clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallRule {
    /// To which calls.
    pub call: Call,
    /// What happens to them.
    pub action: CallAction,
    /// Share of them, drawn from the seed. Above 0, at most 1.
    pub share: f64,
    /// How many of them in all; `None` for every one while the rule holds.
    pub count: Option<u32>,
}

/// A kind of call of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A record handed to a producer's client.
    Produce,
    /// What one poll of a consumer's client brings of one partition.
    Fetch,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAction {
    /// It takes this much longer.
    Delay(Duration),
    /// The call is dropped silently.
    Drop,
    /// It comes to nothing, and the client says so.
    Error(CallError),
    /// It is carried out, and the answer to it is lost.
    LoseAnswer,
}

/// Commands with their arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecPlan {
    /// Run when the fault is due.
    pub start: Vec<String>,
    /// Run when it is over, or when the run is, whichever comes first. Empty for none.
    pub end: Vec<String>,
    /// How long each may take.
    pub limit: Duration,
    /// The ids of the brokers that are down between the two.
    pub brokers: BTreeSet<u32>,
    /// Whether more of them may be down at once than the topic's replicas allow.
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
