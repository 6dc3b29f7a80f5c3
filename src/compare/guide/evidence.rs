//! A figure of two set-ups in one condition, and the test whether it is lower in the second one.

use crate::base::Seed;
use crate::compare::difference::{Difference, SIGNIFICANCE, difference};
use crate::compare::holm::adjusted;
use crate::compare::sample::Sample;
use crate::compare::sentence::time;
use crate::summary::Summary;

use super::condition::Condition;

/// A figure of a run for which less is better; `None` if the run does not have it.
pub(super) type Reading = fn(&Summary, slow: u32) -> Option<f64>;

/// The figure of a test, and its presentation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Name of the figure.
    pub(super) name: &'static str,
    /// True if values are milliseconds.
    pub(super) is_time: bool,
    /// The value in a summary.
    pub(super) read: Reading,
}

/// A test of a claim: a measure in two set-ups.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// The condition.
    pub(super) condition: Condition,
    /// The measure that is compared.
    pub(super) measure: Measure,
    /// Names of the two set-ups.
    pub(super) names: [String; 2],
    /// Means of the measure in both.
    pub(super) means: [f64; 2],
    /// Reference for relative differences: the first mean, or 1 for logarithms.
    base: f64,
    found: Difference,
    p_adjusted: Option<f64>,
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The second set-up has less.
    Less,
    /// The second set-up has more.
    More,
    /// There is no relevant difference: one of a tenth would have been found.
    Alike,
    /// More rounds are needed.
    Unclear,
}

impl Evidence {
    /// Compares a measure in the rounds of two set-ups; `None` if a round does not have it.
    pub(super) fn of(
        condition: Condition,
        measure: Measure,
        rounds: [(&str, &[Summary]); 2],
        slow: u32,
        seed: Seed,
    ) -> Option<Evidence> {
        let sample = |summaries: &[Summary]| -> Option<Sample> {
            let values: Option<Vec<f64>> =
                summaries.iter().map(|summary| (measure.read)(summary, slow)).collect();
            values.filter(|values| !values.is_empty()).map(Sample::of_rounds)
        };
        let (first, second) = (sample(rounds[0].1)?, sample(rounds[1].1)?);
        // Times of two set-ups differ by a factor, which varies less over rounds than the difference.
        let is_logarithm =
            measure.is_time && first.rounds.iter().chain(&second.rounds).all(|it| *it > 0.0);
        let scaled = |sample: &Sample| match is_logarithm {
            true => Sample::of_rounds(sample.rounds.iter().map(|it| it.ln()).collect()),
            false => sample.clone(),
        };
        Some(Evidence {
            condition,
            measure,
            names: [rounds[0].0.to_owned(), rounds[1].0.to_owned()],
            means: [first.mean()?, second.mean()?],
            base: if is_logarithm { 1.0 } else { first.mean()?.abs() },
            found: difference(&scaled(&first), &scaled(&second), true, seed)?,
            p_adjusted: None,
        })
    }

    /// Adjusts the probabilities of all tests for their number.
    pub(super) fn adjust(all: &mut [&mut Evidence]) {
        let p: Vec<f64> = all.iter().filter_map(|it| it.found.p).collect();
        let mut adjusted = adjusted(&p).into_iter();
        for it in all.iter_mut().filter(|it| it.found.p.is_some()) {
            it.p_adjusted = adjusted.next();
        }
    }

    /// The outcome. A difference of less than 2 % of the first value does not count.
    pub(super) fn shown(&self) -> Shown {
        let base = self.base;
        let is_small = self.found.mean.abs() <= IRRELEVANT_SHARE * base;
        let detectable = self.found.noise.and_then(|noise| noise.detectable(SIGNIFICANCE));
        match self.p_adjusted {
            Some(p) if p <= SIGNIFICANCE && !is_small => {
                if self.found.mean < 0.0 {
                    Shown::Less
                } else {
                    Shown::More
                }
            }
            Some(_) if is_small || detectable.is_some_and(|least| least <= 0.1 * base) => {
                Shown::Alike
            }
            _ => Shown::Unclear,
        }
    }

    /// `58.1ms in group:8, 4.2ms in assign`.
    pub(super) fn text(&self) -> String {
        let [first, second] = self.means.map(|value| match self.measure.is_time {
            true => time(value),
            false => format!("{value:.3}"),
        });
        let [a, b] = &self.names;
        format!("{} {first} in {a}, {second} in {b} ({})", self.measure.name, self.condition.name())
    }
}

/// Differences below this share of a value do not count.
const IRRELEVANT_SHARE: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_do_not_matter() {
        let rounds = |values: [u64; 4]| -> Vec<Summary> {
            values.iter().map(|value| Summary { fenced: *value, ..Summary::default() }).collect()
        };
        let measure =
            Measure { name: "x", is_time: false, read: |summary, _| Some(summary.fenced as f64) };
        let shown = |second: [u64; 4]| {
            let (a, b) = (rounds([1_000, 1_001, 999, 1_000]), rounds(second));
            let pair = [("a", a.as_slice()), ("b", b.as_slice())];
            let mut evidence =
                Evidence::of(Condition::Quiet, measure, pair, 0, Seed(1)).expect("evidence");
            Evidence::adjust(&mut [&mut evidence]);
            evidence.shown()
        };
        assert_eq!(shown([1_001, 1_002, 1_000, 1_001]), Shown::Alike);
        assert_eq!(shown([500, 501, 500, 502]), Shown::Less);
        assert_eq!(shown([2_000, 2_001, 2_000, 2_002]), Shown::More);
        assert_eq!(shown([100, 4_000, 900, 500]), Shown::Unclear);
    }
}
