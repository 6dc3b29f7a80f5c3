//! Stages of the load, and the curve of its rate.
//!
//! A schedule counts *load time*. At the load's own rate, one second of load time passes per second. At twice the rate
//! two seconds pass, and in a pause none. Record k of a producer is due at a fixed load time. So the due times depend
//! on seed and stages alone, without accumulated errors.

use std::time::Duration;

/// A stage of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct StagePlan {
    /// Name of the stage.
    pub name: String,
    /// Duration of the stage. For a stage that ends when the lag is 0, the longest duration.
    pub lasts: Duration,
    /// Records per second of all producers, at the beginning and at the end of the stage.
    pub per_second: [f64; 2],
    /// True if the stage ends as soon as the lag is 0.
    pub until_lag_is_zero: bool,
}

/// A period in which the rate is multiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateBurst {
    /// Start in nanoseconds since the load began.
    pub from_ns: i64,
    /// End in nanoseconds since the load began.
    pub to_ns: i64,
    /// Factor of the rate.
    pub factor: f64,
}

/// The rate of a load over time, as a multiple of the load's own rate. Times are nanoseconds since the load began.
#[derive(Clone, Debug, PartialEq)]
pub struct RateCurve {
    warmup_ns: i64,
    stages: Vec<StageSpan>,
    bursts: Vec<RateBurst>,
    pieces: Vec<Piece>,
}

/// A stage as a period, with its factors at both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct StageSpan {
    lasts_ns: i64,
    factors: [f64; 2],
}

/// A period in which the factor is linear.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    from: i64,
    to: i64,
    factors: [f64; 2],
    /// Load time at its start, in nanoseconds.
    before: f64,
}

impl Piece {
    /// Load time that passes from its start to `at`, in nanoseconds.
    fn passed(&self, at: i64) -> f64 {
        let (span, length) = ((at - self.from) as f64, (self.to - self.from) as f64);
        let [from, to] = self.factors;
        span * from + (to - from) / length.max(1.0) * span * span / 2.0
    }

    /// The time at which `wanted` load time has passed since its start; `None` if that is after its end.
    fn after(&self, wanted: f64) -> Option<i64> {
        if wanted > self.passed(self.to) {
            return None;
        }
        let [from, to] = self.factors;
        let slope = (to - from) / ((self.to - self.from) as f64).max(1.0);
        // The smaller root of slope/2 x^2 + from x - wanted, in a form that is exact for small slopes too.
        let root = (from * from + 2.0 * slope * wanted).max(0.0).sqrt();
        let sum = from + root;
        let span = if sum > 0.0 { 2.0 * wanted / sum } else { 0.0 };
        Some((self.from + span.round() as i64).min(self.to))
    }
}

impl RateCurve {
    /// The curve of a load with this warmup, these stages after it, and these bursts.
    pub fn new(
        warmup: Duration,
        own_per_second: f64,
        stages: &[StagePlan],
        bursts: Vec<RateBurst>,
    ) -> RateCurve {
        let span = |stage: &StagePlan| StageSpan {
            lasts_ns: stage.lasts.as_nanos() as i64,
            factors: stage.per_second.map(|rate| rate / own_per_second),
        };
        let mut curve = RateCurve {
            warmup_ns: warmup.as_nanos() as i64,
            stages: stages.iter().map(span).collect(),
            bursts,
            pieces: Vec::new(),
        };
        curve.lay_out();
        curve
    }

    /// The beginning of each stage, and the end of the last one.
    pub fn bounds(&self) -> Vec<i64> {
        let mut at = self.warmup_ns;
        let ends = self.stages.iter().map(|stage| {
            at += stage.lasts_ns;
            at
        });
        std::iter::once(self.warmup_ns).chain(ends.collect::<Vec<_>>()).collect()
    }

    /// Ends a stage at `at`. Later stages begin earlier by the same time.
    pub fn end_stage(&mut self, stage: usize, at: i64) {
        let begins = self.bounds().get(stage).copied().unwrap_or(at);
        if let Some(span) = self.stages.get_mut(stage) {
            span.lasts_ns = (at - begins).clamp(0, span.lasts_ns);
            self.lay_out();
        }
    }

    /// The end of the schedule.
    pub fn end(&self) -> i64 {
        self.pieces.last().map_or(self.warmup_ns, |piece| piece.to)
    }

    /// Load time until `at`, in nanoseconds.
    pub fn load_time(&self, at: i64) -> f64 {
        let number = self.pieces.partition_point(|piece| piece.from <= at).saturating_sub(1);
        let Some(piece) = self.pieces.get(number) else { return 0.0 };
        piece.before + piece.passed(at.clamp(piece.from, piece.to))
    }

    /// The time at which the load time `wanted` is reached; `None` if the schedule ends before.
    pub fn when(&self, wanted: i64) -> Option<i64> {
        let wanted = wanted as f64;
        let number = self.pieces.partition_point(|piece| piece.before <= wanted).saturating_sub(1);
        // Rounding may place it right after its piece.
        let mut rest = self.pieces.get(number..)?.iter();
        rest.find_map(|piece| piece.after((wanted - piece.before).max(0.0)))
    }

    fn lay_out(&mut self) {
        let mut cuts = vec![0];
        cuts.extend(self.bounds());
        let end = *cuts.last().unwrap_or(&0);
        cuts.extend(self.bursts.iter().flat_map(|it| [it.from_ns, it.to_ns]));
        cuts.retain(|at| (0..=end).contains(at));
        cuts.sort_unstable();
        cuts.dedup();
        let (mut pieces, mut before) = (Vec::new(), 0.0);
        for pair in cuts.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let burst = self.bursts.iter().find(|it| it.from_ns <= from && to <= it.to_ns);
            let times = burst.map_or(1.0, |it| it.factor);
            let factors = self.factors(from, to).map(|factor| factor * times);
            let piece = Piece { from, to, factors, before };
            before += piece.passed(to);
            pieces.push(piece);
        }
        self.pieces = pieces;
    }

    /// The factors of the stages at both ends of a period that lies within one stage.
    fn factors(&self, from: i64, to: i64) -> [f64; 2] {
        let bounds = self.bounds();
        let number = bounds.partition_point(|bound| *bound <= from);
        let Some(stage) = number.checked_sub(1).and_then(|number| self.stages.get(number)) else {
            return [1.0; 2];
        };
        let begins = bounds[number - 1];
        let [first, last] = stage.factors;
        let at =
            |at: i64| first + (last - first) * (at - begins) as f64 / stage.lasts_ns.max(1) as f64;
        [at(from), at(to)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn stage(seconds: u64, from: f64, to: f64) -> StagePlan {
        StagePlan {
            name: String::new(),
            lasts: Duration::from_secs(seconds),
            per_second: [from, to],
            until_lag_is_zero: false,
        }
    }

    fn curve(bursts: Vec<RateBurst>) -> RateCurve {
        let stages = [stage(10, 0.0, 200.0), stage(5, 0.0, 0.0), stage(10, 200.0, 200.0)];
        RateCurve::new(Duration::from_secs(2), 100.0, &stages, bursts)
    }

    #[test]
    fn load_time_is_the_area_under_the_curve() {
        let curve = curve(Vec::new());
        let seconds = |at: i64| curve.load_time(at * SECOND) / 1e9;
        // Two seconds of warmup, a ramp of 10 s to twice the rate, a pause of 5 s, and 10 s at twice the rate.
        assert_eq!([0, 2, 7, 12, 17, 27].map(seconds), [0.0, 2.0, 4.5, 12.0, 12.0, 32.0]);
        assert_eq!(curve.bounds(), [2, 12, 17, 27].map(|at| at * SECOND));
    }

    #[test]
    fn a_time_comes_when_its_load_time_does() {
        let curve = curve(vec![RateBurst { from_ns: 0, to_ns: SECOND, factor: 3.0 }]);
        for step in 0..270 {
            let at = step * SECOND / 10;
            let is_pause = (12 * SECOND..17 * SECOND).contains(&at);
            let found = curve.when(curve.load_time(at).round() as i64).expect("a time");
            // Records due at the beginning of a pause are due at its end, because periods exclude their last moment.
            let wanted = if is_pause { 17 * SECOND } else { at };
            // Near the start of a ramp from 0, a nanosecond of load time takes many.
            let slack = if (2 * SECOND..3 * SECOND).contains(&at) { 40_000 } else { 2 };
            assert!((found - wanted).abs() <= slack, "{at}: {found}");
        }
        assert_eq!(curve.when(40 * SECOND), None);
    }

    #[test]
    fn a_stage_that_ends_early_moves_those_behind_it_and_nothing_before() {
        let (whole, mut cut) = (curve(Vec::new()), curve(Vec::new()));
        cut.end_stage(1, 13 * SECOND);
        assert_eq!(cut.bounds(), [2, 12, 13, 23].map(|at| at * SECOND));
        for load in (0..32).map(|load| load * SECOND) {
            let moved = if load >= 12 * SECOND { 4 * SECOND } else { 0 };
            assert_eq!(cut.when(load), whole.when(load).map(|at| at - moved), "{load}");
        }
    }
}
