//! The summary of a run: facts from before the load, measurements, and warnings with remedies.
//!
//! Also the collector's rounds: once a second it takes the shards out of the cells and informs the observer.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::environment::RunEnvironment;
use super::shares::SharedRun;
use crate::actors::{Context, Repetition, Status};
use crate::base::Time;
use crate::error::Error;
use crate::logic::unprocessed_ages;
use crate::measure::{
    Collector, Ended, Event, Interval, IntervalTotals, Measurements, RunFacts, SharePart, assemble,
    without_accounts,
};
use crate::plan::Pace;
use crate::summary::Summary;

/// Makes the run's summary: once a second during the run, and at its end.
#[derive(Clone)]
pub(super) struct Account {
    context: Context,
    status: watch::Receiver<Status>,
    /// The facts that do not change any more.
    begun: RunFacts,
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
        let begun = RunFacts {
            run: Some(context.run),
            topic: environment.topic.clone(),
            resumed: environment.from.resumed.clone(),
            broker_version: environment.broker_version.clone(),
            client: environment.client.clone(),
            client_config: environment.client_config.clone(),
            sending: Some(environment.sending.clone()),
            host: environment.host.clone(),
            start,
            measured: (start + times.warmup, start + times.load_end()),
            clock: Some(context.clock),
            handler: context.handlers.as_ref().map(|handlers| handlers.name().to_owned()),
            startup_ms: Some(startup.as_secs_f64() * 1e3),
            requests: environment.requests.clone(),
            ..RunFacts::default()
        };
        if let Some(requests) = &begun.requests {
            requests.measure(begun.measured.0, begun.measured.1);
        }
        Account { context: context.clone(), status, begun }
    }

    /// The measurements of the run.
    pub(super) fn measurements(&self) -> &Measurements {
        &self.context.measurements
    }

    /// The summary of a run whose load ended at `until`, or which continues and has progressed to `until`.
    pub(super) fn summary(
        &self,
        collector: &Collector,
        ended: Ended,
        until: Time,
        warnings: Vec<String>,
    ) -> Summary {
        let facts = self.facts(ended, until, warnings);
        assemble(&self.context.plan, &facts, &self.context.measurements, collector)
    }

    /// The part of one of several processes, whose load ended at `until`.
    pub(super) fn part(
        &self,
        collector: &Collector,
        ended: Ended,
        until: Time,
        warnings: Vec<String>,
        shared: &SharedRun,
    ) -> SharePart {
        let facts = self.facts(ended, until, warnings);
        let measurements = &self.context.measurements;
        let alone = assemble(&self.context.plan, &facts, measurements, collector);
        let mut part = shared.empty_part(without_accounts(alone));
        (part.run_id, part.ended) = (self.context.run.to_string(), ended);
        (part.start, part.until, part.measured) = (facts.start, facts.until, facts.measured);
        (part.over, part.warnings) = (self.context.clock.now(), facts.warnings);
        measurements.into_part(&mut part, collector);
        part
    }

    fn facts(&self, ended: Ended, until: Time, mut warnings: Vec<String>) -> RunFacts {
        let status = self.status.borrow().clone();
        self.context.runtime.note_leaders(&self.context.measurements);
        warnings.extend(all_warnings(&self.context, &status));
        let (from, to) = self.begun.measured;
        let measured = (from, to.min(until).max(from));
        let unprocessed = match ended {
            Ended::NotYet => None,
            Ended::InOrder | Ended::Interrupted => {
                let now = self.context.clock.now();
                let (plan, measurements) = (&self.context.plan, &self.context.measurements);
                unprocessed_ages(plan, measurements, self.begun.start, measured, now)
            }
        };
        RunFacts {
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
        }
    }
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

/// Warnings about assumptions that the figures depend on.
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
            "simulated: latencies come from the `[sim]` model, not from a cluster (uncalibrated)"
                .to_owned(),
        );
    }
    warnings
}

/// Warnings about consumers that were given up, abandoned threads, and skipped records.
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

/// Warnings about records in the log that are not of this run.
fn of_records(context: &Context) -> Vec<String> {
    let sends = context.plan.load.sends();
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
    if other_producers > 0 && sends {
        warnings.push(format!(
            "{other_producers} records were not sent by this run: another producer writes to the topic; use one of the run's \
             own (leave `topic.name` out)"
        ));
    }
    warnings
}

/// Follows a run. Called from the collector's thread, about once a second.
pub trait Observer: Send {
    /// A phase of the run begins.
    fn phase(&mut self, _name: &str) {}
    /// The load begins at `start`, which is `_unix_ns` nanoseconds after 1970 on the wall clock (0 in a simulation):
    /// all other times count from here.
    fn begin(&mut self, _start: Time, _unix_ns: i64) {}
    /// The last second of one partition or pool.
    fn interval(&mut self, _interval: &Interval<'_>) {}
    /// The last second of all partitions; `elapsed` counts from the start of the load.
    fn second(&mut self, _live: &IntervalTotals<'_>, _elapsed: Duration) {}
    /// The events of the control plane since the last call.
    fn events(&mut self, _events: &[(Time, Event)]) {}
    /// The summary that the run would have if it were cut off now.
    fn so_far(&mut self, _summary: &Summary) {}
    /// The reason why nothing more can be kept, if so. A simulation ends with it.
    fn is_full(&self) -> Option<String> {
        None
    }
}

/// An observer that ignores everything.
impl Observer for () {}

/// A running collector.
pub(super) struct Collecting {
    round: Arc<Mutex<Option<Round>>>,
    /// Ends the rounds when it is dropped.
    _rounds: Repetition,
}

const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two calls of the observer in real time, so that faults are shown when they happen.
const LOOK: Duration = Duration::from_millis(250);
/// Largest number of intervals of a run that can be repeated. A replay shows what happens within an interval, and
/// ending one costs more than simulating a second.
const REPRODUCIBLE_INTERVALS_MAX: u32 = 60;

impl Collecting {
    /// Starts collecting, in intervals that count from `start`. Fails if the operating system gives no thread.
    pub(super) fn start(
        account: Account,
        context: &Context,
        collector: Collector,
        observer: Box<dyn Observer>,
        start: Time,
    ) -> std::io::Result<Collecting> {
        let (context, runtime) = (context.clone(), context.runtime.clone());
        let (interval, look) = match runtime.is_reproducible() {
            true => {
                let interval = reproducible_interval(context.plan.times.load_end());
                (interval, interval)
            }
            false => (INTERVAL, LOOK),
        };
        // The cost of the run on this machine is measured from the start on, which takes a round of its own.
        let first = if runtime.measures_the_host() { start } else { start + interval };
        let round = Round { account, context, collector, observer, start, interval, seen: 0 };
        let round = Arc::new(Mutex::new(Some(round)));
        let running = round.clone();
        let rounds = move |due| match &mut *lock(&running) {
            Some(round) => round.due(due),
            None => ControlFlow::Break(()),
        };
        let rounds = runtime.repeat("collector", first, look, Box::new(rounds))?;
        Ok(Collecting { round, _rounds: rounds })
    }

    /// Takes the last shards and ends the rounds. Fails if a round has panicked, because its figures are incomplete.
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

/// One second, or in a long run a fraction of it, in whole seconds.
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
    interval: Duration,
    seen: usize,
}

impl Round {
    /// Passes on the events until `to`, and ends the interval that ends then. The first call only begins the first
    /// interval.
    fn due(&mut self, to: Time) -> ControlFlow<()> {
        if to == self.start {
            self.collector.cost.start();
            return ControlFlow::Continue(());
        }
        if !to.remaining(self.start).as_nanos().is_multiple_of(self.interval.as_nanos()) {
            self.tell_events();
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
        self.tell_events();
        let Round { collector, observer, context, .. } = self;
        let live = collector.tick(&context.measurements, to, |interval| {
            let is_own = match interval {
                Interval::Partition(window) => context.plan.reads(window.partition),
                Interval::Pool(window) => context.plan.has_pool(window.pool),
            };
            if is_own {
                observer.interval(interval);
            }
        });
        observer.second(&live, to.remaining(self.start));
        if !context.runtime.is_reproducible() && !stopping {
            observer.so_far(&self.account.summary(collector, Ended::NotYet, to, Vec::new()));
        }
        if stopping {
            collector.cost.look();
        }
    }

    fn tell_events(&mut self) {
        let events = self.context.measurements.journal.since(self.seen);
        self.seen += events.len();
        if !events.is_empty() {
            self.observer.events(&events);
        }
    }
}
