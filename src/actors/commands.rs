//! The user's own commands: run beside everything else, each with a limit, and always undone.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::runtime::Context;
use crate::base::{Clock, Leftovers};
use crate::fault::ExecPlan;
use crate::scenario::known::VARIABLES;

/// The commands of a run's faults.
#[derive(Debug, Default)]
pub struct Commands {
    leftovers: Leftovers,
    running: Mutex<BTreeMap<usize, Running>>,
}

/// A fault whose command was started and not undone yet. Dropping the sender undoes it.
struct Running {
    undo: Sender<()>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

/// Between two looks at a command.
const LOOK: Duration = Duration::from_millis(10);

impl Commands {
    /// None yet. What has to be undone by the user, should this process not live to do it, is noted in `leftovers`.
    pub fn new(leftovers: Leftovers) -> Commands {
        Commands { leftovers, ..Commands::default() }
    }

    /// Runs the start command of occurrence `fault`, and its end command once it is undone. Returns at once.
    pub(super) fn start(&self, context: &Context, fault: usize, plan: &ExecPlan) {
        let (undo, undone) = channel();
        let (context, plan) = (context.clone(), plan.clone());
        let leftovers = self.leftovers.clone();
        let left = format!("fault {fault} is not undone");
        if !plan.end.is_empty() {
            leftovers.add(&left, format!("run {}", shown(&plan.end)));
        }
        let spawned = std::thread::Builder::new().name(format!("exec-{fault}")).spawn({
            let context = context.clone();
            move || {
                if carry_out(&context, fault, &plan, &undone) {
                    leftovers.remove(&left);
                }
            }
        });
        match spawned {
            Ok(thread) => drop(self.lock().insert(fault, Running { undo, thread })),
            Err(error) => context.note_missed(fault, format!("no thread: {error}")),
        }
    }

    /// Runs the end command of occurrence `fault`. Returns at once.
    pub(super) fn undo(&self, fault: usize) {
        if let Some(running) = self.lock().get(&fault) {
            let _ = running.undo.send(());
        }
    }

    /// Undoes what is not undone yet, and waits until every command has ended or was killed.
    pub fn finish(&self) {
        let running = std::mem::take(&mut *self.lock());
        let threads: Vec<JoinHandle<()>> = running.into_values().map(|one| one.thread).collect();
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs both commands of a fault. Returns whether the last one succeeded.
fn carry_out(context: &Context, fault: usize, plan: &ExecPlan, undone: &Receiver<()>) -> bool {
    let mut has_succeeded = true;
    for command in [&plan.start, &plan.end] {
        let ran = run(command, plan.limit, context.clock);
        has_succeeded = ran.is_ok();
        if let Err(reason) = ran {
            context.note_missed(fault, reason);
        }
        if std::ptr::eq(command, &plan.end) || plan.end.is_empty() {
            let now = context.clock.now();
            context.fault_ended(fault, now, |mark| mark.commands_ended(now));
            break;
        }
        // The sender goes away at the end of the run, if it has said nothing before.
        let _ = undone.recv();
    }
    has_succeeded
}

/// A command as it can be typed: words with other than plain characters in quotes.
fn shown(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Runs a command in a process group of its own until it ends, or kills the group after `limit`.
fn run(command: &[String], limit: Duration, clock: Clock) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let mut process = Command::new(program);
    // What it prints must not mix with a report; what it complains about is shown.
    process.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    // Secrets of the client are not for them, and what they complain about is shown.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(VARIABLES.as_bytes()) {
            process.env_remove(name);
        }
    }
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    let mut child =
        process.spawn().map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let deadline = clock.now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return judge(program, status),
            Ok(None) if clock.now() < deadline => std::thread::sleep(LOOK),
            Ok(None) => {
                kill(&mut child);
                return Err(format!(
                    "`{program}` took longer than {} s and was killed; raise `exec.limit` if it needs that long",
                    limit.as_secs_f64()
                ));
            }
            Err(error) => return Err(format!("`{program}` was lost: {error}")),
        }
    }
}

fn judge(program: &str, status: ExitStatus) -> Result<(), String> {
    match status.success() {
        true => Ok(()),
        false => Err(format!("`{program}` ended with {status}")),
    }
}

/// Kills a command with everything it has started.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &str) -> Vec<String> {
        vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()]
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let clock = Clock::start();
        let directory = tempfile::tempdir().expect("a scratch directory");
        let file = directory.path().join("late").display().to_string();
        let command = words(&format!("(sleep 2; touch {file}) & wait"));
        let error = run(&command, Duration::from_millis(200), clock).expect_err("too long");
        assert!(error.contains("longer than 0.2 s"), "{error}");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!std::path::Path::new(&file).exists(), "the child lived on");
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let (clock, limit) = (Clock::start(), Duration::from_secs(5));
        assert_eq!(run(&words("exit 0"), limit, clock), Ok(()));
        let error = run(&words("exit 3"), limit, clock).expect_err("a failure");
        assert!(error.contains("exit status: 3"), "{error}");
        let missing = vec!["no-such-program-here".to_owned()];
        let error = run(&missing, limit, clock).expect_err("a failure");
        assert!(error.contains("cannot be run"), "{error}");
    }
}
