//! A panic is a bug that is reported in one message, and the measurements are kept. A panic of a handler is no bug.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::PATIENT;
use lanekeeper::base::PartitionId;
use lanekeeper::error::Exit;
use lanekeeper::logic::{Handler, HandlerError, Handlers, Record};
use lanekeeper::measure::IntervalTotals;
use lanekeeper::plan::{Overrides, compile};
use lanekeeper::run::{Observer, Options};
use lanekeeper::scenario::Source;

/// Two partitions for a second; a restart is immediate.
const LOAD: &str = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"20/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"1s\"\n";
/// Variable with the actions of the handler, in the process that a test starts.
const DOES: &str = "LANEKEEPER_TEST_HANDLER";
/// A value of a client property from the environment.
const SECRET: &str = "open-sesame-4711";

/// A handler that panics in `handle` or in `drop`.
struct Panicking {
    partition: PartitionId,
    in_handle: bool,
    in_drop: bool,
}

impl Handler for Panicking {
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
        assert!(!self.in_handle || record.offset.0 != 5, "what is wrong with record 5");
        Ok(())
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        // lanekeeper does not expect this panic. A second one at the same time would abort the process.
        let is_due = self.in_drop && !std::thread::panicking() && self.partition.0 == 1;
        assert!(!is_due, "dropped with {SECRET}\u{1b}[2J");
    }
}

/// The process that a test starts: a program with these handlers. It does not return.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "it is a program's `main`")]
fn program(does: &str) {
    let (in_handle, in_drop) = (does.contains("handle"), does.contains("drop"));
    let make = move |partition, _| Ok(Panicking { partition, in_handle, in_drop });
    let broker = if does.contains("sim") { "sim" } else { "embedded" };
    let mut line = vec!["lanekeeper", "run", "load.toml", "--out", "out", "--broker", broker];
    line.extend(PATIENT.iter().flat_map(|set| ["--set", set]));
    let code = lanekeeper::cli::main_from(line, Some(Handlers::new("panicking", make)));
    std::process::exit(code as i32);
}

/// The name of a test of this file in its test binary.
fn own_name(test: &str) -> String {
    format!("panics::{test}")
}

/// Starts `test`, which calls this, in another process, where it is the program with handlers.
fn run(directory: &Path, test: &str, does: &str) -> Output {
    if let Ok(does) = std::env::var(DOES) {
        program(&does);
    }
    std::fs::write(directory.join("load.toml"), LOAD).expect("a file");
    Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", &own_name(test), "--nocapture", "--test-threads=1"])
        .current_dir(directory)
        .env(DOES, does)
        .env("LANEKEEPER_CLIENT_SASL_PASSWORD", SECRET)
        .env_remove("RUST_BACKTRACE")
        .output()
        .expect("it starts")
}

#[track_caller]
fn assert_one_message(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(70), "{stderr}");
    assert_eq!(stderr.matches("this is a bug in lanekeeper").count(), 1, "{stderr}");
    let version = concat!("lanekeeper ", env!("CARGO_PKG_VERSION"), ", `run`");
    for said in ["panics.rs:", "dropped with (hidden)\\u{1b}[2J", version, "please report it"] {
        assert!(stderr.contains(said), "`{said}` is not in\n{stderr}");
    }
    for secret in [SECRET, "\u{1b}", "load.toml"] {
        assert!(!stderr.contains(secret), "{secret:?} is in\n{stderr}");
    }
    stderr
}

#[test]
fn a_panic_on_another_thread_is_70_and_the_result_is_kept() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let test = "a_panic_on_another_thread_is_70_and_the_result_is_kept";
    let output = run(scratch.path(), test, "drop");
    let stderr = assert_one_message(&output);
    assert!(stderr.contains("thread `consumer-1`"), "{stderr}");
    let stored = lanekeeper::report::read_result(&scratch.path().join("out")).expect("a result");
    assert_eq!(stored.summary.ledger.delivered, 40);
    assert!(String::from_utf8_lossy(&output.stdout).contains("saved to out"));
}

/// The message is visible after the end of the live view.
#[test]
fn a_panic_gives_the_terminal_back_first() {
    let test = "a_panic_gives_the_terminal_back_first";
    if std::env::var(DOES).is_ok() {
        program("drop");
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    // A kill drops the handler while the view is shown.
    let load = format!("{LOAD}[[fault]]\nat = \"500ms\"\nkill = {{ consumer = 1 }}\n");
    std::fs::write(scratch.path().join("load.toml"), load).expect("a file");
    let this = std::env::current_exe().expect("a program");
    let line = format!(
        "stty cols 80 rows 24; exec {} --exact {} --nocapture",
        this.display(),
        own_name(test)
    );
    let status = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line, "typescript"])
        .current_dir(scratch.path())
        .env(DOES, "drop")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .status();
    let shown = std::fs::read(scratch.path().join("typescript")).expect("a file");
    let shown = String::from_utf8_lossy(&shown);
    assert_eq!(status.expect("`script` is there").code(), Some(70), "{shown}");
    let (view, after) = shown.split_once("\u{1b}[?1049l").expect("the view is left");
    assert!(view.contains("\u{1b}[?1049h") && !view.contains("this is a bug"), "{shown}");
    assert!(after.contains("this is a bug in lanekeeper"), "{shown}");
}

#[test]
fn a_panic_in_a_simulation_is_70() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    assert_one_message(&run(scratch.path(), "a_panic_in_a_simulation_is_70", "drop sim"));
    // The events before the panic are kept.
    let events = std::fs::read_to_string(scratch.path().join("out/events.jsonl"));
    assert!(events.expect("a file").contains("consumer_ready"));
}

/// An observer that panics in the first second.
struct Fragile;

impl Observer for Fragile {
    fn second(&mut self, _: &IntervalTotals<'_>, _: Duration) {
        std::panic::resume_unwind(Box::new("a fragile observer"));
    }
}

/// The run continues to its end, stops its consumers and deletes its topic.
#[test]
fn a_collector_that_panics_is_a_bug_and_not_a_panic_of_the_run() {
    let source = Source { name: "load.toml".to_owned(), text: LOAD.to_owned() };
    let (plan, found) = compile(&source, &PATIENT.map(str::to_owned), &Overrides::default());
    let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
    let outcome = lanekeeper::run::run(plan, Options::default(), Box::new(Fragile));
    let error = outcome.expect_err("no figures");
    assert_eq!(error.exit(), Exit::Bug, "{error}");
}

#[test]
fn a_handler_that_panics_fails_its_consumer_and_is_no_bug() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let test = "a_handler_that_panics_fails_its_consumer_and_is_no_bug";
    let output = run(scratch.path(), test, "handle");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("a handler panicked at tests/program/panics.rs:"), "{stderr}");
    assert!(stderr.contains("what is wrong with record 5"), "{stderr}");
    assert!(!stderr.contains("a bug in lanekeeper"), "{stderr}");
}
