//! What a metric is, and the figures that a name in `[expect]` stands for.

use std::fmt;

use super::metrics::METRICS;
use super::{Digest, FaultSummary, PartitionSummary, Summary};
use crate::base::BrokerKind;

/// One row of [`METRICS`]: everything that expectations, verdict, reports and the book know of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in `[expect]`, without the partition or fault before it and the quantile behind it.
    pub name: &'static str,
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

    /// Why clients on this kind of broker do not tell this part from the others; `None` if they do.
    pub fn not_measured_on(self, kind: BrokerKind) -> Option<&'static str> {
        match (self, kind.capability().fetch_is_timed) {
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
    fn of(self, digest: &Digest) -> Option<f64> {
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
    /// The metric of a whole run called `name`, if there is one.
    pub fn of_run(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.name == name && metric.prefix().is_empty())
    }

    /// The value of a whole run; `None` where it was not measured, and of other metrics.
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        match self.get {
            Get::Run(get) => get(summary),
            _ => None,
        }
    }

    /// The quantiles it has; none for a plain number.
    pub fn quantiles(&self) -> &'static [Quantile] {
        match self.get {
            Get::RunQuantiles(_, quantiles) | Get::PartitionQuantiles(_, quantiles) => quantiles,
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

    /// What a name begins with before the choice of a partition or a fault; nothing for the whole run.
    pub(super) fn prefix(&self) -> &'static str {
        match self.get {
            Get::Run(_) | Get::RunQuantiles(..) => "",
            Get::Partition(_) | Get::PartitionQuantiles(..) => "partition",
            Get::Fault(_) => "fault",
        }
    }
}

impl PartialEq for Metric {
    fn eq(&self, other: &Metric) -> bool {
        (self.prefix(), self.name) == (other.prefix(), other.name)
    }
}

/// What a name in `[expect]` stands for: a metric, and the part of it that is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The metric.
    pub metric: &'static Metric,
    /// What it is about.
    pub scope: Scope,
    /// Of a metric with quantiles, the one that is meant.
    pub quantile: Option<Quantile>,
}

/// What a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole run.
    Run,
    /// Every partition by itself: the worst decides.
    EachPartition,
    /// One partition.
    Partition(u32),
    /// One `[[fault]]`, from 0: the worst of its occurrences decides.
    Fault(usize),
}

impl Figure {
    /// The figure called `name`, if there is one: `lost`, `latency.p99`, `partition[*].rate`, `fault[0].recovery`.
    pub fn parse(name: &str) -> Option<Figure> {
        let (prefix, scope, rest) = match name.split_once("].") {
            None => ("", Scope::Run, name),
            Some((head, rest)) => match head.split_once('[')? {
                ("partition", "*") => ("partition", Scope::EachPartition, rest),
                ("partition", id) => ("partition", Scope::Partition(id.parse().ok()?), rest),
                ("fault", index) => ("fault", Scope::Fault(index.parse().ok()?), rest),
                _ => return None,
            },
        };
        let find = |name: &str| {
            METRICS.iter().find(|metric| metric.prefix() == prefix && metric.name == name)
        };
        if let Some(metric) = find(rest).filter(|metric| metric.quantiles().is_empty()) {
            return Some(Figure { metric, scope, quantile: None });
        }
        let (rest, quantile) = rest.rsplit_once('.')?;
        let metric = find(rest)?;
        let quantile = metric.quantiles().iter().find(|known| known.name() == quantile)?;
        Some(Figure { metric, scope, quantile: Some(*quantile) })
    }

    /// All names, with `[]` where a partition or a fault is chosen.
    pub fn names() -> Vec<String> {
        let names = METRICS.iter().flat_map(|metric| {
            let choice = if metric.prefix().is_empty() { "" } else { "[]." };
            let name = format!("{}{choice}{}", metric.prefix(), metric.name);
            match metric.quantiles() {
                [] => vec![name],
                some => some.iter().map(|q| format!("{name}.{}", q.name())).collect(),
            }
        });
        names.collect()
    }

    /// Whether values are spans of time, in nanoseconds.
    pub fn is_time(&self) -> bool {
        self.metric.unit == Unit::Time
    }

    /// Its values: one, or one for each partition or occurrence. `None` where nothing was measured.
    pub fn values(&self, summary: &Summary) -> Vec<(Option<u32>, Option<f64>)> {
        let quantile = |digest: Option<&Digest>| self.quantile?.of(digest?);
        match self.metric.get {
            Get::Run(get) => vec![(None, get(summary))],
            Get::RunQuantiles(get, _) => vec![(None, quantile(get(summary)))],
            Get::Partition(_) | Get::PartitionQuantiles(..) => {
                let is_meant = |p: &&PartitionSummary| match self.scope {
                    Scope::Partition(id) => id == p.partition,
                    _ => true,
                };
                let partitions = summary.partitions.iter().filter(is_meant);
                partitions.map(|p| (Some(p.partition), self.of_partition(p))).collect()
            }
            Get::Fault(get) => self.of_faults(summary, get),
        }
    }

    /// Its value in a partition; `None` where nothing was measured, and of metrics that are not about partitions.
    pub fn of_partition(&self, partition: &PartitionSummary) -> Option<f64> {
        match self.metric.get {
            Get::Partition(get) => get(partition),
            Get::PartitionQuantiles(get, _) => self.quantile?.of(get(partition)?),
            _ => None,
        }
    }

    /// The value of every occurrence of a fault. An occurrence that hit no partition has no times to judge; one that
    /// was not reached has nothing at all, and so fails.
    fn of_faults(
        &self,
        summary: &Summary,
        get: fn(&FaultSummary) -> Option<f64>,
    ) -> Vec<(Option<u32>, Option<f64>)> {
        let is_its = |fault: &&FaultSummary| self.scope == Scope::Fault(fault.fault);
        let its: Vec<&FaultSummary> = summary.faults.iter().filter(is_its).collect();
        let has_hit = |fault: &FaultSummary| {
            !fault.partitions_aimed_at.is_empty() || !fault.partitions_hit.is_empty()
        };
        let all_missed = !its.iter().any(|fault| has_hit(fault));
        let is_judged = |f: &&FaultSummary| {
            all_missed || self.metric.name == "missed" || f.at_s.is_none() || has_hit(f)
        };
        let judged = its.into_iter().filter(is_judged);
        judged.map(|fault| (None, fault.at_s.and_then(|_| get(fault)))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_figure_and_no_two_are_the_same() {
        let names = Figure::names();
        assert!(names.len() > 100, "{names:?}");
        let mut seen: Vec<Figure> = Vec::new();
        for name in names {
            let index = if name.starts_with("fault") { "[0]" } else { "[7]" };
            let name = name.replacen("[]", index, 1);
            let figure = Figure::parse(&name).unwrap_or_else(|| panic!("{name}"));
            assert!(!seen.contains(&figure), "{name} is there twice");
            seen.push(figure);
        }
    }

    #[test]
    fn names_that_are_close_are_not_figures() {
        for name in [
            "latency",
            "latency.p98",
            "lost.p99",
            "partition[x].rate",
            "partition[*].lost",
            "fault[*].recovery",
            "lateness.p90",
            "partition[0].latency.ack.p99",
            "broker[0].rate",
        ] {
            assert_eq!(Figure::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_meaning_is_one_sentence_without_an_end() {
        for metric in METRICS {
            let is_plain = !metric.meaning.is_empty() && !metric.meaning.ends_with('.');
            assert!(is_plain && !metric.meaning.contains('|'), "{}", metric.name);
        }
    }
}
