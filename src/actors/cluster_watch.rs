//! The actors that watch the cluster, independently of any consumer: one knows where partitions end, the other sees
//! the topic grow or vanish.
//!
//! The user's own commands: run beside everything else, each with a limit, and always undone.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::lease::{OracleMsg, SupervisorMsg, WatcherMsg};
use super::runtime::{Context, Query};
use crate::base::{Clock, Leftovers, PARTITIONS_MAX};
use crate::broker::TopicSize;
use crate::fault::ExecPlan;
use crate::logic::{TopicChange, TopicCheck, TopicWatch};
use crate::measure::Event;
use crate::scenario::known::VARIABLES;

/// Asks for end offsets: once a second, and much more often while a partition is recovering or a stage of the load
/// waits for a lag of 0.
pub(super) struct OffsetOracle;

/// Between two questions as a rule.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two questions while a partition is behind after a failure.
const INTERVAL_RECOVERING: Duration = Duration::from_millis(10);

/// What the oracle knows.
pub(super) struct OracleState {
    context: Context,
    ask: Query,
    asking: bool,
    generation: u64,
}

impl Actor for OffsetOracle {
    type Msg = OracleMsg;
    type State = OracleState;
    type Arguments = Context;

    async fn pre_start(
        &self,
        myself: ActorRef<OracleMsg>,
        context: Context,
    ) -> Result<OracleState, ActorProcessingErr> {
        let measured = context.clone();
        let ask = context.runtime.end_offset_query(Arc::new(move |answer| {
            match answer {
                Ok((asked, ends)) => {
                    let now = measured.clock.now();
                    measured.measurements.observe_ends(&ends, asked, now);
                    measured.measurements.end_waiting_stage(asked, now);
                }
                Err(error) => {
                    let now = measured.clock.now();
                    measured.note_client_error(now, "end-offsets", None, &error.message);
                }
            }
            let _ = myself.cast(OracleMsg::Answered);
        }))?;
        let mut state = OracleState { context, ask, asking: false, generation: 0 };
        state.ask();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<OracleMsg>,
        message: OracleMsg,
        state: &mut OracleState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OracleMsg::Tick(generation) if generation == state.generation => state.ask(),
            OracleMsg::Tick(_) => {}
            OracleMsg::Hurry => state.ask(),
            OracleMsg::Answered => {
                state.asking = false;
                state.generation += 1;
                let (measurements, now) = (&state.context.measurements, state.context.clock.now());
                let soon = now + INTERVAL_RECOVERING;
                let at = if measurements.is_recovering(now) { soon } else { now + INTERVAL };
                // A stage that waits for a lag of 0 is watched as closely.
                let waits_from = measurements.stages.waits_from(now);
                let at = waits_from.map_or(at, |from| at.min(from.max(soon)));
                state.context.send_at(at, &myself, OracleMsg::Tick(state.generation));
            }
        }
        Ok(())
    }
}

impl OracleState {
    /// At most one question is under way; its answer brings the next one.
    fn ask(&mut self) {
        if !self.asking {
            self.asking = (self.ask)();
        }
    }
}

/// Looks at the topic at the scenario's interval, with a client of its own.
pub(super) struct TopicWatcher;

/// Between two looks at a change that is not certain yet: brokers have heard of it by then.
const SOON: Duration = Duration::from_secs(1);

/// What the watcher needs.
pub(super) struct WatcherArgs {
    pub(super) context: Context,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// What the watcher knows.
pub(super) struct WatcherState {
    context: Context,
    supervisor: ActorRef<SupervisorMsg>,
    watch: TopicWatch,
    /// None where a topic never changes.
    ask: Option<Query>,
}

impl Actor for TopicWatcher {
    type Msg = WatcherMsg;
    type State = WatcherState;
    type Arguments = WatcherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WatcherMsg>,
        args: WatcherArgs,
    ) -> Result<WatcherState, ActorProcessingErr> {
        let WatcherArgs { context, supervisor } = args;
        let (asker, answers) = (context.clone(), myself.clone());
        let ask = context.runtime.topic_query(Arc::new(move |size| {
            if let Err(error) = &size {
                asker.note_client_error(asker.clock.now(), "topic", None, &error.message);
            }
            let seen = size.ok().map(|TopicSize { partitions, led, brokers }| {
                let now = asker.clock.now();
                for (id, its) in brokers.into_iter().take(PARTITIONS_MAX) {
                    asker.measurements.note_brokers(now, id, its);
                }
                (partitions, led)
            });
            let _ = answers.cast(WatcherMsg::Seen(seen));
        }))?;
        let watch = TopicWatch::new(context.measurements.cells.len() as u32);
        let state = WatcherState { context, supervisor, watch, ask };
        // What the leaders are at the start is seen at once.
        let first = match state.context.runtime.knows_leaders() {
            true => state.context.plan.topic.discover,
            false => Duration::ZERO,
        };
        state.look_after(first, &myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<WatcherMsg>,
        message: WatcherMsg,
        state: &mut WatcherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatcherMsg::Tick => {
                if !state.ask.as_ref().is_none_or(|ask| ask()) {
                    return Err("nothing answers for the topic any more".into());
                }
            }
            WatcherMsg::Seen(size) => {
                let check = size.map_or(TopicCheck::Later, |(partitions, led)| {
                    state.watch.seen(partitions, led)
                });
                let interval = state.context.plan.topic.discover;
                let wait = if check == TopicCheck::Soon { SOON.min(interval) } else { interval };
                state.look_after(wait, &myself);
                if let TopicCheck::Certain(change) = check {
                    state.changed(change)?;
                }
            }
        }
        Ok(())
    }
}

impl WatcherState {
    fn look_after(&self, wait: Duration, myself: &ActorRef<WatcherMsg>) {
        if self.ask.is_some() {
            self.context.send_at(self.context.clock.now() + wait, myself, WatcherMsg::Tick);
        }
    }

    fn changed(&self, change: TopicChange) -> Result<(), ActorProcessingErr> {
        match change {
            TopicChange::Grown(partitions) => {
                self.context.grown(self.context.clock.now(), partitions);
                // A group's members may have told of it already; consumers of their own never do.
                self.supervisor.cast(SupervisorMsg::Grown)?;
            }
            TopicChange::Shrunk(left) => {
                self.context.note(Event::PartitionsGone { left });
                self.supervisor.cast(SupervisorMsg::Gone { left })?;
            }
        }
        Ok(())
    }
}

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
