//! The same client sends the same requests in a simulation and to a cluster: compared by kind and count, for the same
//! scenario.
//!
//! By hand, for another scenario:
//!
//! ```text
//! lanekeeper replay FILE --trace --kind request --limit 0
//! LANEKEEPER_LOG=lanekeeper::broker::tcp::request=trace lanekeeper run FILE --bootstrap ADDRESS --client native
//! ```
//!
//! What may differ, and why:
//!
//! * **Produce, Fetch**: a record is a batch where nothing is late. On a machine that is, a batch has several records, and
//!   then there are fewer of both. Never more batches than records; a fetch more for each wait of 500 ms without one.
//! * **Metadata**: a broker may not know yet who leads the new topic, and the client asks again. Members of a group on a
//!   cluster look for new partitions as well, every `topic.discover` and before they assign.
//! * **FindCoordinator**: asked again while the cluster creates its topic of offsets.
//! * **JoinGroup, SyncGroup**: members that are late join in a generation of their own, and all others again.
//! * **LeaveGroup**: a simulation ends when everything is read, and nothing is closed. A member's last commit is missing
//!   there, too.
//! * **Heartbeat, OffsetCommit**: by intervals, which begin when the group is complete. The run on the cluster takes longer
//!   by what its start takes.

use std::collections::BTreeMap;

use super::{Arm, on_the_cluster};
use crate::support::Tool;

/// 60 records in each of three partitions, 50 ms apart.
const SCENARIO: &str = "[topic]\npartitions = 3\n[load]\nproducers = 3\nrate = \"20/s\"\n\
    partition = \"fixed\"\nphases = \"uniform\"\n[run]\nwarmup = \"0s\"\nduration = \"3s\"\n";
const RECORDS: u64 = 180;
const CLIENTS: u64 = 3;

type Counts = BTreeMap<String, u64>;

/// What consumers and pools send in a simulation.
fn in_a_simulation(set: &[&str]) -> Counts {
    let trace = Tool::new()
        .file("scenario.toml", SCENARIO.as_bytes())
        .args(["replay", "scenario.toml", "--trace", "--kind", "request", "--limit", "0"])
        .set(set.iter().copied())
        .exits(0);
    let of_clients = |line: &str| {
        let (_, what) = line.split_once(" from ")?;
        let (client, request) = what.split_once(": ")?;
        let is_of_load = client.starts_with("consumer-") || client.starts_with("pool-");
        let kind = request.split(' ').next().filter(|_| is_of_load);
        kind.map(str::to_owned)
    };
    counted(trace.stdout.lines().filter_map(of_clients))
}

/// What they send to a cluster.
fn to_a_cluster(arm: &Arm, set: &[&str]) -> Counts {
    let finished = Tool::run_text(SCENARIO)
        .args(["--bootstrap", arm.bootstrap(), "--client", "native"])
        .set(set.iter().copied())
        .env("LANEKEEPER_LOG", "lanekeeper::broker::tcp::request=trace")
        .exits(0);
    let ledger = finished.summary().ledger;
    assert_eq!((ledger.sent, ledger.delivered), (RECORDS, RECORDS));
    let kind = |line: &str| {
        let (_, rest) = line.split_once("api=\"")?;
        rest.split('"').next().map(str::to_owned)
    };
    counted(finished.stderr.lines().filter_map(kind))
}

fn counted(kinds: impl Iterator<Item = String>) -> Counts {
    let mut counts = Counts::new();
    kinds.for_each(|kind| *counts.entry(kind).or_default() += 1);
    counts
}

/// Whether the real counts are the simulated ones, but for what these kinds may have less and more.
#[track_caller]
fn assert_alike(simulated: &Counts, real: &Counts, more: &[(&str, u64)]) {
    let kinds = |counts: &Counts| counts.keys().cloned().collect::<Vec<_>>();
    assert_eq!(kinds(simulated), kinds(real), "{simulated:?} {real:?}");
    for (kind, count) in simulated {
        let may_be_fewer = matches!(kind.as_str(), "Produce" | "Fetch" | "Heartbeat")
            || kind == "ConsumerGroupHeartbeat";
        let least = if may_be_fewer { count / 3 } else { *count };
        let more = more.iter().find(|(name, _)| name == kind).map_or(0, |(_, more)| *more);
        let found = real[kind];
        assert!(
            (least..=count + more).contains(&found),
            "{kind}: {count} simulated, {found} on the cluster; {simulated:?} {real:?}"
        );
    }
}

#[test]
fn a_simulation_has_the_requests_of_a_run_on_a_cluster() {
    on_the_cluster(|arm| {
        // The run names its client: once is enough.
        if !arm.has_the_native_client() {
            return;
        }
        let simulated = in_a_simulation(&[]);
        // A record is a batch, and a fetch.
        assert_eq!(simulated["Produce"], RECORDS);
        let (waits, tries) = (20 * CLIENTS, 20 * CLIENTS);
        let more = [("Fetch", waits), ("Metadata", tries)];
        assert_alike(&simulated, &to_a_cluster(arm, &[]), &more);

        let group = ["consumers.mode=group", "consumers.count=3"];
        let simulated = in_a_simulation(&group);
        // Each member is told its id, and joins with it; it gives up nothing until it leaves.
        assert_eq!((simulated["JoinGroup"], simulated["SyncGroup"]), (2 * CLIENTS, CLIENTS));
        let (intervals, generations) = (20 * CLIENTS, 3 * CLIENTS);
        let more = [
            ("Fetch", waits),
            ("Metadata", tries),
            ("FindCoordinator", 300),
            ("JoinGroup", generations),
            ("SyncGroup", generations),
            ("OffsetFetch", generations),
            ("Heartbeat", intervals),
            ("OffsetCommit", intervals),
        ];
        let mut real = to_a_cluster(arm, &group);
        assert_eq!(real.remove("LeaveGroup"), Some(CLIENTS));
        assert_alike(&simulated, &real, &more);

        if !arm.group_protocols().contains(&"consumer") {
            return;
        }
        let group = [group[0], group[1], "consumers.protocol=consumer"];
        let simulated = in_a_simulation(&group);
        // A member joins, and says what it has; on the cluster it leaves with a heartbeat.
        assert!(simulated["ConsumerGroupHeartbeat"] >= 2 * CLIENTS);
        let more = [
            ("Fetch", waits),
            ("Metadata", tries),
            ("FindCoordinator", 300),
            ("ConsumerGroupHeartbeat", intervals),
            ("OffsetFetch", generations),
            ("OffsetCommit", intervals),
        ];
        assert_alike(&simulated, &to_a_cluster(arm, &group), &more);
    });
}
