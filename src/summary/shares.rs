//! The processes that made a run together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Summary;

/// The processes of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SharesSummary {
    /// Number of processes that the run was divided among.
    pub count: u32,
    /// Number of different clocks that they read: processes of one machine read the same one. The clocks of lost
    /// processes are not included.
    pub clocks: u32,
    /// Largest possible error of latency between two processes, in microseconds: the sum of the two largest errors of
    /// their clocks. The error of a clock is its offset from that of share 1, plus the bound of the offset.
    pub clock_bound_us: Option<f64>,
    /// Partitions of processes that were lost. The result of their records is not known.
    pub not_covered: Vec<u32>,
    /// Records processed that a lost process sent. They are in rates and latency, and in no ledger.
    pub delivered_of_lost: u64,
    /// One entry per process, by number.
    pub processes: Vec<ShareSummary>,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareState {
    /// The process ended as planned.
    #[default]
    Complete,
    /// The process was stopped early; its measurements until then are kept.
    Interrupted,
    /// The part of the process is missing.
    Lost,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ShareSummary {
    /// Number of the process, from 1.
    pub share: u32,
    /// The end of the process.
    pub state: ShareState,
    /// The reason why the process was lost; `null` for others.
    pub reason: Option<String>,
    /// Name of its machine; `null` if not known.
    pub host: Option<String>,
    /// True if the process read the clock of share 1. If not, the offset of its clock was measured by messages.
    pub same_clock: bool,
    /// Offset of its clock from that of share 1 in the last measurement, in microseconds; `null` for a lost process.
    pub clock_offset_us: Option<f64>,
    /// Largest error of the offset in microseconds, which is half of a round trip between two machines; `null` for a
    /// lost process.
    pub clock_bound_us: Option<f64>,
    /// Ids of its partitions.
    pub partitions: Vec<u32>,
    /// Number of its producers.
    pub producers: u32,
    /// Consumers that became ready.
    pub consumers_started: u32,
    /// Records sent, warmup included.
    pub sent: u64,
    /// Distinct records processed, warmup included.
    pub delivered: u64,
    /// p99 of its send delay in microseconds; `null` without values.
    pub lateness_p99_us: Option<f64>,
    /// CPU seconds that it used; `null` if not known.
    pub cpu_s: Option<f64>,
    /// Its largest resident memory in bytes; `null` if not known.
    pub rss_max_bytes: Option<u64>,
}

impl SharesSummary {
    /// The processes whose part is missing.
    pub fn lost(&self) -> impl Iterator<Item = &ShareSummary> {
        self.processes.iter().filter(|process| process.state == ShareState::Lost)
    }
}

impl Summary {
    /// False for a partition whose process was lost, because nothing is known of its records.
    pub fn is_covered(&self, partition: u32) -> bool {
        self.shares.as_ref().is_none_or(|shares| !shares.not_covered.contains(&partition))
    }
}
