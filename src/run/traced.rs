//! A simulation on a thread of its own that passes its trace to the caller.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::collecting::Observer;
use super::environment::Options;
use super::run;
use crate::base::Time;
use crate::broker::sim::TraceSink;
use crate::error::Error;
use crate::measure::TraceLine;
use crate::plan::Plan;
use crate::summary::Summary;

/// A message of the simulation.
#[derive(Debug)]
pub enum Traced {
    /// The next events.
    Lines(Vec<TraceLine>),
    /// The simulation has ended.
    End(Box<Result<Summary, Error>>),
}

/// Lines per message.
const BATCH: usize = 256;
/// Largest number of messages that are not read. A slow reader delays the simulation.
const WAITING_MAX: usize = 16;
/// Largest number of lines before the load. If there are more, all times count from the start of the run.
const EARLY_MAX: usize = 200_000;

/// Runs a plan in virtual time on a thread of its own. Times count from the start of the load, as in every result, or
/// from the start of a run whose load never begins. A reader that needs no more lines drops the receiver, and the
/// simulation then runs to its end.
///
/// # Errors
/// The thread cannot be started.
pub fn run_traced(plan: Plan, options: Options) -> std::io::Result<Receiver<Traced>> {
    let (sender, traced) = sync_channel(WAITING_MAX);
    let simulate = move || {
        let lines = Lines { batch: Vec::new(), zero: None, sender: sender.clone() };
        let lines = Shared(Arc::new(Mutex::new(lines)));
        let taking = lines.clone();
        let trace_sink = TraceSink::new(move |line| taking.lock().take(line));
        let outcome =
            run(plan, Options { trace_sink: Some(trace_sink), ..options }, Box::new(lines.clone()));
        lines.lock().begin(Time::ZERO);
        lines.lock().send();
        // The reader may have dropped the receiver.
        let _ = sender.send(Traced::End(Box::new(outcome)));
    };
    std::thread::Builder::new().name("simulation".to_owned()).spawn(simulate)?;
    Ok(traced)
}

/// The lines that are not passed on yet.
#[derive(Clone)]
struct Shared(Arc<Mutex<Lines>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Shared {
    fn begin(&mut self, start: Time, _: i64) {
        self.lock().begin(start);
    }
}

struct Lines {
    batch: Vec<TraceLine>,
    /// The time that times count from; while it is `None`, lines are kept.
    zero: Option<Time>,
    sender: SyncSender<Traced>,
}

impl Lines {
    fn take(&mut self, line: TraceLine) {
        self.batch.push(line);
        match self.zero {
            Some(_) if self.batch.len() >= BATCH => self.send(),
            None if self.batch.len() >= EARLY_MAX => self.begin(Time::ZERO),
            _ => {}
        }
    }

    /// Sets the time that times count from, unless it is set.
    fn begin(&mut self, zero: Time) {
        if self.zero.is_none() {
            self.zero = Some(zero);
            self.send();
        }
    }

    fn send(&mut self) {
        let zero = self.zero.unwrap_or(Time::ZERO);
        let mut lines = std::mem::take(&mut self.batch);
        lines.iter_mut().for_each(|line| line.at = Time(line.at.since_ns(zero)));
        // The reader may have dropped the receiver.
        let _ = self.sender.send(Traced::Lines(lines));
    }
}
