//! Outputs that are closed or full, or whose reader has ended: the messages and exit codes of each command.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{Finished, PATIENT, Tool};

const SMALL: &str = "[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"20/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"2s\"\n[expect]\nlost = 0\n";

/// Every command that prints, with its exit code if all of its output is read.
const COMMANDS: [(&[&str], i32); 14] = [
    (&["schema"], 0),
    (&["completions", "zsh"], 0),
    (&["man"], 0),
    (&["--help"], 0),
    (&["run", "--help"], 0),
    (&["--version"], 0),
    (&["check", "small.toml"], 0),
    (&["report", "out"], 1),
    (&["report", "out", "--format", "json"], 1),
    (&["replay", "small.toml"], 0),
    (&["replay", "small.toml", "--trace", "--limit", "0"], 0),
    (&["replay", "small.toml", "--verify"], 0),
    (&["explore", "small.toml", "--seeds", "2", "--out", "repro.toml"], 0),
    (&["run", "small.toml", "--broker", "sim", "--set", "expect.delivered=1", "--out", "again"], 1),
];

/// A directory with a scenario, and the result of a run that has failed.
fn prepared() -> Finished {
    let tool = Tool::run_text(SMALL).file("small.toml", SMALL.as_bytes());
    tool.args(["--broker", "sim"]).set(["expect.delivered=1"]).exits(1)
}

fn program(directory: &Path, arguments: &[&str]) -> Command {
    // The output of the previous command.
    let _ = std::fs::remove_dir_all(directory.join("again"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanekeeper"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.env_remove("RUST_BACKTRACE").env_remove("LANEKEEPER_LOG");
    command
}

fn full() -> File {
    File::options().write(true).open("/dev/full").expect("a full device")
}

/// The writing end of a pipe whose reading end is closed.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs a command with a stream that a shell has closed by `>&-`.
fn closed(directory: &Path, arguments: &[&str], which: &str) -> Output {
    let named = program(directory, arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$0\" \"$@\" {which}")]).arg(named.get_program());
    shell.args(arguments).current_dir(directory).stdin(Stdio::null());
    shell.output().expect("a shell")
}

fn ended(child: std::io::Result<Child>) -> Output {
    child.and_then(Child::wait_with_output).expect("an end")
}

/// Asserts that every command exits as if all of its output were read.
fn assert_unchanged(run: impl Fn(&Path, &[&str]) -> Output) {
    let prepared = prepared();
    for (arguments, code) in COMMANDS {
        let output = run(prepared.scratch(), arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {stderr}");
        assert!(!stderr.contains("error"), "{arguments:?} {stderr}");
    }
}

#[test]
fn a_reader_that_went_away_changes_nothing() {
    assert_unchanged(|directory, arguments| {
        ended(program(directory, arguments).stdout(gone()).stderr(Stdio::piped()).spawn())
    });
}

#[test]
fn a_closed_stdout_changes_nothing() {
    assert_unchanged(|directory, arguments| closed(directory, arguments, ">&-"));
}

#[test]
fn a_full_disk_is_3_and_says_so() {
    let prepared = prepared();
    for (arguments, _) in COMMANDS {
        let mut command = program(prepared.scratch(), arguments);
        let output = ended(command.stdout(full()).stderr(Stdio::piped()).spawn());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?} {stderr}");
        let expected = "error: cannot write to stdout: No space left on device";
        assert!(stderr.contains(expected), "{arguments:?} {stderr}");
        assert!(!stderr.contains("bug in lanekeeper"), "{arguments:?} {stderr}");
    }
    // The result of the run can be shown later.
    let result = prepared.scratch().join("again");
    assert!(lanekeeper::report::read_result(&result).is_ok());
}

#[test]
fn a_stderr_that_takes_nothing_stops_nothing() {
    let prepared = prepared();
    let wrong: (&[&str], i32) = (&["check", "nowhere.toml"], 2);
    let talking: &[&str] = &["run", "small.toml", "--broker", "sim", "--out", "again", "-vv"];
    for (arguments, code) in COMMANDS.into_iter().chain([wrong, (talking, 0)]) {
        let run = |stderr: Stdio| {
            let mut command = program(prepared.scratch(), arguments);
            ended(command.stdout(Stdio::piped()).stderr(stderr).spawn()).status.code()
        };
        assert_eq!(run(full().into()), Some(code), "{arguments:?}");
        assert_eq!(run(gone()), Some(code), "{arguments:?}");
        let both = closed(prepared.scratch(), arguments, ">&- 2>&-");
        assert_eq!(both.status.code(), Some(code), "{arguments:?}");
    }
}

/// The clients of a run write to the log on threads of their own.
#[test]
fn a_run_that_cannot_say_anything_is_measured() {
    let prepared = prepared();
    let mut command = program(prepared.scratch(), &["run", "small.toml", "-vv", "--out", "again"]);
    command.args(PATIENT.iter().flat_map(|set| ["--set", set]));
    let output = ended(command.stdout(full()).stderr(full()).spawn());
    assert_eq!(output.status.code(), Some(3));
    let stored = lanekeeper::report::read_result(&prepared.scratch().join("again"));
    assert_eq!(stored.expect("a result").summary.ledger.delivered, 160);
}
