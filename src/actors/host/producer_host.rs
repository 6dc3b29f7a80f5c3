//! The host of a producer pool: paces, stamps, sends, and collects acknowledgements.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use crate::actors::lease::{PoolMode, PoolShared};
use crate::actors::runtime::Context;
use crate::base::{
    Clock, Incarnation, Offset, PartitionId, PoolId, RunId, Stamp, Time, write_payload,
};
use crate::broker::calls::RuledProducer;
use crate::broker::native::NativeProducer;
use crate::broker::{Answers, ProducerPort, SendError, SendRecord};
use crate::logic::{Due, Pacer};
use crate::measure::{Ack, Measurements, Outcome, PoolState};
use crate::plan::Pace;

/// Records sent in one go, before acknowledgements are read.
const BURST_MAX: usize = 256;
/// Longest sleep, so that commands and acknowledgements are seen in time.
const SLEEP_MAX: Duration = Duration::from_millis(10);
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
    /// Another turn after this time.
    Wait(Duration),
    /// Another turn after [`BLOCKED_WAIT`], which counts as blocked.
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
        let port =
            RuledProducer::new(port, shared.pool, context.active_faults.clone(), context.clock);
        PoolHost {
            sender: Sender::new(&context, shared.pool, port, filler_bytes),
            partitions: shared.partitions(),
            flush_until: None,
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

    /// The run's time.
    pub(in crate::actors) fn clock(&self) -> Clock {
        self.context.clock
    }

    /// Sends what is due and collects what was answered, without waiting.
    pub(in crate::actors) fn turn(&mut self) -> PoolTurn {
        if self.mode.is_abandoned() {
            self.sender.port.give_up(Duration::from_secs(1));
            self.collect(Duration::ZERO);
            return PoolTurn::Over;
        }
        if let Some(wait) = self.pause() {
            self.collect(Duration::ZERO);
            return PoolTurn::Wait(wait);
        }
        let burst = self.send_and_enter();
        let now = self.context.clock.now();
        let held_for = self.sender.port.next_due().remaining(now);
        match burst {
            Burst::More => PoolTurn::Again,
            Burst::Fenced => {
                self.mode.abandon();
                PoolTurn::Again
            }
            Burst::Blocked(by) => PoolTurn::Blocked(by),
            Burst::Idle(next) => match next {
                Some(due) => PoolTurn::Wait(due.remaining(now).min(SLEEP_MAX).min(held_for)),
                None => {
                    let until = self.until(now);
                    if self.is_flushed(now >= until) {
                        return PoolTurn::Over;
                    }
                    PoolTurn::Wait(FLUSH_WAIT.min(held_for))
                }
            },
        }
    }

    /// Until when to wait for the fate of what is in flight. A schedule that is ended early does not wait for as long
    /// as the scenario says.
    fn until(&mut self, now: Time) -> Time {
        let drain = self.context.plan.times.drain;
        let goes_on = self.mode.goes_on();
        let limit = now + if goes_on { drain } else { drain.min(ENDED_EARLY) };
        *self.flush_until.insert(self.flush_until.map_or(limit, |until| until.min(limit)))
    }

    /// How long to wait while a planned pause lasts, unless the schedule is to end.
    fn pause(&self) -> Option<Duration> {
        let now = self.context.clock.now();
        let until = self.context.active_faults.paused(self.shared.pool, now)?;
        let goes_on = self.mode.goes_on();
        goes_on.then(|| until.remaining(now).min(SLEEP_MAX))
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
    fn is_flushed(&mut self, overdue: bool) -> bool {
        if self.cell().in_flight() > 0 && overdue {
            self.sender.port.give_up(Duration::from_secs(5));
            self.collect(Duration::ZERO);
        }
        overdue || self.cell().in_flight() == 0
    }

    fn cell(&self) -> MutexGuard<'_, PoolState> {
        self.context.measurements.pools[self.shared.pool.0 as usize].lock()
    }

    /// Spreads what comes next over new partitions, once the client knows them.
    fn follow(&mut self, partitions: usize) {
        if !self.sender.port.follow(partitions as u32) {
            return;
        }
        let mut pacer = self.shared.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        pacer.spread_over(partitions as u32);
        self.context.measurements.pools[self.shared.pool.0 as usize].lock().grow(partitions as u32);
        self.sender.grow(partitions);
        self.partitions = partitions;
    }

    /// Sends what is due and enters what was answered, under one lock of the schedules and the cell.
    fn send_and_enter(&mut self) -> Burst {
        let partitions = self.context.measurements.cells.len();
        if partitions > self.partitions {
            self.follow(partitions);
        }
        let PoolHost { context, shared, sender, .. } = self;
        let mut pacer = shared.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cell = context.measurements.pools[shared.pool.0 as usize].lock();
        if self.mode.is_ending() {
            pacer.end();
        }
        let burst = match cell.is_fenced(self.incarnation) {
            true => Burst::Fenced,
            false => burst(context, sender, &mut pacer, &mut cell),
        };
        sender.enter_answers(&mut cell);
        burst
    }

    /// Lets `wait` pass, or less, and enters the acknowledgements that came into the cell.
    pub(in crate::actors) fn collect(&mut self, wait: Duration) {
        if self.sender.has_answers(wait) {
            let pool = self.shared.pool.0 as usize;
            self.sender.enter(&mut self.context.measurements.pools[pool].lock());
        }
    }
}

/// Sends what is due, up to [`BURST_MAX`] records.
fn burst<P: ProducerPort>(
    context: &Context,
    sender: &mut Sender<P>,
    pacer: &mut Pacer,
    cell: &mut PoolState,
) -> Burst {
    let mut skipped = 0;
    for _ in 0..BURST_MAX {
        let now = context.clock.now();
        let Some(due) = pacer.peek(now) else {
            return Burst::Idle(pacer.next_due(now));
        };
        if sender.is_behind(context, due.partition) {
            pacer.skip_for_now();
            skipped += 1;
            if skipped > 2 * sender.sent.len() {
                return Burst::Blocked(Blocked::ByConsumers);
            }
            continue;
        }
        match sender.send(cell, due, now) {
            Ok(()) => pacer.taken(),
            Err(()) => return Burst::Blocked(Blocked::ByClient),
        }
    }
    Burst::More
}

impl PoolHost<NativeProducer> {
    /// Sends records that are due from `next` to before `until`, each at its time and as it would be sent then; notes
    /// these times and returns when the next turn is wanted. Nothing interferes before `until`.
    pub(super) fn run_until(&mut self, mut next: Time, until: Time, turns: &mut Vec<Time>) -> Time {
        let goes_on = self.has_more();
        let PoolHost { context, shared, sender, .. } = self;
        let is_free = goes_on
            && next < until
            && sender.is_independent()
            && sender.port.is_idle()
            && !context.active_faults.is_armed()
            && context.active_faults.paused(shared.pool, next).is_none()
            && context.measurements.cells.len() == self.partitions;
        if !is_free {
            return next;
        }
        let mut pacer = shared.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cell = context.measurements.pools[shared.pool.0 as usize].lock();
        if cell.is_fenced(self.incarnation) {
            return next;
        }
        sender.enter_answers(&mut cell);
        while turns.len() < BURST_MAX
            && next < until
            && sender.port.as_inner().sends_immediately_at(next)
            && let Some(due) = pacer.take_alone(next)
        {
            let wanted = sender.send_early(&mut cell, due, next);
            turns.push(next);
            let due = pacer.next_due(next).unwrap_or(next);
            next = due.min(next + SLEEP_MAX).min(wanted);
        }
        next
    }
}

/// A pool's client, and what is sent through it.
pub(super) struct Sender<P> {
    pub(super) port: RuledProducer<P>,
    measurements: Arc<Measurements>,
    run: RunId,
    payload: Vec<u8>,
    filler: Vec<u8>,
    filler_at: usize,
    /// Where the next filler begins is counted up to this.
    fillers_end: usize,
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
        let mut filler = vec![0; filler_bytes + size];
        context.seed.child("filler", u64::from(pool.0)).random().fill(&mut filler);
        let per_pool = |bytes: u64| bytes / u64::from(load.payload_bytes) / u64::from(load.pools);
        Sender {
            port,
            measurements: context.measurements.clone(),
            run: context.run,
            payload: filler[..size].to_vec(),
            filler,
            filler_at: 0,
            fillers_end: filler_bytes,
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

    /// Stamps and hands over one record. `Err` when the client's queue is full.
    fn send(&mut self, cell: &mut PoolState, due: Due, now: Time) -> Result<(), ()> {
        let Due { producer, partition, .. } = due;
        let sequence = cell.next_sequence(producer, partition);
        self.stamp(due, sequence, now);
        let record = SendRecord { producer, partition, sequence, payload: &self.payload };
        match self.port.send(&record) {
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

    /// When a record that is sent now was to be sent.
    #[inline]
    fn intended(&self, due: Due, now: Time) -> Time {
        if self.at_max_rate { now } else { due.intended }
    }

    /// Writes a record's payload.
    #[inline]
    fn stamp(&mut self, due: Due, sequence: u64, now: Time) {
        let stamp = Stamp {
            run: self.run,
            producer: due.producer,
            partition: due.partition,
            sequence,
            intended: self.intended(due, now),
            sent: now,
        };
        self.fill();
        write_payload(&stamp, &mut self.payload);
    }

    /// Puts the next filler into the payload, unless there is only one, which stays there.
    fn fill(&mut self) {
        if self.fillers_end > 1 {
            let size = self.payload.len();
            self.payload.copy_from_slice(&self.filler[self.filler_at..self.filler_at + size]);
            self.filler_at = (self.filler_at + size) % self.fillers_end;
        }
    }

    /// Enters a record the client takes; returns its sequence.
    fn note_sent(&mut self, cell: &mut PoolState, due: Due, now: Time) -> u64 {
        self.sent[due.partition.0 as usize] += 1;
        cell.sent(due.producer, due.partition, self.intended(due, now), now)
    }

    /// Lets `wait` pass, or less; whether the client has answered something that is to be entered.
    fn has_answers(&mut self, wait: Duration) -> bool {
        self.port.answers(wait, &mut self.answers);
        !self.answers.is_empty()
    }

    /// Enters what was answered until now.
    fn enter_answers(&mut self, cell: &mut PoolState) {
        if self.has_answers(Duration::ZERO) {
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

impl Sender<NativeProducer> {
    /// Sends a record at `at`, for which the client [has room](NativeProducer::sends_immediately_at) then. Returns when the
    /// client wants its next tick.
    #[inline]
    fn send_early(&mut self, cell: &mut PoolState, due: Due, at: Time) -> Time {
        let Due { producer, partition, .. } = due;
        let sequence = self.note_sent(cell, due, at);
        self.stamp(due, sequence, at);
        let record = SendRecord { producer, partition, sequence, payload: &self.payload };
        self.port.inner().send_early(&record, at)
    }
}
