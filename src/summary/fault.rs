//! What a fault did, as it is reported. Milliseconds count from the injection.

use serde::{Deserialize, Serialize};

/// One occurrence of a fault. Of times that partitions have one each of, the latest is told here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultSummary {
    /// Which `[[fault]]` of the scenario, from 0.
    #[serde(default)]
    pub fault: usize,
    /// Kind of fault.
    pub kind: String,
    /// Who was hit.
    pub target: String,
    /// When, in seconds since the load began; `null` if the run ended before.
    pub at_s: Option<f64>,
    /// How long it was to last, in seconds; `null` for what is over at once or lasts forever.
    pub lasts_s: Option<f64>,
    /// Targets that were not there to be hit, and why.
    #[serde(default)]
    pub missed: Vec<String>,
    /// Until the supervisor knew.
    pub detected_ms: Option<f64>,
    /// Until the partitions were fenced: nothing of the old start of their consumers counts from then on.
    #[serde(alias = "released_ms")]
    pub fenced_ms: Option<f64>,
    /// Until the old client was gone.
    pub closed_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until it was over by itself, or a killed pool was back.
    #[serde(alias = "healed_ms")]
    pub ended_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until every partition it has hit was as before: its lag and the age of its oldest unprocessed record at or
    /// below the largest of the quiet window, for a second. `null`: not within the run.
    pub recovered_ms: Option<f64>,
    /// The partition that took longest, or that has not recovered.
    pub worst_partition: Option<u32>,
    /// Partitions that have not recovered within the run.
    #[serde(default)]
    pub not_recovered: Vec<u32>,
    /// Lag of the worst partition after the fault, if it has not recovered.
    #[serde(default)]
    pub lag_after: Vec<LagAfter>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until recovered, in records, as the end-offset client saw it.
    pub lag_peak: u64,
    /// Number of partitions that stalled: records waited, and none was processed for longer than 100 ms and than three
    /// times the partition's longest quiet stall.
    pub blast_radius: usize,
    /// Which ones.
    pub partitions_hit: Vec<u32>,
    /// Partitions the fault was aimed at.
    pub partitions_aimed_at: Vec<u32>,
    /// What it did to the partitions it was not aimed at; `null` when there are none.
    pub others: Option<Others>,
    /// Each partition by itself; with very many occurrences, only those aimed at or hit.
    #[serde(default)]
    pub partitions: Vec<FaultPartition>,
}

/// What a fault did to one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultPartition {
    /// Which one.
    pub partition: u32,
    /// Its way back; `null` when it was neither aimed at nor hit.
    pub recovery: Option<RecoverySummary>,
    /// Longest stall in the quiet time before the fault.
    pub stall_before_ms: f64,
    /// Longest stall in the equally long time from the fault on.
    pub stall_after_ms: f64,
    /// Response time p99 in the quiet time; `null` without records.
    pub quiet_p99_us: Option<f64>,
    /// Share of records slower than that in the quiet time; `null` without records.
    pub slow_before: Option<f64>,
    /// Share of records slower than that from the fault on; `null` without records.
    pub slow_after: Option<f64>,
    /// Whether the second half of the quiet time was like the first; `null` with too few records to tell.
    pub is_stable: Option<bool>,
}

/// What a fault did to the partitions it was not aimed at. Partitions that were not stable before are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Others {
    /// How many there are, without those left out.
    pub partitions: usize,
    /// Their longest stall in the quiet time before the fault.
    pub stall_before_ms: f64,
    /// Their longest stall in the equally long time from the fault on.
    pub stall_after_ms: f64,
    /// Share of their records slower than the partition's own quiet p99, in the quiet time.
    pub slow_before: Option<f64>,
    /// The same from the fault on.
    pub slow_after: Option<f64>,
    /// Partitions that are left out because they were not stable before the fault.
    pub left_out: Vec<u32>,
}

/// A partition's lag some time after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagAfter {
    /// Seconds since the fault.
    pub after_s: u64,
    /// Records that were to be read.
    pub lag: u64,
}

/// A partition's way back. Milliseconds count from the fault, or from the failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoverySummary {
    /// Until the supervisor knew.
    pub detected_ms: Option<f64>,
    /// Until the partition was fenced.
    #[serde(alias = "released_ms")]
    pub fenced_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until the partition could be read again.
    #[serde(default)]
    pub ready_ms: Option<f64>,
    /// Until it had recovered; `null`: not within the run.
    pub recovered_ms: Option<f64>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until recovered, in records.
    pub lag_peak: u64,
    /// Whether its consumer was given up.
    pub given_up: bool,
}

/// A failure that was not planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureSummary {
    /// Which partition.
    pub partition: u32,
    /// Whose.
    pub consumer: Option<u32>,
    /// When, in seconds since the load began.
    pub at_s: f64,
    /// The way back.
    pub recovery: RecoverySummary,
}
