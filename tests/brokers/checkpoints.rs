//! Checkpoints after the end of their run. The embedded broker is enough to write files. A run that continues needs a
//! cluster in `BOOTSTRAP`, as the conformance tests do.

use std::path::Path;

use crate::cluster::{self, Arm, on_the_cluster};
use crate::support::{self, Tool, assert_clean};
use lanekeeper::logic::Checkpoints;
use lanekeeper::summary::Summary;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// 3 partitions with slow consumers, so that records are left after a kill.
const SLOW: &str = "[topic]\nname = \"orders\"\npartitions = 3\n[load]\nproducers = 30\nrate = \"20/s\"\n\
                    [consumers]\nstart = \"beginning\"\nwork = { wait = \"20ms\" }\n\
                    checkpoint = \"file\"\ncheckpoint_file = \"orders.checkpoint\"\n\
                    checkpoint_interval = \"100ms\"\n\
                    [run]\nwarmup = \"0s\"\nduration = \"10m\"\n";
const QUICK: [&str; 2] = ["run.duration=1s", "consumers.work={ wait = \"0ms\" }"];

fn read(path: &Path) -> Option<Checkpoints> {
    // The file is complete whenever it exists.
    let text = std::fs::read(path).ok()?;
    Some(Checkpoints::decode(&text).unwrap_or_else(|error| panic!("{error}")))
}

fn total(checkpoints: &Checkpoints) -> u64 {
    checkpoints.partitions.iter().map(|start| start.checkpoint.0 as u64).sum()
}

/// Runs until every checkpoint is at offset 20 or later, and ends the process by SIGKILL.
fn killed(tool: Tool, file: &Path) -> (support::Finished, Checkpoints) {
    let mut running = tool.start();
    running.await_text("so-far.json", "{");
    let far = |left: &Checkpoints| left.partitions.iter().all(|start| start.checkpoint.0 >= 20);
    while !read(file).is_some_and(|left| far(&left)) {
        running.look();
    }
    let finished = running.kill();
    assert_eq!(finished.code, -1, "{}", finished.output());
    (finished, read(file).expect("a file"))
}

fn with_file(tool: Tool, file: &Path) -> Tool {
    tool.set([format!("consumers.checkpoint_file={}", file.display()).as_str()])
}

#[test]
fn a_file_is_whole_at_any_time_and_never_ahead_of_what_was_processed() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("orders.checkpoint");
    let (finished, left) = killed(with_file(Tool::run_text(SLOW), &file), &file);
    assert_eq!((left.topic.as_str(), left.partitions.len(), left.runs.len()), ("orders", 3, 1));
    for start in &left.partitions {
        let resume_point = start.resume_point.expect("the record before it");
        assert_eq!(resume_point.offset.0 + 1, start.checkpoint.0);
        assert_eq!(resume_point.stamp.run, left.runs[0]);
    }
    // A consumer processes at most 50 records a second, so the stored result is at most a second behind.
    let report = support::report_of(&finished).args(["--format", "json"]).exits(130).stdout;
    let summary: Summary = serde_json::from_str(&report).expect("a summary");
    assert!(total(&left) < summary.ledger.sent, "{left:?} {:?}", summary.ledger);

    // The embedded cluster ended with its run, and another one has another cluster id.
    let finished = with_file(Tool::run_text(SLOW), &file).exits(3);
    for text in [
        "cannot continue from the checkpoint file",
        "another cluster",
        "remove it to start from scratch",
    ] {
        assert!(finished.stderr.contains(text), "{}", finished.output());
    }
    assert_eq!(read(&file), Some(left));
}

#[test]
fn two_runs_do_not_use_one_file_at_a_time() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("orders.checkpoint");
    let mut running = with_file(Tool::run_text(SLOW), &file).start();
    running.await_text("so-far.json", "{");
    let second = with_file(Tool::run_text(SLOW), &file).exits(3);
    assert!(second.stderr.contains("another run uses the checkpoint file"), "{}", second.output());
    running.kill();
}

#[test]
fn a_file_that_was_cut_or_is_of_another_topic_is_refused_and_stays() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("orders.checkpoint");
    let other =
        Checkpoints { cluster: None, topic: "bills".into(), runs: vec![], partitions: vec![] };
    let text = other.encode();
    for (content, said) in [
        (&text[..], "of topic `bills`"),
        (&text[..9], "no checkpoint file"),
        (&text[..50], "was cut"),
    ] {
        std::fs::write(&file, content).expect("a writable scratch");
        let finished = with_file(Tool::run_text(SLOW), &file).exits(3);
        assert!(finished.stderr.contains(said), "{said}: {}", finished.output());
        assert_eq!(std::fs::read(&file).expect("the file"), content.as_bytes());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_is_no_file_is_refused_and_not_waited_for() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("orders.checkpoint");
    for name in ["orders.checkpoint", "orders.checkpoint.lock", "orders.checkpoint.part"] {
        let pipe = scratch.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("`mkfifo` is there").success());
        let finished = with_file(Tool::run_text(SLOW), &file).exits(3);
        let said = format!("{name}`: it is a pipe, not a regular file; name another");
        assert!(finished.stderr.contains(&said), "{}", finished.output());
        std::fs::remove_file(&pipe).expect("a pipe to remove");
    }
    std::os::unix::fs::symlink("/dev/zero", &file).expect("a link");
    let finished = with_file(Tool::run_text(SLOW), &file).exits(3);
    assert!(finished.stderr.contains("it is a device"), "{}", finished.output());
}

#[test]
fn a_file_goes_with_the_topic_it_is_about() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let file = scratch.path().join("orders.checkpoint");
    let finished = with_file(Tool::run_text(SLOW).set(QUICK), &file).exits(0);
    let said = "was removed: the embedded cluster ended with the run";
    assert!(finished.stdout.contains(said), "{}", finished.output());
    assert!(!file.exists());
}

#[test]
fn a_later_run_goes_on_where_the_killed_one_stopped() {
    on_the_cluster(|arm| {
        let topic = arm.topic("resume", 3);
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let file = scratch.path().join("orders.checkpoint");
        let run = || with_file(arm.run(SLOW).set([topic.set().as_str()]), &file);
        let (_, left) = killed(run(), &file);

        let finished = run().set(QUICK).exits(0);
        let summary = finished.summary();
        assert_clean(&summary);
        let resumed = summary.resumed.as_ref().expect("an earlier run");
        assert_eq!((resumed.run_id.clone(), resumed.partitions), (left.runs[0].to_string(), 3));
        // Every record in the topic was processed once, by one of the two runs.
        let appended = arm.records_in(&topic.name);
        assert_eq!(resumed.behind, appended - total(&left) - summary.ledger.sent);
        assert_eq!(summary.ledger.earlier, resumed.behind);
        assert!(summary.ledger.earlier > 0, "{:?}", summary.ledger);
        let said = format!("continued where run {} stopped", left.runs[0]);
        assert!(finished.stdout.contains(&said), "{}", finished.output());
        assert!(finished.read("events.jsonl").contains("\"event\":\"resumed\""));
        let after = read(&file).expect("a file");
        assert_eq!((total(&after), after.runs.len()), (appended, 2));

        // Another topic of the same name is not read from the checkpoint on.
        topic.create_again(3);
        topic.fill(3, 9_000);
        let finished = run().set(QUICK).exits(3);
        assert!(finished.stderr.contains("another log: offset "), "{}", finished.output());
    });
}

/// The committed offsets, queried by another client.
fn committed(arm: &Arm, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let client: BaseConsumer = arm.config().set("group.id", group).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let offsets = client.committed_offsets(list, cluster::ANSWER).expect("an answer");
    offsets.elements().iter().map(|element| element.offset().to_raw()).collect()
}

#[test]
fn commits_are_there_for_other_tools_at_the_end() {
    fn assert_run(arm: &Arm, topic: &str) -> Summary {
        let text = SLOW.replace("checkpoint_file = \"orders.checkpoint\"\n", "");
        let commit = ["consumers.checkpoint=commit", "consumers.checkpoint_group=mirror"];
        let finished = arm.run(&text).set(QUICK).set(commit).set([topic]).exits(0);
        let summary = finished.summary();
        assert_clean(&summary);
        let is_uncommitted =
            summary.warnings.iter().any(|warning| warning.contains("not committed"));
        assert!(!is_uncommitted, "{:?}", summary.warnings);
        summary
    }
    assert_run(&Arm::Embedded, "topic.name=orders");
    on_the_cluster(|arm| {
        let topic = arm.topic("commit", 3);
        let summary = assert_run(arm, &topic.set());
        let sent: Vec<Option<i64>> =
            support::sent_per_partition(&summary).iter().map(|sent| Some(*sent as i64)).collect();
        assert_eq!(committed(arm, "mirror", &topic.name, 3), sent);
    });
}
