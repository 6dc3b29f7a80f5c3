//! Whole, shortened runs on the embedded broker. Tests assert counts, order, owners, restarts and faults, but no times,
//! which are not those of a real cluster.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{self, Tool, alone, assert_clean, owners, sent_per_partition};
use lanekeeper::summary::{Summary, Verdict};

/// A warm-up of half a second, and a measured window of three seconds.
const SHORT: [&str; 2] = ["run.warmup=500ms", "run.duration=3s"];
/// For runs of which only the counts matter.
const BRIEF: [&str; 2] = ["run.warmup=0s", "run.duration=1s"];

/// Expectations that every latency meets.
const SLOW: [&str; 2] = ["expect.latency.p99=< 1h", "expect.partition[*].latency.p99=< 1h"];

/// 60 producers on 6 partitions.
const SMALL: &str = "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\n";

fn small(set: &[&str]) -> Summary {
    let finished = Tool::run_text(SMALL).set(BRIEF).set(set.iter().copied()).exits(0);
    finished.summary()
}

/// The members by number, with the partitions that they had last.
fn members(summary: &Summary) -> BTreeMap<u32, Vec<u32>> {
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for p in &summary.partitions {
        let last = p.owners.last().expect("an owner");
        assert_eq!(p.consumer, Some(last.consumer), "{p:?}");
        members.entry(last.consumer).or_default().push(p.partition);
    }
    members
}

#[test]
fn the_guides_load_arrives_exactly_at_18_consumers_each_with_its_own_partition() {
    let finished = Tool::run("guide-option-2.toml").set(SHORT).set(SLOW).exits(0);
    let summary = finished.summary();
    assert_clean(&summary);
    assert_eq!((summary.consumers_started, summary.members), (18, 18));
    assert_eq!((summary.mode.as_str(), summary.restarts), ("assigned", 0));
    assert_eq!(summary.ledger.redelivered, 0);
    // 2/s for 3.5 s.
    assert_eq!(summary.ledger.sent, 1024 * 7);
    assert_eq!(summary.latency_us.response.count, 1024 * 6);
    for p in &summary.partitions {
        // 1,024 = 16 x 57 + 2 x 56.
        let producers = if p.partition < 16 { 57 } else { 56 };
        assert_eq!(p.ledger.sent, producers * 7, "partition {}", p.partition);
        assert_eq!(p.delivered, producers * 6, "partition {}", p.partition);
        assert_eq!(p.latency_us.response.count, producers * 6);
        assert_eq!(owners(p), [(p.partition, 1)]);
        assert_eq!(p.restarts, 0);
    }
    assert!(summary.rebalances.is_empty() && summary.faults.is_empty());
}

#[test]
fn a_killed_consumer_comes_back_on_its_partition_and_nothing_is_lost() {
    let set =
        ["fault[0].at=2s", "expect.fault[0].recovery=< 1h", "expect.fault[0].blast_radius=<= 18"];
    let finished = Tool::run("kill-one-consumer.toml").set(SHORT).set(set).exits(0);
    let summary = finished.summary();
    assert_clean(&summary);
    assert_kill_of_7(&summary);
    assert!(summary.faults[0].closed_ms.is_some());
    assert_eq!(summary.ledger.sent, 1024 * 7);
    assert!(finished.stdout.contains("  2.0 s   kill consumer 7: "), "{}", finished.stdout);
}

/// Asserts that consumer 7 was killed once and restarted, and that no other consumer was affected.
fn assert_kill_of_7(summary: &Summary) {
    assert_eq!(summary.restarts, 1);
    assert!(summary.given_up.is_empty());
    for p in &summary.partitions {
        let expected = if p.partition == 7 { vec![(7, 1), (7, 2)] } else { vec![(p.partition, 1)] };
        assert_eq!(owners(p), expected);
        assert_eq!(p.restarts, u32::from(p.partition == 7));
    }
    let [fault] = summary.faults.as_slice() else { panic!("{:?}", summary.faults) };
    assert_eq!((fault.kind.as_str(), fault.partitions_aimed_at.as_slice()), ("kill", &[7][..]));
    assert!(fault.target.contains('7'), "{fault:?}");
    let order = [fault.detected_ms, fault.fenced_ms, fault.restarted_ms, fault.first_record_ms];
    let order: Vec<f64> = order.iter().map(|at| at.expect("it happened")).collect();
    assert!(order.is_sorted() && order[0] >= 0.0, "{fault:?}");
    // Without unread records, it recovers before its first record.
    assert!(fault.recovered_ms >= fault.restarted_ms, "{fault:?}");
    // Records that the cell had counted are not processed again.
    assert_eq!((fault.redelivered, summary.ledger.redelivered), (0, 0));
}

#[test]
fn a_shared_client_serves_every_partition_and_survives_a_kill() {
    let set = [
        "consumers.clients=shared",
        "fault[0].at=1500ms",
        "expect.fault[0].recovery=< 1h",
        "expect.fault[0].blast_radius=<= 18",
    ];
    let summary = Tool::run("kill-one-consumer.toml")
        .set(BRIEF)
        .set(["run.duration=3s"])
        .set(set)
        .exits(0)
        .summary();
    assert_clean(&summary);
    assert_kill_of_7(&summary);
    let summary = small(&["consumers.clients=shared"]);
    assert_clean(&summary);
    assert_eq!((summary.consumers_started, summary.ledger.sent), (6, 600));
}

#[test]
fn a_group_of_8_shares_18_partitions_two_or_three_each() {
    let _turn = alone();
    let set = ["expect.rebalances=>= 0", "expect.latency.p99=< 1h"];
    let summary = Tool::run("guide-before.toml").set(SHORT).set(set).exits(0).summary();
    assert_clean(&summary);
    assert_eq!(
        (summary.mode.as_str(), summary.members, summary.consumers_started),
        ("group", 8, 8)
    );
    let members = members(&summary);
    assert_eq!(members.len(), 8, "{members:?}");
    assert!(members.values().all(|owned| (2..=3).contains(&owned.len())), "{members:?}");
    assert_eq!(summary.ledger.sent, 1024 * 7);
}

#[test]
fn a_group_of_18_has_a_partition_for_every_member() {
    let _turn = alone();
    let set = ["expect.rebalances=>= 0", "expect.latency.p99=< 1h"];
    let summary = Tool::run("guide-option-1.toml").set(SHORT).set(set).exits(0).summary();
    assert_clean(&summary);
    assert_eq!((summary.members, summary.consumers_started), (18, 18));
    assert_eq!(members(&summary).len(), 18);
}

#[test]
fn partitions_of_a_crashed_group_member_are_read_to_their_end_all_the_same() {
    // The mock coordinator is slow, so the remaining members finish during the drain.
    let text = format!(
        "{SMALL}[consumers]\nmode = \"group\"\ncount = 3\n\
         [run]\nwarmup = \"0s\"\nduration = \"3s\"\ndrain = \"90s\"\n\
         [[fault]]\nat = \"2s\"\nkill = {{ consumer = 1 }}\n[expect]\nlost = 0\n"
    );
    let summary = Tool::run_text(&text).exits(0).summary();
    assert_clean(&summary);
    assert_eq!((summary.ledger.sent, summary.restarts), (1800, 1));
    let [fault] = summary.faults.as_slice() else { panic!("{:?}", summary.faults) };
    assert_eq!(fault.partitions_aimed_at.len(), 2, "{fault:?}");
    for p in &summary.partitions {
        let owners = owners(p);
        // Incarnation 1 of member 1 was killed. It owns partitions at the beginning, and none at the end.
        assert_ne!(owners.last(), Some(&(1, 1)), "partition {}", p.partition);
        let is_aimed_at = fault.partitions_aimed_at.contains(&p.partition);
        assert_eq!(owners[0] == (1, 1), is_aimed_at, "partition {}: {owners:?}", p.partition);
    }
}

#[test]
fn as_fast_as_possible_delivers_exactly_what_was_asked_for_and_names_the_bottleneck() {
    let _turn = alone();
    let set = ["load.messages=200000", "expect.delivered=200000"];
    let finished = Tool::run("max-rate.toml").set(set).exits(0);
    let summary = finished.summary();
    assert_clean(&summary);
    assert_eq!(summary.ledger.delivered, 200_000);
    assert_eq!(summary.offered_per_s, None);
    let bottleneck = summary.bottleneck.expect("a side");
    assert!(["producer", "broker", "consumers"].contains(&bottleneck.as_str()), "{bottleneck}");
    assert!(
        finished.stdout.contains(&format!("limited by the {bottleneck}")),
        "{}",
        finished.stdout
    );
}

#[test]
fn the_quick_scenario_passes() {
    let finished = Tool::run("quick.toml").exits(0);
    let summary = finished.summary();
    assert_clean(&summary);
    assert_eq!(summary.verdict, Verdict::Passed);
    assert_eq!(summary.ledger.sent, 60 * 10 * 4);
    assert!(finished.stdout.starts_with("PASSED"), "{}", finished.stdout);
}

#[test]
fn every_scenario_that_is_shipped_is_run_by_a_test() {
    let here =
        support::text_of("tests/brokers/embedded.rs") + &support::text_of("tests/simulator/sim.rs");
    for path in support::files_below("scenarios", "toml") {
        let name = path.strip_prefix("scenarios/").expect("a scenario");
        // Another test runs all scenarios of the fault catalogue.
        if name.starts_with("faults/") {
            continue;
        }
        // Its commands break a real cluster of three brokers.
        if support::text_of(&path).starts_with(support::REAL_ONLY) {
            continue;
        }
        let is_run = |how: &str| here.contains(&format!("{how}(\"{name}\""));
        assert!(is_run("Tool::run") || is_run("simulate"), "no test runs {path}");
    }
}

#[test]
fn a_topic_that_keeps_little_is_enough_while_everybody_keeps_up() {
    let summary = Tool::run("short-retention.toml").set(BRIEF).exits(0).summary();
    assert_clean(&summary);
    assert_eq!(summary.ledger.sent, 4000);
}

#[test]
fn round_robin_gives_every_partition_the_same() {
    let summary = small(&["load.partition=round-robin"]);
    assert_clean(&summary);
    assert_eq!(sent_per_partition(&summary), [100; 6]);
}

#[test]
fn random_placement_depends_on_the_seed_and_on_nothing_else() {
    let sent = |seed| {
        let summary = small(&["load.partition=random", seed]);
        assert_clean(&summary);
        assert_eq!(summary.ledger.sent, 600);
        sent_per_partition(&summary)
    };
    let (once, again, other) = (sent("run.seed=7"), sent("run.seed=7"), sent("run.seed=8"));
    assert_eq!(once, again);
    assert_ne!(once, other);
}

#[test]
fn skew_fills_the_first_partition_of_the_weights_most() {
    let summary = small(&["load.partition=random", "load.skew=2.0"]);
    assert_clean(&summary);
    let mut sent = sent_per_partition(&summary);
    sent.sort_unstable();
    // Zipf's distribution with exponent 2 on 6 partitions: 67 % on the first rank, 2 % on the last one.
    assert!(sent[5] > 300 && sent[0] < 60, "{sent:?}");
}

#[test]
fn keys_stay_on_their_partitions_in_three_pools() {
    // With a single key, all records are in one partition, from each pool.
    let summary = small(&["load.partition=keyed", "load.keys=1", "load.pools=3"]);
    assert_clean(&summary);
    let used: Vec<u64> = sent_per_partition(&summary).into_iter().filter(|n| *n > 0).collect();
    assert_eq!(used, [600]);
    let summary = small(&["load.partition=keyed", "load.keys=50", "load.pools=3"]);
    assert_clean(&summary);
    assert!(sent_per_partition(&summary).iter().filter(|n| **n > 0).count() > 1);
}

#[test]
fn poisson_schedules_keep_the_rate_and_account_for_every_record() {
    let sent = |seed| {
        let summary = small(&["load.phases=poisson", seed]);
        assert_clean(&summary);
        // The expected number is 600, with a standard deviation of 25.
        assert!((400..=800).contains(&summary.ledger.sent), "{:?}", summary.ledger);
        sent_per_partition(&summary)
    };
    assert_eq!(sent("run.seed=3"), sent("run.seed=3"));
}

#[test]
fn uniform_phases_send_the_same_number_from_every_producer() {
    let summary = small(&["load.phases=uniform"]);
    assert_clean(&summary);
    assert_eq!(sent_per_partition(&summary), [100; 6]);
}

#[test]
fn every_producer_can_have_a_client_of_its_own_but_then_nobody_knows_when_an_answer_came() {
    let set = ["load.clients=producer", "load.producers=20"];
    let finished = Tool::run_text(SMALL).set(BRIEF).set(set).exits(0);
    let summary = finished.summary();
    assert_eq!((summary.ledger.sent, summary.ledger.acked, summary.ledger.lost), (200, 200, 0));
    assert!(finished.json()["latency_us"]["ack"].is_null());
    let reason = summary.not_measured.get("latency_us.ack").expect("a reason");
    assert!(reason.contains("load.clients"), "{reason}");
    let said = format!("produce not measured: {reason}");
    assert!(finished.stdout.contains(&said), "`{said}` is not in\n{}", finished.stdout);
    let expected = Tool::run_text(SMALL).set(BRIEF).set(set).set(["expect.latency.ack.max=< 1h"]);
    let refused = expected.exits(2);
    assert!(refused.stderr.contains("`latency.ack.max` is not measured"), "{}", refused.output());
}

/// The largest payload that `check` accepts: librdkafka's limit for a message, minus its overhead.
const LARGEST_PAYLOAD: u64 = 999_964;

#[test]
fn the_largest_payload_that_check_takes_arrives() {
    let payload = |bytes: u64| format!("load.payload={bytes}B");
    for broker in ["embedded", "sim"] {
        for rate in ["load.rate=2/s", "load.rate=max"] {
            let few = ["topic.partitions=1", "load.producers=1", "load.messages=12", rate];
            let tool = || Tool::run_text(SMALL).args(["--broker", broker]).set(BRIEF).set(few);
            let tool = |bytes| tool().set(["run.duration=8s", payload(bytes).as_str()]);
            let summary = tool(LARGEST_PAYLOAD).exits(0).summary();
            assert_clean(&summary);
            assert_eq!(summary.ledger.sent, 12, "{broker} {rate}");
            let refused = tool(LARGEST_PAYLOAD + 1).exits(2);
            assert!(refused.stderr.contains("the largest is 999964B"), "{}", refused.output());
        }
    }
}

#[test]
fn a_client_that_is_told_to_takes_a_larger_payload() {
    let set = ["topic.partitions=1", "load.producers=1", "load.rate=2/s", "load.messages=4"];
    let larger = ["load.payload=1999964B", "client.message.max.bytes=2000000"];
    let finished = Tool::run_text(SMALL).set(BRIEF).set(set).set(larger).exits(0);
    assert_clean(&finished.summary());
}

#[test]
fn every_acknowledgement_is_timed_however_long_it_takes() {
    let slow = "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"10/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"3s\"\n\
                [[fault]]\nat = \"100ms\"\nfor = \"2800ms\"\n\
                broker_rtt = { broker = 1, delay = \"800ms\" }\n";
    let set = ["expect.latency.ack.p99=>= 795ms", "expect.lost=0"];
    let summary = Tool::run_text(slow).set(set).exits(0).summary();
    let ack = summary.latency_us.ack.as_ref().expect("acknowledgements");
    assert_eq!((ack.negative, summary.ledger.acked), (0, 900));
    // Records that were sent after the window are not included.
    assert!((450..=900).contains(&ack.count), "{ack:?}");
    assert!(ack.p50.expect("values") >= 795_000.0, "{ack:?}");
}

#[test]
fn as_many_acknowledgements_are_timed_as_there_are() {
    // At maximum rate, no record is sent after the window.
    let set = ["load.rate=max", "load.messages=20000", "run.warmup=0s"];
    let summary = Tool::run_text(SMALL).set(set).exits(0).summary();
    let ack = summary.latency_us.ack.as_ref().expect("acknowledgements");
    assert_eq!((summary.ledger.acked, ack.count, ack.negative), (20_000, 20_000, 0));
    assert!(ack.max > Some(0.0), "{ack:?}");
}

#[test]
fn a_number_of_messages_ends_a_paced_run() {
    let summary = small(&["load.messages=123"]);
    assert_clean(&summary);
    assert_eq!(summary.ledger.sent, 123);
}

#[test]
fn acknowledgements_compression_and_large_payloads_change_no_count() {
    let loose = ["load.acks=leader", "load.idempotence=false"];
    let packed = ["load.compression=lz4", "load.payload=4KiB", "load.linger=5ms"];
    for set in [loose.as_slice(), packed.as_slice()] {
        let summary = small(set);
        assert_clean(&summary);
        assert_eq!(sent_per_partition(&summary), [100; 6], "{set:?}");
    }
}

#[test]
fn slow_consumers_lag_and_still_read_everything() {
    let slow = ["consumers.work={ wait = \"12ms\" }", "expect.keeps_up=false"];
    let summary = small(&slow);
    assert_clean(&summary);
    // 100 records are sent in 1 s, and processing them takes 1.2 s.
    assert!(summary.partitions.iter().all(|p| p.lag_max > 0), "{summary:?}");
    let parts = &summary.latency_us;
    assert_eq!((parts.handling.count, parts.handling.negative), (600, 0));
    assert!(parts.handling.mean.expect("records") >= 12_000.0, "{parts:?}");
    // This client does not report when it receives a record.
    assert_eq!((&parts.fetch, &parts.waiting), (&None, &None));
    assert_eq!(parts.handed_over.as_ref().expect("a part").count, 600);
    assert!(summary.not_measured["latency_us.waiting"].contains("handed_over"));
    let summary = small(&["consumers.work_of={ 3 = { wait = \"5ms\" } }"]);
    let handling = &summary.latency_us.handling;
    // Without work the handling time is 0, which is a valid figure.
    assert_eq!((handling.count, handling.p50), (600, Some(0.0)));
    assert!(handling.p99.expect("records") >= 5_000.0, "{handling:?}");
}

#[test]
fn several_kills_restart_only_those_they_hit() {
    let faults = "[[fault]]\nat = \"500ms\"\nkill = { consumer = 1 }\n\
                  [[fault]]\nat = \"500ms\"\nkill = { consumer = 4 }\n\
                  [[fault]]\nat = \"1500ms\"\nkill = { consumer = 1 }\n";
    let text = format!(
        "{SMALL}[run]\nwarmup = \"0s\"\nduration = \"2500ms\"\n{faults}[expect]\nlost = 0\n"
    );
    let summary = Tool::run_text(&text).exits(0).summary();
    assert_clean(&summary);
    let restarts: Vec<u32> = summary.partitions.iter().map(|p| p.restarts).collect();
    assert_eq!(restarts, [0, 2, 0, 0, 1, 0]);
    assert_eq!(owners(&summary.partitions[1]), [(1, 1), (1, 2), (1, 3)]);
    let targets: BTreeSet<u32> =
        summary.faults.iter().flat_map(|f| f.partitions_aimed_at.clone()).collect();
    assert_eq!((summary.faults.len(), targets), (3, BTreeSet::from([1, 4])));
}
