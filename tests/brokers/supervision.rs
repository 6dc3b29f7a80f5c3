//! Failing consumers on the embedded broker: those that are restarted, those that are given up, and the reports about
//! them.

use crate::support::{Finished, Tool, owners};
use lanekeeper::summary::Verdict;

/// 4 MiB/s on two partitions. Consumer 0 can process a tenth of its records, and the mock cluster keeps 5 MiB of each
/// partition.
const TRIMMED: &str = "[topic]\npartitions = 2\n\
    [load]\nproducers = 4\nrate = \"100/s\"\npayload = \"10KiB\"\n\
    [consumers]\nwork_of = { 0 = { wait = \"50ms\" } }\n\
    [run]\nwarmup = \"0s\"\nduration = \"4s\"\ndrain = \"2s\"\n\
    [[fault]]\nat = \"3500ms\"\nkill = { consumer = 0 }\n";

#[test]
fn records_removed_before_they_were_read_stall_the_partition_and_fail_the_run() {
    let finished = Tool::run_text(TRIMMED).exits(1);
    let summary = finished.summary();
    assert_eq!(summary.verdict, Verdict::Failed);
    let reason = &summary.given_up[&0];
    assert!(reason.starts_with("data loss: offsets "), "{reason}");
    assert_eq!(summary.given_up.len(), 1);
    // It was restarted once after the kill, and then given up. No record was skipped.
    assert_eq!((summary.restarts, owners(&summary.partitions[0])), (1, vec![(0, 1), (0, 2)]));
    let events = finished.read("events.jsonl");
    assert_eq!(events.matches("\"consumer_given_up\"").count(), 1, "{events}");
    assert_eq!(events.matches("AutoOffsetReset").count(), 1, "{events}");
    // The other consumer continued.
    let other = &summary.partitions[1].ledger;
    assert_eq!((other.lost, other.delivered), (0, other.sent));
    assert!(summary.partitions[0].ledger.lost > 0);
    assert!(
        finished.stdout.contains("consumer 0 was given up: data loss"),
        "{}",
        finished.output()
    );
}

/// Runs this scenario with each client library. With librdkafka each consumer has a thread, and native consumers share
/// threads.
fn with_each_client(text: &str, check: impl Fn(&Finished)) {
    for client in ["rdkafka", "native"] {
        check(&Tool::run_text(text).args(["--client", client]).exits(0));
    }
}

/// Two partitions with 50 records a second each, a watchdog with short time limits, and a fault.
fn watched(fault: &str) -> String {
    format!(
        "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"50/s\"\n\
         [watchdog]\npoll = \"300ms\"\nclose = \"200ms\"\n\
         [run]\nwarmup = \"0s\"\nduration = \"4s\"\n[[fault]]\nat = \"500ms\"\n{fault}\n[expect]\nlost = 0\n"
    )
}

#[test]
fn a_hung_thread_is_replaced_and_its_own_is_counted_until_it_ends() {
    let fault = "hang = { consumer = 1 }\nfor = \"3s\"";
    with_each_client(&watched(fault), |finished| {
        let summary = finished.summary();
        assert_eq!((summary.restarts, summary.ledger.delivered), (1, summary.ledger.sent));
        assert_eq!(owners(&summary.partitions[1]), [(1, 1), (1, 2)]);
        assert_eq!(owners(&summary.partitions[0]), [(0, 1)]);
        let events = finished.read("events.jsonl");
        let expected =
            ["hung poll: ", "\"replaced\"", "\"thread_abandoned\"", "\"consumer_closed\""];
        for text in expected {
            assert!(events.contains(text), "{text}\n{events}");
        }
        // The thread ended, and its records were fenced.
        assert_eq!(summary.abandoned_threads, 0);
    });
}

#[test]
fn more_abandoned_threads_than_allowed_fail_the_run() {
    let fault = "hang = { consumer = 1 }\nfor = \"1h\"";
    let text = watched(fault);
    let finished = Tool::run_text(&text).set(["watchdog.abandoned=0"]).exits(1);
    let summary = finished.summary();
    assert_eq!(summary.verdict, Verdict::Failed);
    // No consumer may be replaced, so it is given up at once. The other one continues.
    assert!(summary.given_up[&1].starts_with("hung poll: "), "{:?}", summary.given_up);
    let other = &summary.partitions[0].ledger;
    assert_eq!((other.lost, other.delivered), (0, other.sent));
}

#[test]
fn a_long_record_is_told_from_a_hung_thread_and_left_alone() {
    let fault = "stall = { consumer = 1 }\nfor = \"2s\"";
    with_each_client(&watched(fault), |finished| {
        let summary = finished.summary();
        assert_eq!((summary.restarts, summary.ledger.redelivered), (0, 0));
        let events = finished.read("events.jsonl");
        assert_eq!(events.matches("busy with offset").count(), 1, "{events}");
        assert!(!events.contains("hung"), "{events}");
    });
}

#[test]
fn consumers_that_share_a_thread_do_not_wait_for_one_that_hangs_works_or_stalls() {
    // There are more consumers than threads. Some share a thread with consumer 0, others with consumers 1 and 2.
    let text = "[topic]\npartitions = 12\n[load]\nproducers = 12\nrate = \"50/s\"\n\
                [consumers]\nwork_of = { 1 = { wait = \"200ms\" } }\n\
                [watchdog]\npoll = \"1h\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"2s\"\ndrain = \"1s\"\n\
                [[fault]]\nat = \"500ms\"\nfor = \"1h\"\nhang = { consumer = 0 }\n\
                [[fault]]\nat = \"500ms\"\nfor = \"1h\"\nstall = { consumer = 2 }\n";
    let finished = Tool::run_text(text).args(["--client", "native"]).exits(1);
    let summary = finished.summary();
    for p in &summary.partitions {
        let ledger = &p.ledger;
        assert_eq!((ledger.lost, ledger.duplicated, owners(p).len()), (0, 0, 1), "{ledger:?}");
        assert_eq!(ledger.delivered < ledger.sent, p.partition < 3, "{}: {ledger:?}", p.partition);
    }
    let threads = summary.cost.threads_max.expect("Linux tells");
    assert!(threads < 16, "{threads} threads for 12 consumers");
}

/// The index of the first event in the journal that contains all these texts.
fn at(events: &str, wanted: &[&str]) -> usize {
    let is_it = |line: &str| wanted.iter().all(|text| line.contains(text));
    let found = events.lines().position(is_it);
    found.unwrap_or_else(|| panic!("no {wanted:?} in\n{events}"))
}

#[test]
fn no_restart_waits_for_an_old_client_that_takes_its_time_to_close() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"50/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
                [[fault]]\nat = \"500ms\"\nlate_close = { consumer = 0 }\nfor = \"2s\"\n\
                [[fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n[expect]\nlost = 0\nrestarts = 2\n";
    with_each_client(text, |finished| {
        let events = finished.read("events.jsonl");
        let one = "\"start\":1";
        let closed = at(&events, &["\"consumer_closed\"", "\"consumer\":0", one]);
        // Both consumers were restarted before the late client of consumer 0 was closed.
        for consumer in ["\"consumer\":0", "\"consumer\":1"] {
            let restarted = at(&events, &["\"consumer_ready\"", consumer, "\"start\":2"]);
            assert!(restarted < closed, "{events}");
        }
        assert!(at(&events, &["\"consumer_closed\"", "\"consumer\":1", one]) < closed, "{events}");
    });
}

#[test]
fn all_consumers_may_fail_at_once() {
    let text = "[topic]\npartitions = 18\n[load]\nproducers = 36\nrate = \"20/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"2s\"\n\
                [[fault]]\nat = \"1s\"\npanic = { consumer = \"all\" }\n[expect]\nlost = 0\nrestarts = 18\n";
    with_each_client(text, |finished| {
        let summary = finished.summary();
        // The handlers failed and not the cluster, so no restart is delayed by an outage.
        assert_eq!((summary.outages.len(), summary.given_up.len()), (0, 0));
        let events = finished.read("events.jsonl");
        for p in &summary.partitions {
            assert_eq!(owners(p), [(p.partition, 1), (p.partition, 2)]);
            // Each partition was fenced before the consumer was started again.
            let consumer = format!("\"consumer\":{},", p.partition);
            let failed = at(&events, &["\"consumer_failed\"", &consumer]);
            let started = at(&events, &["\"consumer_started\"", &consumer, "\"start\":2"]);
            assert!(failed < started, "{events}");
        }
    });
}
