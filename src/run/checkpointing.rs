//! The thread that keeps checkpoints: it reads the cells, which are the fence, so what a released incarnation
//! brings is never kept, and nothing is kept before it counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::checkpoint_file::CheckpointFile;
use crate::actors::Context;
use crate::base::PartitionId;
use crate::broker::{BrokerError, Committer};
use crate::logic::Checkpoints;
use crate::measure::Start;

/// Where checkpoints are kept.
#[derive(Clone)]
pub(super) enum Store {
    /// In a file.
    File {
        /// The file, taken for this run.
        file: Arc<CheckpointFile>,
        /// What stays the same in it.
        about: Checkpoints,
    },
    /// Committed for this group.
    Commit {
        /// The group.
        group: String,
    },
}

/// A running writer.
pub(super) struct Checkpointing {
    /// Dropped to end it.
    stop: Sender<()>,
    over: Receiver<Option<String>>,
}

/// How long the last write may take. Committing waits for a broker that may be gone.
const LAST_WRITE_LIMIT: Duration = Duration::from_secs(10);

impl Checkpointing {
    /// Keeps checkpoints now, then every `interval`.
    pub(super) fn start(
        context: &Context,
        store: Store,
        interval: Duration,
    ) -> std::io::Result<Checkpointing> {
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

    /// Keeps the last checkpoints and ends. Returns what went wrong.
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
    /// What was kept last: the same again needs no writing.
    kept: Option<Vec<Start>>,
    failures: u64,
    /// What went wrong last, until it goes well again.
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
            Store::Commit { group } => {
                let positions: BTreeMap<_, _> = (0..)
                    .map(PartitionId)
                    .zip(starts.iter().map(|start| start.checkpoint))
                    .collect();
                let committer = match &mut self.committer {
                    Some(committer) => committer,
                    none => none.insert(
                        self.context.cluster.committer(group).map_err(|error| error.message)?,
                    ),
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
