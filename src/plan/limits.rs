//! The limits beyond which a run is invalid, and the policies of watchdogs and restarts.
//!
//! Also the expectations of a run, the figures that a run does not measure, and every occurrence of a fault, with its
//! targets resolved.

use std::fmt;
use std::time::Duration;

use super::{Acks, CheckpointPlan, Pace, Plan, ProducerClients};
use crate::base::{Random, format_duration};
use crate::fault::{ClusterFault, FaultEffect, KindPlan, Targets};
use crate::summary::{Figure, Need};

/// Thresholds of the load generator's own behaviour. Beyond them a run is `INVALID`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Smallest share of the records due in the measured window that a paced run sends.
    pub sent_min: f64,
    /// Largest p99 of schedule lateness that is accepted without a check of the response time.
    pub lateness_p99_max: Duration,
    /// Largest share of the response time's p50 that the p99 of lateness may be, if it is above `lateness_p99_max`.
    pub lateness_share_max: f64,
    /// Largest share of the CPU time available to this process that it may use, 0 to 1.
    pub cpu_share_max: f64,
    /// Largest number of gaps that a lane may have at once. Beyond it, the run is invalid.
    pub sequence_gaps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            sent_min: 0.99,
            lateness_p99_max: Duration::from_millis(1),
            lateness_share_max: 0.10,
            cpu_share_max: 0.80,
            sequence_gaps: 4096,
        }
    }
}

/// The limits after which a silent consumer counts as hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchPolicy {
    /// Longest time between two polls of a host. Also the time that each remedy has to take effect.
    pub poll: Duration,
    /// Longest time that records may wait without a delivery, while the cluster has no known failure.
    pub fetch: Duration,
    /// Longest time until the thread of a released consumer has closed its client.
    pub close: Duration,
    /// Threads that may be abandoned at once before the run has failed.
    pub abandoned_max: u32,
}

impl Default for WatchPolicy {
    fn default() -> Self {
        WatchPolicy {
            poll: Duration::from_secs(5),
            // Longer than a healthy client takes to find another broker.
            fetch: Duration::from_secs(30),
            close: Duration::from_secs(10),
            abandoned_max: 3,
        }
    }
}

/// The policy for restarts of consumers and pools.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Delay before the second restart; the first is immediate.
    pub backoff: Duration,
    /// Factor from one delay to the next.
    pub factor: f64,
    /// Longest delay.
    pub backoff_max: Duration,
    /// Share of a delay by which it is randomly spread, from the seed.
    pub jitter: f64,
    /// Time without a failure, with progress, after which the delay is reset.
    pub stable: Duration,
    /// Failures without progress within `budget_window` after which a consumer is given up.
    pub budget: u32,
    /// The window in which failures are counted for `budget`.
    pub budget_window: Duration,
}

impl RestartPolicy {
    /// The delay after `delays` earlier ones in a row: `backoff` x `factor`^n up to `backoff_max`, randomly spread.
    pub fn delay(&self, delays: u32, random: &mut Random) -> Duration {
        let exact = self.backoff.as_secs_f64() * self.factor.powi(delays.min(64) as i32);
        let capped = exact.min(self.backoff_max.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * random.unit() - 1.0);
        Duration::from_secs_f64(capped * spread)
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        RestartPolicy {
            backoff: Duration::from_millis(200),
            factor: 2.0,
            backoff_max: Duration::from_secs(30),
            jitter: 0.2,
            stable: Duration::from_secs(1),
            budget: 5,
            budget_window: Duration::from_secs(120),
        }
    }
}

/// An expectation: a figure, a comparison, and the text the user wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// The text as written, for example `latency.p99 < 50ms`.
    pub expression: String,
    /// The figure.
    pub figure: Figure,
    /// The required value.
    pub comparison: Comparison,
    /// True if it is a default expectation, which a run has unless its scenario names the figure.
    pub is_default: bool,
}

/// A comparison. Times are in nanoseconds, other values in the figure's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    /// Equal.
    Equal(f64),
    /// Less.
    Less(f64),
    /// Less or equal.
    AtMost(f64),
    /// Greater.
    Greater(f64),
    /// Greater or equal.
    AtLeast(f64),
    /// Between two values, both included.
    Within(f64, f64),
}

impl Comparison {
    /// True if `value` fulfils the comparison.
    pub fn holds(&self, value: f64) -> bool {
        match *self {
            Comparison::Equal(want) => value == want,
            Comparison::Less(bound) => value < bound,
            Comparison::AtMost(bound) => value <= bound,
            Comparison::Greater(bound) => value > bound,
            Comparison::AtLeast(bound) => value >= bound,
            Comparison::Within(low, high) => (low..=high).contains(&value),
        }
    }

    /// Distance of `value` from the required value, to find the worst of several values. Larger is worse.
    pub fn badness(&self, value: f64) -> f64 {
        match *self {
            Comparison::Equal(want) => (value - want).abs(),
            Comparison::Less(_) | Comparison::AtMost(_) => value,
            Comparison::Greater(_) | Comparison::AtLeast(_) => -value,
            Comparison::Within(low, high) => (low - value).max(value - high),
        }
    }
}

impl Plan {
    /// The reason why this run does not have what a metric needs, with a remedy; `None` if it has. Needs of metrics of
    /// faults are not checked here.
    pub fn lacks(&self, needs: Need) -> Option<(&'static str, &'static str)> {
        let is_modelled = self.broker.capability().is_modelled;
        let (why, remedy) = match needs {
            Need::Schedule | Need::Acknowledgements if !self.load.sends() => (
                "with `load.producers = 0` the run sends nothing",
                "remove it; rates, lag and stalls are measured",
            ),
            Need::Acknowledgements if self.load.acks == Acks::None => (
                "with `acks = \"none\"` no record is acknowledged",
                "remove it, or set `load.acks` to `leader` or `all`",
            ),
            Need::Acknowledgements
                if self.load.clients == ProducerClients::PerProducer
                    && !self.broker.client().times_many_clients() =>
            {
                (
                    "with a client per producer acknowledgements are not timed",
                    "remove it, or set `load.clients` to `pool`",
                )
            }
            Need::SimulatedCoordinator if !is_modelled => (
                "no coordinator but the simulated one says what it does",
                "remove it, or use `--broker sim`",
            ),
            Need::Group if self.group().is_none() => (
                "consumers with partitions of their own never rebalance",
                "remove it, or set `consumers.mode` to `group`",
            ),
            Need::Commits if self.group().is_none() => match &self.consumers.checkpoint {
                CheckpointPlan::Commit { .. } if !is_modelled => return None,
                CheckpointPlan::Commit { .. } => (
                    "nothing of a simulation outlives it: no checkpoints are committed",
                    "remove it, or set `consumers.mode` to `group`",
                ),
                CheckpointPlan::Memory | CheckpointPlan::File { .. } => (
                    "consumers with partitions of their own commit nothing",
                    "remove it, or set `consumers.mode` to `group`, or `consumers.checkpoint` to `commit`",
                ),
            },
            Need::Backlog if self.load.backlog.is_none() => {
                ("the run starts without a backlog", "remove it, or set `load.backlog`")
            }
            Need::Requests if is_modelled || !self.broker.client().counts_requests() => (
                "librdkafka does not tell how many requests it sends, and a model has no connections",
                "remove it, or use `--client native` on a cluster",
            ),
            Need::Part(part) => (
                part.not_measured_by(self.broker.client())?,
                "ask for the parts this client measures, or for `latency.service`",
            ),
            Need::Schedule if self.load.pace == Pace::Max => (
                "at `rate = \"max\"` there is no schedule to keep",
                "remove it, or set `load.rate` to a rate; `achieved_per_s` is measured either way",
            ),
            _ => return None,
        };
        Some((why, remedy))
    }
}

/// One occurrence of a fault. A repeated `[[fault]]` has one for each repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultPlan {
    /// Index of the `[[fault]]` in the scenario, from 0.
    pub entry: usize,
    /// Time of the fault, from the start of the load, warmup included.
    pub at: Duration,
    /// Duration of the fault; `None` for an instantaneous or unlimited one.
    pub lasts: Option<Duration>,
    /// Kind and effect of the fault.
    pub kind: KindPlan,
    /// The targets of the fault.
    pub targets: Targets,
}

impl FaultPlan {
    /// End of the fault. For an instantaneous fault, its time.
    pub fn end(&self) -> Duration {
        self.at + self.lasts.unwrap_or_default()
    }
}

impl Plan {
    /// Number of partitions after all faults that add some.
    pub fn partitions_max(&self) -> u32 {
        let grown = self.faults.iter().filter_map(|fault| match fault.kind.effect {
            FaultEffect::Cluster(ClusterFault::Grow(partitions)) => Some(partitions),
            _ => None,
        });
        grown.chain([self.topic.partitions]).max().unwrap_or(0)
    }

    /// The first command that faults run, as a shell command; `None` without commands.
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
