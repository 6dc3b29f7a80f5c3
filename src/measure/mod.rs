//! From processed records to figures: shards, histograms, ledger, lag, recovery, summary, verdict.

mod anchor;
mod assemble;
mod cell;
mod collector;
mod cost;
mod event;
mod fault_report;
mod fault_summary;
mod faults;
mod histogram;
mod lag;
mod lanes;
mod ledger;
mod outage;
mod pause;
mod pool_cell;
mod pulse;
mod rebalance;
mod recovery;
mod scoreboard;
mod sequence_set;
mod shape;
mod shard;
mod side_effects;
mod statistics;
mod summary;
mod verdict;

pub use anchor::{Anchor, Start};
pub use assemble::{Ended, Facts, assemble};
pub use cell::{Applied, CellState, Content, Owner, Ownership, PartitionCell, Processed};
pub use collector::{Collector, Live, PartitionTotals, Window};
pub use cost::{Cost, CostMeter};
pub use event::{Event, Journal};
pub use fault_report::{failures, fault_summaries};
pub use fault_summary::{FailureSummary, FaultPartition, FaultSummary, RecoverySummary};
pub use faults::{
    FaultTimes, FaultWindows, fault_windows, partitions_hit, pauses_around, watched_windows,
};
pub use histogram::{Digest, Latencies};
pub use lag::Lag;
pub use lanes::Lanes;
pub use ledger::{Arrival, Ledger, Outcome, ReadLane, SentLane, balance};
pub use outage::{Outage, outages};
pub use pause::{PauseWindow, Pauses};
pub use pool_cell::{Ack, PoolCell, PoolState};
pub use pulse::{InFlight, Pulse};
pub use rebalance::{Rebalance, rebalances};
pub use recovery::RecoveryMark;
pub use scoreboard::Scoreboard;
pub use sequence_set::SequenceSet;
pub use shape::LaneShape;
pub use shard::Shard;
pub use side_effects::{Change, SideEffects};
pub use statistics::{Moments, median, welch_difference};
pub use summary::*;
pub use verdict::{evaluate, invalid_reasons};
