//! The worker of one partition: its machine, its reports, and the record it has to read first.

use super::handler_errors::{panicked, refused};
use super::injected_faults::{self, SimulatedCosts};
use super::lease::{HostReport, ReportChannel};
use crate::actors::Context;
use crate::base::{Offset, Time, in_handler};
use crate::broker::{BrokerError, ErrorClass, Position};
use crate::logic::{
    ConsumerMachine, Definite, Effort, Handler, HandlerError, Record, RecordFault, Sighting, sight,
};
use crate::measure::{Handed, ResumePoint};

/// When the work on a record is complete.
pub(super) enum Completion {
    At(Time),
    /// When the kernel has charged these costs.
    After(SimulatedCosts),
}

/// The machine of a partition, and the channel of its reports.
pub(super) struct PartitionWorker {
    pub(super) machine: ConsumerMachine,
    /// The user's handler, in place of the scenario's work.
    pub(super) handler: Option<Box<dyn Handler>>,
    pub(super) channel: ReportChannel,
    pub(super) ready: bool,
    /// Group mode: how far it is, for the commit when the partition is given up.
    pub(super) position: Option<Position>,
    /// The record that has to be seen before anything counts.
    pub(super) resume_point: Option<ResumePoint>,
    /// Records to skip.
    pub(super) skips: Vec<Offset>,
}

impl PartitionWorker {
    /// Compares the first records after a restart, up to the one the partition was left at, with that. Whether this
    /// record counts; the error is definite.
    #[cold]
    pub(super) fn recognise(
        &mut self,
        offset: Offset,
        payload: &[u8],
    ) -> Result<bool, BrokerError> {
        let Some(resume_point) = self.resume_point else {
            return Ok(true);
        };
        match sight(&resume_point, offset, payload) {
            // A group member begins where its group has committed: what comes before its resume point counts again.
            Sighting::Earlier => Ok(self.position.is_some()),
            Sighting::Other => {
                let message = Definite::Rewritten { offset }.to_string();
                Err(BrokerError { class: ErrorClass::Position, message })
            }
            found @ (Sighting::Same | Sighting::Later) => {
                self.resume_point = None;
                self.reads();
                Ok(found == Sighting::Later || self.position.is_some())
            }
        }
    }

    /// Triggers the faults that are armed for a record and does the work on it. Returns when the work is done: the
    /// dispatcher calls [`done`](Self::done) with that.
    ///
    /// After an error the record does not count, and the heartbeat still names it.
    #[inline]
    pub(super) fn process(
        &mut self,
        context: &Context,
        offset: Offset,
        payload: &[u8],
        handed: Handed,
    ) -> Result<Completion, BrokerError> {
        #[cfg(test)]
        let position = self.position.clone();
        let PartitionWorker { machine, handler, channel, skips, .. } = self;
        let begun = handed.at;
        if !skips.is_empty() && skips.contains(&offset) {
            machine.skip(offset, payload, begun);
            return Ok(Completion::At(begun));
        }
        let (partition, consumer) = (machine.partition(), machine.owner().consumer);
        channel.heartbeat.begin(partition, offset, begun);
        let effort = machine.begin(offset, payload, handed);
        #[cfg(test)]
        if crate::base::Defect::CommitFirst.is_planted() {
            machine.presume();
            position.iter().for_each(|position| position.advance(Offset(offset.0 + 1)));
        }
        let fault = injected_faults::fault_for_record(context, consumer, partition, offset, begun);
        if handler.is_none() && effort == Effort::None && fault.is_none() {
            return Ok(Completion::At(begun));
        }
        let work = || self.work(context, offset, payload, effort, fault, begun);
        match in_handler(work) {
            Ok(Ok(worked)) => Ok(worked),
            Ok(Err(error)) => Err(refused(offset, &error)),
            Err(panic) => Err(panicked(offset, &*panic)),
        }
    }

    /// Does the work on the record begun last.
    ///
    /// # Panics
    /// When the user's handler does, or when that is planned.
    fn work(
        &mut self,
        context: &Context,
        offset: Offset,
        payload: &[u8],
        effort: Effort,
        fault: Option<RecordFault>,
        begun: Time,
    ) -> Result<Completion, HandlerError> {
        let PartitionWorker { machine, handler, .. } = self;
        let (partition, consumer) = (machine.partition(), machine.owner().consumer);
        if context.hosting.is_kernel() {
            let costs = injected_faults::simulated_costs(fault, effort, begun);
            if let (Some(handler), Some(stamp)) = (handler, machine.begun_stamp()) {
                handler.handle(&Record { partition, offset, stamp, payload })?;
            }
            let is_done = costs.next().is_none();
            return Ok(if is_done { Completion::At(begun) } else { Completion::After(costs) });
        }
        let slow = fault.map(|fault| injected_faults::trigger(fault, consumer, context));
        match (handler, machine.begun_stamp()) {
            (Some(handler), Some(stamp)) => {
                handler.handle(&Record { partition, offset, stamp, payload })?;
            }
            (None, _) if effort != Effort::None => perform(effort, context),
            _ if slow.is_none() => return Ok(Completion::At(begun)),
            _ => {}
        }
        if let Some(slow) = slow {
            perform(slow.extra_effort(effort, context), context);
        }
        Ok(Completion::At(context.clock.now()))
    }

    /// Notes that the record begun last, the one at `offset`, is processed. Whether the batch is full.
    #[inline]
    pub(super) fn done(&mut self, offset: Offset, now: Time) -> bool {
        self.machine.done(now);
        self.channel.heartbeat.done();
        // What a dead one was still busy with counts for nothing, and its client may commit once more while it leaves.
        if let Some(position) = self.position.as_ref().filter(|_| !self.channel.is_dead()) {
            position.advance(Offset(offset.0 + 1));
        }
        self.reads();
        self.machine.is_full()
    }

    /// Notes that it reads; says so if it is the first time, and it is not a group that deals partitions out.
    #[inline]
    pub(super) fn reads(&mut self) {
        if !std::mem::replace(&mut self.ready, true) && self.position.is_none() {
            self.channel.report(HostReport::Ready);
        }
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
