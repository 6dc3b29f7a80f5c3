//! The trace of a simulation: every event becomes a line, and nothing is made when no trace is wanted.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{PartitionId, Time};
use crate::broker::model::ClientId;
use crate::measure::{TraceKind, TraceLine};

/// Takes the lines of a trace, in the order of the events.
pub struct Tap(Box<dyn FnMut(TraceLine) + Send>);

impl Tap {
    /// Gives every line to `take`.
    pub fn new(take: impl FnMut(TraceLine) + Send + 'static) -> Tap {
        Tap(Box::new(take))
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// A tap, and who is who.
pub(super) struct Watch(Mutex<Inner>);

struct Inner {
    tap: Tap,
    /// By client.
    names: Vec<String>,
}

impl Watch {
    pub(super) fn new(tap: Tap) -> Watch {
        Watch(Mutex::new(Inner { tap, names: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client and what it is called.
    pub(super) fn name(&self, client: ClientId, name: String) {
        let names = &mut self.lock().names;
        let count = names.len().max(client as usize + 1);
        names.resize(count, String::new());
        names[client as usize] = name;
    }

    /// What a client is called.
    pub(super) fn name_of(&self, client: ClientId) -> String {
        self.lock().names.get(client as usize).cloned().unwrap_or_default()
    }

    pub(super) fn tell(
        &self,
        at: Time,
        kind: TraceKind,
        who: String,
        (what, partitions): (String, Vec<PartitionId>),
    ) {
        (self.lock().tap.0)(TraceLine { at, kind, who, what, partitions });
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
