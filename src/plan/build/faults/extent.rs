//! The limits of all faults together: occurrences, and targets.

use crate::base::format_count;
use crate::fault::Fault;
use crate::reader::Findings;
use crate::scenario::{At, Diagnostic, codes};

/// Occurrences of all faults together: each has windows in which every partition is watched.
const OCCURRENCES_MAX: usize = 5_000;
/// Consumers, partitions, pools and brokers hit in all occurrences together: each has its figures.
const TARGETS_MAX: u64 = 1_000_000;

/// What there is so far.
#[derive(Debug, Default)]
pub(super) struct Extent {
    occurrences: usize,
    targets: u64,
    is_exceeded: bool,
}

impl Extent {
    /// How many occurrences more there may be.
    pub(super) fn room(&self) -> usize {
        if self.is_exceeded { 0 } else { OCCURRENCES_MAX - self.occurrences }
    }

    /// Whether a fault may have this number of further occurrences, each with `targets`. Reports the first place that
    /// exceeds the limit, once.
    pub(super) fn take(
        &mut self,
        occurrences: usize,
        targets: u64,
        fault: &At<Fault>,
        found: &mut Findings,
    ) -> bool {
        if self.is_exceeded {
            return false;
        }
        self.occurrences += occurrences;
        self.targets = self.targets.saturating_add(targets.saturating_mul(occurrences as u64));
        let (message, remedy) = if self.occurrences > OCCURRENCES_MAX {
            (
                format!("more than {} faults would happen", format_count(OCCURRENCES_MAX as u64)),
                "choose a longer `every`, a shorter `run.duration`, or fewer faults",
            )
        } else if self.targets > TARGETS_MAX {
            (
                format!("faults would hit more than {} targets in all", format_count(TARGETS_MAX)),
                "choose a longer `every`, a shorter `run.duration`, or fewer targets",
            )
        } else {
            return true;
        };
        self.is_exceeded = true;
        let origin = fault.value.schedule.every.as_ref().map_or(fault.origin, |every| every.origin);
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, origin, message).remedy(remedy));
        false
    }
}
