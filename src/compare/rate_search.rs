//! The search for the highest rate that holds: doubling until a rate does not hold, then bisection.
//!
//! The search assumes that a rate holds if a higher one does. A rate at which the load generator itself fell short
//! decides nothing about the system under test. It bounds the search from above, with an outcome of its own.

use serde::Serialize;

/// The outcome of the rounds at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateOutcome {
    /// Every expectation holds in every round.
    Holds,
    /// An expectation does not hold in a round.
    Fails,
    /// A run was INVALID: the load generator fell short.
    Invalid,
}

/// The bounds of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchSettings {
    /// The first rate that is tried, in messages per second of all producers.
    pub from: f64,
    /// The highest rate that may be tried.
    pub most: f64,
    /// The search ends when the rate that holds is within this share of a rate that does not.
    pub precision: f64,
    /// Largest number of steps.
    pub steps: usize,
}

/// The state of a search, and its next rate.
#[derive(Clone, Debug)]
pub struct RateSearch {
    settings: SearchSettings,
    /// The highest rate that holds; `None` if none is known.
    holds: Option<f64>,
    /// The lowest rate that does not hold, and its outcome; `None` if none is known.
    above: Option<(f64, RateOutcome)>,
    done: usize,
}

/// Lowest rate that is tried. One message in a hundred seconds measures nothing in the time of a run.
const LEAST: f64 = 0.01;

impl RateSearch {
    /// A search at its beginning.
    pub fn new(settings: SearchSettings) -> RateSearch {
        RateSearch { settings, holds: None, above: None, done: 0 }
    }

    /// The next rate to try; `None` if the search is over.
    pub fn next_rate(&self) -> Option<f64> {
        let SearchSettings { from, most, precision, steps } = self.settings;
        if self.done >= steps {
            return None;
        }
        let next = match (self.holds, self.above) {
            (None, None) => from.min(most),
            (Some(holds), None) if holds < most => (2.0 * holds).min(most),
            (Some(_), None) => return None,
            (None, Some((above, _))) => above / 2.0,
            (Some(holds), Some((above, _))) => {
                if above - holds <= precision * above {
                    return None;
                }
                (holds + above) / 2.0
            }
        };
        let next = rounded(next);
        let is_new = self.holds != Some(next) && self.above.is_none_or(|(above, _)| above != next);
        (next >= LEAST && is_new).then_some(next)
    }

    /// Notes the outcome of the rate that was returned last.
    pub fn note(&mut self, rate: f64, outcome: RateOutcome) {
        self.done += 1;
        match outcome {
            RateOutcome::Holds => self.holds = Some(self.holds.map_or(rate, |held| held.max(rate))),
            RateOutcome::Fails | RateOutcome::Invalid => {
                if self.above.is_none_or(|(above, _)| rate <= above) {
                    self.above = Some((rate, outcome));
                }
            }
        }
    }

    /// The highest rate that holds.
    pub fn holds(&self) -> Option<f64> {
        self.holds
    }

    /// The lowest rate that does not hold, and its outcome.
    pub fn above(&self) -> Option<(f64, RateOutcome)> {
        self.above
    }

    /// True if the number of steps ended the search before it reached its precision.
    pub fn is_cut_short(&self) -> bool {
        let SearchSettings { precision, steps, .. } = self.settings;
        let is_wide = match (self.holds, self.above) {
            (Some(holds), Some((above, _))) => above - holds > precision * above,
            _ => true,
        };
        self.done >= steps && is_wide
    }
}

/// Rounds to five significant digits, so that the printed rate is the one that was run.
fn rounded(rate: f64) -> f64 {
    if rate <= 0.0 {
        return 0.0;
    }
    let scale = 10f64.powi(4 - rate.log10().floor() as i32);
    (rate * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: SearchSettings =
        SearchSettings { from: 100.0, most: 1e6, precision: 0.01, steps: 30 };

    fn searched(settings: SearchSettings, outcome: impl Fn(f64) -> RateOutcome) -> RateSearch {
        let mut search = RateSearch::new(settings);
        while let Some(rate) = search.next_rate() {
            search.note(rate, outcome(rate));
        }
        search
    }

    fn up_to(limit: f64) -> impl Fn(f64) -> RateOutcome {
        move |rate| if rate <= limit { RateOutcome::Holds } else { RateOutcome::Fails }
    }

    #[test]
    fn the_limit_is_within_the_bracket_wherever_it_is() {
        for limit in [0.5, 3.7, 99.0, 100.0, 101.0, 5_432.1, 700_000.0] {
            let search = searched(SETTINGS, up_to(limit));
            let (holds, (above, _)) =
                (search.holds().expect("a rate"), search.above().expect("another"));
            assert!(holds <= limit && limit < above, "{limit}: {holds} {above}");
            assert!(above - holds <= 0.01 * above && !search.is_cut_short(), "{limit}");
        }
    }

    #[test]
    fn a_search_is_bounded() {
        let none = searched(SETTINGS, |_| RateOutcome::Fails);
        assert_eq!(none.holds(), None);
        let all = searched(SETTINGS, |_| RateOutcome::Holds);
        assert_eq!((all.holds(), all.above()), (Some(1e6), None));
        let few = searched(SearchSettings { steps: 3, ..SETTINGS }, up_to(750.0));
        assert!(few.is_cut_short() && few.holds() == Some(400.0), "{few:?}");
    }

    #[test]
    fn the_ceiling_of_the_tester_is_named() {
        let search = searched(SETTINGS, |rate| match rate {
            rate if rate > 3_000.0 => RateOutcome::Invalid,
            _ => RateOutcome::Holds,
        });
        let (above, outcome) = search.above().expect("a bound");
        assert_eq!(outcome, RateOutcome::Invalid);
        assert!(above > 3_000.0 && above < 3_040.0, "{above}");
    }
}
