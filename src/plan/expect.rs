//! What must hold at the end of a run, and what a run needs for that.

use super::{Acks, CheckpointPlan, Pace, Plan, ProducerClients};
use crate::base::BrokerKind;
use crate::summary::{Figure, Need};

/// An expectation: a figure, a comparison, and the text the user wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As written, e.g. `latency.p99 < 50ms`.
    pub expression: String,
    /// The figure.
    pub figure: Figure,
    /// What it must be.
    pub comparison: Comparison,
    /// Whether it is one that every run has unless its scenario names the figure.
    pub is_default: bool,
}

/// A comparison. Times are nanoseconds, everything else as it is.
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
    /// Between the two, both included.
    Within(f64, f64),
}

impl Comparison {
    /// Whether `value` meets it.
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

    /// How far `value` is on the wrong side, for finding the worst of several; larger is worse.
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
    /// Why this run does not have what a metric needs, and what to do about it. What faults need is not in it.
    pub fn lacks(&self, needs: Need) -> Option<(&'static str, &'static str)> {
        let kind = self.broker.kind();
        let (why, remedy) = match needs {
            Need::Acknowledgements if self.load.acks == Acks::None => (
                "with `acks = \"none\"` no record is acknowledged",
                "remove it, or set `load.acks` to `leader` or `all`",
            ),
            Need::Acknowledgements if self.load.clients == ProducerClients::PerProducer => (
                "with a client per producer acknowledgements are not timed",
                "remove it, or set `load.clients` to `pool`",
            ),
            Need::SimulatedCoordinator if kind != BrokerKind::Sim => (
                "no coordinator but the simulated one says what it does",
                "remove it, or use `--broker sim`",
            ),
            Need::Group if self.group().is_none() => (
                "consumers with partitions of their own never rebalance",
                "remove it, or set `consumers.mode` to `group`",
            ),
            Need::Commits if self.group().is_none() => match &self.consumers.checkpoint {
                CheckpointPlan::Commit { .. } if kind != BrokerKind::Sim => return None,
                CheckpointPlan::Commit { .. } => (
                    "nothing of a simulation outlives it: no checkpoints are committed",
                    "remove it, or set `consumers.mode` to `group`",
                ),
                CheckpointPlan::Memory | CheckpointPlan::File { .. } => (
                    "consumers with partitions of their own commit nothing",
                    "remove it, or set `consumers.mode` to `group`, or `consumers.checkpoint` to `commit`",
                ),
            },
            Need::Part(part) => (
                part.not_measured_on(kind)?,
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
