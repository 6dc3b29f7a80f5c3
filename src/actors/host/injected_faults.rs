//! The faults of a scenario that a host triggers itself: panics, stalls, hangs, slow handlers, crashes, late closes.

use std::time::Duration;

use crate::actors::Context;
use crate::base::{ConsumerId, Offset, PartitionId, Time};
use crate::logic::{Effort, RecordFault};

/// Longest sleep of an injected fault, so that the end of a run is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(10);

/// The fault that is armed for a record.
#[inline]
pub(super) fn fault_for_record(
    context: &Context,
    consumer: ConsumerId,
    partition: PartitionId,
    offset: Offset,
    now: Time,
) -> Option<RecordFault> {
    match context.active_faults.is_armed() {
        true => context.active_faults.on_record(consumer, partition, offset, now),
        false => None,
    }
}

/// Triggers `fault` before the work on a record; returns by how much the work is slower.
///
/// # Panics
/// When the fault is a panic. Such a panic prints nothing, because it is planned.
pub(super) fn trigger(fault: RecordFault, consumer: ConsumerId, context: &Context) -> SlowHandler {
    match fault {
        RecordFault::Panic => std::panic::resume_unwind(Box::new("a planned panic")),
        RecordFault::Stall(until) => {
            block(context, Some(until));
            // The stall has ended: a later failure has another cause.
            context.active_faults.take_cause(consumer);
            SlowHandler { factor: 1.0, add: Duration::ZERO, began: context.clock.now() }
        }
        RecordFault::Slow { factor, add } => {
            SlowHandler { factor, add, began: context.clock.now() }
        }
    }
}

/// What a record costs in simulation: efforts that are made one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedCosts([Effort; 2]);

impl SimulatedCosts {
    /// The next one to be made.
    pub(super) fn next(&self) -> Option<Effort> {
        self.0.into_iter().find(|effort| *effort != Effort::None)
    }

    /// Notes that it is made.
    pub(super) fn take(&mut self) {
        if let Some(made) = self.0.iter_mut().find(|effort| **effort != Effort::None) {
            *made = Effort::None;
        }
    }
}

/// What a fault and the work cost in simulation, where efforts are made in virtual time.
///
/// # Panics
/// As [`trigger`] does.
pub(super) fn simulated_costs(
    fault: Option<RecordFault>,
    effort: Effort,
    now: Time,
) -> SimulatedCosts {
    match fault {
        None => SimulatedCosts([effort, Effort::None]),
        Some(RecordFault::Panic) => std::panic::resume_unwind(Box::new("a planned panic")),
        Some(RecordFault::Stall(until)) => {
            SimulatedCosts([Effort::Wait(until.remaining(now)), effort])
        }
        Some(RecordFault::Slow { factor, add }) => {
            let more = |span: Duration| span.mul_f64(factor - 1.0) + add;
            let besides = match effort {
                Effort::Cpu(span) => Effort::Cpu(more(span)),
                Effort::Wait(span) => Effort::Wait(more(span)),
                Effort::None => Effort::Wait(add),
            };
            SimulatedCosts([effort, besides])
        }
    }
}

/// The consumer that hangs, and until when. At the end of the hang, [`hang_is_over`] is called.
pub(super) fn hangs_until(
    mut consumers: impl Iterator<Item = ConsumerId>,
    context: &Context,
) -> Option<(ConsumerId, Time)> {
    consumers.find_map(|consumer| {
        let until = context.active_faults.hangs(consumer)?;
        Some((consumer, until.unwrap_or(Time::NEVER)))
    })
}

/// The hang has ended: a later failure has another cause.
pub(super) fn hang_is_over(consumer: ConsumerId, context: &Context) {
    context.active_faults.take_cause(consumer);
}

/// By how much the work on a record is slower than the scenario says.
pub(super) struct SlowHandler {
    factor: f64,
    add: Duration,
    began: Time,
}

impl SlowHandler {
    /// The effort that is added to the work: it lasts `factor` times as long, and `add` longer. Called when the work is
    /// done.
    pub(super) fn extra_effort(&self, effort: Effort, context: &Context) -> Effort {
        let more = |span: Duration| span.mul_f64(self.factor - 1.0) + self.add;
        match effort {
            Effort::Cpu(span) => Effort::Cpu(more(span)),
            Effort::Wait(span) => Effort::Wait(more(span)),
            // A handler of one's own: what it took is what it costs.
            Effort::None => {
                let took = context.clock.now().remaining(self.began);
                Effort::Wait(more(if self.factor > 1.0 { took } else { Duration::ZERO }))
            }
        }
    }
}

/// Blocks the thread while one of these consumers hangs. No command is taken meanwhile.
pub(super) fn hang(consumers: impl Iterator<Item = ConsumerId>, context: &Context) {
    for consumer in consumers {
        if let Some(until) = context.active_faults.hangs(consumer) {
            block(context, until);
            hang_is_over(consumer, context);
        }
    }
}

/// The consumers that crash before the poll.
pub(super) fn crashing(
    consumers: impl Iterator<Item = ConsumerId>,
    context: &Context,
) -> Vec<ConsumerId> {
    let now = context.clock.now();
    consumers.filter(|consumer| context.active_faults.crashes(*consumer, now)).collect()
}

/// Delays the close of a client, if that fault is armed.
pub(super) fn close_late(consumer: ConsumerId, context: &Context) {
    if let Some(span) = context.active_faults.on_close(consumer) {
        block(context, Some(context.clock.now() + span));
    }
}

/// Blocks until `until`, or for ever, but never longer than the run.
fn block(context: &Context, until: Option<Time>) {
    loop {
        let left = until.unwrap_or(Time::NEVER).remaining(context.clock.now());
        if left.is_zero() || context.active_faults.is_over() {
            return;
        }
        std::thread::sleep(left.min(SLEEP_MAX));
    }
}
