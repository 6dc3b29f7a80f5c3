//! The figures that are compared: all figures of the metric table, with one value per run.

use crate::summary::{Better, Figure, Quantile, Scope, Summary, Unit};

/// A figure of the metric table, and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedFigure {
    /// The name in `[expect]`: `latency.p99`, `partition[*].lag_max`, `fault[0].recovery`.
    pub name: String,
    /// Meaning of the figure.
    pub figure: Figure,
    /// True if a comparison shows the figure by default.
    pub is_headline: bool,
}

/// Quantiles of the whole run that a comparison shows by default. Of the worst partition it shows the p99.
const HEADLINE_QUANTILES: [Quantile; 4] =
    [Quantile::P50, Quantile::P95, Quantile::P99, Quantile::P999];

impl NamedFigure {
    /// All figures of runs with this number of `[[fault]]` and of stages, in the order of the metric table. A figure of
    /// each partition has the value of the worst partition.
    pub fn all(faults: usize, stages: usize) -> Vec<NamedFigure> {
        let mut all = Vec::new();
        for (name, _) in Figure::names() {
            let numbered = |count: usize| {
                (0..count).map(|at| name.replacen("[]", &format!("[{at}]"), 1)).collect()
            };
            let names: Vec<String> = match name.split('.').next() {
                Some("fault[]") => numbered(faults),
                Some("stage[]") => numbered(stages),
                _ => vec![name.replacen("[]", "[*]", 1)],
            };
            all.extend(names.iter().filter_map(|name| NamedFigure::named(name)));
        }
        all
    }

    /// The figure with this name; `None` if there is none.
    pub fn named(name: &str) -> Option<NamedFigure> {
        let figure = Figure::parse(name)?;
        let quantiles = match figure.scope {
            Scope::Run => &HEADLINE_QUANTILES[..],
            _ => &[Quantile::P99],
        };
        let is_shown = figure.quantile.is_none_or(|it| quantiles.contains(&it));
        let is_headline = figure.metric.is_headline && is_shown;
        Some(NamedFigure { name: name.to_owned(), figure, is_headline })
    }

    /// The value in a run: times in milliseconds, and the worst of several values. `None` if the run does not have the
    /// figure, or if an occurrence of a fault has no value, for example without recovery.
    pub fn value(&self, summary: &Summary) -> Option<f64> {
        let values = self.figure.values(summary).into_iter().map(|(_, value)| value);
        let values: Option<Vec<f64>> = match self.figure.scope {
            // A partition without records has no latency.
            Scope::EachPartition => Some(values.flatten().collect()),
            _ => values.collect(),
        };
        let worst = match self.figure.metric.better {
            Better::More => values?.into_iter().reduce(f64::min),
            Better::Less | Better::Neither => values?.into_iter().reduce(f64::max),
        };
        let unit = if self.figure.metric.unit == Unit::Time { 1e-6 } else { 1.0 };
        worst.map(|worst| worst * unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Digest;

    #[test]
    fn all_figures_have_a_name_of_their_own_and_some_are_shown() {
        let all = NamedFigure::all(2, 0);
        assert!(all.iter().any(|it| it.name == "fault[1].recovery" && it.is_headline));
        assert!(all.iter().any(|it| it.name == "latency.p90" && !it.is_headline));
        let headlines = all.iter().filter(|it| it.is_headline).count();
        assert!((15..40).contains(&headlines), "{headlines}");
        assert!(!NamedFigure::all(0, 1).iter().any(|it| it.name.starts_with("fault")));
    }

    #[test]
    fn times_are_milliseconds() {
        let mut summary = Summary::default();
        summary.latency_us.response = Digest { p99: Some(1_500.0), ..Digest::default() };
        let value = |name: &str| NamedFigure::named(name).expect(name).value(&summary);
        assert_eq!(value("latency.p99"), Some(1.5));
        assert_eq!((value("lost"), value("latency.p50")), (Some(0.0), None));
        assert_eq!(value("partition[*].rate"), None);
    }
}
