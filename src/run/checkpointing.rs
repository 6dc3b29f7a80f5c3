//! Checkpoints that outlive a run: the file or the group that has them, the thread that writes them, and continuing
//! where an earlier run stopped.
//!
//! The thread reads the cells, which contain the fence. Offsets of a fenced incarnation are therefore never written,
//! nor any offset before it counts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::actors::Context;
use crate::base::{FileError, Offset, PartitionId, RunId, read_regular, require_regular};
use crate::broker::{BrokerError, ClusterPort, Committer};
use crate::error::Error;
use crate::logic::Checkpoints;
use crate::measure::{ResumePoint, Start};
use crate::plan::{CheckpointPlan, Plan};
use crate::summary::Resumed;

/// The place of the checkpoints.
#[derive(Clone)]
pub(super) enum Store {
    /// In a file.
    File {
        /// The file, which belongs to this run.
        file: Arc<CheckpointFile>,
        /// The constant part of its content.
        about: Checkpoints,
    },
    /// Commits for this group.
    Commit {
        /// The cluster.
        cluster: Arc<dyn ClusterPort>,
        /// The group.
        group: String,
    },
}

/// A thread that writes checkpoints.
pub(super) struct Checkpointing {
    /// Dropped to end the thread.
    stop: Sender<()>,
    over: Receiver<Option<String>>,
}

/// Time limit of the last write, because a commit may wait for a broker that is gone.
const LAST_WRITE_LIMIT: Duration = Duration::from_secs(10);

impl Checkpointing {
    /// Writes checkpoints now, and then every `interval`.
    pub(super) fn start(
        context: &Context,
        store: Store,
        interval: Duration,
    ) -> io::Result<Checkpointing> {
        let (stop, stopped) = channel();
        let (report, over) = channel();
        let context = context.clone();
        std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || {
            let mut keeper =
                Keeper { context, store, committer: None, kept: None, failures: 0, last: None };
            keeper.keep();
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                keeper.keep();
            }
            keeper.keep();
            let _ = report.send(keeper.warning());
        })?;
        Ok(Checkpointing { stop, over })
    }

    /// Writes the last checkpoints and ends the thread. Returns the error, if there was one.
    pub(super) fn stop(self) -> Option<String> {
        drop(self.stop);
        self.over.recv_timeout(LAST_WRITE_LIMIT).unwrap_or_else(|_| {
            Some(format!(
                "the last checkpoints were not kept within {} s; check the cluster's health",
                LAST_WRITE_LIMIT.as_secs()
            ))
        })
    }
}

struct Keeper {
    context: Context,
    store: Store,
    committer: Option<Box<dyn Committer>>,
    /// The checkpoints written last. The same ones are not written again.
    kept: Option<Vec<Start>>,
    failures: u64,
    /// The last error, until a write succeeds.
    last: Option<String>,
}

impl Keeper {
    fn keep(&mut self) {
        let starts: Vec<Start> =
            self.context.measurements.cells.iter().map(|cell| cell.lock().start()).collect();
        if self.kept.as_ref() == Some(&starts) {
            return;
        }
        match self.try_keep(&starts) {
            Ok(()) => {
                self.kept = Some(starts);
                self.last = None;
            }
            Err(error) => {
                self.failures += 1;
                if self.last.is_none() {
                    tracing::warn!(%error, "checkpoints not kept");
                }
                self.last = Some(error);
            }
        }
    }

    fn try_keep(&mut self, starts: &[Start]) -> Result<(), String> {
        match &self.store {
            Store::File { file, about } => {
                let checkpoints = Checkpoints { partitions: starts.to_vec(), ..about.clone() };
                file.write(&checkpoints)
                    .map_err(|error| format!("`{}`: {error}", file.path().display()))
            }
            Store::Commit { cluster, group } => {
                let positions: BTreeMap<_, _> = (0..)
                    .map(PartitionId)
                    .zip(starts.iter().map(|start| start.checkpoint))
                    .collect();
                let committer = match &mut self.committer {
                    Some(committer) => committer,
                    none => none.insert(cluster.committer(group).map_err(|error| error.message)?),
                };
                committer
                    .commit(&positions)
                    .map_err(|BrokerError { message, .. }| format!("group `{group}`: {message}"))
            }
        }
    }

    fn warning(self) -> Option<String> {
        let (failures, last) = (self.failures, self.last?);
        Some(match self.store {
            Store::File { .. } => format!(
                "the last checkpoints were not written ({failures} failures): {last}; a later run will process again \
                 what came after the last that were"
            ),
            Store::Commit { .. } => format!(
                "the last checkpoints were not committed ({failures} failures): {last}; other tools see a lag that is \
                 not there. A group with members of its own takes no commits: choose another \
                 `consumers.checkpoint_group`"
            ),
        })
    }
}

/// The continuation of an earlier run, and the place of this run's checkpoints. The default has neither.
#[derive(Clone, Default)]
pub(super) struct Continuation {
    /// The record before each checkpoint, by partition id.
    pub(super) resume_points: Vec<Option<ResumePoint>>,
    /// The runs whose records may still be unread.
    pub(super) earlier: Vec<RunId>,
    /// For the report; `None` if the run does not continue another.
    pub(super) resumed: Option<Resumed>,
    /// The place of the checkpoints, and the time between two writes; `None` if they are only kept in memory.
    pub(super) store: Option<(Store, Duration)>,
}

/// The checkpoint file of a run, with the checkpoints of an earlier run.
pub(super) struct Resumption {
    file: Arc<CheckpointFile>,
    left: Option<Checkpoints>,
    cluster: Option<String>,
    topic: String,
}

impl Resumption {
    /// Locks the file, if the plan has one. `Ok(None)` if not.
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

    /// Compares the checkpoints with the cluster, and sets `starts` to them. Partitions that were added since then keep
    /// their starts.
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

    /// The continuation of the earlier run; `ends` are the ends of the partitions.
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

    /// The store for this run's own checkpoints.
    pub(super) fn store(&self, run: RunId) -> Store {
        let mut runs = self.left.as_ref().map(|left| left.runs.clone()).unwrap_or_default();
        runs.push(run);
        let (cluster, topic) = (self.cluster.clone(), self.topic.clone());
        let about = Checkpoints { cluster, topic, runs, partitions: Vec::new() };
        Store::File { file: self.file.clone(), about }
    }

    /// Removes the file, because its topic is gone. `why` has the reason and a remedy. Returns a warning for the user.
    pub(super) fn forget(&self, why: &str) -> String {
        self.file.remove();
        format!("the checkpoint file `{}` was removed: {why}", self.file.path().display())
    }
}

fn not_here(path: &Path, why: &str) -> Error {
    Error::Environment(format!(
        "cannot continue from the checkpoint file `{}`: {why}; remove it to start from scratch, or name another \
         `consumers.checkpoint_file`",
        path.display()
    ))
}

/// A larger file is no checkpoint file: a partition takes some 200 bytes in it, and there are at most 10,000.
const LARGEST_BYTES: u64 = 64 * 1024 * 1024;

/// A checkpoint file that no other process writes.
#[derive(Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
    /// Held until the process ends in any way. A separate file, because the other one is replaced.
    _lock: File,
}

impl CheckpointFile {
    /// Locks the file for this run, and reads the checkpoints of an earlier run.
    fn open(path: &Path) -> Result<(CheckpointFile, Option<Checkpoints>), Error> {
        let lock_path = beside(path, ".lock");
        for used in [path, &lock_path, &beside(path, ".part")] {
            require_regular(used).map_err(|error| not_a_file(used, &error))?;
        }
        let lock = File::create(&lock_path).map_err(|error| refused(path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Environment(format!(
                    "another run uses the checkpoint file `{}`: wait for its end, or name another \
                     `consumers.checkpoint_file`",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(refused(path, &error)),
        }
        let left = match read_regular(path, LARGEST_BYTES) {
            Ok(text) => Some(Checkpoints::decode(&text).map_err(|why| {
                Error::Environment(format!(
                    "cannot continue from the checkpoint file `{}`: {why}; remove it to start from scratch, or name \
                     another `consumers.checkpoint_file`",
                    path.display()
                ))
            })?),
            Err(FileError::Missing) => None,
            Err(error) => return Err(not_a_file(path, &error)),
        };
        Ok((CheckpointFile { path: path.to_owned(), _lock: lock }, left))
    }

    /// Path of the file.
    fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content: writes a new file, syncs it, renames it over the old one, and syncs the directory. After
    /// an interruption at any point the file has either the old or the new content.
    fn write(&self, checkpoints: &Checkpoints) -> io::Result<()> {
        let part = beside(&self.path, ".part");
        let mut file = File::create(&part)?;
        file.write_all(checkpoints.encode().as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, &self.path)?;
        sync_directory(&self.path)
    }

    /// Removes the file, because its topic is gone.
    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// On systems whose directories cannot be opened, a rename needs no sync.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn not_a_file(path: &Path, error: &FileError) -> Error {
    Error::Environment(format!(
        "cannot use the checkpoint file `{}`: {error}; name another `consumers.checkpoint_file`",
        path.display()
    ))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    Error::Environment(format!(
        "cannot use the checkpoint file `{}`: {error}; name another `consumers.checkpoint_file`, or make room",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Offset, RunId};
    use crate::measure::Start;

    fn checkpoints(next: i64) -> Checkpoints {
        let partitions = vec![Start { checkpoint: Offset(next), resume_point: None }];
        Checkpoints { cluster: None, topic: "t".to_owned(), runs: vec![RunId(7)], partitions }
    }

    #[test]
    fn a_file_is_of_one_run_at_a_time_and_keeps_the_last_content() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("orders.checkpoint");
        let (file, left) = CheckpointFile::open(&path).unwrap();
        assert_eq!(left, None);
        file.write(&checkpoints(3)).unwrap();
        file.write(&checkpoints(8)).unwrap();
        let refused = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("another run uses the checkpoint file"), "{refused}");
        drop(file);
        // A write that was cut before its rename is as if it had never begun.
        std::fs::write(beside(&path, ".part"), "lanekeeper checkp").unwrap();
        let (_file, left) = CheckpointFile::open(&path).unwrap();
        assert_eq!(left, Some(checkpoints(8)));
    }

    #[test]
    fn a_damaged_file_is_refused_with_the_way_out() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("orders.checkpoint");
        let text = checkpoints(3).encode();
        std::fs::write(&path, &text[..text.len() - 4]).unwrap();
        let refused = CheckpointFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("was cut or changed"), "{refused}");
        assert!(refused.contains("remove it to start from scratch"), "{refused}");
    }
}
