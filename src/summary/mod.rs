//! The result of a run: plain values, and at the same time the format of `result.json`.
//!
//! [`Summary`] is the whole of it. Terminal report, JSON and other views are all made from this one structure. Fields that
//! depend on the wall clock or on the machine may be `null`. A stored `result.json` is read with `serde_json`.

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

/// Version of the format. Raised when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: u32 = 4;

/// Everything a run found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Summary {
    /// Version of the format of this file.
    pub schema_version: u32,
    /// Version of the program.
    pub lanekeeper_version: String,
    /// How the run ended, and whether its expectations hold.
    pub verdict: Verdict,
    /// Why the figures are not to be believed; empty unless the verdict is `invalid`.
    pub invalid_reasons: Vec<String>,
    /// Name of the scenario.
    pub scenario: String,
    /// Values of `--set`, in their order.
    pub overrides: Vec<String>,
    /// How consumers get their partitions: `assigned` or `group`.
    pub mode: String,
    /// Number of consumers, or of members of the group.
    pub members: u32,
    /// Name of the user's handler; `null` when the scenario's `work` was done.
    #[serde(default)]
    pub handler: Option<String>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Tells this run's records from others.
    pub run_id: String,
    /// Kind of broker, as `--broker` names it.
    pub broker: String,
    /// Version of the broker; `null` for a real cluster, which does not tell it to clients.
    pub broker_version: Option<String>,
    /// The client library and its version.
    pub client: String,
    /// Effective client properties: `consumer.…` and `producer.…`, each with its origin.
    pub client_config: BTreeMap<String, ClientProperty>,
    /// The machine the run was made on.
    pub host: Host,
    /// Name of the topic.
    pub topic: String,
    /// Where this run went on; `null` when it started from scratch.
    #[serde(default)]
    pub resumed: Option<Resumed>,
    /// Wall-clock time at which the load began: all times in all files count from here. `null` in a simulation.
    #[serde(default)]
    pub load_started_at: Option<String>,
    /// Seconds from the run's epoch, which the stamps of its records count from, to the beginning of the load.
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
    /// Records due in the measured window; `null` at maximum rate.
    #[serde(default)]
    pub offered: Option<u64>,
    /// Of the records due in the measured window, those that were sent; `null` at maximum rate.
    #[serde(default)]
    pub offered_sent: Option<u64>,
    /// Records due in the measured window per second; `null` at maximum rate.
    pub offered_per_s: Option<f64>,
    /// Bytes of the keys, values and headers of these records per second; where their sizes vary, by the mean of 200 records
    /// that are made beforehand. `null` at maximum rate.
    #[serde(default)]
    pub offered_bytes_per_s: Option<f64>,
    /// Records per second processed: in the measured window, or, at maximum rate, from the first send
    /// to the last record processed.
    pub achieved_per_s: f64,
    /// Bytes of keys, values and headers processed per second, over the same time.
    #[serde(default)]
    pub achieved_bytes_per_s: f64,
    /// Whether consumers process the records that are sent, and the cluster takes those that are due; `null` at maximum
    /// rate.
    #[serde(default)]
    pub keeps_up: Option<bool>,
    /// Errors of the sending clients, each with the number of its occurrences.
    #[serde(default)]
    pub send_errors: BTreeMap<String, u64>,
    /// Partitions whose consumers do not keep up.
    #[serde(default)]
    pub overloaded: Vec<Overload>,
    /// Records due in the measured window that were not processed: quantiles of latency are lower bounds if there are
    /// any.
    #[serde(default)]
    pub not_processed: u64,
    /// Records that a fault kept from being sent; they are failed or indeterminate on purpose.
    #[serde(default)]
    pub withheld: u64,
    /// The side that limited the rate: `producer`, `broker` or `consumers`; `null` unless the load is at maximum rate.
    pub bottleneck: Option<String>,
    /// Consumers that became ready.
    pub consumers_started: u32,
    /// Records found on, or read by the consumer of, a partition they were not sent to.
    pub wrong_partition: u64,
    /// Records of partitions that a second process has read at the same time.
    #[serde(default)]
    pub two_owners: u64,
    /// Restarts of consumers, all together.
    pub restarts: u32,
    /// Consumers that were given up, with the reason.
    pub given_up: BTreeMap<u32, String>,
    /// Threads of consumers that were given up and had not ended when the run did.
    #[serde(default)]
    pub abandoned_threads: u32,
    /// Records of fenced consumers, which were dropped.
    pub fenced: u64,
    /// Largest number of gaps a lane had at once.
    pub lane_gaps_max: u64,
    /// Milliseconds from the start of the consumers until the last one was ready.
    pub startup_ms: Option<f64>,
    /// Latency of all partitions merged.
    pub latency_us: RunLatency,
    /// Requests of the native client on a real or an embedded cluster; `null` with librdkafka, which does not tell their
    /// times, and in a simulation.
    #[serde(default)]
    pub requests: Option<ClientRequests>,
    /// How records were sent, and what their batches came to; `null` if the run sent none.
    #[serde(default)]
    pub sending: Option<Sending>,
    /// Counts that only some runs have, by the name of their metric.
    #[serde(default)]
    pub figures: BTreeMap<String, u64>,
    /// Figures that are missing or `null` because they could not be measured rightly, by their place in the result, each
    /// with the reason.
    #[serde(default)]
    pub not_measured: BTreeMap<String, String>,
    /// Send delay in microseconds: actual send - intended send.
    pub lateness_us: Digest,
    /// The account of the whole run, warmup included.
    pub ledger: Ledger,
    /// How evenly load and latency are spread over the partitions.
    pub fairness: Fairness,
    /// The backlog that was there when the consumers started; `null` without `load.backlog`.
    #[serde(default)]
    pub backlog: Option<BacklogSummary>,
    /// One entry per stage of the load that the run came to; empty if the load has no stages.
    #[serde(default)]
    pub stages: Vec<StageSummary>,
    /// The first ten records of which a count tells that ought to be 0.
    #[serde(default)]
    pub wrong_records: Vec<WrongRecord>,
    /// One entry per partition, by id.
    pub partitions: Vec<PartitionSummary>,
    /// The ten slowest records of those due in the measured window that were processed, the slowest first.
    #[serde(default)]
    pub slowest_records: Vec<SlowRecord>,
    /// Partitions that were added while the run went on.
    #[serde(default)]
    pub growth: Vec<Growth>,
    /// Rebalances after the group was complete.
    pub rebalances: Vec<Rebalance>,
    /// Stretches in which the cluster was taken to be down.
    #[serde(default)]
    pub outages: Vec<Outage>,
    /// One entry per occurrence of a fault, in the order of their times.
    pub faults: Vec<FaultSummary>,
    /// Failures that were not planned, in the order of their times.
    #[serde(default)]
    pub failures: Vec<FailureSummary>,
    /// Records processed again without a restart or a change of owner before it: there should be none.
    #[serde(default, alias = "unexplained")]
    pub unexpected_redelivered: u64,
    /// Offsets passed over without a record, between records and at the ends of partitions: transaction markers, aborted
    /// and compacted records, or some that were never seen.
    #[serde(default)]
    pub offset_gaps: u64,
    /// One entry per expectation, in the scenario's order.
    pub expectations: Vec<ExpectationSummary>,
    /// CPU time, memory, threads and sockets of this process.
    pub cost: Cost,
    /// Figures that only a simulation has; `null` in real time.
    #[serde(default)]
    pub simulation: Option<Simulation>,
    /// The processes that have made the run together; `null` of a run in one process.
    #[serde(default)]
    pub shares: Option<SharesSummary>,
    /// What a reader should know, each with what to do about it.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Whether the measured window had begun; a run that is interrupted in its warmup has one of a nanosecond.
    pub fn measured_something(&self) -> bool {
        self.duration_s > 1e-6
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation holds.
    #[default]
    Passed,
    /// At least one expectation does not hold.
    Failed,
    /// The load generator did not send every record that was due, or was too late or too busy to measure.
    Invalid,
    /// The user stopped the run; the figures until then are kept.
    Interrupted,
    /// The process ended before the run did, by SIGKILL for example; the figures of the last full second are kept.
    CutOff,
}

/// A property of a client: the value that held, who set it, and what was set and did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ClientProperty {
    /// The value that held; `(hidden)` if it comes from outside the scenario, `null` if the client was given none.
    pub value: Option<String>,
    /// Where the value, or the decision against one, comes from.
    pub origin: PropertyOrigin,
    /// Values that this one overruled, the strongest last.
    pub overruled: Vec<OverruledProperty>,
}

/// A value of a property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OverruledProperty {
    /// The value; `(hidden)` if it comes from outside the scenario.
    pub value: String,
    /// Where the value comes from.
    pub origin: PropertyOrigin,
}

/// Where the value of a client's property comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PropertyOrigin {
    /// The client's own default, or what it makes of other properties.
    Client,
    /// lanekeeper: a default of its own, or what a key of the scenario outside `[client]` means.
    Lanekeeper,
    /// `[client]` of the scenario.
    Scenario,
    /// The file given by `--client-config`.
    ClientFile,
    /// A `LANEKEEPER_CLIENT_…` variable.
    Environment,
}

/// A simulation: with the same program, scenario and seed it is the same again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Simulation {
    /// Virtual time in all, startup and drain included, in nanoseconds.
    pub virtual_ns: i64,
    /// Number of events.
    pub events: u64,
    /// Hash over all events, hexadecimal.
    pub trace: String,
    /// Commits a coordinator took that were beyond what was processed, or behind what had been committed.
    #[serde(default)]
    pub miscommitted: u64,
    /// Partitions a generation's leader gave to two members.
    #[serde(default)]
    pub shared: u64,
    /// Commits a coordinator refused.
    #[serde(default)]
    pub refused_commits: u64,
}

/// An earlier run whose checkpoint file this one went on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Resumed {
    /// The file, as the scenario names it.
    pub file: String,
    /// The run that wrote it last.
    pub run_id: String,
    /// Partitions with a checkpoint in it.
    pub partitions: usize,
    /// Offsets between the checkpoints and the partitions' ends when this run began.
    pub behind: u64,
}

/// Latency of the run and its parts, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RunLatency {
    /// Processed - intended send.
    pub response: Digest,
    /// The same with the records due in the window that were not processed, at their age when the run ended; `null`
    /// when all were processed, or when their times are not known.
    #[serde(default)]
    pub response_with_unprocessed: Option<Digest>,
    /// Processed - actual send.
    pub service: Digest,
    /// Send -> acknowledgement, of all records sent in the measured window and acknowledged; `null` where that cannot
    /// be measured rightly, see [`Summary::not_measured`].
    pub ack: Option<Digest>,
    /// Send -> in the consumer's client; `null` where the client does not say.
    pub fetch: Option<Digest>,
    /// In the client, behind other records, until handling begins; `null` where the client does not say.
    pub waiting: Option<Digest>,
    /// Send -> handling begins; `null` where the client tells `fetch` and `waiting` apart.
    pub handed_over: Option<Digest>,
    /// Handling begins -> processed.
    pub handling: Digest,
    /// How the values of `response` are distributed; `null` without values.
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

/// Spread over partitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Fairness {
    /// Standard deviation over mean of the partitions' rates.
    pub rate_cv: Option<f64>,
    /// Largest p99 over the median of the partitions' p99s (response time).
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
    /// When it was found, in seconds since the load began; `null` if it was there from the start.
    #[serde(default)]
    pub added_s: Option<f64>,
    /// The consumer that had it last.
    pub consumer: Option<u32>,
    /// All consumers that had it, in order.
    pub owners: Vec<OwnerSummary>,
    /// Distinct records processed that were intended in the measured window.
    pub delivered: u64,
    /// Records due in the measured window per second, from when it was found if that was within the window; `null` at
    /// maximum rate.
    pub offered_per_s: Option<f64>,
    /// Distinct records processed in the measured window per second; at maximum rate in the whole transfer.
    pub processed_per_s: f64,
    /// Bytes of their keys, values and headers per second.
    pub processed_bytes_per_s: f64,
    /// Standard deviation over mean of the per-second rates.
    pub rate_cv: Option<f64>,
    /// Latency of the partition.
    pub latency_us: PartitionLatency,
    /// Largest lag in the measured window, in records.
    pub lag_max: u64,
    /// Longest time in the measured window in which records waited and none was processed, in milliseconds.
    pub longest_stall_ms: f64,
    /// Where its response time went.
    #[serde(default)]
    pub time: TimeParts,
    /// Its three slowest records of those due in the measured window that were processed, the slowest first.
    #[serde(default)]
    pub slowest: Vec<SlowRecord>,
    /// Which brokers had it, with each change over the run; `null` where that is not known, see
    /// [`Summary::not_measured`].
    #[serde(default)]
    pub leadership: Option<Vec<Leadership>>,
    /// Number of restarts of its consumer.
    pub restarts: u32,
    /// CPU seconds of its consumer; see `apportioned`.
    pub cpu_s: Option<f64>,
    /// Memory of its consumer in bytes; see `apportioned`.
    pub memory_bytes: Option<u64>,
    /// Which of `cpu_s` and `memory_bytes` are shares of a figure that the system only tells for all consumers together.
    pub apportioned: Vec<String>,
    /// The account of the partition, warmup included.
    pub ledger: Ledger,
}

/// Partitions that were added while the run went on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Growth {
    /// When they were found, in seconds since the load began.
    pub at_s: f64,
    /// How many partitions there were before.
    pub from: u32,
    /// How many there are since.
    pub to: u32,
}

/// A consumer that had a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OwnerSummary {
    /// Id of the consumer.
    pub consumer: u32,
    /// Which of its starts: 1 for the first one, one more for each restart.
    #[serde(alias = "incarnation")]
    pub start: u32,
    /// From when, in seconds since the load began; negative before.
    pub from_s: f64,
    /// Until when, in seconds since the load began; `null` if it had the partition at the end.
    pub to_s: Option<f64>,
}

/// A partition whose consumer does not keep up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Overload {
    /// Id of the partition.
    pub partition: u32,
    /// The consumer that had it last.
    pub consumer: Option<u32>,
    /// Records due per second.
    pub offered_per_s: f64,
    /// Mean time to process a record in milliseconds; `null` if the records cost no work.
    pub handling_ms: Option<f64>,
    /// Consumers it would need: records per second times the time for each. `null` if that time is not known.
    pub consumers_needed: Option<f64>,
}

/// One expectation and what was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ExpectationSummary {
    /// The figure and its bound, as written.
    pub expression: String,
    /// What was measured, in `unit`; `null` if nothing was, see `reason`. Of `keeps_up`, 1 or 0.
    pub measured: Option<f64>,
    /// `ms` for times, `count`, or `number`.
    pub unit: String,
    /// The measured value as text, with its unit.
    pub text: Option<String>,
    /// Why nothing was measured, or what led to a failure.
    pub reason: Option<String>,
    /// The partition that decided, for expectations about each partition.
    pub partition: Option<u32>,
    /// Whether it holds.
    pub passed: bool,
    /// Whether it could be judged; `false` for what an interrupted run did not reach.
    pub judged: bool,
    /// Whether it is one that every run has unless its scenario names the figure.
    pub is_default: bool,
}
