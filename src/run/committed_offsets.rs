//! Compares the committed offsets of the run's group with the records that the run has processed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::actors::Context;
use crate::base::{Offset, PartitionId};
use crate::broker::sim::KernelHandle;
use crate::broker::{ClusterPort, Committer, run_group};
use crate::measure::{Event, Measurements};
use crate::plan::{CheckpointPlan, Plan};

/// The metric's name.
const FIGURE: &str = "committed_ahead";

/// Time between two questions to the coordinator. A restart of a consumer shortens it.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two checks of the journal for restarts.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait at the end of a run for the last comparison: for one answer, and for [`SETTLED`].
const LAST_LIMIT: Duration = Duration::from_secs(4);

/// Longest time from the commit of an offset until its partition's cell has every record processed before it.
///
/// A member hands its records to the cell in batches. It commits while it gives up partitions, from within a call of
/// its client. An answer may therefore have an offset whose records are processed and not counted yet. They are counted
/// as soon as that call returns.
const SETTLED: Duration = Duration::from_secs(1);

/// A thread that compares, in real time.
pub(super) struct CommittedOffsets {
    /// Dropped to end it.
    stop: Sender<()>,
    over: Receiver<()>,
}

impl CommittedOffsets {
    /// Starts to compare. `None` if no offsets are committed, or without a `coordinator`.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn start(
        context: &Context,
        coordinator: Option<Arc<dyn ClusterPort>>,
    ) -> std::io::Result<Option<CommittedOffsets>> {
        let group = match &context.plan.consumers.checkpoint {
            _ if context.plan.group().is_some() => run_group(context.run),
            CheckpointPlan::Commit { group, .. } => group.clone(),
            CheckpointPlan::Memory | CheckpointPlan::File { .. } => return Ok(None),
        };
        let Some(cluster) = coordinator else { return Ok(None) };
        let (stop, stopped) = channel();
        let (report, over) = channel();
        let (context, seen) = (context.clone(), context.measurements.journal.since(0).len());
        std::thread::Builder::new().name("committed".to_owned()).spawn(move || {
            let (client, before) = (None, BTreeMap::new());
            let mut comparison = Comparison { context, cluster, group, client, before, seen };
            comparison.before = comparison.ask().unwrap_or_default();
            while !comparison.is_stopped(&stopped) {
                comparison.compare();
            }
            comparison.compare();
            // Before the client is closed, which may take as long as a response of the coordinator.
            let _ = report.send(());
        })?;
        Ok(Some(CommittedOffsets { stop, over }))
    }

    /// Compares for the last time and ends.
    pub(super) fn stop(self) {
        drop(self.stop);
        let _ = self.over.recv_timeout(LAST_LIMIT);
    }
}

/// The thread's side.
struct Comparison {
    context: Context,
    cluster: Arc<dyn ClusterPort>,
    group: String,
    client: Option<Box<dyn Committer>>,
    /// The offsets that were committed before this run. The group of assigned consumers may be older than the run.
    before: BTreeMap<PartitionId, Offset>,
    /// Number of events in the journal that were checked.
    seen: usize,
}

impl Comparison {
    /// Waits until the next comparison is due. True at the end of the run.
    fn is_stopped(&mut self, stopped: &Receiver<()>) -> bool {
        for _ in 0..INTERVAL.as_millis() / LOOK.as_millis() {
            if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
            let events = self.context.measurements.journal.since(self.seen);
            self.seen += events.len();
            // A consumer that continues where another one stopped starts at the offset that is committed now.
            let is_start = |event: &Event| matches!(event, Event::ConsumerStarted { .. });
            if events.iter().any(|(_, event)| is_start(event)) {
                return false;
            }
        }
        false
    }

    fn compare(&mut self) {
        let Some(committed) = self.ask() else { return };
        let measurements = &self.context.measurements;
        measurements.note_largest(FIGURE, 0);
        // The cells are read after the answer came, and records processed in between only raise their offsets.
        let beyond: Vec<_> = committed
            .into_iter()
            .filter(|(partition, offset)| self.before.get(partition) != Some(offset))
            .filter(|(partition, offset)| next_offset(measurements, *partition) < *offset)
            .collect();
        if beyond.is_empty() {
            return;
        }
        std::thread::sleep(SETTLED);
        for (partition, offset) in beyond {
            is_beyond(measurements, partition, offset);
        }
    }

    /// The committed offsets, if the coordinator answers in time.
    fn ask(&mut self) -> Option<BTreeMap<PartitionId, Offset>> {
        // Partitions that are added later have no cell yet.
        let partitions = self.context.measurements.cells.len() as u32;
        let client = match &mut self.client {
            Some(client) => Ok(client),
            none => self.cluster.committer(&self.group).map(|client| none.insert(client)),
        };
        match client.and_then(|client| client.committed(partitions)) {
            Ok(offsets) => Some(offsets),
            Err(error) => {
                let reason = format!("the group's coordinator did not answer: {}", error.message);
                self.context.measurements.note_unmeasured(FIGURE, reason);
                None
            }
        }
    }
}

/// Lets the simulated coordinator compare every commit that it accepts.
pub(super) fn compare_in_simulation(
    plan: &Plan,
    measurements: Arc<Measurements>,
    handle: &KernelHandle,
) {
    if plan.group().is_some() {
        measurements.note_largest(FIGURE, 0);
    }
    handle.compare_commits(Box::new(move |partition, committed| {
        is_beyond(&measurements, partition, committed)
    }));
}

/// True if `committed` is beyond the processed records of the partition. Notes by how much.
fn is_beyond(measurements: &Measurements, partition: PartitionId, committed: Offset) -> bool {
    let excess = committed.0 - next_offset(measurements, partition).0;
    let excess = u64::try_from(excess).unwrap_or(0);
    if excess > 0 {
        measurements.note_largest(FIGURE, excess);
    }
    excess > 0
}

fn next_offset(measurements: &Measurements, partition: PartitionId) -> Offset {
    measurements.cell(partition).lock().next_offset()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::FIGURE;
    use crate::base::{BrokerKind, Defect};
    use crate::plan::{Overrides, compile};
    use crate::run::{Options, run};
    use crate::scenario::Source;

    /// Two members that work on a record most of the time; one of them dies.
    const SCENARIO: &str = "[topic]\npartitions = 4\n[load]\nproducers = 4\nrate = \"8/s\"\n\
        [consumers]\nmode = \"group\"\ncount = 2\nwork = { wait = \"50ms\" }\n\
        [run]\nwarmup = \"0s\"\nduration = \"20s\"\n[[fault]]\nat = \"8s\"\nkill = { consumer = 0 }\n";

    /// Runs in this process, or in another one with the defect planted: this test, which finds the variable set.
    #[test]
    fn a_member_that_commits_what_it_has_only_begun_is_found() {
        let planted = std::env::var(Defect::VARIABLE).is_ok();
        let source = Source {
            name: "committed.toml".to_owned(),
            text: format!("{SCENARIO}[expect]\n{FIGURE} = 0\n"),
        };
        let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
        let (plan, found) = compile(&source, &[], &overrides);
        let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
        let summary = run(plan, Options::default(), Box::new(())).expect("a summary");
        let figure = summary.figures.get(FIGURE).copied();
        let holds = summary.expectations[0].passed;
        if planted {
            assert!(figure.is_some_and(|records| records > 0) && !holds, "{figure:?}");
            return;
        }
        assert_eq!((figure, holds), (Some(0), true));
        let name =
            "run::committed_offsets::tests::a_member_that_commits_what_it_has_only_begun_is_found";
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name])
            .env(Defect::VARIABLE, "commit-first")
            .output()
            .expect("another process");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
