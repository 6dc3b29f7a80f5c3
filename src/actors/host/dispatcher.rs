//! The dispatcher of a host: hands the events of its client to the workers of their partitions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::partition_worker::{PartitionWorker, make_handler};
use super::position_check::{DoubtfulPartition, PositionDoubt};
use crate::actors::lease::{HostReport, ReportChannel};
use crate::actors::record_work::{Completion, WorkCosts};
use crate::actors::runtime::Context;
use crate::base::{ConsumerId, Offset, PartitionId, RecordView, Time};
use crate::broker::{BrokerError, ConsumerEvents, ErrorClass, Flow, Positions};
use crate::logic::{ConsumerMachine, Effort, Runs, WorkSampler};
use crate::measure::{Applied, Event, Handed, Owner, ResumePoint};

/// Longest time until a batch is handed over, so that checkpoints and figures are up to date when records are slow to
/// process.
const BATCH_TIME_MAX: Duration = Duration::from_millis(5);

/// The workers of a host, by partition.
pub(super) struct Dispatcher {
    context: Context,
    /// Name of the client, and the consumer that it belongs to unless it is shared.
    client: String,
    consumer: Option<ConsumerId>,
    /// Index: the partition's id.
    workers: Vec<Option<Box<PartitionWorker>>>,
    /// Partitions with records in their batch.
    busy: Vec<PartitionId>,
    batch_since: Option<Time>,
    /// Time of the turn, and the time before which no record is begun.
    now: Time,
    free_since: Time,
    /// True if the client knows when records arrived.
    fetch_is_timed: bool,
    /// The group membership of the host, in group mode. It has the positions for commits on revocation.
    group: Option<MemberSession>,
    /// The record whose effort the runtime makes now.
    under_way: Option<UnderWay>,
    /// Machines and clients that failed since the last call of `take_failures`.
    failures: Vec<(PartitionId, BrokerError)>,
    client_failure: Option<BrokerError>,
    /// Partitions that ended before their resume point, and whether the client found a position out of range, since the
    /// last call of `take_doubtful`.
    ended_early: Vec<PartitionId>,
    out_of_range: bool,
}

/// A record that was begun and is not complete.
#[derive(Clone, Copy)]
struct UnderWay {
    partition: PartitionId,
    offset: Offset,
    begun: Time,
    costs: WorkCosts,
}

/// The group membership of a member's host.
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
        let fetch_is_timed = context.plan.broker.client().fetch_is_timed();
        Dispatcher {
            client: client.to_owned(),
            consumer,
            under_way: None,
            context,
            workers: Vec::new(),
            busy: Vec::new(),
            batch_since: None,
            now: Time::ZERO,
            free_since: Time::ZERO,
            fetch_is_timed,
            group,
            failures: Vec::new(),
            client_failure: None,
            ended_early: Vec::new(),
            out_of_range: false,
        }
    }

    /// Starts a worker for `owner` at `partition`. With a `resume_point`, no record counts before the one of the resume
    /// point was read.
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

    /// Removes the workers of `owner`, and returns their partitions.
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

    /// The consumers that the host works for.
    pub(super) fn consumers(&self) -> impl Iterator<Item = ConsumerId> {
        let workers = self.workers.iter().flatten().map(|worker| worker.machine.owner().consumer);
        let member = self.group.as_ref().map(|group| group.owner.consumer);
        workers.filter(move |consumer| Some(*consumer) != member).chain(member)
    }

    /// Hands over the batches of `owner`, and returns its partitions.
    pub(super) fn flush_partitions(&mut self, owner: Owner) -> Vec<PartitionId> {
        self.flush();
        let machines = self.workers.iter().flatten().map(|worker| &worker.machine);
        machines
            .filter(|machine| machine.owner() == owner)
            .map(ConsumerMachine::partition)
            .collect()
    }

    /// Sets the record that must be read before any record of the partition counts.
    pub(super) fn expect(&mut self, partition: PartitionId, resume_point: Option<ResumePoint>) {
        if let Some(worker) = &mut self.workers[partition.0 as usize] {
            worker.resume_point = resume_point;
        }
    }

    /// Lets a consumer fail as if it had crashed.
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

    /// True if no worker is left.
    pub(super) fn is_empty(&self) -> bool {
        // From the end, because a host of its own has only one worker, the last one.
        self.workers.iter().rev().all(Option::is_none)
    }

    /// True if there are workers, and nothing has failed or become doubtful since the last check.
    #[inline]
    pub(super) fn is_healthy(&self) -> bool {
        let has_failed = !self.failures.is_empty() || self.client_failure.is_some();
        let is_in_doubt = !self.ended_early.is_empty() || self.out_of_range;
        !has_failed && !is_in_doubt && !self.is_empty()
    }

    /// True if records do nothing but count: every worker has read its first record, and nothing has failed.
    #[inline]
    pub(super) fn counts_only(&self) -> bool {
        let mut workers = self.workers.iter().flatten();
        self.is_healthy() && workers.all(|worker| worker.ready && worker.resume_point.is_none())
    }

    /// Begins a turn at `now`, or continues it. A record is begun when it arrived, but not before `free_since`.
    #[inline]
    pub(super) fn set_time(&mut self, now: Time, free_since: Time) {
        (self.now, self.free_since) = (now, free_since);
    }

    /// The group membership, in group mode.
    pub(super) fn group(&self) -> Option<&MemberSession> {
        self.group.as_ref()
    }

    /// The positions of the partitions of this host.
    pub(super) fn positions(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        let machines = self.workers.iter().flatten().map(|worker| &worker.machine);
        machines.filter_map(|machine| Some((machine.partition(), machine.position()?)))
    }

    /// Hands over all batches. A worker whose batch is fenced belongs to a released incarnation, and is removed.
    pub(super) fn flush(&mut self) {
        self.batch_since = None;
        for partition in self.busy.drain(..) {
            let at = partition.0 as usize;
            let Some(worker) = self.workers.get_mut(at).and_then(Option::as_mut) else {
                continue;
            };
            if worker.flush(&self.context, self.now) == Applied::Fenced {
                self.workers[at] = None;
                continue;
            }
            if let Some(next) = worker.machine.position() {
                self.context.measurements.progress[at].store(next.0, Ordering::Release);
            }
        }
    }

    /// True if the client's positions at the ends of partitions matter: a partition has more than what was handed over,
    /// or a worker waits for the record of its resume point.
    pub(super) fn asks_for_ends(&self) -> bool {
        let asks = |worker: &PartitionWorker| {
            let cell = self.context.measurements.cell(worker.machine.partition()).lock();
            worker.resume_point.is_some()
                || cell.lag.end.is_some_and(|end| end > cell.next_offset())
        };
        let has_failed = !self.failures.is_empty() || self.client_failure.is_some();
        !has_failed && self.workers.iter().flatten().any(|worker| asks(worker))
    }

    /// Notes that the client is at the end of a partition, where `next` is the next offset.
    pub(super) fn reached(&mut self, partition: PartitionId, next: Offset) {
        let worker = self.workers.get_mut(partition.0 as usize).and_then(Option::as_deref_mut);
        worker.into_iter().for_each(|worker| worker.reached(&self.context, self.now, next));
    }

    /// Notes a heartbeat: the host polls.
    pub(super) fn beat(&self) {
        let now = self.now;
        self.workers.iter().flatten().for_each(|worker| worker.channel.heartbeat.beat(now));
        if let Some(group) = &self.group {
            group.channel.heartbeat.beat(now);
        }
    }

    /// The effort that the host makes before its next turn.
    pub(super) fn effort(&self) -> Option<Effort> {
        self.under_way.as_ref().and_then(|record| record.costs.next())
    }

    /// True if that effort is a fault that blocks the consumer.
    pub(super) fn is_stalled(&self) -> bool {
        self.under_way.as_ref().is_some_and(|record| record.costs.is_stall())
    }

    /// Continues with the record whose effort was just made.
    pub(super) fn resume(&mut self) {
        if let Some(record) = &mut self.under_way {
            record.costs.take();
            if record.costs.next().is_some() {
                return;
            }
        }
        if let Some(record) = self.under_way.take() {
            let now = self.now;
            let Some(worker) = self.worker(record.partition) else { return self.flush() };
            let is_full = worker.done(record.offset, now);
            if self.done(record.partition, record.begun, now, is_full) == Flow::Stop {
                self.flush();
            }
        }
    }

    /// The failures since the last call: of single machines, or of the client with all of them.
    pub(super) fn take_failures(
        &mut self,
    ) -> (Vec<(PartitionId, BrokerError)>, Option<BrokerError>) {
        (std::mem::take(&mut self.failures), self.client_failure.take())
    }

    /// The partitions whose position has become doubtful since the last call.
    pub(super) fn take_doubtful(&mut self) -> Option<(Vec<DoubtfulPartition>, PositionDoubt)> {
        let early = std::mem::take(&mut self.ended_early);
        // The client does not name the partition that is out of range, so all are checked.
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

    /// Removes the worker of a partition, and reports the error to its actor.
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

    /// Reports a failure of the client to all actors.
    pub(super) fn fail_all(&mut self, error: &BrokerError) {
        for worker in self.workers.iter_mut().filter_map(Option::take) {
            worker.channel.report(HostReport::Failed(error.clone()));
        }
        if let Some(group) = &self.group {
            group.channel.report(HostReport::Failed(error.clone()));
        }
    }

    /// Continues after a record is processed. Hands the batch over if it is full or old enough.
    #[inline]
    fn done(&mut self, partition: PartitionId, begun: Time, now: Time, is_full: bool) -> Flow {
        if !self.busy.contains(&partition) {
            self.busy.push(partition);
        }
        // Time before this turn is not counted, in which records that had been begun waited for it.
        let since = *self.batch_since.get_or_insert(begun.max(self.now));
        let is_old = now > since + BATCH_TIME_MAX;
        if is_full || is_old { Flow::Stop } else { Flow::More }
    }

    /// Notes that the machine of a partition has failed.
    fn fails(&mut self, partition: PartitionId, error: BrokerError) -> Flow {
        self.failures.push((partition, error));
        Flow::Stop
    }

    fn client_error(&self, now: Time, error: &BrokerError) {
        self.context.note_client_error(now, &self.client, self.consumer, &error.message);
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

impl ConsumerEvents for Dispatcher {
    #[inline]
    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow {
        let Some(worker) = self.workers.get_mut(partition.0 as usize).and_then(Option::as_mut)
        else {
            // A shared client or a group member may still hold records of a partition that it has just given up.
            if self.consumer.is_some() && self.group.is_none() {
                self.context.measurements.strays.fetch_add(1, Ordering::Relaxed);
            }
            return Flow::More;
        };
        if worker.channel.is_dead() {
            return Flow::Stop;
        }
        if worker.resume_point.is_some() {
            match worker.recognise(offset, record) {
                Ok(true) => {}
                Ok(false) => return Flow::More,
                Err(error) => return self.fails(partition, error),
            }
        }
        let begun = arrived.max(self.free_since);
        let handed = Handed { fetched: self.fetch_is_timed.then_some(arrived), at: begun };
        match worker.process(&self.context, offset, record, handed) {
            Ok(Completion::At(now)) => {
                self.free_since = now;
                let is_full = worker.done(offset, now);
                self.done(partition, begun, now, is_full)
            }
            Ok(Completion::After(costs)) => {
                self.under_way = Some(UnderWay { partition, offset, begun, costs });
                Flow::Stop
            }
            Err(error) => self.fails(partition, error),
        }
    }

    #[inline]
    fn present(&mut self, now: Time) {
        self.free_since = self.free_since.max(now);
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        let Some(worker) = self.worker(partition) else { return };
        if let Some(resume_point) = worker.resume_point {
            // If the group has committed up to the checkpoint, the member does not get the record of its resume point.
            let is_before = |position: Offset| position <= resume_point.offset;
            if worker.position.is_none() || worker.machine.position().is_some_and(is_before) {
                self.ended_early.push(partition);
                return;
            }
            worker.resume_point = None;
        }
        worker.reads();
    }

    fn assigned(&mut self, now: Time, partitions: &[PartitionId]) {
        let Some(group) = &mut self.group else { return };
        let (owner, channel) = (group.owner, group.channel.clone());
        if !std::mem::replace(&mut group.joined, true) {
            channel.report(HostReport::Ready);
        }
        // A member may see new partitions before the topic watcher does.
        if let Some(last) = partitions.iter().max() {
            self.context.grown(now, last.0 + 1);
        }
        for partition in partitions {
            let resume_point = {
                let mut cell = self.context.measurements.cell(*partition).lock();
                cell.take_over(owner, now);
                cell.taken_by_member(owner, now);
                cell.start().resume_point
            };
            self.attach(*partition, owner, channel.clone(), resume_point);
        }
        let (Owner { consumer, incarnation }, partitions) = (owner, partitions.to_vec());
        self.context.note_at(now, Event::Assigned { consumer, incarnation, partitions });
    }

    fn revoked(&mut self, now: Time, partitions: &[PartitionId]) {
        self.flush();
        let Some(group) = &self.group else { return };
        let owner @ Owner { consumer, incarnation } = group.owner;
        for partition in partitions {
            self.context.measurements.cell(*partition).lock().give_up(owner, now);
            group.positions.end(*partition);
            if let Some(worker) = self.workers.get_mut(partition.0 as usize) {
                *worker = None;
            }
        }
        let partitions = partitions.to_vec();
        self.context.note_at(now, Event::Revoked { consumer, incarnation, partitions });
    }

    fn error(&mut self, now: Time, error: BrokerError) {
        match error.class {
            ErrorClass::Informational => self.client_error(now, &error),
            ErrorClass::Position if self.group.is_none() => {
                self.client_error(now, &error);
                self.out_of_range = true;
            }
            ErrorClass::Position
            | ErrorClass::Denied
            | ErrorClass::Poison
            | ErrorClass::Fatal
            | ErrorClass::Unreleased
            | ErrorClass::Processing => {
                self.client_error(now, &error);
                self.client_failure.get_or_insert(error);
            }
        }
    }
}
