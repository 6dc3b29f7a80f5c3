//! `report`: what a run has left, shown again.

use std::path::PathBuf;

use clap::Args;

use super::output::{Format, exit, show, tell};
use crate::base::printable_path;
use crate::error::{Error, Exit};
use crate::report::{StoredResult, read_result};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// The result directory of a run. While a run goes on, or after it was killed, all but its last second is there.
    directory: PathBuf,

    /// Format of the report on stdout.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
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
