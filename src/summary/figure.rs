//! Figures: the meanings of names in `[expect]`.

use super::metrics::METRICS;
use super::{Digest, FaultSummary, Get, Metric, PartitionSummary, Quantile, Summary, Unit};

/// The meaning of a name in `[expect]`: a metric, and the part of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The metric.
    pub metric: &'static Metric,
    /// The part of the run that it is about.
    pub scope: Scope,
    /// The quantile, for a metric that has quantiles; otherwise `None`.
    pub quantile: Option<Quantile>,
}

/// The part of a run that a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole run.
    Run,
    /// Each partition by itself: the worst one decides.
    EachPartition,
    /// One partition.
    Partition(u32),
    /// One stage of the load, from 0.
    Stage(usize),
    /// One `[[fault]]`, from 0: the worst of its occurrences decides.
    Fault(usize),
}

impl Figure {
    /// The figure called `name`, such as `lost`, `latency.p99`, `partition[*].rate` or `fault[0].recovery`; `None` if
    /// there is none.
    pub fn parse(name: &str) -> Option<Figure> {
        let (prefix, scope, rest) = match name.split_once("].") {
            None => ("", Scope::Run, name),
            Some((head, rest)) => match head.split_once('[')? {
                ("partition", "*") => ("partition", Scope::EachPartition, rest),
                ("partition", id) => ("partition", Scope::Partition(id.parse().ok()?), rest),
                ("stage", index) => ("stage", Scope::Stage(index.parse().ok()?), rest),
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

    /// The present name of the figure that an earlier version called `old`; `None` if it called none so.
    pub fn renamed(old: &str) -> Option<String> {
        let start = old.rfind("].").map_or(0, |end| end + 2);
        let (choice, old) = old.split_at(start);
        let its = METRICS.iter().filter(|metric| metric.was == Some(old));
        let mut names = its.map(|metric| format!("{choice}{}", metric.name));
        names.find(|name| Figure::parse(name).is_some())
    }

    /// All names with their metrics. `[]` stands for the choice of a partition, a stage or a fault.
    pub fn names() -> impl Iterator<Item = (String, &'static Metric)> {
        METRICS.iter().flat_map(|metric| {
            let name = format!("{}{}", choice(metric), metric.name);
            let names = match metric.quantiles() {
                [] => vec![name],
                some => some.iter().map(|q| format!("{name}.{}", q.name())).collect(),
            };
            names.into_iter().map(move |name| (name, metric))
        })
    }

    /// The names of earlier versions in the same form, with their metrics.
    pub fn former_names() -> impl Iterator<Item = (String, &'static Metric)> {
        let former = |metric: &'static Metric| Some((choice(metric) + metric.was?, metric));
        METRICS.iter().filter_map(former)
    }

    /// True if the values are times, in nanoseconds.
    pub fn is_time(&self) -> bool {
        self.metric.unit == Unit::Time
    }

    /// Its values: one, or one for each partition (with its id) or occurrence of a fault. `None` where nothing was
    /// measured.
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
                let value = |p: &PartitionSummary| {
                    let is_covered = summary.is_covered(p.partition);
                    self.of_partition(p).filter(|_| is_covered)
                };
                partitions.map(|p| (Some(p.partition), value(p))).collect()
            }
            Get::Stage(_) | Get::StageQuantiles(..) => vec![(None, self.of_stage(summary))],
            Get::Fault(get) => self.of_faults(summary, get),
        }
    }

    /// Its value in the stage of its scope; `None` if the run did not reach the stage.
    fn of_stage(&self, summary: &Summary) -> Option<f64> {
        let stage = match self.scope {
            Scope::Stage(stage) => summary.stages.get(stage)?,
            _ => return None,
        };
        match self.metric.get {
            Get::Stage(get) => get(stage),
            Get::StageQuantiles(get, _) => self.quantile?.of(get(stage)?),
            _ => None,
        }
    }

    /// Its value in a partition; `None` where nothing was measured, and for metrics that are not about partitions.
    pub fn of_partition(&self, partition: &PartitionSummary) -> Option<f64> {
        match self.metric.get {
            Get::Partition(get) => get(partition),
            Get::PartitionQuantiles(get, _) => self.quantile?.of(get(partition)?),
            _ => None,
        }
    }

    /// The value of each occurrence of a fault. Times are judged only where an occurrence hit a partition, if any did.
    /// Counts are judged for each. An occurrence that was not reached has no value, which fails the expectation.
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
        let is_count = self.metric.unit == Unit::Count;
        let is_judged =
            |f: &&FaultSummary| all_missed || is_count || f.at_s.is_none() || has_hit(f);
        let judged = its.into_iter().filter(is_judged);
        judged.map(|fault| (None, fault.at_s.and_then(|_| get(fault)))).collect()
    }
}

/// The part of a name before the metric's name, with `[]` for the choice of a partition, a stage or a fault.
fn choice(metric: &Metric) -> String {
    match metric.prefix() {
        "" => String::new(),
        prefix => format!("{prefix}[]."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_figure_and_no_two_are_the_same() {
        let names: Vec<String> = Figure::names().map(|(name, _)| name).collect();
        assert!(names.len() > 100, "{names:?}");
        let mut seen: Vec<Figure> = Vec::new();
        for name in names {
            let index = if name.starts_with("partition") { "[7]" } else { "[0]" };
            let name = name.replacen("[]", index, 1);
            let figure = Figure::parse(&name).unwrap_or_else(|| panic!("{name}"));
            assert!(!seen.contains(&figure), "{name} is there twice");
            seen.push(figure);
        }
    }

    #[test]
    fn a_former_name_is_no_figure_and_leads_to_one() {
        for (old, new) in [
            ("quarantined", "given_up"),
            ("foreign", "other_producers"),
            ("unexplained", "unexpected_redelivered"),
            ("fault[3].released", "fault[3].fenced"),
        ] {
            assert_eq!((Figure::parse(old), Figure::renamed(old).as_deref()), (None, Some(new)));
            assert_eq!(Figure::renamed(new), None);
        }
        for old in ["released", "partition[0].released", "fault[0].foreign", "lost"] {
            assert_eq!(Figure::renamed(old), None, "{old}");
        }
        assert_eq!(Figure::former_names().count(), 4);
    }

    /// The second occurrence hits nothing. Its times are not judged, but its counts are.
    #[test]
    fn an_occurrence_that_hit_nothing_has_counts_and_no_times() {
        let hit = FaultSummary {
            at_s: Some(5.0),
            recovered_ms: Some(30.0),
            blast_radius: 1,
            partitions_hit: vec![3],
            ..FaultSummary::default()
        };
        let without = FaultSummary { at_s: Some(9.0), ..FaultSummary::default() };
        let not_reached = FaultSummary::default();
        let values = |name: &str, faults: Vec<FaultSummary>| -> Vec<Option<f64>> {
            let summary = Summary { faults, ..Summary::default() };
            let values = Figure::parse(name).expect("a figure").values(&summary);
            values.into_iter().map(|(_, value)| value).collect()
        };
        let both = || vec![hit.clone(), without.clone()];
        assert_eq!(values("fault[0].recovery", both()), [Some(30e6)]);
        assert_eq!(values("fault[0].blast_radius", both()), [Some(1.0), Some(0.0)]);
        assert_eq!(values("fault[0].recovery", vec![without.clone()]), [None]);
        assert_eq!(values("fault[0].blast_radius", vec![hit, not_reached]), [Some(1.0), None]);
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
