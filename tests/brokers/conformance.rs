//! Properties that hold on every broker. The embedded one and the simulated one are always tested. With `BOOTSTRAP` in
//! the environment, the same is asserted for that cluster, and also the effects of a run on topics. A broker that does
//! not support a setting rejects it with the reason.
//!
//! With `LANEKEEPER_KAFKA_COUNT="tests/kafka.sh count"`, another program counts the records as well. The command gets
//! the name of a topic and prints the number of records that were appended to it.

mod client_requests;
mod growth;
mod records;
mod requests;
mod shares;
mod transactions;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{Arm, TestTopic, on_the_cluster};
use crate::support::{self, Finished, alone, assert_clean, owners, root};
use lanekeeper::summary::Summary;

/// 60 producers on 18 partitions, with 0.5 s of warm-up and 2 s of measured window.
const SCENARIO: &str = "[topic]\npartitions = 18\n[load]\nproducers = 60\nrate = \"10/s\"\n\
                        [run]\nwarmup = \"500ms\"\nduration = \"2s\"\n[expect]\nlost = 0\n";
const SENT: u64 = 60 * 25;

/// Makes a test of each case for every broker.
macro_rules! on_every_broker {
    ($($case:ident;)+) => {
        mod embedded {
            $(#[test]
            fn $case() {
                super::$case(&super::Arm::Embedded);
            })+
        }

        mod sim {
            $(#[test]
            fn $case() {
                super::$case(&super::Arm::Sim);
            })+
        }

        mod cluster {
            $(#[test]
            fn $case() {
                super::on_the_cluster(super::$case);
            })+
        }
    };
}

on_every_broker! {
    every_record_arrives_once_at_its_own_consumer;
    a_shared_client_does_the_same;
    a_killed_consumer_comes_back_and_nothing_is_lost;
    a_kill_on_a_shared_client_hits_one_partition;
    a_group_shares_all_partitions;
    a_group_of_the_consumer_protocol_does_the_same;
    a_static_member_gets_its_partitions_back;
    a_static_member_waits_for_its_instance_id_whatever_its_budget;
    as_fast_as_possible_everything_arrives;
    reading_from_the_beginning_of_an_own_topic_is_the_same;
}

fn assert_own_consumers(arm: &Arm, summary: &Summary) {
    assert_clean(summary);
    assert_eq!(summary.broker, arm.name());
    assert_eq!((summary.consumers_started, summary.ledger.sent), (18, SENT));
    assert_eq!((summary.restarts, summary.ledger.redelivered), (0, 0));
    for p in &summary.partitions {
        // 60 = 6 x 4 + 12 x 3.
        let producers = if p.partition < 6 { 4 } else { 3 };
        assert_eq!((p.ledger.sent, p.delivered), (producers * 25, producers * 20));
        assert_eq!(owners(p), [(p.partition, 1)]);
    }
}

fn every_record_arrives_once_at_its_own_consumer(arm: &Arm) {
    let summary = arm.run(SCENARIO).set(["topic.keep=true"]).exits(0).summary();
    assert_own_consumers(arm, &summary);
    if !arm.is_cluster() {
        return;
    }
    assert_eq!(arm.records_in(&summary.topic), summary.ledger.sent);
    if let Ok(command) = std::env::var("LANEKEEPER_KAFKA_COUNT") {
        assert_eq!(counted_elsewhere(&command, &summary.topic), summary.ledger.sent);
    }
    // The run has kept the topic, so the test deletes it.
    drop(TestTopic { arm, name: summary.topic });
}

/// The number of records in a topic according to another program.
fn counted_elsewhere(command: &str, topic: &str) -> u64 {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let output = Command::new(program).args(words).arg(topic).current_dir(root()).output();
    let output = output.expect("a command that starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim().parse().expect("a number")
}

fn a_shared_client_does_the_same(arm: &Arm) {
    let summary = arm.run(SCENARIO).set(["consumers.clients=shared"]).exits(0).summary();
    assert_own_consumers(arm, &summary);
}

fn kill_of_7(arm: &Arm, set: &[&str]) {
    let text =
        format!("{SCENARIO}restarts = 1\n[[fault]]\nat = \"1500ms\"\nkill = {{ consumer = 7 }}\n");
    let summary =
        arm.run(&text).set(["run.duration=3s"]).set(set.iter().copied()).exits(0).summary();
    assert_clean(&summary);
    for p in &summary.partitions {
        let expected = if p.partition == 7 { vec![(7, 1), (7, 2)] } else { vec![(p.partition, 1)] };
        assert_eq!(owners(p), expected);
    }
    let fault = &summary.faults[0];
    assert_eq!(fault.partitions_aimed_at, [7]);
    let order = [fault.detected_ms, fault.fenced_ms, fault.restarted_ms, fault.first_record_ms];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{fault:?}");
}

fn a_killed_consumer_comes_back_and_nothing_is_lost(arm: &Arm) {
    kill_of_7(arm, &[]);
}

fn a_kill_on_a_shared_client_hits_one_partition(arm: &Arm) {
    kill_of_7(arm, &["consumers.clients=shared"]);
}

fn a_group_shares_all_partitions(arm: &Arm) {
    let set = ["consumers.mode=group", "consumers.count=8"];
    if arm.is_embedded() && arm.has_the_native_client() {
        let refused = arm.run(SCENARIO).set(set).exits(2);
        assert!(refused.stderr.contains("on the embedded cluster"), "{}", refused.output());
        return;
    }
    let summary = arm.run(SCENARIO).set(set).exits(0).summary();
    assert_clean(&summary);
    assert_eq!(
        (summary.mode.as_str(), summary.members, summary.consumers_started),
        ("group", 8, 8)
    );
    assert_eq!(summary.ledger.sent, SENT);
    let members: BTreeSet<u32> =
        summary.partitions.iter().map(|p| p.owners.last().expect("an owner").consumer).collect();
    assert_eq!(members, (0..8).collect());
    if !arm.is_embedded() {
        // No member joined or left after the group was complete.
        assert_eq!(summary.rebalances, []);
    }
}

fn a_group_of_the_consumer_protocol_does_the_same(arm: &Arm) {
    let set = ["consumers.mode=group", "consumers.count=8", "consumers.protocol=consumer"];
    // The protocol of a cluster is queried at the start of the run.
    if !arm.group_protocols().contains(&"consumer") {
        let refused = arm.run(SCENARIO).set(set).exits(3);
        for text in ["do not serve groups of the consumer protocol", "protocol = \"classic\""] {
            assert!(refused.stderr.contains(text), "`{text}`\n{}", refused.output());
        }
        return;
    }
    for assignor in ["uniform", "range"] {
        let assignor = format!("consumers.assignor={assignor}");
        let summary = arm.run(SCENARIO).set(set).set([assignor.as_str()]).exits(0).summary();
        assert_clean(&summary);
        assert_eq!((summary.ledger.sent, summary.ledger.redelivered), (SENT, 0));
        let mut owned = [0; 8];
        for p in &summary.partitions {
            owned[p.owners.last().expect("an owner").consumer as usize] += 1;
        }
        assert!(owned.iter().all(|owned| (2..=3).contains(owned)), "{owned:?}");
        if arm.has_the_native_client() {
            continue;
        }
        let config = &summary.client_config;
        assert_eq!(config["consumer.group.protocol"].value.as_deref(), Some("consumer"));
        // These are settings of the broker, which the client rejects.
        for name in ["session.timeout.ms", "heartbeat.interval.ms"] {
            assert_eq!(config.get(&format!("consumer.{name}")), None);
        }
    }
}

/// Asserts that the kill of the static member 2 of 8 affected only its own partitions, and that they were assigned to
/// it again.
fn assert_place_kept(summary: &Summary) {
    let l = &summary.ledger;
    assert_eq!((l.delivered, l.acked), (l.sent, l.sent), "{l:?}");
    assert_eq!([l.lost, l.duplicated, l.corrupt, l.other_producers], [0; 4], "{l:?}");
    assert_eq!((summary.restarts, summary.rebalances.len()), (1, 0), "{:?}", summary.rebalances);
    let aimed_at = &summary.faults[0].partitions_aimed_at;
    assert!((2..=3).contains(&aimed_at.len()), "{aimed_at:?}");
    for p in &summary.partitions {
        let (owners, was_aimed_at) = (owners(p), aimed_at.contains(&p.partition));
        let last_two = &owners[owners.len().saturating_sub(2)..];
        assert_eq!(
            last_two == [(2, 1), (2, 2)],
            was_aimed_at,
            "partition {}: {owners:?}",
            p.partition
        );
    }
}

/// Kills a static member of a group with `kill`, and asserts that it gets its partitions again.
fn kill_of_a_static_member(arm: &Arm, kill: &str, protocol: &str) {
    let text = format!("{SCENARIO}[[fault]]\nat = \"1500ms\"\n{kill}\n");
    let set = ["consumers.mode=group", "consumers.count=8", "consumers.membership=static"];
    let set = set.into_iter().chain([protocol, "run.duration=4s"]);
    assert_place_kept(&arm.run(&text).set(set).exits(0).summary());
}

fn a_static_member_gets_its_partitions_back(arm: &Arm) {
    let kill = "kill = { consumer = 2 }";
    if arm.group_protocols().contains(&"consumer") {
        kill_of_a_static_member(arm, kill, "consumers.protocol=consumer");
        // With the consumer protocol, the instance id is in use until the old client has left.
        let late = "late_close = { consumer = 2 }\nfor = \"800ms\"";
        kill_of_a_static_member(arm, late, "consumers.protocol=consumer");
    }
    if !arm.is_embedded() {
        // The mock coordinator does not support static members of classic groups, as `check` warns. kfake assigns again
        // if a returning member had other partitions when it joined, whereas Kafka only compares the assignor.
        if arm.is_kfake() {
            return;
        }
        // The session timeout is long enough for the busiest machine.
        kill_of_a_static_member(arm, kill, "consumers.session_timeout=30s");
    }
}

/// The old client keeps the instance id longer than a new one waits for it (`watchdog.close`), so the broker refuses the
/// new one. That ends a client of librdkafka.
fn a_static_member_waits_for_its_instance_id_whatever_its_budget(arm: &Arm) {
    if !arm.group_protocols().contains(&"consumer") {
        return;
    }
    let late = "[watchdog]\nclose = \"500ms\"\n[restart]\nbudget = 1\nbackoff_max = \"500ms\"\n\
                [[fault]]\nat = \"1500ms\"\nlate_close = { consumer = 0 }\nfor = \"4s\"\n";
    let set = ["consumers.mode=group", "consumers.count=1", "consumers.membership=static"];
    let set = set.into_iter().chain(["consumers.protocol=consumer", "run.duration=8s"]);
    let summary = arm.run(&format!("{SCENARIO}{late}")).set(set).exits(0).summary();
    let l = &summary.ledger;
    assert_eq!((l.delivered, l.acked, l.lost, l.duplicated), (l.sent, l.sent, 0, 0), "{l:?}");
    assert!(summary.given_up.is_empty(), "{:?}", summary.given_up);
    for p in &summary.partitions {
        assert!(owners(p).last() > Some(&(0, 1)), "{:?}", owners(p));
    }
}

fn as_fast_as_possible_everything_arrives(arm: &Arm) {
    let _turn = alone();
    let text =
        "[topic]\npartitions = 18\n[load]\nrate = \"max\"\nmessages = 200000\nlinger = \"5ms\"\n";
    let summary = arm.run(text).exits(0).summary();
    assert_clean(&summary);
    assert_eq!(summary.ledger.delivered, 200_000);
    assert!(summary.bottleneck.is_some());
}

fn reading_from_the_beginning_of_an_own_topic_is_the_same(arm: &Arm) {
    let summary = arm.run(SCENARIO).set(["consumers.start=beginning"]).exits(0).summary();
    assert_own_consumers(arm, &summary);
}

#[test]
fn a_topic_of_the_runs_own_is_gone_afterwards() {
    on_the_cluster(|arm| {
        let summary = arm.run(SCENARIO).exits(0).summary();
        assert!(summary.topic.starts_with("lanekeeper-scenario-"), "{}", summary.topic);
        // A cluster deletes asynchronously.
        for _ in 0..100 {
            if arm.partitions_of(&summary.topic).is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{} is still there", summary.topic);
    });
}

#[test]
fn a_topic_that_was_there_before_is_used_and_stays() {
    on_the_cluster(|arm| {
        let topic = arm.topic("used", 18);
        let summary = arm.run(SCENARIO).set([topic.set().as_str()]).exits(0).summary();
        assert_own_consumers(arm, &summary);
        assert_eq!(summary.topic, topic.name);
        assert_eq!(arm.partitions_of(&topic.name), Some(18));
        assert_eq!(arm.records_in(&topic.name), SENT);
        // A second run in the same topic counts only its own records.
        let summary = arm.run(SCENARIO).set([topic.set().as_str()]).exits(0).summary();
        assert_own_consumers(arm, &summary);
        assert_eq!(arm.records_in(&topic.name), 2 * SENT);
    });
}

#[test]
fn a_topic_with_another_number_of_partitions_is_refused_and_left_alone() {
    on_the_cluster(|arm| {
        let topic = arm.topic("other", 4);
        topic.fill(4, 8);
        let finished = arm.run(SCENARIO).set([topic.set().as_str()]).exits(3);
        for text in ["exists with 4 partitions", "has 18", "--set topic.partitions=4", &topic.name]
        {
            assert!(finished.stderr.contains(text), "`{text}`\n{}", finished.output());
        }
        assert_eq!(arm.partitions_of(&topic.name), Some(4));
        assert_eq!(arm.records_in(&topic.name), 8);
    });
}

#[test]
fn records_of_other_producers_are_counted_and_not_lost() {
    on_the_cluster(|arm| {
        let topic = arm.topic("others", 18);
        topic.fill(18, 90);
        let run = |start: &str| -> Finished {
            arm.run(SCENARIO).set([topic.set().as_str(), start]).exits(0)
        };
        let finished = run("consumers.start=beginning");
        let ledger = finished.summary().ledger;
        assert_eq!((ledger.other_producers, ledger.lost, ledger.corrupt), (90, 0, 0), "{ledger:?}");
        assert_eq!((ledger.sent, ledger.delivered), (SENT, SENT));
        assert!(finished.stdout.contains("not sent by this run"), "{}", finished.stdout);
        // A run from the end reads no records of other runs.
        assert_clean(&run("consumers.start=end").summary());
        // The records of the two earlier runs count as those of other producers.
        let ledger = run("consumers.start=beginning").summary().ledger;
        assert_eq!((ledger.other_producers, ledger.lost), (90 + 2 * SENT, 0), "{ledger:?}");
    });
}

/// The timing of the mock coordinator differs, so this needs a real one or its model.
#[test]
fn partitions_of_a_crashed_group_member_are_taken_over_and_nothing_is_lost() {
    a_crashed_member_is_succeeded(&Arm::Sim);
    on_the_cluster(a_crashed_member_is_succeeded);
}

fn a_crashed_member_is_succeeded(arm: &Arm) {
    let text = format!("{SCENARIO}[[fault]]\nat = \"3s\"\nkill = {{ consumer = 2 }}\n");
    let set = [
        "consumers.mode=group",
        "consumers.count=8",
        "consumers.session_timeout=6s",
        "run.duration=16s",
    ];
    let summary = arm.run(&text).set(set).exits(0).summary();
    let l = &summary.ledger;
    assert_eq!((l.delivered, l.acked), (l.sent, l.sent), "{l:?}");
    assert_eq!([l.lost, l.duplicated, l.reordered, l.corrupt, l.other_producers], [0; 5], "{l:?}");
    assert_eq!(summary.wrong_partition, 0);
    assert!(!summary.rebalances.is_empty(), "{:?}", summary.warnings);
    let fault = &summary.faults[0];
    assert_eq!(fault.kind, "kill");
    assert!(!fault.partitions_aimed_at.is_empty(), "{fault:?}");
    assert!(fault.first_record_ms.is_some() && fault.recovered_ms.is_some(), "{fault:?}");
    for p in &summary.partitions {
        let owners = owners(p);
        if fault.partitions_aimed_at.contains(&p.partition) {
            // If the group does not wait for its members, the first ones own the partition before.
            let at = owners.iter().position(|owner| *owner == (2, 1));
            let at = at.unwrap_or_else(|| panic!("partition {}: {owners:?}", p.partition));
            assert!(owners.len() > at + 1, "no consumer took over partition {}", p.partition);
        }
        let last = p.owners.last().expect("an owner");
        assert_ne!((last.consumer, last.start), (2, 1), "partition {}", p.partition);
    }
}

#[test]
fn a_topic_that_was_created_again_stalls_its_consumers_whether_it_is_shorter_or_longer() {
    on_the_cluster(|arm| {
        let topic = arm.topic("again", 2);
        topic.fill(2, 100);
        // Partition 0 gets records of the run, and partition 1 keeps its first records. After the second kill, the
        // consumers wait for their restart while the topic is replaced.
        let kills =
            ["2s", "2s", "2500ms", "2500ms"].iter().zip([0, 1, 0, 1]).map(|(at, consumer)| {
                format!("[[fault]]\nat = \"{at}\"\nkill = {{ consumer = {consumer} }}\n")
            });
        let text = format!(
            "[topic]\npartitions = 2\n[load]\nproducers = 1\nrate = \"20/s\"\n\
             [consumers]\nstart = \"beginning\"\n[restart]\nbackoff = \"8s\"\njitter = 0.0\n\
             [run]\nwarmup = \"0s\"\nduration = \"15s\"\ndrain = \"1s\"\n{}",
            kills.collect::<String>()
        );
        let mut running = arm.run(&text).set([topic.set().as_str()]).start();
        running.await_text("events.jsonl", "\"delay_ms\":8000");
        topic.create_again(2);
        topic.fill(1, 2_000);
        let finished = running.finish();
        assert_eq!(finished.code, 1, "{}", finished.output());
        let summary = finished.summary();
        let reason = |consumer: u32| summary.given_up[&consumer].as_str();
        assert!(reason(0).starts_with("another log: offset "), "{}", reason(0));
        assert!(
            reason(1)
                .starts_with("truncated: the partition ends at offset 0, before the checkpoint 50"),
            "{}",
            reason(1)
        );
        for p in &summary.partitions {
            let consumer = p.partition;
            assert_eq!(owners(p), [(consumer, 1), (consumer, 2), (consumer, 3)]);
        }
    });
}

/// The watchdog replaces a member that hangs. Late events of the old thread, while its successor has the partitions,
/// begin no rebalance without an end.
#[test]
fn a_member_that_hung_begins_no_rebalance_when_it_comes_round() {
    on_the_cluster(|arm| {
        let text = support::text_of("scenarios/faults/group-poll-interval.toml");
        let finished = arm.run(&text).finish();
        let summary = finished.summary();
        assert_eq!((summary.ledger.lost, summary.ledger.corrupt), (0, 0), "{}", finished.output());
        assert!(summary.restarts >= 1, "{}", finished.output());
        let open = summary.rebalances.iter().find(|rebalance| rebalance.duration_ms.is_none());
        assert!(open.is_none(), "{open:?}\n{}", finished.output());
        for partition in &summary.partitions {
            let last = partition.owners.last().expect("an owner");
            assert_eq!(last.to_s, None, "{:?}", partition.owners);
        }
    });
}
