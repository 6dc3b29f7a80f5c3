//! The trace of a simulation: every event becomes a line, and nothing is made when no trace is wanted.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{PartitionId, Time};
use crate::broker::model::ClientId;
use crate::measure::{TraceKind, TraceLine};

/// Takes the lines of a trace, in the order of the events.
pub struct TraceSink(Box<dyn FnMut(TraceLine) + Send>);

impl TraceSink {
    /// Gives every line to `take`.
    pub fn new(take: impl FnMut(TraceLine) + Send + 'static) -> TraceSink {
        TraceSink(Box::new(take))
    }
}

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceSink")
    }
}

/// A sink, and the names of clients.
pub struct TraceWriter(Mutex<Inner>);

struct Inner {
    sink: TraceSink,
    /// By client.
    names: Vec<String>,
}

impl TraceWriter {
    pub(super) fn new(sink: TraceSink) -> TraceWriter {
        TraceWriter(Mutex::new(Inner { sink, names: Vec::new() }))
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

    /// Writes an event at `at`: its subject, what it does, and the partitions it concerns.
    pub fn emit_trace(
        &self,
        at: Time,
        kind: TraceKind,
        who: String,
        (what, partitions): (String, Vec<PartitionId>),
    ) {
        (self.lock().sink.0)(TraceLine { at, kind, who, what, partitions });
    }
}

impl fmt::Debug for TraceWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceWriter")
    }
}
