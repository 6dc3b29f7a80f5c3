//! The worker of one partition: its machine, its handler, its reports, and the record that it must read first.

use std::any::Any;
use std::sync::atomic::Ordering;

use crate::actors::lease::{HostReport, ReportChannel};
use crate::actors::record_work::{Completion, RecordWork};
use crate::actors::runtime::Context;
use crate::base::{Offset, PartitionId, RecordView, Time, in_handler, panic_text};
use crate::broker::{BrokerError, ErrorClass, Position};
use crate::logic::{
    ConsumerMachine, Effort, Handler, HandlerError, LogCheck, PermanentFailure, Record,
    RecordFault, check_log,
};
use crate::measure::{Applied, Handed, Owner, ResumePoint, TraceKind};

/// The worker of a partition: its machine, and the channel for its reports.
pub(super) struct PartitionWorker {
    pub(super) machine: ConsumerMachine,
    /// The user's handler, in place of the scenario's work.
    pub(super) handler: Option<Box<dyn Handler>>,
    pub(super) channel: ReportChannel,
    pub(super) ready: bool,
    /// In group mode, the position to commit when the partition is given up.
    pub(super) position: Option<Position>,
    /// The record that must be read before any record counts.
    pub(super) resume_point: Option<ResumePoint>,
    /// Offsets of poison records to skip.
    pub(super) skips: Vec<Offset>,
}

impl PartitionWorker {
    /// Compares a record after a restart with the resume point, until that is reached. Returns true if the record
    /// counts. An error is permanent: the log is another one.
    #[cold]
    pub(super) fn recognise(
        &mut self,
        offset: Offset,
        record: &RecordView<'_>,
    ) -> Result<bool, BrokerError> {
        let Some(resume_point) = self.resume_point else {
            return Ok(true);
        };
        match check_log(&resume_point, offset, *record) {
            // A group member starts at the committed offset, so records before its resume point count again.
            LogCheck::Earlier => Ok(self.position.is_some()),
            LogCheck::Other => {
                let message = PermanentFailure::Rewritten { offset }.to_string();
                Err(BrokerError { class: ErrorClass::Position, message })
            }
            found @ (LogCheck::Same | LogCheck::Later) => {
                self.resume_point = None;
                self.reads();
                Ok(found == LogCheck::Later || self.position.is_some())
            }
        }
    }

    /// Triggers the faults that are armed for a record, and does the work on it. Returns the completion, with which the
    /// dispatcher calls [`done`](Self::done).
    ///
    /// After an error the record does not count, and is still the one in progress in the heartbeat.
    #[inline]
    pub(super) fn process(
        &mut self,
        context: &Context,
        offset: Offset,
        record: &RecordView<'_>,
        handed: Handed,
    ) -> Result<Completion, BrokerError> {
        let PartitionWorker { machine, handler, channel, skips, .. } = self;
        let begun = handed.at;
        if !skips.is_empty() && skips.contains(&offset) {
            machine.skip(offset, *record, begun);
            return Ok(Completion::At(begun));
        }
        let (partition, consumer) = (machine.partition(), machine.owner().consumer);
        channel.heartbeat.begin(partition, offset, begun);
        let effort = machine.begin(offset, *record, handed);
        let fault = match context.active_faults.is_armed() {
            true => context.active_faults.on_record(consumer, partition, offset, begun),
            false => None,
        };
        if handler.is_none() && effort == Effort::None && fault.is_none() {
            return Ok(Completion::At(begun));
        }
        let work = || self.work(context, offset, record, effort, fault, begun);
        match in_handler(work) {
            Ok(Ok(worked)) => Ok(worked),
            Ok(Err(error)) => Err(refused(offset, &error)),
            Err(panic) => Err(panicked(offset, &*panic)),
        }
    }

    /// Does the work on the record that was begun last.
    ///
    /// # Panics
    /// If the user's handler panics, or a panic is planned.
    fn work(
        &mut self,
        context: &Context,
        offset: Offset,
        record: &RecordView<'_>,
        effort: Effort,
        fault: Option<RecordFault>,
        begun: Time,
    ) -> Result<Completion, HandlerError> {
        let PartitionWorker { machine, handler, .. } = self;
        let (partition, consumer) = (machine.partition(), machine.owner().consumer);
        let work = RecordWork { consumer, effort, fault, begun };
        let Some(handler) = handler else { return context.runtime.work(context, &work, None) };
        let stamp = machine.begun_stamp();
        let mut handle = || match stamp {
            Some(stamp) => {
                let RecordView { key, value, headers, timestamp_ms } = *record;
                // A record of a simulation has the time at which it was sent as its timestamp, as with `CreateTime`.
                let timestamp_ms = timestamp_ms.or(created_ms(context, stamp.sent));
                let record = Record { partition, offset, stamp, key, value, headers, timestamp_ms };
                handler.handle(&record)
            }
            None => Ok(()),
        };
        context.runtime.work(context, &work, Some(&mut handle))
    }

    /// Notes that the record begun last, the one at `offset`, is processed. Returns true if the batch is full.
    #[inline]
    pub(super) fn done(&mut self, offset: Offset, now: Time) -> bool {
        self.machine.done(now);
        self.channel.heartbeat.done();
        // The work of a dead actor does not count, and its client may commit once more while it leaves the group.
        if let Some(position) = self.position.as_ref().filter(|_| !self.channel.is_dead()) {
            position.advance(Offset(offset.0 + 1));
        }
        self.reads();
        self.machine.is_full()
    }

    /// Notes that the worker reads. The first time this is reported, unless a group assigns the partitions.
    #[inline]
    pub(super) fn reads(&mut self) {
        if !std::mem::replace(&mut self.ready, true) && self.position.is_none() {
            self.channel.report(HostReport::Ready);
        }
    }

    /// Hands the batch over to the cell, which fences it if the incarnation was released.
    pub(super) fn flush(&mut self, context: &Context, now: Time) -> Applied {
        let PartitionWorker { machine, .. } = self;
        let (partition, owner) = (machine.partition(), machine.owner());
        let first = machine.first_of_batch();
        let applied = machine.flush(context.measurements.cell(partition));
        if let Some(trace) = context.runtime.trace() {
            let next = machine.position().unwrap_or(Offset(0));
            let is_fenced = applied == Applied::Fenced;
            let counts = if is_fenced { ", fenced: counts for nothing" } else { "" };
            let what = format!("partition {partition} up to offset {next}{counts}");
            let who = format!("consumer-{}", owner.consumer);
            if let Some(first) = first {
                let counts = format!(" by start {}{counts}", owner.incarnation);
                trace.processed(now, &who, partition, first..next, &counts);
            }
            trace.emit_trace(now, TraceKind::Processed, who, (what, vec![partition]));
        }
        applied
    }

    /// Notes that the client is at the end of the partition, where `next` is the next offset. All records that it
    /// handed over are processed.
    pub(super) fn reached(&mut self, context: &Context, now: Time, next: Offset) {
        let partition = self.machine.partition();
        // Records that were handed over to a dead actor were not processed.
        if self.channel.is_dead() {
            return;
        }
        let mut cell = context.measurements.cell(partition).lock();
        if self.resume_point.is_some() && next < cell.next_offset() {
            return;
        }
        if cell.reach(self.machine.owner(), next, now) == Applied::Fenced {
            return;
        }
        drop(cell);
        self.resume_point = None;
        self.machine.reach(next);
        if let (Some(position), Some(next)) = (&self.position, self.machine.position()) {
            position.advance(next);
        }
        self.reads();
        let progress = &context.measurements.progress[partition.0 as usize];
        progress.fetch_max(next.0, Ordering::AcqRel);
    }
}

/// The timestamp of a record without one: in a simulation, the time at which it was sent.
fn created_ms(context: &Context, sent: Time) -> Option<i64> {
    context.plan.broker.capability().is_modelled.then_some(sent.0 / 1_000_000)
}

/// The user's handler for this incarnation; `None` if the scenario's work is done instead. If the handler cannot be
/// made, one that refuses every record takes its place, and the error is returned with it.
pub(super) fn make_handler(
    context: &Context,
    partition: PartitionId,
    owner: Owner,
) -> (Option<Box<dyn Handler>>, Option<BrokerError>) {
    let Some(handlers) = &context.handlers else {
        return (None, None);
    };
    let make = || handlers.make(partition, owner.incarnation);
    let error = match in_handler(make) {
        Ok(Ok(handler)) => return (Some(handler), None),
        Ok(Err(error)) => error,
        Err(panic) => HandlerError::Failed(format!("panic{}", said(&*panic))),
    };
    let failure = BrokerError {
        class: class(&error),
        message: format!("no handler for partition {partition}: {error}"),
    };
    (Some(Box::new(Refusing(error))), Some(failure))
}

/// The error for a record that the handler refused.
fn refused(offset: Offset, error: &HandlerError) -> BrokerError {
    let message = format!("handler failed at offset {offset}: {error}");
    BrokerError { class: class(error), message }
}

/// The error for a record whose processing panicked.
fn panicked(offset: Offset, panic: &(dyn Any + Send)) -> BrokerError {
    BrokerError::processing(format!("panic while processing offset {offset}{}", said(panic)))
}

fn class(error: &HandlerError) -> ErrorClass {
    match error {
        HandlerError::Failed(_) => ErrorClass::Processing,
        HandlerError::Poison(_) => ErrorClass::Poison,
    }
}

/// The text of a panic, after a colon.
fn said(panic: &(dyn Any + Send)) -> String {
    panic_text(panic).map_or(String::new(), |text| format!(": {text}"))
}

/// Refuses every record: takes the place of a handler that could not be made, until the consumer is stopped.
struct Refusing(HandlerError);

impl Handler for Refusing {
    fn handle(&mut self, _record: &Record<'_>) -> Result<(), HandlerError> {
        Err(self.0.clone())
    }
}
