//! What a supervised slot is told, what it is in, and what it wants done.

use std::time::Duration;

use crate::base::{Incarnation, Offset, Time};

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// An incarnation was started and has not been heard of yet.
    Starting,
    /// It is up.
    Running,
    /// It failed; the next one starts when the timer of this generation fires.
    BackingOff {
        /// Timers of older generations are ignored.
        generation: u64,
    },
    /// Restarting cannot help.
    Stalled,
    /// It failed too often without progress.
    Quarantined,
    /// It was asked to stop.
    Stopping,
    /// It has stopped, as asked.
    Stopped,
}

/// Why an incarnation ended without being asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A scheduled fault; does not charge the budget.
    Injected,
    /// Poison that is skipped from now on; does not charge the budget.
    Skipped,
    /// It failed or panicked.
    Failed(String),
    /// Every remedy was tried, more than once.
    Exhausted(String),
    /// Something a restart cannot mend: data loss, truncation, no permission.
    Definite(String),
}

/// What happens to a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// The incarnation is up.
    Ready(Incarnation),
    /// The incarnation ended; `checkpoint` is how far it had come.
    Ended {
        /// Which one.
        incarnation: Incarnation,
        /// Why.
        cause: Cause,
        /// The slot's checkpoint now; for groups and pools a count that only grows.
        checkpoint: Offset,
    },
    /// The incarnation ended and is held back with many others: not its own failure, and no timer runs.
    /// [`SlotEvent::Resume`] brings it back.
    Held(Incarnation),
    /// What failed since `since` was not its own failure. One that waits for its restart is held back.
    Forgive {
        /// From when on.
        since: Time,
    },
    /// What held it back lets it go.
    Resume,
    /// A timer of this generation fired.
    Timer(u64),
    /// Stop, and do not come back.
    Stop,
    /// The incarnation ended as asked.
    Stopped(Incarnation),
}

/// What the supervisor has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let nothing of the incarnations before this one count from here on.
    Release(Incarnation),
    /// Start this incarnation from the checkpoint.
    Start(Incarnation),
    /// Send [`SlotEvent::Timer`] after the delay.
    SetTimer {
        /// To be given back.
        generation: u64,
        /// From now.
        delay: Duration,
    },
    /// Ask the incarnation to stop.
    Stop(Incarnation),
    /// The slot is given up; say so.
    GiveUp {
        /// Why, for the report.
        reason: String,
    },
}
