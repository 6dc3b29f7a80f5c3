//! Groups of the consumer protocol (KIP-848) in virtual time: the coordinator assigns, and members continue to read the
//! partitions that they keep.

use crate::support::{Finished, Tool, owners};
use lanekeeper::summary::{PartitionSummary, Summary};

/// Runs a group with nine partitions, three members, sessions of 6 s and heartbeats every 2 s, with this fault 5 s
/// after the load begins.
fn group(fault: &str, set: &[&str]) -> Finished {
    let text = format!(
        "[topic]\npartitions = 9\ndiscover = \"500ms\"\n[load]\nproducers = 18\nrate = \"20/s\"\npartition = \"round-robin\"\n\
         [consumers]\nmode = \"group\"\ncount = 3\nprotocol = \"consumer\"\n\
         [sim]\ngroup_session_timeout = \"6s\"\ngroup_heartbeat_interval = \"2s\"\n\
         [run]\nwarmup = \"0s\"\nduration = \"25s\"\n[[fault]]\nat = \"5s\"\n{fault}\n\
         [expect]\nlost = 0\nduplicated = 0\nreordered = 0\nmiscommitted = 0\nshared = 0\nunexpected_redelivered = 0\n"
    );
    Tool::run_text(&text).args(["--broker", "sim"]).set(set.iter().copied()).exits(0)
}

fn stalls(summary: &Summary, of: impl Fn(&PartitionSummary) -> bool) -> Vec<f64> {
    let hit = summary.partitions.iter().filter(|it| of(it));
    hit.map(|it| it.longest_stall_ms).collect()
}

fn sizes(summary: &Summary) -> Vec<usize> {
    let mut sizes = vec![0; summary.members as usize];
    for p in &summary.partitions {
        sizes[p.owners.last().expect("an owner").consumer as usize] += 1;
    }
    sizes
}

#[test]
fn a_killed_members_partitions_stall_for_its_session_and_the_others_for_a_heartbeat() {
    for assignor in ["uniform", "range"] {
        let set = format!("consumers.assignor={assignor}");
        let summary = group("kill = { consumer = 1 }", &[&set]).summary();
        let fault = &summary.faults[0];
        assert_eq!(fault.partitions_aimed_at.len(), 3, "{fault:?}");
        // Its last heartbeat was up to 2 s before the kill. The others learn of the end of its session with their next
        // heartbeats, up to 2 s later. Until then its successor is an additional member and gets partitions of the
        // others. Each of these stalls from a heartbeat of its owner to one of the successor. `range` moves some of
        // them twice.
        let aimed_at = |p: &PartitionSummary| fault.partitions_aimed_at.contains(&p.partition);
        for stall_ms in stalls(&summary, aimed_at) {
            assert!((4_000.0..12_000.0).contains(&stall_ms), "{assignor}: {stall_ms} ms");
        }
        let most = if assignor == "uniform" { 2_500.0 } else { 4_500.0 };
        for stall_ms in stalls(&summary, |p| !aimed_at(p)) {
            assert!(stall_ms < most, "{assignor}: {stall_ms} ms");
        }
        assert_eq!((summary.restarts, sizes(&summary)), (1, vec![3, 3, 3]));
    }
}

#[test]
fn a_member_that_stops_is_replaced_within_heartbeats() {
    let summary = group("stop = { consumer = 1 }", &[]).summary();
    let aimed_at = &summary.faults[0].partitions_aimed_at;
    for stall_ms in stalls(&summary, |p| aimed_at.contains(&p.partition)) {
        assert!(stall_ms < 4_500.0, "{stall_ms} ms");
    }
    assert_eq!(summary.ledger.redelivered, 0);
}

/// The successor of a static member waits until the old client is closed, and no other member is affected.
#[test]
fn a_static_member_gets_its_partitions_back_when_its_client_is_closed() {
    let kills = [
        ("kill = { consumer = 1 }", 300.0),
        ("late_close = { consumer = 1 }\nfor = \"900ms\"", 1_300.0),
    ];
    for (kill, most) in kills {
        let summary = group(kill, &["consumers.membership=static"]).summary();
        let aimed_at = &summary.faults[0].partitions_aimed_at;
        assert_eq!((summary.restarts, summary.rebalances.len(), aimed_at.len()), (1, 0, 3));
        for p in &summary.partitions {
            let last = owners(p).last().copied();
            let is_back = last == Some((1, 2));
            assert_eq!(is_back, aimed_at.contains(&p.partition), "{:?}", owners(p));
            assert!(
                p.longest_stall_ms < if is_back { most } else { 300.0 },
                "{} ms",
                p.longest_stall_ms
            );
        }
    }
}

#[test]
fn a_member_that_hangs_is_replaced_and_a_coordinator_that_moves_is_found() {
    for identity in ["dynamic", "static"] {
        let membership = format!("consumers.membership={identity}");
        let hang = "hang = { consumer = 1 }\nfor = \"9s\"";
        let summary = group(hang, &[&membership, "watchdog.poll=2s"]).summary();
        assert_eq!((summary.restarts, sizes(&summary)), (1, vec![3, 3, 3]), "{identity}");
    }
    let summary = group("coordinator_move = {}", &[]).summary();
    assert_eq!((summary.restarts, summary.rebalances.len()), (0, 0), "{:?}", summary.rebalances);
}

#[test]
fn the_coordinator_assigns_partitions_that_the_topic_gets_later() {
    let summary = group("grow = { partitions = 12 }", &[]).summary();
    assert_eq!((summary.partitions.len(), sizes(&summary)), (12, vec![4, 4, 4]));
}

#[test]
fn it_gives_the_same_trace_twice_and_says_what_members_have() {
    let text = "[topic]\npartitions = 4\n[load]\nproducers = 4\n[consumers]\nmode = \"group\"\ncount = 2\n\
                protocol = \"consumer\"\n[run]\nwarmup = \"0s\"\nduration = \"12s\"\n\
                [[fault]]\nat = \"2s\"\nkill = { consumer = 0 }\n";
    let tool = || Tool::new().file("scenario.toml", text.as_bytes());
    let same = tool().args(["replay", "scenario.toml", "--verify"]).exits(0);
    assert!(same.stdout.contains("the same, event by event"), "{}", same.output());
    let trace = tool().args(["replay", "scenario.toml", "--trace", "--limit", "0"]).exits(0);
    for what in ["which joins", "in epoch 1, has [0 1 2 3]", "epoch 1, to have [0 1]"] {
        assert!(trace.stdout.contains(what), "`{what}`\n{}", trace.stdout);
    }
}
