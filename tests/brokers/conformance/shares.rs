//! A run of four processes on a real cluster.

use lanekeeper::summary::{ShareState, Summary, Verdict};

use crate::cluster::{Arm, on_the_cluster};
use crate::support::{Finished, Running, Tool, alone};

const SCENARIO: &str = "[topic]\npartitions = 6\n[load]\nproducers = 40\nrate = \"10/s\"\npartition = \"round-robin\"\n\
                        [run]\nwarmup = \"500ms\"\nduration = \"3s\"\n[expect]\nlost = 0\nconsumers_started = 6\n";
const SENT: u64 = 40 * 35;

/// Share `number` of four, on the topic of this name.
fn share(arm: &Arm, number: u32, topic: &str, set: &[&str]) -> Tool {
    let name = format!("topic.name={topic}");
    let tool = arm.run(SCENARIO).args(["--share", &format!("{number}/4")]);
    tool.set([name.as_str()]).set(set.iter().copied())
}

fn started(arm: &Arm, topic: &str, set: &[&str]) -> Vec<Running> {
    (1..=4).map(|number| share(arm, number, topic, set).start()).collect()
}

/// Runs `merge` on the directories of these processes.
fn merged(processes: &[Finished]) -> Finished {
    let directories: Vec<String> =
        processes.iter().map(|it| it.out().display().to_string()).collect();
    let tool = Tool::new().arg("merge").args(directories.iter().map(String::as_str));
    let out = tool.path("merged").display().to_string();
    tool.args(["--out", &out]).finish()
}

fn summary_of(merged: &Finished) -> Summary {
    let text = std::fs::read_to_string(merged.scratch().join("merged/result.json"));
    serde_json::from_str(&text.unwrap_or_else(|_| panic!("{}", merged.output()))).expect("a result")
}

#[test]
fn four_processes_make_one_result_and_leave_nothing_behind() {
    on_the_cluster(|arm| {
        let _alone = alone();
        let topic = format!("shares-{}", std::process::id());
        let processes: Vec<Finished> =
            started(arm, &topic, &[]).into_iter().map(Running::finish).collect();
        let merged = merged(&processes);
        let summary = summary_of(&merged);
        assert_eq!(summary.ledger.sent, SENT, "{}", merged.output());
        assert_eq!(
            (summary.ledger.delivered, summary.ledger.lost, summary.ledger.unread),
            (SENT, 0, 0)
        );
        assert_eq!((summary.consumers_started, summary.partitions.len()), (6, 6));
        let shares = summary.shares.as_ref().expect("shares");
        assert_eq!((shares.count, shares.clocks, shares.not_covered.len()), (4, 1, 0));
        assert!(
            shares.processes.iter().all(|it| it.state == ShareState::Complete && it.same_clock)
        );
        let sent: u64 = shares.processes.iter().map(|it| it.sent).sum();
        assert_eq!(sent, SENT);
        // Every process has the same result.
        for process in &processes {
            let own = process.summary();
            assert_eq!((own.ledger, own.latency_us), (summary.ledger, summary.latency_us.clone()));
            let left = own.warnings.iter().find(|it| it.contains("may still be there"));
            assert_eq!(left, None, "the topic in which they meet is removed");
        }
        // Every partition has lines of seconds, in the order of their times.
        let seconds = std::fs::read_to_string(merged.scratch().join("merged/seconds.jsonl"));
        let seconds = seconds.expect("seconds");
        assert!((0..6).all(|id| seconds.contains(&format!("\"partition\":{id},"))), "{seconds}");
        assert_eq!(arm.partitions_of(&topic), None);
    });
}

#[test]
fn a_killed_process_is_named_and_its_partitions_are_not_covered() {
    on_the_cluster(|arm| {
        let _alone = alone();
        let topic = format!("shares-killed-{}", std::process::id());
        let mut running = started(arm, &topic, &["run.duration=5s"]);
        let mut third = running.remove(2);
        third.await_text("so-far.json", "{");
        // The others hear of its records once a second.
        (0..150).for_each(|_| third.look());
        let third = third.kill();
        let mut processes: Vec<Finished> = running.into_iter().map(Running::finish).collect();
        for process in &processes {
            let own = process.summary();
            assert_eq!(own.verdict, Verdict::Invalid, "{}", process.output());
            let reasons = own.invalid_reasons.join("; ");
            assert!(reasons.contains("share 3 of 4 was lost"), "{reasons}");
            assert_eq!((own.ledger.lost, own.ledger.unaccounted()), (0, 0), "{:?}", own.ledger);
            assert!(own.ledger.not_covered > 0);
        }
        processes.push(third);
        let merged = merged(&processes);
        let summary = summary_of(&merged);
        assert_eq!(summary.verdict, Verdict::Invalid);
        let shares = summary.shares.expect("shares");
        assert_eq!(shares.not_covered, [2]);
        assert_eq!(shares.processes[2].state, ShareState::Lost);
        assert!(shares.delivered_of_lost > 0);
        assert!(merged.stderr.contains("was cut off"), "{}", merged.output());
    });
}

#[test]
fn an_interrupted_process_ends_all_and_a_share_with_another_scenario_is_refused() {
    on_the_cluster(|arm| {
        let _alone = alone();
        let topic = format!("shares-ended-{}", std::process::id());
        let mut running = started(arm, &topic, &["run.duration=120s"]);
        running[1].await_text("so-far.json", "{");
        running[1].interrupt();
        for process in running.into_iter().map(Running::finish) {
            assert_eq!(process.summary().verdict, Verdict::Interrupted, "{}", process.output());
            let warnings = process.summary().warnings.join("\n");
            assert!(warnings.contains("share 2 has ended the run"), "{warnings}");
        }
        let topic = format!("shares-other-{}", std::process::id());
        let mut running: Vec<Running> =
            (1..=3).map(|number| share(arm, number, &topic, &[]).start()).collect();
        running.push(share(arm, 4, &topic, &["load.rate=11/s"]).start());
        for process in running.into_iter().map(Running::finish) {
            assert!(
                process.stderr.contains("share 4 has another scenario"),
                "{}",
                process.output()
            );
        }
        assert_eq!(arm.partitions_of(&topic), None);
    });
}
