//! The command line as users and CI jobs see it: exit codes, texts, streams.

use std::path::{Path, PathBuf};

use crate::support::{self, server::Answer};
use lanekeeper::summary::{Summary, Verdict};
use support::{Finished, Tool, root};

const BRIEF: &str = "[topic]\npartitions = 2\n[load]\nproducers = 10\nrate = \"10/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"1s\"\n";

#[track_caller]
fn says(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "`{text}` is not in\n{}", finished.output());
    }
}

#[test]
fn expectations_that_hold_are_0_and_those_that_do_not_are_1() {
    let finished = Tool::run_text(BRIEF).set(["expect.delivered=100"]).exits(0);
    assert_eq!(finished.summary().verdict, Verdict::Passed);
    assert!(finished.stdout.starts_with("PASSED"), "{}", finished.stdout);

    let finished = Tool::run_text(BRIEF).set(["expect.delivered=1"]).exits(1);
    let summary = finished.summary();
    assert_eq!(summary.verdict, Verdict::Failed);
    assert_eq!(summary.ledger.delivered, 100);
    let expectation = &summary.expectations[0];
    assert!(!expectation.passed && !expectation.is_default);
    assert_eq!((expectation.measured, expectation.text.as_deref()), (Some(100.0), Some("100")));
    assert!(summary.expectations[1..].iter().all(|e| e.passed && e.is_default), "{summary:?}");
    assert!(finished.stdout.starts_with("FAILED"), "{}", finished.stdout);
    assert!(finished.stdout.contains("✗ delivered = 1"), "{}", finished.stdout);
}

#[test]
fn figures_that_are_in_doubt_are_4_with_the_reason_and_the_remedy() {
    let finished = Tool::run_text(BRIEF).set(["limits.cpu_share=0.0001"]).exits(4);
    let summary = finished.summary();
    assert_eq!(summary.verdict, Verdict::Invalid);
    let [reason] = summary.invalid_reasons.as_slice() else { panic!("{summary:?}") };
    assert!(reason.contains("CPU") && reason.contains("raise `limits.cpu_share`"), "{reason}");
    assert!(finished.stdout.starts_with("INVALID"), "{}", finished.stdout);
    assert!(finished.stdout.contains(reason), "{}", finished.stdout);
}

/// A control group of the machine with a CPU quota. Dropping the value removes it.
struct Group(PathBuf);

impl Group {
    /// A group that may use this number of CPUs; `None` if the operating system or the rights of this user do not allow
    /// one.
    fn with_quota(cpus: f64) -> Option<Group> {
        let name = format!("lanekeeper-test-{}", std::process::id());
        let quota = (cpus * 100_000.0).to_string();
        let v1 = ["cpu", "cpu,cpuacct"].map(|mount| {
            let files =
                [("cpu.cfs_period_us", "100000".to_owned()), ("cpu.cfs_quota_us", quota.clone())];
            (Path::new("/sys/fs/cgroup").join(mount), files.to_vec())
        });
        let v2 = (PathBuf::from("/sys/fs/cgroup"), vec![("cpu.max", format!("{quota} 100000"))]);
        v1.into_iter().chain([v2]).find_map(|(mount, files)| {
            let is_there = mount.join("cgroup.procs").exists();
            let group = Group(mount.join(&name));
            let made = is_there && std::fs::create_dir(&group.0).is_ok();
            let limited =
                |(file, text): &(&str, String)| std::fs::write(group.0.join(file), text).is_ok();
            (made && files.iter().all(limited)).then_some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// With a quota of a fifth of a CPU, a process that uses a fifth of a core is fully loaded. If no control group can be
/// made, only the tests of `measure::CpuLimit` check this.
#[test]
fn a_quota_that_is_used_up_is_a_tester_in_its_own_way() {
    let Some(group) = Group::with_quota(0.2) else { return };
    // The work needs six times the quota.
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 60\nrate = \"10/s\"\n\
                [consumers]\nwork = { cpu = \"2ms\" }\n\
                [run]\nwarmup = \"0s\"\nduration = \"3s\"\ndrain = \"1s\"\n";
    let tool = Tool::run_text(text).set(["limits.cpu_share=0.5"]);
    let finished = tool.arg("--full").in_group(&group.0.join("cgroup.procs")).finish();
    let summary = finished.summary();
    assert_eq!(summary.host.cpu_limit, Some(0.2), "{}", finished.output());
    assert!(summary.cost.cpu_share > Some(0.5), "{}", finished.output());
    let is_named = |reason: &String| reason.contains("of the 0.2 CPUs it may use");
    assert!(summary.invalid_reasons.iter().any(is_named), "{}", finished.output());
    assert!(finished.stdout.contains("of the 0.2 CPUs it may use"), "{}", finished.stdout);
}

/// Asserts that `run` and `check` of a file with this content fail with these texts.
fn refused(content: &[u8], texts: &[&str]) {
    for command in ["run", "check"] {
        let finished = Tool::new().file("x.toml", content).args([command, "x.toml"]).exits(2);
        says(&finished, texts);
        assert_eq!(finished.stdout, "", "{command}");
        assert!(!finished.scratch().join("results").exists(), "{command}");
    }
}

#[test]
fn bad_scenarios_are_2_and_say_what_to_do() {
    refused(b"", &["error", "a minimal scenario is"]);
    refused(&[0xff, 0x00, 0x9c, 0x80, 0x1b], &["error", "not UTF-8"]);
    refused(&[0; 4096], &["error", "text"]);
    refused(b"[load]\npayload = \"20B\"\n", &["x.toml:2", "has no room for the stamp", "48B"]);
    refused(b"[load]\nproducrs = 20\n", &["x.toml:2", "did you mean `producers`?"]);
    refused(b"[load\n", &["x.toml:1"]);
    // All mistakes are reported together.
    let many = b"[topic]\npartitions = 0\n[load]\nrate = \"fast\"\n[sheep]\ncount = 3\n";
    refused(many, &["x.toml:2", "x.toml:4", "x.toml:5"]);
}

#[test]
fn a_file_of_100_megabytes_is_refused_without_being_read() {
    let tool = Tool::new().file("x.toml", b"# a scenario?\n");
    let file = std::fs::File::options().append(true).open(tool.path("x.toml")).expect("a file");
    file.set_len(100_000_000).expect("room for a sparse file");
    let finished = tool.args(["check", "x.toml"]).exits(2);
    says(&finished, &["error", "x.toml"]);
}

#[test]
fn a_wrong_command_line_is_2() {
    let finished = Tool::new().args(["run", "nowhere.toml"]).exits(2);
    says(&finished, &["nowhere.toml", "there is no such file"]);
    let finished = Tool::new().args(["run", "."]).exits(2);
    says(&finished, &["it is a directory"]);
    let finished = Tool::new().args(["run", "x.toml", "--fast"]).exits(2);
    says(&finished, &["--fast", "Usage:"]);
    Tool::new().exits(2);
    let finished = Tool::new().arg("chek").exits(2);
    says(&finished, &["'chek'", "'check'"]);
    let finished = Tool::run_text(BRIEF).set(["run.duraton=1s"]).exits(2);
    says(&finished, &["did you mean `duration`?"]);
    let finished = Tool::run_text(BRIEF).args(["--broker", "kafka"]).exits(2);
    says(&finished, &["--bootstrap"]);
    let finished = Tool::run_text(BRIEF).args(["--client-config", "nowhere"]).exits(2);
    says(&finished, &["cannot read the client properties in `nowhere`"]);
}

#[test]
fn numbers_below_nothing_are_refused_as_numbers() {
    let file = || Tool::new().file("x.toml", BRIEF.as_bytes());
    for arguments in [
        ["check", "x.toml", "--seed", "-1"],
        ["replay", "x.toml", "--seed", "-1"],
        ["check", "x.toml", "--seed", "9223372036854775808"],
        ["explore", "x.toml", "--faults", "-1"],
    ] {
        let finished = file().args(arguments).exits(2);
        says(&finished, &["invalid value", arguments[2], arguments[3]]);
        let is_named = ["a whole number from 0 to", "is not in"];
        assert!(is_named.iter().any(|text| finished.stderr.contains(text)), "{}", finished.stderr);
    }
    for option in [["--partition", "-1"], ["--limit", "-1"]] {
        let finished = file().args(["replay", "x.toml", "--trace"]).args(option).exits(2);
        says(&finished, &["invalid value '-1'", option[0]]);
    }
}

#[test]
fn names_of_files_do_not_act_on_the_terminal() {
    const NAME: &str = "a\u{1b}[2J\u{9b}1m";
    for arguments in [
        &["check", NAME][..],
        &["report", NAME],
        &["check", "x.toml", "--client-config", NAME],
        &["check", "x.toml", "--set", NAME],
    ] {
        let tool = Tool::new().file("x.toml", BRIEF.as_bytes()).args(arguments.iter().copied());
        let finished = tool.exits(2);
        assert!(!finished.output().contains(['\u{1b}', '\u{9b}']), "{:?}", finished.output());
    }
}

#[test]
fn an_interrupted_run_is_130_and_keeps_what_was_measured() {
    let tool = Tool::run_text(BRIEF).set(["run.duration=10m", "expect.delivered=60000"]);
    let mut running = tool.start();
    // The first second has been collected.
    running.await_text("seconds.jsonl", "\"partition\":1");
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    let summary = finished.summary();
    assert_eq!(summary.verdict, Verdict::Interrupted);
    assert!(summary.ledger.sent >= 90, "{:?}", summary.ledger);
    support::assert_clean(&summary);
    assert!(finished.stdout.starts_with("INTERRUPTED"), "{}", finished.stdout);
    // The last quarter of the load decides whether consumers keep up.
    says_on_stdout(&finished, &["of 600.0 s: 6 of 7 expectations could be judged, 5 of them hold"]);
    assert_eq!(finished.json()["verdict"], "interrupted");
}

#[test]
fn a_consumer_that_can_neither_drain_nor_stop_does_not_hold_the_end_up() {
    // Each consumer processes its first record for a minute. The drain ends after a second, and the stop after 15 s.
    let slow = ["consumers.work={ wait = \"60s\" }", "run.drain=1s"];
    let finished = Tool::run_text(BRIEF).set(slow).exits(1);
    for text in ["were not read to their end within 1 s", "not every consumer stopped within 15 s"]
    {
        assert!(finished.stdout.contains(text), "`{text}`\n{}", finished.output());
    }
    let summary = finished.summary();
    let ledger = summary.ledger;
    assert_eq!((ledger.delivered, ledger.lost, ledger.unread), (0, 0, ledger.sent));
    // The pools finish before the drain begins.
    let events = finished.read("events.jsonl");
    let at = |text: &str| events.find(text).unwrap_or_else(|| panic!("no {text}: {events}"));
    assert!(at("pool_finished") < at("\"draining\""), "{events}");
}

#[test]
fn an_interrupted_drain_is_130_and_does_not_wait_for_slow_consumers() {
    // The records of a second take minutes to process.
    let slow = ["consumers.work={ wait = \"2s\" }", "run.drain=30m"];
    let mut running = Tool::run_text(BRIEF).set(slow).start();
    running.await_text("run.log", "draining");
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    let summary = finished.summary();
    assert_eq!((summary.verdict, summary.ledger.sent), (Verdict::Interrupted, 100));
}

#[test]
fn an_interrupted_simulation_is_130_and_keeps_what_was_measured() {
    let long = ["run.warmup=1s", "run.duration=2h"];
    let mut running = Tool::run("quick.toml").args(["--broker", "sim"]).set(long).start();
    running.await_text("seconds.jsonl", "\"to_s\":");
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    assert!(finished.stdout.starts_with("INTERRUPTED"), "{}", finished.output());
    let ledger = finished.summary().ledger;
    assert!(ledger.delivered > 0);
    assert_eq!((ledger.lost, ledger.sent), (0, ledger.delivered));
}

#[test]
fn a_run_interrupted_in_its_warm_up_does_not_blame_the_load() {
    let mut running = Tool::run_text(BRIEF).set(["run.warmup=60s"]).start();
    running.await_text("seconds.jsonl", "\"to_s\":");
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    says_on_stdout(&finished, &["before the measured window began", "no record due"]);
    assert!(!finished.stdout.contains("load.rate"), "{}", finished.stdout);
}

fn says_on_stdout(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stdout.contains(text), "{text}: {}", finished.output());
    }
}

#[test]
fn a_second_interruption_ends_the_process_at_once() {
    // The server does not respond for a long time.
    let address = support::server::start(Answer::Silence).to_string();
    let tool = Tool::run_text(BRIEF).args(["--bootstrap", &address]).set(["run.startup=10m"]);
    let mut running = tool.start();
    running.await_text("scenario.toml", "[topic]");
    let finished = running.interrupt_until_it_ends();
    // A signal that arrives before the handler is installed ends it without an exit code. A shell reports 130 for that
    // as well.
    assert!(matches!(finished.code, 130 | -1), "{}", finished.output());
    assert!(!finished.out().join("result.json").exists());
}

#[test]
fn json_is_all_there_is_on_stdout_when_asked_for() {
    let finished = Tool::run_text(BRIEF).args(["--format", "json"]).exits(0);
    let printed: Summary = serde_json::from_str(&finished.stdout).expect("a summary");
    assert_eq!(printed, finished.summary());
}

#[test]
fn pipes_get_no_colours() {
    let finished = Tool::run_text(BRIEF).arg("-v").exits(0);
    assert!(!finished.output().contains('\u{1b}'), "{}", finished.output());
    // Colours can be forced, unless NO_COLOR is set.
    let coloured = |no_colour: &[&str]| {
        let tool = Tool::new().args(["check", "nowhere.toml"]).env("CLICOLOR_FORCE", "1");
        let tool = no_colour.iter().fold(tool, |tool, name| tool.env(name, "1"));
        tool.exits(2).stderr.contains('\u{1b}')
    };
    assert!(coloured(&[]));
    assert!(!coloured(&["NO_COLOR"]));
}

#[test]
fn help_teaches() {
    let finished = Tool::new().arg("--help").exits(0);
    for text in [
        "Usage: lanekeeper",
        "run ",
        "check ",
        "schema ",
        "completions ",
        "report ",
        "explore ",
        "replay ",
        "Exit codes: 0 passed",
    ] {
        assert!(finished.stdout.contains(text), "`{text}`\n{}", finished.stdout);
    }
    // Every example is a valid command with an existing file.
    let whole = |help: &str| help.replace("\\\n   ", "");
    let examples = whole(finished.stdout.split("Examples:").nth(1).expect("examples"));
    for line in examples.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], "lanekeeper");
        assert!(root().join(words[2]).is_file(), "{line}");
    }
    for command in ["run", "check", "report", "schema", "completions", "explore", "replay"] {
        let finished = Tool::new().args([command, "--help"]).exits(0);
        assert!(finished.stdout.contains("Usage:"), "{}", finished.stdout);
        // Examples of commands with more arguments.
        let help = whole(&finished.stdout);
        for example in help.lines().filter_map(|line| line.strip_prefix("  lanekeeper ")) {
            let file = example.split(' ').nth(1).expect("a file");
            let is_made = ["repro.toml", "short.toml"].contains(&file);
            assert!(is_made || root().join(file).is_file(), "{example}");
        }
    }
    let finished = Tool::new().arg("--version").exits(0);
    assert_eq!(finished.stdout, concat!("lanekeeper ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Texts are wrapped between words, and examples only with a backslash before the line break.
#[test]
fn help_fits_into_80_columns() {
    let help = |command: Option<&str>| {
        Tool::new().args(command).arg("--help").env("COLUMNS", "80").exits(0).stdout
    };
    let all = help(None);
    let commands = all.split("Commands:\n").nth(1).and_then(|text| text.split("\n\n").next());
    let named = commands.expect("commands").lines().filter_map(|line| {
        let is_name = |line: &&str| line.chars().next().is_some_and(char::is_lowercase);
        line.strip_prefix("  ").filter(is_name)?.split(' ').next()
    });
    let named = named.filter(|command| *command != "help");
    let mut texts: Vec<String> = named.map(|command| help(Some(command))).collect();
    assert!(texts.len() > 15, "{all}");
    texts.push(all);
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for examples in texts.iter().filter_map(|text| text.split("Examples:\n").nth(1)) {
        let mut goes_on = false;
        for line in examples.lines() {
            assert_eq!(line.starts_with("    "), goes_on, "{examples}");
            assert!(goes_on || line.starts_with("  lanekeeper "), "{examples}");
            goes_on = line.ends_with('\\');
        }
    }
}

#[test]
fn the_printed_schema_is_the_one_the_scenarios_are_checked_with() {
    let finished = Tool::new().arg("schema").exits(0);
    let printed: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(printed, lanekeeper::scenario::json_schema());
}

#[test]
fn completions_are_scripts() {
    for (shell, text) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef lanekeeper"),
        ("fish", "complete -c lanekeeper"),
    ] {
        let finished = Tool::new().args(["completions", shell]).exits(0);
        assert!(finished.stdout.contains(text), "{}", finished.stdout);
    }
    Tool::new().args(["completions", "abacus"]).exits(2);
}

#[test]
fn man_pages_are_there_for_each_command() {
    let page = Tool::new().arg("man").exits(0).stdout;
    for text in [".TH lanekeeper 1", ".SH SYNOPSIS", "lanekeeper\\-run(1)", "Exit codes: 0 passed"]
    {
        assert!(page.contains(text), "`{text}`\n{page}");
    }
    let finished = Tool::new().args(["man", "--out", "man"]).exits(0);
    let text = |name: &str| {
        let path = finished.scratch().join("man").join(name);
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(text("lanekeeper-run.1").contains("\\-\\-bootstrap"));
    assert_eq!(text("lanekeeper.1"), page);
    Tool::new().args(["man", "--out", "/dev/null/man"]).exits(3);
}

#[test]
fn check_says_what_will_happen_and_touches_nothing() {
    for path in support::files_below("scenarios", "toml") {
        let mut tool = Tool::new().arg("check").arg(root().join(&path));
        if support::text_of(&path).starts_with(support::REAL_ONLY) {
            tool = tool.args(["--bootstrap", "127.0.0.1:1"]);
        }
        if support::text_of(&path).starts_with(support::SIM_ONLY) {
            tool = tool.args(["--broker", "sim"]);
        }
        let finished = tool.exits(0);
        assert!(!finished.stdout.is_empty(), "{path}");
        let left = std::fs::read_dir(finished.scratch()).expect("a directory").count();
        assert_eq!(left, 0, "{path}");
    }
    // It needs no cluster.
    let path = root().join("scenarios/kill-one-consumer.toml");
    let tool = Tool::new().arg("check").arg(path).args(["--bootstrap", "127.0.0.1:1"]);
    let finished = tool.exits(0);
    for text in ["18", "consumer 7", "127.0.0.1:1"] {
        assert!(finished.stdout.contains(text), "`{text}`\n{}", finished.stdout);
    }
}
