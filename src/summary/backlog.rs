//! The backlog that the topic had when the consumers started.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A backlog, and the time in which the consumers processed it. Times count from the start of the consumers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct BacklogSummary {
    /// Records written before the consumers were started, and acknowledged.
    pub written: u64,
    /// Seconds from the beginning of writing until all of them were acknowledged.
    pub write_s: f64,
    /// Seconds until the load began, which is when the consumers were ready.
    pub load_began_s: f64,
    /// Seconds until the last record of the backlog was processed; `null` if that was not within the run.
    pub read_s: Option<f64>,
    /// Records of the backlog per second until then; `null` if `read_s` is.
    pub read_per_s: Option<f64>,
    /// Seconds until the last partition had caught up; `null` if that was not within the run.
    pub caught_up_s: Option<f64>,
    /// One entry per partition with a backlog, by id.
    pub partitions: Vec<BacklogPartition>,
}

/// A partition's part of a backlog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct BacklogPartition {
    /// Id of the partition.
    pub partition: u32,
    /// Records written to it before the consumers were started, and acknowledged.
    pub written: u64,
    /// Seconds until the last of them was processed; `null` if that was not within the run.
    pub read_s: Option<f64>,
    /// Seconds until a record of the load was processed within 100 ms of its send, or no record was left; `null` if
    /// that was not within the run.
    pub caught_up_s: Option<f64>,
}
