//! A scenario that a program runs without the command line.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lanekeeper::{BrokerKind, Error, LoadTest, Verdict};

use super::LOAD;
use crate::support::root;

fn simulated(text: &str) -> LoadTest {
    LoadTest::from_text("own.toml", format!("{LOAD}{text}")).broker(BrokerKind::SIM)
}

/// The message of an error about input.
#[track_caller]
fn refusal<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Input(text)) => text,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is taken"),
    }
}

#[test]
fn what_is_wrong_with_a_scenario_is_an_error_with_its_place() {
    let text = "[topic]\npartitons = 2\n";
    let said = refusal(LoadTest::from_text("x.toml", text).check());
    assert!(said.contains("x.toml:2:1") && said.contains("did you mean `partitions`"), "{said}");
    let said = refusal(simulated("").set("run.duration=soon").run());
    assert!(said.contains("run.duration"), "{said}");
    let said = refusal(LoadTest::from_file("none/here.toml"));
    assert!(said.contains("none/here.toml"), "{said}");
}

#[test]
fn a_command_is_run_only_if_that_is_allowed() {
    let file = root().join("scenarios/faults/exec.toml");
    let test = || LoadTest::from_file(&file).expect("a scenario");
    let said = refusal(test().check());
    assert!(said.contains("call `LoadTest::allow_exec`"), "{said}");
    assert_eq!(test().allow_exec().check().expect("a plan"), Vec::<String>::new());
}

#[test]
fn what_is_worth_knowing_about_a_scenario_is_a_warning_of_its_run() {
    let test = simulated("[kafka]\nbootstrap = \"127.0.0.1:9\"\n").set("load.compression=lz4");
    let found = test.check().expect("a plan");
    assert!(found.iter().any(|text| text.contains("compression")), "{found:?}");
    let summary = test.run().expect("a summary");
    assert_eq!((summary.verdict, summary.ledger.sent), (Verdict::Passed, 40));
    assert!(found.iter().all(|text| summary.warnings.contains(text)), "{:?}", summary.warnings);
}

#[test]
fn a_test_that_fails_shows_the_report() {
    let test = simulated("[expect]\nrestarts = 3\n");
    let panic = catch_unwind(AssertUnwindSafe(|| test.assert_passes())).expect_err("a failure");
    let said = panic.downcast_ref::<String>().expect("a text");
    assert!(said.contains("FAILED") && said.contains("restarts"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}
