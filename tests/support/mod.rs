//! Runs the program as a user does: the built binary, in a scratch directory, with a time limit.
//!
//! Tests assert counts, order, owners, states, texts and exit codes, but no times, so that they pass on a busy machine.
//! [`Tool::run`] therefore lifts the limits beyond which a run is `INVALID`.

#![allow(dead_code, reason = "every test binary uses a part of it")]

pub(crate) mod server;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lanekeeper::summary::{PartitionSummary, Summary};
use serde_json::Value;
use tempfile::TempDir;

/// Longest time of a process that does not hang.
const LIMIT: Duration = Duration::from_secs(150);
/// Time between two checks of the process.
const LOOK: Duration = Duration::from_millis(10);

/// Settings with which the verdict depends on the scenario alone, and not on the load of the machine.
pub(crate) const PATIENT: [&str; 3] =
    ["limits.lateness_p99=1h", "limits.cpu_share=1.0", "limits.sent_min=0.0"];

/// The first words of a scenario that needs a real cluster.
pub(crate) const REAL_ONLY: &str = "# Needs `--broker kafka`";

/// The first words of a scenario that needs the simulator.
pub(crate) const SIM_ONLY: &str = "# Needs `--broker sim`";

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file of the repository.
pub(crate) fn text_of(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files below a directory of the repository with this ending, sorted, as paths from the root.
pub(crate) fn files_below(directory: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                let path = path.strip_prefix(root()).expect("a path below the root");
                found.push(path.to_str().expect("a readable name").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A lock for runs that use the machine fully, which would slow down the others in their binary.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call of the program.
#[must_use]
pub(crate) struct Tool {
    command: Command,
    scratch: TempDir,
}

impl Tool {
    /// The program without arguments, in an empty directory of its own.
    pub(crate) fn new() -> Tool {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanekeeper"));
        command.current_dir(scratch.path()).stdin(Stdio::null());
        // The settings of a developer must not change the output.
        for name in ["LANEKEEPER_LOG", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        // Tests search for texts in lines that are not wrapped.
        command.env("COLUMNS", "10000");
        Tool { command, scratch }
    }

    /// `run` of a scenario of the repository, on the embedded broker, with patient limits.
    pub(crate) fn run(scenario: &str) -> Tool {
        let path = root().join("scenarios").join(scenario);
        Tool::new().arg("run").arg(path).args(["--out", "out"]).set(PATIENT)
    }

    /// `run` of a scenario given as text.
    pub(crate) fn run_text(text: &str) -> Tool {
        let tool = Tool::new().file("scenario.toml", text.as_bytes());
        tool.args(["run", "scenario.toml", "--out", "out"]).set(PATIENT)
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Tool {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Tool {
        self.command.args(arguments);
        self
    }

    /// Adds overrides of the scenario.
    pub(crate) fn set<'a>(mut self, overrides: impl IntoIterator<Item = &'a str>) -> Tool {
        for text in overrides {
            self.command.args(["--set", text]);
        }
        self
    }

    /// Runs it in a control group, whose file for process ids is `processes`.
    pub(crate) fn in_group(self, processes: &Path) -> Tool {
        self.after(&format!("echo $$ > '{}'", processes.display()))
    }

    /// Runs it in the process of a shell after `setting`, such as `ulimit -n 20`.
    pub(crate) fn after(mut self, setting: &str) -> Tool {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("{setting} && exec \"$0\" \"$@\"")]);
        shell.arg(self.command.get_program()).args(self.command.get_args());
        shell.current_dir(self.scratch.path()).stdin(Stdio::null());
        self.command = shell;
        self
    }

    /// Limits its address space to `bytes` bytes.
    pub(crate) fn with_memory(mut self, bytes: u64) -> Tool {
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--as={bytes}")).arg(self.command.get_program());
        limited.args(self.command.get_args());
        limited.current_dir(self.scratch.path()).stdin(Stdio::null());
        self.command = limited;
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(
        mut self,
        name: impl AsRef<std::ffi::OsStr>,
        value: impl AsRef<std::ffi::OsStr>,
    ) -> Tool {
        self.command.env(name, value);
        self
    }

    /// Runs it in this directory instead of the scratch directory.
    pub(crate) fn current_dir(mut self, path: &Path) -> Tool {
        self.command.current_dir(path);
        self
    }

    /// Writes a file into the scratch directory before the start.
    pub(crate) fn file(self, name: &str, content: &[u8]) -> Tool {
        std::fs::write(self.scratch.path().join(name), content).expect("a writable scratch");
        self
    }

    /// A path in the scratch directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Runs it and waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }

    /// Runs it and expects this exit code.
    pub(crate) fn exits(self, code: i32) -> Finished {
        let finished = self.finish();
        assert_eq!(finished.code, code, "{}", finished.output());
        finished
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let stdout = reader(child.stdout.take().expect("a pipe"));
        let stderr = reader(child.stderr.take().expect("a pipe"));
        let looks = (LIMIT.as_millis() / LOOK.as_millis()) as u32;
        Running { child, stdout, stderr, scratch: self.scratch, looks }
    }
}

/// Reads a pipe to its end on a thread, so that the process never waits for the test.
fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a readable pipe");
        bytes
    })
}

/// The running program.
pub(crate) struct Running {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    scratch: TempDir,
    /// Number of further checks until it counts as hung.
    looks: u32,
}

impl Running {
    /// The scratch directory it runs in.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Waits until a file of the result directory contains `text`.
    pub(crate) fn await_text(&mut self, file: &str, text: &str) {
        let path = self.scratch.path().join("out").join(file);
        while !std::fs::read_to_string(&path).unwrap_or_default().contains(text) {
            assert!(self.is_running(), "it ended before `{text}` came to {file}");
        }
    }

    /// Waits for a moment, in which it must not end.
    pub(crate) fn look(&mut self) {
        assert!(self.is_running(), "it ended by itself");
    }

    /// True if it still runs after a moment. Ends it if it hangs.
    pub(crate) fn is_running(&mut self) -> bool {
        std::thread::sleep(LOOK);
        self.looks -= 1;
        if self.looks == 0 {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("it did not end within {} s", LIMIT.as_secs());
        }
        self.child.try_wait().expect("a child").is_none()
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends the signal `SIG` + `name`.
    pub(crate) fn signal(&self, name: &str) {
        let (id, signal) = (self.child.id().to_string(), format!("-{name}"));
        let sent = Command::new("kill").args([&signal, &id]).status().expect("`kill` is there");
        assert!(sent.success());
    }

    /// Ends it by SIGKILL, which it cannot handle.
    pub(crate) fn kill(mut self) -> Finished {
        self.child.kill().expect("a child to kill");
        self.finish()
    }

    /// Sends SIGINT until it ends.
    pub(crate) fn interrupt_until_it_ends(mut self) -> Finished {
        while self.is_running() {
            self.interrupt();
        }
        self.finish()
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        while self.is_running() {}
        let status = self.child.wait().expect("a child that has ended");
        let text = |reader: JoinHandle<Vec<u8>>| {
            String::from_utf8(reader.join().expect("a reader")).expect("UTF-8")
        };
        Finished {
            // A process that a signal has ended has no exit code.
            code: status.code().unwrap_or(-1),
            stdout: text(self.stdout),
            stderr: text(self.stderr),
            scratch: self.scratch,
        }
    }
}

/// The result of the program.
pub(crate) struct Finished {
    /// Exit code.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
    scratch: TempDir,
}

impl Finished {
    /// Its exit code and both outputs, for the message of an assertion.
    pub(crate) fn output(&self) -> String {
        format!("exit code {}\n{}\n{}", self.code, self.stderr, self.stdout)
    }

    /// The scratch directory.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The result directory.
    pub(crate) fn out(&self) -> PathBuf {
        self.scratch.path().join("out")
    }

    /// A file of the result directory.
    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.out().join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}\n{}", self.output()))
    }

    /// `result.json` as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.read("result.json")).expect("JSON")
    }

    /// `result.json` as the type of the library.
    pub(crate) fn summary(&self) -> Summary {
        serde_json::from_str(&self.read("result.json")).expect("a summary")
    }
}

/// `report` of the result directory of a run.
pub(crate) fn report_of(finished: &Finished) -> Tool {
    Tool::new().current_dir(finished.scratch()).args(["report", "out"])
}

/// Asserts that every record was processed once, in order and unchanged.
#[track_caller]
pub(crate) fn assert_clean(summary: &Summary) {
    let l = &summary.ledger;
    assert_eq!((l.acked, l.delivered), (l.sent, l.sent), "{l:?} {:?}", summary.warnings);
    let bad = [l.failed, l.indeterminate, l.lost, l.duplicated, l.reordered, l.corrupt];
    assert_eq!(bad, [0; 6], "{l:?} {:?}", summary.warnings);
    assert_eq!((l.other_producers, summary.wrong_partition), (0, 0), "{l:?}");
    // The achieved rate does not count records that are processed again.
    let achieved = summary.achieved_per_s * summary.duration_s;
    assert!(achieved <= l.sent as f64 + 0.5, "{achieved} of {}", l.sent);
    let sum =
        |count: fn(&PartitionSummary) -> u64| summary.partitions.iter().map(count).sum::<u64>();
    assert_eq!(sum(|p| p.ledger.sent), l.sent);
    assert_eq!(sum(|p| p.ledger.delivered), l.delivered);
}

/// The owners of a partition, in order: consumer and number of its start.
pub(crate) fn owners(partition: &PartitionSummary) -> Vec<(u32, u32)> {
    partition.owners.iter().map(|owner| (owner.consumer, owner.start)).collect()
}

/// Records sent to each partition.
pub(crate) fn sent_per_partition(summary: &Summary) -> Vec<u64> {
    summary.partitions.iter().map(|p| p.ledger.sent).collect()
}
