//! `check --connect`, the consent to write into an existing topic, runs that only read, a load on one partition, and
//! `clean`.
//!
//! Tests that need a cluster run on the one in `BOOTSTRAP`. Without it, they pass without a check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster::{self, Arm, TestTopic, on_the_cluster};
use crate::support::{Finished, Tool};
use lanekeeper::base::RunId;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

const BRIEF: &str = "[topic]\npartitions = 3\nreplication_factor = 1\n[load]\nproducers = 6\nrate = \"10/s\"\n\
                     [run]\nwarmup = \"0s\"\nduration = \"1s\"\n";

/// A command on the cluster, such as `check --connect`, without any consent.
fn on(arm: &Arm, command: &str, text: &str) -> Tool {
    let tool = Tool::new().file("brief.toml", text.as_bytes());
    tool.args([command, "brief.toml", "--bootstrap", arm.bootstrap()])
}

#[track_caller]
fn says(text: &str, finished: &Finished, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in\n{}", finished.output());
    }
}

/// The topics and groups of the cluster.
fn everything_on(arm: &Arm) -> (Vec<String>, Vec<String>) {
    let client: BaseConsumer = arm.config().create().expect("a client");
    let metadata = client.fetch_metadata(None, cluster::ANSWER).expect("metadata");
    let groups = client.fetch_group_list(None, cluster::ANSWER).expect("groups");
    let mut topics: Vec<String> =
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
    let mut groups: Vec<String> =
        groups.groups().iter().map(|group| group.name().to_owned()).collect();
    topics.sort();
    groups.sort();
    (topics, groups)
}

/// Commits offset `read` of partition 0 for `group`.
fn commit(topic: &TestTopic<'_>, group: &str, read: i64) {
    let client: BaseConsumer =
        topic.arm.config().set("group.id", group).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Offset(read)).expect("a partition");
    client.commit(&list, CommitMode::Sync).expect("a coordinator");
}

#[test]
fn a_cluster_is_described_and_nothing_is_written() {
    on_the_cluster(|arm| {
        let topic = arm.topic("looked-at", 3);
        topic.fill(3, 30);
        let group = format!("lanekeeper-test-readers-{}", std::process::id());
        commit(&topic, &group, 4);
        let before = everything_on(arm);
        let check =
            |set: &[&str]| on(arm, "check", BRIEF).arg("--connect").set(set.iter().copied());
        let own = check(&["consumers.mode=group", "consumers.count=2"]).exits(0);
        let parts = [
            "all reached: 1 at",
            "Fetch up to",
            "protocols: classic, consumer",
            "does not exist, and can be created",
            "Describe, Create, Delete, Write, Read on topic `lanekeeper-brief-",
            "Read on group `lanekeeper-",
        ];
        says(&own.stdout, &own, &parts);
        let finished = check(&[&topic.set()]).exits(0);
        let reader = format!("{group} (6 unread)");
        let parts = [
            "exists: 3 partitions, replication factor 1, 30 records",
            reader.as_str(),
            "differs: retention",
            "needs `--allow-existing-topic`",
        ];
        says(&finished.stdout, &finished, &parts);
        let finished = check(&[&topic.set(), "topic.partitions=4"]).exits(3);
        says(&finished.stderr, &finished, &["has 3 partitions", "--set topic.partitions=3"]);
        let finished = check(&["topic.replication_factor=30"]).exits(3);
        says(&finished.stderr, &finished, &["replication_factor=1"]);
        let after = everything_on(arm);
        // Other tests may create topics with other names at the same time.
        let is_new = |name: &&String| name.starts_with("lanekeeper-brief-");
        assert_eq!(after.0.iter().find(is_new), before.0.iter().find(is_new));
        assert_eq!(arm.records_in(&topic.name), 30);
        let is_ours = |name: &&String| name.contains("lanekeeper-check");
        assert_eq!(after.1.iter().find(is_ours), None);
    });
}

#[test]
fn a_connection_needs_a_cluster() {
    let tool = Tool::new().file("brief.toml", BRIEF.as_bytes());
    let finished = tool.args(["check", "brief.toml", "--connect"]).exits(2);
    says(&finished.stderr, &finished, &["nothing to connect to", "--bootstrap"]);
}

#[test]
fn a_topic_that_exists_is_written_to_with_consent_only() {
    on_the_cluster(|arm| {
        let topic = arm.topic("of-others", 3);
        topic.fill(3, 5);
        let run = |more: &[&str]| {
            on(arm, "run", BRIEF)
                .args(["--out", "out"])
                .args(more.iter().copied())
                .set([topic.set().as_str()])
        };
        let finished = run(&[]).exits(3);
        let parts = ["exists with 5 records", "--allow-existing-topic", "leave `topic.name` out"];
        says(&finished.stderr, &finished, &parts);
        assert_eq!(arm.records_in(&topic.name), 5);
        let finished = run(&["--allow-existing-topic"]).finish();
        assert_eq!(finished.summary().ledger.sent, 60, "{}", finished.output());
        assert_eq!(arm.records_in(&topic.name), 65);
    });
}

#[test]
fn a_run_without_producers_measures_what_others_write() {
    on_the_cluster(|arm| {
        let topic = arm.topic("read", 3);
        let text = "[topic]\npartitions = 3\n[load]\nproducers = 0\n[run]\nwarmup = \"0s\"\nduration = \"3s\"\n";
        let missing =
            on(arm, "run", text).args(["--out", "out"]).set(["topic.name=no-such-topic"]).exits(3);
        says(&missing.stderr, &missing, &["does not exist", "creates none"]);
        let mut running =
            on(arm, "run", text).args(["--out", "out"]).set([topic.set().as_str()]).start();
        running.await_text("seconds.jsonl", "\"partition\":1");
        let is_over = AtomicBool::new(false);
        let finished = std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                let mut written = 0;
                while !is_over.load(Ordering::Acquire) {
                    topic.fill(1, 10);
                    written += 10;
                    std::thread::sleep(Duration::from_millis(100));
                }
                written
            });
            let finished = running.finish();
            is_over.store(true, Ordering::Release);
            (finished, writing.join().expect("a writer"))
        });
        let (finished, written) = finished;
        let summary = finished.summary();
        assert_eq!(finished.code, 0, "{}", finished.output());
        let ledger = &summary.ledger;
        assert_eq!((ledger.sent, ledger.delivered, ledger.lost), (0, 0, 0), "{ledger:?}");
        assert!((1..=written).contains(&ledger.other_producers), "{ledger:?} of {written}");
        // All records are in partition 0, and none contains its send time.
        let rates: Vec<bool> =
            summary.partitions.iter().map(|partition| partition.processed_per_s > 0.0).collect();
        assert_eq!(rates, [true, false, false], "{}", finished.output());
        assert_eq!((summary.latency_us.response.count, summary.offered_per_s), (0, None));
        assert!(!finished.output().contains("use one of the run's own"), "{}", finished.output());
    });
}

#[test]
fn a_load_can_go_to_one_partition_alone() {
    for broker in ["embedded", "sim"] {
        let finished = Tool::run_text(BRIEF)
            .args(["--broker", broker])
            .set(["load.partition={ only = 2 }"])
            .exits(0);
        let summary = finished.summary();
        let delivered: Vec<u64> = summary.partitions.iter().map(|it| it.delivered).collect();
        assert_eq!(delivered, [0, 0, 60], "{}", finished.output());
        assert_eq!((summary.ledger.lost, summary.wrong_partition), (0, 0));
    }
    let check = |value: &str| {
        let tool = Tool::new().file("brief.toml", BRIEF.as_bytes());
        tool.args(["check", "brief.toml"]).set([format!("load.partition={value}").as_str()])
    };
    let finished = check("{ only = 3 }").exits(2);
    says(&finished.stderr, &finished, &["partition 3, and the topic has 3", "from 0 to 2"]);
    let finished = check("{ ony = 1 }").exits(2);
    says(&finished.stderr, &finished, &["did you mean `only`?"]);
    let finished = check("{ only = 1 }").exits(0);
    says(&finished.stdout, &finished, &["all to partition 1"]);
}

#[test]
fn what_runs_have_left_is_listed_and_removed_and_nothing_else() {
    on_the_cluster(|arm| {
        // A topic name with the form of a run id, which no run has generated.
        let other = arm.topic("0123456789ab", 1);
        let group = ["topic.keep=true", "consumers.mode=group", "consumers.count=2"];
        let kept = on(arm, "run", BRIEF).args(["--out", "out"]).set(group).finish().summary();
        let clean = |more: &[&str]| {
            let tool = Tool::new().args(["clean", "--bootstrap", arm.bootstrap()]);
            tool.args(more.iter().copied()).exits(0)
        };
        let id = kept.topic.rsplit('-').next().expect("an id");
        let listed = clean(&[]);
        let recent = format!("topic {}: 3 partitions; kept: a record in it", kept.topic);
        let left = format!("group lanekeeper-{id}: committed offsets; kept with its run's topic");
        says(&listed.stdout, &listed, &[&recent, &left]);
        assert!(!listed.stdout.contains(&other.name), "{}", listed.output());
        // Runs of other tests are going on, so nothing else of this cluster may be removed.
        clean(&[id, "--yes"]);
        assert_eq!(arm.partitions_of(&kept.topic), Some(3));
        let unconfirmed = clean(&[id, "--recent"]);
        says(&unconfirmed.stderr, &unconfirmed, &["nothing is removed; add `--yes`"]);
        assert_eq!(arm.partitions_of(&kept.topic), Some(3));
        let removed = clean(&[&kept.topic, "--recent", "--yes"]);
        let topic = format!("removed topic {}\n", kept.topic);
        says(&removed.stdout, &removed, &[&topic, &format!("removed group lanekeeper-{id}\n")]);
        let gone = clean(&[id, "--recent", "--yes"]);
        says(&gone.stdout, &gone, &["no topic and no group that one of these runs has named"]);
        // The topic of a run that has not sent anything yet.
        let run = RunId::marked(u64::from(std::process::id()) << 16).to_string();
        let starting = arm.topic_named(format!("lanekeeper-starting-{run}"), 2);
        let listed = clean(&[&run, "--yes"]);
        says(&listed.stdout, &listed, &["2 partitions; kept: it never had a record"]);
        assert_eq!(arm.partitions_of(&starting.name), Some(2));
        let removed = clean(&[&run, "--yes", "--recent"]);
        says(&removed.stdout, &removed, &[&format!("removed topic {}\n", starting.name)]);
        assert_eq!(arm.partitions_of(&other.name), Some(1));
    });
}
