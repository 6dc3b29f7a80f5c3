//! The offset of a process's clock from that of share 1.
//!
//! Processes on one machine read the same clock, so the difference of their epochs is known. Between machines the
//! offset is measured by messages. A request is sent at `a` and received at `b`, its response is sent at `c` and
//! received at `d`. Then the other clock is `((b - a) + (c - d)) / 2` later. The error is at most half of the round
//! trip, `((d - a) - (c - b)) / 2`, for any split of the delay between the two directions (RFC 5905, section 8).

use std::collections::VecDeque;

/// A reading of the clock that all processes of a machine share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClockReading {
    /// Identifies the clock.
    pub(super) machine: String,
    /// The epoch of the process on that clock, in nanoseconds.
    pub(super) epoch_ns: i64,
    /// Error bound of the epoch, in nanoseconds.
    pub(super) bound_ns: i64,
}

/// One measurement of the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round {
    other_less_own_ns: i64,
    bound_ns: i64,
}

/// Rounds before a clock is set.
const ROUNDS: usize = 8;
/// Latest rounds that are kept. The one with the smallest bound counts.
const ROUNDS_KEPT: usize = 16;

/// The measured offset of the other clock.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockOffset {
    is_same: bool,
    rounds: VecDeque<Round>,
    /// The offset by which the own clock was set, in nanoseconds.
    taken_ns: i64,
}

impl ClockOffset {
    /// The same clock, with an epoch that is `other_less_own_ns` earlier.
    pub(super) fn same(other_less_own_ns: i64) -> ClockOffset {
        let round = Round { other_less_own_ns, bound_ns: 0 };
        ClockOffset { is_same: true, rounds: VecDeque::from([round]), taken_ns: 0 }
    }

    /// The same offset with a larger error bound.
    pub(super) fn within(mut self, bound_ns: i64) -> ClockOffset {
        self.rounds.iter_mut().for_each(|round| round.bound_ns += bound_ns);
        self
    }

    /// True if it is the clock of share 1.
    pub(super) fn is_same(&self) -> bool {
        self.is_same
    }

    /// True if there are enough rounds to set the clock, or if it is the same clock.
    pub(super) fn is_set(&self) -> bool {
        self.is_same || self.rounds.len() >= ROUNDS
    }

    /// Adds a round. `own` has the times of the request and of the response on the own clock, `other` those of receipt
    /// and response on the other clock.
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

    /// The other clock minus the own one as it was started, in nanoseconds, with the error bound.
    pub(super) fn other_less_own_ns(&self) -> (i64, i64) {
        self.best().map_or((0, 0), |round| (round.other_less_own_ns, round.bound_ns))
    }

    /// Notes that the own clock was set by [`ClockOffset::other_less_own_ns`].
    pub(super) fn take(&mut self) {
        self.taken_ns = self.other_less_own_ns().0;
    }

    /// The offset that is left since the clock was set, in nanoseconds, with the error bound.
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
        // The clock drifts by 40 ns.
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
