//! Scales: positions of values on an axis, and labels.

/// Distances between labels of a time axis, in seconds.
const STEPS_S: [f64; 18] = [
    0.001, 0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0,
    3_600.0, 7_200.0, 21_600.0,
];

/// A position on an axis with its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// Position from 0 at one end to 1 at the other.
    pub(super) at: f64,
    /// The label.
    pub(super) text: String,
}

/// A period of time on an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeAxis {
    /// Start of the axis, in seconds since the load began.
    pub(super) from_s: f64,
    /// End of the axis.
    pub(super) to_s: f64,
}

impl TimeAxis {
    /// Position of a time, from 0 to 1. Times outside are at the ends.
    pub(super) fn at(&self, s: f64) -> f64 {
        let length = (self.to_s - self.from_s).max(1e-9);
        ((s - self.from_s) / length).clamp(0.0, 1.0)
    }

    /// At most seven labels at round times.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let length = (self.to_s - self.from_s).max(1e-9);
        let step = STEPS_S.into_iter().find(|step| length / step <= 6.0);
        let step = step.unwrap_or_else(|| (length / 6.0 / 86_400.0).ceil() * 86_400.0);
        let first = (self.from_s / step - 1e-9).ceil() as i64;
        let last = (self.to_s / step + 1e-9).floor() as i64;
        let tick = |number: i64| {
            let s = number as f64 * step;
            Tick { at: self.at(s), text: clock(s, length) }
        };
        (first..=last).map(tick).collect()
    }

    /// The unit of the labels.
    pub(super) fn unit(&self) -> &'static str {
        match self.to_s - self.from_s {
            length if length <= 120.0 => "seconds since the load began",
            length if length <= 7_200.0 => "minutes:seconds since the load began",
            _ => "hours:minutes since the load began",
        }
    }
}

/// A time as a label of an axis of this length.
fn clock(s: f64, length_s: f64) -> String {
    let whole = s.round() as i64;
    match length_s {
        length if length <= 5.0 => {
            format!("{s:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        length if length <= 120.0 => format!("{whole}"),
        length if length <= 7_200.0 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}", whole / 3_600, whole / 60 % 60),
    }
}

/// A time since the load began, for sentences: `15.0 s`, `12:30`.
pub(super) fn moment(s: f64) -> String {
    if s < 600.0 { format!("{s:.1} s") } else { format!("{} min", clock(s, 601.0)) }
}

/// Round values from 0 to at least `max`, and the largest of them.
pub(super) fn round_values(max: f64) -> (Vec<f64>, f64) {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let magnitude = 10_f64.powf((max / 4.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * magnitude);
    let step = steps.into_iter().find(|step| max / step <= 4.0).unwrap_or(10.0 * magnitude);
    let count = (max / step - 1e-9).ceil().max(1.0);
    ((0..=count as u32).map(|n| f64::from(n) * step).collect(), count * step)
}

/// A logarithmic scale.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogScale {
    from: f64,
    to: f64,
}

impl LogScale {
    /// A scale for values above 0. It covers at least a decade, so that small differences do not look large.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> LogScale {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        if most <= 0.0 {
            (least, most) = (1.0, 10.0);
        }
        LogScale { from: least, to: most.max(least * 10.0) }
    }

    /// The same scale, extended to powers of ten.
    pub(super) fn in_decades(self) -> LogScale {
        let (from, to) = (self.from.log10() + 1e-9, self.to.log10() - 1e-9);
        LogScale { from: 10_f64.powf(from.floor()), to: 10_f64.powf(to.ceil()) }
    }

    /// The smallest value.
    pub(super) fn from(&self) -> f64 {
        self.from
    }

    /// The largest value.
    pub(super) fn to(&self) -> f64 {
        self.to
    }

    /// Position of a value, from 0 to 1. Values outside are at the ends.
    pub(super) fn at(&self, value: f64) -> f64 {
        let length = (self.to / self.from).ln().max(1e-9);
        ((value.max(self.from * 1e-9) / self.from).ln() / length).clamp(0.0, 1.0)
    }

    /// The powers of ten within the scale.
    pub(super) fn decades(&self) -> Vec<f64> {
        let (from, to) = ((self.from.log10() - 1e-9).ceil(), (self.to.log10() + 1e-9).floor());
        (from as i32..=to as i32).map(|power| 10_f64.powi(power)).collect()
    }
}

/// A position from 0 to 1 as an attribute in percent.
pub(super) fn percent(at: f64) -> String {
    format!("{:.2}%", at * 100.0)
}

/// A number with few digits, for paths.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_few_round_labels() {
        let labels = |from_s, to_s| {
            let ticks = TimeAxis { from_s, to_s }.ticks();
            ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(0.0, 35.002), "0 10 20 30");
        assert_eq!(labels(0.0, 3_600.0), "0:00 10:00 20:00 30:00 40:00 50:00 60:00");
        assert_eq!(labels(0.0, 9_000.0), "0:00 0:30 1:00 1:30 2:00 2:30");
        assert_eq!(labels(0.0, 2.0), "0 1 2");
        assert_eq!(labels(0.0, 1e7).split(' ').count(), 6);
        assert_eq!(labels(3.0, 3.0).split(' ').count(), 1);
    }

    #[test]
    fn values_have_round_labels_that_reach_the_largest() {
        assert_eq!(round_values(698.0), (vec![0.0, 200.0, 400.0, 600.0, 800.0], 800.0));
        assert_eq!(round_values(0.0).1, 1.0);
        assert_eq!(round_values(f64::NAN).1, 1.0);
        for max in [0.3, 1.0, 7.0, 99.0, 12_488.0] {
            let (values, top) = round_values(max);
            assert!(top >= max && (2..=6).contains(&values.len()), "{max} {values:?}");
        }
    }

    #[test]
    fn a_logarithmic_scale_is_a_decade_long_at_least() {
        let scale = LogScale::of([700.0, 750.0, 0.0, f64::NAN]);
        assert_eq!((scale.from(), scale.to()), (700.0, 7_000.0));
        assert!(scale.at(750.0) < 0.05);
        assert_eq!((scale.at(0.0), scale.at(1e9)), (0.0, 1.0));
        let scale = LogScale::of([3.0, 420.0]).in_decades();
        assert_eq!(scale.decades(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(LogScale::of([]).to(), 10.0);
    }
}
