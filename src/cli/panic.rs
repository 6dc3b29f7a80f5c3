//! Panics: a bug in lanekeeper, told in one plain message.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::output::tell;
use crate::base::{is_in_handler, panic_text, printable};
use crate::broker::rdkafka::without_hidden;

/// Panics outside of handlers, of any thread or task.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Does `command`, and tells of panics on any thread. Returns what it came to and how many panics there were; nothing
/// when it did not come to its end.
pub(super) fn watched<T>(
    command: &'static str,
    has_handlers: bool,
    work: impl FnOnce() -> T,
) -> Option<(T, u64)> {
    std::panic::set_hook(Box::new(move |panic| {
        if is_in_handler() {
            // It fails its consumer and is in the journal.
            return tell(&format!("a handler panicked {}", account(panic)));
        }
        // What follows is often a consequence of the first one, and a simulation may be run a thousand times.
        if PANICS.fetch_add(1, Ordering::AcqRel) == 0 {
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

/// Whether a panic has been told of.
pub(super) fn is_told() -> bool {
    PANICS.load(Ordering::Acquire) > 0
}

/// Where it happened and what it said. No secret is in it.
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

/// What stands below the message of a bug. It has the command's name and not its arguments, which are the user's own.
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
