//! `list`: the results of earlier runs.

use std::path::PathBuf;

use clap::Args;

use super::terminal::{print, terminal_width};
use crate::base::printable_path;
use crate::error::{Error, Exit};
use crate::report::{past_results, past_results_text};

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// The directory that has the result directories.
    #[arg(default_value = "results")]
    directory: PathBuf,
}

/// Prints a line for each result. `report DIRECTORY` shows one of them.
pub(super) fn list(arguments: &ListArguments) -> Result<Exit, Error> {
    let named = printable_path(&arguments.directory);
    let results = past_results(&arguments.directory).map_err(|error| {
        Error::Input(format!(
            "cannot read the directory `{named}`: {error}; give the one that has the result directories, or make a run \
             first"
        ))
    })?;
    if results.is_empty() {
        print(&format!("no results in {named}\n"))?;
        return Ok(Exit::Passed);
    }
    print(&past_results_text(&results, terminal_width()))?;
    Ok(Exit::Passed)
}
