//! The kernel of a simulation: it owns virtual time, gives processes their turns, and delivers messages.

mod lookahead;
mod group_checker;
mod delivery;
mod faults;
mod handle;
mod process;
mod record_text;
mod kernel;
mod limits;
mod link;
mod message_size;
mod network;
mod event_queue;
mod follower;
mod trace_text;
mod trace;
mod scheduling;

pub use follower::FollowedRecord;
pub use group_checker::{CheckReport, CommitCheck};
pub use handle::{Job, KernelHandle};
pub use kernel::{Kernel, StepOutcome};
pub use limits::{Exceeded, SimLimits};
pub use network::NetworkSettings;
pub use process::{NextTurn, SimProcess, TurnRequest};
pub use trace::Trace;
pub use trace::{TraceSink, TraceWriter};
