//! From processed records to figures: shards, histograms, ledger, lag, recovery, summary, verdict.

mod acked_offsets;
mod assemble;
mod cell;
mod collector;
mod cost;
mod cpu_limit;
mod counts;
mod event;
mod fault_report;
mod fault_watch;
mod figures;
mod heartbeat;
mod lag;
mod ledger;
mod measurements;
mod pool_cell;
mod rebalance;
mod recovery;
mod sequence_set;
mod statistics;
mod trace_line;
mod verdict;

pub use assemble::{Ended, Facts, assemble};
pub use cell::{
    Applied, CellState, Content, Handed, Owner, Ownership, PartitionCell, Processed, ResumePoint,
    Start,
};
pub use collector::{Collector, Interval, Live, PartitionTotals, Parts, PoolWindow, Shard, Window};
pub use cost::CostMeter;
pub use counts::Counts;
pub use cpu_limit::CpuLimit;
pub use event::{Event, Journal, outages};
pub use fault_report::{failures, fault_summaries};
pub use fault_watch::{Effect, FaultTimes, FaultWatch, FaultWindows, Quiet, fault_windows};
pub use figures::ACK_FIGURE;
pub use heartbeat::{Heartbeat, InFlight};
pub use lag::{KeepUp, Lag, Quarter};
pub use ledger::{Arrival, LaneShape, Lanes, Outcome, ReadLane, SentLane, balance};
pub use measurements::Measurements;
pub use pool_cell::{Ack, PoolCell, PoolState, SendTimes, Side};
pub use rebalance::rebalances;
pub use recovery::RecoveryMark;
pub use sequence_set::SequenceSet;
pub use statistics::{Latencies, Moments, median};
pub use trace_line::{TraceKind, TraceLine};
pub use verdict::{evaluate, invalid_reasons, late_sends};
