//! The little statistics the reports need.

/// Count, mean and variance of values that come one by one (Welford 1962).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    n: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let delta = value - self.mean;
        self.mean += delta / self.n as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// Mean; 0 without values.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Sample variance; 0 with fewer than two values.
    pub fn variance(&self) -> f64 {
        if self.n < 2 { 0.0 } else { self.squares / (self.n - 1) as f64 }
    }

    /// Standard deviation over mean; `None` where that says nothing.
    pub fn variation(&self) -> Option<f64> {
        (self.n >= 2 && self.mean > 0.0).then(|| self.variance().sqrt() / self.mean)
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Moments::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

/// `b`'s mean minus `a`'s, with the half width of its 95 % confidence interval (Welch 1947).
/// `None` with fewer than two values on a side.
pub fn welch_difference(a: &Moments, b: &Moments) -> Option<(f64, f64)> {
    if a.count() < 2 || b.count() < 2 {
        return None;
    }
    let (va, vb) = (a.variance() / a.count() as f64, b.variance() / b.count() as f64);
    let difference = b.mean() - a.mean();
    if va + vb == 0.0 {
        return Some((difference, 0.0));
    }
    let freedom = (va + vb).powi(2)
        / (va.powi(2) / (a.count() - 1) as f64 + vb.powi(2) / (b.count() - 1) as f64);
    Some((difference, t_quantile_975(freedom) * (va + vb).sqrt()))
}

/// The 97.5 % quantile of Student's t (Cornish-Fisher expansion, Abramowitz & Stegun 26.7.5;
/// exact values below three degrees of freedom, where the expansion is poor).
fn t_quantile_975(freedom: f64) -> f64 {
    if freedom < 1.5 {
        return 12.706;
    }
    if freedom < 2.5 {
        return 4.303;
    }
    let x: f64 = 1.959_964;
    let g1 = (x.powi(3) + x) / 4.0;
    let g2 = (5.0 * x.powi(5) + 16.0 * x.powi(3) + 3.0 * x) / 96.0;
    let g3 = (3.0 * x.powi(7) + 19.0 * x.powi(5) + 17.0 * x.powi(3) - 15.0 * x) / 384.0;
    x + g1 / freedom + g2 / freedom.powi(2) + g3 / freedom.powi(3)
}

/// The median; `None` without values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_textbook_ones() {
        let moments: Moments = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().collect();
        assert_eq!(moments.mean(), 5.0);
        assert!((moments.variance() - 32.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn the_t_quantile_agrees_with_tables() {
        for (freedom, table) in [(3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (30.0, 2.042)] {
            assert!((t_quantile_975(freedom) - table).abs() < 0.03, "{freedom}");
        }
    }

    #[test]
    fn welch_sees_a_shift_and_no_shift() {
        let a: Moments = [10.0, 11.0, 9.0, 10.5, 9.5].into_iter().collect();
        let b: Moments = [20.0, 21.0, 19.0, 20.5, 19.5].into_iter().collect();
        let (shift, half) = welch_difference(&a, &b).unwrap();
        assert!(shift == 10.0 && half < 2.0);
        let (none, half) = welch_difference(&a, &a).unwrap();
        assert!(none.abs() <= half);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
