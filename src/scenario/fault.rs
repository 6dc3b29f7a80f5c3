//! The section `[[fault]]`: what is broken, when, and whom it hits.

use std::time::Duration;

use super::At;
use super::aim::Pick;
use super::section::section;
use super::words::words;

section! {
    /// Something that is broken at a given time. It has exactly one kind.
    Fault {
        /// When, counted from the start of the load, warm-up included.
        at: Duration = required, "30s";
        /// How long it lasts. Kinds that are over at once have none.
        span as "for": Duration = ("until its kind is over"), "5s";
        /// Repeats it, each time so long after the last, while the load lasts.
        every: Duration = ("it happens once"), "10s";
        /// Moves each repetition by up to so much, earlier or later. At most half of `every`.
        jitter: Duration = ("none"), "2s";
        /// Kills actors: nothing is cleaned up; a group sees a crash. A pool goes on where it was.
        kill: Kill = ("none"), { consumer = 7 };
        /// The handler panics on the next record.
        panic: ConsumerAim = ("none"), { consumer = 7 };
        /// Consumers stop in order, and are started again; a group sees them leave.
        stop: ConsumerAim = ("none"), { consumer = 7 };
        /// The data thread stops polling, and obeys nobody, for `for` or for ever.
        hang: ConsumerAim = ("none"), { consumer = 7 };
        /// The handler blocks for `for` on the next record.
        stall: ConsumerAim = ("none"), { consumer = 7 };
        /// Records cost more for `for`.
        slow: Slow = ("none"), { consumer = 7, factor = 10 };
        /// Kills consumers whose old client then takes `for` to close.
        late_close: ConsumerAim = ("none"), { consumer = 7 };
        /// Every incarnation crashes as it starts, so many `times` or for `for`.
        crash_loop: CrashLoop = ("none"), { consumer = 7, times = 3 };
        /// The next record makes every incarnation panic that comes to it.
        poison: PartitionAim = ("none"), { partition = 3 };
        /// Pools send nothing for `for`; what is overdue is then sent late.
        pause: PoolAim = ("none"), { pool = 0 };
        /// Pools send `factor` times as fast for `for`. Known beforehand, so the schedule stays exact.
        burst: Burst = ("none"), { pool = 0, factor = 3 };
        /// Producers' clients delay, drop or refuse what is sent for `for`; on any cluster.
        produce_call: ProduceCall = ("none"), { pool = "all", delay = "50ms" };
        /// Consumers' clients delay, drop or fail to fetch records for `for`; on any cluster.
        fetch_call: FetchCall = ("none"), { consumer = 7, drop = true, share = 0.1 };
        /// Brokers of the embedded cluster are unreachable for `for`; those of the simulator crash and come back.
        broker_down: BrokerAim = ("none"), { broker = 1 };
        /// Brokers of the embedded cluster or the simulator answer later for `for`.
        broker_rtt: BrokerDelay = ("none"), { broker = 1, delay = "50ms" };
        /// Brokers of the simulator stand still for `for`; what reaches them waits.
        broker_pause: BrokerAim = ("none"), { broker = 1 };
        /// Each append costs the disks of brokers of the simulator so much more, for `for`.
        slow_disk: SlowDisk = ("none"), { broker = 1, add = "20ms" };
        /// Links of brokers of the simulator are bad for `for`. At least one of `delay`, `loss` and `duplicate`.
        link: Link = ("none"), { broker = 1, loss = 0.05 };
        /// Nothing passes on links of brokers of the simulator, for `for`. Connections stay, until somebody loses
        /// patience.
        link_cut: LinkCut = ("none"), { broker = 1, side = "brokers" };
        /// Every connection of clients to brokers of the simulator breaks; answers under way are lost.
        link_reset: BrokerAim = ("none"), { broker = 1 };
        /// Nothing passes any more on the connections clients have to brokers of the simulator, and nobody is told.
        half_open: BrokerAim = ("none"), { broker = 1 };
        /// Another broker of the simulator coordinates the group.
        coordinator_move: CoordinatorMove = ("none"), { to = 2 };
        /// A second process reads partitions as if they were its own, for `for`: nobody prevents it under explicit
        /// assignment. Only on the simulator.
        second_owner: PartitionAim = ("none"), { partition = 3 };
        /// The embedded cluster or the simulator refuses requests, whoever sends them.
        request_error: RequestError = ("none"), { api = "produce", code = "not-leader", count = 5 };
        /// Members more join the group, with numbers above those there are, for `for` or until the end.
        join: Join = ("none"), { members = 1 };
        /// Gives the topic more partitions; only one this run has created.
        grow: Grow = ("none"), { partitions = 24 };
        /// Deletes all records of partitions, read or not; only of a topic this run has created.
        delete_records: PartitionAim = ("none"), { partition = 3 };
        /// Runs commands of your own; needs `--allow-exec`.
        exec: Exec = ("none"), { start = ["docker", "kill", "broker-2"], end = ["docker", "start", "broker-2"] };
    }
}

section! {
    /// Who sends faster.
    Burst {
        /// Producer pools, from 0.
        pool: Pick = required, 0;
        /// Times the rate.
        factor: f64 = required, 3;
    }
}

section! {
    /// Records on their way into a client. One of `pool` and `partition`, and one of `delay`, `drop` and `error`.
    ProduceCall {
        /// Producer pools, from 0.
        pool: Pick = ("none"), 0;
        /// Partitions, whoever sends to them.
        partition: Pick = ("none"), 3;
        /// They are sent so much later, and what is behind them in their partition waits.
        delay: Duration = ("none"), "50ms";
        /// They are not sent and nobody says so: indeterminate.
        drop: bool = false, true;
        /// They are not sent, and the client says so.
        error: CallErrorWord = ("none"), "retriable";
        /// Of so many of the calls, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

section! {
    /// Records on their way out of a client. One of `consumer` and `partition`, and one of `delay`, `drop` and `error`.
    FetchCall {
        /// Consumers, from 0.
        consumer: Pick = ("none"), 7;
        /// Partitions, whoever reads them.
        partition: Pick = ("none"), 3;
        /// They arrive so much later, and what is behind them in their partition waits.
        delay: Duration = ("none"), "50ms";
        /// They are thrown away, and asked for again 100 ms later.
        drop: bool = false, true;
        /// Instead of them comes an error.
        error: CallErrorWord = ("none"), "retriable";
        /// Of so many of the calls, drawn from the seed.
        share: f64 = 1.0, 0.1;
    }
}

words! {
    /// What a client says.
    CallErrorWord {
        /// To be tried again: nothing is lost.
        Retriable = "retriable",
        /// Not to be tried again: the record has failed, or the consumer's client is beyond repair.
        Fatal = "fatal",
    }
}

section! {
    /// Who joins a group.
    Join {
        /// How many.
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
        /// Added to each answer.
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
        /// Share of messages between clients and the broker that is lost on the way. TCP sends them again, 200 ms later
        /// and then after twice as long each time; what comes after them waits.
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
        /// To whom.
        side: LinkSide = "all", "brokers";
    }
}

section! {
    /// Where the group's coordinator goes.
    CoordinatorMove {
        /// A broker, from 1.
        to: u64 = ("the next one that runs"), 2;
    }
}

words! {
    /// Who is at the other end of a link.
    LinkSide {
        /// Clients; brokers and controller are still reached.
        Clients = "clients",
        /// The other brokers and the controller; clients are still reached.
        Brokers = "brokers",
        /// Everybody.
        All = "all",
    }
}

section! {
    /// Requests that are refused.
    RequestError {
        /// Which kind of request.
        api: ApiWord = required, "produce";
        /// The answer.
        code: CodeWord = required, "not-leader";
        /// How many requests, of whichever client comes first.
        count: u64 = 1, 5;
    }
}

section! {
    /// Commands and their arguments. No shell is involved.
    Exec {
        /// Run when the fault is due.
        start: Vec<At<String>> = required, ["docker", "kill", "broker-2"];
        /// Run when `for` is over; always, also when the run is interrupted.
        end: Vec<At<String>> = ("none"), ["docker", "start", "broker-2"];
        /// A command that takes longer is killed, with all it has started.
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
        /// Who a group's coordinator is.
        FindCoordinator = "find-coordinator",
        /// A member's way into a group.
        JoinGroup = "join-group",
        /// A member's sign of life.
        Heartbeat = "heartbeat",
    }
}

words! {
    /// A broker's answer.
    CodeWord {
        /// Another broker leads the partition.
        NotLeader = "not-leader",
        /// The broker did not get it done in time.
        RequestTimedOut = "request-timed-out",
        /// Too few replicas are in sync; nothing was appended.
        NotEnoughReplicas = "not-enough-replicas",
        /// Too few replicas were in sync; it was appended.
        NotEnoughReplicasAfterAppend = "not-enough-replicas-after-append",
        /// The coordinator is starting.
        CoordinatorLoading = "coordinator-loading",
        /// Another broker coordinates the group.
        NotCoordinator = "not-coordinator",
        /// The broker does not know the topic or partition.
        UnknownTopicOrPartition = "unknown-topic-or-partition",
        /// The broker could not write.
        StorageError = "storage-error",
        /// The connection breaks instead of an answer.
        Disconnect = "disconnect",
    }
}

section! {
    /// Who is killed.
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
    /// Who becomes slow, and how. One of `factor` and `add`.
    Slow {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// Times the work of each record.
        factor: f64 = ("none"), 10;
        /// Added to each record.
        add: Duration = ("none"), "2ms";
    }
}

section! {
    /// Who crashes again and again.
    CrashLoop {
        /// Consumers, from 0.
        consumer: Pick = required, 7;
        /// So many times each.
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
