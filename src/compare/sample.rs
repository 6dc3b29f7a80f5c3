//! One figure in all rounds of one variant, and the bootstrap that gives its standard error.
//!
//! Rounds are drawn with replacement. Seconds within a round are drawn as well when there is only one round. With
//! several rounds the spread between them contains the spread within them, and drawing both counts it twice
//! (Davison and Hinkley 1997, section 3.8).

use crate::base::{Random, Seed};

/// Resamples of a bootstrap: the standard error has a relative error of about 2 %.
pub const RESAMPLES: usize = 1_000;

/// The value of a figure in each round, and in each second of each round where the figure is a mean over seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// One value per round. A quantile is that of the round, and never one over several rounds.
    pub rounds: Vec<f64>,
    /// The seconds of each round; empty for a figure that is no mean over seconds.
    pub seconds: Vec<Vec<f64>>,
}

/// A mean with its standard error, and the degrees of freedom of that error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean over rounds.
    pub mean: f64,
    /// Standard error of the mean; `None` if a single round without seconds gives none.
    pub error: Option<f64>,
    /// Degrees of freedom: the number of resampled values minus one.
    pub freedom: f64,
}

impl Sample {
    /// A figure with one value for each round.
    pub fn of_rounds(rounds: Vec<f64>) -> Sample {
        Sample { rounds, seconds: Vec::new() }
    }

    /// The mean over rounds; `None` without a round.
    pub fn mean(&self) -> Option<f64> {
        (!self.rounds.is_empty()).then(|| mean(&self.rounds))
    }

    /// Mean and standard error, with the randomness of `seed`; `None` without a round.
    pub fn estimate(&self, seed: Seed) -> Option<Estimate> {
        let mean = self.mean()?;
        let seconds = self.seconds.first().map_or(&[][..], Vec::as_slice);
        let (values, block) = match self.rounds.len() {
            1 => (seconds, block_length(seconds.len())),
            _ => (self.rounds.as_slice(), 1),
        };
        let error = bootstrap_error(values, block, seed);
        Some(Estimate { mean, error, freedom: (values.len() as f64 - 1.0).max(0.0) })
    }
}

/// The mean; 0 without values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Number of seconds that are drawn together, because neighbouring seconds are correlated. It is the cube root of the
/// number of seconds (Politis and Romano 1992, circular blocks).
fn block_length(seconds: usize) -> usize {
    (seconds as f64).cbrt().ceil().max(1.0) as usize
}

/// Standard error of the mean of `values`, drawn in circular blocks of `block`. The factor `n / (n - 1)` corrects the
/// variance of a bootstrap over few values (Hesterberg 2015, section 3.2). `None` for fewer than two values.
fn bootstrap_error(values: &[f64], block: usize, seed: Seed) -> Option<f64> {
    let count = values.len();
    if count < 2 {
        return None;
    }
    if values.iter().all(|value| *value == values[0]) {
        return Some(0.0);
    }
    let mut random = seed.random();
    let means: Vec<f64> =
        (0..RESAMPLES).map(|_| resampled_mean(values, block, &mut random)).collect();
    let centre = mean(&means);
    let variance =
        means.iter().map(|it| (it - centre).powi(2)).sum::<f64>() / (RESAMPLES - 1) as f64;
    Some((variance * count as f64 / (count - 1) as f64).sqrt())
}

fn resampled_mean(values: &[f64], block: usize, random: &mut Random) -> f64 {
    let count = values.len();
    let (mut sum, mut drawn) = (0.0, 0);
    while drawn < count {
        let from = random.below(count as u64) as usize;
        for offset in 0..block.min(count - drawn) {
            sum += values[(from + offset) % count];
            drawn += 1;
        }
    }
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_one_of_the_formula() {
        let values = vec![1.0, 2.0, 4.0, 5.0, 8.0, 4.0, 3.0, 5.0];
        let centre = mean(&values);
        let variance = values.iter().map(|it| (it - centre).powi(2)).sum::<f64>() / 7.0;
        let estimate = Sample::of_rounds(values).estimate(Seed(1)).expect("rounds");
        let error = estimate.error.expect("an error");
        assert!((error / (variance / 8.0).sqrt() - 1.0).abs() < 0.08, "{error}");
        assert_eq!((estimate.mean, estimate.freedom), (4.0, 7.0));
    }

    #[test]
    fn one_round_has_an_error_only_from_its_seconds() {
        let mut sample = Sample::of_rounds(vec![2.0]);
        assert_eq!(sample.estimate(Seed(1)).expect("a round").error, None);
        sample.seconds = vec![vec![1.0, 3.0, 2.0, 2.0, 1.0, 3.0]];
        assert!(sample.estimate(Seed(1)).expect("a round").error.is_some_and(|error| error > 0.1));
        assert_eq!(Sample::default().estimate(Seed(1)), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_error() {
        let sample = Sample::of_rounds(vec![1.0, 2.5, 3.0]);
        assert_eq!(sample.estimate(Seed(7)), sample.estimate(Seed(7)));
    }
}
