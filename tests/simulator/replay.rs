//! `replay`: the trace of a simulation, and the comparison of two traces.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{self, Finished, Tool, root};
use lanekeeper::base::BrokerKind;
use lanekeeper::plan::{Overrides, compile};
use lanekeeper::run::{Options, Traced, run, run_traced};
use lanekeeper::scenario::Source;

/// A run of three seconds in which one of three consumers is killed.
const SMALL: &str = "[topic]\npartitions = 3\n[load]\nproducers = 6\nrate = \"20/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
                     [[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n";

fn replay(arguments: &[&str]) -> Finished {
    let tool = Tool::new().file("small.toml", SMALL.as_bytes()).args(["replay", "small.toml"]);
    tool.args(arguments.iter().copied()).finish()
}

#[test]
fn without_a_question_it_reports_and_keeps_nothing() {
    let finished = replay(&[]);
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.contains("nothing is kept"), "{}", finished.stdout);
    assert_eq!(std::fs::read_dir(finished.scratch()).expect("a directory").count(), 1);
}

#[test]
fn a_trace_tells_of_a_kill_in_order() {
    let finished = replay(&["--trace", "--kind", "control", "--partition", "1"]);
    let whats: Vec<&str> =
        finished.stdout.lines().filter_map(|line| line.split("consumer-1    ").nth(1)).collect();
    let expected = [
        "consumer started",
        "consumer ready",
        "consumer failed: killed",
        "consumer started",
        "consumer ready",
    ];
    let mut found = whats.iter();
    for what in expected {
        assert!(found.any(|found| found.starts_with(what)), "{what}: {}", finished.output());
    }
}

/// Times in a trace count from the beginning of the load, as those of faults, reports and files.
#[test]
fn times_count_from_the_beginning_of_the_load() {
    let finished = replay(&["--trace", "--kind", "control"]);
    let line = |what: &str| {
        let found = finished.stdout.lines().find(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("no {what}: {}", finished.output()))
    };
    assert!(line("consumer failed: killed").starts_with("     1.000000000"), "{}", finished.stdout);
    assert!(line("consumer ready").trim_start().starts_with("-0."), "{}", finished.stdout);
    let later = replay(&["--trace", "--kind", "control", "--from", "0s"]);
    assert!(!later.stdout.contains("-0."), "{}", later.stdout);
    let run = Tool::run_text(SMALL).args(["--broker", "sim"]).exits(0);
    let killed = run.read("events.jsonl");
    let killed = killed.lines().find(|line| line.contains("consumer_failed")).expect("a failure");
    assert!(killed.contains("\"at_s\":1.0,"), "{killed}");
}

#[test]
fn filters_choose_and_the_limit_says_what_it_is() {
    let span = ["--trace", "--from", "1500ms", "--to", "1600ms", "--partition", "2"];
    let finished = replay(&span);
    assert!(finished.stdout.lines().count() > 8, "{}", finished.output());
    for line in finished.stdout.lines() {
        assert!(line.trim_start().starts_with("1.5"), "{line}");
        assert!(line.contains("partition 2") || line.contains(" 2@"), "{line}");
    }
    let finished = replay(&["--trace", "--limit", "3"]);
    assert_eq!(finished.stdout.lines().count(), 4, "{}", finished.stdout);
    assert!(finished.stdout.contains("--limit 0"), "{}", finished.stdout);
    let finished = replay(&["--trace", "--kind", "everything"]);
    assert_eq!((finished.code, finished.stderr.contains("processed")), (2, true));
}

/// A trace changes nothing: events, hash and result are those of a run without a trace.
#[test]
fn a_trace_does_not_change_what_it_shows() {
    let run = Tool::run_text(SMALL).args(["--broker", "sim"]).exits(0);
    let logged = Tool::run_text(SMALL).args(["--broker", "sim", "-vv"]).exits(0);
    assert_eq!(run.read("result.json"), logged.read("result.json"));
    let simulation = run.summary().simulation.expect("a simulation");
    let tool =
        Tool::new().file("scenario.toml", SMALL.as_bytes()).args(["replay", "scenario.toml"]);
    let traced = tool.set(support::PATIENT).args(["--trace", "--limit", "0"]).exits(0);
    let last = traced.stdout.lines().last().expect("a line");
    let result = serde_json::to_vec(&run.summary()).expect("JSON");
    let result = format!("result {:08x}", crc32fast::hash(&result));
    assert!(last.contains(&simulation.trace) && last.ends_with(&result), "{last} {result}");
}

/// A simulation with a trace handles all events in order. One without a trace defers messages without a visible effect.
/// Both have the same result, with each fault.
#[test]
fn watching_a_run_does_not_change_it_whatever_fails() {
    let faults = std::fs::read_dir(root().join("scenarios/faults")).expect("a directory");
    let mut files: Vec<PathBuf> = faults.map(|entry| entry.expect("an entry").path()).collect();
    files.push(root().join("scenarios/kill-one-consumer.toml"));
    files.sort();
    let mut compared = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a scenario");
        let name = file.display().to_string();
        let overrides =
            Overrides { broker: Some(BrokerKind::SIM), seed: Some(11), ..Overrides::default() };
        let plan =
            || compile(&Source { name: name.clone(), text: text.clone() }, &[], &overrides).0;
        // The simulator does not support all faults.
        let (Some(unwatched), Some(watched)) = (plan(), plan()) else { continue };
        let unwatched = run(unwatched, Options::default(), Box::new(())).expect("a run");
        let traced = run_traced(watched, Options::default()).expect("a thread");
        let mut watched = None;
        for told in traced {
            if let Traced::End(outcome) = told {
                watched = Some(outcome.expect("a run"));
            }
        }
        let json = |summary| serde_json::to_string(&summary).expect("JSON");
        assert_eq!(json(unwatched), json(watched.expect("an end")), "{name}");
        compared += 1;
    }
    assert!(compared >= 25, "{compared} scenarios");
}

#[test]
fn two_processes_are_the_same_and_another_seed_is_not() {
    let same = replay(&["--verify"]);
    assert_eq!(same.code, 0, "{}", same.output());
    assert!(same.stdout.starts_with("the same, event by event"), "{}", same.stdout);

    let all = ["--trace", "--kind", "all", "--limit", "0"];
    let kept = replay(&all).stdout;
    let against = |kept: &str, arguments: &[&str]| {
        let tool = Tool::new()
            .file("small.toml", SMALL.as_bytes())
            .file("kept.txt", kept.as_bytes())
            .args(["replay", "small.toml", "--against", "kept.txt"]);
        tool.args(arguments.iter().copied()).finish()
    };
    assert_eq!(against(&kept, &[]).code, 0);
    let other = against(&kept, &["--seed", "99"]);
    assert_eq!(other.code, 1, "{}", other.output());
    assert!(other.stdout.contains("DIFFERENT from kept.txt, from event"), "{}", other.stdout);

    // The first different event is shown, with the events before it.
    let changed = kept.replacen("partition 2 up to offset 9", "partition 2 up to offset 8", 1);
    let place = kept.lines().zip(changed.lines()).take_while(|(a, b)| a == b).count() + 1;
    let named = against(&changed, &[]).stdout.replace(',', "");
    assert!(named.contains(&format!("from event {place} on")), "{named}");
    assert!(named.contains("here ") && named.contains("partition 2 up to offset 9"), "{named}");
    // A trace that ends early differs as well.
    let half: String = kept.lines().take(100).map(|line| format!("{line}\n")).collect();
    assert!(against(&half, &[]).stdout.contains("(it is over)"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lanekeeper"))
        .args(["replay", "scenarios/quick.toml", "--trace", "--limit", "0"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("its end");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_question_without_an_answer_says_so() {
    let refused: [(&[&str], &str); 3] = [
        (&["--trace", "--partition", "3"], "this topic's partitions are 0 to 2"),
        (&["--trace", "--from", "2s", "--to", "1s"], "give an end that is later"),
        (&["--against", "small.toml"], "`small.toml` is not a trace; make one with"),
    ];
    for (arguments, remedy) in refused {
        let finished = replay(arguments);
        assert_eq!(finished.code, 2, "{}", finished.output());
        assert!(finished.stderr.contains(remedy), "{}", finished.output());
    }
    let finished = replay(&["--trace", "--from", "1000s", "--broker", "sim"]);
    assert!(finished.stdout.starts_with("no event is of this time"), "{}", finished.output());
}
