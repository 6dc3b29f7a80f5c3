//! What a host does when it runs into planned trouble.

use std::time::Duration;

use crate::actors::Context;
use crate::base::{ConsumerId, Offset, PartitionId, Time};
use crate::logic::{Effort, RecordFault};

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
) -> Option<RecordFault> {
    match context.sabotage.is_armed() {
        true => context.sabotage.on_record(consumer, partition, offset, now),
        false => None,
    }
}

/// Runs into `trouble` before a record is worked on; returns what it costs afterwards.
///
/// # Panics
/// When that is the trouble; without a word on the terminal, because it is planned.
pub(super) fn meet(trouble: RecordFault, consumer: ConsumerId, context: &Context) -> Slowness {
    match trouble {
        RecordFault::Panic => std::panic::resume_unwind(Box::new("a planned panic")),
        RecordFault::Stall(until) => {
            block(context, Some(until));
            // It is over: what fails from here on has another cause.
            context.sabotage.take_cause(consumer);
            Slowness { factor: 1.0, add: Duration::ZERO, began: context.clock.now() }
        }
        RecordFault::Slow { factor, add } => Slowness { factor, add, began: context.clock.now() },
    }
}

/// What a record costs in simulation, one effort after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Efforts([Effort; 2]);

impl Efforts {
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

/// What [`meet`] and the work come to, where efforts are made in virtual time.
///
/// # Panics
/// As [`meet`] does.
pub(super) fn efforts(trouble: Option<RecordFault>, effort: Effort, now: Time) -> Efforts {
    match trouble {
        None => Efforts([effort, Effort::None]),
        Some(RecordFault::Panic) => std::panic::resume_unwind(Box::new("a planned panic")),
        Some(RecordFault::Stall(until)) => Efforts([Effort::Wait(until.remaining(now)), effort]),
        Some(RecordFault::Slow { factor, add }) => {
            let more = |span: Duration| span.mul_f64(factor - 1.0) + add;
            let besides = match effort {
                Effort::Cpu(span) => Effort::Cpu(more(span)),
                Effort::Wait(span) => Effort::Wait(more(span)),
                Effort::None => Effort::Wait(add),
            };
            Efforts([effort, besides])
        }
    }
}

/// Which of these consumers hangs, and until when, if that is planned. When it is over, [`hang_is_over`] is called.
pub(super) fn hangs_until(
    mut consumers: impl Iterator<Item = ConsumerId>,
    context: &Context,
) -> Option<(ConsumerId, Time)> {
    consumers.find_map(|consumer| {
        let until = context.sabotage.hangs(consumer)?;
        Some((consumer, until.unwrap_or(Time::NEVER)))
    })
}

/// What fails from here on has another cause.
pub(super) fn hang_is_over(consumer: ConsumerId, context: &Context) {
    context.sabotage.take_cause(consumer);
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

/// Hangs, if that is planned for one of these consumers: obeys nothing until it is over.
pub(super) fn hang(consumers: impl Iterator<Item = ConsumerId>, context: &Context) {
    for consumer in consumers {
        if let Some(until) = context.sabotage.hangs(consumer) {
            block(context, until);
            hang_is_over(consumer, context);
        }
    }
}

/// Those of these consumers that crash before the poll.
pub(super) fn crashing(
    consumers: impl Iterator<Item = ConsumerId>,
    context: &Context,
) -> Vec<ConsumerId> {
    let now = context.clock.now();
    consumers.filter(|consumer| context.sabotage.crashes(*consumer, now)).collect()
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
