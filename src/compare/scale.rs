//! One unit and one number of decimals for all values of a row.

use super::side_by_side::MetricRow;
use crate::base::format_count;

/// Unit and decimals of the values of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    unit: &'static str,
    factor: f64,
    /// True if all values are whole numbers.
    is_whole: bool,
}

impl Scale {
    /// The scale of a row: the unit in which its largest value has one to three digits before the point.
    pub(super) fn of(row: &MetricRow) -> Scale {
        let values: Vec<f64> = row.values.iter().filter_map(|value| value.value).collect();
        Scale::over(&row.unit, &values)
    }

    /// The scale of values that are `ms`, `count` or `number`.
    pub(super) fn over(unit: &str, values: &[f64]) -> Scale {
        let largest = values.iter().copied().fold(0.0, f64::max);
        let is_count = unit == "count";
        let (unit, factor) = match unit {
            "ms" if largest >= 1_000.0 => ("s", 1e-3),
            "ms" if largest >= 1.0 => ("ms", 1.0),
            "ms" => ("us", 1e3),
            _ => ("", 1.0),
        };
        let is_whole = is_count && values.iter().all(|it| it.fract() == 0.0);
        Scale { unit, factor, is_whole }
    }

    /// The row's name with the unit of its values.
    pub(super) fn named(&self, name: &str) -> String {
        if self.unit.is_empty() { name.to_owned() } else { format!("{name} [{}]", self.unit) }
    }

    /// A value without its unit: three significant digits, or all of a larger one.
    pub(super) fn shown(&self, value: f64) -> String {
        let value = value * self.factor;
        if self.is_whole && value.fract() == 0.0 || value >= 1_000.0 {
            return format_count(value.round() as u64);
        }
        format!("{value:.*}", decimals(value))
    }

    /// The spread of a value, with as many decimals as the value has.
    pub(super) fn spread(&self, spread: f64, value: f64) -> String {
        let (spread, value) = (spread * self.factor, value * self.factor);
        let decimals = if value >= 1_000.0 { 0 } else { decimals(value) };
        let text = format!("{spread:.decimals$}");
        // A spread below the last digit is not shown as 0.
        if text.trim_matches(['0', '.']).is_empty() { format!("{spread:.1e}") } else { text }
    }

    /// A value with its unit.
    pub(super) fn with_unit(&self, value: f64) -> String {
        let shown = self.shown(value);
        if self.unit.is_empty() { shown } else { format!("{shown} {}", self.unit) }
    }
}

/// Decimals for three significant digits, at most four.
fn decimals(value: f64) -> usize {
    match value.abs() {
        it if it >= 100.0 => 0,
        it if it >= 10.0 => 1,
        it if it >= 1.0 => 2,
        it if it >= 0.1 || it == 0.0 => 3,
        _ => 4,
    }
}

/// A share as a percentage with its sign; `x 12.3` for more than ten times as much.
pub(super) fn percent(relative: f64) -> String {
    match relative {
        it if it >= 9.0 => format!("x {:.0}", it + 1.0),
        it if it.abs() < 0.0995 => format!("{:+.1} %", it * 100.0),
        it => format!("{:+.0} %", it * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_short() {
        assert_eq!([percent(0.25), percent(-0.031), percent(11.0)], ["+25 %", "-3.1 %", "x 12"]);
    }
}
