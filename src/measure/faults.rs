//! What faults did: their times, the windows compared, and the blast radius.

use std::time::Duration;

use super::{PartitionCell, PauseWindow};
use crate::base::Time;
use crate::plan::{FaultPlan, Membership, Plan};

/// When the supervision noticed and answered a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTimes {
    /// When it was put in.
    pub injected: Option<Time>,
    /// When the supervisor learned that the consumer had died.
    pub detected: Option<Time>,
    /// When the last of its partitions was released.
    pub released: Option<Time>,
    /// When the replacement was started.
    pub restarted: Option<Time>,
    /// When the old client was gone.
    pub closed: Option<Time>,
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
        let others = || faults.iter().map(|other| other.at);
        let before = others().filter(|other| *other < at).max().unwrap_or(Duration::ZERO);
        let after = others().filter(|other| *other > at).min().unwrap_or(plan.times.load_end());
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
pub fn partitions_hit(cells: &[PartitionCell], fault: usize) -> Vec<u32> {
    let is_hit = |cell: &PartitionCell| {
        let cell = cell.lock();
        // Window 0 is the measured one; each fault has two after it.
        match cell.pauses.windows().get(1 + 2 * fault..3 + 2 * fault) {
            Some([quiet, disturbed]) => is_out_of_the_ordinary(quiet, disturbed),
            _ => false,
        }
    };
    (0u32..).zip(cells).filter(|(_, cell)| is_hit(cell)).map(|(id, _)| id).collect()
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
