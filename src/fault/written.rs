//! The section `[[fault]]`: what is broken, when, and its targets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::KINDS;
use super::kind::{FaultFacts, KindInfo, Planned};
use crate::reader::section::section;
use crate::reader::tree::Entry;
use crate::reader::{Diagnostic, Field, Findings, Origin, Place, Section};

section! {
    /// When a fault happens.
    FaultSchedule {
        /// When it begins, counted from the start of the load, warmup included.
        at: Duration = required, "30s";
        /// How long it lasts. Kinds that end at once have no duration.
        span as "for": Duration = ("until its kind is over"), "5s";
        /// Repeats the fault at this interval while the load lasts.
        every: Duration = ("it happens once"), "10s";
        /// Moves each repetition earlier or later by up to this duration. At most half of `every`.
        jitter: Duration = ("none"), "2s";
    }
}

/// A fault that is injected at a given time. A fault has exactly one kind.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// When it happens.
    pub schedule: FaultSchedule,
    /// Its kinds, in the order in which they are written; more than one is a mistake.
    pub kinds: Vec<WrittenKind>,
}

/// [`FaultKind::plan`](super::FaultKind::plan) with its keys.
pub(super) type PlanKeys = dyn Fn(&FaultFacts<'_>, &mut Findings) -> Option<Planned> + Send + Sync;

/// A kind as a `[[fault]]` has it.
#[derive(Clone)]
pub struct WrittenKind {
    /// Which kind.
    pub info: &'static KindInfo,
    /// Where its key was written.
    pub key: Origin,
    pub(super) plan: Arc<PlanKeys>,
}

impl WrittenKind {
    /// What it does. Whatever is wrong with its keys is added to `found`.
    pub fn plan(&self, facts: &FaultFacts<'_>, found: &mut Findings) -> Option<Planned> {
        (self.plan)(facts, found)
    }
}

impl fmt::Debug for WrittenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info.name())
    }
}

const KEYS: usize = FaultSchedule::FIELDS.len() + KINDS.len();

/// The keys of the schedule, then one for each kind.
const ALL_FIELDS: [Field; KEYS] = {
    let times = FaultSchedule::FIELDS;
    let mut all = [times[0]; KEYS];
    let mut at = 0;
    while at < KEYS {
        all[at] = if at < times.len() { times[at] } else { KINDS[at - times.len()].field };
        at += 1;
    }
    all
};

impl Section for Fault {
    const FIELDS: &'static [Field] = &ALL_FIELDS;

    fn set(&mut self, entry: &Entry, place: Place<'_>, out: &mut Vec<Diagnostic>) {
        match KINDS.iter().find(|info| info.name() == entry.key) {
            Some(info) => self.kinds.extend((info.read)(info, entry, place, out)),
            None => self.schedule.set(entry, place, out),
        }
    }
}
