//! `report`: a stored result shown again, also one whose run was cut off.

mod support;

use std::collections::BTreeMap;

use lanekeeper::summary::{Summary, Verdict};
use serde_json::Value;
use support::{Finished, Tool, report_of};

const KILL: &str = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"10/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"10m\"\n\
                    [[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n\
                    [expect]\nlost = 0\nrestarts = 1\n";

/// A run that was ended by SIGKILL after it had kept the second in which its fault was over.
fn cut_off() -> Finished {
    let mut running = Tool::run_text(KILL).start();
    running.await_text("so-far.json", "\"incarnation\":2");
    running.await_text("so-far.json", "\"restarts\":1,");
    let finished = running.kill();
    assert_eq!(finished.code, -1, "{}", finished.output());
    assert!(!finished.out().join("result.json").exists());
    finished
}

#[test]
fn a_run_that_was_killed_is_reported_but_for_its_last_second() {
    let finished = cut_off();
    let text = report_of(&finished).exits(130).stdout;
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

/// The account of each partition is that of the seconds kept, and all of them add up to the whole.
fn assert_accounts(finished: &Finished, summary: &Summary) {
    let mut per_second: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for line in finished.read("seconds.jsonl").lines() {
        // The last line may be torn.
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
        // What was processed between the end of the second and the summary's own look is in, too.
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
    refused(empty, "holds neither result.json nor so-far.json");
}
