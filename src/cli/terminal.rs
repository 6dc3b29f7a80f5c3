//! Output to the terminal: printing, exit codes, messages of panics, and logs.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::base::{is_in_handler, panic_text, printable};
use crate::broker::settings::without_hidden;
use crate::error::{Error, Exit};
use crate::report::{LogWriter, OUTPUTS, Page, Renderer, leave_screen, say};
use crate::summary::{Summary, Verdict};

/// Parser of the names of the output formats.
pub(super) fn outputs() -> impl TypedValueParser<Value = &'static Renderer> {
    let value = |output: &Renderer| PossibleValue::new(output.name).help(output.meaning);
    let find =
        |name: String| OUTPUTS.into_iter().find(|output| output.name == name).ok_or("unknown");
    PossibleValuesParser::new(OUTPUTS.map(value)).try_map(find)
}

/// Prints to stdout. If the reader has closed the pipe (`| head`), the command continues and has its usual exit code.
/// Other failures are errors.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let mut stdout = anstream::stdout();
    printed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// The error of printing, if it is one.
pub(super) fn printed(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Environment(format!(
            "cannot write to stdout: {error}; what was to be printed is not complete: make room, or send it \
             elsewhere"
        ))),
        _ => Ok(()),
    }
}

/// Prints to stderr. A stderr that cannot be written to does not stop the command.
pub(super) fn tell(text: &str) {
    say(text);
}

/// Which report is asked for.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Asked {
    /// Format of the report on stdout.
    #[arg(long, value_parser = outputs(), default_value = OUTPUTS[0].name)]
    pub(super) format: &'static Renderer,

    /// Print everything: all expectations, partitions, parts of the latency, and counts of 0.
    #[arg(long)]
    pub(super) full: bool,

    /// Explain the latency of this partition: the parts of its time, its leader, lag, stalls, faults and slowest records.
    /// With `--format json`, its part of result.json.
    #[arg(long, value_name = "ID", conflicts_with = "full", allow_negative_numbers = true)]
    pub(super) partition: Option<u32>,
}

impl Asked {
    /// Refuses a partition id beyond this number of partitions.
    pub(super) fn require_partition(&self, partitions: u32) -> Result<(), Error> {
        match self.partition {
            Some(id) if id >= partitions => Err(Error::Input(format!(
                "there is no partition {id}\n  help: partitions are 0 to {}",
                partitions.saturating_sub(1)
            ))),
            _ => Ok(()),
        }
    }
}

/// Prints the requested parts of the summary. `last_line` is the end of a text for people.
pub(super) fn show(summary: &Summary, asked: &Asked, last_line: &str) -> Result<(), Error> {
    let Asked { format, full: is_full, partition } = *asked;
    let page = Page { width: terminal_width(), is_full, partition, last_line };
    print(&(format.print)(summary, &page).map_err(|error| Error::Bug(error.to_string()))?)
}

/// Width of a line: the value of `COLUMNS`, or the terminal's width. `None` if stdout is no terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let of_terminal = || Some(usize::from(console::Term::stdout().size_checked()?.1));
    asked.filter(|columns| *columns > 0).or_else(of_terminal).map(|width| width.max(WIDTH_MIN))
}

/// The same, with a default if stdout is no terminal.
pub(super) fn line_width() -> usize {
    terminal_width().unwrap_or(80)
}

/// Smallest width for layouts.
const WIDTH_MIN: usize = 40;

/// The exit code of a run with this verdict.
pub(super) fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Passed => Exit::Passed,
        Verdict::Failed => Exit::Failed,
        Verdict::Invalid => Exit::Invalid,
        Verdict::Interrupted | Verdict::CutOff => Exit::Interrupted,
    }
}

/// Number of panics outside of handlers, in all threads and tasks.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Runs `command`, and reports panics on any thread. Returns its result and the number of panics; `None` if the command
/// itself panicked.
pub(super) fn with_panics_told<T>(
    command: &'static str,
    has_handlers: bool,
    work: impl FnOnce() -> T,
) -> Option<(T, u64)> {
    std::panic::set_hook(Box::new(move |panic| {
        if is_in_handler() {
            // The panic fails the handler's consumer, and is in the journal.
            return tell(&format!("a handler panicked {}", account(panic)));
        }
        // Only the first panic is printed. Later ones are often consequences, and a simulation may run a thousand
        // times.
        if PANICS.fetch_add(1, Ordering::AcqRel) == 0 {
            leave_screen();
            tell(&message(command, has_handlers, &account(panic)));
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                tell(&trace.to_string());
            }
        }
    }));
    let before = PANICS.load(Ordering::Acquire);
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    let panics = PANICS.load(Ordering::Acquire) - before;
    outcome.map(|outcome| (outcome, panics))
}

/// True if a panic was printed.
pub(super) fn has_told_of_a_panic() -> bool {
    PANICS.load(Ordering::Acquire) > 0
}

/// Place and message of a panic. They contain no secret.
fn account(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let said = panic_text(panic.payload()).unwrap_or("no message");
    format!("at {place}, thread `{thread}`: {}", printable(&without_hidden(said)))
}

fn message(command: &str, has_handlers: bool, account: &str) -> String {
    let or_handler = if has_handlers { ", or in this program's handlers" } else { "" };
    format!(
        "error: this is a bug in lanekeeper{or_handler}: it panicked {account}\n{}. With RUST_BACKTRACE=1 it says how \
         it came there",
        what_to_report(command)
    )
}

/// The text below the message of a bug. It names the command but not its arguments, which belong to the user.
pub(super) fn what_to_report(command: &str) -> String {
    let (version, os, cpu) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "  lanekeeper {version}, `{command}`, {os} {cpu}\n  \
         what a run has measured until then is in its result directory, and may be wrong\n  \
         help: please report it where you have lanekeeper from, with this message and the scenario; values of client \
         files and the environment are not in it"
    )
}

/// Starts logging. `LANEKEEPER_LOG` (in the format of `RUST_LOG`) overrides -v on stderr.
pub(super) fn start_logging(verbose: u8, directory: Option<&Path>) {
    // ractor puts each actor in a span with its id, which is process-wide and of no use to readers.
    let level = match verbose {
        0 => "error,ractor=off",
        1 => "info,ractor=off",
        _ => "debug,ractor=off",
    };
    let filter =
        EnvFilter::try_from_env("LANEKEEPER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let colour = !matches!(anstream::stderr().current_choice(), anstream::ColorChoice::Never);
    // With errors printed to stderr, a failure to write to stderr would panic.
    let stderr = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(|| LogWriter)
        .with_ansi(colour)
        .with_target(false)
        .with_filter(filter);
    let file = directory.map(|directory| {
        log_to(directory);
        tracing_subscriber::fmt::layer()
            .log_internal_errors(false)
            .with_writer(|| RunLog)
            .with_ansi(false)
            .with_target(false)
            .with_filter(EnvFilter::new("info,ractor=off"))
    });
    // In tests, a second start keeps the first logger.
    let _ = tracing_subscriber::registry().with(stderr).with(file).try_init();
}

/// The file for log lines.
static RUN_LOG: Mutex<Option<File>> = Mutex::new(None);

/// Writes later log lines to a file in `directory`, or to none if it cannot be created.
pub(super) fn log_to(directory: &Path) {
    let file = File::create(directory.join("run.log")).ok();
    *RUN_LOG.lock().unwrap_or_else(PoisonError::into_inner) = file;
}

/// A writer to the current log file.
struct RunLog;

impl Write for RunLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *RUN_LOG.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => file.write(bytes),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_to_report_and_where() {
        let message = message("run", false, "at src/x.rs:1:2, thread `collector`: overflow");
        assert!(message.starts_with(
            "error: this is a bug in lanekeeper: it panicked at src/x.rs:1:2, thread `collector`: overflow\n"
        ));
        for said in [concat!("lanekeeper ", env!("CARGO_PKG_VERSION"), ", `run`"), "please report"]
        {
            assert!(message.contains(said), "{message}");
        }
    }
}
