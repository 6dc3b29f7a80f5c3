//! The user's own commands of `exec` faults. Each runs on a thread of its own, has a time limit, and is always undone.
//! A command that stops a broker runs only while enough replicas are left, and after its lease is on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::exec_lease::{ExecLease, LeaseEntry};
use super::process::{run_command, shown};
use super::runtime::Context;
use crate::base::{Leftovers, printable_path};
use crate::fault::ExecPlan;

/// The commands of a run's faults.
#[derive(Debug, Default)]
pub struct Commands {
    leftovers: Leftovers,
    lease: Arc<ExecLease>,
    /// The number of brokers that may be down at once.
    down_max: usize,
    /// The brokers that each fault has stopped, until they are started again.
    down: Arc<Mutex<BTreeMap<usize, BTreeSet<u32>>>>,
    running: Mutex<BTreeMap<usize, Running>>,
}

/// A fault whose start command was run and whose end command was not. Dropping the sender runs the end command.
struct Running {
    undo: Sender<()>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

impl Commands {
    /// No command yet. Until a command is undone it is noted in `leftovers` and in `lease`, so that the user can undo
    /// it if this process dies. At most `down_max` brokers are down at once.
    pub fn new(leftovers: Leftovers, lease: ExecLease, down_max: usize) -> Commands {
        Commands {
            leftovers,
            lease: Arc::new(lease),
            down_max,
            down: Arc::default(),
            running: Mutex::default(),
        }
    }

    /// Runs the start command of occurrence `fault`, and its end command once it is undone. Returns at once. A fault
    /// that would stop more brokers than may be down is missed.
    pub(super) fn start(&self, context: &Context, fault: usize, plan: &ExecPlan) {
        if let Err(reason) = self.take_down(fault, plan) {
            return not_begun(context, fault, reason);
        }
        let (undo, undone) = channel();
        let left = format!("fault {fault} is not undone");
        if !plan.end.is_empty() {
            let (command, lease) = (shown(&plan.end), printable_path(self.lease.path()));
            let remedy = format!("run {command}, or `lanekeeper heal {lease} --allow-exec`");
            self.leftovers.add(&left, remedy);
        }
        let spawned = std::thread::Builder::new().name(format!("exec-{fault}")).spawn({
            let (context, plan) = (context.clone(), plan.clone());
            let (leftovers, lease, down) =
                (self.leftovers.clone(), self.lease.clone(), self.down.clone());
            let left = left.clone();
            move || {
                if carry_out(&context, fault, &plan, &lease, &undone) {
                    leftovers.remove(&left);
                    if !plan.end.is_empty() {
                        lock(&down).remove(&fault);
                    }
                }
            }
        });
        match spawned {
            Ok(thread) => drop(lock(&self.running).insert(fault, Running { undo, thread })),
            Err(error) => {
                self.leftovers.remove(&left);
                lock(&self.down).remove(&fault);
                not_begun(context, fault, format!("no thread: {error}"));
            }
        }
    }

    /// Notes that the fault's brokers are down, or returns the reason why they must not be.
    fn take_down(&self, fault: usize, plan: &ExecPlan) -> Result<(), String> {
        if plan.brokers.is_empty() {
            return Ok(());
        }
        let mut down = lock(&self.down);
        let others: BTreeSet<u32> = down.values().flatten().copied().collect();
        let all: BTreeSet<u32> = others.union(&plan.brokers).copied().collect();
        if all.len() > self.down_max && !plan.allow_outage {
            return Err(format!(
                "{} is still down, and the topic's replicas allow {} at once; leave more time between faults, or set \
                 `exec.allow_outage`",
                named(&others),
                self.down_max
            ));
        }
        down.insert(fault, plan.brokers.clone());
        Ok(())
    }

    /// Runs the end command of occurrence `fault`. Returns at once.
    pub(super) fn undo(&self, fault: usize) {
        if let Some(running) = lock(&self.running).get(&fault) {
            let _ = running.undo.send(());
        }
    }

    /// Runs the end commands that are outstanding, and waits until each command has ended or was killed.
    pub fn finish(&self) {
        let running = std::mem::take(&mut *lock(&self.running));
        let threads: Vec<JoinHandle<()>> = running.into_values().map(|one| one.thread).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// Applies to every way in which a run ends: a bug in it must not leave brokers down.
impl Drop for Commands {
    fn drop(&mut self) {
        self.finish();
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ids of brokers, as in "broker 1, 2".
fn named(brokers: &BTreeSet<u32>) -> String {
    let ids: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    format!("broker {}", ids.join(", "))
}

/// Notes that a fault was not injected, and is over.
fn not_begun(context: &Context, fault: usize, reason: String) {
    context.note_missed(fault, reason);
    let now = context.clock.now();
    context.fault_ended(fault, now, |mark| mark.commands_ended(now));
}

/// Runs both commands of a fault. The lease lists the fault from before the first command until the second one has
/// succeeded. Returns true if nothing is left to undo.
fn carry_out(
    context: &Context,
    fault: usize,
    plan: &ExecPlan,
    lease: &ExecLease,
    undone: &Receiver<()>,
) -> bool {
    let clock = context.clock;
    if !plan.end.is_empty() {
        let at = clock.wall_clock(clock.now());
        if let Err(error) = lease.begin(&LeaseEntry::new(fault, at, plan)) {
            not_begun(context, fault, error.to_string());
            return true;
        }
    }
    if let Err(reason) = run_command(&plan.start, None, plan.limit, clock) {
        context.note_missed(fault, reason);
    }
    let mut is_undone = true;
    if !plan.end.is_empty() {
        // An error means that the sender was dropped, at the end of the run. That undoes the fault as well.
        let _ = undone.recv();
        let ran = run_command(&plan.end, None, plan.limit, clock);
        is_undone = ran.is_ok();
        let noted = ran.and_then(|()| lease.healed(fault).map_err(|error| error.to_string()));
        if let Err(reason) = noted {
            context.note_missed(fault, reason);
        }
    }
    let now = clock.now();
    context.fault_ended(fault, now, |mark| mark.commands_ended(now));
    is_undone
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_brokers_are_stopped_than_may_be_down() {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let lease = ExecLease::new(directory.path(), String::new(), String::new());
        let commands = Commands::new(Leftovers::default(), lease, 1);
        let plan = |brokers: &[u32], allow_outage| ExecPlan {
            start: vec!["true".to_owned()],
            end: vec!["true".to_owned()],
            limit: Duration::from_secs(1),
            brokers: brokers.iter().copied().collect(),
            allow_outage,
        };
        assert_eq!(commands.take_down(0, &plan(&[1], false)), Ok(()));
        let refused = commands.take_down(1, &plan(&[2], false)).expect_err("one is down");
        assert!(
            refused.contains("broker 1 is still down") && refused.contains("allow 1"),
            "{refused}"
        );
        // These are allowed: the same broker again, no broker, and a planned outage.
        assert_eq!(commands.take_down(2, &plan(&[1], false)), Ok(()));
        assert_eq!(commands.take_down(3, &plan(&[], false)), Ok(()));
        assert_eq!(commands.take_down(4, &plan(&[2], true)), Ok(()));
        lock(&commands.down).clear();
        assert_eq!(commands.take_down(5, &plan(&[2], false)), Ok(()));
    }
}
