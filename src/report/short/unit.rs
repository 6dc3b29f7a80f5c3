//! One unit and one number of decimals for all times of a column, so that they are easy to compare.

use crate::base::format_count;

/// The text for 0.
pub(super) const ZERO: &str = "·";
/// The text for a value that was not measured.
pub(super) const NOTHING: &str = "-";

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TimeUnit {
    /// Name of the unit.
    pub(super) name: &'static str,
    ns: f64,
}

const UNITS: [TimeUnit; 3] = [
    TimeUnit { name: "us", ns: 1e3 },
    TimeUnit { name: "ms", ns: 1e6 },
    TimeUnit { name: "s", ns: 1e9 },
];

impl TimeUnit {
    /// The unit for times in nanoseconds: milliseconds, unless all are much smaller or much larger.
    pub(super) fn of(times_ns: impl IntoIterator<Item = f64>) -> TimeUnit {
        let times = times_ns.into_iter().filter(|ns| *ns > 0.0);
        let (least, most) =
            times.fold((f64::INFINITY, 0.0_f64), |(least, most), ns| (least.min(ns), most.max(ns)));
        match (least, most) {
            (_, most) if most < 1e6 => UNITS[0],
            (least, _) if least >= 1e9 => UNITS[2],
            _ => UNITS[1],
        }
    }

    /// A column of times in nanoseconds, all with the same number of decimals.
    pub(super) fn column(self, times_ns: &[Option<f64>]) -> Vec<String> {
        let decimals = decimals(times_ns.iter().flatten().map(|ns| ns / self.ns));
        let cell = |ns: &Option<f64>| match ns {
            None => NOTHING.to_owned(),
            Some(ns) => shown(ns / self.ns, decimals),
        };
        times_ns.iter().map(cell).collect()
    }

    /// A time in nanoseconds, with the number of decimals for the column `all`.
    pub(super) fn text(self, ns: f64, all: &[f64]) -> String {
        shown(ns / self.ns, decimals(all.iter().map(|ns| ns / self.ns)))
    }
}

/// Number of decimals with which the smallest value has two significant digits, and the largest one at most four.
fn decimals(values: impl Iterator<Item = f64>) -> usize {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        (least, most) = (least.min(value), most.max(value));
    }
    let needed = match least {
        it if it >= 10.0 => 0,
        it if it >= 1.0 => 1,
        it if it >= 0.1 => 2,
        _ => 3,
    };
    let room = match most {
        it if it >= 100.0 => 1,
        it if it >= 10.0 => 2,
        _ => 3,
    };
    usize::min(needed, room)
}

/// A number. A small value is not shown as 0.
fn shown(value: f64, decimals: usize) -> String {
    if value <= 0.0 {
        return ZERO.to_owned();
    }
    let least = 10_f64.powi(-(decimals as i32));
    if value < least / 2.0 {
        return format!("<{least:.decimals$}");
    }
    if decimals == 0 && value >= 999.5 {
        return format_count(value.round() as u64);
    }
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, rest)) => match whole.parse() {
            Ok(whole) => format!("{}.{rest}", format_count(whole)),
            // Longer than any run.
            Err(_) => format!("{value:.1e}"),
        },
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(times_ms: &[f64]) -> (&'static str, Vec<String>) {
        let times: Vec<Option<f64>> = times_ms.iter().map(|ms| Some(ms * 1e6)).collect();
        let unit = TimeUnit::of(times.iter().flatten().copied());
        (unit.name, unit.column(&times))
    }

    #[test]
    fn times_of_a_column_have_one_unit_and_as_many_decimals() {
        let cases: [(&[f64], &str, &[&str]); 6] = [
            (&[0.44, 0.762, 0.0], "us", &["440", "762", "·"]),
            (&[0.41, 6.25, 34.8], "ms", &["0.41", "6.25", "34.80"]),
            (&[0.03, 0.9], "us", &["30", "900"]),
            (&[0.441, 8_720.0], "ms", &["0.4", "8,720.0"]),
            (&[0.001, 8_720.0], "ms", &["<0.1", "8,720.0"]),
            (&[5_100.0, 12_000.0], "s", &["5.1", "12.0"]),
        ];
        for (times, unit, cells) in cases {
            assert_eq!(column(times), (unit, cells.iter().map(|it| (*it).to_owned()).collect()));
        }
        let unit = TimeUnit::of([]);
        assert_eq!((unit.name, unit.column(&[None])), ("us", vec!["-".to_owned()]));
    }
}
