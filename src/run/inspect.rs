//! An inspection of the cluster of a plan, without a run.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::administrator::{administrator_of, environment, rendered};
use super::{control_runtime, run_id};
use crate::base::Clock;
use crate::broker::client_libraries;
use crate::broker::settings::{ClientFile, ClientSettings};
use crate::broker::setup::{Cleaner, Deadline, Inspection};
use crate::error::Error;
use crate::plan::Plan;

/// Time limit of an inspection; `run.startup` may be shorter.
const LIMIT: Duration = Duration::from_secs(20);

/// Connects to the cluster of `plan` like a run, and returns a description of it. Writes nothing. Blocks for at most 20
/// s, or `run.startup` if that is shorter.
///
/// # Errors
/// The plan is for no cluster elsewhere, its properties are refused, or no broker answers.
pub fn inspect(plan: &Plan, client: ClientFile) -> Result<Inspection, Error> {
    let Some(bootstrap) = plan.broker.bootstrap.as_deref() else {
        let here = plan.broker.kind().here();
        let text = format!(
            "there is nothing to connect to: {here}; give a cluster with `--bootstrap HOST:PORT`"
        );
        return Err(Error::Input(text));
    };
    let (settings, topic, clock) = settings(plan, bootstrap, client)?;
    let mut admin = administrator_of(plan, &settings, bootstrap, &topic, clock)?;
    let runtime = control_runtime()?;
    let deadline = Deadline::of(clock, plan.times.startup.min(LIMIT));
    runtime.block_on(admin.inspect(plan, &deadline)).map_err(environment)
}

/// Finds and removes topics and groups of runs on the cluster at `bootstrap`, with a clock and a runtime for its
/// requests.
///
/// # Errors
/// The properties of the plan or of `client` are refused, or no client library of this build can do it.
pub(super) fn cleaner_at(
    plan: &Plan,
    bootstrap: &str,
    client: ClientFile,
) -> Result<(Box<dyn Cleaner>, Clock, Runtime), Error> {
    let (settings, topic, clock) = settings(plan, bootstrap, client)?;
    let cleaner =
        client_libraries().find_map(|library| library.cleaner(&settings, bootstrap, &topic, clock));
    let cleaner = cleaner.ok_or_else(|| {
        let text = "`clean` is not part of this build; build with `--features rdkafka`";
        Error::Input(text.to_owned())
    })?;
    Ok((cleaner.map_err(environment)?, clock, control_runtime()?))
}

/// The settings, the name of the topic and the clock, as of a run.
fn settings(
    plan: &Plan,
    bootstrap: &str,
    client: ClientFile,
) -> Result<(ClientSettings, String, Clock), Error> {
    let clock = Clock::start();
    let run = run_id(clock);
    let settings = ClientSettings::new(plan, bootstrap, run, client)
        .map_err(|refused| Error::Input(rendered(plan, &refused)))?;
    Ok((settings, plan.topic.name.resolve(run), clock))
}
