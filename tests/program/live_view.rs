//! The live view on a terminal of `script`: its end, and the conditions under which it is not shown.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::Tool;
use serde_json::Value;
use tempfile::TempDir;

const SCENARIO: &str = "
[topic]
partitions = 3
[load]
producers = 30
rate = \"10/s\"
[run]
warmup = \"200ms\"
duration = \"60s\"
[[fault]]
at = \"500ms\"
kill = { consumer = 1 }
";
const ENTERED: &str = "\u{1b}[?1049h";
const LEFT: &str = "\u{1b}[?1049l";
const LOOK: Duration = Duration::from_millis(20);
/// 60 s, which only a hang exceeds.
const LOOKS_MAX: u32 = 3_000;

/// A run on a terminal of 80 x 24.
struct OnTerminal {
    child: Child,
    scratch: TempDir,
}

impl OnTerminal {
    fn start(further: &str, environment: &[(&str, &str)]) -> OnTerminal {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        std::fs::write(scratch.path().join("load.toml"), SCENARIO).expect("a file");
        let program = env!("CARGO_BIN_EXE_lanekeeper");
        let line = format!(
            "stty cols 80 rows 24; echo $$ > pid; exec {program} run load.toml --out out {further}"
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command", &line, "typescript"]);
        command.current_dir(scratch.path()).env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
        command.env_remove("NO_COLOR").envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        OnTerminal { child: command.spawn().expect("`script` is there"), scratch }
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// All output to the terminal.
    fn shown(&self) -> String {
        let bytes = std::fs::read(self.path().join("typescript")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a word. The view writes no blanks, so it must be a single word.
    fn wait_for(&mut self, text: &str) {
        for _ in 0..LOOKS_MAX {
            if self.shown().contains(text) {
                return;
            }
            assert_eq!(self.child.try_wait().expect("a child"), None, "{}", self.shown());
            std::thread::sleep(LOOK);
        }
        panic!("`{text}` never came to\n{}", self.shown());
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(keys.as_bytes()).and_then(|()| stdin.flush()).expect("it reads keys");
    }

    fn signal(&self, signal: &str) {
        let id = std::fs::read_to_string(self.path().join("pid")).expect("a process id");
        // The process may have ended before the second of two signals.
        let _ = Command::new("kill").args([signal, id.trim()]).status().expect("`kill` is there");
    }

    /// Waits for its end. Returns its exit code, its output and its directory.
    fn finish(mut self) -> (i32, String, TempDir) {
        for _ in 0..LOOKS_MAX {
            if let Some(status) = self.child.try_wait().expect("a child") {
                let shown = self.shown();
                return (status.code().unwrap_or(-1), shown, self.scratch);
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        panic!("it did not end\n{}", self.shown());
    }
}

/// The output after the last end of the view.
fn after(shown: &str) -> &str {
    assert_eq!(shown.matches(ENTERED).count(), 1, "{shown}");
    let (before, after) = shown.rsplit_once(LEFT).unwrap_or_else(|| panic!("never left\n{shown}"));
    assert!(before.contains(ENTERED), "{shown}");
    assert!(after.contains("\u{1b}[?25h"), "the cursor is hidden\n{shown}");
    after
}

#[test]
fn q_ends_the_run_and_keeps_its_results() {
    let mut run = OnTerminal::start("", &[]);
    run.wait_for("injected:");
    run.wait_for("p99");
    run.press("sf");
    run.wait_for("FROZEN,");
    run.press("fq");
    let (code, shown, scratch) = run.finish();
    assert_eq!(code, 130, "{shown}");
    let kept = std::fs::read_to_string(scratch.path().join("out/result.json")).expect("a result");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert_eq!(kept["verdict"], "interrupted");
    let after = after(&shown);
    assert!(after.contains("interrupted: stopping and saving results"), "{after}");
    assert!(after.contains("INTERRUPTED") && after.contains("saved to out"), "{after}");
    // Colours are on, because the terminal supports them.
    assert!(shown.contains("38;5;"), "{shown}");
}

#[test]
fn a_second_signal_leaves_the_terminal_as_it_was() {
    let mut run = OnTerminal::start("", &[("NO_COLOR", "1")]);
    run.wait_for("injected:");
    run.signal("-TERM");
    run.wait_for("terminated:");
    run.signal("-TERM");
    let (code, shown, _) = run.finish();
    assert_eq!(code, 130, "{shown}");
    after(&shown);
    assert!(!shown.contains("38;5;"), "{shown}");
}

#[test]
fn without_a_terminal_or_with_live_plain_there_are_lines() {
    let short = ["run.duration=500ms", "fault[0].at=300ms"];
    let finished = Tool::run_text(SCENARIO).set(short).finish();
    assert!(finished.stderr.contains("load …"), "{}", finished.output());
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.output());
    let silent = Tool::run_text(SCENARIO).set(short).args(["--live", "off"]).finish();
    assert!(!silent.stderr.contains("load …"), "{}", silent.output());

    let further = "--set run.duration=500ms --set fault[0].at=300ms";
    for (plain, environment) in [("--live plain", &[][..]), ("", &[("TERM", "dumb")][..])] {
        let (_, shown, _) = OnTerminal::start(&format!("{further} {plain}"), environment).finish();
        assert!(!shown.contains(ENTERED), "{shown}");
        assert!(shown.contains("saved to out"), "{shown}");
    }
}
