//! The section `[[fault]]`: the times of a fault, its kind, and its targets.

use super::KINDS;
use super::kind::{FaultSchedule, WrittenKind};
use crate::reader::tree::Entry;
use crate::reader::{Diagnostic, Field, Section, ValueContext};

/// A fault that is injected at a given time. A fault has exactly one kind.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// The times of the fault.
    pub schedule: FaultSchedule,
    /// The kinds, in the order in which they are written. More than one is an error.
    pub kinds: Vec<WrittenKind>,
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

    fn set(&mut self, entry: &Entry, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) {
        match KINDS.iter().find(|info| info.name() == entry.key) {
            Some(info) => self.kinds.extend((info.read)(info, entry, place, out)),
            None => self.schedule.set(entry, place, out),
        }
    }
}
