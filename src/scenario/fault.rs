//! The section `[[fault]]`: what is broken, when, and its targets.

use std::time::Duration;

use super::At;
use super::aim::Pick;
use crate::reader::section::section;
use crate::reader::words::words;

section! {
    /// A fault that is injected at a given time. A fault has exactly one kind.
    Fault {
        /// When it begins, counted from the start of the load, warmup included.
        at: Duration = required, "30s";
        /// How long it lasts. Kinds that end at once have no duration.
        span as "for": Duration = ("until its kind is over"), "5s";
        /// Repeats the fault at this interval while the load lasts.
        every: Duration = ("it happens once"), "10s";
        /// Moves each repetition earlier or later by up to this duration. At most half of `every`.
        jitter: Duration = ("none"), "2s";
        /// Kills actors without any cleanup; a group sees a crash. A restarted pool continues its schedule.
        kill: Kill = ("none"), { consumer = 7 };
        /// The handler panics on the next record.
        panic: ConsumerAim = ("none"), { consumer = 7 };
        /// Consumers shut down gracefully and are started again; a group sees them leave.
        stop: ConsumerAim = ("none"), { consumer = 7 };
        /// The poll loop hangs and ignores all commands, for `for`, or permanently without it.
        hang: ConsumerAim = ("none"), { consumer = 7 };
        /// The handler blocks for `for` on the next record.
        stall: ConsumerAim = ("none"), { consumer = 7 };
        /// Records take longer to process for `for`.
        slow: Slow = ("none"), { consumer = 7, factor = 10 };
        /// Kills consumers whose old client then takes `for` to close.
        late_close: ConsumerAim = ("none"), { consumer = 7 };
        /// Every incarnation crashes as it starts, `times` times or for `for`.
        crash_loop: CrashLoop = ("none"), { consumer = 7, times = 3 };
        /// The next record makes each incarnation that processes it panic.
        poison: PartitionAim = ("none"), { partition = 3 };
        /// Pools send nothing for `for`, then send the overdue records late.
        pause: PoolAim = ("none"), { pool = 0 };
        /// Pools send `factor` times as fast for `for`. The burst is part of the schedule, so its records are not late.
        burst: Burst = ("none"), { pool = 0, factor = 3 };
        /// Producer clients delay, drop or refuse records for `for`; on any cluster.
        produce_call: ProduceCall = ("none"), { pool = "all", delay = "50ms" };
        /// Consumer clients delay, drop or fail to fetch records for `for`; on any cluster.
        fetch_call: FetchCall = ("none"), { consumer = 7, drop = true, share = 0.1 };
        /// Brokers of the embedded cluster are unreachable for `for`; brokers of the simulator crash and restart.
        broker_down: BrokerAim = ("none"), { broker = 1 };
        /// Brokers of the embedded cluster or the simulator delay their responses for `for`.
        broker_rtt: BrokerDelay = ("none"), { broker = 1, delay = "50ms" };
        /// Brokers of the simulator pause for `for` (as with SIGSTOP); requests wait.
        broker_pause: BrokerAim = ("none"), { broker = 1 };
        /// Each append to the disks of brokers of the simulator takes longer for `for`.
        slow_disk: SlowDisk = ("none"), { broker = 1, add = "20ms" };
        /// Links of brokers of the simulator degrade for `for`. At least one of `delay`, `loss` and `duplicate`.
        link: Link = ("none"), { broker = 1, loss = 0.05 };
        /// No message passes on links of brokers of the simulator for `for`. Connections stay open until a timeout
        /// closes them.
        link_cut: LinkCut = ("none"), { broker = 1, side = "brokers" };
        /// Every client connection to brokers of the simulator is reset; responses in flight are lost.
        link_reset: BrokerAim = ("none"), { broker = 1 };
        /// Client connections to brokers of the simulator lose every message from now on, and neither side is notified.
        half_open: BrokerAim = ("none"), { broker = 1 };
        /// Another broker of the simulator becomes the group coordinator.
        coordinator_move: CoordinatorMove = ("none"), { to = 2 };
        /// A second process reads the same partitions for `for`: explicit assignment does not prevent it. Only on
        /// the simulator.
        second_owner: PartitionAim = ("none"), { partition = 3 };
        /// The embedded cluster or the simulator answers requests with an error.
        request_error: RequestError = ("none"), { api = "produce", code = "not-leader", count = 5 };
        /// More members join the group, numbered above the existing ones, for `for` or until the end.
        join: Join = ("none"), { members = 1 };
        /// Adds partitions to the topic; only to a topic this run created.
        grow: Grow = ("none"), { partitions = 24 };
        /// Deletes all records of partitions, read or not; only of a topic this run created.
        delete_records: PartitionAim = ("none"), { partition = 3 };
        /// Runs commands of your own; needs `--allow-exec`.
        exec: Exec = ("none"), { start = ["docker", "kill", "broker-2"], end = ["docker", "start", "broker-2"] };
    }
}

section! {
    /// Pools that send faster.
    Burst {
        /// Producer pools, from 0.
        pool: Pick = required, 0;
        /// Factor of the rate.
        factor: f64 = required, 3;
    }
}

section! {
    /// Records handed to a producer client. One of `pool` and `partition`, and one of `delay`, `drop` and `error`.
    ProduceCall {
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
        /// Partitions, for all producers.
        partition: Pick = ("none"), 3;
        /// Records are sent this much later, and records behind them in their partition wait.
        delay: Duration = ("none"), "50ms";
        /// Records are not sent and no error is reported: they are indeterminate.
        drop: bool = false, true;
        /// Records are not sent, and the client reports an error.
        error: CallErrorWord = ("none"), "retriable";
        /// Share of the calls, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

section! {
    /// Records returned by a consumer client. One of `consumer` and `partition`, and one of `delay`, `drop` and `error`.
    FetchCall {
        /// Consumers, from 0.
        consumer: Pick = ("none"), 7;
        /// Partitions, for all consumers.
        partition: Pick = ("none"), 3;
        /// Records arrive this much later, and records behind them in their partition wait.
        delay: Duration = ("none"), "50ms";
        /// Records are discarded and fetched again 100 ms later.
        drop: bool = false, true;
        /// The client returns an error instead of records.
        error: CallErrorWord = ("none"), "retriable";
        /// Share of the calls, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

words! {
    /// The error a client reports.
    CallErrorWord {
        /// A retriable error: nothing is lost.
        Retriable = "retriable",
        /// A fatal error: the record has failed, or the consumer's client must be replaced.
        Fatal = "fatal",
    }
}

section! {
    /// Members that join a group.
    Join {
        /// Their number.
        members: u64 = 1, 2;
    }
}

section! {
    /// A topic's new size.
    Grow {
        /// Partitions in all.
        partitions: u64 = required, 24;
    }
}

section! {
    /// Brokers.
    BrokerAim {
        /// From 1.
        broker: Pick = required, 1;
    }
}

section! {
    /// Brokers that answer later.
    BrokerDelay {
        /// From 1.
        broker: Pick = required, 1;
        /// Added to each response.
        delay: Duration = required, "50ms";
    }
}

section! {
    /// Brokers with a slow disk.
    SlowDisk {
        /// From 1.
        broker: Pick = required, 1;
        /// Added to each append.
        add: Duration = required, "20ms";
    }
}

section! {
    /// Brokers with bad links.
    Link {
        /// From 1.
        broker: Pick = required, 1;
        /// Added to each message to or from clients and other brokers.
        delay: Duration = ("none"), "50ms";
        /// Share of messages between clients and the broker that is lost. TCP sends a lost message again after 200 ms,
        /// then after twice as long each time; messages behind it wait.
        loss: f64 = ("none"), 0.05;
        /// Share of the producers' batches that arrives twice.
        duplicate: f64 = ("none"), 0.1;
    }
}

section! {
    /// Brokers whose links are cut.
    LinkCut {
        /// From 1.
        broker: Pick = required, 1;
        /// The other end of the cut links.
        side: LinkSide = "all", "brokers";
    }
}

section! {
    /// The new coordinator of the group.
    CoordinatorMove {
        /// A broker, from 1.
        to: u64 = ("the next one that runs"), 2;
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

section! {
    /// Requests that are refused.
    RequestError {
        /// Kind of request.
        api: ApiWord = required, "produce";
        /// Error code of the response.
        code: CodeWord = required, "not-leader";
        /// Number of requests, of any client.
        count: u64 = 1, 5;
    }
}

section! {
    /// Commands and their arguments. No shell is involved.
    Exec {
        /// Runs when the fault begins.
        start: Vec<At<String>> = required, ["docker", "kill", "broker-2"];
        /// Runs when `for` has passed, and always, also when the run is interrupted.
        end: Vec<At<String>> = ("none"), ["docker", "start", "broker-2"];
        /// A command that takes longer is killed, with every process it has started.
        limit: Duration = "30s", "10s";
    }
}

words! {
    /// A kind of request.
    ApiWord {
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
    CodeWord {
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

section! {
    /// Actors that are killed.
    Kill {
        /// Consumers, from 0. In assigned mode they have their partition's number.
        consumer: Pick = ("none"), 7;
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
    }
}

section! {
    /// Consumers.
    ConsumerAim {
        /// From 0. In assigned mode they have their partition's number.
        consumer: Pick = required, 7;
    }
}

section! {
    /// Consumers that become slow. One of `factor` and `add`.
    Slow {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// Factor of each record's work.
        factor: f64 = ("none"), 10;
        /// Added to each record.
        add: Duration = ("none"), "2ms";
    }
}

section! {
    /// Consumers that crash repeatedly.
    CrashLoop {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// Number of crashes of each.
        times: u64 = ("as long as `for` lasts"), 3;
    }
}

section! {
    /// Partitions.
    PartitionAim {
        /// From 0.
        partition: Pick = required, 3;
    }
}

section! {
    /// Producer pools.
    PoolAim {
        /// From 0.
        pool: Pick = required, 0;
    }
}
