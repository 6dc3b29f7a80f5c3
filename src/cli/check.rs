//! `check`: what a scenario would do.

use clap::Args;

use super::client::ClientArguments;
use super::output::print;
use super::scenario::ScenarioArguments;
use crate::broker::rdkafka::from_outside;
use crate::error::{Error, Exit};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,

    #[command(flatten)]
    client: ClientArguments,
}

/// Prints the plan.
pub(super) fn check(arguments: &CheckArguments) -> Result<Exit, Error> {
    let (plan, file) = arguments.client.with_plan(&arguments.scenario)?;
    let outside = from_outside(&plan, &file).into_iter();
    let lines: String = outside.map(|property| format!("{:<12}{property}\n", "client")).collect();
    print(&(plan.describe() + &lines))?;
    Ok(Exit::Passed)
}
