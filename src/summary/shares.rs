//! The processes of a run that several of them have made together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Summary;

/// The processes of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SharesSummary {
    /// Number of processes the run was divided among.
    pub count: u32,
    /// Number of clocks they have read: processes of one machine read the same. A process that was lost is not in it.
    pub clocks: u32,
    /// How far latency between two processes may be wrong, in microseconds, at worst: the bounds of both clocks and what they
    /// were seen to differ by. `null` if a process has not said.
    pub clock_bound_us: Option<f64>,
    /// Partitions of processes that were lost: nothing is known of what became of their records.
    pub not_covered: Vec<u32>,
    /// Records processed that a lost process has sent. They are in rates and latency, and in no ledger.
    pub delivered_of_lost: u64,
    /// One entry per process, by number.
    pub processes: Vec<ShareSummary>,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareState {
    /// It has come to its end.
    #[default]
    Complete,
    /// It was stopped early and has kept what it had measured.
    Interrupted,
    /// Its part of the result is missing.
    Lost,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ShareSummary {
    /// Its number, from 1.
    pub share: u32,
    /// What became of it.
    pub state: ShareState,
    /// Why it was lost; `null` of others.
    pub reason: Option<String>,
    /// Name of its machine; `null` if it is not known.
    pub host: Option<String>,
    /// Whether it has read the clock of share 1. If not, its clock was set by messages.
    pub same_clock: bool,
    /// How far its clock was from that of share 1 in the last measurement, in microseconds; `null` of a lost process.
    pub clock_offset_us: Option<f64>,
    /// How far that may be wrong, in microseconds: half of a round trip, if the clock is another one.
    pub clock_bound_us: Option<f64>,
    /// Its partitions.
    pub partitions: Vec<u32>,
    /// Number of its producers.
    pub producers: u32,
    /// Consumers that became ready.
    pub consumers_started: u32,
    /// Records sent, the warmup included.
    pub sent: u64,
    /// Distinct records processed, the warmup included.
    pub delivered: u64,
    /// p99 of its send delay in microseconds; `null` without values.
    pub lateness_p99_us: Option<f64>,
    /// CPU seconds it used.
    pub cpu_s: Option<f64>,
    /// Its largest resident memory in bytes.
    pub rss_max_bytes: Option<u64>,
}

impl SharesSummary {
    /// Processes whose part is missing.
    pub fn lost(&self) -> impl Iterator<Item = &ShareSummary> {
        self.processes.iter().filter(|process| process.state == ShareState::Lost)
    }
}

impl Summary {
    /// Whether something is known of a partition: not so of one whose process was lost.
    pub fn is_covered(&self, partition: u32) -> bool {
        self.shares.as_ref().is_none_or(|shares| !shares.not_covered.contains(&partition))
    }
}
