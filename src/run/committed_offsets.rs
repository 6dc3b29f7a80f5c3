//! Compares the offsets that are committed for the run's group with what the run has processed.

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

/// Between two questions to the coordinator, unless a consumer is started again.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at the journal for consumers that were started again.
const LOOK: Duration = Duration::from_millis(100);
/// How long a run's end waits for the last comparison: for one answer, and for [`SETTLED`].
const LAST_LIMIT: Duration = Duration::from_secs(4);

/// Longest time from the commit of an offset until its partition's cell has every record processed before it.
///
/// A member hands its records to the cell in batches, and commits while it gives partitions up, from within a call of
/// its client. So an answer can have an offset whose records are processed and not counted yet. They are counted as
/// soon as that call returns.
const SETTLED: Duration = Duration::from_secs(1);

/// A thread that compares, in real time.
pub(super) struct CommittedOffsets {
    /// Dropped to end it.
    stop: Sender<()>,
    over: Receiver<()>,
}

impl CommittedOffsets {
    /// Begins to compare. None where no offsets are committed, and without a `coordinator` that can be asked.
    ///
    /// # Errors
    /// The system has no room for a thread.
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
            // Before the client is closed, which may take as long as the coordinator does.
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
    /// What was committed before this run committed anything. A group of assigned consumers can be older than the run.
    before: BTreeMap<PartitionId, Offset>,
    /// Events of the journal that were looked at.
    seen: usize,
}

impl Comparison {
    /// Waits until it is time to compare again; true at the run's end.
    fn is_stopped(&mut self, stopped: &Receiver<()>) -> bool {
        for _ in 0..INTERVAL.as_millis() / LOOK.as_millis() {
            if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return true;
            }
            let events = self.context.measurements.journal.since(self.seen);
            self.seen += events.len();
            // A consumer that goes on where another one stopped begins at what is committed now.
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
        // The cells are read after the answer came: what was processed in between only makes them larger.
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

    /// What is committed, if the coordinator says so in time.
    fn ask(&mut self) -> Option<BTreeMap<PartitionId, Offset>> {
        // Of partitions that are found later there is no cell yet.
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

/// Has the simulated coordinator compare every commit it takes.
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

/// Whether `committed` is beyond what was processed of the partition by now; notes by how much.
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
