//! The figures of several variants side by side: value, interval, change, and whether it is better or worse.

use serde::Serialize;

use super::difference::{Difference, Interval, Noise, SIGNIFICANCE, difference, interval};
use super::figures::NamedFigure;
use super::holm::adjusted;
use super::sample::Sample;
use super::settings::SettingRow;
use super::variant::VariantRounds;
use crate::base::Seed;
use crate::summary::Better;

/// Version of the format of a comparison. Raised when a field changes its meaning or goes away.
pub const COMPARISON_VERSION: u32 = 1;

/// A comparison: variants, settings in which they differ, and figures. The others are compared with the first variant.
#[derive(Clone, Debug, Serialize)]
pub struct SideBySide {
    /// [`COMPARISON_VERSION`].
    pub schema_version: u32,
    /// Version of the program.
    pub lanekeeper_version: String,
    /// The scenario's name.
    pub scenario: String,
    /// Kind of broker.
    pub broker: String,
    /// True if round i of all variants was made under the same conditions.
    pub is_paired: bool,
    /// The variants, in the order of the command line.
    pub variants: Vec<VariantAccount>,
    /// Settings that are not the same in all variants.
    pub differences: Vec<SettingRow>,
    /// All figures that any variant has.
    pub metrics: Vec<MetricRow>,
    /// Runs that were INVALID, as text.
    pub invalid: Vec<String>,
    /// Remarks for the reader.
    pub notes: Vec<String>,
    /// The regressions that were checked for and found, as text.
    pub regressions: Vec<String>,
    /// The result of the comparison in one sentence.
    pub sentence: String,
}

/// One variant.
#[derive(Clone, Debug, Serialize)]
pub struct VariantAccount {
    /// Its name.
    pub name: String,
    /// Overrides of the variant, as `path=value`.
    pub overrides: Vec<String>,
    /// `assigned` or `group`.
    pub mode: String,
    /// Consumers or group members.
    pub members: u32,
    /// Seed of each round.
    pub seeds: Vec<u64>,
}

/// One figure in all variants.
#[derive(Clone, Debug, Serialize)]
pub struct MetricRow {
    /// The name in `[expect]`.
    pub name: String,
    /// `ms`, `count` or `number`.
    pub unit: String,
    /// `less`, `more` or `neither`.
    pub better: &'static str,
    /// Meaning of the figure.
    pub meaning: &'static str,
    /// True if the text shows the figure by default.
    pub is_headline: bool,
    /// One entry for each variant.
    pub values: Vec<MetricValue>,
}

/// A figure in one variant.
#[derive(Clone, Debug, Serialize)]
pub struct MetricValue {
    /// The variant's name.
    pub variant: String,
    /// Mean over the rounds that have it; `null` if none has.
    pub value: Option<f64>,
    /// 95 % interval of the mean; `null` if it has a single round, or if a round does not have the figure.
    pub interval: Option<Interval>,
    /// The value of each round.
    pub rounds: Vec<Option<f64>>,
    /// The change from the first variant; `null` for the first variant itself.
    pub change: Option<Change>,
}

/// The difference of a figure from the first variant.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// This variant minus the first one, in the figure's unit.
    pub difference: f64,
    /// 95 % interval of the difference.
    pub interval: Option<Interval>,
    /// The difference divided by the first variant's value; `null` where that is 0.
    pub relative: Option<f64>,
    /// Probability of such a difference if there were none.
    pub p: Option<f64>,
    /// The same, adjusted for the number of figures.
    pub p_adjusted: Option<f64>,
    /// The verdict in one word.
    pub verdict: ChangeWord,
    /// The smallest difference that these rounds find with a probability of 80 %, among all figures.
    pub detectable: Option<f64>,
    /// Rounds that find a difference of this size with a probability of 80 %, among all figures.
    pub rounds_needed: Option<usize>,
    #[serde(skip)]
    noise: Option<Noise>,
}

/// The verdict on a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeWord {
    /// The value is better than in the first variant.
    Better,
    /// The value is worse.
    Worse,
    /// The value differs, and neither direction is better.
    Different,
    /// The value is the same in every round.
    Same,
    /// No difference was found, and one of a tenth would have been.
    Alike,
    /// No difference was found, but a large one may exist. More rounds are needed.
    Unclear,
    /// A single round, or a round without the figure, decides nothing.
    Unknown,
}

fn account(variant: &VariantRounds) -> VariantAccount {
    let first = variant.summaries.first();
    VariantAccount {
        name: variant.name.clone(),
        overrides: variant.overrides.clone(),
        mode: first.map(|it| it.mode.clone()).unwrap_or_default(),
        members: first.map_or(0, |it| it.members),
        seeds: variant.summaries.iter().map(|summary| summary.seed).collect(),
    }
}

/// Compares all variants with the first one.
pub fn side_by_side(variants: &[VariantRounds], is_paired: bool, seed: Seed) -> SideBySide {
    let first = variants.first().and_then(|variant| variant.summaries.first());
    let all = || variants.iter().flat_map(|variant| &variant.summaries);
    let faults = all().flat_map(|summary| &summary.faults).map(|fault| fault.fault + 1).max();
    let stages = all().map(|summary| summary.stages.len()).max();
    let figures = NamedFigure::all(faults.unwrap_or(0), stages.unwrap_or(0));
    let rows = figures
        .iter()
        .enumerate()
        .map(|(at, figure)| row(figure, variants, is_paired, seed.child("figure", at as u64)));
    let has_values = |row: &MetricRow| row.values.iter().any(|value| value.value.is_some());
    let mut metrics: Vec<MetricRow> = rows.filter(has_values).collect();
    for variant in 1..variants.len() {
        for is_headline in [true, false] {
            judge(metrics.iter_mut().filter(|row| row.is_headline == is_headline), variant);
        }
    }
    SideBySide {
        schema_version: COMPARISON_VERSION,
        lanekeeper_version: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: first.map(|it| it.scenario.clone()).unwrap_or_default(),
        broker: first.map(|it| it.broker.clone()).unwrap_or_default(),
        is_paired,
        variants: variants.iter().map(account).collect(),
        differences: Vec::new(),
        metrics,
        invalid: Vec::new(),
        notes: Vec::new(),
        regressions: Vec::new(),
        sentence: String::new(),
    }
}

/// A figure in all variants, with changes that have no verdict yet.
fn row(figure: &NamedFigure, variants: &[VariantRounds], is_paired: bool, seed: Seed) -> MetricRow {
    let rounds_of = |variant: &VariantRounds| -> Vec<Option<f64>> {
        variant.summaries.iter().map(|summary| figure.value(summary)).collect()
    };
    let all: Vec<Vec<Option<f64>>> = variants.iter().map(rounds_of).collect();
    let value = |(at, rounds): (usize, &Vec<Option<f64>>)| {
        let sample = Sample::of_rounds(rounds.iter().flatten().copied().collect());
        let estimate = sample.estimate(seed.child("value", at as u64));
        let is_whole = sample.rounds.len() == rounds.len();
        MetricValue {
            variant: variants[at].name.clone(),
            value: sample.mean(),
            interval: estimate.filter(|_| is_whole).and_then(|it| interval(&it)).map(not_negative),
            rounds: rounds.clone(),
            change: (at > 0)
                .then(|| change(&all[0], rounds, is_paired, seed.child("change", at as u64)))
                .flatten(),
        }
    };
    let metric = figure.figure.metric;
    MetricRow {
        name: figure.name.clone(),
        unit: metric.unit.to_string(),
        better: match metric.better {
            Better::Less => "less",
            Better::More => "more",
            Better::Neither => "neither",
        },
        meaning: metric.meaning,
        is_headline: figure.is_headline,
        values: all.iter().enumerate().map(value).collect(),
    }
}

/// No figure is less than 0.
fn not_negative([low, high]: Interval) -> Interval {
    [low.max(0.0), high]
}

fn change(
    first: &[Option<f64>],
    second: &[Option<f64>],
    is_paired: bool,
    seed: Seed,
) -> Option<Change> {
    let sample =
        |rounds: &[Option<f64>]| Sample::of_rounds(rounds.iter().flatten().copied().collect());
    let (base, other) = (sample(first), sample(second));
    let is_whole = base.rounds.len() == first.len() && other.rounds.len() == second.len();
    let found = difference(&base, &other, is_paired && is_whole, seed)?;
    // The rounds that have a figure may be those in which it is good.
    let found = match is_whole {
        true => found,
        false => Difference { interval: None, p: None, noise: None, ..found },
    };
    Some(Change {
        difference: found.mean,
        interval: found.interval,
        relative: base.mean().filter(|base| *base != 0.0).map(|base| found.mean / base),
        p: found.p,
        p_adjusted: None,
        verdict: if is_whole && first == second { ChangeWord::Same } else { ChangeWord::Unknown },
        detectable: None,
        rounds_needed: None,
        noise: found.noise,
    })
}

/// Sets the verdict of each change of variant number `variant`. All figures of `rows` together have an error in at most
/// 5 % of comparisons of equal variants. Figures that are equal in every round, and figures without a better direction,
/// do not count in that.
fn judge<'a>(rows: impl Iterator<Item = &'a mut MetricRow>, variant: usize) {
    let mut judged: Vec<(&mut Change, f64, &'static str)> = Vec::new();
    for row in rows {
        let base = row.values[0].value.unwrap_or(0.0);
        let change = row.values[variant].change.as_mut();
        judged.extend(
            change.filter(|it| it.verdict != ChangeWord::Same).map(|it| (it, base, row.better)),
        );
    }
    let is_tested = |(change, _, better): &(&mut Change, f64, &'static str)| {
        *better != "neither" && change.p.is_some()
    };
    let p: Vec<f64> = judged.iter().filter(|it| is_tested(it)).filter_map(|it| it.0.p).collect();
    let level = SIGNIFICANCE / p.len().max(1) as f64;
    let mut all = adjusted(&p).into_iter();
    for it in &mut judged {
        let is_tested = is_tested(it);
        let (change, base, better) = it;
        change.p_adjusted = if is_tested { all.next() } else { change.p };
        change.detectable = change.noise.and_then(|it| it.detectable(level));
        change.rounds_needed =
            change.noise.and_then(|it| it.rounds_needed(change.difference, level));
        change.verdict = verdict(change, *base, better);
    }
}

/// A figure is called alike if a difference of this share of the first variant's value would have been found.
const ALIKE_SHARE: f64 = 0.1;

fn verdict(change: &Change, base: f64, better: &str) -> ChangeWord {
    let is_more = change.difference > 0.0;
    let would_be_seen = change.detectable.is_some_and(|least| least <= ALIKE_SHARE * base.abs());
    match (change.p_adjusted, better) {
        (None, _) => ChangeWord::Unknown,
        (Some(p), _) if p > SIGNIFICANCE && would_be_seen => ChangeWord::Alike,
        (Some(p), _) if p > SIGNIFICANCE => ChangeWord::Unclear,
        (Some(_), "less") if is_more => ChangeWord::Worse,
        (Some(_), "more") if !is_more => ChangeWord::Worse,
        (Some(_), "neither") => ChangeWord::Different,
        _ => ChangeWord::Better,
    }
}

impl SideBySide {
    /// The figure with this name; `None` if no variant has it.
    pub fn metric(&self, name: &str) -> Option<&MetricRow> {
        self.metrics.iter().find(|row| row.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Random;
    use crate::summary::{Digest, Summary};

    /// A run whose latency is a random one times `factor`.
    fn summary(random: &mut Random, factor: f64) -> Summary {
        let mut summary = Summary::default();
        let mut value = |scale: f64| Some(scale * (0.9 + 0.2 * random.unit()) * factor);
        summary.latency_us.response = Digest {
            p50: value(900.0),
            p95: value(2_000.0),
            p99: value(5_000.0),
            p999: value(9_000.0),
            ..Digest::default()
        };
        summary
    }

    fn variant(name: &str, seed: u64, factor: f64) -> VariantRounds {
        let mut random = Seed(seed).random();
        let summaries = (0..20).map(|_| summary(&mut random, factor)).collect();
        VariantRounds { name: name.to_owned(), summaries, ..VariantRounds::default() }
    }

    fn words(compared: &SideBySide) -> Vec<ChangeWord> {
        let values = compared.metrics.iter().flat_map(|row| &row.values);
        values.filter_map(|value| value.change.as_ref()).map(|change| change.verdict).collect()
    }

    #[test]
    fn equal_variants_are_rarely_called_different() {
        let mut wrong = 0;
        for repetition in 0..100 {
            let variants =
                [variant("a", 2 * repetition, 1.0), variant("b", 2 * repetition + 1, 1.0)];
            let words = words(&side_by_side(&variants, false, Seed(repetition)));
            wrong += usize::from(
                words.iter().any(|it| matches!(it, ChangeWord::Better | ChangeWord::Worse)),
            );
        }
        assert!(wrong <= 9, "{wrong} of 100 comparisons");
    }

    #[test]
    fn a_tenth_more_is_worse() {
        let variants = [variant("a", 1, 1.0), variant("b", 2, 1.1)];
        let compared = side_by_side(&variants, false, Seed(1));
        let row = compared.metric("latency.p99").expect("a row");
        assert_eq!((row.unit.as_str(), row.better), ("ms", "less"));
        let change = row.values[1].change.as_ref().expect("a change");
        assert_eq!(change.verdict, ChangeWord::Worse);
        assert!(change.relative.is_some_and(|it| (0.05..0.15).contains(&it)));
        let lost = compared.metric("lost").and_then(|row| row.values[1].change.clone());
        assert_eq!(lost.map(|it| it.verdict), Some(ChangeWord::Same));
    }

    #[test]
    fn a_round_without_the_figure_makes_it_unknown() {
        let (first, mut second) = (variant("a", 1, 1.0), variant("b", 2, 2.0));
        second.summaries[3].latency_us.response = Digest::default();
        let compared = side_by_side(&[first, second], true, Seed(1));
        let row = compared.metric("latency.p99").expect("a row");
        assert_eq!(row.values[1].interval, None);
        assert_eq!(row.values[1].change.as_ref().map(|it| it.verdict), Some(ChangeWord::Unknown));
    }
}
