//! Pure machines: state, input and time in, effects out. Nothing here waits, starts a thread or reads a clock.

mod active_faults;
mod call_rules;
mod checkpoint;
mod consumer;
mod gate;
mod log_check;
mod paced;
mod pacer;
mod poison;
mod reaper;
mod supervision;
mod topic_watch;
mod unprocessed;
mod unreleased;
mod watchdog;
mod work;

pub use active_faults::{ActiveFaults, RecordFault};
pub use call_rules::{CallRules, CallingClient};
pub use checkpoint::{Checkpoints, Unreadable};
pub use consumer::{ConsumerMachine, Runs};
pub use gate::{GATE_WINDOW, Gate, GateEffect};
pub use log_check::{CheckpointStatus, LogCheck, PermanentFailure, check_log};
pub use pacer::{Due, Pacer};
pub use poison::{Death, PoisonWatch};
pub use reaper::Reaper;
pub use supervision::{Action, Cause, Slot, SlotEvent, SlotState};
pub use topic_watch::{TopicChange, TopicCheck, TopicWatch};
pub use unprocessed::unprocessed_ages;
pub use unreleased::UnreleasedIds;
pub use watchdog::{Diagnosis, Remedy, Watchdog, WatchdogInput};
pub use work::{Effort, Handler, HandlerError, Handlers, Record, WorkSampler};
