//! What a metric is: the columns of the table of metrics.

use std::fmt;

use super::{Digest, FaultSummary, PartitionSummary, StageSummary, Summary};
use crate::base::ClientKind;

/// One row of [`METRICS`](super::METRICS): everything that expectations, verdict, reports and the book know of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in `[expect]`, without the partition or fault before it and the quantile behind it.
    pub name: &'static str,
    /// Another name it had in the version before: `[expect]` takes it with a warning.
    pub was: Option<&'static str>,
    /// The unit of its values.
    pub unit: Unit,
    /// Which of two values is the better one.
    pub better: Better,
    /// What it counts or measures, in one sentence.
    pub meaning: &'static str,
    /// What a run needs to have it.
    pub needs: Need,
    /// Whether a wrong value proves a fault of the cluster or of a client whatever the tester did. It outranks an invalid
    /// run.
    pub is_proof: bool,
    /// Whether the totals of a report have it.
    pub total: Total,
    /// The name of its row in the latency table of a report, of quantiles of the whole run.
    pub row: Option<&'static str>,
    /// Its place and name among the few rows of the latency table of a short report.
    pub short_row: Option<(u8, &'static str)>,
    /// In a run that `explore` makes it must be 0, whatever is broken: what that means.
    pub invariant: Option<&'static str>,
    /// Whether a comparison of variants shows it unless all metrics are asked for.
    pub is_headline: bool,
    /// What led to a value that is not as expected.
    pub cause: fn(&Summary) -> Option<String>,
    /// Where a summary has it, and what it is about.
    pub get: Get,
}

/// Where a summary has a metric. Times are nanoseconds, and quantiles are of times.
#[derive(Clone, Copy, Debug)]
pub enum Get {
    /// A number of the whole run.
    Run(fn(&Summary) -> Option<f64>),
    /// Quantiles over the whole run, of those named.
    RunQuantiles(fn(&Summary) -> Option<&Digest>, &'static [Quantile]),
    /// A number of a partition.
    Partition(fn(&PartitionSummary) -> Option<f64>),
    /// Quantiles of a partition, of those named.
    PartitionQuantiles(fn(&PartitionSummary) -> Option<&Digest>, &'static [Quantile]),
    /// A number of a stage of the load.
    Stage(fn(&StageSummary) -> Option<f64>),
    /// Quantiles of a stage of the load, of those named.
    StageQuantiles(fn(&StageSummary) -> Option<&Digest>, &'static [Quantile]),
    /// A number of an occurrence of a fault.
    Fault(fn(&FaultSummary) -> Option<f64>),
}

/// The unit of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// How many there are.
    Count,
    /// A span of time: nanoseconds here, milliseconds in `result.json`.
    Time,
    /// A number that is none of the others: a rate, or a ratio.
    Number,
    /// 1 for yes, 0 for no.
    Flag,
}

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The smaller one.
    Less,
    /// The larger one.
    More,
    /// Neither: it follows from what was run.
    Neither,
}

/// What a run needs to have a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Every run has it.
    Nothing,
    /// A schedule to compare with.
    Schedule,
    /// Acknowledgements whose time is known.
    Acknowledgements,
    /// A client that tells this part of the latency from the others.
    Part(Part),
    /// A coordinator that says what it does.
    SimulatedCoordinator,
    /// A group whose members can change.
    Group,
    /// A group for which offsets are committed.
    Commits,
    /// A client of our own with connections to brokers.
    Requests,
    /// A backlog.
    Backlog,
    /// A fault that ends a consumer or a pool.
    Failure,
    /// A fault that is not aimed at every partition.
    OtherPartitions,
}

/// Whether the totals of a report have a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Whatever its value is.
    Always,
    /// If its value is not 0.
    IfAny,
    /// No: it is shown elsewhere, or nowhere.
    Never,
}

/// A part of the latency, of all partitions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Send -> in the consumer's client.
    Fetch,
    /// In the client -> handling begins.
    Waiting,
    /// Send -> handling begins.
    HandedOver,
    /// Handling begins -> processed.
    Handling,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 4] = [Part::Fetch, Part::Waiting, Part::HandedOver, Part::Handling];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Part::Fetch => "fetch",
            Part::Waiting => "waiting",
            Part::HandedOver => "handed_over",
            Part::Handling => "handling",
        }
    }

    /// Why this client library does not tell this part from the others; `None` if it does.
    pub fn not_measured_by(self, client: ClientKind) -> Option<&'static str> {
        match (self, client.fetch_is_timed()) {
            (Part::Fetch | Part::Waiting, false) => Some(
                "librdkafka does not say when it received a record: `handed_over` is both parts together",
            ),
            (Part::HandedOver, true) => {
                Some("the client tells its two parts apart: `fetch` and `waiting`")
            }
            _ => None,
        }
    }
}

/// A quantile that reports have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// The median.
    P50,
    /// 90 %.
    P90,
    /// 95 %.
    P95,
    /// 99 %.
    P99,
    /// 99.9 %.
    P999,
    /// The largest value.
    Max,
}

impl Quantile {
    /// Every quantile.
    pub const ALL: [Quantile; 6] =
        [Quantile::P50, Quantile::P90, Quantile::P95, Quantile::P99, Quantile::P999, Quantile::Max];

    /// Its name in `[expect]`.
    pub fn name(self) -> &'static str {
        match self {
            Quantile::P50 => "p50",
            Quantile::P90 => "p90",
            Quantile::P95 => "p95",
            Quantile::P99 => "p99",
            Quantile::P999 => "p999",
            Quantile::Max => "max",
        }
    }

    /// Its value in `digest`, in nanoseconds.
    pub fn of(self, digest: &Digest) -> Option<f64> {
        let us = match self {
            Quantile::P50 => digest.p50,
            Quantile::P90 => digest.p90,
            Quantile::P95 => digest.p95,
            Quantile::P99 => digest.p99,
            Quantile::P999 => digest.p999,
            Quantile::Max => digest.max,
        };
        us.map(|us| us * 1e3)
    }
}

impl Metric {
    /// The value of a whole run; `None` where it was not measured, and of other metrics.
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        match self.get {
            Get::Run(get) => get(summary),
            _ => None,
        }
    }

    /// The distribution of a whole run; `None` where it was not measured, and of other metrics.
    pub fn digest<'a>(&self, summary: &'a Summary) -> Option<&'a Digest> {
        match self.get {
            Get::RunQuantiles(get, _) => get(summary),
            _ => None,
        }
    }

    /// The quantiles it has; none for a plain number.
    pub fn quantiles(&self) -> &'static [Quantile] {
        match self.get {
            Get::RunQuantiles(_, quantiles)
            | Get::PartitionQuantiles(_, quantiles)
            | Get::StageQuantiles(_, quantiles) => quantiles,
            _ => &[],
        }
    }

    /// Where `result.json` has it, of a metric of the whole run that may be missing there.
    pub fn place(&self) -> String {
        match self.name.strip_prefix("latency.") {
            Some(part) => format!("latency_us.{part}"),
            None => self.name.to_owned(),
        }
    }

    /// What a name begins with before the choice of a partition, a stage or a fault; nothing for the whole run.
    pub(super) fn prefix(&self) -> &'static str {
        match self.get {
            Get::Run(_) | Get::RunQuantiles(..) => "",
            Get::Partition(_) | Get::PartitionQuantiles(..) => "partition",
            Get::Stage(_) | Get::StageQuantiles(..) => "stage",
            Get::Fault(_) => "fault",
        }
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Metric) -> bool {
        (self.prefix(), self.name) == (other.prefix(), other.name)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Time => "ms",
            Unit::Count => "count",
            Unit::Number | Unit::Flag => "number",
        })
    }
}
