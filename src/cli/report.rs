//! `report`: what a run has left, shown again.

use std::path::PathBuf;

use clap::Args;

use super::output::{exit, outputs, show, tell};
use crate::base::printable_path;
use crate::error::{Error, Exit};
use crate::report::{OUTPUTS, Renderer, StoredResult, read_result};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// The directory of a run. Of a run that was cut off, or still goes on, everything but the last second is there.
    directory: PathBuf,

    /// What is printed on stdout.
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
