//! Where processed offsets are kept.

use std::path::PathBuf;
use std::time::Duration;

/// Where processed offsets are kept, under explicit assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointPlan {
    /// In this process only: a restarted consumer goes on, a later run does not.
    Memory,
    /// In a file as well, from which a later run goes on.
    File {
        /// The file.
        path: PathBuf,
        /// Between two writes.
        interval: Duration,
    },
    /// Committed as well, for other tools to see. Never read back.
    Commit {
        /// For which group.
        group: String,
        /// Between two commits.
        interval: Duration,
    },
}
