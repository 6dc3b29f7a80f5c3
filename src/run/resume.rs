//! Going on where an earlier run stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::checkpoint_file::CheckpointFile;
use super::checkpointing::Store;
use crate::base::{Offset, RunId};
use crate::error::Error;
use crate::logic::Checkpoints;
use crate::measure::{ResumePoint, Start};
use crate::plan::{CheckpointPlan, Plan};
use crate::summary::Resumed;

/// Where a run goes on, and where its own checkpoints go. By default nowhere.
#[derive(Clone, Default)]
pub(super) struct Continuation {
    /// The record before each checkpoint, by partition id.
    pub(super) resume_points: Vec<Option<ResumePoint>>,
    /// The runs whose records may still be unread.
    pub(super) earlier: Vec<RunId>,
    /// What the report says of it; `None` when the run begins anew.
    pub(super) resumed: Option<Resumed>,
    /// Where checkpoints are kept besides in memory, and how often.
    pub(super) store: Option<(Store, Duration)>,
}

/// The checkpoint file of a run, and what an earlier run has left in it.
pub(super) struct Resumption {
    file: Arc<CheckpointFile>,
    left: Option<Checkpoints>,
    cluster: Option<String>,
    topic: String,
}

impl Resumption {
    /// Takes the file, if the plan has one. `Ok(None)` if not.
    pub(super) fn open(plan: &Plan, topic: &str) -> Result<Option<Resumption>, Error> {
        let CheckpointPlan::File { path, .. } = &plan.consumers.checkpoint else {
            return Ok(None);
        };
        let (file, left) = CheckpointFile::open(path)?;
        if let Some(left) = left.as_ref().filter(|left| left.topic != topic) {
            let why = format!("it is of topic `{}`, and this run has `{topic}`", left.topic);
            return Err(not_here(path, &why));
        }
        let topic = topic.to_owned();
        Ok(Some(Resumption { file: Arc::new(file), left, cluster: None, topic }))
    }

    /// Compares with the cluster as it is, and moves `starts` to where the earlier run stopped. Partitions that
    /// have come since then keep theirs.
    pub(super) fn apply(
        &mut self,
        cluster: Option<String>,
        starts: &mut [Offset],
    ) -> Result<(), Error> {
        self.cluster = cluster;
        let Some(left) = &self.left else { return Ok(()) };
        if left.cluster != self.cluster {
            return Err(not_here(self.file.path(), "it is of another cluster"));
        }
        let (had, has) = (left.partitions.len(), starts.len());
        if had > has {
            let why = format!("it is of a topic with {had} partitions, and this one has {has}");
            return Err(not_here(self.file.path(), &why));
        }
        for (start, kept) in starts.iter_mut().zip(&left.partitions) {
            *start = kept.checkpoint;
        }
        Ok(())
    }

    /// What the run needs to go on; `ends` are the partitions' ends.
    pub(super) fn from(&self, ends: &[Offset]) -> Continuation {
        let Some(left) = &self.left else {
            return Continuation::default();
        };
        let behind = |(start, end): (&Start, &Offset)| {
            u64::try_from(end.0 - start.checkpoint.0).unwrap_or(0)
        };
        Continuation {
            resume_points: left.partitions.iter().map(|start| start.resume_point).collect(),
            earlier: left.runs.clone(),
            resumed: Some(Resumed {
                file: self.file.path().display().to_string(),
                run_id: left.runs.last().map(ToString::to_string).unwrap_or_default(),
                partitions: left.partitions.len(),
                behind: left.partitions.iter().zip(ends).map(behind).sum(),
            }),
            store: None,
        }
    }

    /// Where this run's own checkpoints go.
    pub(super) fn store(&self, run: RunId) -> Store {
        let mut runs = self.left.as_ref().map(|left| left.runs.clone()).unwrap_or_default();
        runs.push(run);
        let (cluster, topic) = (self.cluster.clone(), self.topic.clone());
        let about = Checkpoints { cluster, topic, runs, partitions: Vec::new() };
        Store::File { file: self.file.clone(), about }
    }

    /// Removes the file, because its topic is gone; `why` says how that came, and what to do. Returns what the
    /// user should know.
    pub(super) fn forget(&self, why: &str) -> String {
        self.file.remove();
        format!("the checkpoint file `{}` was removed: {why}", self.file.path().display())
    }
}

fn not_here(path: &Path, why: &str) -> Error {
    Error::Environment(format!(
        "cannot continue from the checkpoint file `{}`: {why}; remove it to begin anew, or name another \
         `consumers.checkpoint_file`",
        path.display()
    ))
}
