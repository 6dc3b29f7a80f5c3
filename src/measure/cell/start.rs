//! The position at which the consumer of a partition starts.

use crate::base::{Offset, Stamp};

/// The last record processed. Only control records can be between it and the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumePoint {
    /// Its offset.
    pub offset: Offset,
    /// Its stamp.
    pub stamp: Stamp,
}

/// The position at which a consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The checkpoint: the first offset to process.
    pub checkpoint: Offset,
    /// The record before the checkpoint, which is read again and compared first. `None` if no record was processed yet,
    /// or if retention has removed it.
    pub resume_point: Option<ResumePoint>,
}

impl Start {
    /// The first offset to read.
    pub fn reads_from(&self) -> Offset {
        self.resume_point.map_or(self.checkpoint, |resume_point| resume_point.offset)
    }
}
