//! The collector's rounds: once a second they take the shards out of the cells and inform the observer.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::summary_builder::SummaryBuilder;
use crate::actors::{Context, Repetition};
use crate::base::Time;
use crate::error::Error;
use crate::measure::{Collector, Ended, Event, Interval, IntervalTotals};
use crate::summary::Summary;

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
        builder: SummaryBuilder,
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
        let round = Round { builder, context, collector, observer, start, interval, seen: 0 };
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
    builder: SummaryBuilder,
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
            observer.so_far(&self.builder.summary(collector, Ended::NotYet, to, Vec::new()));
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
