//! How `run` and `report` show a summary, and which exit code it gets.

use clap::ValueEnum;

use super::print;
use crate::error::{Error, Exit};
use crate::measure::{Summary, Verdict};
use crate::report::render;

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The report.
    Text,
    /// The content of result.json.
    Json,
}

/// Prints the summary; `last_line` ends the text.
pub(super) fn show(summary: &Summary, format: Format, last_line: &str) -> Result<(), Error> {
    match format {
        Format::Text => print(&format!("{}\n{last_line}\n", render(summary, terminal_width()))),
        Format::Json => {
            let text = serde_json::to_string_pretty(summary)
                .map_err(|error| Error::Bug(error.to_string()))?;
            print(&format!("{text}\n"));
        }
    }
    Ok(())
}

/// Characters of a line, if stdout is a terminal. What is piped somewhere is not wrapped.
fn terminal_width() -> Option<usize> {
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(usize::from(columns).max(WIDTH_MIN))
}

/// With less than this nothing can be laid out.
const WIDTH_MIN: usize = 40;

/// The exit code of a run that ended like this.
pub(super) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::Failed,
        Verdict::Invalid => Exit::Invalid,
        Verdict::Interrupted | Verdict::CutOff => Exit::Interrupted,
    }
}
