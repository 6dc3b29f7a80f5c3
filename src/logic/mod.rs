//! Pure machines: state and input in, effects out. Nothing here waits, spawns or reads a clock.

mod call_rules;
mod checkpoint;
mod consumer;
mod handler;
mod gate;
mod pacer;
mod poison;
mod reaper;
mod active_faults;
mod shrink;
mod preflight;
mod slot_event;
mod supervision;
mod topic_watch;
mod upcoming;
mod watchdog;
mod work;

pub use active_faults::{ActiveFaults, RecordFault};
pub use call_rules::{CallRules, CallingClient};
pub use checkpoint::{Checkpoints, Unreadable};
pub use consumer::{ConsumerMachine, Runs};
pub use gate::{GATE_WINDOW, Gate, GateEffect};
pub use handler::{Handler, HandlerError, Handlers, Record};
pub use pacer::{Due, Pacer};
pub use poison::{Death, PoisonWatch};
pub use preflight::{Definite, Sighting, Standing, sight};
pub use reaper::Reaper;
pub use shrink::{Shrunk, shrink_list, shrink_number};
pub use slot_event::{Action, Cause, SlotEvent, SlotState};
pub use supervision::Slot;
pub use topic_watch::{TopicChange, TopicCheck, TopicWatch};
pub use watchdog::{Diagnosis, Remedy, Watchdog, WatchdogInput};
pub use work::{Effort, WorkSampler};
