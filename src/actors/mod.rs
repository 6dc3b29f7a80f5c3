//! Thin ractor shells around the machines, and the hosts of the machines.
//!
//! ```text
//! Supervisor ─┬─ Consumer 0 … n       ── host: client + machine (in group mode: machines)
//!             ├─ ProducerPool 0 … k   ── host: client + pacer
//! //! ├─ TopicWatcher         ── asks for the size of the topic
//!             └─ EndOffsetPoller         ── asks for end offsets
//! ```
//!
//! Actors are the control plane: a few messages per second. No record crosses a mailbox. Actors never sleep: they ask
//! the [`Runtime`] for a message at a time. Actors have no names and their ids are never shown, because both are
//! process-wide in ractor.

mod clients;
mod cluster_watch;
mod commands;
mod consumer_threads;
#[cfg(test)]
mod defective_client;
mod exec_lease;
mod host;
mod lease;
mod left_lease;
mod messages;
mod process;
mod record_work;
mod runtime;
mod simulation;
mod supervisor;
mod threads;

pub use commands::Commands;
pub use exec_lease::{ExecLease, LEASE, LeaseEntry, LeaseError};
pub use lease::{PoolShared, Wake};
pub use left_lease::LeftLease;
pub use messages::{SlotId, SupervisorMsg};
pub use record_work::{Completion, RecordWork, WorkCosts};
pub use runtime::{
    Answer, ConsumerStart, Context, EndOffsetAnswer, Inquiry, Missed, Patience, ProducerStart,
    Query, Repetition, Round, Runtime, TopicAnswer,
};
pub use simulation::SimRuntime;
pub use supervisor::{Status, Supervisor, SupervisorArgs};
pub use threads::ThreadRuntime;
