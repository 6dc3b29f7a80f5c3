//! The end of a load: consumers read what is left, up to the end offsets of their partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::run_control::{DRAIN_INTERRUPTED, LOOK, RunControl};
use crate::actors::Patience;
use crate::base::{Offset, PartitionId};

/// Time limit of the query for end offsets.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(5);

impl RunControl {
    /// Lets consumers read up to the present end offsets. Returns warnings if that failed.
    pub(super) async fn drain(&mut self) -> Vec<String> {
        let own = self.context.measurements.own_cells();
        let partitions: Vec<PartitionId> = own.map(|(partition, _)| partition).collect();
        let asked = self.context.runtime.end_offsets(&partitions, self.patience()).await;
        let unread = "what was acknowledged and not read yet counts as unread";
        let ends = match asked {
            Ok(ends) => ends,
            Err(error) => {
                return vec![format!("the end offsets could not be asked ({error}); {unread}")];
            }
        };
        let unknown = partitions.iter().filter(|partition| !ends.contains_key(partition));
        let unknown: Vec<String> = unknown.map(ToString::to_string).collect();
        let partial = (!unknown.is_empty()).then(|| {
            let partitions = unknown.join(", ");
            format!("the cluster did not tell the end offsets of partitions {partitions}; {unread}")
        });
        let warning = self.until_read(&ends).await;
        let mut known: BTreeMap<_, _> =
            ends.iter().map(|(partition, end)| (*partition, (Offset(0), *end))).collect();
        let is_behind =
            |(partition, end): (&PartitionId, &Offset)| self.is_behind(*partition, *end);
        if ends.iter().any(is_behind) {
            // Unread records are still in the log. Those that retention has removed are lost.
            match self.context.runtime.watermarks(self.patience()).await {
                Ok(both) => known.extend(both),
                Err(error) => tracing::warn!(%error, "the low watermarks could not be asked"),
            }
        }
        self.context.measurements.set_ends(known);
        partial.into_iter().chain(warning).collect()
    }

    /// Waits until consumers have read up to `ends`, or the time limit of the drain.
    async fn until_read(&mut self, ends: &BTreeMap<PartitionId, Offset>) -> Option<String> {
        let began = self.context.clock.now();
        if self.context.runtime.logs_have_gaps() {
            // Lets hosts check whether the remaining offsets have records at all.
            self.context.measurements.observe_ends(ends, began, began);
        }
        loop {
            let behind = self.behind(ends);
            if behind.is_empty() {
                return None;
            }
            let limit = self.drain_limit();
            if self.context.clock.now() > began + limit {
                let behind: Vec<String> = behind.iter().map(ToString::to_string).collect();
                return Some(format!(
                    "partitions {} were not read to their end within {} s: what is left is unread; raise `run.drain`, \
                     or give consumers less work",
                    behind.join(", "),
                    limit.as_secs()
                ));
            }
            self.context.sleep(LOOK).await;
        }
    }

    fn patience(&self) -> Patience {
        let interrupted = self.interrupted.clone();
        Patience { limit: ASK_LIMIT, interrupted, once_interrupted: DRAIN_INTERRUPTED }
    }

    fn drain_limit(&self) -> Duration {
        let limit = self.context.plan.times.drain;
        if *self.interrupted.borrow() { DRAIN_INTERRUPTED.min(limit) } else { limit }
    }

    /// Partitions that are not read up to `ends`, except those whose consumer was given up.
    fn behind(&self, ends: &BTreeMap<PartitionId, Offset>) -> Vec<PartitionId> {
        let status = self.status();
        let given_up = |partition: &PartitionId| {
            self.context.plan.group().is_none() && status.given_up.contains_key(&partition.0)
        };
        let is_behind = |(partition, end): &(&PartitionId, &Offset)| {
            self.is_behind(**partition, **end) && !given_up(partition)
        };
        ends.iter().filter(is_behind).map(|(partition, _)| *partition).collect()
    }

    fn is_behind(&self, partition: PartitionId, end: Offset) -> bool {
        let measurements = &self.context.measurements;
        measurements.reads(partition) && measurements.cell(partition).lock().next_offset() < end
    }
}
