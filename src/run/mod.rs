//! The only wiring: a plan in, a summary out.
//!
//! broker → topic and start offsets → measurements → supervisor → consumers ready → load → drain → summary.

mod account;
mod checkpoint_file;
mod checkpointing;
mod collecting;
mod committed_offsets;
mod drain;
mod environment;
mod explore;
mod host;
mod interrupt;
#[cfg(test)]
mod leaks;
mod process_limits;
mod resume;
mod run_control;
mod sim;
mod stage;
mod traced;
mod unprocessed;
mod warnings;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ractor::Actor;
use tokio::sync::watch;

use self::account::Account;
use self::checkpointing::Checkpointing;
use self::collecting::Collecting;
use self::committed_offsets::CommittedOffsets;
use self::environment::RunEnvironment;
use self::run_control::RunControl;
use self::stage::Stage;
use crate::actors::{Commands, Context, Status, Supervisor, SupervisorArgs};
use crate::base::{Clock, Leftovers, RunId, Time, panic_text};
use crate::broker::rdkafka::{ClientFile, Deadline};
use crate::broker::sim::TraceSink;
use crate::error::Error;
use crate::logic::{ActiveFaults, Handlers};
use crate::measure::{
    Collector, Ended, Event, Interval, LaneShape, Live, Measurements, fault_windows,
};
use crate::plan::{BrokerPlan, PartitionChoice, Plan};
use crate::summary::{Resumed, Summary};

pub use self::explore::{
    Broken, CaseSize, Draw, ExploreError, ExploreSettings, Explored, Repro, Violation, explore,
    invariants,
};
pub use self::host::record_host;
pub use self::interrupt::{KEEPING, listen};
pub use self::traced::{Traced, run_traced};

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

/// What a run needs besides its plan.
#[derive(Debug, Default)]
pub struct Options {
    /// Client properties from outside the scenario.
    pub client: ClientFile,
    /// What consumers do with records, in the place of the scenario's `work`.
    pub handlers: Option<Handlers>,
    /// Who is told every event of a simulation.
    pub trace_sink: Option<TraceSink>,
    /// Turns true when a simulation is to end early and keep what it has: [`listen`]. Without it Ctrl-C ends the
    /// process, as it does to many simulations at a time. A run on a cluster listens by itself.
    pub interrupted: Option<watch::Receiver<bool>>,
}

/// Runs a plan from beginning to end.
///
/// # Errors
/// There is no summary; [`Error`] has the reasons.
pub fn run(plan: Plan, options: Options, observer: Box<dyn Observer>) -> Result<Summary, Error> {
    if let BrokerPlan::Sim(settings) = &plan.broker {
        let settings = settings.clone();
        return sim::run(plan, &settings, options, observer);
    }
    process_limits::make_room(&plan)?;
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Environment(format!("no runtime: {error}")))?;
    let leftovers = Leftovers::default();
    let running = run_on(Arc::new(plan), options, observer, clock, leftovers.clone());
    // What a bug keeps the run from taking back is listed, too.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(running))).unwrap_or_else(|panic| {
            let said = panic_text(&*panic).unwrap_or("a panic").to_owned();
            Err(with_leftovers(Error::Bug(said), &leftovers))
        });
    // A question to a broker that does not answer may still be under way after an interruption.
    runtime.shutdown_background();
    outcome
}

async fn run_on(
    plan: Arc<Plan>,
    options: Options,
    mut observer: Box<dyn Observer>,
    clock: Clock,
    leftovers: Leftovers,
) -> Result<Summary, Error> {
    let run = run_id(clock);
    let interrupted = listen(KEEPING, &leftovers);
    observer.phase("setting the stage");
    tracing::info!(%run, "setting the stage");
    let Options { client, handlers, .. } = options;
    let deadline = Deadline::new(clock, plan.times.startup, interrupted.clone());
    let stage = match set_stage(&plan, run, clock, client, &deadline, &leftovers).await {
        Ok(stage) => stage,
        Err(error) => return Err(with_leftovers(error, &leftovers)),
    };
    let environment = stage.environment(clock, deadline.left());
    let outcome = run_in(&plan, &environment, run, clock, handlers, observer, interrupted).await;
    let cleaned = stage.clear(&plan).await;
    match outcome {
        Ok(mut summary) => {
            summary.warnings.extend(cleaned);
            summary.warnings.extend(leftovers.lines());
            Ok(summary)
        }
        Err(error) => Err(with_leftovers(error, &leftovers)),
    }
}

/// An error with what is left to clean up by the user, if there is something.
fn with_leftovers(error: Error, leftovers: &Leftovers) -> Error {
    let left = leftovers.lines();
    if left.is_empty() { error } else { Error::LeftBehind { error: Box::new(error), left } }
}

/// How much longer than its deadline setting the stage may take: to delete a topic that was created.
const STAGE_ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Sets the stage on a thread that may block. It ends by itself soon after its deadline or an interruption; should the
/// client library hang nevertheless, it is not waited for.
async fn set_stage(
    plan: &Arc<Plan>,
    run: RunId,
    clock: Clock,
    client: ClientFile,
    deadline: &Deadline,
    leftovers: &Leftovers,
) -> Result<Stage, Error> {
    let (plan, control) = (plan.clone(), tokio::runtime::Handle::current());
    let (own, left) = (deadline.clone(), leftovers.clone());
    let setting = tokio::task::spawn_blocking(move || {
        control.block_on(Stage::set(&plan, run, client, clock, &own, &left))
    });
    tokio::select! {
        biased;
        set = setting => set.unwrap_or_else(|panic| Err(Error::Bug(panic.to_string()))),
        () = too_long(deadline) => match deadline.is_interrupted() {
            true => Err(Error::Interrupted),
            false => Err(Error::Environment(format!(
                "the cluster was not ready within {} s, and a request to it does not end; check its health",
                deadline.passed().as_secs()
            ))),
        },
    }
}

/// Waits until a deadline is over, and then as long as the way out may take.
async fn too_long(deadline: &Deadline) {
    while !deadline.is_over() {
        tokio::time::sleep(deadline.left().min(Duration::from_millis(100))).await;
    }
    tokio::time::sleep(STAGE_ENDS_WITHIN).await;
}

/// Runs the actors from the creation of the topic to its deletion.
async fn run_in(
    plan: &Arc<Plan>,
    environment: &RunEnvironment,
    run: RunId,
    clock: Clock,
    handlers: Option<Handlers>,
    mut observer: Box<dyn Observer>,
    interrupted: watch::Receiver<bool>,
) -> Result<Summary, Error> {
    let shape = LaneShape {
        fixed: plan.load.partition == PartitionChoice::Fixed,
        partitions: plan.topic.partitions,
        pools: plan.load.pools,
    };
    let measurements = Arc::new(Measurements::new(shape, &environment.starts));
    let context = Context {
        plan: plan.clone(),
        cluster: environment.cluster.clone(),
        hosting: environment.hosting.clone(),
        measurements: measurements.clone(),
        clock,
        run,
        seed: plan.seed,
        earlier: environment.from.earlier.clone().into(),
        handlers,
        commands: Arc::new(Commands::new(environment.leftovers.clone())),
        active_faults: Arc::new(ActiveFaults::new(
            plan.members(),
            plan.topic.partitions,
            plan.load.pools,
            plan.seed.child("sabotage", 0),
        )),
    };
    let (publish, status) = watch::channel(Status::default());
    let args = SupervisorArgs { context: context.clone(), status: publish };
    let (supervisor, done) = Actor::spawn(None, Supervisor, args)
        .await
        .map_err(|error| Error::Bug(format!("the supervisor did not start: {error}")))?;
    let mut control = RunControl::new(context.clone(), supervisor.clone(), status, interrupted);

    let checkpointing = take_up(environment, &context)?;
    let committed = CommittedOffsets::start(&context)
        .map_err(|error| Error::Environment(format!("no thread for committed offsets: {error}")))?;
    observer.phase("starting consumers");
    let started = control.start_consumers(environment.startup).await;
    let mut result = match started {
        Err(error) => Err(error),
        Ok(startup) => {
            load(plan, environment, &context, &mut control, observer, startup, committed).await
        }
    };
    let left_behind = control.stop_consumers().await;
    supervisor.stop(None);
    tokio::select! {
        biased;
        _ = done => {}
        () = control.timers.sleep(Duration::from_secs(5)) => {}
    }
    // No command is started any more: what they broke is mended, however the run has ended.
    if plan.first_command().is_some() {
        let commands = context.commands.clone();
        let _ = tokio::task::spawn_blocking(move || commands.finish()).await;
    }
    // After the last consumer, so that nothing comes behind the last checkpoint.
    let failure = checkpointing.and_then(Checkpointing::stop);
    if let Ok(summary) = &mut result {
        summary.warnings.extend(left_behind);
        summary.warnings.extend(failure);
    }
    result
}

/// Goes on where an earlier run stopped, if there is one, and begins to keep checkpoints of this one.
fn take_up(
    environment: &RunEnvironment,
    context: &Context,
) -> Result<Option<Checkpointing>, Error> {
    for (cell, resume_point) in
        context.measurements.cells.iter().zip(&environment.from.resume_points)
    {
        cell.lock().set_resume_point(*resume_point);
    }
    if let Some(Resumed { run_id, partitions, behind, .. }) = environment.from.resumed.clone() {
        context.note(Event::Resumed { run_id, partitions, behind });
    }
    let Some((store, interval)) = environment.from.store.clone() else {
        return Ok(None);
    };
    Checkpointing::start(context, store, interval)
        .map(Some)
        .map_err(|error| Error::Environment(format!("no thread for checkpoints: {error}")))
}

/// From the first send to the last figure.
async fn load(
    plan: &Arc<Plan>,
    environment: &RunEnvironment,
    context: &Context,
    control: &mut RunControl,
    mut observer: Box<dyn Observer>,
    startup: Duration,
    committed: Option<CommittedOffsets>,
) -> Result<Summary, Error> {
    let start = context.clock.now() + LEAD;
    let measured = (start + plan.times.warmup, start + plan.times.load_end());
    context.measurements.begin(start, measured, fault_windows(plan, start));
    // A simulation happens at no time of the wall clock.
    let epoch = context.clock.epoch_unix_ns();
    observer.begin(start, if context.clock.is_simulated() { 0 } else { epoch + start.0 });
    observer.phase("load");
    let mut collector = Collector::new(plan.topic.partitions as usize, start, measured);
    if context.hosting.is_kernel() {
        collector.cost.turn_off();
    }
    let account = Account::new(context, environment, control.watch_status(), start, startup);
    let collecting = Collecting::start(account.clone(), context, collector, observer, start)
        .map_err(|error| Error::Environment(format!("no thread for the collector: {error}")))?;

    let mut ending = control.load(start).await;
    context.note(Event::Phase { name: "draining".to_owned() });
    ending.warnings.extend(control.drain().await);
    let load_end = measured.1.min(ending.at);
    context.measurements.cells.iter().for_each(|cell| cell.lock().end(load_end));
    let collector = collecting.stop()?;
    if let Some(committed) = committed {
        committed.stop();
    }
    // During the drain, too: what was left unread then must not decide a verdict.
    let ended = match ending.interrupted || *control.interrupted.borrow() {
        true => Ended::Interrupted,
        false => Ended::InOrder,
    };
    Ok(account.summary(&collector, ended, ending.at, ending.warnings))
}

/// Between starting the pools and the first record that is due: time to make their clients.
const LEAD: Duration = Duration::from_millis(100);

/// Tells this run from all others: wall clock and process, mixed.
fn run_id(clock: Clock) -> RunId {
    let wall = crate::base::Seed(clock.epoch_unix_ns() as u64);
    RunId(wall.child("process", u64::from(std::process::id())).0)
}
