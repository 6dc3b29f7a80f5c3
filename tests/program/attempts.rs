//! `run --retry-invalid`, and the script of `ci/` that uses it.

use std::process::Command;

use crate::support::{Tool, root, text_of};
use serde_json::Value;

const SHORT: &str = "
[topic]
partitions = 2
[load]
producers = 4
rate = \"20/s\"
[run]
warmup = \"0s\"
duration = \"600ms\"
[limits]
lateness_p99 = \"1h\"
sent_min = 0.0
cpu_share = 1.0
[expect]
lost = 0
";
/// A limit that every machine exceeds, so the run is invalid.
const INVALID: &str = "limits.cpu_share=0.000001";

#[test]
fn an_invalid_run_is_repeated_and_each_attempt_is_kept() {
    let tool = Tool::new().file("load.toml", SHORT.as_bytes());
    let tool = tool.args(["run", "load.toml", "--out", "out", "--retry-invalid", "1"]);
    let finished = tool.args(["--set", INVALID, "--junit", "junit.xml"]).exits(4);
    for said in ["attempt 1 of 2 is INVALID: this process used", "attempt 2 of 2\n"] {
        assert!(finished.stderr.contains(said), "{}", finished.output());
    }
    assert_eq!(finished.stdout.matches("saved to").count(), 1, "{}", finished.output());
    assert!(finished.stdout.contains("saved to out-attempt-2 (attempt 2 of 2)"));
    let mut runs = Vec::new();
    for directory in ["out", "out-attempt-2"] {
        let read = |name: &str| {
            let path = finished.scratch().join(directory).join(name);
            std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let result: Value = serde_json::from_str(&read("result.json")).expect("JSON");
        assert_eq!(result["verdict"], "invalid");
        assert!(read("run.log").contains("preparing the cluster"), "{directory}");
        runs.push(result["run_id"].clone());
    }
    assert_ne!(runs[0], runs[1]);
    assert!(finished.scratch().join("junit.xml").exists());
}

#[test]
fn a_run_that_decides_is_not_repeated() {
    for (expectation, code) in [("expect.lost=0", 0), ("expect.restarts=5", 1)] {
        let tool = Tool::new().file("load.toml", SHORT.as_bytes());
        let tool = tool.args(["run", "load.toml", "--out", "out", "--broker", "sim"]);
        let finished = tool.args(["--set", expectation, "--retry-invalid", "2"]).exits(code);
        assert!(!finished.stderr.contains("attempt"), "{}", finished.output());
        assert!(finished.stdout.contains("saved to out (attempt 1 of 3)"), "{}", finished.output());
        assert!(!finished.scratch().join("out-attempt-2").exists());
    }
    // The first attempt does not begin if the directory of a later one is not empty.
    let tool = Tool::new().file("load.toml", SHORT.as_bytes());
    std::fs::create_dir(tool.path("out-attempt-3")).expect("a directory");
    std::fs::write(tool.path("out-attempt-3/kept"), "").expect("a file");
    let tool = tool.args(["run", "load.toml", "--out", "out", "--broker", "sim"]);
    let finished = tool.args(["--retry-invalid", "2"]).exits(3);
    assert!(finished.stderr.contains("out-attempt-3 is not empty"), "{}", finished.output());
    assert!(!finished.out().exists());
}

/// Runs `ci/run.sh` with these settings. Returns the exit code, the output, and the directory.
fn ci(settings: &[(&str, &str)]) -> (i32, String, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    std::fs::write(scratch.path().join("load.toml"), SHORT).expect("a file");
    let mut command = Command::new(root().join("ci/run.sh"));
    command.current_dir(scratch.path()).env("LANEKEEPER", env!("CARGO_BIN_EXE_lanekeeper"));
    for name in ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "LANEKEEPER_LOG"] {
        command.env_remove(name);
    }
    let output = command.envs(settings.iter().copied()).output().expect("bash is there");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code().unwrap_or(-1), text.concat(), scratch)
}

#[test]
fn the_script_for_ci_keeps_everything() {
    let scenario = ("LANEKEEPER_SCENARIO", "load.toml");
    let (code, text, scratch) =
        ci(&[scenario, ("LANEKEEPER_BROKER", "sim"), ("GITHUB_STEP_SUMMARY", "summary.md")]);
    assert_eq!(code, 0, "{text}");
    let files = ["junit.xml", "page.html", "seconds.csv", "run/result.json"];
    for file in files
        .map(|file| format!("lanekeeper-results/{file}"))
        .iter()
        .map(String::as_str)
        .chain(["summary.md"])
    {
        assert!(scratch.path().join(file).exists(), "{file}: {text}");
    }
    let invalid = format!("--set {INVALID}");
    let settings =
        [scenario, ("LANEKEEPER_ARGUMENTS", &invalid), ("LANEKEEPER_RETRY_INVALID", "0")];
    assert_eq!(ci(&settings).0, 4);
    let warned = ci(&[&settings[..], &[("LANEKEEPER_ON_INVALID", "warn")]].concat());
    assert_eq!(warned.0, 0, "{}", warned.1);
    assert!(warned.1.contains("warning: the run is INVALID"), "{}", warned.1);
    assert_eq!(ci(&[scenario, ("LANEKEEPER_ON_INVALID", "maybe")]).0, 2);
}

#[test]
fn the_action_sets_what_the_script_reads() {
    let (action, script, chapter) =
        (text_of("ci/action.yml"), text_of("ci/run.sh"), text_of("book/src/small-runners.md"));
    let mut seen = 0;
    for line in action.lines().filter(|line| line.contains(": ${{ inputs.")) {
        let (name, input) = line.split_once(": ${{ inputs.").expect("a setting");
        let (name, input) = (name.trim(), input.trim_end_matches(" }}"));
        if name.starts_with("LANEKEEPER_") {
            assert!(script.contains(&format!("#   {name} ")), "{name}");
            seen += 1;
        }
        assert!(action.contains(&format!("\n  {input}:\n")), "{input}");
        assert!(chapter.contains(&format!("| `{input}` |")), "{input}");
    }
    assert_eq!(seen, 6);
    for input in text_of("ci/workflow.yml").lines().filter_map(|line| {
        let line = line.strip_prefix("          ")?;
        line.split_once(": ").map(|(name, _)| name).filter(|name| !name.contains("KAFKA"))
    }) {
        assert!(action.contains(&format!("\n  {input}:\n")), "{input}");
    }
}
