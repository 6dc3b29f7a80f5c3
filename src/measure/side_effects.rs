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
    /// Each quiet interval's partitions, until the fault has come and says which of them it was aimed at.
    undecided: Vec<Interval>,
    /// The interval under way, and which window it lies in.
    interval: (Interval, Option<Stretch>),
}

/// Count and sum of each partition in an interval.
type Interval = Vec<(PartitionId, u64, f64)>;

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
            undecided: Vec::new(),
            interval: (Vec::new(), None),
        }
    }

    /// Leaves out the partitions the fault was aimed at, of both stretches: with one more of them in the mean, two
    /// equal stretches of unequal partitions would differ. They are known when the fault has come.
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
        self.interval.0.push((partition, count, mean * count as f64));
        self.interval.1 = Some(stretch);
    }

    /// Ends the interval: its mean over all partitions but those aimed at becomes one value of the sample.
    pub fn end_interval(&mut self) {
        match std::mem::take(&mut self.interval) {
            (_, None) => {}
            (interval, Some(Stretch::Quiet)) => self.undecided.push(interval),
            (interval, Some(Stretch::Disturbed)) => {
                for quiet in std::mem::take(&mut self.undecided) {
                    add(&mut self.quiet, &quiet, &self.aimed_at);
                }
                add(&mut self.disturbed, &interval, &self.aimed_at);
            }
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

/// Adds an interval's mean over the partitions that were not aimed at.
fn add(sample: &mut Moments, interval: &Interval, aimed_at: &BTreeSet<PartitionId>) {
    let others = interval.iter().filter(|(partition, ..)| !aimed_at.contains(partition));
    let (count, sum) =
        others.fold((0, 0.0), |(n, total), (_, count, sum)| (n + count, total + sum));
    if count > 0 {
        sample.add(sum / count as f64);
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

    #[test]
    fn partitions_aimed_at_are_left_out_of_the_quiet_time_as_well_although_they_are_known_after_it()
    {
        let s = |s: i64| Time(s * 1_000_000_000);
        let windows = FaultWindows { quiet: (s(0), s(5)), disturbed: (s(5), s(10)) };
        let mut effects = SideEffects::new(windows, false);
        for second in 0..10 {
            if second == 5 {
                effects.aimed_at([PartitionId(7)]);
            }
            // One of the others is slow throughout: nothing changes, whoever is counted.
            for (partition, mean) in [(0, 1e6), (4, 10e6), (7, 1e6)] {
                let jitter = (second % 2) as f64 * 1e3;
                effects.observe(
                    PartitionId(partition),
                    s(second),
                    s(second + 1),
                    100,
                    mean + jitter,
                );
            }
            effects.end_interval();
        }
        let change = effects.change().unwrap();
        assert!(change.mean_us.abs() < 1.0 && !change.significant, "{change:?}");
    }
}
