//! The sizes of values: constant, uniform, or lognormal by two percentiles. All are bounded.

use crate::base::Random;

/// The 99 % quantile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

/// The size of values in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SizePlan {
    /// A constant size.
    Fixed(u32),
    /// Uniformly distributed sizes.
    Uniform {
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// Lognormal sizes. Sizes beyond a bound are set to the bound.
    Lognormal {
        /// The median.
        median: f64,
        /// The 99th percentile.
        p99: f64,
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
}

impl SizePlan {
    /// The largest possible size.
    pub fn most(&self) -> u32 {
        match *self {
            SizePlan::Fixed(size) => size,
            SizePlan::Uniform { most, .. } | SizePlan::Lognormal { most, .. } => most,
        }
    }

    /// The size of a record.
    pub fn draw(&self, random: &mut Random) -> u32 {
        match *self {
            SizePlan::Fixed(size) => size,
            SizePlan::Uniform { least, most } => {
                least + random.below(u64::from(most - least) + 1) as u32
            }
            SizePlan::Lognormal { median, p99, least, most } => {
                let sigma = (p99 / median).ln() / NORMAL_P99;
                let size = median * (sigma * normal(random)).exp();
                // The cast saturates beyond the bounds of `u32`.
                (size.round() as u32).clamp(least, most)
            }
        }
    }
}

/// Standard normal (Box and Muller 1958).
fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

    fn sizes(plan: SizePlan) -> Vec<u32> {
        let mut random = Seed(3).random();
        let mut sizes: Vec<u32> = (0..40_000).map(|_| plan.draw(&mut random)).collect();
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn sizes_have_the_quantiles_that_are_asked_for() {
        let lognormal = SizePlan::Lognormal { median: 400.0, p99: 4_000.0, least: 48, most: 9_000 };
        let sizes_of = sizes(lognormal);
        let at = |share: f64| f64::from(sizes_of[(share * 40_000.0) as usize]);
        assert!((at(0.5) / 400.0 - 1.0).abs() < 0.03, "{}", at(0.5));
        assert!((at(0.99) / 4_000.0 - 1.0).abs() < 0.08, "{}", at(0.99));
        // The median plus one standard deviation: exp(ln(10) / 2.326) times the median.
        assert!((at(0.841_345) / 1_076.3 - 1.0).abs() < 0.04, "{}", at(0.841_345));
        assert!(sizes_of[0] >= 48 && sizes_of[39_999] <= 9_000);
        let uniform = sizes(SizePlan::Uniform { least: 100, most: 300 });
        for (share, expected) in [(0.25, 150.0), (0.5, 200.0), (0.9, 280.0)] {
            let found = f64::from(uniform[(share * 40_000.0) as usize]);
            assert!((found - expected).abs() < 4.0, "{share}: {found}");
        }
        assert_eq!((uniform[0], uniform[39_999]), (100, 300));
    }
}
