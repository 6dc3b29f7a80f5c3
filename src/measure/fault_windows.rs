//! The stretches of a run that are compared around each fault.

use std::ops::Range;
use std::time::Duration;

use crate::base::Time;
use crate::plan::{FaultPlan, Membership, Plan};

/// The times of a fault that are not a partition's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultTimes {
    /// When it was put in.
    pub injected: Option<Time>,
    /// When it ended by itself, or a killed pool was back.
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

/// An instant at which faults are put in, and the two equally long stretches their effect is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultWindows {
    /// When the faults are due.
    pub at: Time,
    /// Which occurrences, by their positions in the plan.
    pub faults: Range<usize>,
    /// Before the faults: ends at `at`.
    pub quiet: (Time, Time),
    /// From the faults on: begins at `at`.
    pub disturbed: (Time, Time),
}

/// Longest stretch compared under explicit assignment.
const WINDOW_MAX: Duration = Duration::from_secs(10);

/// The windows of every instant with faults, in order, given the start of the load. A quiet window begins after
/// the faults before it have ended; a disturbed one ends before the next fault, so that no effect is read twice.
pub fn fault_windows(plan: &Plan, start: Time) -> Vec<FaultWindows> {
    let shortest = match &plan.consumers.membership {
        Membership::Assigned { .. } => WINDOW_MAX,
        // A crash is only noticed after the session time-out, and answered by a rebalance.
        Membership::Group(group) => WINDOW_MAX.max(group.crash_noticed_after() * 2),
    };
    let mut windows: Vec<FaultWindows> = Vec::new();
    let mut ended = Duration::ZERO;
    let mut first = 0;
    while let Some(fault) = plan.faults.get(first) {
        let at = fault.at;
        let count = plan.faults[first..].iter().take_while(|other| other.at == at).count();
        let faults = first..first + count;
        let next = plan.faults.get(faults.end).map_or(plan.times.load_end(), |next| next.at);
        let its = &plan.faults[faults.clone()];
        // A fault that lasts longer is watched as long as it lasts, and as long again.
        let longest = its.iter().filter_map(|fault| fault.lasts).max().unwrap_or_default() * 2;
        let span = shortest.max(longest).min(at - ended.min(at)).min(next.saturating_sub(at));
        first = faults.end;
        ended = its.iter().map(FaultPlan::end).fold(ended, Duration::max);
        let at = start + at;
        windows.push(FaultWindows {
            at,
            faults,
            quiet: (at - span, at),
            disturbed: (at, at + span),
        });
    }
    windows
}
