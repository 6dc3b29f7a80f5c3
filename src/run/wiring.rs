//! The only wiring of a run, the same in every runtime: supervisor → consumers ready → load → drain → summary.

use std::sync::Arc;
use std::time::Duration;

use ractor::Actor;
use tokio::sync::watch;

use super::checkpointing::Checkpointing;
use super::collecting::{Collecting, Observer};
use super::committed_offsets::CommittedOffsets;
use super::environment::RunEnvironment;
use super::run_control::{Ending, RunControl};
use super::shares::{SharedRun, merge};
use super::summary_builder::SummaryBuilder;
use crate::actors::{Commands, Context, ExecLease, Status, Supervisor, SupervisorArgs};
use crate::base::{Clock, PoolId, RunId, Time, format_count};
use crate::error::Error;
use crate::logic::{ActiveFaults, Handlers};
use crate::measure::{Collector, Ended, Event, StageBounds, fault_windows};
use crate::plan::Plan;
use crate::summary::{Resumed, Summary};

/// Runs the actors and the phases of a run, on a cluster that is prepared.
pub(super) async fn run_in(
    plan: &Arc<Plan>,
    environment: &RunEnvironment,
    run: RunId,
    clock: Clock,
    handlers: Option<Handlers>,
    mut observer: Box<dyn Observer>,
    interrupted: watch::Receiver<bool>,
) -> Result<Summary, Error> {
    let measurements = environment.measurements.clone();
    let context = Context {
        plan: plan.clone(),
        runtime: environment.runtime.clone(),
        measurements,
        clock,
        run,
        seed: plan.seed,
        earlier: environment.from.earlier.clone().into(),
        handlers,
        active_faults: Arc::new(ActiveFaults::new(
            plan.members(),
            plan.topic.partitions,
            plan.load.pools,
            plan.seed.child("sabotage", 0),
        )),
    };
    let (publish, status) = watch::channel(Status::default());
    let lease = ExecLease::new(&environment.lease, run.to_string(), plan.name.clone());
    let leftovers = environment.leftovers.clone();
    let commands = Arc::new(Commands::new(leftovers, lease, environment.down_max));
    let (its_context, its_commands) = (context.clone(), commands.clone());
    let args = SupervisorArgs { context: its_context, commands: its_commands, status: publish };
    let (supervisor, done) = Actor::spawn(None, Supervisor, args)
        .await
        .map_err(|error| Error::Bug(format!("the supervisor did not start: {error}")))?;
    let mut control = RunControl::new(context.clone(), supervisor.clone(), status, interrupted);

    let checkpointing = take_up(environment, &context)?;
    let committed = CommittedOffsets::start(&context, environment.coordinator.clone())
        .map_err(|error| Error::Environment(format!("no thread for committed offsets: {error}")))?;
    if let Some(backlog) = plan.load.backlog {
        observer.phase(&format!("writing a backlog of {} records", format_count(backlog)));
    }
    let started = match control.write_backlog().await {
        Err(error) => Err(error),
        Ok(()) => {
            observer.phase("starting consumers");
            control.start_consumers(environment.startup).await
        }
    };
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
        () = context.sleep(Duration::from_secs(5)) => {}
    }
    // At every end of a run: no command is started any more, and all faults of commands are healed.
    if plan.first_command().is_some() {
        let _ = tokio::task::spawn_blocking(move || commands.finish()).await;
    }
    // After the last consumer, so that no record is processed after the last checkpoint.
    let failure = checkpointing.and_then(Checkpointing::stop);
    if let Ok(summary) = &mut result {
        summary.warnings.extend(left_behind);
        summary.warnings.extend(failure);
    }
    result
}

/// Continues an earlier run, if there is one, and starts to write checkpoints of this one.
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

/// The load and its end, from the first send to the last figure.
async fn load(
    plan: &Arc<Plan>,
    environment: &RunEnvironment,
    context: &Context,
    control: &mut RunControl,
    mut observer: Box<dyn Observer>,
    startup: Duration,
    committed: Option<CommittedOffsets>,
) -> Result<Summary, Error> {
    let shared = environment.shared.as_deref();
    let start = match shared {
        None => context.clock.now() + LEAD,
        Some(shared) => {
            observer.phase("waiting for the other shares");
            shared.wait_for_start(context.clock).await?
        }
    };
    let measured = (start + plan.times.warmup, start + plan.times.load_end());
    context.measurements.begin(start, measured, fault_windows(plan, start));
    begin_stages(plan, context, start);
    // A simulation has no wall clock.
    let epoch = context.clock.epoch_unix_ns();
    observer.begin(start, if context.clock.is_simulated() { 0 } else { epoch + start.0 });
    observer.phase("load");
    let mut collector = Collector::new(plan.topic.partitions as usize, start, measured);
    if !context.runtime.measures_the_host() {
        collector.cost.turn_off();
    }
    let builder = SummaryBuilder::new(context, environment, control.watch_status(), start, startup);
    let collecting = Collecting::start(builder.clone(), context, collector, observer, start)
        .map_err(|error| Error::Environment(format!("no thread for the collector: {error}")))?;

    let mut ending = control.load(start).await;
    context.note(Event::Phase { name: "draining".to_owned() });
    // Records that another process still sends would come after the end offsets.
    if let Some(shared) = shared {
        ending.warnings.extend(shared.wait_for_sends(plan.times.drain).await);
    }
    ending.warnings.extend(control.drain().await);
    let load_end = measured.1.min(ending.at);
    context.measurements.cells.iter().for_each(|cell| cell.lock().end(load_end));
    let collector = collecting.stop()?;
    if let Some(committed) = committed {
        committed.stop();
    }
    // The drain counts as well: records that were left unread then must not decide a verdict.
    let ended = match ending.interrupted || *control.interrupted.borrow() {
        true => Ended::Interrupted,
        false => Ended::InOrder,
    };
    match shared {
        None => Ok(builder.summary(&collector, ended, ending.at, ending.warnings)),
        Some(shared) => Ok(all_parts(plan, &builder, &collector, (ended, ending), shared).await),
    }
}

/// Sends this process's part to the others, and makes one summary of all parts.
async fn all_parts(
    plan: &Plan,
    builder: &SummaryBuilder,
    collector: &Collector,
    (ended, ending): (Ended, Ending),
    shared: &SharedRun,
) -> Summary {
    let mut warnings = ending.warnings;
    let measurements = builder.measurements();
    warnings.extend(shared.agree_on_positions(measurements, plan.times.drain).await);
    warnings.extend(shared.stopped());
    let part = builder.part(collector, ended, ending.at, warnings, shared);
    let (parts, lost) = shared.exchange(part).await;
    merge(plan, &parts, &lost)
}

/// Notes the beginnings of the load's stages.
fn begin_stages(plan: &Plan, context: &Context, start: Time) {
    let stages = &plan.load.stages;
    if stages.is_empty() {
        return;
    }
    let bounds = plan.rate_curve(PoolId(0)).bounds();
    let bounds = bounds.into_iter().map(|at_ns| Time(start.0 + at_ns)).collect();
    let waits = stages.iter().map(|stage| stage.until_lag_is_zero).collect();
    context.measurements.begin_stages(&StageBounds::new(bounds), waits);
}

/// Time from starting the pools to the first record that is due, in which they create their clients.
const LEAD: Duration = Duration::from_millis(100);
