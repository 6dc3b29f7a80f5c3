//! A topic that changes during a run: it gets partitions, or it is deleted.

use lanekeeper::summary::Summary;
use rdkafka::admin::NewPartitions;

use super::{Arm, on_the_cluster};
use crate::support::{assert_clean, owners};

/// 12 producers on 4 partitions. The topic gets 2 more during the run.
fn growth(arm: &Arm, name: &str, set: &[&str]) -> Summary {
    let text = "[topic]\npartitions = 4\ndiscover = \"200ms\"\n[load]\nproducers = 12\nrate = \"20/s\"\n\
                [run]\nwarmup = \"500ms\"\nduration = \"7s\"\n[expect]\nlost = 0\n";
    let topic = arm.topic(name, 4);
    let tool = arm.run(text).arg("--full").set([topic.set().as_str()]);
    let mut run = tool.set(set.iter().copied()).start();
    run.await_text("events.jsonl", "pool_started");
    let grown = arm.admin(async |admin, options| {
        admin.create_partitions([&NewPartitions::new(&topic.name, 6)], &options).await
    });
    grown.expect("an answer").remove(0).expect("more partitions");
    run.await_text("events.jsonl", "partitions_added");
    let finished = run.finish();
    assert_eq!(finished.code, 0, "{}", finished.output());
    assert!(finished.stdout.contains("the topic grew from 4 to 6"), "{}", finished.stdout);
    let summary = finished.summary();
    assert_clean(&summary);
    assert_eq!((summary.ledger.sent, summary.partitions.len()), (12 * 150, 6));
    let [growth] = summary.growth.as_slice() else { panic!("{:?}", summary.growth) };
    assert_eq!((growth.from, growth.to), (4, 6));
    assert_eq!(arm.records_in(&topic.name), summary.ledger.sent);
    for p in &summary.partitions {
        assert!(p.ledger.delivered > 0, "nothing came to partition {}", p.partition);
        assert_eq!(p.added_s.is_some(), p.partition >= 4);
    }
    summary
}

/// Asserts that every partition had a consumer of its own, which was never restarted.
fn assert_six_consumers(summary: &Summary) {
    assert_eq!((summary.members, summary.consumers_started, summary.restarts), (6, 6, 0));
    for p in &summary.partitions {
        assert_eq!(owners(p), [(p.partition, 1)]);
    }
    assert_eq!(summary.ledger.redelivered, 0);
}

#[test]
fn new_partitions_get_consumers_and_every_producer_that_is_due_there() {
    on_the_cluster(|arm| {
        let summary = growth(arm, "grow-fixed", &["load.partition=fixed"]);
        assert_six_consumers(&summary);
        // Two pools find the new partitions independently, and keys are moved in the same way in both.
        let set = ["load.partition=keyed", "load.keys=40", "load.pools=2"];
        assert_six_consumers(&growth(arm, "grow-keyed", &set));
    });
}

#[test]
fn a_shared_client_and_a_client_per_producer_learn_of_new_partitions() {
    on_the_cluster(|arm| {
        let set = ["load.partition=random", "consumers.clients=shared", "load.clients=producer"];
        assert_six_consumers(&growth(arm, "grow-shared", &set));
    });
}

#[test]
fn a_group_deals_out_new_partitions_and_reads_them_from_their_beginning() {
    on_the_cluster(|arm| {
        for protocol in arm.group_protocols() {
            let protocol = format!("consumers.protocol={protocol}");
            let set = [
                "load.partition=round-robin",
                "consumers.mode=group",
                "consumers.count=3",
                &protocol,
            ];
            let summary = growth(arm, "grow-group", &set);
            assert_eq!((summary.members, summary.restarts), (3, 0));
        }
    });
}

#[test]
fn a_topic_that_vanishes_stalls_its_consumers_and_fails_the_run() {
    on_the_cluster(|arm| {
        let topic = arm.topic("vanish", 4);
        let text = "[topic]\npartitions = 4\ndiscover = \"200ms\"\n[load]\nproducers = 12\nrate = \"20/s\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"5s\"\ndrain = \"3s\"\n[expect]\nlost = 0\n";
        let set = [topic.set(), "client.producer.message.timeout.ms=2000".to_owned()];
        let mut run = arm.run(text).set(set.iter().map(String::as_str)).start();
        run.await_text("events.jsonl", "pool_started");
        let name = topic.name.as_str();
        let gone = arm.admin(async |admin, options| admin.delete_topics(&[name], &options).await);
        gone.expect("an answer").remove(0).expect("no topic");
        let finished = run.finish();
        assert_eq!(finished.code, 1, "{}", finished.output());
        let summary = finished.summary();
        assert_eq!(summary.given_up.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(summary.given_up[&0].contains("gone"), "{:?}", summary.given_up);
    });
}
