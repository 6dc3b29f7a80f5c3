//! The difference of a figure between two variants: interval, probability, the smallest detectable difference, and the
//! rounds that are still needed.
//!
//! Intervals are Student's t intervals with the standard error of the bootstrap (Hesterberg 2015, section 4): with
//! the few rounds of a comparison, percentiles of a bootstrap are far too narrow.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::sample::{Estimate, Sample};
use crate::base::Seed;

/// Share of comparisons of equal variants that may be called different.
pub const SIGNIFICANCE: f64 = 0.05;
/// Probability with which the smallest detectable difference is found.
const POWER: f64 = 0.8;
/// Largest number of needed rounds that is reported.
const ROUNDS_MAX: usize = 1_000;

/// Ends of a 95 % interval, in the unit of the figure.
pub type Interval = [f64; 2];

/// The difference of the means of two variants, second minus first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Second minus first, in the unit of the figure.
    pub mean: f64,
    /// 95 % interval of the difference; `None` if a single round gives no standard error.
    pub interval: Option<Interval>,
    /// Probability of a difference at least this large if there were none (two-sided).
    pub p: Option<f64>,
    /// Standard error of the difference and its degrees of freedom; `None` if a single round gives none.
    pub noise: Option<Noise>,
}

/// The noise of a difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard error of the mean difference, in the unit of the figure.
    pub error: f64,
    /// Degrees of freedom.
    pub freedom: f64,
    /// Rounds of each variant.
    pub rounds: usize,
}

impl Noise {
    /// The smallest difference that is found with a probability of 80 %, by tests with this level of significance
    /// (Cohen 1988, chapter 2, with Student's t).
    pub fn detectable(&self, level: f64) -> Option<f64> {
        Some(span(self.freedom, level)? * self.error)
    }

    /// Rounds with which a difference of this size is found with a probability of 80 %; `None` for more than a
    /// thousand, and without a difference.
    pub fn rounds_needed(&self, difference: f64, level: f64) -> Option<usize> {
        let spread = self.error * (self.rounds as f64).sqrt();
        if self.rounds < 2 || difference == 0.0 {
            return None;
        }
        let is_enough = |count: &usize| {
            let error = spread / (*count as f64).sqrt();
            span(*count as f64 - 1.0, level).is_some_and(|span| span * error <= difference.abs())
        };
        (2..=ROUNDS_MAX).find(is_enough)
    }
}

/// The 95 % interval of an estimate; `None` without a standard error.
pub fn interval(estimate: &Estimate) -> Option<Interval> {
    let half = t_quantile(estimate.freedom, 1.0 - SIGNIFICANCE / 2.0)? * estimate.error?;
    Some([estimate.mean - half, estimate.mean + half])
}

/// The difference between two variants. With `paired`, round i of both was made under the same conditions, so common
/// effects cancel out. Otherwise the rounds are independent (Welch 1947).
pub fn difference(first: &Sample, second: &Sample, paired: bool, seed: Seed) -> Option<Difference> {
    let is_paired = paired && first.rounds.len() == second.rounds.len() && first.rounds.len() > 1;
    let estimate = if is_paired {
        let pairs = first.rounds.iter().zip(&second.rounds);
        Sample::of_rounds(pairs.map(|(a, b)| b - a).collect()).estimate(seed)?
    } else {
        welch(first.estimate(seed.child("first", 0))?, second.estimate(seed.child("second", 0))?)
    };
    let rounds = first.rounds.len().min(second.rounds.len());
    Some(Difference {
        mean: estimate.mean,
        interval: interval(&estimate),
        p: probability(&estimate, rounds),
        noise: estimate.error.map(|error| Noise { error, freedom: estimate.freedom, rounds }),
    })
}

fn welch(first: Estimate, second: Estimate) -> Estimate {
    let mean = second.mean - first.mean;
    let (Some(a), Some(b)) = (first.error, second.error) else {
        return Estimate { mean, error: None, freedom: 0.0 };
    };
    let (a, b) = (a * a, b * b);
    // The equation of Welch and Satterthwaite; the smaller one where both errors are 0.
    let sum = a * a / first.freedom.max(1.0) + b * b / second.freedom.max(1.0);
    let freedom = if sum > 0.0 { (a + b).powi(2) / sum } else { first.freedom.min(second.freedom) };
    Estimate { mean, error: Some((a + b).sqrt()), freedom }
}

/// Smallest number of rounds without any spread that shows a difference.
const ROUNDS_WITHOUT_SPREAD: usize = 3;

fn probability(estimate: &Estimate, rounds: usize) -> Option<f64> {
    let error = estimate.error?;
    if estimate.mean == 0.0 {
        return Some(1.0);
    }
    if error <= estimate.mean.abs() * 1e-12 {
        return Some(if rounds >= ROUNDS_WITHOUT_SPREAD { 0.0 } else { 1.0 });
    }
    let t = students_t(estimate.freedom)?;
    Some(2.0 * t.sf((estimate.mean / error).abs()))
}

/// Number of standard errors of a difference that is found with a probability of [`POWER`].
fn span(freedom: f64, level: f64) -> Option<f64> {
    Some(t_quantile(freedom, 1.0 - level / 2.0)? + t_quantile(freedom, POWER)?)
}

fn students_t(freedom: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom).ok()
}

/// The quantile `share` of Student's t with `freedom` degrees of freedom.
fn t_quantile(freedom: f64, share: f64) -> Option<f64> {
    Some(students_t(freedom)?.inverse_cdf(share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Random;

    fn sample(values: &[f64]) -> Sample {
        Sample::of_rounds(values.to_vec())
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(1.0, 12.706), (2.0, 4.303), (9.0, 2.262), (100.0, 1.984)] {
            let found = t_quantile(freedom, 0.975).expect("a quantile");
            assert!((found - quantile).abs() < 1e-3, "{freedom}: {found}");
        }
        assert_eq!(t_quantile(0.0, 0.975), None);
    }

    #[test]
    fn what_rounds_share_drops_out_of_a_paired_difference() {
        let (first, second) = (sample(&[10.0, 50.0, 90.0]), sample(&[11.0, 51.1, 90.9]));
        let paired = difference(&first, &second, true, Seed(1)).expect("a difference");
        let apart = difference(&first, &second, false, Seed(1)).expect("a difference");
        assert!(paired.p < Some(0.01), "{paired:?}");
        assert!(apart.p > Some(0.9), "{apart:?}");
        let detectable = |it: Difference| it.noise.and_then(|it| it.detectable(SIGNIFICANCE));
        assert!(detectable(apart) > detectable(paired));
    }

    #[test]
    fn rounds_without_spread() {
        let same = difference(&sample(&[4.0; 3]), &sample(&[4.0; 3]), true, Seed(1));
        assert_eq!(same.and_then(|it| it.p), Some(1.0));
        let three = difference(&sample(&[0.0; 3]), &sample(&[18.0; 3]), true, Seed(1));
        assert_eq!(three.and_then(|it| it.p), Some(0.0));
        let two = difference(&sample(&[0.0; 2]), &sample(&[18.0; 2]), true, Seed(1));
        assert_eq!(two.and_then(|it| it.p), Some(1.0));
        let one = difference(&sample(&[0.0]), &sample(&[18.0]), true, Seed(1)).expect("a mean");
        assert_eq!((one.mean, one.interval, one.p), (18.0, None, None));
    }

    #[test]
    fn rounds_that_are_needed_are_enough() {
        let (first, second) = (sample(&[10.0, 12.0, 11.0, 9.0]), sample(&[10.5, 11.0, 12.5, 9.5]));
        let found = difference(&first, &second, true, Seed(1)).expect("a difference");
        let noise = found.noise.expect("noise");
        let needed = noise.rounds_needed(found.mean, SIGNIFICANCE).expect("a number");
        assert!(needed > 4 && needed < 100, "{found:?}");
        assert!(noise.rounds_needed(found.mean, SIGNIFICANCE / 10.0) > Some(needed));
        assert_eq!(noise.rounds_needed(0.0, SIGNIFICANCE), None);
    }

    /// Normal values by the central limit theorem: the sum of twelve uniform ones has variance 1.
    fn normal(random: &mut Random) -> f64 {
        (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
    }

    /// The share of intervals that contain the mean of the distribution, over 400 repetitions.
    fn coverage(rounds: usize, seconds: usize, seed: u64) -> f64 {
        let mut random = Seed(seed).random();
        let hits = (0..400).filter(|repetition| {
            let round = |random: &mut Random| {
                let level = 50.0 + 5.0 * normal(random);
                (0..seconds).map(|_| level + 3.0 * normal(random)).collect::<Vec<f64>>()
            };
            let seconds: Vec<Vec<f64>> = (0..rounds).map(|_| round(&mut random)).collect();
            let means = seconds.iter().map(|seconds| super::super::sample::mean(seconds)).collect();
            let sample = Sample { rounds: means, seconds };
            let estimate = sample.estimate(Seed(seed).child("test", *repetition)).expect("rounds");
            let [low, high] = interval(&estimate).expect("an interval");
            (low..=high).contains(&50.0)
        });
        hits.count() as f64 / 400.0
    }

    /// Of 400 repetitions 95 % are covered with a standard deviation of 1.1 %, of 1,200 with one of 0.6 %.
    #[test]
    fn intervals_contain_the_truth_in_95_of_100_cases() {
        let cases = [(3, 10, 11), (5, 20, 12), (10, 30, 13)];
        let covered = cases.map(|(rounds, seconds, seed)| coverage(rounds, seconds, seed));
        assert!(covered.iter().all(|it| (0.92..=0.98).contains(it)), "{covered:?}");
        let all = super::super::sample::mean(&covered);
        assert!((0.93..=0.97).contains(&all), "{covered:?}");
    }
}
