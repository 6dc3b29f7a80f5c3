//! The work on a record: what it costs, and when it is complete.

use std::time::Duration;

use crate::base::{ConsumerId, Time};
use crate::logic::{Effort, RecordFault};

/// The work on a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordWork {
    /// Whose work it is.
    pub consumer: ConsumerId,
    /// What the scenario says it costs.
    pub effort: Effort,
    /// The fault that is triggered by it.
    pub fault: Option<RecordFault>,
    /// When it began.
    pub begun: Time,
}

/// When the work on a record is complete.
#[derive(Clone, Copy, Debug)]
pub enum Completion {
    /// At this time, which has come.
    At(Time),
    /// When the host has been charged these costs.
    After(WorkCosts),
}

/// What a host is charged for a record: efforts that are made one after the other.
#[derive(Clone, Copy, Debug)]
pub struct WorkCosts {
    efforts: [Effort; 2],
    /// Whether the first of them is a fault that blocks the consumer, and not work.
    begins_with_stall: bool,
}

impl WorkCosts {
    /// The next one to be made.
    pub(super) fn next(&self) -> Option<Effort> {
        self.efforts.into_iter().find(|effort| *effort != Effort::None)
    }

    /// Notes that it is made.
    pub(super) fn take(&mut self) {
        self.begins_with_stall = false;
        if let Some(made) = self.efforts.iter_mut().find(|effort| **effort != Effort::None) {
            *made = Effort::None;
        }
    }

    /// Whether the next one is a fault that blocks the consumer.
    pub(super) fn is_stall(&self) -> bool {
        self.begins_with_stall
    }
}

impl RecordWork {
    /// When it is complete for a host that is charged for it: at once if it costs nothing.
    ///
    /// # Panics
    /// When the fault is a panic.
    pub(super) fn charged(&self) -> Completion {
        let costs = self.costs();
        let is_done = costs.next().is_none();
        if is_done { Completion::At(self.begun) } else { Completion::After(costs) }
    }

    /// What the scenario's work and the fault cost.
    ///
    /// # Panics
    /// When the fault is a panic.
    fn costs(&self) -> WorkCosts {
        let RecordWork { effort, fault, begun, .. } = *self;
        let of = |efforts, begins_with_stall| WorkCosts { efforts, begins_with_stall };
        match fault {
            None => of([effort, Effort::None], false),
            Some(RecordFault::Panic) => panic_as_planned(),
            Some(RecordFault::Stall(until)) => {
                of([Effort::Wait(until.remaining(begun)), effort], true)
            }
            Some(RecordFault::Slow { factor, add }) => {
                let more = |span: Duration| span.mul_f64(factor - 1.0) + add;
                let besides = match effort {
                    Effort::Cpu(span) => Effort::Cpu(more(span)),
                    Effort::Wait(span) => Effort::Wait(more(span)),
                    Effort::None => Effort::Wait(add),
                };
                of([effort, besides], false)
            }
        }
    }
}

/// Panics because a fault says so.
///
/// # Panics
/// Always. It prints nothing, because it is planned.
pub(super) fn panic_as_planned() -> ! {
    std::panic::resume_unwind(Box::new("a planned panic"))
}
