//! Runs every scenario of the fault catalogue: on the embedded broker if it supports the fault, otherwise on the
//! cluster in `BOOTSTRAP`, if it is set. Expectations about times may fail on a busy machine. Those about records,
//! restarts and states must hold.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use lanekeeper::summary::{Ledger, Summary};
use support::{Finished, REAL_ONLY, SIM_ONLY, Tool, files_below};

/// Figures that depend on the load of the machine.
const TIMED: [&str; 9] = [
    "recovery",
    "latency",
    "detected",
    "fenced",
    "restarted",
    "first_record",
    "blast_radius",
    "lag_peak",
    "achieved",
];

/// Number of scenarios that run at the same time. They use little CPU time.
const AT_ONCE: usize = 6;

/// The scenarios of the catalogue that begin with `marker`; with `None`, those that any broker supports.
fn catalogue(marker: Option<&str>) -> Vec<String> {
    let mut files = files_below("scenarios/faults", "toml");
    files.retain(|file| {
        let text = support::text_of(file);
        match marker {
            Some(marker) => text.starts_with(marker),
            None => !text.starts_with(REAL_ONLY) && !text.starts_with(SIM_ONLY),
        }
    });
    files
}

fn run(file: &str, more: &[&str]) -> Finished {
    let name = file.strip_prefix("scenarios/").expect("a scenario");
    Tool::run(name).args(more.iter().copied()).finish()
}

fn assert_kept(file: &str, finished: &Finished) -> Summary {
    assert!(matches!(finished.code, 0 | 1), "{file}\n{}", finished.output());
    let summary = finished.summary();
    assert!(!summary.expectations.is_empty(), "{file}");
    for expectation in &summary.expectations {
        let is_timed = TIMED.iter().any(|word| expectation.expression.contains(word));
        assert!(
            expectation.passed || is_timed,
            "{file}: {}\n{}",
            expectation.expression,
            finished.output()
        );
    }
    assert!(!summary.faults.is_empty(), "{file}");
    for fault in &summary.faults {
        assert!(fault.at_s.is_some() && fault.missed.is_empty(), "{file}: {fault:?}");
    }
    summary
}

#[test]
fn every_fault_does_what_its_scenario_says() {
    let files = catalogue(None);
    assert!(files.len() >= 18, "{files:?}");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let summary = assert_kept(file, &run(file, &["--allow-exec"]));
                    assert_eq!(summary.wrong_partition, 0, "{file}");
                }
            });
        }
    });
}

/// In virtual time, the load of the machine has no effect, so expectations about times hold as well.
#[test]
fn what_only_a_model_can_do_happens_on_the_simulator() {
    let files = catalogue(Some(SIM_ONLY));
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let finished = run(&file, &["--broker", "sim"]);
        assert_eq!(finished.code, 0, "{file}\n{}", finished.output());
        assert_kept(&file, &finished);
    }
}

/// A broker of the simulator handles the request and closes the connection, and the client retries.
#[test]
fn a_batch_whose_answer_is_lost_is_sent_again() {
    let run = |idempotence: &str, fault: &str| {
        let text = format!(
            "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\nidempotence = {idempotence}\n\
             [run]\nwarmup = \"1s\"\nduration = \"9s\"\n[[fault]]\nat = \"3s\"\n{fault}\n"
        );
        Tool::run_text(&text).args(["--broker", "sim"]).finish().summary()
    };
    let lost = "answer_lost = { broker = 1, api = \"produce\", count = 5 }";
    let with = run("true", lost).ledger;
    assert_eq!((with.lost, with.duplicated, with.indeterminate, with.failed), (0, 0, 0, 0));
    let without = run("false", lost).ledger;
    assert!(without.duplicated > 0 && without.lost == 0, "{without:?}");
    // The duplicates come from lost answers: five requests that are not handled leave none.
    let refused = "request_error = { api = \"produce\", code = \"disconnect\", count = 5 }";
    assert_eq!(run("false", refused).ledger.duplicated, 0);
}

/// A member retries each kind of request whose answer is lost. No record is lost, or processed again without a reason.
#[test]
fn a_group_survives_lost_answers() {
    let apis = [
        "fetch",
        "list-offsets",
        "metadata",
        "offset-commit",
        "find-coordinator",
        "join-group",
        "heartbeat",
    ];
    let broken_connections = |fault: &str| {
        let text = format!(
            "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\n\
             [consumers]\nmode = \"group\"\ncount = 3\n[run]\nwarmup = \"1s\"\nduration = \"14s\"\n\
             [[fault]]\nat = \"3s\"\n{fault}\n[[fault]]\nat = \"5s\"\nstop = {{ consumer = 1 }}\n"
        );
        let run = Tool::run_text(&text).args(["--broker", "sim"]).finish();
        let summary = run.summary();
        let Ledger { lost, duplicated, .. } = summary.ledger;
        let wrong = (lost, duplicated, summary.unexpected_redelivered, summary.given_up.len());
        assert_eq!(wrong, (0, 0, 0, 0), "{fault}\n{}", run.output());
        let traced = ["replay", "x.toml", "--trace", "--kind", "response", "--limit", "0"];
        let traced = Tool::new().file("x.toml", text.as_bytes()).args(traced).finish();
        traced.stdout.matches("finds its connection").count()
    };
    assert_eq!(broken_connections("slow = { consumer = 0, add = \"1us\" }\nfor = \"1s\""), 0);
    for api in apis {
        let broken = broken_connections(&format!("answer_lost = {{ api = \"{api}\", count = 3 }}"));
        assert!((1..=9).contains(&broken), "{broken} lost answers to {api}");
    }
}

/// On other clusters the client loses the answer. The record is in the log, and indeterminate for its sender.
#[test]
fn a_record_whose_answer_the_client_loses_is_indeterminate_and_read() {
    let finished = run("scenarios/faults/answer-lost.toml", &[]);
    let summary = assert_kept("answer-lost.toml", &finished);
    let ledger = &summary.ledger;
    assert_eq!((ledger.indeterminate, ledger.lost, ledger.duplicated), (5, 0, 0));
    assert_eq!(summary.send_errors.get("answer lost by a fault"), Some(&5));
    assert_eq!(ledger.delivered, ledger.sent, "{ledger:?}");
}

#[test]
fn on_a_real_cluster_the_others_do_so_too() {
    let Ok(bootstrap) = std::env::var("BOOTSTRAP") else {
        return;
    };
    for file in catalogue(Some(REAL_ONLY)) {
        let finished = run(&file, &["--bootstrap", &bootstrap]);
        assert_kept(&file, &finished);
    }
}

#[test]
fn commands_are_refused_without_leave() {
    let text = "[[fault]]\nat = \"1s\"\nexec = { start = [\"touch\", \"broken\"] }\n";
    let finished = Tool::run_text(text).exits(2);
    assert!(finished.stderr.contains("--allow-exec"), "{}", finished.output());
    assert!(finished.stderr.contains("`touch broken`"), "{}", finished.output());
}

#[test]
fn a_command_that_fails_fails_a_run_that_insists_on_it() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"10/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"1s\"\n\
                [[fault]]\nat = \"200ms\"\nexec = { start = [\"false\"] }\n\
                [expect]\nlost = 0\n\"fault[0].missed\" = 0\n";
    let summary = Tool::run_text(text).arg("--allow-exec").exits(1).summary();
    assert_eq!(summary.faults[0].missed.len(), 1, "{:?}", summary.faults[0].missed);
    let passed: Vec<bool> = summary.expectations.iter().map(|e| e.passed).collect();
    assert_eq!(passed[..2], [true, false]);
    assert!(passed[2..].iter().all(|passed| *passed), "{summary:?}");
}

/// The recovery from an `exec` fault begins at the end of its command, or of both commands if it has two.
#[test]
fn nothing_has_recovered_from_commands_that_still_run() {
    for (fault, least_ms) in [
        ("exec = { start = [\"sleep\", \"1.5\"] }", 1_500.0),
        (
            "for = \"200ms\"\nexec = { start = [\"sleep\", \"1\"], end = [\"sleep\", \"0.5\"] }",
            1_500.0,
        ),
    ] {
        let text = format!(
            "[topic]\npartitions = 2\n[load]\nproducers = 4\nrate = \"25/s\"\n\
             [run]\nwarmup = \"0s\"\nduration = \"5s\"\n[[fault]]\nat = \"1s\"\n{fault}\n"
        );
        let summary = Tool::run_text(&text).arg("--allow-exec").finish().summary();
        let fault = &summary.faults[0];
        let ended = fault.ended_ms.expect("it has ended");
        assert!(ended >= least_ms, "{fault:?}");
        // Records are sent during the commands as well.
        assert!(fault.first_record_ms.is_some_and(|first| first >= ended), "{fault:?}");
        assert!(fault.recovered_ms.is_none_or(|recovered| recovered >= ended), "{fault:?}");
    }
}

#[test]
fn what_commands_broke_is_mended_even_when_the_fault_outlasts_the_run() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"10/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"1s\"\n\
                [[fault]]\nat = \"200ms\"\nfor = \"1h\"\n\
                exec = { start = [\"touch\", \"broken\"], end = [\"touch\", \"mended\"] }\n";
    let tool = Tool::run_text(text).arg("--allow-exec");
    let (broken, mended) = (tool.path("broken"), tool.path("mended"));
    let finished = tool.exits(0);
    assert!(broken.exists() && mended.exists(), "{}", finished.output());
}

#[test]
fn a_repeated_fault_has_an_entry_for_each_time_and_the_same_ones_with_the_same_seed() {
    let text = "[topic]\npartitions = 6\n[load]\nproducers = 6\nrate = \"20/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
                [[fault]]\nat = \"500ms\"\nevery = \"500ms\"\njitter = \"100ms\"\n\
                panic = { consumer = { random = 2 } }\n[expect]\nlost = 0\nredelivered = 0\n\
                \"fault[0].redelivered\" = 0\n";
    let targets = |finished: Finished| -> Vec<(String, usize)> {
        let faults = finished.summary().faults;
        faults.into_iter().map(|fault| (fault.target, fault.partitions_aimed_at.len())).collect()
    };
    let (one, other) = (Tool::run_text(text).exits(0), Tool::run_text(text).exits(0));
    let (one, other) = (targets(one), targets(other));
    assert_eq!(one, other);
    assert!(one.len() >= 4 && one.iter().any(|(target, _)| *target != one[0].0), "{one:?}");
}
