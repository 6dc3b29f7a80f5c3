//! A plan in, a summary out.
//!
//! broker → topic and start offsets → measurements → the wiring → what is cleared afterwards.

mod account;
mod checkpointing;
mod committed_offsets;
mod environment;
mod explore;
#[cfg(test)]
mod leaks;
mod run_control;
mod sim;
mod traced;
mod wiring;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use self::environment::Stage;
use self::wiring::run_in;
use crate::base::{Clock, Leftovers, RunId, panic_text};
use crate::broker::rdkafka::{ClientFile, Deadline};
use crate::error::Error;
use crate::plan::{BrokerPlan, Plan};
use crate::summary::Summary;

pub use self::account::Observer;
pub use self::environment::{Options, record_host};
pub use self::explore::{
    Broken, CaseSize, Draw, ExploreError, ExploreSettings, Explored, Repro, Violation, explore,
    invariants,
};
pub use self::run_control::{KEEPING, listen};
pub use self::traced::{Traced, run_traced};

/// Runs a plan from beginning to end.
///
/// # Errors
/// There is no summary; [`Error`] has the reasons.
pub fn run(plan: Plan, options: Options, observer: Box<dyn Observer>) -> Result<Summary, Error> {
    if let BrokerPlan::Sim(settings) = &plan.broker {
        let settings = settings.clone();
        return sim::run(plan, &settings, options, observer);
    }
    environment::make_room(&plan)?;
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
    observer.phase("preparing the cluster and the topic");
    tracing::info!(%run, "preparing the cluster and the topic");
    let Options { client, handlers, .. } = options;
    let deadline = Deadline::new(clock, plan.times.startup, interrupted.clone());
    let stage = match set_stage(&plan, run, clock, client, &deadline, &leftovers).await {
        Ok(stage) => stage,
        Err(error) => return Err(with_leftovers(error, &leftovers)),
    };
    let environment = stage.environment(&plan, clock, deadline.left());
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

/// How much longer than its deadline the preparation may take: to delete a topic that was created.
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

/// Tells this run from all others: wall clock and process, mixed.
fn run_id(clock: Clock) -> RunId {
    let wall = crate::base::Seed(clock.epoch_unix_ns() as u64);
    RunId(wall.child("process", u64::from(std::process::id())).0)
}
