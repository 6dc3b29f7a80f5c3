//! The collector's thread: once a second it takes the shards out and tells the observer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Observer;
use super::account::Account;
use crate::actors::Context;
use crate::base::Time;
use crate::measure::{Collector, Ended};

/// A running collector.
pub(super) struct Collecting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Collector>,
}

const INTERVAL: Duration = Duration::from_secs(1);
/// Longest sleep, so that stopping is quick.
const SLEEP_MAX: Duration = Duration::from_millis(20);

impl Collecting {
    /// Starts collecting, in intervals counted from `start`.
    pub(super) fn start(
        account: Account,
        context: &Context,
        collector: Collector,
        observer: Box<dyn Observer>,
        start: Time,
    ) -> Collecting {
        let stop = Arc::new(AtomicBool::new(false));
        let (context, stopped) = (context.clone(), stop.clone());
        let work = move || collect(&account, &context, collector, observer, start, &stopped);
        // Without a thread nothing can be measured; the operating system refuses one only when it is at its end.
        let thread = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(work)
            .expect("a thread for the collector");
        Collecting { stop, thread }
    }

    /// Takes the last shards and ends the thread.
    pub(super) fn stop(self) -> Collector {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(collector) => collector,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn collect(
    account: &Account,
    context: &Context,
    mut collector: Collector,
    mut observer: Box<dyn Observer>,
    start: Time,
    stop: &AtomicBool,
) -> Collector {
    let mut next = start;
    let mut seen = 0;
    let mut started = false;
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let now = context.clock.now();
        if now < next && !stopping {
            std::thread::sleep(next.remaining(now).min(SLEEP_MAX));
            continue;
        }
        if !started {
            started = true;
            collector.cost.start();
        } else {
            // Intervals end on the second, even if this thread looks a little later.
            let to = if stopping { now } else { next };
            let live = collector.tick(&context.board, to, |window| observer.window(window));
            let events = context.board.journal.since(seen);
            seen += events.len();
            observer.events(&events);
            observer.second(&live, to.remaining(start));
            if !stopping {
                observer.so_far(&account.summary(&collector, Ended::NotYet, to, Vec::new()));
            }
        }
        if stopping {
            collector.cost.look();
            return collector;
        }
        next = next + INTERVAL;
    }
}
