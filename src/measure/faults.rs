//! What faults did: their times, the windows compared, and the blast radius.

use std::time::Duration;

use super::{CellState, PartitionCell, PauseWindow};
use crate::base::{Table, Time};
use crate::plan::{FaultPlan, Membership, Plan};

/// The times of a fault that are not a partition's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTimes {
    /// When it was put in.
    pub injected: Option<Time>,
    /// When it was over by itself, or a killed pool was back.
    pub healed: Option<Time>,
    /// When the supervisor learned that a pool had died.
    pub detected: Option<Time>,
    /// When the last pool was released.
    pub released: Option<Time>,
    /// When a pool's replacement was started.
    pub restarted: Option<Time>,
    /// Targets that were not there to be hit, and why.
    pub missed: Vec<String>,
}

/// The two equally long stretches a fault's effect is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultWindows {
    /// Before the fault.
    pub quiet: (Time, Time),
    /// From the fault on.
    pub disturbed: (Time, Time),
}

/// Longest stretch compared under explicit assignment.
const WINDOW_MAX: Duration = Duration::from_secs(10);

/// The windows of each fault, given the start of the load. They end before the next fault, and
/// begin after the one before, so that one fault's effect is not read as another's.
pub fn fault_windows(plan: &Plan, start: Time) -> Vec<FaultWindows> {
    let longest = match &plan.consumers.membership {
        Membership::Assigned { .. } => WINDOW_MAX,
        // A crash is only noticed after the session time-out, and answered by a rebalance.
        Membership::Group(group) => WINDOW_MAX.max(group.crash_noticed_after() * 2),
    };
    let faults = &plan.faults;
    let windows = |fault: &FaultPlan| {
        let at = fault.at;
        // Faults at the same time share their windows.
        let earlier = faults.iter().filter(|other| other.at < at).map(|other| other.end().min(at));
        let before = earlier.max().unwrap_or(Duration::ZERO);
        let later = faults.iter().map(|other| other.at).filter(|other| *other > at).min();
        let after = later.unwrap_or(plan.times.load_end());
        // What lasts longer is watched as long as it lasts, and then a little.
        let longest = longest.max(fault.lasts.unwrap_or_default() * 2);
        let span = longest.min(at - before).min(after.saturating_sub(at));
        let at = start + at;
        FaultWindows { quiet: (at - span, at), disturbed: (at, at + span) }
    };
    faults.iter().map(windows).collect()
}

/// The stretches in which pauses are watched: quiet and disturbed of every fault, in turn.
pub fn watched_windows(windows: &[FaultWindows]) -> Vec<(Time, Time)> {
    windows.iter().flat_map(|windows| [windows.quiet, windows.disturbed]).collect()
}

/// A pause is out of the ordinary beyond this, whatever the quiet time was like.
const HIT_PAUSE_NS: i64 = 100_000_000;

/// The partitions fault number `fault` hit: those whose longest pause in its window exceeds 100 ms and
/// three times that of an equally long quiet window.
pub fn partitions_hit(cells: &Table<PartitionCell>, fault: usize) -> Vec<u32> {
    let is_hit = |cell: &PartitionCell| {
        let cell = cell.lock();
        // Window 0 is the measured one; each fault has two after it.
        match cell.pauses.windows().get(1 + 2 * fault..3 + 2 * fault) {
            Some([quiet, disturbed]) => is_out_of_the_ordinary(quiet, disturbed),
            _ => false,
        }
    };
    (0u32..).zip(cells.iter()).filter(|(_, cell)| is_hit(cell)).map(|(id, _)| id).collect()
}

/// The longest pauses of a partition before and after fault number `fault`, in nanoseconds.
pub fn pauses_around(cell: &CellState, fault: usize) -> (i64, i64) {
    match cell.pauses.windows().get(1 + 2 * fault..3 + 2 * fault) {
        Some([quiet, disturbed]) => (quiet.longest_ns, disturbed.longest_ns),
        _ => (0, 0),
    }
}

fn is_out_of_the_ordinary(quiet: &PauseWindow, disturbed: &PauseWindow) -> bool {
    disturbed.longest_ns > HIT_PAUSE_NS.max(3 * quiet.longest_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(longest_ms: i64) -> PauseWindow {
        PauseWindow { from: Time::ZERO, to: Time(1), longest_ns: longest_ms * 1_000_000 }
    }

    #[test]
    fn a_hit_needs_both_a_long_pause_and_a_quieter_time_before() {
        assert!(!is_out_of_the_ordinary(&pause(10), &pause(99)));
        assert!(is_out_of_the_ordinary(&pause(10), &pause(101)));
        assert!(!is_out_of_the_ordinary(&pause(60), &pause(170)));
        assert!(is_out_of_the_ordinary(&pause(60), &pause(181)));
    }
}
