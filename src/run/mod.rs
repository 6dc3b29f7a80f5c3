//! Makes a run: a plan is the input, and a summary the result.
//!
//! The steps are: broker, topic and start offsets, measurements, the wiring, and undoing the changes outside.

mod administrator;
mod backlog;
mod broker_guard;
mod checkpointing;
mod clean;
mod collecting;
mod committed_offsets;
mod drain;
mod environment;
mod explore;
mod inspect;
#[cfg(test)]
mod leaks;
mod process_limits;
mod run_control;
mod shares;
mod sim;
mod summary_builder;
mod traced;
mod wiring;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use self::administrator::rendered;
use self::environment::{Stage, StartCluster, StartedCluster};
use self::shares::{Beginning, SharedRun};
use self::wiring::run_in;
use crate::base::{BrokerKind, Clock, Leftovers, RunId, panic_text};
use crate::broker::not_built_in;
use crate::broker::settings::ClientFile;
use crate::broker::setup::Deadline;
use crate::error::Error;
use crate::plan::Plan;
use crate::summary::Summary;

pub use self::clean::Cleaning;
pub use self::collecting::Observer;
pub use self::environment::{Options, PartSlot, record_host};
pub use self::explore::{
    Broken, CaseSize, Draw, ExploreError, ExploreSettings, Explored, RecordStory, Repro, Violation,
    explore, invariants,
};
pub use self::inspect::inspect;
pub use self::process_limits::make_room;
pub use self::run_control::{KEEPING, listen};
pub use self::shares::{merge, plan_of};
pub use self::traced::{Traced, run_traced};

/// Runs a plan from beginning to end.
///
/// # Errors
/// There is no summary; [`Error`] has the reasons.
pub fn run(plan: Plan, options: Options, observer: Box<dyn Observer>) -> Result<Summary, Error> {
    if let Some(refusal) = not_built_in(&plan) {
        return Err(Error::Input(rendered(&plan, &[refusal])));
    }
    let kind = plan.broker.kind();
    match MAKERS.iter().find(|(known, _)| *known == kind) {
        Some((_, Maker::Threads(start))) => on_threads(plan, options, observer, *start),
        Some((_, Maker::Simulation)) => sim::run(plan, options, observer),
        None => Err(Error::Bug(format!("no line says how a run on `{kind}` is made"))),
    }
}

/// The way in which a run is made.
enum Maker {
    /// In real time, with threads and a cluster that this function starts or finds.
    Threads(StartCluster),
    /// In virtual time.
    Simulation,
}

/// The way in which a run is made on each kind of broker.
const MAKERS: &[(BrokerKind, Maker)] = &[
    (BrokerKind::EMBEDDED, Maker::Threads(StartedCluster::embedded)),
    (BrokerKind::KAFKA, Maker::Threads(StartedCluster::elsewhere)),
    (BrokerKind::SIM, Maker::Simulation),
];

fn on_threads(
    plan: Plan,
    options: Options,
    observer: Box<dyn Observer>,
    start: StartCluster,
) -> Result<Summary, Error> {
    make_room(&plan)?;
    let clock = Clock::start();
    let runtime = control_runtime()?;
    let leftovers = options.leftovers.clone();
    let running = run_on(Arc::new(plan), start, options, observer, clock, leftovers.clone());
    // After a bug, the list has the changes that were not undone.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(running))).unwrap_or_else(|panic| {
            let said = panic_text(&*panic).unwrap_or("a panic").to_owned();
            Err(with_leftovers(Error::Bug(said), &leftovers))
        });
    // After an interruption, a request to a broker that does not answer may still be in progress.
    runtime.shutdown_background();
    outcome
}

async fn run_on(
    plan: Arc<Plan>,
    start: StartCluster,
    options: Options,
    mut observer: Box<dyn Observer>,
    clock: Clock,
    leftovers: Leftovers,
) -> Result<Summary, Error> {
    let run = run_id(clock);
    let client = options.client.clone();
    let interrupted = options.interrupted.clone().unwrap_or_else(|| listen(KEEPING, &leftovers));
    let beginning = match plan.share {
        None => Ok(Beginning { clock, run, interrupted, shared: None }),
        Some(share) => {
            observer.phase("meeting the other shares");
            let alone = (clock, run);
            SharedRun::join(&plan, share, client, alone, interrupted, &leftovers).await
        }
    };
    let beginning = beginning.map_err(|error| with_leftovers(error, &leftovers))?;
    let part = options.part.clone();
    let shared = beginning.shared.clone();
    let mut outcome = run_begun(plan, start, options, observer, beginning, leftovers.clone()).await;
    if let Some(shared) = shared {
        if let (Err(_), Some(why)) = (&outcome, shared.stopped()) {
            // Another process has ended the run before its load began. The error here is a consequence: share 1 removes
            // the topic, for example.
            outcome = Err(Error::Environment(why));
        }
        shared.leave(outcome.as_ref().err()).await;
        *part.lock().unwrap_or_else(PoisonError::into_inner) = shared.part();
    }
    // The list is complete after the shares have parted, because the control topic is removed last.
    let mut summary = outcome.map_err(|error| with_leftovers(error, &leftovers))?;
    summary.warnings.extend(leftovers.lines());
    Ok(summary)
}

/// Makes the run from the topic on. Its clock and its id are known.
async fn run_begun(
    plan: Arc<Plan>,
    start: StartCluster,
    options: Options,
    mut observer: Box<dyn Observer>,
    beginning: Beginning,
    leftovers: Leftovers,
) -> Result<Summary, Error> {
    let Beginning { clock, run, interrupted, shared } = beginning;
    let Options { client, handlers, lease, .. } = options;
    let lease = lease.unwrap_or_else(|| Path::new(RESULTS).join(format!("faults-of-{run}")));
    observer.phase("preparing the cluster and the topic");
    tracing::info!(%run, "preparing the cluster and the topic");
    let deadline = Deadline::new(clock, plan.times.startup, interrupted.clone());
    if let Some(shared) = &shared {
        shared.wait_for_topic(&deadline).await?;
    }
    let stage = set_stage(&plan, start, run, clock, client, &deadline, &leftovers).await?;
    let mut environment = stage.environment(&plan, clock, deadline.left(), lease);
    if let Some(shared) = &shared {
        shared.topic_is_ready();
        shared.share_positions(&environment.measurements);
    }
    environment.shared = shared;
    let outcome = run_in(&plan, &environment, run, clock, handlers, observer, interrupted).await;
    let cleaned = stage.clear(&plan).await;
    let mut summary = outcome?;
    summary.warnings.extend(cleaned);
    Ok(summary)
}

/// Directory of results, and of leases of runs without a result directory.
pub const RESULTS: &str = "results";

/// An error with the list of changes that the user has to undo, if there are any.
fn with_leftovers(error: Error, leftovers: &Leftovers) -> Error {
    let left = leftovers.lines();
    if left.is_empty() { error } else { Error::LeftBehind { error: Box::new(error), left } }
}

/// Time beyond its deadline that the preparation may take, to delete a topic that it created.
const STAGE_ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Prepares the cluster on a thread that may block. It ends soon after its deadline or an interruption. If the client
/// library hangs nevertheless, the thread is not waited for.
async fn set_stage(
    plan: &Arc<Plan>,
    start: StartCluster,
    run: RunId,
    clock: Clock,
    client: ClientFile,
    deadline: &Deadline,
    leftovers: &Leftovers,
) -> Result<Stage, Error> {
    let (plan, control) = (plan.clone(), tokio::runtime::Handle::current());
    let (own, left) = (deadline.clone(), leftovers.clone());
    let setting = tokio::task::spawn_blocking(move || {
        control.block_on(Stage::set(&plan, start, run, client, clock, &own, &left))
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

/// Waits for the deadline, and then for the time that undoing may take.
async fn too_long(deadline: &Deadline) {
    while !deadline.is_over() {
        tokio::time::sleep(deadline.left().min(Duration::from_millis(100))).await;
    }
    tokio::time::sleep(STAGE_ENDS_WITHIN).await;
}

/// The runtime for everything but the load: timers, signals, one task per actor.
fn control_runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Environment(format!("no runtime: {error}")))
}

/// A random id of the run, made of wall clock and process id.
fn run_id(clock: Clock) -> RunId {
    let wall = crate::base::Seed(clock.epoch_unix_ns() as u64);
    RunId::marked(wall.child("process", u64::from(std::process::id())).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BROKER_KINDS;

    #[test]
    fn every_kind_of_broker_has_one_line_that_says_how_a_run_on_it_is_made() {
        let made: Vec<BrokerKind> = MAKERS.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(made, BROKER_KINDS);
    }
}
