//! What a fault did to the partitions it was not aimed at.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::FaultWindows;
use super::statistics::{Moments, welch_difference};
use crate::base::{PartitionId, Time};

/// Mean response time per interval of the partitions a fault was not aimed at, before and after it.
///
/// The sample is one mean per second, not one value per record: neighbouring records are not independent.
#[derive(Clone, Debug)]
pub struct SideEffects {
    windows: FaultWindows,
    aimed_at: BTreeSet<PartitionId>,
    quiet: Moments,
    disturbed: Moments,
    /// The same of each partition, those aimed at included: quiet and disturbed.
    each: Option<BTreeMap<PartitionId, [Moments; 2]>>,
    /// Count and sum of the interval under way, and which window it lies in.
    interval: (u64, f64, Option<Stretch>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    Quiet,
    Disturbed,
}

/// A change of a mean with its uncertainty, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Mean after the fault minus mean before it.
    pub mean_us: f64,
    /// Half the width of its 95 % confidence interval.
    pub half_width_us: f64,
    /// Whether the interval leaves out zero.
    pub significant: bool,
}

impl SideEffects {
    /// Nothing seen yet. With `each`, partitions are also looked at one by one.
    pub fn new(windows: FaultWindows, each: bool) -> SideEffects {
        SideEffects {
            windows,
            aimed_at: BTreeSet::new(),
            quiet: Moments::default(),
            disturbed: Moments::default(),
            each: each.then(BTreeMap::new),
            interval: (0, 0.0, None),
        }
    }

    /// Leaves out the partitions the fault was aimed at. Under explicit assignment they are known before;
    /// a group's only when the fault comes, so its quiet time includes them.
    pub fn aimed_at(&mut self, partitions: impl IntoIterator<Item = PartitionId>) {
        self.aimed_at.extend(partitions);
    }

    /// Notes a partition's interval.
    pub fn observe(&mut self, partition: PartitionId, from: Time, to: Time, count: u64, mean: f64) {
        let lies_in = |window: (Time, Time)| from >= window.0 && to <= window.1;
        let stretch = if lies_in(self.windows.quiet) {
            Stretch::Quiet
        } else if lies_in(self.windows.disturbed) {
            Stretch::Disturbed
        } else {
            return;
        };
        if let Some(each) = self.each.as_mut().filter(|_| count > 0) {
            let stretch = usize::from(stretch == Stretch::Disturbed);
            each.entry(partition).or_default()[stretch].add(mean);
        }
        if !self.aimed_at.contains(&partition) {
            self.interval.0 += count;
            self.interval.1 += mean * count as f64;
            self.interval.2 = Some(stretch);
        }
    }

    /// Ends the interval: its mean over all partitions becomes one value of the sample.
    pub fn end_interval(&mut self) {
        let (count, sum, stretch) = std::mem::take(&mut self.interval);
        if count == 0 {
            return;
        }
        match stretch {
            Some(Stretch::Quiet) => self.quiet.add(sum / count as f64),
            Some(Stretch::Disturbed) => self.disturbed.add(sum / count as f64),
            None => {}
        }
    }

    /// The change, once both stretches have at least two intervals.
    pub fn change(&self) -> Option<Change> {
        change(&self.quiet, &self.disturbed)
    }

    /// The change on one partition.
    pub fn change_of(&self, partition: PartitionId) -> Option<Change> {
        let [quiet, disturbed] = self.each.as_ref()?.get(&partition)?;
        change(quiet, disturbed)
    }
}

fn change(quiet: &Moments, disturbed: &Moments) -> Option<Change> {
    let (mean, half) = welch_difference(quiet, disturbed)?;
    Some(Change { mean_us: mean / 1e3, half_width_us: half / 1e3, significant: mean.abs() > half })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_others_count_and_only_whole_intervals() {
        let s = |s: i64| Time(s * 1_000_000_000);
        let windows = FaultWindows { quiet: (s(0), s(5)), disturbed: (s(5), s(10)) };
        let mut effects = SideEffects::new(windows, true);
        effects.aimed_at([PartitionId(7)]);
        for second in 0..10 {
            let jitter = (second % 2) as f64 * 1e3;
            effects.observe(PartitionId(0), s(second), s(second + 1), 100, 1e6 + jitter);
            let own = if second >= 5 { 1e9 } else { 1e6 };
            effects.observe(PartitionId(7), s(second), s(second + 1), 100, own);
            effects.end_interval();
        }
        let change = effects.change().unwrap();
        assert!(!change.significant, "{change:?}");
        assert!(change.mean_us.abs() < 1.0);
        let own = effects.change_of(PartitionId(7)).unwrap();
        assert!(own.significant && own.mean_us > 900.0, "{own:?}");
    }
}
