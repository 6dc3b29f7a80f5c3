//! A sweep: the figures of every combination of some settings, one row each.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::axes::Axis;
use super::difference::{Interval, interval};
use super::figures::NamedFigure;
use super::rounds::InvalidRun;
use super::sample::Sample;
use super::scale::Scale;
use super::text::{aligned, section};
use super::variant::{Variant, VariantRounds};
use crate::base::Seed;
use crate::summary::Verdict;

/// Figures that a sweep shows by default.
pub const SWEEP_FIGURES: [&str; 4] =
    ["achieved_per_s", "latency.p50", "latency.p99", "partition[*].lag_max"];

/// Version of the sweep's JSON. Raised when a field changes its meaning or goes away, not when one is added.
const SWEEP_VERSION: u32 = 1;

/// All rows of a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct SweepTable {
    /// Version of this format.
    pub sweep_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Kind of broker.
    pub broker: String,
    /// Paths of the settings that have several values, in their order.
    pub settings: Vec<String>,
    /// Names of the figures, in their order.
    pub figures: Vec<String>,
    /// `ms`, `count` or `number` of each figure.
    pub units: Vec<String>,
    /// Rounds of each combination.
    pub rounds: usize,
    /// A row for each combination.
    pub rows: Vec<SweepRow>,
    /// Runs that were INVALID and do not count.
    pub invalid: Vec<String>,
    /// Remarks for the reader.
    pub notes: Vec<String>,
}

/// One combination.
#[derive(Clone, Debug, Serialize)]
pub struct SweepRow {
    /// The value of each setting, by its path.
    pub settings: BTreeMap<String, String>,
    /// Rounds that count.
    pub rounds: usize,
    /// Of these rounds, those in which every expectation holds.
    pub passed: usize,
    /// The figures, in the order of [`SweepTable::figures`].
    pub values: Vec<SweepValue>,
}

/// A figure of a combination.
#[derive(Clone, Debug, Serialize)]
pub struct SweepValue {
    /// Mean over the rounds that have it; `null` if none has.
    pub value: Option<f64>,
    /// 95 % interval of the mean; `null` if it has a single round, or if a round does not have the figure.
    pub interval: Option<Interval>,
    /// The value of each round.
    pub rounds: Vec<Option<f64>>,
}

impl SweepValue {
    fn of(figure: &NamedFigure, rounds: &VariantRounds, seed: Seed) -> SweepValue {
        let values: Vec<Option<f64>> =
            rounds.summaries.iter().map(|summary| figure.value(summary)).collect();
        let known: Vec<f64> = values.iter().copied().flatten().collect();
        let is_whole = known.len() == values.len();
        let sample = Sample::of_rounds(known);
        let estimate = sample.estimate(seed).filter(|_| is_whole);
        SweepValue {
            value: sample.mean(),
            interval: estimate.as_ref().and_then(interval),
            rounds: values,
        }
    }
}

impl SweepTable {
    /// The table of the runs.
    pub fn new(
        axes: &[Axis],
        variants: &[Variant],
        rounds: &[VariantRounds],
        figures: &[NamedFigure],
        invalid: &[InvalidRun],
    ) -> SweepTable {
        let first = rounds.iter().find_map(|it| it.summaries.first());
        let several: Vec<&Axis> = axes.iter().filter(|axis| axis.values.len() > 1).collect();
        let row = |(variant, rounds): (&Variant, &VariantRounds)| SweepRow {
            settings: several.iter().map(|axis| setting(axis, variant)).collect(),
            rounds: rounds.summaries.len(),
            passed: rounds.summaries.iter().filter(|it| it.verdict == Verdict::Passed).count(),
            values: figures.iter().map(|it| SweepValue::of(it, rounds, Seed(1))).collect(),
        };
        let said = |it: &InvalidRun| {
            format!("{}, round {}: {}", it.variant, it.round, it.reasons.join("; "))
        };
        SweepTable {
            sweep_version: SWEEP_VERSION,
            scenario: first.map(|it| it.scenario.clone()).unwrap_or_default(),
            broker: first.map(|it| it.broker.clone()).unwrap_or_default(),
            settings: several.iter().map(|axis| axis.path.clone()).collect(),
            figures: figures.iter().map(|it| it.name.clone()).collect(),
            units: figures.iter().map(|it| it.figure.metric.unit.to_string()).collect(),
            rounds: rounds.iter().map(|it| it.summaries.len()).max().unwrap_or(0),
            rows: variants.iter().zip(rounds).map(row).collect(),
            invalid: invalid.iter().map(said).collect(),
            notes: Vec::new(),
        }
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let rounds = if self.rounds == 1 { "round" } else { "rounds" };
        let mut out = format!(
            "SWEPT  {}: {} combinations, {} {rounds} each, {} broker\n",
            self.scenario,
            self.rows.len(),
            self.rounds,
            self.broker
        );
        let scales: Vec<Scale> = (0..self.figures.len()).map(|at| self.scale(at)).collect();
        let mut head = self.settings.clone();
        head.push("passed".to_owned());
        head.extend(self.figures.iter().zip(&scales).map(|(name, scale)| scale.named(name)));
        let mut lines = vec![head];
        for row in &self.rows {
            let setting = |path: &String| row.settings.get(path).cloned().unwrap_or_default();
            let mut line: Vec<String> = self.settings.iter().map(setting).collect();
            line.push(format!("{} of {}", row.passed, row.rounds));
            line.extend(row.values.iter().zip(&scales).map(|(value, scale)| shown(value, scale)));
            lines.push(line);
        }
        out.push_str(&aligned(&lines));
        section(&mut out, "INVALID RUNS", &self.invalid);
        section(&mut out, "NOTES", &self.notes);
        out
    }

    fn scale(&self, at: usize) -> Scale {
        let values = self.rows.iter().filter_map(|row| row.values.get(at)?.value);
        Scale::over(&self.units[at], &values.collect::<Vec<_>>())
    }

    /// A line of names, and a line for each combination. Values that were not measured are empty. Times are
    /// milliseconds.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let mut head: Vec<String> = self.settings.clone();
        head.extend(["rounds".to_owned(), "passed".to_owned()]);
        for (name, unit) in self.figures.iter().zip(&self.units) {
            let unit = if unit == "ms" { "_ms" } else { "" };
            head.extend(["", "_low", "_high"].map(|end| format!("{name}{unit}{end}")));
        }
        let _ = writeln!(out, "{}", joined(&head));
        for row in &self.rows {
            let setting = |path: &String| row.settings.get(path).cloned().unwrap_or_default();
            let mut line: Vec<String> = self.settings.iter().map(setting).collect();
            line.extend([row.rounds.to_string(), row.passed.to_string()]);
            let text = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
            for value in &row.values {
                let [low, high] = value.interval.map_or([None; 2], |ends| ends.map(Some));
                line.extend([value.value, low, high].map(text));
            }
            let _ = writeln!(out, "{}", joined(&line));
        }
        out
    }
}

/// The path of an axis, and its value in a combination.
fn setting(axis: &Axis, variant: &Variant) -> (String, String) {
    let start = format!("{}=", axis.path);
    let value = variant.overrides.iter().find_map(|set| set.strip_prefix(&start));
    (axis.path.clone(), value.unwrap_or_default().to_owned())
}

fn shown(value: &SweepValue, scale: &Scale) -> String {
    let Some(mean) = value.value else { return "-".to_owned() };
    match value.interval {
        Some([_, high]) if high > mean => {
            format!("{} ±{}", scale.shown(mean), scale.spread(high - mean, mean))
        }
        _ => scale.shown(mean),
    }
}

/// Fields of a line of CSV (RFC 4180).
fn joined(fields: &[String]) -> String {
    let quoted = |field: &String| match field.contains([',', '"', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.clone(),
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::axes::combinations;
    use crate::summary::{Digest, Summary};

    #[test]
    fn a_row_for_each_combination_with_means_and_intervals() {
        let axes = [Axis::parse("consumers.batch=1,8").expect("an axis")];
        let variants = combinations(&axes).expect("combinations");
        let summary = |p99: f64| {
            let mut summary = Summary { scenario: "x".to_owned(), ..Summary::default() };
            summary.latency_us.response = Digest { p99: Some(p99), ..Digest::default() };
            summary
        };
        let rounds = |values: &[f64]| VariantRounds {
            summaries: values.iter().map(|value| summary(*value)).collect(),
            ..VariantRounds::default()
        };
        let figures = ["latency.p99", "latency.p50"].map(|it| NamedFigure::named(it).expect(it));
        let rounds = [rounds(&[1_000.0, 3_000.0]), rounds(&[5_000.0])];
        let table = SweepTable::new(&axes, &variants, &rounds, &figures, &[]);
        assert_eq!(table.rows[0].values[0].value, Some(2.0));
        assert!(table.rows[0].values[0].interval.is_some());
        assert_eq!(table.rows[1].values[0].interval, None);
        let csv = table.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].starts_with("consumers.batch,rounds,passed,latency.p99_ms,"), "{csv}");
        assert_eq!(lines[2], "8,1,1,5,,,,,");
        assert!(table.text().contains("2 combinations"), "{}", table.text());
    }
}
