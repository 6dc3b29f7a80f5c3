//! Scheduled faults: every occurrence, with its targets resolved.

use std::fmt;
use std::time::Duration;

use crate::base::{ConsumerId, PartitionId, PoolId, format_duration};

/// One fault at one time. A repeated `[[fault]]` is one of these for each repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// Which `[[fault]]` of the scenario, from 0.
    pub entry: usize,
    /// When, counted from the start of the load, warm-up included.
    pub at: Duration,
    /// How long it lasts; `None` for what is over at once, or lasts for ever.
    pub lasts: Option<Duration>,
    /// What happens.
    pub kind: FaultKind,
    /// To whom.
    pub targets: Targets,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// Kills an actor: no clean-up runs, its client is closed beside the restart.
    /// In group mode this is a crash: the member does not leave the group.
    Kill,
    /// The handler panics on the next record.
    Panic,
    /// Stops in order; the supervisor starts it again. In group mode the member leaves.
    Stop,
    /// The data thread stops polling and obeys no command.
    Hang,
    /// The handler blocks on the next record.
    Stall,
    /// Records cost more.
    Slow {
        /// Times the work of each record.
        factor: f64,
        /// Added to each record.
        add: Duration,
    },
    /// Kills, and the old client takes its time to close.
    LateClose,
    /// Every incarnation panics on its first record.
    CrashLoop {
        /// So often each; `None` while the fault lasts.
        times: Option<u32>,
    },
    /// The next record makes every incarnation panic that comes to it.
    Poison,
    /// A pool sends nothing; what is overdue goes late.
    Pause,
}

/// Whom a fault hits, by number, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Consumers or group members.
    Consumers(Vec<ConsumerId>),
    /// Partitions.
    Partitions(Vec<PartitionId>),
    /// Producer pools.
    Pools(Vec<PoolId>),
}

impl FaultPlan {
    /// When it is over; when it begins, for what is over at once.
    pub fn end(&self) -> Duration {
        self.at + self.lasts.unwrap_or_default()
    }
}

impl FaultKind {
    /// The fault's name in scenarios and results.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Kill => "kill",
            FaultKind::Panic => "panic",
            FaultKind::Stop => "stop",
            FaultKind::Hang => "hang",
            FaultKind::Stall => "stall",
            FaultKind::Slow { .. } => "slow",
            FaultKind::LateClose => "late_close",
            FaultKind::CrashLoop { .. } => "crash_loop",
            FaultKind::Poison => "poison",
            FaultKind::Pause => "pause",
        }
    }

    /// Whether a group member it hits goes without leaving the group.
    pub fn is_crash(&self) -> bool {
        matches!(self, FaultKind::Kill | FaultKind::LateClose)
    }
}

impl Targets {
    /// The consumers among them.
    pub fn consumers(&self) -> &[ConsumerId] {
        match self {
            Targets::Consumers(consumers) => consumers,
            Targets::Partitions(_) | Targets::Pools(_) => &[],
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        match self.kind {
            FaultKind::Slow { factor, add } => {
                if factor != 1.0 {
                    write!(f, " x{factor}")?;
                }
                if !add.is_zero() {
                    write!(f, " +{}", format_duration(add))?;
                }
            }
            FaultKind::CrashLoop { times: Some(times) } => write!(f, " {times} times")?,
            _ => {}
        }
        write!(f, " {}", self.targets)?;
        match self.lasts {
            Some(span) => write!(f, " for {}", format_duration(span)),
            None if self.kind == FaultKind::Hang => f.write_str(" for ever"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Targets::Consumers(consumers) => list(f, "consumer", consumers),
            Targets::Partitions(partitions) => list(f, "partition", partitions),
            Targets::Pools(pools) => list(f, "pool", pools),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, noun: &str, numbers: &[impl fmt::Display]) -> fmt::Result {
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    write!(f, "{noun}{plural} {}", numbers.join(", "))
}
