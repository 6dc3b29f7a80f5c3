//! The run's account: what was known when the load began, put together with what was measured since, and what a reader
//! of the result should know, each with what to do about it.
//!
//! The collector's rounds: once a second it takes the shards out and tells the observer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::environment::{RunEnvironment, wall_clock};
use crate::actors::{Context, Repetition, Status};
use crate::base::{PartitionId, PoolId, ProducerId, Time};
use crate::error::Error;
use crate::logic::Pacer;
use crate::measure::{
    Collector, Ended, Event, Facts, Interval, Latencies, Live, Measurements, assemble,
};
use crate::plan::Pace;
use crate::summary::Summary;

/// Makes the run's summary: once a second while it goes on, and at its end.
#[derive(Clone)]
pub(super) struct Account {
    context: Context,
    status: watch::Receiver<Status>,
    /// What does not change any more.
    begun: Facts,
}

impl Account {
    /// The account of a load that begins at `start`, after the consumers needed `startup` to be ready.
    pub(super) fn new(
        context: &Context,
        environment: &RunEnvironment,
        status: watch::Receiver<Status>,
        start: Time,
        startup: Duration,
    ) -> Account {
        let times = context.plan.times;
        let begun = Facts {
            run: Some(context.run),
            topic: environment.topic.clone(),
            resumed: environment.from.resumed.clone(),
            broker_version: environment.broker_version.clone(),
            client: environment.client.clone(),
            client_config: environment.client_config.clone(),
            host: environment.host.clone(),
            start,
            measured: (start + times.warmup, start + times.load_end()),
            load_started_at: wall_clock(&context.clock, start),
            handler: context.handlers.as_ref().map(|handlers| handlers.name().to_owned()),
            startup_ms: Some(startup.as_secs_f64() * 1e3),
            ..Facts::default()
        };
        Account { context: context.clone(), status, begun }
    }

    /// The summary of a run whose load ended at `until`, or that goes on and has come to `until`.
    pub(super) fn summary(
        &self,
        collector: &Collector,
        ended: Ended,
        until: Time,
        mut warnings: Vec<String>,
    ) -> Summary {
        let status = self.status.borrow().clone();
        warnings.extend(all_warnings(&self.context, &status));
        let (from, to) = self.begun.measured;
        let measured = (from, to.min(until).max(from));
        let unprocessed = match ended {
            Ended::NotYet => None,
            Ended::InOrder | Ended::Interrupted => {
                let now = self.context.clock.now();
                ages_of_unprocessed(&self.context, self.begun.start, measured, now)
            }
        };
        let facts = Facts {
            until,
            measured,
            unprocessed,
            consumers_started: status.consumers_started as u32,
            restarts: status.restarts,
            given_up: status.given_up,
            abandoned: status.abandoned,
            simulation: self.context.runtime.simulation(),
            ended,
            warnings,
            ..self.begun.clone()
        };
        assemble(&self.context.plan, &facts, &self.context.measurements, collector)
    }
}

/// The ages at `now` of the records due in `measured` that were not processed. The schedules are drawn again from the
/// run's seed: when record k of a producer was due follows from it. `None` where that is not so: at maximum rate, and
/// when the topic has grown; and when every record was processed.
fn ages_of_unprocessed(
    context: &Context,
    start: Time,
    measured: (Time, Time),
    now: Time,
) -> Option<Latencies> {
    let (plan, measurements) = (&context.plan, &context.measurements);
    if plan.load.pace == Pace::Max || !measurements.growth().is_empty() || is_complete(measurements)
    {
        return None;
    }
    let mut ages = Latencies::default();
    for pool in 0..plan.load.pools {
        let pacer = Pacer::of_plan(plan, PoolId(pool), start);
        let mut sequences: BTreeMap<(ProducerId, PartitionId), u64> = BTreeMap::new();
        for due in pacer.untaken(start, measured.1) {
            let next = sequences.entry((due.producer, due.partition)).or_default();
            let sequence = *next;
            *next += 1;
            if due.intended < measured.0 {
                continue;
            }
            let cell = measurements.cell(due.partition).lock();
            if !cell.lane(due.producer).is_some_and(|lane| lane.has(sequence)) {
                ages.between(due.intended, now);
            }
        }
    }
    (ages.count() > 0).then_some(ages)
}

/// Whether every record that was sent was processed, and every one that was due was sent.
fn is_complete(measurements: &Measurements) -> bool {
    let (mut sent, mut unsent) = (0, 0);
    for pool in &measurements.pools {
        let pool = pool.lock();
        sent += pool.sent;
        unsent += pool.sides().iter().map(|side| side.unsent_in_window).sum::<u64>();
    }
    let delivered: u64 = measurements.cells.iter().map(|cell| cell.lock().delivered()).sum();
    unsent == 0 && sent == delivered
}

/// All warnings of a run, from its measurements and from the supervision.
fn all_warnings(context: &Context, status: &Status) -> Vec<String> {
    let mut warnings = assumptions(context);
    warnings.extend(supervision(context, status));
    for pool in &context.measurements.pools {
        let pool = pool.lock();
        for (error, times) in &pool.errors {
            warnings.push(format!("producer pool {}: {error} ({times} x)", pool.pool()));
        }
    }
    for (error, times) in context.measurements.client_errors() {
        warnings.push(format!("consumers: {error} ({times} x)"));
    }
    warnings.extend(of_records(context));
    if context.plan.load.pace == Pace::Max && context.plan.load.messages.is_none() {
        warnings.push(
            "at maximum rate latency says how long the queue was, not how fast the path is"
                .to_owned(),
        );
    }
    let dropped = context.measurements.journal.dropped();
    if dropped > 0 {
        warnings.push(format!("{dropped} events found no room in the journal"));
    }
    warnings
}

/// What the figures depend on.
fn assumptions(context: &Context) -> Vec<String> {
    let mut warnings = Vec::new();
    if !context.plan.broker.kind().capability().timing_is_real {
        warnings.push(
            "latency, recovery and rebalance times are those of the embedded mock cluster; measure with \
             `--broker kafka --bootstrap HOST:PORT`"
                .to_owned(),
        );
    }
    if let Some(handlers) = &context.handlers
        && context.plan.consumers.work.is_some()
    {
        warnings.push(format!(
            "`consumers.work` was not done: records went to the handler `{}`; leave it out",
            handlers.name()
        ));
    }
    if context.clock.is_simulated() {
        warnings.push(
            "simulated: times follow from `[sim]`'s settings, which are not fitted to a cluster (uncalibrated)"
                .to_owned(),
        );
    }
    warnings
}

/// Who was given up, what was abandoned, and what was skipped.
fn supervision(context: &Context, status: &Status) -> Vec<String> {
    let mut warnings = Vec::new();
    for (consumer, reason) in &status.given_up {
        warnings.push(format!("consumer {consumer} was given up: {reason}"));
    }
    if status.abandoned > 0 {
        warnings.push(format!(
            "{} threads of consumers that were given up have not ended; each keeps its client's memory and \
             connections (at most `watchdog.abandoned` = {} may)",
            status.abandoned, context.plan.watch.abandoned_max
        ));
    }
    for (pool, reason) in &status.pools_given_up {
        warnings.push(format!(
            "producer pool {pool} was given up: {reason}; its schedule was not kept"
        ));
    }
    for (_, event) in context.measurements.journal.since(0) {
        if let Event::RecordSkipped { .. } = event {
            warnings.push(format!("{event}: it could not be processed; mend it, or its handler"));
        }
    }
    warnings
}

/// What was found in the log that is not this run's.
fn of_records(context: &Context) -> Vec<String> {
    let mut warnings = Vec::new();
    let (mut gaps, mut other_producers, mut earlier) = (0, 0, 0);
    for cell in context.measurements.cells.iter() {
        let cell = cell.lock();
        gaps += cell.offset_gaps;
        other_producers += cell.counts().other_producers;
        earlier += cell.counts().earlier;
    }
    if earlier > 0 {
        warnings.push(format!(
            "{earlier} records of earlier runs were processed: this run's own waited behind them, and their latency says \
             so; for latency without a backlog remove the checkpoint file"
        ));
    }
    if gaps > 0 {
        warnings
            .push(format!("{gaps} offsets held no record (compaction, transactions, or a loss)"));
    }
    if other_producers > 0 {
        warnings.push(format!(
            "{other_producers} records were not sent by this run: another producer writes to the topic; use one of the run's \
             own (leave `topic.name` out)"
        ));
    }
    warnings
}

/// Follows a run while it goes on. Called from the collector's thread, about once a second.
pub trait Observer: Send {
    /// The run has entered a new part.
    fn phase(&mut self, _name: &str) {}
    /// The load begins at `start`, which is `_unix_ns` nanoseconds after 1970 on the wall clock (0 in a simulation):
    /// all other times count from here.
    fn begin(&mut self, _start: Time, _unix_ns: i64) {}
    /// The last second of one partition or pool.
    fn interval(&mut self, _interval: &Interval<'_>) {}
    /// All partitions' last second; `elapsed` counts from the start of the load.
    fn second(&mut self, _live: &Live<'_>, _elapsed: Duration) {}
    /// What happened in the control plane since the last call.
    fn events(&mut self, _events: &[(Time, Event)]) {}
    /// The run's summary as it would be if it were cut off now.
    fn so_far(&mut self, _summary: &Summary) {}
    /// Why nothing more can be kept, if that is so: a simulation ends with that.
    fn is_full(&self) -> Option<String> {
        None
    }
}

/// Looks at nothing.
impl Observer for () {}

/// A running collector.
pub(super) struct Collecting {
    round: Arc<Mutex<Option<Round>>>,
    /// Ends the rounds when it is dropped.
    _rounds: Repetition,
}

const INTERVAL: Duration = Duration::from_secs(1);
/// Intervals a run that can be made again has at most: what happened within one is found out so, and the work of
/// ending one is more than that of simulating a second.
const REPRODUCIBLE_INTERVALS_MAX: u32 = 60;

impl Collecting {
    /// Starts collecting, in intervals counted from `start`. The error is of a system that gives no thread.
    pub(super) fn start(
        account: Account,
        context: &Context,
        collector: Collector,
        observer: Box<dyn Observer>,
        start: Time,
    ) -> std::io::Result<Collecting> {
        let (context, runtime) = (context.clone(), context.runtime.clone());
        let interval = match runtime.is_reproducible() {
            true => reproducible_interval(context.plan.times.load_end()),
            false => INTERVAL,
        };
        // What the run costs the host is measured from the start on, which takes a round of its own.
        let first = if runtime.measures_the_host() { start } else { start + interval };
        let round = Round { account, context, collector, observer, start, seen: 0 };
        let round = Arc::new(Mutex::new(Some(round)));
        let running = round.clone();
        let rounds = move |due| match &mut *lock(&running) {
            Some(round) => round.due(due),
            None => ControlFlow::Break(()),
        };
        let rounds = runtime.repeat("collector", first, interval, Box::new(rounds))?;
        Ok(Collecting { round, _rounds: rounds })
    }

    /// Takes the last shards and ends the rounds. The error is of a round that panicked: its figures are not whole.
    pub(super) fn stop(self) -> Result<Collector, Error> {
        let taken = lock(&self.round).take();
        let Some(mut round) = taken.filter(|_| !self.round.is_poisoned()) else {
            return Err(Error::Bug("the collector panicked".to_owned()));
        };
        let now = round.context.clock.now();
        round.end(now, true);
        Ok(round.collector)
    }
}

/// A second, or of a long run a share of it, in whole seconds.
fn reproducible_interval(load_end: Duration) -> Duration {
    let seconds = (load_end / REPRODUCIBLE_INTERVALS_MAX).as_secs_f64().ceil();
    INTERVAL.max(Duration::from_secs_f64(seconds))
}

fn lock(round: &Mutex<Option<Round>>) -> MutexGuard<'_, Option<Round>> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The collector, its observer, and the time of its last sample.
struct Round {
    account: Account,
    context: Context,
    collector: Collector,
    observer: Box<dyn Observer>,
    start: Time,
    seen: usize,
}

impl Round {
    /// Ends the interval that is due to end at `to`; one that would end at the start is the beginning of the first.
    fn due(&mut self, to: Time) -> ControlFlow<()> {
        if to == self.start {
            self.collector.cost.start();
            return ControlFlow::Continue(());
        }
        self.end(to, false);
        if let Some(why) = self.observer.is_full() {
            self.context.runtime.end_early(why);
        }
        ControlFlow::Continue(())
    }

    /// Ends the interval at `to`.
    fn end(&mut self, to: Time, stopping: bool) {
        let Round { collector, observer, context, .. } = self;
        let live =
            collector.tick(&context.measurements, to, |interval| observer.interval(interval));
        let events = context.measurements.journal.since(self.seen);
        self.seen += events.len();
        observer.events(&events);
        observer.second(&live, to.remaining(self.start));
        if !context.runtime.is_reproducible() && !stopping {
            observer.so_far(&self.account.summary(collector, Ended::NotYet, to, Vec::new()));
        }
        if stopping {
            collector.cost.look();
        }
    }
}
