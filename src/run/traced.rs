//! A simulation beside the caller, that tells everything that happens.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Options, run};
use crate::broker::sim::Tap;
use crate::error::Error;
use crate::measure::{Summary, TraceLine};
use crate::plan::Plan;

/// What a simulation tells.
#[derive(Debug)]
pub enum Traced {
    /// What happened next.
    Lines(Vec<TraceLine>),
    /// It is over.
    End(Box<Result<Summary, Error>>),
}

/// Lines that go over at a time.
const BATCH: usize = 256;
/// Batches waiting to be read, at most: a reader that is slow holds the simulation up.
const WAITING_MAX: usize = 16;

/// Runs a plan in virtual time on a thread of its own. A reader that has seen enough drops the receiver; the simulation
/// then goes on to its end for nobody.
pub fn run_traced(plan: Plan, options: Options) -> std::io::Result<Receiver<Traced>> {
    let (sender, traced) = sync_channel(WAITING_MAX);
    let simulate = move || {
        let lines = Arc::new(Mutex::new(Lines { batch: Vec::new(), sender: sender.clone() }));
        let taking = lines.clone();
        let tap = Tap::new(move |line| {
            taking.lock().unwrap_or_else(PoisonError::into_inner).take(line);
        });
        let outcome = run(plan, Options { tap: Some(tap), ..options }, Box::new(()));
        lines.lock().unwrap_or_else(PoisonError::into_inner).send();
        // Nobody may listen any more.
        let _ = sender.send(Traced::End(Box::new(outcome)));
    };
    std::thread::Builder::new().name("simulation".to_owned()).spawn(simulate)?;
    Ok(traced)
}

struct Lines {
    batch: Vec<TraceLine>,
    sender: SyncSender<Traced>,
}

impl Lines {
    fn take(&mut self, line: TraceLine) {
        self.batch.push(line);
        if self.batch.len() >= BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        // Nobody may listen any more.
        let _ = self.sender.send(Traced::Lines(std::mem::take(&mut self.batch)));
    }
}
