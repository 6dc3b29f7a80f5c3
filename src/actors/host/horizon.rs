//! How far a turn of a pool's host goes, and how long the host waits at most.

use std::time::Duration;

use crate::base::{Clock, Time};

/// Longest sleep, so that commands and acknowledgements are seen in time.
pub(in crate::actors) const SLEEP_MAX: Duration = Duration::from_millis(10);

/// How far a turn of a pool's host goes.
#[derive(Clone, Copy)]
pub(in crate::actors) enum Horizon {
    /// The turn sends all records that are due according to this clock, which continues meanwhile.
    Present(Clock),
    /// The turn sends the records that are due at its own time, and then, each at its own time, those due before this
    /// time.
    Before(Time),
}

impl Horizon {
    /// The time of a turn that has progressed to `at`.
    #[inline]
    pub(super) fn time(self, at: Time) -> Time {
        match self {
            Horizon::Present(clock) => clock.now(),
            Horizon::Before(_) => at,
        }
    }
}
