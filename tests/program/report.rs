//! `report` of a stored result, also of a run that was cut off.

use std::collections::BTreeMap;

use crate::support::{self, Finished, Tool, report_of};
use lanekeeper::report::short_report;
use lanekeeper::summary::{Summary, TimePart, Verdict};
use serde_json::Value;

const KILL: &str = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"10/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"10m\"\n\
                    [[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n\
                    [expect]\nlost = 0\nrestarts = 1\n";

/// A run that was ended by SIGKILL after it had stored the second in which its fault ended.
fn cut_off() -> Finished {
    let mut running = Tool::run_text(KILL).start();
    running.await_text("so-far.json", "\"start\":2");
    running.await_text("so-far.json", "\"restarts\":1,");
    let finished = running.kill();
    assert_eq!(finished.code, -1, "{}", finished.output());
    assert!(!finished.out().join("result.json").exists());
    finished
}

#[test]
fn a_run_that_was_killed_is_reported_but_for_its_last_second() {
    let finished = cut_off();
    let text = report_of(&finished).arg("--full").exits(130).stdout;
    assert!(text.starts_with("CUT OFF  scenario  7 expectations, none decided"), "{text}");
    for said in ["? lost = 0", "? restarts = 1", "not processed yet", "[0] kill consumer 1"] {
        assert!(text.contains(said), "`{said}` is not in\n{text}");
    }
    assert!(!text.contains('✓') && !text.contains("  lost  "), "{text}");

    let json = report_of(&finished).args(["--format", "json"]).exits(130).stdout;
    let summary: Summary = serde_json::from_str(&json).expect("a summary");
    assert_eq!(summary.verdict, Verdict::CutOff);
    assert_accounts(&finished, &summary);
    assert_eq!(summary.restarts, 1);
    let [fault] = summary.faults.as_slice() else { panic!("{summary:?}") };
    assert!(fault.detected_ms.is_some() && fault.restarted_ms.is_some(), "{fault:?}");
    assert_eq!(support::owners(&summary.partitions[1]), [(1, 1), (1, 2)]);
}

/// Asserts that the account of each partition is that of the stored seconds, and that their sum is that of the run.
fn assert_accounts(finished: &Finished, summary: &Summary) {
    let mut per_second: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for line in finished.read("seconds.jsonl").lines() {
        // The last line may be incomplete.
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let partition = line["partition"].as_u64().expect("a partition") as u32;
        per_second.entry(partition).or_default().push(line["delivered"].as_u64().expect("a count"));
    }
    for p in &summary.partitions {
        let delivered = p.ledger.delivered;
        let mut total = 0;
        let sums = per_second[&p.partition].iter().map(|count| {
            total += count;
            total
        });
        // The summary also has the records that were processed between the end of the second and its own reading.
        let kept = sums.filter(|sum| *sum <= delivered).last().expect("a second");
        assert!(kept > 0 && delivered - kept < 60, "{kept} {delivered}");
        assert!(p.latency_us.response.count >= kept && p.latency_us.response.p99.is_some());
        assert!(p.ledger.sent >= p.ledger.acked && p.ledger.acked > 0, "{:?}", p.ledger);
    }
    let all = |count: fn(&lanekeeper::summary::Ledger) -> u64| -> u64 {
        summary.partitions.iter().map(|p| count(&p.ledger)).sum()
    };
    assert_eq!(summary.ledger.delivered, all(|ledger| ledger.delivered));
    assert_eq!(summary.ledger.sent, all(|ledger| ledger.sent));
    assert!(summary.ledger.sent >= summary.ledger.delivered);
}

#[test]
fn a_half_written_second_does_not_hide_the_one_before() {
    let finished = cut_off();
    std::fs::write(finished.out().join("so-far.json.part"), b"{\"schema_version\":1,\"verd")
        .unwrap();
    let torn = "{\"to_s\":3.1,\"partition\":0,\"deliv";
    for file in ["seconds.jsonl", "events.jsonl", "latency.hlog"] {
        std::fs::write(finished.out().join(file), finished.read(file) + torn).unwrap();
    }
    let text = report_of(&finished).exits(130).stdout;
    assert!(text.starts_with("CUT OFF"), "{text}");
}

#[test]
fn a_finished_run_is_reported_as_it_was_and_exits_as_it_did() {
    for (expected, code) in [("expect.delivered=30", 0), ("expect.delivered=1", 1)] {
        let text = "[topic]\npartitions = 1\n[load]\nproducers = 3\nrate = \"10/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"1s\"\n";
        let finished = Tool::run_text(text).set([expected]).exits(code);
        assert!(!finished.out().join("so-far.json").exists());
        assert_eq!(report_of(&finished).exits(code).stdout, finished.stdout);
        let json = report_of(&finished).args(["--format", "json"]).exits(code).stdout;
        assert_eq!(serde_json::from_str::<Summary>(&json).expect("JSON"), finished.summary());
    }
}

#[test]
fn what_is_no_result_is_2_and_says_why() {
    let refused = |tool: Tool, text: &str| {
        let finished = tool.args(["report", "out"]).exits(2);
        assert!(finished.stderr.contains(text), "{}", finished.output());
        assert_eq!(finished.stdout, "");
    };
    refused(Tool::new(), "there is no directory `out`");
    refused(Tool::new().file("out", b"a file"), "`out` is a file; give the directory");
    let stored = |content: &[u8]| {
        let tool = Tool::new();
        std::fs::create_dir(tool.path("out")).expect("a directory");
        tool.file("out/result.json", content)
    };
    refused(stored(b"{\"schema_version\": 99}"), "has format 99");
    refused(stored(b"{\"schema_version\": 1}"), "has format 1, which an earlier version wrote");
    refused(stored(b"{\"schema_version\": 2}"), "is not a result of lanekeeper");
    refused(stored(b"{\"schema_ver"), "is not a result of lanekeeper");
    let empty = Tool::new();
    std::fs::create_dir(empty.path("out")).expect("a directory");
    refused(empty, "has neither result.json nor so-far.json");
}

/// A report without its colours.
fn plain(report: &str) -> String {
    let mut parts = report.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// The lines of a short report. Asserts that it has at most 30 lines of 80 columns, and that the verdict begins and
/// ends it.
fn short_lines(summary: &Summary, word: &str) -> Vec<String> {
    let report = plain(&short_report(summary, None, "saved to results/kill-one-consumer"));
    let lines: Vec<String> = report.lines().map(str::to_owned).collect();
    assert!(lines.len() <= 30, "{} lines\n{report}", lines.len());
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?} columns\n{report}");
    assert!(lines[0].starts_with(word), "{report}");
    let end = lines.iter().rposition(|line| line.starts_with(word)).expect("the verdict");
    assert!(end > 3 && end + 2 >= lines.len(), "{report}");
    lines
}

fn killed_in_virtual_time() -> Summary {
    let set = ["run.warmup=1s", "run.duration=6s", "fault[0].at=3s"];
    Tool::run("kill-one-consumer.toml").set(set).args(["--broker", "sim"]).exits(0).summary()
}

#[test]
fn a_short_report_has_the_figures_of_the_result_in_one_unit() {
    let summary = killed_in_virtual_time();
    let lines = short_lines(&summary, "PASSED");
    let heading = lines.iter().find(|line| line.starts_with("LATENCY [us]")).expect("microseconds");
    assert!(heading.contains("p50  p90  p99  p99.9  max"), "{heading}");
    let response = lines.iter().find(|line| line.starts_with("response")).expect("a row");
    let shown: Vec<f64> =
        response.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let digest = &summary.latency_us.response;
    let wanted = [digest.p50, digest.p90, digest.p99, digest.p999, digest.max].map(Option::unwrap);
    assert_eq!(shown.len(), 5, "{response}");
    assert!(shown.iter().zip(wanted).all(|(shown, us)| (shown - us).abs() <= 0.5), "{response}");
    let buckets = summary.latency_us.response_buckets.as_ref().expect("a histogram");
    assert_eq!(buckets.counts.iter().sum::<u64>(), digest.count);
    assert_eq!(Some(buckets.to_us), digest.max);
    let text = lines.join("\n");
    let recovered = summary.faults[0].recovered_ms.expect("a time");
    assert!(text.contains(&format!("recovered {recovered:.1}")), "{recovered}: {text}");
    assert!(text.contains("  7  target of kill") && text.contains("median p99"), "{text}");
    // No figure that is 0 is printed.
    assert!(!lines.iter().any(|line| line.split_whitespace().any(|word| word == "0")), "{text}");
}

/// The output of `--partition` in 80 columns, and the result.
fn of_partition(scenario: &str, partition: &str, set: &[&str]) -> (String, Summary) {
    let tool = Tool::run(scenario).set(set.iter().copied()).env("COLUMNS", "80");
    let finished = tool.args(["--broker", "sim", "--partition", partition]).exits(0);
    let lines = finished.stdout.lines();
    assert!(lines.clone().all(|line| line.chars().count() <= 80), "{}", finished.stdout);
    assert!(lines.count() <= 30, "{}", finished.stdout);
    let told = finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    (told, finished.summary())
}

#[test]
fn a_partition_that_is_slow_is_told_why() {
    let (told, summary) = of_partition("slow-partition.toml", "7", &[]);
    let (p, p0) = (&summary.partitions[7], &summary.partitions[0]);
    let mean = |part: Option<TimePart>| part.expect("a part").mean_us;
    assert!(mean(p.time.waiting) > 100.0 * mean(p0.time.waiting).max(1.0), "{:?}", p.time);
    for said in [
        "PARTITION 7 of 12",
        "Most of the difference is waiting",
        "No other partition has a larger one.",
        "(all 3 replicas in sync), in the whole run.",
        "The fault slow consumer 7 at 6.0 s was aimed at it",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let slowest = &summary.slowest_records;
    assert!(slowest.len() == 10 && slowest.iter().all(|record| record.partition == 7));
    assert!(p.slowest[..] == slowest[..3] && told.contains(&format!(" {} ", slowest[0].offset)));
    let (told, _) = of_partition("slow-partition.toml", "3", &[]);
    assert!(told.contains("No fault hit it.") && !told.contains("difference is waiting"), "{told}");
}

#[test]
fn a_leader_that_moves_is_told_with_the_replicas_in_sync() {
    let (told, summary) = of_partition("faults/broker-crash.toml", "0", &[]);
    let changes = summary.partitions[0].leadership.as_deref().expect("leaders");
    let seen: Vec<(Option<i32>, usize)> =
        changes.iter().map(|it| (it.leader, it.in_sync.len())).collect();
    assert_eq!(seen, [(Some(1), 3), (Some(2), 2), (Some(2), 3)], "{changes:?}");
    // The session of the broker ends some seconds after the crash at 5 s. The broker is restarted at the end of the
    // fault.
    assert!(changes[0].from_s <= 0.0 && (5.0..10.0).contains(&changes[1].from_s), "{changes:?}");
    assert!(told.contains("then broker 2 (2 of 3 replicas in sync)"), "{told}");
    assert!(told.contains("1 change of the leader"), "{told}");
    // A partition with its leader on another broker lost a replica during the fault.
    let other = summary.partitions[1].leadership.as_deref().expect("leaders");
    assert!(other.iter().all(|it| it.leader == Some(2)) && other.len() == 3, "{other:?}");
}

#[test]
fn a_partition_that_is_not_there_is_refused_before_the_run() {
    let tool = Tool::run("quick.toml").args(["--broker", "sim", "--partition", "600"]);
    let refused = tool.exits(2);
    assert!(refused.stderr.contains("there is no partition 600"), "{}", refused.stderr);
    assert!(!refused.out().exists(), "it has run");
}

#[test]
fn a_short_report_stays_short_however_much_there_is_to_say() {
    let mut summary = killed_in_virtual_time();
    let long = "a reason that takes more than one line of a terminal, and goes on for some time, "
        .repeat(3);
    summary.warnings = vec![long.clone(); 40];
    let mut fault = summary.faults[0].clone();
    (fault.blast_radius, fault.partitions_hit) = (18, (0..18).collect());
    fault.not_recovered = vec![3, 4, 5];
    fault.missed = vec![long.clone(); 3];
    summary.faults = (0..60)
        .map(|number| {
            let mut fault = fault.clone();
            fault.fault = number;
            fault
        })
        .collect();
    let mut failing = summary.expectations[0].clone();
    (failing.passed, failing.reason) = (false, Some(long.clone()));
    summary.expectations = vec![failing; 500];
    summary.not_processed = 1_000_000;
    summary.rebalances.clear();
    summary.handler = Some("orders".to_owned());
    for p in &mut summary.partitions {
        p.ledger.lost = 3;
        (p.longest_stall_ms, p.lag_max) = (1e6, 1_000_000);
        p.owners[0].consumer = 9;
    }
    let digest = &mut summary.latency_us.response;
    (digest.p50, digest.p999, digest.max) = (Some(0.1), Some(36e9), Some(36e9));
    let verdicts = [
        (Verdict::Failed, "FAILED"),
        (Verdict::Invalid, "INVALID"),
        (Verdict::Interrupted, "INTERRUPTED"),
        (Verdict::CutOff, "CUT OFF"),
    ];
    for (verdict, word) in verdicts {
        summary.verdict = verdict;
        if verdict == Verdict::Invalid {
            summary.invalid_reasons = vec![long.clone(); 9];
        }
        let text = short_lines(&summary, word).join("\n");
        assert!(text.contains("`report --full` has all"), "{text}");
    }
    let mut nothing = Summary::default();
    nothing.scenario = "empty".to_owned();
    short_lines(&nothing, "PASSED");
}
