//! How long a partition stood still.

use crate::base::Time;

/// Longest pauses between two processed records, within windows known beforehand.
#[derive(Clone, Debug, Default)]
pub struct Pauses {
    last: Option<Time>,
    windows: Vec<PauseWindow>,
}

/// A stretch of the run and the longest pause that touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PauseWindow {
    /// Start.
    pub from: Time,
    /// End.
    pub to: Time,
    /// Longest pause in nanoseconds, cut to the window.
    pub longest_ns: i64,
}

/// Gaps below this are not looked at: they are the spacing of records.
const SHORTEST_PAUSE_NS: i64 = 1_000_000;

impl Pauses {
    /// Watches the given windows; a pause counts from `start` if no record came before.
    pub fn watch(&mut self, start: Time, windows: impl IntoIterator<Item = (Time, Time)>) {
        self.last = Some(self.last.unwrap_or(start).max(start));
        self.windows =
            windows.into_iter().map(|(from, to)| PauseWindow { from, to, longest_ns: 0 }).collect();
    }

    /// Notes that a record was processed (or that the run ended) at `now`.
    #[inline]
    pub fn processed(&mut self, now: Time) {
        if let Some(last) = self.last {
            self.paused(last, now);
        }
        self.last = Some(now);
    }

    #[inline]
    fn paused(&mut self, last: Time, now: Time) {
        let pause_ns = now.since_ns(last);
        if pause_ns < SHORTEST_PAUSE_NS {
            return;
        }
        for window in self.windows.iter_mut().filter(|window| window.longest_ns < pause_ns) {
            let (from, to) = (last.max(window.from), now.min(window.to));
            window.longest_ns = window.longest_ns.max(to.since_ns(from));
        }
    }

    /// How the windows would be if a record were processed at `now`: whoever stands still has paused until then.
    pub fn until(&self, now: Time) -> Pauses {
        let mut pauses = self.clone();
        pauses.processed(now);
        pauses
    }

    /// The windows, in the order they were given.
    pub fn windows(&self) -> &[PauseWindow] {
        &self.windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_in_every_window_it_touches_cut_to_it() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let mut pauses = Pauses::default();
        pauses.watch(ms(0), [(ms(0), ms(1000)), (ms(1000), ms(2000)), (ms(2000), ms(3000))]);
        pauses.processed(ms(10));
        pauses.processed(ms(900));
        pauses.processed(ms(1500));
        let longest: Vec<i64> = pauses.windows().iter().map(|w| w.longest_ns / 1_000_000).collect();
        assert_eq!(longest, [890, 500, 0]);
    }

    #[test]
    fn a_partition_that_never_spoke_paused_all_the_time() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let mut pauses = Pauses::default();
        pauses.watch(ms(5), [(ms(0), ms(100))]);
        pauses.processed(ms(300));
        assert_eq!(pauses.windows()[0].longest_ns, 95_000_000);
    }
}
