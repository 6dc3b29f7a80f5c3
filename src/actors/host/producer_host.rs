//! The host of a producer pool: paces, stamps and sends records, and collects acknowledgements.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::horizon::{Horizon, SLEEP_MAX};
use super::sender::Sender;
use crate::actors::lease::{PoolMode, PoolShared};
use crate::actors::runtime::Context;
use crate::base::{Incarnation, PoolId, Time};
use crate::broker::ProducerPort;
use crate::broker::calls::RuledProducer;
use crate::logic::Pacer;
use crate::measure::{Measurements, PoolState};

/// Records sent before acknowledgements are read.
const BURST_MAX: usize = 256;
/// At maximum rate the clock is read once for this many records, which take less than 2 us.
const CLOCK_EVERY: usize = 8;
/// Wait when the client's queue is full, or consumers are too far behind.
pub(in crate::actors) const BLOCKED_WAIT: Duration = Duration::from_micros(500);
/// Longest wait for records in flight if the schedule was ended early.
const ENDED_EARLY: Duration = Duration::from_secs(3);
/// Wait for acknowledgements when no more records are due.
const FLUSH_WAIT: Duration = Duration::from_millis(2);

/// The machine of a pool and its client. The same in real time and in a simulation.
pub(in crate::actors) struct PoolHost<P> {
    context: Context,
    shared: Arc<PoolShared>,
    incarnation: Incarnation,
    mode: PoolMode,
    pub(super) sender: Sender<P>,
    /// Number of partitions that the schedules use.
    partitions: usize,
    /// Until this time records in flight are waited for, once no more records are due.
    flush_until: Option<Time>,
    /// Progress of the last turn. In a simulation it may be later than the turn.
    reached: Time,
}

/// How a burst ended.
enum Burst {
    /// No record is due before this time; `None` if none is left.
    Idle(Option<Time>),
    /// More records are due.
    More,
    /// No record can be sent now.
    Blocked(Blocked),
    /// The incarnation is fenced by a newer one.
    Fenced,
}

/// The reason why a pool cannot send.
#[derive(Clone, Copy)]
pub(in crate::actors) enum Blocked {
    /// The client's queue is full.
    ByClient,
    /// Consumers have too many unprocessed bytes.
    ByConsumers,
}

/// The next turn that a pool's host asks for.
pub(in crate::actors) enum PoolTurn {
    /// Another turn immediately.
    Again,
    /// Another turn at this time.
    At(Time),
    /// Another turn after [`BLOCKED_WAIT`], or earlier after an acknowledgement. The time until then counts as blocked.
    Blocked(Blocked),
    /// No more turns: all records are sent and answered, or the pool is abandoned.
    Over,
}

impl<P: ProducerPort> PoolHost<P> {
    /// Payloads are filled from a ring of `filler_bytes` random bytes. With 1 byte all fillers are the same.
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

    /// The pool that the host belongs to.
    pub(super) fn pool(&self) -> PoolId {
        self.shared.pool
    }

    /// The context of the run.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Progress of the last turn.
    pub(super) fn reached(&self) -> Time {
        self.reached
    }

    /// Sends the records that are due up to the horizon, and collects acknowledgements, without waiting.
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

    /// End of the wait for records in flight. It is earlier than the scenario says if the schedule was ended early.
    fn until(&mut self, now: Time) -> Time {
        let drain = self.context.plan.times.drain;
        let goes_on = self.mode.goes_on();
        let limit = now + if goes_on { drain } else { drain.min(ENDED_EARLY) };
        *self.flush_until.insert(self.flush_until.map_or(limit, |until| until.min(limit)))
    }

    /// End of the wait during a planned pause, unless the schedule is to end.
    fn pause(&self, now: Time) -> Option<Time> {
        let until = self.context.active_faults.paused(self.shared.pool, now)?;
        let goes_on = self.mode.goes_on();
        goes_on.then(|| until.min(now + SLEEP_MAX))
    }

    /// True if the schedule continues.
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

    /// True if every record is answered. If `overdue`, gives up those that are not.
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

    /// Spreads the next records over new partitions, once the client knows them.
    fn use_new_partitions(&mut self, partitions: usize) {
        if !self.sender.port.ensure_partitions(self.reached, partitions as u32) {
            return;
        }
        let mut pacer = self.shared.pacer.lock().unwrap_or_else(PoisonError::into_inner);
        pacer.spread_over(partitions as u32);
        self.context.measurements.pools[self.shared.pool.0 as usize].lock().grow(partitions as u32);
        self.sender.grow(partitions);
        self.partitions = partitions;
    }

    /// The horizon, or the progress of the turn. Records are sent before their turn only if no message or fault that
    /// may still come makes a difference to them.
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

    /// Sends the records that are due and enters the acknowledgements, under one lock of the schedules and the cell.
    fn send_and_enter(&mut self, horizon: Horizon) -> Burst {
        let partitions = self.context.measurements.cells.len();
        if partitions > self.partitions {
            self.use_new_partitions(partitions);
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

    /// Waits at most `wait` for acknowledgements, and enters them into the cell.
    pub(in crate::actors) fn collect(&mut self, now: Time, wait: Duration) {
        if self.sender.has_answers(now, wait) {
            let pool = self.shared.pool.0 as usize;
            self.sender.enter(&mut self.context.measurements.pools[pool].lock());
        }
    }
}

/// Tells the schedules which stages of the load have ended early.
#[inline]
pub(in crate::actors) fn follow_stages(pacer: &mut Pacer, measurements: &Measurements) {
    let ends = measurements.stages.ends_from(pacer.stages_ended());
    if !ends.is_empty() {
        pacer.end_stages(&ends);
    }
}

/// Sends the records that are due up to the horizon, each at its time, at most [`BURST_MAX`]. Sets `reached` to the
/// progress.
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
    // The record after an early one gets a turn of its own, so that messages are delivered in between.
    if is_early { Burst::Idle(pacer.next_due(*reached)) } else { Burst::More }
}
