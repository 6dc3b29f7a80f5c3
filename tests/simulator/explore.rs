//! `explore` with many seeds in virtual time: properties that hold are reported, and a violation is shrunk to a small
//! case that can be run again.

use crate::support::{Finished, Tool, root};
use lanekeeper::summary::Summary;

/// 60 producers on 6 partitions, for half a minute.
const SMALL: &str = "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"5/s\"\n\
                     [run]\nwarmup = \"1s\"\nduration = \"29s\"\n";

fn explore(scenario: &str, arguments: &[&str]) -> Finished {
    let path = root().join("scenarios").join(scenario);
    Tool::new().arg("explore").arg(path).args(arguments.iter().copied()).finish()
}

#[test]
fn whatever_happens_to_consumers_nothing_is_lost() {
    let tool = Tool::new().file("small.toml", SMALL.as_bytes());
    let finished = tool.args(["explore", "small.toml", "--seeds", "40", "--jobs", "2"]).exits(0);
    let text = &finished.stdout;
    assert!(text.contains("40 seeds") && text.contains("nothing broke"), "{text}");
    // The faults must have happened, so that the result means something.
    let restarted = text.lines().find(|line| line.contains("a consumer was restarted"));
    let seeds: u32 = restarted
        .and_then(|line| line.split_whitespace().last())
        .and_then(|count| count.parse().ok())
        .expect("a count");
    assert!((20..=40).contains(&seeds), "{text}");
    assert!(!finished.scratch().join("repro.toml").exists());
}

#[test]
fn a_topic_that_keeps_too_little_is_found_made_small_and_run_again() {
    let repro = |jobs: &str| {
        let finished =
            explore("short-retention.toml", &["--seeds", "60", "--jobs", jobs, "--faults", "12"]);
        assert_eq!(finished.code, 1, "{}", finished.output());
        let text = &finished.stdout;
        assert!(text.contains("✗ lost = "), "{}", finished.output());
        // The lost records cannot be identified, because others of the partition are unread.
        assert!(
            text.contains("STORY  none for `lost`: others of the partition are unread"),
            "{text}"
        );
        std::fs::read_to_string(finished.scratch().join("repro.toml")).expect("a repro")
    };
    let text = repro("1");
    assert_eq!(text, repro("3"), "the same seed is found, however many run at a time");
    assert!(text.matches("[[fault]]").count() <= 5, "{text}");
    let again = Tool::new().file("repro.toml", text.as_bytes());
    let again = again.args(["run", "repro.toml", "--broker", "sim", "--out", "out"]).exits(1);
    assert!(again.summary().ledger.lost > 0);
}

#[test]
fn what_a_setting_breaks_is_found_made_small_and_run_again() {
    let scenario = SMALL.replace("[run]", "idempotence = false\n[run]");
    let tool = Tool::new().file("careless.toml", scenario.as_bytes());
    let found = tool.args(["explore", "careless.toml", "--seeds", "60", "--jobs", "2"]).exits(1);
    let text = &found.stdout;
    assert!(text.contains("✗ duplicated = ") && text.contains("SHRUNK  in "), "{text}");
    assert!(text.contains("each of the faults is needed"), "{text}");
    let left = |what: &str| {
        let row = text.lines().find(|line| line.trim_start().starts_with(what)).expect("a row");
        let numbers =
            row.split_whitespace().skip(1).map(|number| number.parse().expect("a number"));
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers[1] <= numbers[0], "{row}");
        numbers[1]
    };
    assert!((1..=5).contains(&left("faults ")), "{text}");
    assert!(left("seconds ") < 30 && left("producers ") < 60 && left("partitions ") <= 6, "{text}");
    let repro = std::fs::read_to_string(found.scratch().join("repro.toml")).expect("a repro");
    let again = Tool::new().file("repro.toml", repro.as_bytes());
    let again = again.args(["run", "repro.toml", "--broker", "sim", "--out", "out"]).exits(1);
    let summary = again.summary();
    assert_tells_of_both_copies(text, &summary);
    let duplicated = summary.ledger.duplicated;
    assert!(text.lines().any(|line| line == format!("  ✗ duplicated = {duplicated}")), "{text}");
}

/// Asserts the story of the duplicated record: it was sent once, tried twice, and appended at two offsets. The result
/// of the case has the second one.
fn assert_tells_of_both_copies(text: &str, summary: &Summary) {
    let wrong = &summary.wrong_records[0];
    assert_eq!(
        (wrong.figure.as_str(), wrong.producer.is_some()),
        ("duplicated", true),
        "{wrong:?}"
    );
    let story = text.split_once("STORY  ").expect("a story").1;
    let number = format!(
        "number {} of producer {} to partition {}",
        wrong.sequence.expect("a number"),
        wrong.producer.expect("a producer"),
        wrong.partition
    );
    let again = format!("appended once more at offset {}", wrong.offset.expect("an offset"));
    let processed = format!("processed at offset {}", wrong.offset.expect("an offset"));
    for said in [&number, "sent, ", "appended at offset", "(retried: time 2)", &again, &processed] {
        assert!(story.contains(said), "{said}: {story}");
    }
    assert_eq!(story.matches("sent, ").count(), 1, "{story}");
    let times = story.lines().filter(|line| line.contains(" offset "));
    let times: Vec<f64> =
        times.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    assert!(times.len() >= 4 && times.is_sorted(), "{story}");
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let tool = Tool::new().file("small.toml", SMALL.as_bytes()).file("repro.toml", b"mine");
    let finished = tool.args(["explore", "small.toml", "--seeds", "1"]).exits(2);
    assert!(finished.stderr.contains("--out"), "{}", finished.output());
}

#[test]
fn a_case_that_could_not_be_written_is_said_before_the_search_and_not_after_it() {
    let finished = explore("short-retention.toml", &["--out", "nowhere/repro.toml"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (3, ""), "{}", finished.output());
    assert!(finished.stderr.contains("cannot write `nowhere/repro.toml`"), "{}", finished.output());
}

#[test]
fn seeds_and_jobs_have_limits_and_the_simulator_may_be_named() {
    let refused: [&[&str]; 5] = [
        &["--seeds", "0"],
        &["--seeds", "-1"],
        &["--first-seed", "18446744073709551615"],
        &["--jobs", "0"],
        &["--broker", "kafka"],
    ];
    for arguments in refused {
        let finished = explore("quick.toml", arguments);
        assert_eq!(finished.code, 2, "{}", finished.output());
        assert!(finished.stderr.contains(arguments[1]), "{}", finished.output());
    }
    // The largest seed that a scenario file can contain, so there is no next one.
    let last = ["--first-seed", "9223372036854775806", "--jobs", "2", "--broker", "sim"];
    let finished = explore("quick.toml", &last);
    assert!(finished.stdout.contains("EXPLORED  1 seeds"), "{}", finished.output());
}

#[test]
fn an_interrupted_sweep_says_how_far_it_came() {
    let tool = Tool::new().arg("explore").arg(root().join("scenarios/quick.toml"));
    let running = tool.args(["--seeds", "1000000"]).start();
    // The signal handler is installed a moment after the start of the process.
    std::thread::sleep(std::time::Duration::from_secs(2));
    running.interrupt();
    let finished = running.finish();
    assert_eq!(finished.code, 130, "{}", finished.output());
    assert!(finished.stderr.contains("no further run is begun"), "{}", finished.output());
    assert!(finished.stdout.contains("of 1,000,000 seeds; nothing broke"), "{}", finished.output());
}
