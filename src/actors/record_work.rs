//! The work on a record: its costs, and the time at which it is complete.

use std::time::Duration;

use crate::base::{ConsumerId, Time};
use crate::logic::{Effort, RecordFault};

/// The work on a record.
#[derive(Clone, Copy, Debug)]
pub struct RecordWork {
    /// The consumer that does the work.
    pub consumer: ConsumerId,
    /// The effort that the scenario asks for.
    pub effort: Effort,
    /// The fault that the record triggers.
    pub fault: Option<RecordFault>,
    /// Start of the work.
    pub begun: Time,
}

/// Time at which the work on a record is complete.
#[derive(Clone, Copy, Debug)]
pub enum Completion {
    /// The work is complete since this time.
    At(Time),
    /// The work is complete when the host has been charged these costs.
    After(WorkCosts),
}

/// The costs that a host is charged for a record: efforts, made one after the other.
#[derive(Clone, Copy, Debug)]
pub struct WorkCosts {
    efforts: [Effort; 2],
    /// True if the first effort is a fault that blocks the consumer, and not work.
    begins_with_stall: bool,
}

impl WorkCosts {
    /// The next effort.
    pub(super) fn next(&self) -> Option<Effort> {
        self.efforts.into_iter().find(|effort| *effort != Effort::None)
    }

    /// Notes that the next effort is made.
    pub(super) fn take(&mut self) {
        self.begins_with_stall = false;
        if let Some(made) = self.efforts.iter_mut().find(|effort| **effort != Effort::None) {
            *made = Effort::None;
        }
    }

    /// True if the next effort is a fault that blocks the consumer.
    pub(super) fn is_stall(&self) -> bool {
        self.begins_with_stall
    }
}

impl RecordWork {
    /// The completion for a host that is charged the costs: immediate if there are none.
    ///
    /// # Panics
    /// If the fault is a panic.
    pub(super) fn charged(&self) -> Completion {
        let costs = self.costs();
        let is_done = costs.next().is_none();
        if is_done { Completion::At(self.begun) } else { Completion::After(costs) }
    }

    /// The costs of the scenario's work and of the fault.
    ///
    /// # Panics
    /// If the fault is a panic.
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

/// Panics because of a fault.
///
/// # Panics
/// Always. No message is printed, because the panic is planned.
pub(super) fn panic_as_planned() -> ! {
    std::panic::resume_unwind(Box::new("a planned panic"))
}
