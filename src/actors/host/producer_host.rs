//! The thread of a producer pool: paces, stamps, sends, and collects acknowledgements.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::sender::Sender;
use super::simulated::{Hosting, SimulatedPool, profile};
use crate::actors::Context;
use crate::base::{Clock, Incarnation, PoolId, Time};
use crate::broker::calls::RuledProducer;
use crate::broker::native::NativeProducer;
use crate::broker::{BrokerError, ProducerPort};
use crate::logic::{Due, Pacer};
use crate::measure::PoolState;

/// What outlives a pool's thread: its schedules.
#[derive(Debug)]
pub struct PoolShared {
    /// Which pool.
    pub pool: PoolId,
    /// Its schedules, with how far they have come.
    pub pacer: Mutex<Pacer>,
}

impl PoolShared {
    fn lock(&self) -> MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many partitions the schedules use.
    fn partitions(&self) -> usize {
        self.lock().partitions() as usize
    }

    /// When the schedules are over, see [`Pacer::over_at`].
    pub fn over_at(&self) -> Option<Time> {
        self.lock().over_at()
    }

    /// What is due and was not taken, see [`Pacer::untaken`].
    pub fn untaken(&self, from: Time, to: Time) -> Vec<Due> {
        self.lock().untaken(from, to).collect()
    }
}

/// What a pool's host tells its actor.
#[derive(Clone, Debug)]
pub(in crate::actors) enum PoolReport {
    /// Everything is sent, and its fate known.
    Finished,
    /// The client could not be made, or the thread panicked.
    Failed(BrokerError),
}

const RUN: u8 = 0;
const END: u8 = 1;
const ABANDON: u8 = 2;

/// An actor's hold on a pool's thread. Dropping it abandons the thread without waiting for it.
pub(in crate::actors) struct PoolHandle(Arc<AtomicU8>);

impl PoolHandle {
    /// Ends the schedule: nothing more is sent, what is in flight is waited for.
    pub(in crate::actors) fn end(&self) {
        let _ = self.0.compare_exchange(RUN, END, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.0.store(ABANDON, Ordering::Release);
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolHandle")
    }
}

/// Starts a pool's thread. Returns at once.
pub(in crate::actors) fn start_pool(
    context: &Context,
    shared: Arc<PoolShared>,
    incarnation: Incarnation,
    report: impl Fn(PoolReport) + Send + 'static,
) -> std::io::Result<PoolHandle> {
    let mode = Arc::new(AtomicU8::new(RUN));
    let handle = PoolHandle(mode.clone());
    let context = context.clone();
    if let Hosting::Kernel(kernel) = &context.hosting {
        let kernel = kernel.clone();
        let load = &context.plan.load;
        let port =
            NativeProducer::new(load, shared.partitions() as u32, profile(&context), context.clock);
        let host = PoolHost::new(context, shared, incarnation, mode, port);
        // Load begins when clients are there.
        let hosted = SimulatedPool::new(host, kernel.clone(), report);
        kernel.host(Box::new(hosted), Duration::ZERO);
        return Ok(handle);
    }
    std::thread::Builder::new().name(format!("pool-{}", shared.pool)).spawn(move || {
        set_timer_slack();
        let run = || match context.cluster.producer(shared.pool) {
            Ok(port) => {
                run_on_thread(PoolHost::new(context, shared, incarnation, mode, port));
                PoolReport::Finished
            }
            Err(error) => PoolReport::Failed(error),
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        report(
            outcome.unwrap_or_else(|_| PoolReport::Failed(BrokerError::fatal("panic in a pool"))),
        );
    })?;
    Ok(handle)
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

/// Turn after turn, with the waits between them spent in the client.
fn run_on_thread(mut host: PoolHost<Box<dyn ProducerPort>>) {
    loop {
        match host.turn() {
            PoolTurn::Again => {}
            PoolTurn::Wait(wait) => host.collect(wait),
            PoolTurn::Blocked(by) => {
                let since = host.context.clock.now();
                host.collect(BLOCKED_WAIT);
                host.blocked(by, since, host.context.clock.now());
            }
            PoolTurn::Over => return,
        }
    }
}

/// Linux adds up to 50 us to every sleep to save wake-ups; a pacing thread wants them exact.
fn set_timer_slack() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
}

/// Records sent in one go, before acknowledgements are read.
const BURST_MAX: usize = 256;
/// Longest sleep, so that commands and acknowledgements are seen in time.
const SLEEP_MAX: Duration = Duration::from_millis(10);
/// How long to wait when the client's queue is full or consumers are too far behind.
pub(super) const BLOCKED_WAIT: Duration = Duration::from_micros(500);
/// How long the fate of what is in flight is waited for when the schedule was ended early.
const ENDED_EARLY: Duration = Duration::from_secs(3);
/// How long to wait for answers when nothing more is due.
const FLUSH_WAIT: Duration = Duration::from_millis(2);

/// A pool's machine with its client: the same in real time and in simulation.
pub(super) struct PoolHost<P> {
    context: Context,
    shared: Arc<PoolShared>,
    incarnation: Incarnation,
    mode: Arc<AtomicU8>,
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
pub(super) enum Blocked {
    /// The client's queue is full.
    ByClient,
    /// Too much is unprocessed everywhere.
    ByConsumers,
}

/// What a pool's host wants after a turn.
pub(super) enum PoolTurn {
    /// Another turn at once.
    Again,
    /// Another turn after so long.
    Wait(Duration),
    /// Another turn after [`BLOCKED_WAIT`], which counts as blocked.
    Blocked(Blocked),
    /// Nothing more: everything is sent and its fate known, or the pool is abandoned.
    Over,
}

impl<P: ProducerPort> PoolHost<P> {
    pub(super) fn new(
        context: Context,
        shared: Arc<PoolShared>,
        incarnation: Incarnation,
        mode: Arc<AtomicU8>,
        port: P,
    ) -> PoolHost<P> {
        let port =
            RuledProducer::new(port, shared.pool, context.active_faults.clone(), context.clock);
        PoolHost {
            sender: Sender::new(&context, shared.pool, port),
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
    pub(super) fn clock(&self) -> Clock {
        self.context.clock
    }

    /// Sends what is due and collects what was answered, without waiting.
    pub(super) fn turn(&mut self) -> PoolTurn {
        if self.mode.load(Ordering::Acquire) == ABANDON {
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
                self.mode.store(ABANDON, Ordering::Release);
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
        let goes_on = self.mode.load(Ordering::Acquire) == RUN;
        let limit = now + if goes_on { drain } else { drain.min(ENDED_EARLY) };
        *self.flush_until.insert(self.flush_until.map_or(limit, |until| until.min(limit)))
    }

    /// How long to wait while a planned pause lasts, unless the schedule is to end.
    fn pause(&self) -> Option<Duration> {
        let now = self.context.clock.now();
        let until = self.context.active_faults.paused(self.shared.pool, now)?;
        let goes_on = self.mode.load(Ordering::Acquire) == RUN;
        goes_on.then(|| until.remaining(now).min(SLEEP_MAX))
    }

    /// Whether the schedule goes on, and is to be kept.
    pub(super) fn has_more(&self) -> bool {
        self.flush_until.is_none() && self.mode.load(Ordering::Relaxed) == RUN
    }

    /// Notes that the pool could not send from `from` to `to`.
    pub(super) fn blocked(&self, by: Blocked, from: Time, to: Time) {
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
        if self.mode.load(Ordering::Acquire) == END {
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
    pub(super) fn collect(&mut self, wait: Duration) {
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
