//! Lag: the end offset asked of the broker by an independent client, minus the next offset to process.
//!
//! Not taken from fetch responses: those go stale exactly when a fetch hangs.

use crate::base::{Offset, Time};

/// A partition's lag over the run, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// At the last answer.
    pub last: u64,
    /// The largest in the measured window.
    pub max: u64,
    /// The end offset of the last answer.
    pub end: Option<Offset>,
    /// When the last answer came.
    pub asked: Option<Time>,
}

impl Lag {
    /// Notes that the partition ends at `end` while `next` is to be processed next.
    pub fn observe(&mut self, end: Offset, next: Offset, now: Time, window: (Time, Time)) {
        self.last = u64::try_from(end.0 - next.0).unwrap_or(0);
        self.end = Some(end);
        self.asked = Some(now);
        if now >= window.0 && now < window.1 {
            self.max = self.max.max(self.last);
        }
    }
}
