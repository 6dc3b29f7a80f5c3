//! Scheduled faults: every occurrence, with its targets resolved.

use std::fmt;
use std::time::Duration;

use super::Plan;
use crate::base::{ConsumerId, PartitionId, PoolId, format_duration};
pub use crate::scenario::{
    ApiWord as Api, CallErrorWord as CallError, CodeWord as ApiError, LinkSide,
};

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
    /// The receiver.
    pub targets: Targets,
}

/// What is broken.
#[derive(Clone, Debug, PartialEq)]
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
    /// Every incarnation crashes as it starts.
    CrashLoop {
        /// So often each; `None` while the fault lasts.
        times: Option<u32>,
    },
    /// The next record makes every incarnation panic that comes to it.
    Poison,
    /// A pool sends nothing; what is overdue goes late.
    Pause,
    /// A pool's schedule is faster for a while.
    Burst {
        /// Times the rate.
        factor: f64,
    },
    /// Calls of clients are delayed, dropped or refused before they reach the network.
    Calls(CallRule),
    /// Brokers are unreachable.
    BrokerDown,
    /// Brokers answer later.
    BrokerRtt {
        /// This much longer.
        delay: Duration,
    },
    /// Requests are refused.
    RequestError {
        /// Of this kind.
        api: Api,
        /// With this answer.
        code: ApiError,
        /// Their number.
        count: u32,
    },
    /// Members more join the group, and leave it when it is over.
    Join,
    /// The topic gets more partitions.
    Grow {
        /// Partitions in all.
        partitions: u32,
    },
    /// Brokers stand still: what reaches them waits.
    BrokerPause,
    /// Disks of brokers are slow.
    SlowDisk {
        /// What each append costs besides.
        add: Duration,
    },
    /// Links of brokers are bad.
    Link {
        /// How much longer each message takes.
        delay: Duration,
        /// Share of messages that is lost on the way and sent again.
        loss: f64,
        /// Share of batches that arrives twice.
        duplicate: f64,
    },
    /// Nothing passes on the links of brokers, until it does again.
    LinkCut {
        /// The receiver.
        side: LinkSide,
    },
    /// Every connection to brokers breaks.
    LinkReset,
    /// Connections to brokers lead nowhere, and neither side is told.
    HalfOpen,
    /// A second process reads partitions as if they were its own.
    SecondOwner,
    /// Another broker coordinates the group.
    CoordinatorMove {
        /// This one, from 1; or the next one that runs.
        to: Option<u32>,
    },
    /// Records are deleted up to the end.
    DeleteRecords,
    /// The user's own commands.
    Exec(ExecPlan),
}

/// What happens to calls of clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallRule {
    /// To which calls.
    pub call: Call,
    /// What happens to them.
    pub action: CallAction,
    /// Share of them, drawn from the seed. Above 0, at most 1.
    pub share: f64,
}

/// A kind of call of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A record handed to a producer's client.
    Produce,
    /// What one poll of a consumer's client brings of one partition.
    Fetch,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAction {
    /// It takes this much longer.
    Delay(Duration),
    /// The call is dropped silently.
    Drop,
    /// It comes to nothing, and the client says so.
    Error(CallError),
}

/// Commands with their arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecPlan {
    /// Run when the fault is due.
    pub start: Vec<String>,
    /// Run when it is over, or when the run is, whichever comes first. Empty for none.
    pub end: Vec<String>,
    /// How long each may take.
    pub limit: Duration,
}

/// The targets of a fault, by number, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Consumers or group members.
    Consumers(Vec<ConsumerId>),
    /// Partitions.
    Partitions(Vec<PartitionId>),
    /// Producer pools.
    Pools(Vec<PoolId>),
    /// Brokers, from 1.
    Brokers(Vec<u32>),
    /// The cluster as a whole.
    Cluster,
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
        let grown = self.faults.iter().filter_map(|fault| match fault.kind {
            FaultKind::Grow { partitions } => Some(partitions),
            _ => None,
        });
        grown.chain([self.topic.partitions]).max().unwrap_or(0)
    }

    /// The first command the faults run, as it would be typed.
    pub fn first_command(&self) -> Option<String> {
        self.faults.iter().find_map(|fault| match &fault.kind {
            FaultKind::Exec(exec) => Some(words(&exec.start)),
            _ => None,
        })
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
            FaultKind::Burst { .. } => "burst",
            FaultKind::Calls(CallRule { call: Call::Produce, .. }) => "produce_call",
            FaultKind::Calls(CallRule { call: Call::Fetch, .. }) => "fetch_call",
            FaultKind::BrokerDown => "broker_down",
            FaultKind::BrokerRtt { .. } => "broker_rtt",
            FaultKind::RequestError { .. } => "request_error",
            FaultKind::Join => "join",
            FaultKind::Grow { .. } => "grow",
            FaultKind::BrokerPause => "broker_pause",
            FaultKind::SlowDisk { .. } => "slow_disk",
            FaultKind::Link { .. } => "link",
            FaultKind::LinkCut { .. } => "link_cut",
            FaultKind::LinkReset => "link_reset",
            FaultKind::HalfOpen => "half_open",
            FaultKind::SecondOwner => "second_owner",
            FaultKind::CoordinatorMove { .. } => "coordinator_move",
            FaultKind::DeleteRecords => "delete_records",
            FaultKind::Exec(_) => "exec",
        }
    }

    /// Whether it ends incarnations of consumers, as a crash or in order.
    pub fn ends_consumer(&self) -> bool {
        *self == FaultKind::Stop || self.is_crash()
    }

    /// Whether it is no failure: no consumer and no pool can end of it.
    pub fn is_no_failure(&self) -> bool {
        matches!(self, FaultKind::Burst { .. } | FaultKind::Grow { .. })
    }

    /// Whether it is over as soon as it is done and ends no incarnation, so that there is nothing to wait for.
    pub fn is_over_at_once(&self) -> bool {
        matches!(
            self,
            FaultKind::RequestError { .. }
                | FaultKind::DeleteRecords
                | FaultKind::Grow { .. }
                | FaultKind::LinkReset
                | FaultKind::HalfOpen
                | FaultKind::CoordinatorMove { .. }
        )
    }

    /// Whether a group member it hits goes without leaving the group.
    pub fn is_crash(&self) -> bool {
        matches!(self, FaultKind::Kill | FaultKind::LateClose)
    }
}

impl FaultKind {
    fn details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Slow { factor, add } => {
                if *factor != 1.0 {
                    write!(f, " x{factor}")?;
                }
                if !add.is_zero() {
                    write!(f, " +{}", format_duration(*add))?;
                }
                Ok(())
            }
            FaultKind::Grow { partitions } => write!(f, " to {partitions} partitions"),
            FaultKind::CrashLoop { times: Some(times) } => write!(f, " {times} times"),
            FaultKind::Burst { factor } => write!(f, " x{factor}"),
            FaultKind::BrokerRtt { delay } => write!(f, " +{}", format_duration(*delay)),
            FaultKind::Calls(rule) => {
                match rule.action {
                    CallAction::Delay(delay) => write!(f, " +{}", format_duration(delay))?,
                    CallAction::Drop => f.write_str(" dropped")?,
                    CallAction::Error(error) => write!(f, " {} error", error.word())?,
                }
                if rule.share < 1.0 { write!(f, " {}%", rule.share * 100.0) } else { Ok(()) }
            }
            FaultKind::SlowDisk { add } => write!(f, " +{}", format_duration(*add)),
            FaultKind::CoordinatorMove { to: Some(to) } => write!(f, " to broker {to}"),
            FaultKind::LinkCut { side } => write!(f, " to {}", side.word()),
            FaultKind::Link { delay, loss, duplicate } => {
                if !delay.is_zero() {
                    write!(f, " +{}", format_duration(*delay))?;
                }
                if *loss > 0.0 {
                    write!(f, " {loss} lost")?;
                }
                if *duplicate > 0.0 {
                    write!(f, " {duplicate} twice")?;
                }
                Ok(())
            }
            FaultKind::RequestError { api, code, count } => {
                write!(f, " {} x {} on {}", count, code.word(), api.word())
            }
            FaultKind::Exec(exec) if exec.end.is_empty() => write!(f, " {}", words(&exec.start)),
            FaultKind::Exec(exec) => {
                write!(f, " {}, then {}", words(&exec.start), words(&exec.end))
            }
            _ => Ok(()),
        }
    }
}

/// A command as it would be typed, as far as that matters to a reader.
fn words(command: &[String]) -> String {
    let quoted = command.iter().map(|word| match word.contains([' ', '"', '\'']) {
        true => format!("{word:?}"),
        false => word.clone(),
    });
    format!("`{}`", quoted.collect::<Vec<_>>().join(" "))
}

impl Targets {
    /// The consumers among them.
    pub fn consumers(&self) -> &[ConsumerId] {
        match self {
            Targets::Consumers(consumers) => consumers,
            _ => &[],
        }
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        self.kind.details(f)?;
        if self.targets != Targets::Cluster {
            write!(f, " {}", self.targets)?;
        }
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
            Targets::Brokers(brokers) => list(f, "broker", brokers),
            Targets::Cluster => f.write_str("cluster"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, noun: &str, numbers: &[impl fmt::Display]) -> fmt::Result {
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    write!(f, "{noun}{plural} {}", numbers.join(", "))
}
