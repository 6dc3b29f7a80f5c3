//! `check`: what a scenario would do.

use clap::Args;

use super::print;
use super::scenario::ScenarioArguments;
use crate::error::{Error, Exit};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,
}

/// Prints the plan.
pub(super) fn check(arguments: &CheckArguments) -> Result<Exit, Error> {
    let plan = arguments.scenario.plan()?;
    print(&plan.describe());
    Ok(Exit::Passed)
}
