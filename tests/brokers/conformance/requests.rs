//! The native client sends the same requests in a simulation and to a cluster. Their numbers are compared by kind, for
//! the same scenario.
//!
//! The commands for another scenario:
//!
//! ```text
//! lanekeeper replay FILE --trace --kind request --limit 0
//! LANEKEEPER_LOG=lanekeeper::broker::tcp::request=trace lanekeeper run FILE --bootstrap ADDRESS --client native
//! ```
//!
//! The numbers may differ for these reasons:
//!
//! * **Produce, Fetch**: a record that is sent in time is a batch. On a slow machine a batch has several records, and
//!   there are fewer requests of both kinds. Batches for one broker share a request, and partitions of one leader share
//!   a fetch. There are never more batches than records, and one more fetch for each wait of 500 ms without a record.
//! * **Metadata**: the client repeats the request while a broker does not know the leaders of the new topic. Members of
//!   a group on a cluster also search for new partitions, every `topic.discover` and before they assign.
//! * **FindCoordinator**: repeated while the cluster creates its offsets topic.
//! * **JoinGroup, SyncGroup**: late members join in another generation, for which all others join again.
//! * **OffsetFetch**: one for each assignment. The number of assignments depends on the order in which members join.
//! * **LeaveGroup**: a simulation ends when all records are processed, and closes no client. It also lacks the last
//!   commit of a member.
//! * **Heartbeat, OffsetCommit**: sent in intervals. The run on the cluster has more of them, because it takes longer
//!   by its startup. A group that is complete again shortly before the end has no heartbeat in it.
//!
//! A consumer that a fault kills or stops is restarted in both runs. The requests of its successor are included in the
//! comparison.

use std::collections::BTreeMap;

use super::{Arm, on_the_cluster};
use crate::support::Tool;

type Counts = BTreeMap<String, u64>;

/// A scenario for both runs.
struct Compared<'a> {
    /// Number of partitions. Each has a producer of its own, which sends 60 records, 50 ms apart.
    partitions: u64,
    /// Number of clients that read them.
    clients: u64,
    set: &'a [&'a str],
    /// A fault in the middle of the load; empty for none.
    fault: &'a str,
    /// Number of LeaveGroup requests at the end of the run on a cluster; `None` without a group.
    leaves: Option<u64>,
}

impl Compared<'_> {
    fn records(&self) -> u64 {
        60 * self.partitions
    }

    fn scenario(&self) -> String {
        let Compared { partitions, fault, .. } = self;
        let fault = match *fault {
            "" => String::new(),
            fault => format!("[[fault]]\nat = \"1s\"\n{fault}\n"),
        };
        format!(
            "[topic]\npartitions = {partitions}\n[load]\nproducers = {partitions}\nrate = \"20/s\"\n\
             partition = \"fixed\"\nphases = \"uniform\"\n[run]\nwarmup = \"0s\"\nduration = \"3s\"\n{fault}"
        )
    }

    /// The requests of consumers and pools in a simulation with this number of brokers.
    fn in_a_simulation(&self, brokers: u64) -> Counts {
        let brokers = format!("sim.brokers={brokers}");
        let trace = Tool::new()
            .file("scenario.toml", self.scenario().as_bytes())
            .args(["replay", "scenario.toml", "--trace", "--kind", "request", "--limit", "0"])
            .set(self.set.iter().copied())
            .set([brokers.as_str()])
            .exits(0);
        let of_clients = |line: &str| {
            let (_, what) = line.split_once(" from ")?;
            let (client, request) = what.split_once(": ")?;
            let is_of_load = client.starts_with("consumer") || client.starts_with("pool-");
            let kind = request.split(' ').next().filter(|_| is_of_load);
            kind.map(str::to_owned)
        };
        counted(trace.stdout.lines().filter_map(of_clients))
    }

    /// The requests of consumers and pools to a cluster.
    fn to_a_cluster(&self, arm: &Arm) -> Counts {
        let finished = Tool::run_text(&self.scenario())
            .args(["--bootstrap", arm.bootstrap(), "--client", "native"])
            .set(self.set.iter().copied())
            .env("LANEKEEPER_LOG", "lanekeeper::broker::tcp::request=trace")
            .exits(0);
        let summary = finished.summary();
        let ledger = summary.ledger;
        assert_eq!((ledger.sent, ledger.lost), (self.records(), 0));
        assert_eq!(summary.restarts, u32::from(!self.fault.is_empty()));
        let kind = |line: &str| {
            let (_, rest) = line.split_once("api=\"")?;
            rest.split('"').next().map(str::to_owned)
        };
        counted(finished.stderr.lines().filter_map(kind))
    }

    /// Makes both runs. Asserts that the real counts are the simulated ones, within the tolerances of some kinds.
    /// Returns the simulated ones.
    #[track_caller]
    fn is_alike(&self, arm: &Arm) -> Counts {
        let brokers = arm.bootstrap().split(',').count() as u64;
        let simulated = self.in_a_simulation(brokers);
        let mut real = self.to_a_cluster(arm);
        if let Some(leaves) = self.leaves {
            let all = real.get("LeaveGroup").copied().unwrap_or_default();
            let others = simulated.get("LeaveGroup").copied().unwrap_or_default();
            assert_eq!(all, leaves + others, "{simulated:?} {real:?}");
            real.retain(|kind, _| kind != "LeaveGroup");
        }
        let kinds = |counts: &Counts| {
            let kinds = counts.keys().filter(|kind| *kind != "LeaveGroup");
            kinds.cloned().collect::<Vec<_>>()
        };
        let what = (self.set, self.fault);
        let is_simulated = |kind: &String| simulated.contains_key(kind);
        assert!(kinds(&real).iter().all(is_simulated), "{what:?}: {simulated:?} {real:?}");
        for kind in kinds(&simulated) {
            let (count, found) = (simulated[&kind], real.get(&kind).copied().unwrap_or_default());
            let range = self.least(&kind, count)..=count + self.more(&kind, brokers);
            assert!(
                range.contains(&found),
                "{what:?}: {kind}: {count} simulated, {found} on the cluster; {simulated:?} {real:?}"
            );
        }
        simulated
    }

    /// Smallest number of requests to a cluster, if a simulation has `count`.
    fn least(&self, kind: &str, count: u64) -> u64 {
        match kind {
            "Produce" | "Fetch" => count / (3 * self.partitions.div_ceil(self.clients)),
            "Heartbeat" | "ConsumerGroupHeartbeat" => count / 3,
            "OffsetFetch" => count.min(self.clients),
            // The pool and each member. A successor that gets no partition before the end needs no metadata.
            "Metadata" => count.min(1 + self.clients),
            _ => count,
        }
    }

    /// Largest number of additional requests to a cluster.
    fn more(&self, kind: &str, brokers: u64) -> u64 {
        let starts = self.clients + u64::from(!self.fault.is_empty());
        let (intervals, generations, tries) = (20 * starts, 3 * starts, 20 * starts);
        match kind {
            "Fetch" => 20 * starts * brokers,
            "Metadata" => tries,
            "FindCoordinator" => 300,
            "JoinGroup" | "SyncGroup" | "OffsetFetch" => generations,
            "Heartbeat" | "ConsumerGroupHeartbeat" | "OffsetCommit" => intervals,
            _ => 0,
        }
    }
}

fn counted(kinds: impl Iterator<Item = String>) -> Counts {
    let mut counts = Counts::new();
    kinds.for_each(|kind| *counts.entry(kind).or_default() += 1);
    counts
}

const GROUP: &str = "consumers.mode=group";
const CONSUMER_PROTOCOL: &str = "consumers.protocol=consumer";
const STATIC: &str = "consumers.membership=static";
/// A consumer for each of three partitions.
const ASSIGNED: Compared<'_> =
    Compared { partitions: 3, clients: 3, set: &[], fault: "", leaves: None };

/// Runs a case on the cluster if `CLIENT` is `native`. The case names its client, so it runs for one value only.
fn with_the_native_client(case: fn(&Arm)) {
    if std::env::var("CLIENT").is_ok_and(|client| client == "native") {
        on_the_cluster(case);
    }
}

#[test]
fn a_simulation_has_the_requests_of_consumers_on_a_cluster() {
    with_the_native_client(|arm| {
        let simulated = ASSIGNED.is_alike(arm);
        // Each record has a batch and a fetch of its own.
        assert_eq!(simulated["Produce"], ASSIGNED.records());
        // With one client for six partitions, a fetch has all partitions of a leader.
        let shared = ["consumers.clients=shared"];
        let shared = Compared { partitions: 6, clients: 1, set: &shared, ..ASSIGNED };
        shared.is_alike(arm);
        // The successor of a killed consumer repeats the requests of its predecessor.
        Compared { fault: "kill = { consumer = 1 }", ..ASSIGNED }.is_alike(arm);
    });
}

#[test]
fn a_simulation_has_the_requests_of_a_classic_group_on_a_cluster() {
    with_the_native_client(|arm| {
        let set = [GROUP, "consumers.count=3"];
        let members = Compared { set: &set, leaves: Some(3), ..ASSIGNED };
        let simulated = members.is_alike(arm);
        // Each member gets its id with the first JoinGroup, and sends a second one with it.
        assert_eq!((simulated["JoinGroup"], simulated["SyncGroup"]), (6, 3));
        // Two members with three partitions each, one of which leaves and joins again.
        let set = [GROUP, "consumers.count=2"];
        let two = Compared { partitions: 6, clients: 2, set: &set, leaves: Some(2), ..ASSIGNED };
        let simulated = Compared { fault: "stop = { consumer = 1 }", ..two }.is_alike(arm);
        assert_eq!(simulated["LeaveGroup"], 1);
        // A static member needs no second JoinGroup, and its successor takes over its instance id. It sends no
        // LeaveGroup.
        let set = [GROUP, "consumers.count=2", STATIC];
        let kill = "kill = { consumer = 1 }";
        let two = Compared { set: &set, fault: kill, leaves: Some(0), ..two };
        assert_eq!(two.is_alike(arm)["JoinGroup"], 3);
    });
}

#[test]
fn a_simulation_has_the_requests_of_a_group_of_the_consumer_protocol_on_a_cluster() {
    with_the_native_client(|arm| {
        if !arm.group_protocols().contains(&"consumer") {
            return;
        }
        let set = [GROUP, "consumers.count=3", CONSUMER_PROTOCOL];
        // A member joins and reports its partitions in heartbeats. On the cluster it also leaves with a heartbeat.
        let simulated = Compared { set: &set, ..ASSIGNED }.is_alike(arm);
        assert!(simulated["ConsumerGroupHeartbeat"] >= 6);
        let set = [GROUP, "consumers.count=2", CONSUMER_PROTOCOL];
        let two = Compared { partitions: 6, clients: 2, set: &set, ..ASSIGNED };
        Compared { fault: "stop = { consumer = 1 }", ..two }.is_alike(arm);
        let set = [GROUP, "consumers.count=2", CONSUMER_PROTOCOL, STATIC];
        Compared { set: &set, fault: "kill = { consumer = 1 }", ..two }.is_alike(arm);
    });
}
