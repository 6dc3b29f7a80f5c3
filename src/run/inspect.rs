//! A look at the cluster of a plan, without a run.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::administrator::{Administrator, environment, rendered};
use super::{control_runtime, run_id};
use crate::base::Clock;
use crate::broker::rdkafka::{Admin, ClientFile, ClientSettings, Deadline, Inspection};
use crate::error::Error;
use crate::plan::Plan;

/// The longest look; `run.startup` may be shorter.
const LIMIT: Duration = Duration::from_secs(20);

/// Connects to the cluster of `plan` as a run would, and says what is there. Writes nothing. Blocks for 20 s at most, or
/// for `run.startup` if that is less.
///
/// # Errors
/// The plan is for no cluster elsewhere, its properties are refused, or no broker can be talked to.
pub fn inspect(plan: &Plan, client: ClientFile) -> Result<Inspection, Error> {
    let Some(bootstrap) = plan.broker.bootstrap.as_deref() else {
        let here = plan.broker.kind().here();
        let text = format!(
            "there is nothing to connect to: {here}; give a cluster with `--bootstrap HOST:PORT`"
        );
        return Err(Error::Input(text));
    };
    let (settings, topic, clock) = settings(plan, bootstrap, client)?;
    let admin = Administrator::of(plan, &settings, bootstrap, &topic, clock);
    let (mut admin, runtime) = (admin.map_err(environment)?, control_runtime()?);
    let deadline = Deadline::of(clock, plan.times.startup.min(LIMIT));
    runtime.block_on(admin.inspect(plan, &deadline)).map_err(environment)
}

/// An administrator of the cluster at `bootstrap` where there is no run, with a clock and a runtime for its questions.
///
/// # Errors
/// The properties of the plan or of `client` are refused.
pub(super) fn without_run(
    plan: &Plan,
    bootstrap: &str,
    client: ClientFile,
) -> Result<(Admin, Clock, Runtime), Error> {
    let (settings, topic, clock) = settings(plan, bootstrap, client)?;
    let admin = Admin::new(settings, bootstrap, &topic, clock).map_err(environment)?;
    Ok((admin, clock, control_runtime()?))
}

/// The settings, the name of the topic and the clock of a run that is not made.
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
