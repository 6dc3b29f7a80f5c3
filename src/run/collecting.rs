//! The collector's rounds: once a second it takes the shards out and tells the observer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Observer;
use super::account::Account;
use crate::actors::{Context, Hosting};
use crate::base::Time;
use crate::error::Error;
use crate::measure::{Collector, Ended};

/// A running collector: a thread, or a job of the kernel.
pub(super) struct Collecting {
    round: Arc<Mutex<Option<Round>>>,
    thread: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

const INTERVAL: Duration = Duration::from_secs(1);
/// Intervals a simulation has at most: what happened within one is found out by running it again, and the work of
/// ending one is more than that of simulating a second.
const SIMULATED_INTERVALS_MAX: u32 = 60;
/// Longest sleep, so that stopping is quick.
const SLEEP_MAX: Duration = Duration::from_millis(20);

impl Collecting {
    /// Starts collecting, in intervals counted from `start`. The error is of a system that gives no thread.
    pub(super) fn start(
        account: Account,
        context: &Context,
        collector: Collector,
        observer: Box<dyn Observer>,
        start: Time,
    ) -> std::io::Result<Collecting> {
        let context = context.clone();
        let (hosting, load_end) = (context.hosting.clone(), context.plan.times.load_end());
        let round = Round { account, context, collector, observer, start, seen: 0 };
        let round = Arc::new(Mutex::new(Some(round)));
        let running = round.clone();
        if let Hosting::Kernel(kernel) = hosting {
            let interval = simulated_interval(load_end);
            let failing = kernel.clone();
            let job = move |now| {
                let mut round = lock(&running);
                let round = round.as_mut()?;
                round.end(now, false);
                if let Some(why) = round.observer.is_full() {
                    failing.fail(why);
                }
                Some(now + interval)
            };
            kernel.at(start + interval, Box::new(job));
            return Ok(Collecting { round, thread: None });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let work = move || collect(&running, start, &stopped);
        let thread = std::thread::Builder::new().name("collector".to_owned()).spawn(work)?;
        Ok(Collecting { round, thread: Some((stop, thread)) })
    }

    /// Takes the last shards and ends the thread. The error is of a thread that panicked: its figures are not whole.
    pub(super) fn stop(self) -> Result<Collector, Error> {
        if let Some((stop, thread)) = self.thread {
            stop.store(true, Ordering::Release);
            thread.join().map_err(|_| Error::Bug("the collector panicked".to_owned()))?;
        }
        let mut round = lock(&self.round).take().expect("the collector is stopped once");
        let now = round.context.clock.now();
        round.end(now, true);
        Ok(round.collector)
    }
}

/// A second, or of a long simulation a share of it, in whole seconds.
fn simulated_interval(load_end: Duration) -> Duration {
    let seconds = (load_end / SIMULATED_INTERVALS_MAX).as_secs_f64().ceil();
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
    /// Ends the interval at `to`.
    fn end(&mut self, to: Time, stopping: bool) {
        let Round { collector, observer, context, .. } = self;
        let live =
            collector.tick(&context.measurements, to, |interval| observer.interval(interval));
        let events = context.measurements.journal.since(self.seen);
        self.seen += events.len();
        observer.events(&events);
        observer.second(&live, to.remaining(self.start));
        // What is not known of a simulation that was cut off is found out by running it again.
        let is_simulated = context.hosting.is_kernel();
        if !is_simulated && !stopping {
            observer.so_far(&self.account.summary(collector, Ended::NotYet, to, Vec::new()));
        }
        if stopping {
            collector.cost.look();
        }
    }
}

fn collect(round: &Mutex<Option<Round>>, start: Time, stop: &AtomicBool) {
    let clock = match &mut *lock(round) {
        Some(round) => round.context.clock,
        None => return,
    };
    let mut next = start;
    while !stop.load(Ordering::Acquire) {
        let now = clock.now();
        if now < next {
            std::thread::sleep(next.remaining(now).min(SLEEP_MAX));
            continue;
        }
        if let Some(round) = &mut *lock(round) {
            if next == start {
                round.collector.cost.start();
            } else {
                // Intervals end on the second, even if this thread looks a little later.
                round.end(next, false);
            }
        }
        next = next + INTERVAL;
    }
}
