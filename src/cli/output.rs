//! What commands print, how `run` and `report` show a summary, and which exit code it gets.

use std::io::{self, ErrorKind, Write};

use clap::ValueEnum;

use crate::error::{Error, Exit};
use crate::report::render;
use crate::summary::{Summary, Verdict};

/// What is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The report.
    Text,
    /// The content of result.json, without its checksums.
    Json,
}

/// Prints to stdout. A reader that has gone away (`| head`) has seen enough: the command goes on, and its exit code is
/// that of everything printed. Any other failure is an error.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = anstream::stdout();
    printed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What it means that something was printed, or was not.
pub(super) fn printed(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Environment(format!(
            "cannot write to stdout: {error}; what was to be printed is not complete: make room, or send it \
             elsewhere"
        ))),
        _ => Ok(()),
    }
}

/// Says something on stderr. A stderr that takes nothing is no reason to stop.
pub(super) fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints the summary; `last_line` ends the text.
pub(super) fn show(summary: &Summary, format: Format, last_line: &str) -> Result<(), Error> {
    match format {
        Format::Text => print(&format!("{}\n{last_line}\n", render(summary, terminal_width()))),
        Format::Json => {
            let text = serde_json::to_string_pretty(summary)
                .map_err(|error| Error::Bug(error.to_string()))?;
            print(&format!("{text}\n"))
        }
    }
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
