//! The runtime of threads: real time, a named operating-system thread for each host, and clients of a real cluster.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::Duration;

use super::consumer_threads::{ConsumerThreads, shares_a_thread};
use super::host::{BLOCKED_WAIT, ConsumerHost, Horizon, HostTurn, PoolHost, PoolTurn};
use super::lease::{HostReport, PoolReport, Wake};
use super::record_work::{Completion, RecordWork, panic_as_planned};
use super::runtime::{
    Answer, ConsumerStart, Context, EndOffsetAnswer, Inquiry, Missed, Patience, ProducerStart,
    Query, Repetition, Round, Runtime, TopicAnswer,
};
use crate::base::{Clock, Offset, PartitionId, Time};
use crate::broker::calls::RuledConsumer;
use crate::broker::{
    BrokerError, ClusterPort, ConsumerPort, ConsumerSpec, ProducerPort, Watermarks,
};
use crate::fault::ClusterFault;
use crate::logic::{Effort, HandlerError, RecordFault};

/// Longest wait for a record, and therefore for a command to an idle host.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Longest time a client may take to close. After it the thread ends without it.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// Longest sleep of an injected fault, so that its thread notices the end of a run.
const SLEEP_MAX: Duration = Duration::from_millis(10);
/// Time between two queries for the end offsets at the end of a run.
const ASK_PAUSE: Duration = Duration::from_millis(200);
/// Random bytes from which payload fillers are cut: enough of them that compression finds no repetition.
const FILLER_BYTES: usize = 256 * 1024;

/// Hosts on threads, and the ports to a real cluster.
#[derive(Clone)]
pub struct ThreadRuntime {
    clients: Arc<dyn ClusterPort>,
    clock: Clock,
    /// The threads that consumers share.
    shared: Arc<ConsumerThreads>,
}

impl ThreadRuntime {
    /// Hosts whose clients are made by `clients`, on the run's clock.
    pub fn new(clients: Arc<dyn ClusterPort>, clock: Clock) -> ThreadRuntime {
        ThreadRuntime { clients, clock, shared: Arc::new(ConsumerThreads::new()) }
    }
}

impl Runtime for ThreadRuntime {
    fn spawn_consumer(&self, start: ConsumerStart) -> io::Result<Wake> {
        let consumer = start.owner.as_ref().map(|(owner, _)| owner.consumer);
        if let Some(consumer) =
            consumer.filter(|consumer| shares_a_thread(&start.context, *consumer))
        {
            return self.shared.start(consumer, start, (&*self.clients, self.clock));
        }
        let (name, spec, clients) =
            (start.spec.name.clone(), start.spec.clone(), self.clients.clone());
        let channel = start.owner.as_ref().map(|(_, channel)| channel.clone());
        let host = ConsumerHost::new(start);
        let run = move || {
            // The dispatcher catches panics in the work on a record. This catches the others.
            let outcome = catch_unwind(AssertUnwindSafe(|| run_consumer(host, &spec, &*clients)));
            let Some(channel) = channel else { return };
            if outcome.is_err() {
                let error = BrokerError::fatal("panic in the client's thread");
                channel.report(HostReport::Failed(error));
            }
            channel.report(HostReport::Closed);
        };
        Builder::new().name(name).spawn(run)?;
        // A host on a thread of its own checks for commands between two polls.
        Ok(Arc::new(|| ()))
    }

    fn spawn_producer(&self, start: ProducerStart) -> io::Result<()> {
        let ProducerStart { context, shared, incarnation, mode, report } = start;
        let (clients, pool) = (self.clients.clone(), shared.pool);
        Builder::new().name(format!("pool-{pool}")).spawn(move || {
            set_timer_slack();
            let run = || match clients.producer(pool) {
                Ok(port) => {
                    let bytes = FILLER_BYTES;
                    let clock = context.clock;
                    let host = PoolHost::new(context, shared, incarnation, mode, port, bytes);
                    run_producer(host, clock);
                    PoolReport::Finished
                }
                Err(error) => PoolReport::Failed(error),
            };
            let outcome = catch_unwind(AssertUnwindSafe(run));
            let panicked = |_| PoolReport::Failed(BrokerError::fatal("panic in a pool"));
            report(outcome.unwrap_or_else(panicked));
        })?;
        Ok(())
    }

    fn work(
        &self,
        context: &Context,
        work: &RecordWork,
        handle: Option<&mut dyn FnMut() -> Result<(), HandlerError>>,
    ) -> Result<Completion, HandlerError> {
        let RecordWork { effort, begun, .. } = *work;
        if shares_a_thread(context, work.consumer) {
            return Ok(work.charged());
        }
        let slow = trigger(work, context);
        match handle {
            Some(handle) => handle()?,
            None if effort != Effort::None => perform(effort, context),
            None if slow.is_none() => return Ok(Completion::At(begun)),
            None => {}
        }
        if let Some(slow) = slow {
            perform(slow.extra_effort(effort, context), context);
        }
        Ok(Completion::At(context.clock.now()))
    }

    fn at(&self, at: Time, act: Box<dyn FnOnce() + Send>) {
        let delay = at.remaining(self.clock.now());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            act();
        });
    }

    fn repeat(
        &self,
        name: &str,
        first: Time,
        interval: Duration,
        mut round: Round,
    ) -> io::Result<Repetition> {
        let (kept, dropped) = mpsc::channel::<()>();
        let clock = self.clock;
        let rounds = move || {
            let mut next = first;
            loop {
                let left = next.remaining(clock.now());
                let is_kept = dropped.recv_timeout(left) == Err(RecvTimeoutError::Timeout);
                // The argument is the time at which the round was due, even if this thread is a little late.
                if !is_kept || round(next).is_break() {
                    return;
                }
                next = next + interval;
            }
        };
        Builder::new().name(name.to_owned()).spawn(rounds)?;
        Ok(Box::new(kept))
    }

    fn check_pause(&self, interval: Duration, _due: Duration, _longest: Duration) -> Duration {
        interval
    }

    fn end_offset_query(&self, answer: EndOffsetAnswer) -> Result<Query, BrokerError> {
        let (mut client, clock) = (self.clients.end_offsets()?, self.clock);
        query("end-offsets", move || {
            let asked = clock.now();
            answer(client.fetch().map(|ends| (asked, ends)));
        })
    }

    fn topic_query(&self, answer: TopicAnswer) -> Result<Option<Query>, BrokerError> {
        let Some(mut client) = self.clients.topic()? else { return Ok(None) };
        query("topic", move || answer(client.size())).map(Some)
    }

    fn inquire(&self, inquiry: Inquiry) {
        let Inquiry { name, mut goes_on, answer } = inquiry;
        let (clients, on_thread) = (self.clients.clone(), answer.clone());
        let mut ask = move || {
            let mut client = clients.end_offsets()?;
            loop {
                match client.watermarks() {
                    Err(error) if goes_on(&error) => {}
                    answered => return answered,
                }
            }
        };
        if let Err(error) = Builder::new().name(name).spawn(move || on_thread(ask())) {
            answer(Err(BrokerError::fatal(format!("no thread to ask: {error}"))));
        }
    }

    fn end_offsets(
        &self,
        partitions: &[PartitionId],
        patience: Patience,
    ) -> Answer<BTreeMap<PartitionId, Offset>> {
        let (clients, clock) = (self.clients.clone(), self.clock);
        let (partitions, deadline) = (partitions.to_vec(), clock.now() + patience.limit);
        beside(move || {
            let mut client = clients.end_offsets().map_err(|error| error.to_string())?;
            let mut ends = BTreeMap::new();
            loop {
                let error = client.fetch().map(|found| ends.extend(found)).err();
                if partitions.iter().all(|partition| ends.contains_key(partition)) {
                    return Ok(ends);
                }
                if clock.now() > deadline {
                    return match error.filter(|_| ends.is_empty()) {
                        Some(error) => Err(error.to_string()),
                        None => Ok(ends),
                    };
                }
                std::thread::sleep(ASK_PAUSE);
            }
        })
    }

    fn watermarks(&self, _patience: Patience) -> Answer<Watermarks> {
        let clients = self.clients.clone();
        beside(move || {
            let mut client = clients.end_offsets().map_err(|error| error.to_string())?;
            client.watermarks().map_err(|error| error.to_string())
        })
    }

    fn logs_have_gaps(&self) -> bool {
        true
    }

    fn grown(&self, partitions: u32) {
        self.clients.grown(partitions);
    }

    fn inject(&self, fault: usize, cluster_fault: ClusterFault, missed: Missed) {
        let (clients, on_thread) = (self.clients.clone(), missed.clone());
        // A request to a cluster may take long, so a thread makes it.
        let act = move || {
            if let Err(error) = clients.inject(&cluster_fault) {
                on_thread(error.to_string());
            }
        };
        if let Err(error) = Builder::new().name(format!("fault-{fault}")).spawn(act) {
            missed(format!("no thread: {error}"));
        }
    }

    fn measures_the_host(&self) -> bool {
        true
    }

    fn is_reproducible(&self) -> bool {
        false
    }
}

/// Runs the turns of a consumer's host, from the creation of its client to its close.
fn run_consumer(mut host: ConsumerHost, spec: &ConsumerSpec, clients: &dyn ClusterPort) {
    let context = host.context().clone();
    let mut port = match clients.consumer(spec) {
        Ok(port) => {
            let member = spec.group.as_ref().map(|group| group.consumer);
            let active_faults = context.active_faults.clone();
            RuledConsumer::new(port, member, active_faults)
        }
        Err(error) => return host.refuse(&error),
    };
    loop {
        hang(&host, &context);
        let now = context.clock.now();
        if host.turn(now, now, &mut port, IDLE_WAIT) == HostTurn::Over {
            break;
        }
    }
    host.close_dispatcher();
    let closing_since = context.clock.now();
    if let Some(span) = host.closes_late() {
        block(&context, closing_since + span);
    }
    Box::new(port).close(CLOSE_LIMIT);
    let now = context.clock.now();
    host.closed(now, now.since_ns(closing_since));
}

/// Runs the turns of a pool's host. It waits between them in the client.
fn run_producer(mut host: PoolHost<Box<dyn ProducerPort>>, clock: Clock) {
    loop {
        match host.turn(clock.now(), Horizon::Present(clock)) {
            PoolTurn::Again => {}
            PoolTurn::At(next) => {
                let now = clock.now();
                host.collect(now, next.remaining(now));
            }
            PoolTurn::Blocked(by) => {
                let since = clock.now();
                host.collect(since, BLOCKED_WAIT);
                host.blocked(by, since, clock.now());
            }
            PoolTurn::Over => return,
        }
    }
}

/// Linux by default delays the end of a sleep by up to 50 us to save wake-ups, which is too much for pacing.
fn set_timer_slack() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
}

/// Starts a thread that answers one question at a time; returns how to ask.
fn query(name: &str, mut answer: impl FnMut() + Send + 'static) -> Result<Query, BrokerError> {
    let (ask, questions) = mpsc::channel();
    // Ends when the sender is dropped.
    let answering = move || {
        while questions.recv().is_ok() {
            answer();
        }
    };
    let spawned = Builder::new().name(name.to_owned()).spawn(answering);
    spawned.map_err(|error| BrokerError::fatal(error.to_string()))?;
    Ok(Box::new(move || ask.send(()).is_ok()))
}

/// Asks on a thread that may block.
fn beside<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Answer<T> {
    let asking = tokio::task::spawn_blocking(ask);
    Box::pin(async { asking.await.map_err(|error| error.to_string())? })
}

/// Blocks the thread while a consumer of its host hangs. The host takes no commands meanwhile.
fn hang(host: &ConsumerHost, context: &Context) {
    while let Some((consumer, until)) = host.hangs_until() {
        block(context, until);
        // A later failure has another cause.
        context.active_faults.take_cause(consumer);
    }
}

/// Blocks until `until`, or until the end of the run.
fn block(context: &Context, until: Time) {
    loop {
        let left = until.remaining(context.clock.now());
        if left.is_zero() || context.active_faults.is_over() {
            return;
        }
        std::thread::sleep(left.min(SLEEP_MAX));
    }
}

/// Triggers the fault of a record before the work on it. Returns how much the work is slowed down.
///
/// # Panics
/// If the fault is a panic. It prints no message, because it is planned.
fn trigger(work: &RecordWork, context: &Context) -> Option<SlowHandler> {
    let began = || context.clock.now();
    match work.fault? {
        RecordFault::Panic => panic_as_planned(),
        RecordFault::Stall(until) => {
            block(context, until);
            // The stall has ended: a later failure has another cause.
            context.active_faults.take_cause(work.consumer);
            Some(SlowHandler { factor: 1.0, add: Duration::ZERO, began: began() })
        }
        RecordFault::Slow { factor, add } => Some(SlowHandler { factor, add, began: began() }),
    }
}

/// The slowdown of the work on a record.
struct SlowHandler {
    factor: f64,
    add: Duration,
    began: Time,
}

impl SlowHandler {
    /// The effort to be added to the work, so that it takes `factor` times as long, and `add` longer. To be called when
    /// the work is done.
    fn extra_effort(&self, effort: Effort, context: &Context) -> Effort {
        let more = |span: Duration| span.mul_f64(self.factor - 1.0) + self.add;
        match effort {
            Effort::Cpu(span) => Effort::Cpu(more(span)),
            Effort::Wait(span) => Effort::Wait(more(span)),
            // With the user's own handler, the cost is the time that the handler took.
            Effort::None => {
                let took = context.clock.now().remaining(self.began);
                Effort::Wait(more(if self.factor > 1.0 { took } else { Duration::ZERO }))
            }
        }
    }
}

/// Makes an effort: computes or waits.
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
