//! The result of a run: plain values, and at the same time the format of `result.json`.
//!
//! The terminal report, JSON and all other outputs are made from one [`Summary`]. Fields that depend on the wall clock
//! or on the machine may be `null`. A stored `result.json` is read with `serde_json`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod backlog;
mod figure;
mod host;
mod metric;
mod metrics;
mod overload;
mod parts;
mod requests;
mod sending;
mod shares;
mod times;

pub use backlog::{BacklogPartition, BacklogSummary};
#[cfg_attr(doc, doc(hidden))]
pub use figure::{Figure, Scope};
pub use host::Host;
#[cfg_attr(doc, doc(hidden))]
pub use host::HostRecord;
#[cfg_attr(doc, doc(hidden))]
pub use metric::{Better, Get, Metric, Need, Part, Quantile, Total, Unit};
pub(crate) use metrics::condition;
#[cfg_attr(doc, doc(hidden))]
pub use metrics::{METRICS, metrics_markdown};
pub(crate) use overload::{BusyMember, member_arithmetic, partition_arithmetic};
pub use parts::{Buckets, Cost, Digest, Ledger, Outage, Rebalance, StageSummary};
pub use parts::{FailureSummary, FaultPartition, FaultSummary, LagAfter, Others, RecoverySummary};
pub use requests::{ClientRequests, RequestSizes};
pub use sending::Sending;
pub use shares::{ShareState, ShareSummary, SharesSummary};
pub use times::{Leadership, SlowRecord, TimePart, TimeParts, WrongRecord};

/// Version of the format. It is raised when a field changes its meaning or is removed, not when one is added.
pub const SCHEMA_VERSION: u32 = 4;

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Summary {
    /// Version of the format of this file.
    pub schema_version: u32,
    /// Version of the program.
    pub lanekeeper_version: String,
    /// How the run ended, and whether its expectations hold.
    pub verdict: Verdict,
    /// Reasons why the figures are not reliable. A run that has failed or was interrupted can have some as well.
    pub invalid_reasons: Vec<String>,
    /// Name of the scenario.
    pub scenario: String,
    /// Values of `--set`, in their order.
    pub overrides: Vec<String>,
    /// How consumers get their partitions: `assigned` or `group`.
    pub mode: String,
    /// Number of consumers, or of members of the group.
    pub members: u32,
    /// Name of the user's handler; `null` if the scenario's `work` was done instead.
    #[serde(default)]
    pub handler: Option<String>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Id of the run, which the stamp of each of its records contains.
    pub run_id: String,
    /// Kind of broker, as `--broker` names it.
    pub broker: String,
    /// Version of the broker; `null` for a real cluster, which does not report it to clients.
    pub broker_version: Option<String>,
    /// The client library and its version.
    pub client: String,
    /// Effective client properties: `consumer.…` and `producer.…`, each with its origin.
    pub client_config: BTreeMap<String, ClientProperty>,
    /// The machine of the run.
    pub host: Host,
    /// Name of the topic.
    pub topic: String,
    /// The earlier run that this one continues; `null` if there is none.
    #[serde(default)]
    pub resumed: Option<Resumed>,
    /// Wall-clock time at which the load began; `null` in a simulation. All times in all files count from it.
    #[serde(default)]
    pub load_started_at: Option<String>,
    /// Seconds from the run's epoch to the beginning of the load. Times in the stamps of records count from the epoch.
    #[serde(default)]
    pub epoch_to_load_s: f64,
    /// Planned length of the load in seconds, warmup included.
    #[serde(default)]
    pub planned_load_s: f64,
    /// Length of the load in seconds, warmup included.
    #[serde(default)]
    pub load_lasted_s: f64,
    /// Length of the measured window in seconds.
    pub duration_s: f64,
    /// Records due in the measured window; `null` at maximum rate, and if the run sends none.
    #[serde(default)]
    pub offered: Option<u64>,
    /// Records due in the measured window that were sent; `null` where `offered` is.
    #[serde(default)]
    pub offered_sent: Option<u64>,
    /// Records due per second in the measured window; `null` where `offered` is.
    pub offered_per_s: Option<f64>,
    /// Bytes of the keys, values and headers of these records per second; `null` where `offered` is. If their sizes
    /// vary, it is made from the mean size of sample records.
    #[serde(default)]
    pub offered_bytes_per_s: Option<f64>,
    /// Records processed per second: in the measured window, or, at maximum rate, from the first send to the last
    /// processed record.
    pub achieved_per_s: f64,
    /// Bytes of keys, values and headers processed per second, over the same time.
    #[serde(default)]
    pub achieved_bytes_per_s: f64,
    /// True if consumers process the records that are sent, and the cluster takes those that are due. `null` at maximum
    /// rate, and in a run that was cut off or stopped before the measured window.
    #[serde(default)]
    pub keeps_up: Option<bool>,
    /// Errors of the producers' clients, each with its number of occurrences.
    #[serde(default)]
    pub send_errors: BTreeMap<String, u64>,
    /// Partitions whose consumers do not keep up.
    #[serde(default)]
    pub overloaded: Vec<Overload>,
    /// Records due in the measured window that were not processed. If there are any, the quantiles of latency are lower
    /// bounds.
    #[serde(default)]
    pub not_processed: u64,
    /// Records that a fault kept from being sent. They count as failed or indeterminate.
    #[serde(default)]
    pub withheld: u64,
    /// The side that limited the rate: `producer`, `broker` or `consumers`; `null` unless the load is at maximum rate.
    pub bottleneck: Option<String>,
    /// Consumers that became ready.
    pub consumers_started: u32,
    /// Records read from a partition to which they were not sent, or read by the consumer of another partition.
    pub wrong_partition: u64,
    /// Records of partitions that a second process read at the same time.
    #[serde(default)]
    pub two_owners: u64,
    /// Number of restarts of all consumers.
    pub restarts: u32,
    /// Consumers that were given up, by id, with the reason.
    pub given_up: BTreeMap<u32, String>,
    /// Threads of given-up consumers that had not ended at the end of the run.
    #[serde(default)]
    pub abandoned_threads: u32,
    /// Records that fenced consumers had processed, which do not count.
    pub fenced: u64,
    /// Largest number of gaps in the sequence numbers of a lane at a time.
    pub lane_gaps_max: u64,
    /// Milliseconds from the start of the consumers until the last one was ready.
    pub startup_ms: Option<f64>,
    /// Latency of all partitions merged.
    pub latency_us: RunLatency,
    /// Requests of the native client on a real or an embedded cluster; `null` in a simulation, and with librdkafka,
    /// which does not report their times.
    #[serde(default)]
    pub requests: Option<ClientRequests>,
    /// Settings of sending, with the number and size of the batches; `null` if the run sent none.
    #[serde(default)]
    pub sending: Option<Sending>,
    /// Counts that only some runs have, by the name of their metric.
    #[serde(default)]
    pub figures: BTreeMap<String, u64>,
    /// Figures that are missing or `null` because they could not be measured correctly: the place in the result, and
    /// the reason.
    #[serde(default)]
    pub not_measured: BTreeMap<String, String>,
    /// Send delay in microseconds: actual send - intended send.
    pub lateness_us: Digest,
    /// The account of the whole run, warmup included.
    pub ledger: Ledger,
    /// Spread of rates and latency over the partitions.
    pub fairness: Fairness,
    /// The backlog that the topic had when the consumers started; `null` without `load.backlog`.
    #[serde(default)]
    pub backlog: Option<BacklogSummary>,
    /// One entry per stage of the load that began; empty if the load has no stages.
    #[serde(default)]
    pub stages: Vec<StageSummary>,
    /// The first ten records in counts that should be 0. Of lost records, there is at most one per partition.
    #[serde(default)]
    pub wrong_records: Vec<WrongRecord>,
    /// One entry per partition, by id.
    pub partitions: Vec<PartitionSummary>,
    /// The ten slowest records of those due in the measured window that were processed, the slowest first.
    #[serde(default)]
    pub slowest_records: Vec<SlowRecord>,
    /// Partitions that were added during the run.
    #[serde(default)]
    pub growth: Vec<Growth>,
    /// Rebalances after the group was complete.
    pub rebalances: Vec<Rebalance>,
    /// Times in which the supervisor considered the cluster down.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// One entry per occurrence of a fault, in the order of their times.
    pub faults: Vec<FaultSummary>,
    /// Failures that were not planned, in the order of their times.
    #[serde(default)]
    pub failures: Vec<FailureSummary>,
    /// Records processed again without an earlier restart or change of owner. It should be 0.
    #[serde(default, alias = "unexplained")]
    pub unexpected_redelivered: u64,
    /// Offsets without a record that consumers passed, between records and at the ends of partitions. They belong to
    /// transaction markers, to aborted or compacted records, or to records that were not read.
    #[serde(default)]
    pub offset_gaps: u64,
    /// One entry per expectation, in the scenario's order.
    pub expectations: Vec<ExpectationSummary>,
    /// CPU time, memory, threads and sockets of this process.
    pub cost: Cost,
    /// Figures that only a simulation has; `null` in real time.
    #[serde(default)]
    pub simulation: Option<Simulation>,
    /// The processes that made the run together; `null` for a run in one process.
    #[serde(default)]
    pub shares: Option<SharesSummary>,
    /// Warnings, each with its remedy.
    pub warnings: Vec<String>,
}

impl Summary {
    /// True if the measured window had begun. A run that is interrupted in its warmup has a window of a nanosecond.
    pub fn measured_something(&self) -> bool {
        self.duration_s > 1e-6
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation holds, and the figures are reliable.
    #[default]
    Passed,
    /// An expectation does not hold, a consumer was given up, or more threads were abandoned than allowed.
    Failed,
    /// The figures are not reliable. For example, the load generator did not send every record that was due, or was too
    /// late or too busy to measure.
    Invalid,
    /// The user stopped the run; the figures until then are kept.
    Interrupted,
    /// The process ended before the run, for example by SIGKILL; the figures of the last full second are kept.
    CutOff,
}

/// A property of a client: its effective value, the origin of the value, and the values that it overrides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ClientProperty {
    /// The effective value; `(hidden)` if it comes from outside the scenario, `null` if the client was given none.
    pub value: Option<String>,
    /// Origin of the value, or of the decision to give none.
    pub origin: PropertyOrigin,
    /// Values that this one overrides, the one with the highest precedence last.
    pub overruled: Vec<OverruledProperty>,
}

/// A value of a property that another one overrides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OverruledProperty {
    /// The value; `(hidden)` if it comes from outside the scenario.
    pub value: String,
    /// Origin of the value.
    pub origin: PropertyOrigin,
}

/// The origin of a value of a client's property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PropertyOrigin {
    /// The client: its default, or a value that it derives from other properties.
    Client,
    /// lanekeeper: its default, or the meaning of a key of the scenario outside `[client]`.
    Lanekeeper,
    /// `[client]` of the scenario.
    Scenario,
    /// The file given by `--client-config`.
    ClientFile,
    /// A `LANEKEEPER_CLIENT_…` variable.
    Environment,
}

/// Figures of a simulation. The same program, scenario and seed give the same figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Simulation {
    /// Virtual time of the run in nanoseconds, startup and drain included.
    pub virtual_ns: i64,
    /// Number of events.
    pub events: u64,
    /// Hash over all events, in hexadecimal digits.
    pub trace: String,
    /// Commits that a coordinator accepted although they were beyond the processed records, or before an earlier
    /// commit.
    #[serde(default)]
    pub miscommitted: u64,
    /// Partitions that were assigned to two members in one generation or, in a group of the consumer protocol, to a
    /// member while another one owned them.
    #[serde(default)]
    pub shared: u64,
    /// Commits that a coordinator rejected.
    #[serde(default)]
    pub refused_commits: u64,
}

/// An earlier run that this one continues from its checkpoint file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Resumed {
    /// The file, as the scenario names it.
    pub file: String,
    /// The run that wrote it last.
    pub run_id: String,
    /// Number of partitions with a checkpoint in the file.
    pub partitions: usize,
    /// Sum of the offsets between the checkpoints and the ends of the partitions when this run began.
    pub behind: u64,
}

/// Latency of the run and its parts, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RunLatency {
    /// Processed - intended send.
    pub response: Digest,
    /// `response` with the records due in the measured window that were not processed, by their age at the end of the
    /// run; `null` if all were processed, or if their times are not known.
    #[serde(default)]
    pub response_with_unprocessed: Option<Digest>,
    /// Processed - actual send.
    pub service: Digest,
    /// Send -> acknowledgement, of the records sent in the measured window and acknowledged; `null` where that cannot
    /// be measured correctly, see [`Summary::not_measured`].
    pub ack: Option<Digest>,
    /// Send -> arrival in the consumer's client; `null` where the client does not report it.
    pub fetch: Option<Digest>,
    /// Arrival in the client -> handling begins, behind other records; `null` where the client does not report it.
    pub waiting: Option<Digest>,
    /// Send -> handling begins; `null` where the client reports `fetch` and `waiting`.
    pub handed_over: Option<Digest>,
    /// Handling begins -> processed.
    pub handling: Digest,
    /// Distribution of the values of `response`; `null` without values.
    #[serde(default)]
    pub response_buckets: Option<Buckets>,
}

/// Latency of one partition, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PartitionLatency {
    /// Processed - intended send.
    pub response: Digest,
    /// Processed - actual send.
    pub service: Digest,
}

/// Spread over partitions. A field is `null` where it has too few values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Fairness {
    /// Standard deviation of the partitions' rates, divided by their mean.
    pub rate_cv: Option<f64>,
    /// Largest p99 of a partition's response time, divided by the median of all of them.
    pub p99_max_over_median: Option<f64>,
    /// The partition with the largest p99.
    pub worst_partition: Option<u32>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PartitionSummary {
    /// Id of the partition.
    pub partition: u32,
    /// Time at which it was found, in seconds since the load began; `null` if the topic had it from the start.
    #[serde(default)]
    pub added_s: Option<f64>,
    /// The consumer that had it last; `null` if none had it.
    pub consumer: Option<u32>,
    /// All consumers that had it, in order.
    pub owners: Vec<OwnerSummary>,
    /// Distinct records processed that were due in the measured window.
    pub delivered: u64,
    /// Records due per second in the measured window, or in the part of it after the partition was found; `null` at
    /// maximum rate, and if the run sends none.
    pub offered_per_s: Option<f64>,
    /// Distinct records processed per second in the measured window, or, at maximum rate, in the whole transfer.
    pub processed_per_s: f64,
    /// Bytes of keys, values and headers processed per second, over the same time.
    pub processed_bytes_per_s: f64,
    /// Standard deviation of the per-second rates, divided by their mean.
    pub rate_cv: Option<f64>,
    /// Latency of the partition.
    pub latency_us: PartitionLatency,
    /// Largest lag in the measured window, in records.
    pub lag_max: u64,
    /// Longest time in the measured window in which records waited and none was processed, in milliseconds.
    pub longest_stall_ms: f64,
    /// The parts of its response time.
    #[serde(default)]
    pub time: TimeParts,
    /// Its three slowest records that were due in the measured window and processed, the slowest first.
    #[serde(default)]
    pub slowest: Vec<SlowRecord>,
    /// Its leader and replicas, with each change during the run; `null` where that is not known, see
    /// [`Summary::not_measured`].
    #[serde(default)]
    pub leadership: Option<Vec<Leadership>>,
    /// Number of restarts of the consumer that had it last.
    pub restarts: u32,
    /// CPU seconds of its consumer; `null` if not known. See `apportioned`.
    pub cpu_s: Option<f64>,
    /// Memory of its consumer in bytes; `null` if not known. See `apportioned`.
    pub memory_bytes: Option<u64>,
    /// Which of `cpu_s` and `memory_bytes` are shares of a figure of several partitions or consumers.
    pub apportioned: Vec<String>,
    /// The account of the partition, warmup included.
    pub ledger: Ledger,
}

/// Partitions that were added during the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Growth {
    /// Time at which they were found, in seconds since the load began.
    pub at_s: f64,
    /// Number of partitions before.
    pub from: u32,
    /// Number of partitions afterwards.
    pub to: u32,
}

/// A consumer that had a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OwnerSummary {
    /// Id of the consumer.
    pub consumer: u32,
    /// Number of the consumer's start: 1 for the first one, one more for each restart.
    #[serde(alias = "incarnation")]
    pub start: u32,
    /// Beginning of the ownership, in seconds since the load began; negative before.
    pub from_s: f64,
    /// End of the ownership, in seconds since the load began; `null` if it lasted until the end of the run.
    pub to_s: Option<f64>,
}

/// A partition whose consumer does not keep up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Overload {
    /// Id of the partition.
    pub partition: u32,
    /// The consumer that had it last; `null` if none had it.
    pub consumer: Option<u32>,
    /// Records due per second.
    pub offered_per_s: f64,
    /// Mean time to process a record in milliseconds; `null` if it is 0 or not known.
    pub handling_ms: Option<f64>,
    /// Number of consumers that it needs: records due per second, times the mean time for each; `null` without that
    /// time.
    pub consumers_needed: Option<f64>,
}

/// An expectation and its measured value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ExpectationSummary {
    /// The figure and its bound, as the scenario has them.
    pub expression: String,
    /// The measured value in `unit`; `null` if nothing was measured, see `reason`. For `keeps_up` it is 1 or 0.
    pub measured: Option<f64>,
    /// `ms` for times, otherwise `count` or `number`.
    pub unit: String,
    /// The measured value as text, with its unit; `null` if nothing was measured.
    pub text: Option<String>,
    /// If the expectation does not hold: the reason why nothing was measured, or the cause of the value if it is known.
    pub reason: Option<String>,
    /// The partition with the worst value; `null` for figures that are not about partitions.
    pub partition: Option<u32>,
    /// True if the expectation holds.
    pub passed: bool,
    /// True if the expectation could be judged; `false` for a figure that an interrupted run did not reach.
    pub judged: bool,
    /// True for an expectation that every run has unless its scenario names the figure.
    pub is_default: bool,
}
