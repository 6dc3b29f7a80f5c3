//! How far the clock of a process is from that of share 1.
//!
//! Processes of one machine read the same clock, so what is between their epochs is known. Between machines it is
//! measured by messages: if a question is asked at `a`, received at `b`, answered at `c` and the answer has come at `d`,
//! the other clock shows more by `((b - a) + (c - d)) / 2`, and that is wrong by half of the round trip at most,
//! `((d - a) - (c - b)) / 2`, however unequal the two ways are (RFC 5905, section 8).

use std::collections::VecDeque;

/// A reading of the clock that all processes of a machine share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClockReading {
    /// Names the clock.
    pub(super) machine: String,
    /// When the epoch of the process was on it, in nanoseconds.
    pub(super) epoch_ns: i64,
    /// How far that may be off, in nanoseconds.
    pub(super) bound_ns: i64,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    other_less_own_ns: i64,
    bound_ns: i64,
}

/// Rounds before a clock is set.
const ROUNDS: usize = 8;
/// Rounds kept: the best of the last ones counts.
const ROUNDS_KEPT: usize = 16;

/// What is known of the other clock.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockOffset {
    is_same: bool,
    rounds: VecDeque<Round>,
    /// By how much the own clock was set.
    taken_ns: i64,
}

impl ClockOffset {
    /// The same clock, with an epoch that is `other_less_own_ns` earlier.
    pub(super) fn same(other_less_own_ns: i64) -> ClockOffset {
        let round = Round { other_less_own_ns, bound_ns: 0 };
        ClockOffset { is_same: true, rounds: VecDeque::from([round]), taken_ns: 0 }
    }

    /// The same, known to within this bound.
    pub(super) fn within(mut self, bound_ns: i64) -> ClockOffset {
        self.rounds.iter_mut().for_each(|round| round.bound_ns += bound_ns);
        self
    }

    /// Whether it is the clock of share 1.
    pub(super) fn is_same(&self) -> bool {
        self.is_same
    }

    /// Whether enough is known to set the clock.
    pub(super) fn is_set(&self) -> bool {
        self.is_same || self.rounds.len() >= ROUNDS
    }

    /// Adds a question that was asked, and answered, at these times of the own clock, and received and answered at those
    /// of the other one.
    pub(super) fn add_round(&mut self, own: (i64, i64), other: (i64, i64)) {
        if self.is_same || own.1 < own.0 || other.1 < other.0 {
            return;
        }
        let other_less_own_ns = ((other.0 - own.0) + (other.1 - own.1)) / 2;
        let bound_ns = ((own.1 - own.0) - (other.1 - other.0)).max(0) / 2 + 1;
        if self.rounds.len() == ROUNDS_KEPT {
            self.rounds.pop_front();
        }
        self.rounds.push_back(Round { other_less_own_ns, bound_ns });
    }

    fn best(&self) -> Option<Round> {
        self.rounds.iter().min_by_key(|round| round.bound_ns).copied()
    }

    /// By how much the other clock shows more than the own one as it was started, in nanoseconds, and how far that may be
    /// wrong.
    pub(super) fn other_less_own_ns(&self) -> (i64, i64) {
        self.best().map_or((0, 0), |round| (round.other_less_own_ns, round.bound_ns))
    }

    /// Notes that the own clock was set by [`ClockOffset::other_less_own_ns`].
    pub(super) fn take(&mut self) {
        self.taken_ns = self.other_less_own_ns().0;
    }

    /// What is left since the clock was set, in nanoseconds, and how far that may be wrong.
    pub(super) fn left_ns(&self) -> (i64, i64) {
        let (other_less_own_ns, bound_ns) = self.other_less_own_ns();
        (other_less_own_ns - self.taken_ns, bound_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_offset_is_right_within_its_bound_however_unequal_the_ways_are(
            more in -1_000_000_000_i64..1_000_000_000,
            rounds in proptest::collection::vec((0_i64..50_000_000, 0_i64..50_000_000, 0_i64..9_000_000), ROUNDS..20),
        ) {
            let mut offset = ClockOffset::default();
            let mut now = 1_000;
            for (there, back, takes) in rounds {
                let received = now + there + more;
                let answered = received + takes;
                let came = answered - more + back;
                offset.add_round((now, came), (received, answered));
                now = came + 10;
            }
            prop_assert!(offset.is_set());
            let (known, bound) = offset.other_less_own_ns();
            prop_assert!((known - more).abs() <= bound, "{known} {more} {bound}");
        }
    }

    #[test]
    fn a_clock_that_was_set_is_measured_from_then_on() {
        let mut offset = ClockOffset::default();
        (0..ROUNDS as i64).for_each(|k| offset.add_round((k, k + 10), (k + 505, k + 505)));
        offset.take();
        assert_eq!(offset.left_ns(), (0, 6));
        // It runs away by 40 ns.
        (0..ROUNDS_KEPT as i64).for_each(|k| offset.add_round((k, k + 4), (k + 542, k + 542)));
        assert_eq!(offset.left_ns(), (40, 3));
    }

    #[test]
    fn the_same_clock_is_exact_and_takes_no_measurements() {
        let mut offset = ClockOffset::same(77).within(3);
        offset.add_round((0, 10), (900, 900));
        assert_eq!((offset.is_set(), offset.other_less_own_ns()), (true, (77, 3)));
    }
}
