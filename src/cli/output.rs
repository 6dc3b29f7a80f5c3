//! What commands print, how `run` and `report` show a summary, and which exit code it gets.

use std::io::{self, ErrorKind, Write};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::error::{Error, Exit};
use crate::report::{OUTPUTS, Page, Renderer};
use crate::summary::{Summary, Verdict};

/// The ways to print a summary, by name.
pub(super) fn outputs() -> impl TypedValueParser<Value = &'static Renderer> {
    let value = |output: &Renderer| PossibleValue::new(output.name).help(output.meaning);
    let find =
        |name: String| OUTPUTS.into_iter().find(|output| output.name == name).ok_or("unknown");
    PossibleValuesParser::new(OUTPUTS.map(value)).try_map(find)
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

/// Prints the summary; `last_line` ends a text for people.
pub(super) fn show(summary: &Summary, output: &Renderer, last_line: &str) -> Result<(), Error> {
    let page = Page { width: terminal_width(), last_line };
    print(&(output.print)(summary, &page).map_err(|error| Error::Bug(error.to_string()))?)
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
