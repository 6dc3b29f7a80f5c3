//! The sections of a scenario, key by key. The schema and the reference are generated from this file.
//!
//! Also the work for each record: `{ cpu = "50us" }`, fixed or random.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::payload::{HeaderTexts, Payload};
use super::stage::Stage;
use super::target::Target;
use super::{At, Diagnostic};
use crate::reader::section::{Section, section};
use crate::reader::tree::{Kind, Node};
use crate::reader::value::words;
use crate::reader::value::{Bytes, Field, Rate, Value, ValueContext, wrong_type};

section! {
    /// The topic under test. Retention and replication apply when the run creates it.
    Topic {
        /// Name. A topic that exists already is used as it is and never deleted; writing into it needs
        /// `--allow-existing-topic`.
        name: String = ("one of the run's own, `lanekeeper-<scenario>-<run>`"), "orders";
        /// Number of partitions. A topic that exists already must have exactly this number.
        partitions: u64 = 18, 36;
        /// Replicas of each partition. By default the simulator has three brokers and three replicas.
        replication_factor: u64 = ("1; on the simulator 3, at most `sim.brokers`"), 3;
        /// In-sync replicas that a record with `acks = "all"` needs (`min.insync.replicas`).
        min_insync_replicas: u64 = 1, 2;
        /// How long records are kept.
        retention: Duration = "1h", "30m";
        /// Bytes that are kept of each partition.
        retention_bytes: Bytes = "1GiB", "256MiB";
        /// Whether a topic this run created stays after the run.
        keep: bool = false, true;
        /// Interval between checks for new partitions, on a cluster whose topics can grow. Each new partition gets a
        /// consumer that reads from its first record on.
        discover: Duration = "5s", "1s";
    }
}

section! {
    /// The load: what is sent, and when.
    Load {
        /// Number of producers. A producer is a schedule, not a connection. With 0 the run sends nothing and reads what
        /// other producers write to an existing topic.
        producers: u64 = 1024, 60;
        /// Rate of each producer, or `"max"` for as fast as the client accepts records.
        rate: Rate = "2/s", "5/s";
        /// Rate of all producers together, instead of `rate`.
        rate_total: Rate = ("`producers` times `rate`"), "3000/s";
        /// Stages of the load, one after the other from the end of the warmup on, which itself has the load's rate. Each
        /// is a `[[load.stage]]`. They change the times at which records are due, and nothing about measuring.
        stage: Vec<At<Stage>> = ("none: the rate stays the same"), [{ for = "30s", step = "3000/s" }];
        /// Number of records that are written before the consumers start, as fast as the brokers take them. They go to
        /// partitions as the load's do. The load begins when the consumers are ready.
        backlog: u64 = ("none"), 100000;
        /// Total number of messages, after which the load ends; without those of `backlog`.
        messages: u64 = ("no limit"), 3000000;
        /// Size of each payload, including the stamp of 48 bytes. The client (999964B, unless `message.max.bytes` in
        /// `[client]` is set) and the broker limit it.
        payload: Payload = "100B", "1KiB";
        /// Text of each record's key, with placeholders. With `partition = "keyed"` it is the number of the key if it is not
        /// given; otherwise records have no key.
        key: String = ("`{{key}}` with `keyed`, otherwise none"), "customer-{{key}}";
        /// Headers of each record: a name, and a text with placeholders.
        headers: HeaderTexts = ("none"), { source = "shop", trace = "{{hex 32}}" };
        /// Partition of a record: `fixed` sends from producer i to partition i mod n; `{ only = 7 }` sends every record to
        /// partition 7.
        partition: Target = "fixed", "keyed";
        /// Number of distinct keys, with `partition = "keyed"`.
        keys: u64 = 1000, 50;
        /// Zipf exponent of the keys' weights, with `partition = "keyed"`; 0 is uniform.
        key_skew: f64 = ("0: uniform"), 0.9;
        /// Zipf exponent of the partitions' weights, with `random` and `keyed`; 0 is uniform.
        skew: f64 = 0.0, 1.1;
        /// How the schedules of the producers are offset against each other.
        phases: PhasesWord = "random", "uniform";
        /// Number of producer pools; each pool is a thread that sends for a share of the producers.
        pools: u64 = 1, 2;
        /// Client connections: one per `pool`, or one per `producer` (acknowledgements are not timed then).
        clients: LoadClientsWord = "pool", "producer";
        /// Replicas that must have a record before it is acknowledged (`acks`).
        acks: AcksWord = "all", "leader";
        /// Idempotent producer (`enable.idempotence`). Needs `acks = "all"`.
        idempotence: bool = true, false;
        /// How long a client waits for a batch to fill (`linger.ms`).
        linger: Duration = "0ms", "5ms";
        /// Compression of batches (`compression.type`).
        compression: CompressionWord = "none", "lz4";
        /// With `rate = "max"`: largest amount of unprocessed data in a partition.
        unprocessed_max: Bytes = ("2MiB on the embedded cluster, none on others"), "2MiB";
    }
}

section! {
    /// The consumers, and the time they need for a record.
    Consumers {
        /// `assigned`: consumer i reads partition i, always. `group`: a consumer group assigns the partitions.
        mode: ModeWord = "assigned", "group";
        /// Client connections in assigned mode: one `per-partition`, or one `shared` by all.
        clients: ConsumerClientsWord = "per-partition", "shared";
        /// Number of group members. Needed in group mode.
        count: u64 = ("the number of partitions in assigned mode"), 8;
        /// Whether a restarted group member keeps its partitions: a `static` member does if it is back within the
        /// session timeout (`group.instance.id`), a `dynamic` member does not.
        membership: MembershipWord = "dynamic", "static";
        /// The group's protocol: `classic`, or `consumer` (KIP-848; Kafka 4.0 or newer).
        protocol: ProtocolWord = "classic", "consumer";
        /// How a group assigns partitions (`partition.assignment.strategy`). With `protocol = "consumer"` the broker
        /// assigns them, by `uniform` or `range`.
        assignor: AssignorWord = ("range; the broker's choice with `protocol = \"consumer\"`"), "cooperative-sticky";
        /// Where reading starts: behind the records that exist before the run (`end`), or at the `beginning`.
        start: StartWord = "end", "beginning";
        /// Time to process a record.
        work: Work = ("nothing beyond verification"), { cpu = "50us" };
        /// Time to process a record of single partitions.
        work_of: WorkOf = ("none"), { 3 = { wait = "5ms" } };
        /// Largest number of records that are processed before they are counted and the checkpoint moves.
        batch: u64 = 256, 64;
        /// What to do with a record on which three starts of its consumer in a row fail: `stop` the consumer, or `skip` the record
        /// and report it.
        poison: PoisonWord = "stop", "skip";
        /// Where the offsets of processed records are kept in assigned mode: in `memory`; in a `file` as well, so that
        /// a later run continues there; or in memory and with a `commit` that other tools can see.
        checkpoint: CheckpointWord = "memory", "file";
        /// The file, with `checkpoint = "file"`. Each write replaces the whole file and syncs it to the disk.
        checkpoint_file: String = ("none"), "orders.checkpoint";
        /// Interval between checkpoints; there is one more at the end.
        checkpoint_interval: Duration = "1s", "250ms";
        /// The group for which checkpoints are committed, with `checkpoint = "commit"`.
        checkpoint_group: String = ("`lanekeeper-<scenario>`"), "orders";
        /// Interval between commits of a group member.
        commit_interval: Duration = "1s", "5s";
        /// How long a group member without heartbeats keeps its partitions (`session.timeout.ms`). With
        /// `protocol = "consumer"` the broker sets it, as it does the next one.
        session_timeout: Duration = "6s", "10s";
        /// Interval between heartbeats of a group member (`heartbeat.interval.ms`); less than half of
        /// `session_timeout`.
        heartbeat_interval: Duration = ("2s, or a third of a shorter `session_timeout`"), "500ms";
        /// How long a group member may take between two polls before its client leaves the group
        /// (`max.poll.interval.ms`); with `protocol = "classic"` at least `session_timeout`.
        max_poll_interval: Duration = "5m", "10s";
    }
}

section! {
    /// How failed consumers and pools are restarted. The first restart is immediate.
    Restart {
        /// Delay before the second restart.
        backoff: Duration = "200ms", "1s";
        /// Factor from one delay to the next.
        factor: f64 = 2.0, 1.5;
        /// Longest delay.
        backoff_max: Duration = "30s", "10s";
        /// Each delay is varied randomly by up to this share.
        jitter: f64 = 0.2, 0.1;
        /// Progress and this long without a failure reset the delay.
        stable: Duration = "1s", "5s";
        /// Number of failures without progress within `budget_window` after which a consumer is not restarted any more.
        budget: u64 = 5, 3;
        /// Window of `budget`.
        budget_window: Duration = "2m", "1m";
    }
}

section! {
    /// When a consumer counts as hung, and how it is replaced.
    Watchdog {
        /// Longest time between two polls of a consumer's thread, not counting the work on a record.
        poll: Duration = "5s", "2s";
        /// Longest time without a record although records wait, while the cluster reports no error.
        fetch: Duration = "30s", "10s";
        /// Longest time the thread of a replaced consumer may take to end before it is abandoned.
        close: Duration = "10s", "2s";
        /// Largest number of abandoned threads at a time; with more the run fails.
        abandoned: u64 = 3, 0;
    }
}

section! {
    /// Durations of the parts of a run, and its seed.
    Run {
        /// Warmup: records are sent and accounted for, but rates and latency leave them out.
        warmup: Duration = ("5s; 0s when `load.messages` are sent at `rate = \"max\"`"), "2s";
        /// Duration of the measured window; an upper bound when `load.messages` is set.
        duration: Duration = ("60s, or as long as all `[[load.stage]]`; 10m when `load.messages` are sent at `rate = \"max\"`"), "10s";
        /// Longest time for consumers to read the remaining records after the last send.
        drain: Duration = "30s", "1m";
        /// Longest time until broker, topic and consumers are all ready.
        startup: Duration = "30s", "1m";
        /// Interval of the distributions in `latency.hlog`. The intervals of `seconds.jsonl` stay as they are.
        latency_interval: Duration = ("1s; 10s on the simulator, or with more than 200 partitions"), "1m";
        /// Seed of all randomness: the same seed gives the same schedule.
        seed: u64 = 1, 42;
    }
}

section! {
    /// Limits of the load generator itself: beyond them a run is `INVALID`.
    Limits {
        /// Smallest share of the records due in the measured window that a paced run must send.
        sent_min was "achieved_min": f64 = 0.99, 0.95;
        /// Largest p99 of the delay of sends behind their schedule that is always accepted.
        lateness_p99: Duration = "1ms", "5ms";
        /// Above `lateness_p99`: the largest share of the response time's p50 that this delay may be.
        lateness_share: f64 = 0.10, 0.25;
        /// Largest share of its CPUs (its affinity mask, or the quota of its control groups) that this process may
        /// use.
        cpu_share: f64 = 0.80, 0.95;
        /// Largest number of gaps in one producer's sequence on one partition before the ledger stops counting.
        sequence_gaps was "lane_gaps": u64 = 4096, 65536;
    }
}

section! {
    /// The simulated cluster, network and machine, with `--broker sim`.
    Sim {
        /// Number of brokers.
        brokers: u64 = 3, 1;
        /// Cores of each broker.
        broker_cores: u64 = 4, 8;
        /// CPU time of a broker for each request.
        request_cost: Duration = "40us", "100us";
        /// Shortest one-way delay of a message between a client and a broker.
        latency: Duration = "60us", "500us";
        /// Mean of the exponentially distributed delay on top of `latency`.
        jitter: Duration = "20us", "2ms";
        /// Bytes per second that each client connection carries, in each direction.
        bandwidth: Bytes = ("unlimited"), "12MB";
        /// The controller fences a broker without heartbeats for this long, and other brokers become leaders
        /// (`broker.session.timeout.ms`).
        broker_session: Duration = "9s", "3s";
        /// A follower that is behind for this long leaves the in-sync replicas (`replica.lag.time.max.ms`).
        replica_lag_max: Duration = "30s", "2s";
        /// Interval at which the controller makes preferred replicas leaders again
        /// (`leader.imbalance.check.interval.seconds`); `"0s"`: never (`auto.leader.rebalance.enable = false`).
        leader_balance: Duration = "5m", "10s";
        /// Whether a replica that is not in sync may become leader when no other is left
        /// (`unclean.leader.election.enable`).
        unclean_elections: bool = false, true;
        /// In groups with `protocol = "consumer"`: how long a silent member keeps its partitions
        /// (`group.consumer.session.timeout.ms`).
        group_session_timeout: Duration = "45s", "6s";
        /// In groups with `protocol = "consumer"`: interval of heartbeats
        /// (`group.consumer.heartbeat.interval.ms`).
        group_heartbeat_interval: Duration = ("5s, at most a third of `sim.group_session_timeout`"), "2s";
        /// Time from the creation of a consumer's client to its first request: threads, configuration, name lookup.
        /// Fitted to librdkafka beside a local Kafka.
        client_start: Duration = "6500us", "0s";
        /// A client closes a connection on which a request is unanswered for this long (`socket.timeout.ms`).
        request_timeout: Duration = "30s", "2s";
        /// Longest time until a record is acknowledged (`message.timeout.ms`).
        message_timeout: Duration = "5m", "30s";
        /// Delay before a failed request is sent again (`retry.backoff.ms`); it doubles up to ten times this value.
        retry_backoff: Duration = "100ms", "20ms";
        /// Cores of the machine that runs the consumers: `cpu` work queues for them, `wait` work does not.
        host_cores: u64 = 8, 2;
    }
}

section! {
    /// The mock cluster in this process, with `--broker embedded`.
    Embedded {
        /// Number of brokers.
        brokers: u64 = 1, 3;
    }
}

section! {
    /// The cluster, with `--broker kafka`.
    Kafka {
        /// Comma-separated `host:port`. The option `--bootstrap` overrides it.
        bootstrap: String = ("given by `--bootstrap`"), "localhost:9092";
    }
}

words! {
    /// How schedules are offset against each other.
    PhasesWord {
        /// Evenly spread.
        Uniform = "uniform",
        /// Random offsets, fixed intervals.
        Random = "random",
        /// Exponentially distributed intervals (a Poisson process).
        Poisson = "poisson",
    }
}

words! {
    /// Client connections of the producers.
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
    /// Compression of batches (`compression.type`).
    CompressionWord {
        /// No compression.
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
    /// How consumers get their partitions.
    ModeWord {
        /// Explicit assignment (`assign()`).
        Assigned = "assigned",
        /// A consumer group (`subscribe()`).
        Group = "group",
    }
}

words! {
    /// Client connections of the consumers.
    ConsumerClientsWord {
        /// One per partition.
        PerPartition = "per-partition",
        /// One for all.
        Shared = "shared",
    }
}

words! {
    /// Membership in a group.
    MembershipWord {
        /// Ends with the client.
        Dynamic = "dynamic",
        /// Ends when the session times out; a new client of the same member continues it.
        Static = "static",
    }
}

words! {
    /// Protocol of the group.
    ProtocolWord {
        /// JoinGroup and SyncGroup: a member assigns the partitions.
        Classic = "classic",
        /// ConsumerGroupHeartbeat (KIP-848): the broker assigns the partitions.
        Consumer = "consumer",
    }
}

words! {
    /// How a group assigns partitions.
    AssignorWord {
        /// Contiguous ranges.
        Range = "range",
        /// Partitions in turn.
        RoundRobin = "roundrobin",
        /// Balanced, with as few moves as possible.
        CooperativeSticky = "cooperative-sticky",
        /// Balanced, by the broker.
        Uniform = "uniform",
    }
}

words! {
    /// What happens to a record on which its consumer fails repeatedly.
    PoisonWord {
        /// The consumer is stopped, and the run fails.
        Stop = "stop",
        /// The record is skipped and counted.
        Skip = "skip",
    }
}

words! {
    /// Where reading starts.
    StartWord {
        /// Behind the existing records.
        End = "end",
        /// At the first record.
        Beginning = "beginning",
    }
}

words! {
    /// Where processed offsets are kept.
    CheckpointWord {
        /// In memory only.
        Memory = "memory",
        /// In memory and in a file.
        File = "file",
        /// In memory, and committed to a group.
        Commit = "commit",
    }
}

section! {
    /// Time to process a record. Exactly one key is written.
    Work {
        /// Time for which each record occupies a core.
        cpu: Span = ("nothing"), "50us";
        /// Time each record waits without using a core, as for a database.
        wait: Span = ("nothing"), "5ms";
    }
}

section! {
    /// A span of time that is random: either `mean`, or `min` and `max`.
    RandomSpan {
        /// The mean of an exponential distribution.
        mean: Duration = ("none"), "50us";
        /// Minimum of a uniform distribution.
        min: Duration = ("none"), "40us";
        /// Maximum of a uniform distribution.
        max: Duration = ("none"), "60us";
    }
}

/// A duration, fixed or random.
#[derive(Clone, Debug, PartialEq)]
pub enum Span {
    /// A fixed duration.
    Fixed(Duration),
    /// A random duration.
    Random(Box<RandomSpan>),
}

impl Value for Span {
    fn wanted() -> String {
        "a duration, `{ mean = .. }` or `{ min = .., max = .. }`".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [Duration::schema(), RandomSpan::schema()]})
    }

    fn fields() -> &'static [Field] {
        RandomSpan::FIELDS
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Span> {
        match &node.kind {
            Kind::Text(_) => Duration::read(node, place, out).map(Span::Fixed),
            Kind::Table(_) => {
                RandomSpan::read(node, place, out).map(|span| Span::Random(Box::new(span)))
            }
            _ => {
                out.push(wrong_type::<Span>(node, place));
                None
            }
        }
    }
}

/// The work of single partitions.
pub type WorkOf = std::collections::BTreeMap<u32, At<Work>>;
