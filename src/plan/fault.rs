//! Scheduled faults.

use std::fmt;
use std::time::Duration;

use crate::base::ConsumerId;

/// One fault at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// When, counted from the start of the load, warm-up included.
    pub at: Duration,
    /// What.
    pub kind: FaultKind,
}

/// What is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Kills a consumer's actor: no clean-up runs, its client is abandoned to the reaper.
    /// In group mode this is a crash: the member does not leave the group.
    KillConsumer(ConsumerId),
}

impl FaultKind {
    /// The fault's name in scenarios and results.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::KillConsumer(_) => "kill",
        }
    }

    /// The consumer it hits.
    pub fn consumer(&self) -> ConsumerId {
        match *self {
            FaultKind::KillConsumer(consumer) => consumer,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} consumer {}", self.name(), self.consumer())
    }
}
