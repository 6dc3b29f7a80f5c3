//! A metric: the columns of the table of metrics.

use std::fmt;

use super::{Digest, FaultSummary, PartitionSummary, StageSummary, Summary};
use crate::base::ClientKind;

/// One row of [`METRICS`](super::METRICS), which expectations, the verdict, reports and the book read.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in `[expect]`, without the prefix of a partition, stage or fault and without the quantile.
    pub name: &'static str,
    /// Its name in earlier versions, which `[expect]` accepts with a warning; `None` if it is the same.
    pub was: Option<&'static str>,
    /// The unit of its values.
    pub unit: Unit,
    /// Whether smaller or larger values are better.
    pub better: Better,
    /// What it counts or measures, in one sentence.
    pub meaning: &'static str,
    /// The condition under which a run has it.
    pub needs: Need,
    /// True if a wrong value proves a fault of the cluster or of a client even in an invalid run. The verdict is then
    /// that the run has failed.
    pub is_proof: bool,
    /// Whether it is among the totals of a report.
    pub total: Total,
    /// The name of its row in the latency table of a report, for quantiles of the whole run; `None` without a row.
    pub row: Option<&'static str>,
    /// The place and the name of its row in the latency table of a short report; `None` without a row.
    pub short_row: Option<(u8, &'static str)>,
    /// For metrics that must be 0 in each run of `explore`, with any faults: the property that 0 stands for.
    pub invariant: Option<&'static str>,
    /// True if a comparison of variants shows it by default.
    pub is_headline: bool,
    /// The cause of a value that does not meet an expectation, as text; `None` if it is not known.
    pub cause: fn(&Summary) -> Option<String>,
    /// Its place in a summary, and the part of the run that it is about.
    pub get: Get,
}

/// The place of a metric in a summary. Times are returned in nanoseconds; a [`Digest`] has microseconds.
#[derive(Clone, Copy, Debug)]
pub enum Get {
    /// A number of the whole run.
    Run(fn(&Summary) -> Option<f64>),
    /// These quantiles of a time, over the whole run.
    RunQuantiles(fn(&Summary) -> Option<&Digest>, &'static [Quantile]),
    /// A number of a partition.
    Partition(fn(&PartitionSummary) -> Option<f64>),
    /// These quantiles of a time, over a partition.
    PartitionQuantiles(fn(&PartitionSummary) -> Option<&Digest>, &'static [Quantile]),
    /// A number of a stage of the load.
    Stage(fn(&StageSummary) -> Option<f64>),
    /// These quantiles of a time, over a stage of the load.
    StageQuantiles(fn(&StageSummary) -> Option<&Digest>, &'static [Quantile]),
    /// A number of an occurrence of a fault.
    Fault(fn(&FaultSummary) -> Option<f64>),
}

/// The unit of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A time: in nanoseconds here, in milliseconds in `result.json`.
    Time,
    /// Another number: a rate, or a ratio.
    Number,
    /// 1 for yes, 0 for no.
    Flag,
}

/// The better one of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The smaller one.
    Less,
    /// The larger one.
    More,
    /// Neither: the value follows from the scenario.
    Neither,
}

/// The condition under which a run has a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// None: every run has it.
    Nothing,
    /// The load has a schedule, so it is not at maximum rate.
    Schedule,
    /// The times of acknowledgements are measured.
    Acknowledgements,
    /// The client reports this part of the latency.
    Part(Part),
    /// The group has a simulated coordinator.
    SimulatedCoordinator,
    /// The consumers are members of a group.
    Group,
    /// Offsets are committed for a group.
    Commits,
    /// The client is the native one, with connections to brokers.
    Requests,
    /// The load has a backlog.
    Backlog,
    /// The fault ends a consumer or a pool.
    Failure,
    /// The fault is not aimed at every partition.
    OtherPartitions,
}

/// Whether a metric is among the totals of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// It is, with any value.
    Always,
    /// It is, unless its value is 0.
    IfAny,
    /// It is not.
    Never,
}

/// A part of the latency of all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Send -> arrival in the consumer's client.
    Fetch,
    /// Arrival in the client -> handling begins.
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

    /// The reason why this client library does not report this part; `None` if it does.
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

/// A quantile that reports contain.
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

    /// Its value in `digest`, in nanoseconds; `None` without values.
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
    /// The number of a whole run; `None` where it was not measured, and for other kinds of metrics.
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        match self.get {
            Get::Run(get) => get(summary),
            _ => None,
        }
    }

    /// The distribution over a whole run; `None` where it was not measured, and for other kinds of metrics.
    pub fn digest<'a>(&self, summary: &'a Summary) -> Option<&'a Digest> {
        match self.get {
            Get::RunQuantiles(get, _) => get(summary),
            _ => None,
        }
    }

    /// The quantiles that it has; empty for a plain number.
    pub fn quantiles(&self) -> &'static [Quantile] {
        match self.get {
            Get::RunQuantiles(_, quantiles)
            | Get::PartitionQuantiles(_, quantiles)
            | Get::StageQuantiles(_, quantiles) => quantiles,
            _ => &[],
        }
    }

    /// Its place in `result.json`, for a metric of the whole run that may be missing there.
    pub fn place(&self) -> String {
        match self.name.strip_prefix("latency.") {
            Some(part) => format!("latency_us.{part}"),
            None => self.name.to_owned(),
        }
    }

    /// The prefix of its names before the choice of a partition, a stage or a fault; empty for the whole run.
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
