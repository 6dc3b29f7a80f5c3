//! The result of a run: plain values, and at the same time the format of `result.json`.
//!
//! Terminal report, JSON and later views are all made from this one structure. Fields that depend on the
//! wall clock or on the machine may be `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod figure;
mod metric;
mod metrics;
mod parts;

pub use figure::{Figure, Scope};
pub use metric::{Better, Get, Metric, Need, Part, Quantile, Total, Unit};
pub use metrics::{METRICS, metrics_markdown};
pub use parts::{Cost, Digest, Ledger, Outage, Rebalance};
pub use parts::{FailureSummary, FaultPartition, FaultSummary, LagAfter, Others, RecoverySummary};

/// Version of the format. Raised when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA_VERSION: u32 = 4;

/// Everything a run found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub lanekeeper_version: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why the figures are not to be believed; empty unless the verdict is `invalid`.
    pub invalid_reasons: Vec<String>,
    /// The scenario's name.
    pub scenario: String,
    /// `--set` overrides.
    pub overrides: Vec<String>,
    /// `assigned` or `group`.
    pub mode: String,
    /// Consumers or group members.
    pub members: u32,
    /// Name of the user's handler; `null` when the scenario's `work` was done.
    #[serde(default)]
    pub handler: Option<String>,
    /// Root of all randomness.
    pub seed: u64,
    /// Tells this run's records from others.
    pub run_id: String,
    /// `embedded` or `kafka`.
    pub broker: String,
    /// What is known about the broker's version.
    pub broker_version: Option<String>,
    /// The client library and its version.
    pub client: String,
    /// Effective client properties: `consumer.…` and `producer.…`, each with its origin.
    pub client_config: BTreeMap<String, ClientProperty>,
    /// The machine the run was made on.
    pub host: Host,
    /// The topic.
    pub topic: String,
    /// Where this run went on; `null` when it began anew.
    #[serde(default)]
    pub resumed: Option<Resumed>,
    /// Wall-clock time at which the load began: all times in all files count from here. `null` in a simulation.
    #[serde(default)]
    pub load_started_at: Option<String>,
    /// From the run's epoch, which the stamps of its records count from, to the beginning of the load.
    #[serde(default)]
    pub epoch_to_load_s: f64,
    /// How long the load was to last, warmup included.
    #[serde(default)]
    pub planned_load_s: f64,
    /// How long it lasted.
    #[serde(default)]
    pub load_lasted_s: f64,
    /// Length of the measured window.
    pub duration_s: f64,
    /// Records due in the measured window; `null` at maximum rate.
    #[serde(default)]
    pub offered: Option<u64>,
    /// Of these, sent.
    #[serde(default)]
    pub offered_sent: Option<u64>,
    /// Records due in the measured window per second; `null` at maximum rate.
    pub offered_per_s: Option<f64>,
    /// The same in payload bytes.
    #[serde(default)]
    pub offered_bytes_per_s: Option<f64>,
    /// Records per second processed: in the measured window, or, at maximum rate, from the first send
    /// to the last record processed.
    pub achieved_per_s: f64,
    /// The same in payload bytes.
    #[serde(default)]
    pub achieved_bytes_per_s: f64,
    /// Whether consumers process what is sent, and the cluster takes what is due; `null` at maximum rate.
    #[serde(default)]
    pub keeps_up: Option<bool>,
    /// Errors of the sending clients, each with how often it came.
    #[serde(default)]
    pub send_errors: BTreeMap<String, u64>,
    /// Partitions whose consumers do not keep up.
    #[serde(default)]
    pub overloaded: Vec<Overload>,
    /// Records due in the measured window that were not processed: quantiles of latency are lower bounds if there are
    /// any.
    #[serde(default)]
    pub not_processed: u64,
    /// Records a fault kept from being sent: failed or indeterminate on purpose.
    #[serde(default)]
    pub withheld: u64,
    /// At maximum rate, the side that limited it: `producer`, `broker` or `consumers`.
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
    /// Threads of consumers that were given up and had not ended in time, nor later.
    #[serde(default)]
    pub abandoned_threads: u32,
    /// Records that fenced incarnations brought; dropped.
    pub fenced: u64,
    /// Largest number of gaps a lane had at once.
    pub lane_gaps_max: u64,
    /// From startup to the last consumer ready, in milliseconds.
    pub startup_ms: Option<f64>,
    /// Latency of all partitions merged.
    pub latency_us: RunLatency,
    /// Counts that only some runs have, by the name of their metric.
    #[serde(default)]
    pub figures: BTreeMap<String, u64>,
    /// Figures that are missing or `null` because they could not be measured rightly, by their place in the result, each
    /// with the reason.
    #[serde(default)]
    pub not_measured: BTreeMap<String, String>,
    /// Actual - intended send.
    pub lateness_us: Digest,
    /// The account of the whole run, warmup included.
    pub ledger: Ledger,
    /// Spread over partitions.
    pub fairness: Fairness,
    /// One entry per partition, by id.
    pub partitions: Vec<PartitionSummary>,
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
    /// What it cost.
    pub cost: Cost,
    /// What was simulated; `null` in real time.
    #[serde(default)]
    pub simulation: Option<Simulation>,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation holds.
    #[default]
    Passed,
    /// At least one does not.
    Failed,
    /// The tester fell short: it did not send what was due, or was too late or too busy to measure.
    Invalid,
    /// Stopped by the user; what was measured until then is kept.
    Interrupted,
    /// The process ended before the run did, by SIGKILL for example; what was kept a second before is there.
    CutOff,
}

/// A property of a client: the value that held, who set it, and what was set and did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientProperty {
    /// The value that held; `(hidden)` if it comes from outside the scenario, `null` if the client was given none.
    pub value: Option<String>,
    /// Whose value, or whose decision, it is.
    pub origin: PropertyOrigin,
    /// Values that this one overruled, the strongest last.
    pub overruled: Vec<OverruledProperty>,
}

/// A value of a property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverruledProperty {
    /// The value; `(hidden)` if it comes from outside the scenario.
    pub value: String,
    /// Who set it.
    pub origin: PropertyOrigin,
}

/// Where the value of a client's property comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    /// Virtual time in all, startup and drain included, in nanoseconds.
    pub virtual_ns: i64,
    /// Events that happened.
    pub events: u64,
    /// Hash over all of them, hexadecimal.
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

/// What a simulation took, beside its result: all of it depends on the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The machine.
    pub host: Host,
    /// When it was started, RFC 3339 in UTC.
    pub started_at: Option<String>,
    /// How long it took, in seconds.
    pub wall_s: f64,
    /// Virtual time over real time.
    pub speed: f64,
}

/// An earlier run whose checkpoint file this one went on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The machine. `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Processor.
    pub cpu: Option<String>,
    /// CPUs this process may run on.
    pub cores: usize,
    /// CPUs this process may use at once on average: `cores`, or less with a quota of its control groups.
    #[serde(default)]
    pub cpu_limit: Option<f64>,
    /// Smallest step of the clock, in nanoseconds.
    pub clock_resolution_ns: u64,
}

impl Host {
    /// CPUs this process may use at once on average; where that is not known, those it may run on.
    pub fn cpus(&self) -> f64 {
        self.cpu_limit.filter(|cpus| *cpus > 0.0).unwrap_or(self.cores.max(1) as f64)
    }
}

/// Latency of the run and its parts, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
}

/// Latency of one partition, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionLatency {
    /// Processed - intended send.
    pub response: Digest,
    /// Processed - actual send.
    pub service: Digest,
}

/// Spread over partitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Standard deviation over mean of the partitions' rates.
    pub rate_cv: Option<f64>,
    /// Largest p99 over the median of the partitions' p99s (response time).
    pub p99_max_over_median: Option<f64>,
    /// The partition with the largest p99.
    pub worst_partition: Option<u32>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionSummary {
    /// Its id.
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
    /// The same in payload bytes.
    pub processed_bytes_per_s: f64,
    /// Standard deviation over mean of the per-second rates.
    pub rate_cv: Option<f64>,
    /// Its latency.
    pub latency_us: PartitionLatency,
    /// Largest lag in the measured window, in records.
    pub lag_max: u64,
    /// Longest time in the measured window for which records waited and none was processed.
    pub longest_stall_ms: f64,
    /// Restarts of its consumer.
    pub restarts: u32,
    /// CPU seconds of its consumer; see `apportioned`.
    pub cpu_s: Option<f64>,
    /// Memory of its consumer; see `apportioned`.
    pub memory_bytes: Option<u64>,
    /// Which of the two are a share of a figure the system only tells for all consumers together.
    pub apportioned: Vec<String>,
    /// Its account.
    pub ledger: Ledger,
}

/// Partitions that were added while the run went on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// When they were found, in seconds since the load began.
    pub at_s: f64,
    /// How many partitions there were before.
    pub from: u32,
    /// How many there are since.
    pub to: u32,
}

/// A consumer that had a partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnerSummary {
    /// Who.
    pub consumer: u32,
    /// Its start number.
    pub incarnation: u32,
    /// From when, in seconds since the load began; negative before.
    pub from_s: f64,
    /// Until when; `null` while it lasted.
    pub to_s: Option<f64>,
}

/// A partition whose consumer does not keep up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overload {
    /// Which one.
    pub partition: u32,
    /// The consumer that had it last.
    pub consumer: Option<u32>,
    /// Records due per second.
    pub offered_per_s: f64,
    /// Mean time to process a record; `null` if there was nothing to do for one.
    pub handling_ms: Option<f64>,
    /// Consumers it would need: records per second times the time for each. `null` if that time is not known.
    pub consumers_needed: Option<f64>,
}

/// One expectation and what was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpectationSummary {
    /// As written.
    pub expression: String,
    /// What was measured, in `unit`; `null` if nothing was, see `reason`. Of `keeps_up`, 1 or 0.
    pub measured: Option<f64>,
    /// `ms` for times, `count`, or `number`.
    pub unit: String,
    /// What was measured, readable.
    pub text: Option<String>,
    /// Why nothing was measured, or what led to a failure.
    pub reason: Option<String>,
    /// The partition that decided, for expectations about each partition.
    pub partition: Option<u32>,
    /// Whether it holds.
    pub passed: bool,
    /// Whether it could be judged: not what an interrupted run did not come to.
    pub judged: bool,
    /// Whether it is one that every run has unless its scenario names the figure.
    pub is_default: bool,
}
