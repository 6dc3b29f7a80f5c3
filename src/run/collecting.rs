//! The collector's rounds: once a second it takes the shards out and tells the observer.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::account::Account;
use crate::actors::{Context, Repetition};
use crate::base::Time;
use crate::error::Error;
use crate::measure::{Collector, Ended, Event, Interval, Live};
use crate::summary::Summary;

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
