//! What a fault did, as it is reported. Milliseconds count from the injection.

use serde::{Deserialize, Serialize};

use super::{Change, RecoveryMark};
use crate::base::Time;

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
    /// How long it was to last, in seconds; `null` for what is over at once or lasts for ever.
    pub lasts_s: Option<f64>,
    /// Targets that were not there to be hit, and why.
    #[serde(default)]
    pub missed: Vec<String>,
    /// Until the supervisor knew.
    pub detected_ms: Option<f64>,
    /// Until the partitions were released from the old incarnation.
    pub released_ms: Option<f64>,
    /// Until the old client was gone.
    pub closed_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until it was over by itself, or a killed pool was back.
    pub healed_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until the end offset seen after the restart, or after it was over, was reached.
    pub caught_up_ms: Option<f64>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until caught up, in records, as the oracle saw it.
    pub lag_peak: u64,
    /// Number of partitions whose longest pause was out of the ordinary.
    pub blast_radius: usize,
    /// Which ones.
    pub partitions_hit: Vec<u32>,
    /// Partitions the fault was aimed at.
    pub partitions_aimed_at: Vec<u32>,
    /// Change of the mean response time on all other partitions.
    pub others: Option<Change>,
    /// Each partition by itself; with very many occurrences, only those aimed at or hit.
    #[serde(default)]
    pub partitions: Vec<FaultPartition>,
}

/// What a fault did to one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultPartition {
    /// Which one.
    pub partition: u32,
    /// Its way back; `null` when it was not aimed at.
    pub recovery: Option<RecoverySummary>,
    /// Longest pause in the quiet time before the fault.
    pub pause_before_ms: f64,
    /// Longest pause in the equally long time from the fault on.
    pub pause_after_ms: f64,
    /// Change of its mean response time. By chance alone, one of 20 is outside its interval.
    pub change: Option<Change>,
}

/// A partition's way back. Milliseconds count from the fault, or from the failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoverySummary {
    /// Until the supervisor knew.
    pub detected_ms: Option<f64>,
    /// Until the partition was released.
    pub released_ms: Option<f64>,
    /// Until the last replacement was started.
    pub restarted_ms: Option<f64>,
    /// Until a record was processed again.
    pub first_record_ms: Option<f64>,
    /// Until it had caught up.
    pub caught_up_ms: Option<f64>,
    /// Records processed again.
    pub redelivered: u64,
    /// Largest lag until caught up, in records.
    pub lag_peak: u64,
    /// Whether its consumer was given up.
    pub given_up: bool,
}

/// A failure nobody planned.
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

impl RecoverySummary {
    /// The times of a mark, from its beginning.
    pub fn of(mark: &RecoveryMark) -> RecoverySummary {
        let ms = |at: Option<Time>| at.map(|at| at.ms_since(mark.since));
        RecoverySummary {
            detected_ms: ms(mark.detected),
            released_ms: ms(mark.released),
            restarted_ms: ms(mark.restarted),
            first_record_ms: ms(mark.first_record),
            caught_up_ms: ms(mark.caught_up),
            redelivered: mark.redelivered,
            lag_peak: mark.lag_peak,
            given_up: mark.given_up,
        }
    }
}
