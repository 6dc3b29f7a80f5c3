//! What a host does when it runs into planned trouble.

use std::time::Duration;

use crate::actors::Context;
use crate::base::{ConsumerId, Offset, PartitionId, Time};
use crate::logic::{Effort, Trouble};

/// Longest sleep on purpose, so that the end of a run is noticed.
const NAP: Duration = Duration::from_millis(10);

/// What the record runs into, if anything is planned.
#[inline]
pub(super) fn ahead(
    context: &Context,
    consumer: ConsumerId,
    partition: PartitionId,
    offset: Offset,
    now: Time,
) -> Option<Trouble> {
    match context.sabotage.is_armed() {
        true => context.sabotage.on_record(consumer, partition, offset, now),
        false => None,
    }
}

/// Runs into `trouble` before a record is worked on; returns what it costs afterwards.
///
/// # Panics
/// When that is the trouble; without a word on the terminal, because it is planned.
pub(super) fn meet(trouble: Trouble, consumer: ConsumerId, context: &Context) -> Slowness {
    match trouble {
        Trouble::Panic => std::panic::resume_unwind(Box::new("a planned panic")),
        Trouble::Stall(until) => {
            block(context, Some(until));
            // It is over: what fails from here on has another cause.
            context.sabotage.take_cause(consumer);
            Slowness { factor: 1.0, add: Duration::ZERO, began: context.clock.now() }
        }
        Trouble::Slow { factor, add } => Slowness { factor, add, began: context.clock.now() },
    }
}

/// What a record costs besides its work.
pub(super) struct Slowness {
    factor: f64,
    add: Duration,
    began: Time,
}

impl Slowness {
    /// The effort that makes the work `factor` times what it was, and `add` more. Called when it is done.
    pub(super) fn of(&self, effort: Effort, context: &Context) -> Effort {
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

/// Hangs, if that is planned for one of these consumers: obeys nobody until it is over.
pub(super) fn hang(consumers: impl Iterator<Item = ConsumerId>, context: &Context) {
    for consumer in consumers {
        if let Some(until) = context.sabotage.on_poll(consumer) {
            block(context, until);
            context.sabotage.take_cause(consumer);
        }
    }
}

/// Takes its time to close a client, if that is planned.
pub(super) fn close_late(consumer: ConsumerId, context: &Context) {
    if let Some(span) = context.sabotage.on_close(consumer) {
        block(context, Some(context.clock.now() + span));
    }
}

/// Blocks until then, or for ever; but never longer than the run.
fn block(context: &Context, until: Option<Time>) {
    loop {
        let left = until.unwrap_or(Time::NEVER).remaining(context.clock.now());
        if left.is_zero() || context.sabotage.is_over() {
            return;
        }
        std::thread::sleep(left.min(NAP));
    }
}
