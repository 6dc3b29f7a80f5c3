//! The sections of a scenario, key by key. The schema and the reference are made from this page.

use std::time::Duration;

use super::section::section;
use super::value::{Bytes, Rate};
use super::words::words;
use super::work::{Work, WorkOf};

section! {
    /// The topic under test. Retention and replication apply when the run creates it.
    Topic {
        /// Its name. A topic that exists already is used as it is and never deleted.
        name: String = ("one of the run's own, `lanekeeper-<scenario>-<run>`"), "orders";
        /// Number of partitions. A topic that exists already must have exactly these.
        partitions: u64 = 18, 36;
        /// Copies of each partition. The simulator has three brokers and three copies unless told otherwise.
        replication_factor: u64 = ("1; on the simulator 3, or as many as `sim.brokers`"), 3;
        /// Copies that have to be in sync for a record with `acks = "all"` to be taken.
        min_insync_replicas: u64 = 1, 2;
        /// How long records are kept.
        retention: Duration = "1h", "30m";
        /// How much is kept of each partition.
        retention_bytes: Bytes = "1GiB", "256MiB";
        /// Whether a topic this run created stays after it.
        keep: bool = false, true;
        /// How often new partitions are looked for, on a cluster whose topics can grow. Each new one gets a consumer,
        /// from its first record on.
        discover: Duration = "5s", "1s";
    }
}

section! {
    /// What is sent.
    Load {
        /// Number of producers. A producer is a schedule, not a connection.
        producers: u64 = 1024, 60;
        /// How fast each producer sends, or `"max"` for as fast as the client takes records.
        rate: Rate = "2/s", "5/s";
        /// Stop after so many messages in all.
        messages: u64 = ("no limit"), 3000000;
        /// Size of each payload, the stamp of 48 bytes included; at most what a client takes (999964B, unless
        /// `message.max.bytes` in `[client]` says otherwise) and a broker does.
        payload: Bytes = "100B", "1KiB";
        /// Which partition a record goes to: `fixed` is producer i to partition i mod n.
        partition: PartitionWord = "fixed", "keyed";
        /// Number of distinct keys, with `partition = "keyed"`.
        keys: u64 = 1000, 50;
        /// Zipf exponent of the partitions' weights, with `random` and `keyed`; 0 is uniform.
        skew: f64 = 0.0, 1.1;
        /// How the producers' schedules are placed against each other.
        phases: PhasesWord = "random", "uniform";
        /// Number of producer pools; a pool is a thread that sends for a share of the producers.
        pools: u64 = 1, 2;
        /// Client connections: one per `pool`, or one per `producer`; then acknowledgements are not timed.
        clients: LoadClientsWord = "pool", "producer";
        /// Which replicas must have a record before it is acknowledged.
        acks: AcksWord = "all", "leader";
        /// Whether retries may neither duplicate nor reorder. Needs `acks = "all"`.
        idempotence: bool = true, false;
        /// How long a client waits for a batch to fill.
        linger: Duration = "0ms", "5ms";
        /// Compression of batches.
        compression: CompressionWord = "none", "lz4";
        /// With `rate = "max"`: what may be sent to a partition but not be processed yet.
        unprocessed_max: Bytes = ("2MiB on the embedded cluster, none on others"), "2MiB";
    }
}

section! {
    /// Who reads the topic, and what a record costs to process.
    Consumers {
        /// `assigned`: consumer i reads partition i, always. `group`: the cluster deals them out.
        mode: ModeWord = "assigned", "group";
        /// Client connections in assigned mode: one `per-partition`, or one `shared` by all.
        clients: ConsumerClientsWord = "per-partition", "shared";
        /// Number of group members. Needed in group mode.
        count: u64 = ("as many as partitions in assigned mode"), 8;
        /// Whether a group member that comes back gets its place again: `static` if it is back within the session
        /// time-out (`group.instance.id`), `dynamic` never.
        membership: MembershipWord = "dynamic", "static";
        /// The group's protocol: `classic`, or `consumer` (KIP-848; Kafka 4.0 or newer).
        protocol: ProtocolWord = "classic", "consumer";
        /// How a group deals out partitions. The broker does it with `protocol = "consumer"`, which knows
        /// `uniform` and `range`.
        assignor: AssignorWord = ("range; the broker's choice with `protocol = \"consumer\"`"), "cooperative-sticky";
        /// Where reading starts: at the `end` of what is there before the run, or at the `beginning`.
        start: StartWord = "end", "beginning";
        /// What a record costs to process.
        work: Work = ("nothing beyond verification"), { cpu = "50us" };
        /// The same for single partitions.
        work_of: WorkOf = ("none"), { 3 = { wait = "5ms" } };
        /// Records processed, at most, before they are counted and the checkpoint moves.
        batch: u64 = 256, 64;
        /// A record on which three incarnations in a row die: `stop` its consumer, or `skip` it and say so.
        poison: PoisonWord = "stop", "skip";
        /// Where processed offsets are kept in assigned mode: in `memory`, in a `file` as well, from which a
        /// later run goes on, or in memory with a `commit` for other tools to see.
        checkpoint: CheckpointWord = "memory", "file";
        /// The file, with `checkpoint = "file"`. It is replaced as a whole and forced to the disk.
        checkpoint_file: String = ("none"), "orders.checkpoint";
        /// How often checkpoints are written or committed; once more at the end.
        checkpoint_interval: Duration = "1s", "250ms";
        /// The group they are committed for, with `checkpoint = "commit"`.
        checkpoint_group: String = ("`lanekeeper-<scenario>`"), "orders";
        /// How often a group member commits what it has processed.
        commit_interval: Duration = "1s", "5s";
        /// How long a silent group member keeps its partitions. The broker's with `protocol = "consumer"`, as is the
        /// next one.
        session_timeout: Duration = "6s", "10s";
        /// How often a group member says that it is alive; less than half of `session_timeout`.
        heartbeat_interval: Duration = ("2s, or a third of a shorter `session_timeout`"), "500ms";
        /// How long a group member may go without asking for records before its client leaves the group for it; with
        /// `protocol = "classic"` at least `session_timeout`.
        max_poll_interval: Duration = "5m", "10s";
    }
}

section! {
    /// How failed consumers and pools come back. The first restart is immediate.
    Restart {
        /// Delay before the second restart.
        backoff: Duration = "200ms", "1s";
        /// Factor from one delay to the next.
        factor: f64 = 2.0, 1.5;
        /// Longest delay.
        backoff_max: Duration = "30s", "10s";
        /// Each delay is spread by this share.
        jitter: f64 = 0.2, 0.1;
        /// Progress and so long without a failure reset the delay.
        stable: Duration = "1s", "5s";
        /// Failures without progress within `budget_window` after which a partition is given up.
        budget: u64 = 5, 3;
        /// See `budget`.
        budget_window: Duration = "2m", "1m";
    }
}

section! {
    /// When a consumer that says nothing counts as hung, and what is done about it.
    Watchdog {
        /// How long a consumer's thread may take to come round, outside the work on a record.
        poll: Duration = "5s", "2s";
        /// How long records may wait without one coming, while no trouble of the cluster is known.
        fetch: Duration = "30s", "10s";
        /// How long the thread of a consumer that was replaced may take to end before it is abandoned.
        close: Duration = "10s", "2s";
        /// Threads that may be abandoned at once; with more the run has failed.
        abandoned: u64 = 3, 0;
    }
}

section! {
    /// How long the parts of a run last, and its randomness.
    Run {
        /// Sent and accounted for, but not part of rates and latency.
        warmup: Duration = ("5s; 0s when `load.messages` are sent at `rate = \"max\"`"), "2s";
        /// The measured window; an upper bound when `load.messages` is set.
        duration: Duration = ("60s; 10m when `load.messages` are sent at `rate = \"max\"`"), "10s";
        /// How long consumers may take to read what is left after the last send.
        drain: Duration = "30s", "1m";
        /// How long broker, topic and consumers may take to be ready, all together.
        startup: Duration = "30s", "1m";
        /// Root of all randomness: the same seed gives the same schedule.
        seed: u64 = 1, 42;
    }
}

section! {
    /// When the tester itself has fallen short and a run is `INVALID`.
    Limits {
        /// Smallest share of the records due in the measured window that a paced run must send.
        achieved_min: f64 = 0.99, 0.95;
        /// Largest p99 of schedule lateness that is accepted without looking further.
        lateness_p99: Duration = "1ms", "5ms";
        /// Beyond that, the largest share of the response time's p50 it may be.
        lateness_share: f64 = 0.10, 0.25;
        /// Largest share of the CPUs it may use (those it is bound to, or the quota of its control groups) that
        /// this process may take.
        cpu_share: f64 = 0.80, 0.95;
        /// Gaps a lane (producer and partition) may have at once before the ledger gives up.
        lane_gaps: u64 = 4096, 65536;
    }
}

section! {
    /// The simulated cluster, network and machine, with `--broker sim`.
    Sim {
        /// Number of brokers.
        brokers: u64 = 3, 1;
        /// Cores of each broker.
        broker_cores: u64 = 4, 8;
        /// CPU time a broker needs for a request.
        request_cost: Duration = "40us", "100us";
        /// Shortest time a message is under way between a client and a broker.
        latency: Duration = "60us", "500us";
        /// Mean of what comes on top of `latency`, exponentially distributed.
        jitter: Duration = "20us", "2ms";
        /// Bytes a second that each connection of a client carries, in each direction.
        bandwidth: Bytes = ("unlimited"), "12MB";
        /// A broker that was silent for so long is given up by the controller, and others lead in its place
        /// (`broker.session.timeout.ms`).
        broker_session: Duration = "9s", "3s";
        /// A follower that was behind for so long leaves the in-sync replicas (`replica.lag.time.max.ms`).
        replica_lag_max: Duration = "30s", "2s";
        /// How often the controller lets preferred replicas that are in sync again lead
        /// (`leader.imbalance.check.interval.seconds`); `"0s"`: never (`auto.leader.rebalance.enable = false`).
        leader_balance: Duration = "5m", "10s";
        /// Whether a replica that is not in sync may lead when no other is left (`unclean.leader.election.enable`).
        unclean_elections: bool = false, true;
        /// What a consumer's client needs from its creation until it does anything: threads, configuration, name service.
        /// Fitted to librdkafka beside a local Kafka.
        client_start: Duration = "6500us", "0s";
        /// A client closes a connection on which nothing was answered for so long (`socket.timeout.ms`).
        request_timeout: Duration = "30s", "2s";
        /// How long a record may take until it is acknowledged (`message.timeout.ms`).
        message_timeout: Duration = "5m", "30s";
        /// How long a client waits before it tries again what failed (`retry.backoff.ms`); doubles up to ten times that.
        retry_backoff: Duration = "100ms", "20ms";
        /// Cores of the machine the consumers run on: `cpu` work queues for them, `wait` work does not.
        host_cores: u64 = 8, 2;
    }
}

section! {
    /// The cluster in this process, with `--broker embedded`.
    Embedded {
        /// Number of brokers.
        brokers: u64 = 1, 3;
    }
}

section! {
    /// The cluster to use with `--broker kafka`.
    Kafka {
        /// Comma-separated `host:port`. The option `--bootstrap` wins over it.
        bootstrap: String = ("given by `--bootstrap`"), "localhost:9092";
    }
}

words! {
    /// Which partition a record goes to.
    PartitionWord {
        /// Always the producer's own.
        Fixed = "fixed",
        /// One after the other.
        RoundRobin = "round-robin",
        /// Any.
        Random = "random",
        /// That of a random key.
        Keyed = "keyed",
    }
}

words! {
    /// How schedules are placed against each other.
    PhasesWord {
        /// Evenly.
        Uniform = "uniform",
        /// At random.
        Random = "random",
        /// At random, each gap by itself.
        Poisson = "poisson",
    }
}

words! {
    /// How many connections carry the producers.
    LoadClientsWord {
        /// One per pool.
        Pool = "pool",
        /// One per producer.
        Producer = "producer",
    }
}

words! {
    /// The acknowledgement a producer waits for.
    AcksWord {
        /// All in-sync replicas.
        All = "all",
        /// The leader.
        Leader = "leader",
        /// None.
        None = "none",
    }
}

words! {
    /// Compression of batches.
    CompressionWord {
        /// As they are.
        None = "none",
        /// gzip.
        Gzip = "gzip",
        /// snappy.
        Snappy = "snappy",
        /// lz4.
        Lz4 = "lz4",
        /// zstd.
        Zstd = "zstd",
    }
}

words! {
    /// How partitions come to consumers.
    ModeWord {
        /// Explicitly.
        Assigned = "assigned",
        /// Through a consumer group.
        Group = "group",
    }
}

words! {
    /// How many connections carry the consumers.
    ConsumerClientsWord {
        /// One per partition.
        PerPartition = "per-partition",
        /// One for all.
        Shared = "shared",
    }
}

words! {
    /// How long a member's place in its group lasts.
    MembershipWord {
        /// As long as its client.
        Dynamic = "dynamic",
        /// Until its session times out, whichever client it has.
        Static = "static",
    }
}

words! {
    /// How members and coordinator agree.
    ProtocolWord {
        /// JoinGroup and SyncGroup: a member deals out the partitions.
        Classic = "classic",
        /// ConsumerGroupHeartbeat (KIP-848): the broker does.
        Consumer = "consumer",
    }
}

words! {
    /// How a group deals out partitions.
    AssignorWord {
        /// Contiguous ranges.
        Range = "range",
        /// One by one.
        RoundRobin = "roundrobin",
        /// Keeps what it can.
        CooperativeSticky = "cooperative-sticky",
        /// Evenly, by the broker.
        Uniform = "uniform",
    }
}

words! {
    /// What happens to a record on which one incarnation after the other dies.
    PoisonWord {
        /// Its consumer is given up.
        Stop = "stop",
        /// It is passed over.
        Skip = "skip",
    }
}

words! {
    /// Where reading starts.
    StartWord {
        /// Behind what is there.
        End = "end",
        /// At the first record.
        Beginning = "beginning",
    }
}

words! {
    /// Where processed offsets are kept.
    CheckpointWord {
        /// In this process.
        Memory = "memory",
        /// In a file, too.
        File = "file",
        /// Committed, too.
        Commit = "commit",
    }
}
