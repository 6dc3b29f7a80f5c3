//! The result of a run has the values that are known in advance, on the embedded broker or on the cluster in
//! `BOOTSTRAP`. `simulator::figures` has the same for the simulator, where times are exact.

mod delays;
mod records;

use crate::support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::cluster::{ANSWER, Arm, on_the_cluster};
use lanekeeper::summary::Summary;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

/// 100 records per second on one partition, evenly spaced.
const EVEN: &str =
    "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"100/s\"\nphases = \"uniform\"\n";

/// Runs a case on the cluster in `BOOTSTRAP`, or on the embedded broker without one.
fn on_one_broker(case: fn(&Arm)) {
    if std::env::var_os("BOOTSTRAP").is_none() {
        case(&Arm::Embedded);
    }
    on_the_cluster(case);
}

/// Milliseconds that a busy machine may add to a time: to a quantile of many records, and to the longest time. A time
/// cannot be shorter than the wait.
const BUSY_MS: f64 = 300.0;
const BUSIEST_MS: f64 = 1_000.0;

#[track_caller]
fn assert_about(what: &str, ms: f64, known_ms: f64, busy_ms: f64, summary: &Summary) {
    // Faults of the scenario begin and end a little early or late on the machine.
    let least_ms = known_ms - 25.0;
    let is_about = ms >= least_ms && ms <= known_ms + busy_ms;
    assert!(is_about, "{what} is {ms} ms, and {known_ms} ms are known: {summary:?}");
}

/// A consumer stalls for 1.4 s of 10 s. Of 1,000 records, 140 are due in the stall, and each waits for the rest of it.
#[test]
fn a_stall_is_in_the_percentiles_as_arithmetic_says() {
    on_one_broker(|arm| {
        let text = format!(
            "{EVEN}[run]\nwarmup = \"1s\"\nduration = \"10s\"\n\
             [[fault]]\nat = \"4s\"\nfor = \"1400ms\"\nstall = {{ consumer = 0 }}\n"
        );
        let summary = arm.run(&text).exits(0).summary();
        let response = &summary.latency_us.response;
        // 50 records wait longer than the p95, 100 longer than the p90, and one for the whole stall.
        for (what, us, known_ms, busy_ms) in [
            ("p90", response.p90, 400.0, BUSY_MS),
            ("p95", response.p95, 900.0, BUSY_MS),
            ("p99", response.p99, 1_300.0, BUSIEST_MS),
            ("max", response.max, 1_400.0, BUSIEST_MS),
        ] {
            assert_about(what, us.expect("records") / 1e3, known_ms, busy_ms, &summary);
        }
        let stalled_ms = summary.partitions[0].longest_stall_ms;
        assert_about("stall", stalled_ms, 1_400.0, BUSIEST_MS, &summary);
        let lag = summary.partitions[0].lag_max;
        // The end offset is polled in intervals. The last poll may be before the end of the stall, or after it on a
        // busy machine.
        let busy = (BUSIEST_MS / 10.0) as u64;
        assert!((140 - busy..=140 + busy).contains(&lag), "140 are known, and the lag is {lag}");
    });
}

/// A stall of 4 s leaves 400 records. The consumer processes them with its capacity beyond the 100 records a second
/// that arrive.
#[test]
fn the_time_to_recover_is_backlog_over_spare_capacity() {
    on_one_broker(|arm| {
        let text = format!(
            "{EVEN}[consumers]\nwork = {{ wait = \"5ms\" }}\n[run]\nwarmup = \"1s\"\nduration = \"20s\"\n\
             [[fault]]\nat = \"5s\"\nfor = \"4s\"\nstall = {{ consumer = 0 }}\n"
        );
        let summary = arm.run(&text).exits(0).summary();
        let handling = summary.latency_us.handling.p50.expect("records");
        assert!(handling >= 4_900.0, "5 ms are known: {summary:?}");
        let capacity = 1e6 / handling;
        let known_ms = 4_000.0 + 400.0 / (capacity - 100.0) * 1e3;
        let recovered_ms = summary.faults[0].recovered_ms.expect("a recovery");
        // This assumes that each record takes the median time. A recovery may be later, because lag and age must be at
        // most those of the quiet window for a second.
        let is_about = recovered_ms > 0.85 * known_ms && recovered_ms < 2.0 * known_ms;
        assert!(is_about, "{recovered_ms} ms, {known_ms} ms are known: {:?}", summary.faults[0]);
    });
}

/// Records of a partition are deleted before they are read. Lost and unread records are also computed from the offsets
/// that the brokers return to another client.
#[test]
fn a_loss_is_what_the_log_has_lost() {
    on_the_cluster(|arm| {
        let file = support::text_of("scenarios/faults/delete-records.toml");
        // A run deletes records only from a topic that it has created.
        let own = ["topic.keep=true", "topic.replication_factor=1"];
        // The deletion takes seconds on a busy machine.
        let later = ["fault[0].for=9s", "fault[2].at=12s", "run.duration=14s"];
        let summary = arm.run(&file).set(own).set(later).exits(1).summary();
        let client: BaseConsumer = arm.config().create().expect("a client");
        for partition in &summary.partitions {
            let marks = client.fetch_watermarks(&summary.topic, partition.partition as i32, ANSWER);
            let (low, high) = marks.expect("watermarks");
            let ledger = &partition.ledger;
            // Offsets before the first record are deleted. Those that were processed are not lost.
            let processed = ledger.delivered as i64;
            let lost = (low - processed).max(0);
            let unread = high - processed - lost;
            assert_eq!(ledger.acked as i64, high, "{ledger:?}");
            assert_eq!((ledger.lost as i64, ledger.unread as i64), (lost, unread), "{ledger:?}");
        }
        assert!(summary.ledger.lost > 0, "{:?}", summary.ledger);
        let name = summary.topic.as_str();
        let deleted =
            arm.admin(async |admin, options| admin.delete_topics(&[name], &options).await);
        deleted.expect("an answer").remove(0).expect("a topic that was there");
    });
}

/// The bytes of the batches are those of the partitions' logs according to the brokers (DescribeLogDirs), with each
/// codec.
#[test]
fn the_bytes_of_batches_are_those_of_the_log() {
    on_the_cluster(|arm| {
        let mut uncompressed = Vec::new();
        for codec in ["none", "gzip", "snappy", "lz4"] {
            let topic = arm.topic(&format!("bytes-{codec}"), 2);
            let text = format!(
                "[topic]\npartitions = 2\n[load]\nproducers = 10\nrate = \"40/s\"\nlinger = \"50ms\"\n\
                 compression = \"{codec}\"\npayload = {{ size = \"500B\", entropy = 0.2 }}\n\
                 [run]\nwarmup = \"1s\"\nduration = \"3s\"\n"
            );
            let set = [topic.set()];
            let native = ["--client", "native"];
            let finished = arm.run(&text).set(set.iter().map(String::as_str)).args(native).exits(0);
            let summary = finished.summary();
            let sending = summary.sending.as_ref().expect("settings");
            assert!(summary.send_errors.is_empty(), "{:?}", summary.send_errors);
            assert_eq!(sending.batch_bytes, Some(bytes_in_logs(arm, &topic.name)), "{sending:?}");
            assert_eq!(sending.compression, codec);
            let ratio = sending.compression_ratio.expect("a ratio");
            // A fifth of the filler behind the stamp is random.
            assert!(
                if codec == "none" { ratio == 1.0 } else { (2.0..10.0).contains(&ratio) },
                "{ratio}"
            );
            let each =
                sending.uncompressed_bytes.expect("bytes") as f64 / summary.ledger.sent as f64;
            uncompressed.push(each);
        }
        // A record has 500 bytes, at least 7 bytes of framing, and a part of the 61 bytes of the batch header.
        assert!(uncompressed.iter().all(|each| (507.0..575.0).contains(each)), "{uncompressed:?}");
    });
}

/// A client in another language reads each record once and in order, for each codec and each sending client.
#[test]
fn a_client_in_another_language_reads_what_was_sent() {
    on_the_cluster(|arm| {
        let native = ["none", "gzip", "snappy", "lz4"].map(|codec| ("native", codec));
        let zstd = cfg!(feature = "zstd").then_some(("native", "zstd"));
        for (client, codec) in native.into_iter().chain(zstd).chain([("rdkafka", "lz4")]) {
            let topic = arm.topic(&format!("read-{client}-{codec}"), 3);
            let text = format!(
                "[topic]\npartitions = 3\n[load]\nproducers = 30\nrate = \"20/s\"\nlinger = \"20ms\"\n\
                 compression = \"{codec}\"\npayload = {{ size = \"200B\", entropy = 0.2 }}\n\
                 [run]\nwarmup = \"0s\"\nduration = \"1s\"\n"
            );
            let run = arm.run(&text).set([topic.set().as_str()]).args(["--client", client]);
            let sent = run.exits(0).summary().ledger.sent;
            assert!(sent > 500, "{sent}");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kfake.sh");
            let read = Command::new(script)
                .args(["read", arm.bootstrap(), &topic.name, "3"])
                .output()
                .expect("the script");
            let told = String::from_utf8_lossy(&read.stdout);
            let expected = format!("records {sent} value_bytes {}\n", 200 * sent);
            assert_eq!(
                told,
                expected,
                "{client}, {codec}: {}",
                String::from_utf8_lossy(&read.stderr)
            );
        }
    });
}

/// The sum of the sizes of a topic's partitions according to the brokers, in bytes.
fn bytes_in_logs(arm: &Arm, topic: &str) -> u64 {
    let mut sizes: BTreeMap<i32, u64> = BTreeMap::new();
    for address in arm.bootstrap().split(',') {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        // Version 1 has the oldest request header: key, version, correlation id, client id.
        let mut body = BytesMut::from(&[0, 35, 0, 1, 0, 0, 0, 1, 0, 0][..]);
        request.encode(&mut body, 1).expect("a request");
        let mut stream = TcpStream::connect(address).expect("a broker");
        stream.set_read_timeout(Some(ANSWER)).expect("a socket");
        stream.write_all(&(body.len() as u32).to_be_bytes()).expect("a broker");
        stream.write_all(&body).expect("a broker");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).expect("an answer");
        let mut answer = Bytes::from(answer).split_off(4);
        let answer = DescribeLogDirsResponse::decode(&mut answer, 1).expect("an answer");
        let topics = answer.results.iter().flat_map(|directory| &directory.topics);
        for found in topics.filter(|found| found.name.as_str() == topic) {
            for partition in &found.partitions {
                // All replicas have the same size.
                sizes.insert(partition.partition_index, partition.partition_size as u64);
            }
        }
    }
    sizes.values().sum()
}

/// Another producer appends the first record of a partition again.
#[test]
fn a_record_that_is_appended_again_is_a_duplicate() {
    on_the_cluster(|arm| {
        let topic = arm.topic("again", 1);
        let text = format!("{EVEN}[run]\nwarmup = \"0s\"\nduration = \"5s\"\n");
        let mut running = arm.run(&text).set([topic.set().as_str()]).start();
        running.await_text("seconds.jsonl", "\"partition\":0");
        let reader: BaseConsumer =
            arm.config().set("group.id", &topic.name).create().expect("a client");
        let mut first = TopicPartitionList::new();
        first.add_partition_offset(&topic.name, 0, Offset::Beginning).expect("a partition");
        reader.assign(&first).expect("an assignment");
        let record = reader.poll(ANSWER).expect("a record").expect("a record");
        let payload = record.payload().expect("a payload");
        let producer: BaseProducer = arm.config().create().expect("a client");
        for _ in 0..3 {
            let again = BaseRecord::<(), [u8]>::to(&topic.name).partition(0).payload(payload);
            producer.send(again).map_err(|(error, _)| error).expect("a queue");
        }
        producer.flush(Duration::from_secs(30)).expect("all acknowledged");
        let finished = running.finish();
        let ledger = finished.summary().ledger;
        assert_eq!((ledger.duplicated, ledger.lost), (3, 0), "{}", finished.output());
        assert_eq!((ledger.sent, ledger.delivered), (500, 500), "{ledger:?}");
    });
}

/// A group of one member, which commits only once a minute, and a load of 800 records.
fn member() -> String {
    format!(
        "{EVEN}[consumers]\nmode = \"group\"\ncount = 1\ncommit_interval = \"60s\"\n\
         [run]\nwarmup = \"0s\"\nduration = \"8s\"\n[expect]\ncommitted_ahead = 0\n"
    )
}

/// Another client commits an offset for the run's group beyond the processed records. It does so in a transaction,
/// because a coordinator accepts that from a client that is no member.
#[test]
fn an_offset_that_another_client_commits_is_found_beyond_what_was_processed() {
    const BEYOND: i64 = 1_000;
    on_one_broker(|arm| {
        let summary = arm.run(&member()).exits(0).summary();
        assert_eq!(summary.figures.get("committed_ahead"), Some(&0), "{summary:?}");
    });
    on_the_cluster(|arm| {
        let topic = arm.topic("committed", 1);
        let mut running = arm.run(&member()).set([topic.set().as_str()]).start();
        running.await_text("so-far.json", "\"run_id\"");
        let so_far = std::fs::read_to_string(running.scratch().join("out/so-far.json"));
        let so_far: serde_json::Value =
            serde_json::from_str(&so_far.expect("a file")).expect("JSON");
        let group = format!("lanekeeper-{}", so_far["run_id"].as_str().expect("an id"));
        let member: BaseConsumer = arm.config().set("group.id", &group).create().expect("a client");
        let producer: BaseProducer =
            arm.config().set("transactional.id", &topic.name).create().expect("a client");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&topic.name, 0, Offset::Offset(BEYOND)).expect("a partition");
        let group = member.group_metadata().expect("a group");
        producer.init_transactions(ANSWER).expect("a coordinator");
        producer.begin_transaction().expect("no transaction is open");
        producer.send_offsets_to_transaction(&offsets, &group, ANSWER).expect("taken");
        producer.commit_transaction(ANSWER).expect("a commit");
        let finished = running.finish();
        assert_eq!(finished.code, 1, "{}", finished.output());
        let summary = finished.summary();
        let records = summary.figures.get("committed_ahead").copied().unwrap_or(0);
        // The distance is at least to the last record that the run sent.
        let least = BEYOND as u64 - summary.ledger.sent;
        assert!((least..=BEYOND as u64).contains(&records), "{records} {summary:?}");
    });
}

/// The same for assigned consumers, whose checkpoints are committed for a group without members.
#[test]
fn a_checkpoint_that_another_client_commits_is_found_beyond_what_was_processed() {
    const BEYOND: i64 = 1_000_000;
    on_the_cluster(|arm| {
        let topic = arm.topic("checkpoint", 1);
        let client: BaseConsumer =
            arm.config().set("group.id", &topic.name).create().expect("a client");
        let commit = |next: i64| {
            let mut offsets = TopicPartitionList::new();
            let offset = Offset::Offset(next);
            offsets.add_partition_offset(&topic.name, 0, offset).expect("a partition");
            client.commit(&offsets, CommitMode::Sync).expect("a commit");
        };
        let text = format!(
            "{EVEN}[consumers]\ncheckpoint = \"commit\"\ncheckpoint_group = \"{}\"\n\
             checkpoint_interval = \"1h\"\n[run]\nwarmup = \"0s\"\nduration = \"6s\"\n\
             [expect]\ncommitted_ahead = 0\n",
            topic.name
        );
        // An offset that was committed before the run does not count.
        commit(BEYOND);
        let summary = arm.run(&text).set([topic.set().as_str()]).exits(0).summary();
        assert_eq!(summary.figures.get("committed_ahead"), Some(&0), "{summary:?}");
        let mut running = arm.run(&text).set([topic.set().as_str()]).start();
        running.await_text("so-far.json", "\"run_id\"");
        commit(BEYOND);
        let finished = running.finish();
        assert_eq!(finished.code, 1, "{}", finished.output());
        let summary = finished.summary();
        assert!(summary.figures["committed_ahead"] > BEYOND as u64 / 2, "{summary:?}");
    });
}
