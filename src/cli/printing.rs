//! Commands that only print: `check` a scenario's plan, `report` a stored result, `schema` the JSON Schema of scenario files,
//! `completions` a script for a shell.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use super::arguments::{ClientArguments, ScenarioArguments};
use super::terminal::{exit, outputs, print, show, tell};
use crate::base::printable_path;
use crate::broker::rdkafka::from_outside;
use crate::error::{Error, Exit};
use crate::report::{OUTPUTS, Renderer, StoredResult, read_result};
use crate::scenario::json_schema;

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

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// The result directory of a run. While a run goes on, or after it was killed, all but its last second is there.
    directory: PathBuf,

    /// Format of the report on stdout.
    #[arg(long, value_parser = outputs(), default_value = OUTPUTS[0].name)]
    format: &'static Renderer,
}

/// Shows the result, and exits as its run did.
pub(super) fn report(arguments: &ReportArguments) -> Result<Exit, Error> {
    let StoredResult { summary, notes } =
        read_result(&arguments.directory).map_err(|error| Error::Input(error.to_string()))?;
    for note in notes {
        tell(&format!("note: {note}"));
    }
    let last_line = format!("results in {}", printable_path(&arguments.directory));
    show(&summary, arguments.format, &last_line)?;
    Ok(exit(summary.verdict))
}

/// Prints the schema.
pub(super) fn schema() -> Result<Exit, Error> {
    let text = serde_json::to_string_pretty(&json_schema())
        .map_err(|error| Error::Bug(error.to_string()))?;
    print(&format!("{text}\n"))?;
    Ok(Exit::Passed)
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Error> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "lanekeeper", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Passed)
}
