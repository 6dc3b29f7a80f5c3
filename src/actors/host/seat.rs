//! A seat at the desk: a machine, whom it reports to, and the record it has to see first.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handling::{panicked, refused};
use super::lease::Line;
use super::trouble;
use crate::actors::Context;
use crate::base::{Offset, Time};
use crate::broker::BrokerError;
use crate::logic::{
    ConsumerMachine, Definite, Effort, Handler, HandlerError, Record, Sighting, sight,
};
use crate::measure::Anchor;

/// A machine and whom it reports to.
pub(super) struct Seat {
    pub(super) machine: ConsumerMachine,
    /// The user's, in the place of the scenario's work.
    pub(super) handler: Option<Box<dyn Handler>>,
    pub(super) line: Line,
    pub(super) ready: bool,
    /// The record that has to be seen before anything counts.
    pub(super) anchor: Option<Anchor>,
    /// Records to pass over.
    pub(super) skips: Vec<Offset>,
}

impl Seat {
    /// Compares the first record after a restart with the one the partition was left at. Whether this record
    /// counts; the error is definite.
    #[cold]
    pub(super) fn recognise(&mut self, offset: Offset, payload: &[u8]) -> Result<bool, Definite> {
        let Some(anchor) = self.anchor else {
            return Ok(true);
        };
        match sight(&anchor, offset, payload) {
            Sighting::Earlier => Ok(false),
            Sighting::Other => Err(Definite::Rewritten { offset }),
            found @ (Sighting::Same | Sighting::Later) => {
                self.anchor = None;
                Ok(found == Sighting::Later)
            }
        }
    }

    /// Does with a record what has to be done, and runs into what is planned for it. Returns when it was done.
    ///
    /// After an error the record does not count, and the pulse goes on saying which one it was.
    #[inline]
    pub(super) fn process(
        &mut self,
        context: &Context,
        offset: Offset,
        payload: &[u8],
        arrived: Time,
    ) -> Result<Time, BrokerError> {
        let Seat { machine, handler, line, skips, .. } = self;
        if !skips.is_empty() && skips.contains(&offset) {
            machine.skip(offset, payload, arrived);
            return Ok(arrived);
        }
        let (partition, consumer) = (machine.partition(), machine.owner().consumer);
        line.pulse.begin(partition, offset, arrived);
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let effort = machine.begin(offset, payload, arrived);
            let slowness = trouble::ahead(context, consumer, partition, offset, arrived)
                .map(|trouble| trouble::meet(trouble, consumer, context));
            match (handler, machine.begun_stamp()) {
                (Some(handler), Some(stamp)) => {
                    handler.handle(&Record { partition, offset, stamp, payload })?;
                }
                (None, _) if effort != Effort::None => perform(effort, context),
                _ if slowness.is_none() => {
                    machine.done(arrived);
                    return Ok(arrived);
                }
                _ => {}
            }
            if let Some(slowness) = slowness {
                perform(slowness.of(effort, context), context);
            }
            let now = context.clock.now();
            machine.done(now);
            Ok::<Time, HandlerError>(now)
        }));
        let now = match worked {
            Ok(Ok(now)) => now,
            Ok(Err(error)) => return Err(refused(offset, &error)),
            Err(panic) => return Err(panicked(offset, &*panic)),
        };
        line.pulse.done();
        Ok(now)
    }
}

/// Does what a record costs.
fn perform(effort: Effort, context: &Context) {
    match effort {
        Effort::None => {}
        Effort::Wait(span) => std::thread::sleep(span),
        Effort::Cpu(span) => {
            let end = context.clock.now() + span;
            while context.clock.now() < end {
                std::hint::spin_loop();
            }
        }
    }
}
