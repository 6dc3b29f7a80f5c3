//! Pure machines: state and input in, effects out. Nothing here waits, spawns or reads a clock.

mod consumer;
mod handler;
mod pacer;
mod placement;
mod sabotage;
mod shrink;
mod preflight;
mod supervision;
mod work;

pub use consumer::ConsumerMachine;
pub use handler::{Handler, HandlerError, Handlers, Record};
pub use pacer::{Due, Pacer};
pub use placement::Placement;
pub use preflight::{Definite, Sighting, Standing, sight};
pub use sabotage::{Sabotage, Trouble};
pub use shrink::{Shrunk, shrink_list, shrink_number};
pub use supervision::{Action, Cause, Slot, SlotEvent, SlotState};
pub use work::{Effort, WorkSampler};
