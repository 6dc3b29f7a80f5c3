//! Consumers in trouble, on the embedded broker: what comes back, what does not, and what is said about it.

mod support;

use lanekeeper::measure::Verdict;
use support::{Tool, owners};

/// 4 MiB/s on two partitions, of which consumer 0 can process a tenth: the mock cluster keeps 5 MiB of each.
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
    // Restarted once after the kill, and then no more; nothing was skipped.
    assert_eq!((summary.restarts, owners(&summary.partitions[0])), (1, vec![(0, 1), (0, 2)]));
    let events = finished.read("events.jsonl");
    assert_eq!(events.matches("\"consumer_stalled\"").count(), 1, "{events}");
    assert_eq!(events.matches("AutoOffsetReset").count(), 1, "{events}");
    // The other one went on.
    let other = &summary.partitions[1].ledger;
    assert_eq!((other.lost, other.delivered), (0, other.sent));
    assert!(summary.partitions[0].ledger.lost > 0);
    assert!(
        finished.stdout.contains("consumer 0 was given up: data loss"),
        "{}",
        finished.output()
    );
}
