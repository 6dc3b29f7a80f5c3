//! The dispatcher of a host: hands the events of its client to the workers of their partitions.

mod events;

use std::sync::atomic::Ordering;

use super::handler_errors::make_handler;
use super::injected_faults::SimulatedCosts;
use super::lease::{HostReport, ReportChannel};
use super::partition_worker::PartitionWorker;
use super::position_check::{DoubtfulPartition, PositionDoubt};
use super::simulated::Hosting;
use crate::actors::Context;
use crate::base::{ConsumerId, Offset, PartitionId, Time};
use crate::broker::sim::KernelHandle;
use crate::broker::{BrokerError, Flow, Positions};
use crate::logic::{ConsumerMachine, Effort, Runs, WorkSampler};
use crate::measure::{Applied, Owner, ResumePoint, TraceKind};

/// The workers of a host, by partition.
pub(super) struct Dispatcher {
    context: Context,
    /// Name of the client, and the consumer it is for unless it is shared.
    client: String,
    consumer: Option<ConsumerId>,
    /// By partition id.
    workers: Vec<Option<Box<PartitionWorker>>>,
    /// Partitions with a batch under way.
    busy: Vec<PartitionId>,
    batch_since: Option<Time>,
    /// When the records came that are handed over, if they count as processed then and not now.
    came_at: Option<Time>,
    /// When the client had the records that are handed over, if it says.
    fetched: Option<Time>,
    /// Group mode: the owner the host works for, and its positions, for commits on revocation.
    group: Option<MemberSession>,
    /// The record whose effort the kernel is making.
    under_way: Option<UnderWay>,
    /// Machines and clients that failed since the host last looked.
    failures: Vec<(PartitionId, BrokerError)>,
    client_failure: Option<BrokerError>,
    /// Partitions that ended before their resume point, and whether the client found some position out of range,
    /// since the host last looked.
    ended_early: Vec<PartitionId>,
    out_of_range: bool,
}

/// A record that was begun and is not done.
#[derive(Clone, Copy)]
struct UnderWay {
    partition: PartitionId,
    offset: Offset,
    begun: Time,
    costs: SimulatedCosts,
}

/// The membership of a group member's host.
pub(super) struct MemberSession {
    pub(super) owner: Owner,
    pub(super) channel: ReportChannel,
    pub(super) positions: Positions,
    pub(super) joined: bool,
}

impl Dispatcher {
    pub(super) fn new(
        context: Context,
        client: &str,
        consumer: Option<ConsumerId>,
        group: Option<MemberSession>,
    ) -> Dispatcher {
        Dispatcher {
            client: client.to_owned(),
            consumer,
            under_way: None,
            context,
            workers: Vec::new(),
            busy: Vec::new(),
            batch_since: None,
            came_at: None,
            fetched: None,
            group,
            failures: Vec::new(),
            client_failure: None,
            ended_early: Vec::new(),
            out_of_range: false,
        }
    }

    /// Starts a worker for `owner` at `partition`. With a `resume_point`, nothing counts before that record was read.
    pub(super) fn attach(
        &mut self,
        partition: PartitionId,
        owner: Owner,
        channel: ReportChannel,
        resume_point: Option<ResumePoint>,
    ) {
        let context = &self.context;
        let (handler, failure) = make_handler(context, partition, owner);
        self.failures.extend(failure.map(|failure| (partition, failure)));
        let work = context.plan.consumers.work.of(partition.0);
        let seed = context.seed.child("work", u64::from(partition.0));
        let seed = seed.child("incarnation", u64::from(owner.incarnation.0));
        let sampler = WorkSampler::new(work, seed);
        let batch_max = context.plan.consumers.batch_records as usize;
        let skips = context.measurements.cell(partition).lock().skips();
        let runs = Runs { own: context.run, earlier: context.earlier.clone() };
        let machine = ConsumerMachine::new(partition, owner, runs, sampler, batch_max);
        let position = self.group.as_ref().map(|group| group.positions.begin(partition));
        let at = partition.0 as usize;
        if at >= self.workers.len() {
            self.workers.resize_with(at + 1, || None);
        }
        let worker = PartitionWorker {
            machine,
            handler,
            channel,
            ready: false,
            position,
            resume_point,
            skips,
        };
        // Boxed, so that a search for the few workers of a host touches little memory.
        self.workers[at] = Some(Box::new(worker));
    }

    /// Removes what works for `owner`; returns its partitions.
    pub(super) fn detach(&mut self, owner: Owner) -> Vec<(PartitionId, ReportChannel)> {
        self.flush();
        let mut removed = Vec::new();
        for worker in &mut self.workers {
            if let Some(worker) = worker.take_if(|worker| worker.machine.owner() == owner) {
                removed.push((worker.machine.partition(), worker.channel));
            }
        }
        removed
    }

    /// Those it works for.
    pub(super) fn consumers(&self) -> impl Iterator<Item = ConsumerId> {
        let workers = self.workers.iter().flatten().map(|worker| worker.machine.owner().consumer);
        let member = self.group.as_ref().map(|group| group.owner.consumer);
        workers.filter(move |consumer| Some(*consumer) != member).chain(member)
    }

    /// The partitions of `owner`, with their batches handed over.
    pub(super) fn flush_partitions(&mut self, owner: Owner) -> Vec<PartitionId> {
        self.flush();
        let machines = self.workers.iter().flatten().map(|worker| &worker.machine);
        machines
            .filter(|machine| machine.owner() == owner)
            .map(ConsumerMachine::partition)
            .collect()
    }

    /// Lets nothing of a partition count before that record was read.
    pub(super) fn expect(&mut self, partition: PartitionId, resume_point: Option<ResumePoint>) {
        if let Some(worker) = &mut self.workers[partition.0 as usize] {
            worker.resume_point = resume_point;
        }
    }

    /// Lets a consumer fail as if it had crashed by itself.
    pub(super) fn crash(&mut self, consumer: ConsumerId) {
        let error = BrokerError::fatal("a planned crash");
        if self.group.is_some() {
            self.client_failure = Some(error);
            return;
        }
        let its = self.workers.iter().flatten().map(|worker| &worker.machine);
        let its = its.filter(|machine| machine.owner().consumer == consumer);
        self.failures.extend(its.map(|machine| (machine.partition(), error.clone())));
    }

    /// Whether no machine is left.
    pub(super) fn is_empty(&self) -> bool {
        // From the end: the only one of a host of its own is the last.
        self.workers.iter().rev().all(Option::is_none)
    }

    /// Whether there are machines, and nothing failed or came into doubt since the host last looked.
    #[inline]
    pub(super) fn is_healthy(&self) -> bool {
        let has_failed = !self.failures.is_empty() || self.client_failure.is_some();
        let is_in_doubt = !self.ended_early.is_empty() || self.out_of_range;
        !has_failed && !is_in_doubt && !self.is_empty()
    }

    /// Whether records do nothing but count: every worker has read its first one, and nothing failed.
    #[inline]
    pub(super) fn counts_only(&self) -> bool {
        let mut workers = self.workers.iter().flatten();
        self.is_healthy() && workers.all(|worker| worker.ready && worker.resume_point.is_none())
    }

    /// Lets records count as processed when they came, but not before then; or (`None`) when they are.
    #[inline]
    pub(super) fn backdate(&mut self, to: Option<Time>) {
        self.came_at = to;
    }

    /// The group side, in group mode.
    pub(super) fn group(&self) -> Option<&MemberSession> {
        self.group.as_ref()
    }

    /// How far this host has come in the partitions it has.
    pub(super) fn positions(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        let machines = self.workers.iter().flatten().map(|worker| &worker.machine);
        machines.filter_map(|machine| Some((machine.partition(), machine.position()?)))
    }

    /// Hands all batches over. A machine whose batch is fenced belongs to a released incarnation and goes.
    pub(super) fn flush(&mut self) {
        self.batch_since = None;
        for partition in self.busy.drain(..) {
            let at = partition.0 as usize;
            let Some(worker) = self.workers.get_mut(at).and_then(Option::as_mut) else {
                continue;
            };
            let applied = worker.machine.flush(self.context.measurements.cell(partition));
            if let Hosting::Kernel(kernel) = &self.context.hosting {
                trace_progress(kernel, &self.context, &worker.machine, applied);
            }
            if applied == Applied::Fenced {
                self.workers[at] = None;
                continue;
            }
            if let Some(next) = worker.machine.position() {
                self.context.measurements.progress[at].store(next.0, Ordering::Release);
            }
        }
    }

    /// Whether it would make a difference to know how far the client has come at the ends of partitions: more is there
    /// than what was handed over, or what a machine has to see first.
    pub(super) fn asks_for_ends(&self) -> bool {
        let asks = |worker: &PartitionWorker| {
            let cell = self.context.measurements.cell(worker.machine.partition()).lock();
            worker.resume_point.is_some()
                || cell.lag.end.is_some_and(|end| end > cell.next_offset())
        };
        let has_failed = !self.failures.is_empty() || self.client_failure.is_some();
        !has_failed && self.workers.iter().flatten().any(|worker| asks(worker))
    }

    /// The client is at the end of a partition, and would hand `next` over next. Everything it has handed over is
    /// processed.
    pub(super) fn reached(&mut self, partition: PartitionId, next: Offset) {
        let at = partition.0 as usize;
        let Some(worker) = self.workers.get_mut(at).and_then(Option::as_deref_mut) else { return };
        // What was handed over to a dead one was not processed.
        if worker.channel.is_dead() {
            return;
        }
        let mut cell = self.context.measurements.cell(partition).lock();
        if worker.resume_point.is_some() && next < cell.next_offset() {
            return;
        }
        if cell.reach(worker.machine.owner(), next, self.context.clock.now()) == Applied::Fenced {
            return;
        }
        drop(cell);
        worker.resume_point = None;
        worker.machine.reach(next);
        if let (Some(position), Some(next)) = (&worker.position, worker.machine.position()) {
            position.advance(next);
        }
        worker.reads();
        self.context.measurements.progress[at].fetch_max(next.0, Ordering::AcqRel);
    }

    /// Records a heartbeat: the host polls.
    pub(super) fn beat(&self) {
        let now = self.context.clock.now();
        self.workers.iter().flatten().for_each(|worker| worker.channel.heartbeat.beat(now));
        if let Some(group) = &self.group {
            group.channel.heartbeat.beat(now);
        }
    }

    /// The effort the kernel has to make before the next turn.
    pub(super) fn effort(&self) -> Option<Effort> {
        self.under_way.as_ref().and_then(|record| record.costs.next())
    }

    /// Goes on with the record whose effort is made now.
    pub(super) fn resume(&mut self) {
        if let Some(record) = &mut self.under_way {
            record.costs.take();
            if record.costs.next().is_some() {
                return;
            }
        }
        if let Some(record) = self.under_way.take() {
            let now = self.context.clock.now();
            let Some(worker) = self.worker(record.partition) else { return self.flush() };
            let is_full = worker.done(record.offset, now);
            if self.done(record.partition, record.begun, now, is_full) == Flow::Stop {
                self.flush();
            }
        }
    }

    /// What failed since the last call: single machines, or the client with all of them.
    pub(super) fn take_failures(
        &mut self,
    ) -> (Vec<(PartitionId, BrokerError)>, Option<BrokerError>) {
        (std::mem::take(&mut self.failures), self.client_failure.take())
    }

    /// The partitions whose position came into doubt since the last call.
    pub(super) fn take_doubtful(&mut self) -> Option<(Vec<DoubtfulPartition>, PositionDoubt)> {
        let early = std::mem::take(&mut self.ended_early);
        // The client does not say which partition is out of range: all are asked about.
        let all = std::mem::take(&mut self.out_of_range);
        if early.is_empty() && !all {
            return None;
        }
        let doubtful = self.workers.iter().flatten().map(|worker| DoubtfulPartition {
            partition: worker.machine.partition(),
            channel: worker.channel.clone(),
        });
        let doubtful = doubtful
            .filter(|partition_in_doubt| all || early.contains(&partition_in_doubt.partition));
        let doubt =
            if all { PositionDoubt::OutOfRange } else { PositionDoubt::EndBeforeResumePoint };
        Some((doubtful.collect(), doubt))
    }

    /// Removes the worker of a partition and reports the error to its actor.
    pub(super) fn fail(&mut self, partition: PartitionId, error: &BrokerError) {
        if let Some(worker) = self.remove_worker(partition) {
            worker.channel.report(HostReport::Failed(error.clone()));
        }
    }

    fn worker(&mut self, partition: PartitionId) -> Option<&mut PartitionWorker> {
        self.workers.get_mut(partition.0 as usize)?.as_deref_mut()
    }

    fn remove_worker(&mut self, partition: PartitionId) -> Option<Box<PartitionWorker>> {
        self.workers.get_mut(partition.0 as usize)?.take()
    }

    /// Reports a failure of the client to every actor.
    pub(super) fn fail_all(&mut self, error: &BrokerError) {
        for worker in self.workers.iter_mut().filter_map(Option::take) {
            worker.channel.report(HostReport::Failed(error.clone()));
        }
        if let Some(group) = &self.group {
            group.channel.report(HostReport::Failed(error.clone()));
        }
    }

    fn client_error(&self, error: &BrokerError) {
        self.context.note_client_error(&self.client, self.consumer, &error.message);
    }
}

impl Drop for Dispatcher {
    /// On a panic, reports the failure to every owner.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail_all(&BrokerError::fatal("panic in the client's thread"));
        }
    }
}

/// Tells the trace of a simulation how far a machine has come.
fn trace_progress(
    kernel: &KernelHandle,
    context: &Context,
    machine: &ConsumerMachine,
    applied: Applied,
) {
    kernel.emit_trace(context.clock.now(), TraceKind::Processed, || {
        let (partition, owner) = (machine.partition(), machine.owner());
        let next = machine.position().unwrap_or(Offset(0));
        let counts = if applied == Applied::Fenced { ", fenced: counts for nothing" } else { "" };
        let what = format!("partition {partition} up to offset {next}{counts}");
        (format!("consumer-{}", owner.consumer), what, vec![partition])
    });
}
