//! The records of each client are read by the other one and by Kafka's tools: keys, headers, times, and each codec.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use lanekeeper::base::Clock;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{TestTopic, on_the_cluster};
use crate::cluster::ANSWER;
use crate::support::{Finished, Tool, root};

/// A run that sends 20 records to two partitions. Half a second is too short to decide whether consumers keep up.
const SCENARIO: &str = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"20/s\"\n\
    partition = \"fixed\"\n[consumers]\nstart = \"beginning\"\n\
    [run]\nwarmup = \"0s\"\nduration = \"500ms\"\n[expect]\nlost = 0\nunaccounted = 0\nkeeps_up = \">= 0\"\n";
const SENT: u64 = 20;
/// Codecs that both clients have in every build.
const CODECS: [&str; 4] = ["none", "gzip", "snappy", "lz4"];
/// Number of records that another producer writes with each codec.
const OTHERS: u64 = 12;

/// The present time in milliseconds since 1970.
fn now_ms() -> i64 {
    let clock = Clock::start();
    (clock.epoch_unix_ns() + clock.now().0) / 1_000_000
}

/// A run with this client and codec that reads the whole topic. Asserts that it finds `others` records of other
/// producers.
#[track_caller]
fn run(topic: &TestTopic<'_>, client: &str, codec: &str, others: u64) -> Finished {
    let compression = format!("load.compression={codec}");
    let finished = Tool::run_text(SCENARIO)
        // The topic has the records of earlier writers.
        .args(["--bootstrap", topic.arm.bootstrap(), "--client", client, "--allow-existing-topic"])
        .set([topic.set().as_str(), &compression])
        .exits(0);
    let ledger = finished.summary().ledger;
    let found = (ledger.sent, ledger.delivered, ledger.other_producers, ledger.corrupt);
    assert_eq!(found, (SENT, SENT, others, 0), "{client} {codec}: {ledger:?}");
    finished
}

/// Writes records with keys, headers, times and tombstones with librdkafka and this codec.
fn write_others(topic: &TestTopic<'_>, codec: &str) {
    let mut config = topic.arm.config();
    config.set("compression.type", codec).set("linger.ms", "20");
    let producer: BaseProducer = config.create().expect("a client");
    for i in 0..OTHERS {
        let (key, value) = (format!("key {i}"), "a value, and once more a value ".repeat(20));
        let headers = OwnedHeaders::new()
            .insert(Header { key: "codec", value: Some(codec) })
            .insert(Header::<&str> { key: "nothing", value: None });
        let mut record = BaseRecord::to(&topic.name).partition((i % 2) as i32);
        record = record.timestamp(1_000 + i as i64).headers(headers);
        if i % 3 > 0 {
            record = record.key(&key);
        }
        if i % 4 > 0 {
            record = record.payload(&value);
        }
        producer.send(record).map_err(|(error, _)| error).expect("a queue");
    }
    producer.flush(ANSWER).expect("all acknowledged");
}

/// A client of librdkafka that reads all partitions from the beginning.
fn reader(topic: &TestTopic<'_>) -> BaseConsumer {
    let mut config = topic.arm.config();
    let client: BaseConsumer =
        config.set("group.id", &topic.name).set("check.crcs", "true").create().expect("a client");
    let mut all = TopicPartitionList::new();
    for partition in 0..2 {
        all.add_partition_offset(&topic.name, partition, Offset::Beginning).expect("a partition");
    }
    client.assign(&all).expect("an assignment");
    client
}

/// Reads the topic with librdkafka. Returns the number of records of runs, and verifies the checksum in each of them.
fn read_with_librdkafka(topic: &TestTopic<'_>, count: u64, written_ms: (i64, i64)) -> u64 {
    let client = reader(topic);
    let mut of_runs = 0;
    for _ in 0..count {
        let record = client.poll(ANSWER).expect("a record in time").expect("a readable record");
        let payload = record.payload().unwrap_or_default();
        if !payload.starts_with(b"LK") {
            assert_eq!(record.headers().map(|headers| headers.count()), Some(2));
            continue;
        }
        of_runs += 1;
        let checksum = u32::from_le_bytes(payload[4..8].try_into().expect("four bytes"));
        assert_eq!(checksum, xxh3_64(&payload[8..]) as u32);
        assert!(record.key().is_none() && record.headers().is_none());
        let timestamp = record.timestamp().to_millis().expect("a time");
        assert!((written_ms.0..=written_ms.1).contains(&timestamp), "{timestamp} {written_ms:?}");
    }
    assert!(client.poll(Duration::from_millis(200)).is_none(), "more than {count} records");
    of_runs
}

/// The lines of Kafka's console consumer: time, key, headers, partition and offset of each record, separated by tabs.
fn lines_of_kafkas_consumer(topic: &TestTopic<'_>, count: u64) -> Vec<String> {
    let shown = ["timestamp", "key", "headers", "partition", "offset"];
    let properties = shown.map(|what| format!("print.{what}=true"));
    let mut tool = Command::new(root().join("tests/kafka.sh"));
    tool.args(["run", "org.apache.kafka.tools.consumer.ConsoleConsumer"]);
    tool.args(["--bootstrap-server", topic.arm.bootstrap(), "--topic", &topic.name]);
    tool.args(["--from-beginning", "--timeout-ms", "60000", "--property", "print.value=false"]);
    tool.args(properties.iter().flat_map(|property| ["--property", property]));
    tool.args(["--max-messages", &count.to_string()]);
    let output = tool.output().expect("tests/kafka.sh starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("Partition:")).map(str::to_owned).collect();
    assert_eq!(lines.len() as u64, count, "{text}");
    lines
}

#[test]
fn what_one_client_writes_the_others_read() {
    on_the_cluster(|arm| {
        // This uses both clients, so it runs for one value of `CLIENT` only.
        if !arm.has_the_native_client() {
            return;
        }
        let begun_ms = now_ms();
        let topic = arm.topic("records", 2);
        CODECS.iter().for_each(|codec| write_others(&topic, codec));
        let mut written = OTHERS * CODECS.len() as u64;
        for codec in CODECS {
            run(&topic, "native", codec, written);
            written += SENT;
        }
        run(&topic, "rdkafka", "lz4", written);
        written += SENT;
        // The timestamps are set by the clients on this machine.
        let written_ms = (begun_ms, now_ms());
        let of_runs = SENT * (CODECS.len() as u64 + 1);
        assert_eq!(read_with_librdkafka(&topic, written, written_ms), of_runs);
        let lines = lines_of_kafkas_consumer(&topic, written);
        let (others, runs): (Vec<&String>, Vec<&String>) =
            lines.iter().partition(|line| line.contains("codec:"));
        assert_eq!(runs.len() as u64, of_runs);
        // A record of a run has a timestamp, and neither headers nor a key.
        for line in runs {
            let time = line.strip_prefix("CreateTime:").and_then(|rest| rest.split('\t').next());
            let time: i64 = time.and_then(|time| time.parse().ok()).expect(line);
            assert!((written_ms.0..=written_ms.1).contains(&time), "{line}");
            assert!(line.contains("NO_HEADERS") && line.ends_with("null"), "{line}");
        }
        let times: BTreeSet<&str> = others.iter().map(|line| &line[..15]).collect();
        assert_eq!(times.len() as u64, OTHERS, "{others:?}");
    });
}

/// 20 records with keys, headers and values of a template.
const PARTS: &str = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"20/s\"\n\
    partition = \"keyed\"\nkeys = 7\nkey = \"k{{key}}\"\nheaders = { shop = \"north\" }\n\
    payload = { template = '{\"n\": {{sequence}}}' }\n[consumers]\nstart = \"beginning\"\n\
    [run]\nwarmup = \"0s\"\nduration = \"500ms\"\n[expect]\nlost = 0\nunaccounted = 0\nkeeps_up = \">= 0\"\n";

#[test]
fn keys_and_headers_are_what_other_tools_read() {
    on_the_cluster(|arm| {
        if !arm.has_the_native_client() {
            return;
        }
        let topic = arm.topic("parts", 2);
        for (client, codec, others) in [("native", "lz4", 0), ("rdkafka", "gzip", SENT)] {
            let compression = format!("load.compression={codec}");
            let finished = Tool::run_text(PARTS)
                .args([
                    "--bootstrap",
                    arm.bootstrap(),
                    "--client",
                    client,
                    "--allow-existing-topic",
                ])
                .set([topic.set().as_str(), &compression])
                .exits(0);
            let ledger = finished.summary().ledger;
            let found = (ledger.sent, ledger.delivered, ledger.other_producers, ledger.corrupt);
            assert_eq!(found, (SENT, SENT, others, 0), "{client}: {ledger:?}");
        }
        // The value of the header is a stamp, whose bytes may contain a line feed.
        let lines = lines_of_kafkas_consumer(&topic, 2 * SENT);
        assert!(lines.iter().all(|line| line.contains("shop:north,lanekeeper:")), "{lines:?}");
        let client = reader(&topic);
        for _ in 0..2 * SENT {
            let record = client.poll(ANSWER).expect("a record in time").expect("a readable record");
            let (key, value) = (record.key().expect("a key"), record.payload().expect("a value"));
            assert!(key.starts_with(b"k") && key.len() == 2, "{key:?}");
            let json: serde_json::Value = serde_json::from_slice(value).expect("JSON");
            assert!(json["n"].is_u64(), "{json}");
            let headers = record.headers().expect("headers");
            assert_eq!((headers.count(), headers.get(0).key), (2, "shop"));
            let stamp = headers.get(1).value.expect("a stamp");
            let checksum = u32::from_le_bytes(stamp[4..8].try_into().expect("four bytes"));
            let of_value = xxh3_64_with_seed(value, xxh3_64(key));
            assert_eq!(checksum, xxh3_64_with_seed(&stamp[8..], of_value) as u32);
        }
    });
}
