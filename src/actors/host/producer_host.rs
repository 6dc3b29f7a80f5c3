//! The host of a producer pool: paces, stamps, sends, and collects acknowledgements.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::filler::Filler;
use crate::actors::lease::{PoolMode, PoolShared};
use crate::actors::runtime::Context;
use crate::base::{Clock, Incarnation, Offset, PartitionId, PoolId, RunId, Stamp, Time};
use crate::broker::calls::RuledProducer;
use crate::broker::{Answers, ProducerPort, SendError, SendRecord};
use crate::logic::{Due, Pacer};
use crate::measure::{Ack, Measurements, Outcome, PoolState};
use crate::plan::{Pace, RecordFacts, RecordWriter};

/// Records sent in one go, before acknowledgements are read.
const BURST_MAX: usize = 256;
/// At maximum rate the clock is read for the first of this many records: they take less than two microseconds.
const CLOCK_EVERY: usize = 8;
/// Longest sleep, so that commands and acknowledgements are seen in time.
pub(in crate::actors) const SLEEP_MAX: Duration = Duration::from_millis(10);
/// How long to wait when the client's queue is full or consumers are too far behind.
pub(in crate::actors) const BLOCKED_WAIT: Duration = Duration::from_micros(500);
/// How long the fate of what is in flight is waited for when the schedule was ended early.
const ENDED_EARLY: Duration = Duration::from_secs(3);
/// How long to wait for answers when nothing more is due.
const FLUSH_WAIT: Duration = Duration::from_millis(2);

/// A pool's machine with its client: the same in real time and in simulation.
pub(in crate::actors) struct PoolHost<P> {
    context: Context,
    shared: Arc<PoolShared>,
    incarnation: Incarnation,
    mode: PoolMode,
    pub(super) sender: Sender<P>,
    /// How many partitions the schedules use.
    partitions: usize,
    /// Until when the fate of what is in flight is waited for, once nothing more is due.
    flush_until: Option<Time>,
    /// How far the last turn came: in simulation it may be later than the turn.
    reached: Time,
}

/// How far a turn of a pool's host goes.
#[derive(Clone, Copy)]
pub(in crate::actors) enum Horizon {
    /// It sends all that is due by this clock, which goes on meanwhile.
    Present(Clock),
    /// It sends what is due at its own time, and then, each at its time, what is due before this one.
    Before(Time),
}

impl Horizon {
    /// The time in a turn that has come to `at`.
    #[inline]
    fn time(self, at: Time) -> Time {
        match self {
            Horizon::Present(clock) => clock.now(),
            Horizon::Before(_) => at,
        }
    }
}

/// How a burst ended.
enum Burst {
    /// Nothing more is due before this; `None` when nothing ever is.
    Idle(Option<Time>),
    /// More is due.
    More,
    /// No room, or no need.
    Blocked(Blocked),
    /// A newer incarnation sends now.
    Fenced,
}

/// Who keeps a pool from sending.
#[derive(Clone, Copy)]
pub(in crate::actors) enum Blocked {
    /// The client's queue is full.
    ByClient,
    /// Too much is unprocessed everywhere.
    ByConsumers,
}

/// What a pool's host wants after a turn.
pub(in crate::actors) enum PoolTurn {
    /// Another turn at once.
    Again,
    /// Another turn at this time.
    At(Time),
    /// Another turn after [`BLOCKED_WAIT`], or sooner after an answer, which counts as blocked.
    Blocked(Blocked),
    /// Nothing more: everything is sent and its fate known, or the pool is abandoned.
    Over,
}

impl<P: ProducerPort> PoolHost<P> {
    /// Payloads are filled from `filler_bytes` random bytes; with 1 all are the same.
    pub(in crate::actors) fn new(
        context: Context,
        shared: Arc<PoolShared>,
        incarnation: Incarnation,
        mode: PoolMode,
        port: P,
        filler_bytes: usize,
    ) -> PoolHost<P> {
        let port = RuledProducer::new(port, shared.pool, context.active_faults.clone());
        PoolHost {
            sender: Sender::new(&context, shared.pool, port, filler_bytes),
            partitions: shared.partitions(),
            flush_until: None,
            reached: Time::ZERO,
            context,
            shared,
            incarnation,
            mode,
        }
    }

    /// Whose host it is.
    pub(super) fn pool(&self) -> PoolId {
        self.shared.pool
    }

    /// The run's surroundings.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// How far the last turn came.
    pub(super) fn reached(&self) -> Time {
        self.reached
    }

    /// Sends what is due up to the horizon and collects what was answered, without waiting.
    pub(in crate::actors) fn turn(&mut self, now: Time, horizon: Horizon) -> PoolTurn {
        self.reached = now;
        if self.mode.is_abandoned() {
            self.sender.port.give_up(now, Duration::from_secs(1));
            self.collect(now, Duration::ZERO);
            return PoolTurn::Over;
        }
        if let Some(until) = self.pause(now) {
            self.collect(now, Duration::ZERO);
            return PoolTurn::At(until);
        }
        let burst = self.send_and_enter(horizon);
        let now = self.reached;
        let next = match burst {
            Burst::More => return PoolTurn::Again,
            Burst::Fenced => {
                self.mode.abandon();
                return PoolTurn::Again;
            }
            Burst::Blocked(by) => return PoolTurn::Blocked(by),
            Burst::Idle(Some(due)) => due.min(now + SLEEP_MAX),
            Burst::Idle(None) => {
                let until = self.until(now);
                if self.is_flushed(now, now >= until) {
                    return PoolTurn::Over;
                }
                now + FLUSH_WAIT
            }
        };
        PoolTurn::At(next.min(self.sender.port.next_due()).max(now))
    }

    /// Until when to wait for the fate of what is in flight. A schedule that is ended early does not wait for as long
    /// as the scenario says.
    fn until(&mut self, now: Time) -> Time {
        let drain = self.context.plan.times.drain;
        let goes_on = self.mode.goes_on();
        let limit = now + if goes_on { drain } else { drain.min(ENDED_EARLY) };
        *self.flush_until.insert(self.flush_until.map_or(limit, |until| until.min(limit)))
    }

    /// Until when to wait while a planned pause lasts, unless the schedule is to end.
    fn pause(&self, now: Time) -> Option<Time> {
        let until = self.context.active_faults.paused(self.shared.pool, now)?;
        let goes_on = self.mode.goes_on();
        goes_on.then(|| until.min(now + SLEEP_MAX))
    }

    /// Whether the schedule goes on, and is to be kept.
    pub(super) fn has_more(&self) -> bool {
        self.flush_until.is_none() && self.mode.goes_on()
    }

    /// Notes that the pool could not send from `from` to `to`.
    pub(in crate::actors) fn blocked(&self, by: Blocked, from: Time, to: Time) {
        let mut cell = self.cell();
        match by {
            Blocked::ByClient => cell.blocked_by_client(from, to),
            Blocked::ByConsumers => cell.blocked_by_consumers += to.remaining(from),
        }
    }

    /// Whether the fate of every record is known; when `overdue`, gives up what is left.
    fn is_flushed(&mut self, now: Time, overdue: bool) -> bool {
        if self.cell().in_flight() > 0 && overdue {
            self.sender.port.give_up(now, Duration::from_secs(5));
            self.collect(now, Duration::ZERO);
        }
        overdue || self.cell().in_flight() == 0
    }

    fn cell(&self) -> MutexGuard<'_, PoolState> {
        self.context.measurements.pools[self.shared.pool.0 as usize].lock()
    }

    /// Spreads what comes next over new partitions, once the client knows them.
    fn follow(&mut self, partitions: usize) {
        if !self.sender.port.follow(self.reached, partitions as u32) {
            return;
        }
        let mut pacer = self.shared.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        pacer.spread_over(partitions as u32);
        self.context.measurements.pools[self.shared.pool.0 as usize].lock().grow(partitions as u32);
        self.sender.grow(partitions);
        self.partitions = partitions;
    }

    /// The horizon, or a nearer one: records are sent before they are due only if nothing that is still to come makes a
    /// difference to them.
    fn nearest(&self, horizon: Horizon) -> Horizon {
        let active_faults = &self.context.active_faults;
        let is_free = self.has_more()
            && self.sender.is_independent()
            && !active_faults.is_armed()
            && self.context.measurements.cells.len() == self.partitions;
        match horizon {
            Horizon::Before(_) if !is_free => Horizon::Before(self.reached),
            horizon => horizon,
        }
    }

    /// Sends what is due and enters what was answered, under one lock of the schedules and the cell.
    fn send_and_enter(&mut self, horizon: Horizon) -> Burst {
        let partitions = self.context.measurements.cells.len();
        if partitions > self.partitions {
            self.follow(partitions);
        }
        let horizon = self.nearest(horizon);
        let PoolHost { context, shared, sender, reached, .. } = self;
        let mut pacer = shared.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cell = context.measurements.pools[shared.pool.0 as usize].lock();
        if self.mode.is_ending() {
            pacer.end();
        }
        follow_stages(&mut pacer, &context.measurements);
        let burst = match cell.is_fenced(self.incarnation) {
            true => Burst::Fenced,
            false => burst(context, sender, &mut pacer, &mut cell, (reached, horizon)),
        };
        sender.enter_answers(*reached, &mut cell);
        burst
    }

    /// Lets `wait` pass, or less, and enters the acknowledgements that came into the cell.
    pub(in crate::actors) fn collect(&mut self, now: Time, wait: Duration) {
        if self.sender.has_answers(now, wait) {
            let pool = self.shared.pool.0 as usize;
            self.sender.enter(&mut self.context.measurements.pools[pool].lock());
        }
    }
}

/// Applies the ends of stages that came before their time.
#[inline]
pub(in crate::actors) fn follow_stages(pacer: &mut Pacer, measurements: &Measurements) {
    let ends = measurements.stages.ends_from(pacer.stages_ended());
    if !ends.is_empty() {
        pacer.end_stages(&ends);
    }
}

/// Sends what is due up to the horizon, each record at its time, up to [`BURST_MAX`] records. Notes how far it has come.
fn burst<P: ProducerPort>(
    context: &Context,
    sender: &mut Sender<P>,
    pacer: &mut Pacer,
    cell: &mut PoolState,
    (reached, horizon): (&mut Time, Horizon),
) -> Burst {
    let (mut skipped, mut has_left, mut is_early) = (0, false, false);
    let clock_every = if sender.at_max_rate { CLOCK_EVERY } else { 1 };
    for index in 0..BURST_MAX {
        if index % clock_every == 0 {
            *reached = horizon.time(*reached);
        }
        let early = sender.next_early(pacer, *reached, horizon, has_left);
        has_left = early.is_some();
        is_early |= early.is_some_and(|at| at > *reached);
        *reached = early.unwrap_or(*reached);
        let now = *reached;
        let Some(due) = pacer.take(now) else { return Burst::Idle(pacer.next_due(now)) };
        if sender.is_behind(context, due.partition) {
            pacer.put_off(due);
            skipped += 1;
            if skipped > 2 * sender.sent.len() {
                return Burst::Blocked(Blocked::ByConsumers);
            }
            continue;
        }
        match sender.send(cell, due, now, has_left) {
            Ok(()) => {}
            Err(()) => {
                pacer.put_back(due);
                return Burst::Blocked(Blocked::ByClient);
            }
        }
    }
    // The next one has a turn of its own, so that messages come between.
    if is_early { Burst::Idle(pacer.next_due(*reached)) } else { Burst::More }
}

/// A pool's client, and what is sent through it.
pub(super) struct Sender<P> {
    pub(super) port: RuledProducer<P>,
    measurements: Arc<Measurements>,
    run: RunId,
    filler: Filler,
    /// Makes records that have more than a stamp and filler of always the same size.
    writer: Option<Box<RecordWriter>>,
    /// What was answered and not entered yet.
    answers: Answers,
    /// Records sent per partition, for the cap on what is unprocessed.
    sent: Vec<i64>,
    unprocessed_max: Option<i64>,
    at_max_rate: bool,
}

impl<P: ProducerPort> Sender<P> {
    /// A sender through `port`, which fills payloads from `filler_bytes` random bytes.
    fn new(
        context: &Context,
        pool: PoolId,
        port: RuledProducer<P>,
        filler_bytes: usize,
    ) -> Sender<P> {
        let load = &context.plan.load;
        let size = load.payload_bytes as usize;
        let filler_seed = context.seed.child("filler", u64::from(pool.0));
        let payload = &load.payload;
        let is_plain = payload.is_plain();
        let writer = || Box::new(RecordWriter::new(payload.clone(), context.seed));
        let per_pool = |bytes: u64| bytes / u64::from(load.payload_bytes) / u64::from(load.pools);
        Sender {
            port,
            measurements: context.measurements.clone(),
            run: context.run,
            filler: Filler::new(size, filler_bytes, filler_seed),
            writer: (!is_plain).then(writer),
            answers: Answers::default(),
            sent: vec![0; context.measurements.cells.len()],
            unprocessed_max: load.unprocessed_bytes_max.map(|bytes| per_pool(bytes).max(1) as i64),
            at_max_rate: load.pace == Pace::Max,
        }
    }

    /// Makes room for this number of partitions.
    fn grow(&mut self, partitions: usize) {
        self.sent.resize(partitions, 0);
    }

    /// Whether more than the cap of this partition is sent and not processed.
    #[inline]
    fn is_behind(&self, context: &Context, partition: PartitionId) -> bool {
        let Some(max) = self.unprocessed_max else {
            return false;
        };
        let at = partition.0 as usize;
        let measurements = &context.measurements;
        let Offset(start) = measurements.starts[at];
        let processed = measurements.progress[at].load(Ordering::Acquire) - start;
        let others = i64::from(context.plan.load.pools);
        self.sent[at] - processed / others >= max
    }

    /// Whether it does not matter to the pool how far consumers are.
    fn is_independent(&self) -> bool {
        self.unprocessed_max.is_none()
    }

    /// Stamps and hands over one record, which may be the only one at its time. `Err` when the client's queue is full.
    fn send(
        &mut self,
        cell: &mut PoolState,
        due: Due,
        now: Time,
        is_alone: bool,
    ) -> Result<(), ()> {
        let Due { producer, partition, .. } = due;
        let sequence = cell.next_sequence(producer, partition);
        let stamp = self.stamp(due, sequence, now);
        let (payload, is_packed) = match &mut self.writer {
            None => (self.filler.stamped(&stamp), false),
            Some(writer) => writer
                .write(&stamp, &RecordFacts { producer, partition, sequence, key: due.key, now }),
        };
        let sent = now;
        let record =
            SendRecord { producer, partition, sequence, payload, is_packed, sent, is_alone };
        match self.port.send(now, &record) {
            Ok(()) => {}
            Err(SendError::Full) => return Err(()),
            Err(SendError::Refused(name)) => {
                cell.error(&name, 1);
                let (sent, at, offset, outcome) = (now, now, None, Outcome::Failed);
                let ack = Ack { producer, partition, sequence, offset, sent, at, outcome };
                self.answers.acks.push(ack);
            }
        }
        self.note_sent(cell, due, now);
        Ok(())
    }

    /// When the next record is sent, if it is alone at its time, that is before the horizon and before the next turn
    /// without it, and the record leaves the client immediately. What was sent at `at` leaves the client before, unless
    /// it `has_left`.
    #[inline]
    fn next_early(
        &mut self,
        pacer: &Pacer,
        at: Time,
        horizon: Horizon,
        has_left: bool,
    ) -> Option<Time> {
        let Horizon::Before(end) = horizon else { return None };
        let is_next = |next: &Time| *next < end && *next <= at + SLEEP_MAX;
        let next = pacer.next_alone(at).filter(is_next)?;
        if next > at && !has_left {
            self.port.send_due(at);
        }
        self.port.sends_immediately_at(next).then_some(next)
    }

    /// When a record that is sent now was to be sent.
    #[inline]
    fn intended(&self, due: Due, now: Time) -> Time {
        if self.at_max_rate { now } else { due.intended }
    }

    /// What a record says about itself.
    #[inline]
    fn stamp(&self, due: Due, sequence: u64, now: Time) -> Stamp {
        Stamp {
            run: self.run,
            producer: due.producer,
            partition: due.partition,
            sequence,
            intended: self.intended(due, now),
            sent: now,
        }
    }

    /// Enters a record the client takes; returns its sequence.
    fn note_sent(&mut self, cell: &mut PoolState, due: Due, now: Time) -> u64 {
        self.sent[due.partition.0 as usize] += 1;
        cell.sent(due.producer, due.partition, self.intended(due, now), now)
    }

    /// Lets `wait` pass, or less; whether the client has answered something that is to be entered.
    fn has_answers(&mut self, now: Time, wait: Duration) -> bool {
        self.port.answers(now, wait, &mut self.answers);
        !self.answers.is_empty()
    }

    /// Enters what was answered until now.
    fn enter_answers(&mut self, now: Time, cell: &mut PoolState) {
        if self.has_answers(now, Duration::ZERO) {
            self.enter(cell);
        }
    }

    /// Enters what was answered.
    fn enter(&mut self, cell: &mut PoolState) {
        // What was not appended will not be processed: it does not count against the cap.
        for ack in self.answers.acks.iter().filter(|ack| ack.outcome != Outcome::Acked) {
            self.sent[ack.partition.0 as usize] -= 1;
        }
        let progress = &self.measurements.progress;
        cell.resolve(&self.answers.acks, |partition| {
            Offset(progress[partition.0 as usize].load(Ordering::Relaxed))
        });
        self.answers.acks.clear();
        let errors = std::mem::take(&mut self.answers.errors);
        errors.into_iter().for_each(|(name, times)| cell.error(&name, times));
        cell.withheld += self.port.take_withheld();
    }
}
