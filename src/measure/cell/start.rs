//! Where the consumer of a partition starts.

use crate::base::{Offset, Stamp};

/// The last record processed: it stands right before the checkpoint, but for control records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// Its offset.
    pub offset: Offset,
    /// Its stamp.
    pub stamp: Stamp,
}

/// Where a consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The checkpoint: the first offset to process.
    pub checkpoint: Offset,
    /// The record before it, to be read again and compared first. `None` when nothing was processed yet, or
    /// when retention has removed it.
    pub resume_point: Option<ResumePoint>,
}

impl Start {
    /// The first offset to read.
    pub fn reads_from(&self) -> Offset {
        self.resume_point.map_or(self.checkpoint, |resume_point| resume_point.offset)
    }
}
