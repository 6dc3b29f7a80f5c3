//! Scheduled faults: every occurrence, with its targets resolved.

use std::fmt;
use std::time::Duration;

use super::Plan;
use crate::base::format_duration;
use crate::fault::{Disturbance, FaultEffect, KindPlan, Targets};

/// One fault at one time. A repeated `[[fault]]` is one of these for each repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// Which `[[fault]]` of the scenario, from 0.
    pub entry: usize,
    /// When, counted from the start of the load, warmup included.
    pub at: Duration,
    /// How long it lasts; `None` for what is over at once, or lasts forever.
    pub lasts: Option<Duration>,
    /// What happens.
    pub kind: KindPlan,
    /// The receiver.
    pub targets: Targets,
}

impl FaultPlan {
    /// When it is over; when it begins, for what is over at once.
    pub fn end(&self) -> Duration {
        self.at + self.lasts.unwrap_or_default()
    }
}

impl Plan {
    /// Partitions the topic has in the end: faults may make it grow.
    pub fn partitions_max(&self) -> u32 {
        let grown = self.faults.iter().filter_map(|fault| match fault.kind.effect {
            FaultEffect::Cluster(Disturbance::Grow(partitions)) => Some(partitions),
            _ => None,
        });
        grown.chain([self.topic.partitions]).max().unwrap_or(0)
    }

    /// The first command the faults run, as it would be typed.
    pub fn first_command(&self) -> Option<String> {
        self.faults.iter().find_map(|fault| match &fault.kind.effect {
            FaultEffect::Exec(exec) => Some(exec.start_typed()),
            _ => None,
        })
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.targets != Targets::Cluster {
            write!(f, " {}", self.targets)?;
        }
        match self.lasts {
            Some(span) => write!(f, " for {}", format_duration(span)),
            None => f.write_str(self.kind.without_for()),
        }
    }
}
