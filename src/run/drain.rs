//! The end of a run: consumers read what is left, up to end offsets asked of the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use super::run_control::{DRAIN_INTERRUPTED, LOOK, RunControl};
use crate::actors::Hosting;
use crate::base::{Offset, PartitionId, Time};
use crate::broker::Watermarks;

/// How long the end offsets are asked for.
pub(super) const ASK_LIMIT: Duration = Duration::from_secs(5);
const ASK_PAUSE: Duration = Duration::from_millis(200);

impl RunControl {
    /// Lets consumers run to the end offsets asked of the broker now. Returns what went wrong.
    pub(super) async fn drain(&mut self) -> Option<String> {
        let ends = match self.ends().await {
            Ok(ends) => ends,
            Err(error) => {
                return Some(format!(
                    "the end offsets could not be asked ({error}); what was acknowledged and not read yet counts as unread"
                ));
            }
        };
        let warning = self.until_read(&ends).await;
        let known = ends.iter().map(|(partition, end)| (*partition, (Offset(0), *end)));
        self.context.measurements.set_ends(known.collect());
        let is_behind =
            |(partition, end): (&PartitionId, &Offset)| self.is_behind(*partition, *end);
        if ends.iter().any(is_behind) {
            // What is unread is still there; what retention has removed is lost.
            match self.watermarks().await {
                Ok(both) => self.context.measurements.set_ends(both),
                Err(error) => tracing::warn!(%error, "the low watermarks could not be asked"),
            }
        }
        warning
    }

    /// Waits until consumers have read up to `ends`, or the drain's limit is over.
    async fn until_read(&mut self, ends: &BTreeMap<PartitionId, Offset>) -> Option<String> {
        let began = self.context.clock.now();
        if !self.context.hosting.is_kernel() {
            // Hosts look whether what is left is any record.
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
            self.timers.sleep(LOOK).await;
        }
    }

    /// The low and the high watermark of every partition, asked of the broker once.
    async fn watermarks(&self) -> Result<Watermarks, String> {
        if let Hosting::Kernel(kernel) = &self.context.hosting {
            let (answer, both) = oneshot::channel();
            kernel.ask_watermarks(move |both| drop(answer.send(both)));
            return self.answered(both).await;
        }
        let cluster = self.context.cluster.clone();
        let ask = move || {
            let mut client = cluster.end_offsets().map_err(|error| error.to_string())?;
            client.watermarks().map_err(|error| error.to_string())
        };
        tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())?
    }

    /// Asks the kernel, or on a thread that may block, again if it has to.
    async fn ends(&self) -> Result<BTreeMap<PartitionId, Offset>, String> {
        if let Hosting::Kernel(kernel) = &self.context.hosting {
            let (answer, ends) = oneshot::channel();
            kernel.ask_ends(move |ends| drop(answer.send(ends)));
            return self.answered(ends).await;
        }
        let (cluster, clock) = (self.context.cluster.clone(), self.context.clock);
        let deadline: Time = clock.now() + ASK_LIMIT;
        let ask = move || {
            let mut client = cluster.end_offsets().map_err(|error| error.to_string())?;
            loop {
                match client.fetch() {
                    Ok(ends) => return Ok(ends),
                    Err(error) if clock.now() > deadline => return Err(error.to_string()),
                    Err(_) => std::thread::sleep(ASK_PAUSE),
                }
            }
        };
        tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())?
    }

    /// Waits for an answer of the kernel. A simulated cluster may be out of reach for as long as its faults say: it is
    /// waited for as long as reading would be.
    async fn answered<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, String> {
        let limit = ASK_LIMIT + self.context.plan.times.drain;
        let mut interrupted = self.interrupted.clone();
        let interruption = async {
            if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
                // No interruption will come any more.
                std::future::pending::<()>().await;
            }
            self.timers.sleep(DRAIN_INTERRUPTED.min(limit)).await;
        };
        tokio::select! {
            biased;
            answer = answer => answer.map_err(|error| error.to_string()),
            () = self.timers.sleep(limit) => {
                Err(format!("no broker answered within {} s", limit.as_secs()))
            }
            () = interruption => Err("interrupted".to_owned()),
        }
    }

    fn drain_limit(&self) -> Duration {
        let limit = self.context.plan.times.drain;
        if *self.interrupted.borrow() { DRAIN_INTERRUPTED.min(limit) } else { limit }
    }

    /// Partitions not read to `ends`, but for those whose consumer was given up.
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
        self.context.measurements.cell(partition).lock().next_offset() < end
    }
}
