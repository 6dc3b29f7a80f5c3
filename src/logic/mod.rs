//! Pure machines: state, input and time in, effects out. Nothing here waits, starts a thread or reads a clock.

mod active_faults;
mod beyond_restart;
mod call_rules;
mod checkpoint;
mod cluster_watch;
mod consumer;
mod paced;
mod pacer;
mod supervision;
mod unprocessed;
mod watchdog;
mod work;

pub use active_faults::{ActiveFaults, RecordFault};
pub use beyond_restart::{Death, Definite, PoisonWatch, Sighting, Standing, sight};
pub use call_rules::{CallRules, CallingClient};
pub use checkpoint::{Checkpoints, Unreadable};
pub use cluster_watch::{GATE_WINDOW, Gate, GateEffect, TopicChange, TopicCheck, TopicWatch};
pub use consumer::{ConsumerMachine, Runs};
pub use pacer::{Due, Pacer};
pub use supervision::{Action, Cause, Slot, SlotEvent, SlotState};
pub use unprocessed::unprocessed_ages;
pub use watchdog::{Diagnosis, Reaper, Remedy, Watchdog, WatchdogInput};
pub use work::{Effort, Handler, HandlerError, Handlers, Record, WorkSampler};
