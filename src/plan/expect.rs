//! What must hold at the end of a run.

use crate::summary::Figure;

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
