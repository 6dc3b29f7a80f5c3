//! Where a consumer starts, and the record by which it recognises the log it left.

use crate::base::{Offset, Stamp};

/// The last record that counts: what stands before the checkpoint, with nothing in between but what is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Where it stood.
    pub offset: Offset,
    /// What it was.
    pub stamp: Stamp,
}

/// Where a consumer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The checkpoint: the first offset to process.
    pub checkpoint: Offset,
    /// The record before it, to be read again and compared first. `None` when nothing was processed yet, or
    /// when retention has removed it.
    pub anchor: Option<Anchor>,
}

impl Start {
    /// The first offset to read.
    pub fn reads_from(&self) -> Offset {
        self.anchor.map_or(self.checkpoint, |anchor| anchor.offset)
    }
}
