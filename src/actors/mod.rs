//! Thin ractor shells around the machines, and the threads that host them.
//!
//! ```text
//! Supervisor ─┬─ Consumer 0 … n       ── host thread: client + machine (in group mode: machines)
//!             ├─ ProducerPool 0 … k   ── host thread: client + pacer
//!             ├─ FaultDriver
//!             ├─ TopicWatcher                                     ── thread: looks at the topic
//!             └─ OffsetOracle         ── thread: asks for end offsets
//! ```
//!
//! Actors are the control plane: a handful of messages per second. No record crosses a mailbox. They never
//! sleep; they ask [`Timers`] for a message. They have no names and their ids are never shown, because both
//! are process-wide in ractor.

mod consumer;
mod commands;
mod context;
mod fault_driver;
mod host;
mod offset_oracle;
mod pool;
mod supervisor;
mod timers;
mod topic_watcher;

pub use commands::Commands;
pub use context::Context;
pub use host::{Hosting, PoolShared, SharedHost};
pub use supervisor::{Status, Supervisor, SupervisorArgs, SupervisorMsg};
pub use timers::Timers;
