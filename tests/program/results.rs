//! The files and the log of a run.

use std::collections::BTreeMap;

use crate::support::{self, Finished, Tool};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;

/// Six partitions, one of whose consumers is killed.
const KILL: &str = "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\n\
                    [run]\nwarmup = \"500ms\"\nduration = \"2s\"\n\
                    [[fault]]\nat = \"1s\"\nkill = { consumer = 2 }\n\
                    [expect]\nlost = 0\nrestarts = 1\n";

/// Fields of `result.json`. A dot means a field of an object, or of the first entry of a list.
const FIELDS: &str = "
schema_version lanekeeper_version verdict invalid_reasons scenario mode members seed broker
broker_version client client_config host load_started_at epoch_to_load_s duration_s offered
offered_sent offered_per_s offered_bytes_per_s achieved_per_s achieved_bytes_per_s keeps_up overloaded
not_processed planned_load_s load_lasted_s
bottleneck consumers_started wrong_partition
latency_us.response.p50 latency_us.response.p90 latency_us.response.p95 latency_us.response.p99
latency_us.response.p999 latency_us.response.max latency_us.response.count latency_us.service.p99
latency_us.handed_over.p99 latency_us.handling.mean not_measured
lateness_us.p50 lateness_us.p99 lateness_us.max
ledger.sent ledger.acked ledger.failed ledger.indeterminate ledger.delivered ledger.lost ledger.unread
ledger.duplicated ledger.redelivered ledger.reordered ledger.corrupt ledger.other_producers
fairness.rate_cv fairness.p99_max_over_median fairness.worst_partition
partitions.partition partitions.consumer partitions.owners.consumer partitions.owners.start
partitions.delivered partitions.offered_per_s partitions.processed_per_s
partitions.processed_bytes_per_s partitions.rate_cv partitions.latency_us.response.p99
partitions.latency_us.service.p99 partitions.lag_max partitions.longest_stall_ms
partitions.restarts partitions.cpu_s partitions.memory_bytes partitions.apportioned
partitions.ledger.delivered
rebalances
faults.kind faults.target faults.at_s faults.detected_ms faults.restarted_ms
faults.first_record_ms faults.recovered_ms faults.worst_partition faults.others.stall_after_ms faults.redelivered faults.lag_peak faults.blast_radius
expectations.expression expectations.measured expectations.passed
cost.cpu_s cost.rss_max_bytes cost.threads_max cost.sockets_max
warnings";

fn field<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(items) => items.first()?.get(key),
        other => other.get(key),
    })
}

#[test]
fn a_result_directory_holds_everything_that_was_measured() {
    let finished = Tool::run_text(KILL).arg("-v").exits(0);
    assert_files(&finished);
    assert_fields(&finished);
    assert_seconds(&finished);
    assert_histograms(&finished);
    assert_events(&finished);
    for log in [finished.read("run.log"), finished.stderr] {
        assert_log(&log);
        assert!(log.contains("consumer failed"), "{log}");
        assert!(log.contains("partition=2 consumer=2 start=2"), "{log}");
    }
}

#[test]
fn the_log_of_a_group_names_members_and_partitions() {
    let text = "[topic]\npartitions = 4\n[load]\nproducers = 4\nrate = \"10/s\"\n\
                [consumers]\nmode = \"group\"\ncount = 2\n\
                [run]\nwarmup = \"0s\"\nduration = \"500ms\"\n";
    let finished = Tool::run_text(text).arg("-v").exits(0);
    for log in [finished.read("run.log"), finished.stderr] {
        assert_log(&log);
        for member in 0..2 {
            let is_assignment = |line: &str| {
                line.contains("assigned partitions [")
                    && line.contains(&format!(" consumer={member}"))
            };
            assert!(log.lines().any(is_assignment), "{log}");
        }
    }
}

fn assert_files(finished: &Finished) {
    let mut files: Vec<String> = std::fs::read_dir(finished.out())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let expected = [
        "events.jsonl",
        "latency.hlog",
        "result.json",
        "run.log",
        "scenario.toml",
        "seconds.jsonl",
    ];
    assert_eq!(files, expected);
    assert_eq!(finished.read("scenario.toml"), KILL);
}

fn assert_fields(finished: &Finished) {
    let json = finished.json();
    let missing: Vec<&str> =
        FIELDS.split_whitespace().filter(|path| field(&json, path).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(json["schema_version"], 4);
    // A figure that this client cannot measure is `null`, and `not_measured` has the reason.
    for part in ["fetch", "waiting"] {
        assert_eq!(json["latency_us"][part], Value::Null);
        let reason = json["not_measured"][format!("latency_us.{part}")].as_str();
        assert!(reason.is_some_and(|reason| reason.contains("librdkafka")), "{reason:?}");
    }
    assert_eq!(json["scenario"], "scenario");
    assert_eq!(json["verdict"], "passed");
    // The library's type keeps all fields except the checksums.
    let summary = finished.summary();
    let mut shown = json.clone();
    let fields = shown.as_object_mut().expect("an object");
    assert!(fields.remove("checksum").is_some());
    let files = fields.remove("files").expect("checksums of files");
    let names: Vec<&String> = files.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["events.jsonl", "latency.hlog", "scenario.toml", "seconds.jsonl"]);
    assert_eq!(serde_json::to_value(&summary).expect("JSON"), shown);
    assert_eq!(summary.overrides, support::PATIENT);
}

/// The book's table has every field.
#[test]
fn every_field_of_the_result_is_in_the_book() {
    let text = "[topic]\npartitions = 4\nreplication_factor = 3\n[load]\nproducers = 40\nrate = \"10/s\"\n\
                [consumers]\nmode = \"group\"\ncount = 2\nwork = { wait = \"20ms\" }\n\
                [sim]\nbrokers = 3\n[run]\nwarmup = \"1s\"\nduration = \"30s\"\ndrain = \"1s\"\n\
                [[fault]]\nat = \"8s\"\nkill = { consumer = 1 }\n\
                [[fault]]\nat = \"16s\"\ngrow = { partitions = 6 }\n\
                [[fault]]\nat = \"25s\"\npanic = { consumer = \"all\" }\n";
    let real = Tool::run_text(KILL).exits(0).json();
    let simulated = Tool::run_text(text).args(["--broker", "sim"]).finish().json();
    let mut fields = std::collections::BTreeSet::new();
    for result in [&real, &simulated] {
        keys(result, &mut fields);
    }
    assert!(fields.len() > 120, "{fields:?}");
    let table = support::text_of("book/src/result-fields.md");
    let words: std::collections::BTreeSet<&str> =
        table.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let missing: Vec<&String> = fields.iter().filter(|it| !words.contains(it.as_str())).collect();
    assert!(missing.is_empty(), "not in the book: {missing:?}");
}

/// Collects the names of all fields, except in objects whose keys are data.
fn keys(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    const DATA: [&str; 5] = ["client_config", "files", "given_up", "not_measured", "send_errors"];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.insert(name.clone());
                if !DATA.contains(&name.as_str()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

/// Asserts that the lines per second and partition add up to the ledger.
fn assert_seconds(finished: &Finished) {
    let mut delivered: BTreeMap<u64, u64> = BTreeMap::new();
    for line in finished.read("seconds.jsonl").lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let partition = line["partition"].as_u64().expect("a partition");
        *delivered.entry(partition).or_default() += line["delivered"].as_u64().expect("a count");
    }
    let summary = finished.summary();
    let expected: BTreeMap<u64, u64> =
        summary.partitions.iter().map(|p| (p.partition.into(), p.ledger.delivered)).collect();
    assert_eq!(delivered, expected);
    assert_eq!(delivered.values().sum::<u64>(), summary.ledger.delivered);
    assert_eq!(summary.ledger.delivered, 60 * 25);
}

/// Asserts that the reader of the histogram library reads the interval log, and that its merged histograms are those of
/// the result.
fn assert_histograms(finished: &Finished) {
    let mut merged: BTreeMap<String, Histogram<u64>> = BTreeMap::new();
    let log = finished.read("latency.hlog");
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(interval) = entry.expect("a readable log") else { continue };
        let tag = interval.tag().expect("a tag").as_str().to_owned();
        if tag.starts_with("pool") {
            continue;
        }
        let bytes = decode_base64(interval.encoded_histogram());
        let mut histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
        histogram.auto(true);
        match merged.get_mut(&tag) {
            Some(all) => all.add(histogram).expect("the same precision"),
            None => drop(merged.insert(tag, histogram)),
        }
    }
    let summary = finished.summary();
    assert_eq!(merged.len(), 12, "{:?}", merged.keys());
    for p in &summary.partitions {
        let both = [("response", &p.latency_us.response), ("service", &p.latency_us.service)];
        for (kind, digest) in both {
            let histogram = &merged[&format!("p{}.{kind}", p.partition)];
            assert_eq!(histogram.len(), digest.count, "partition {} {kind}", p.partition);
            let p99_us = histogram.value_at_quantile(0.99) as f64 / 1e3;
            let p99 = digest.p99.expect("a quantile");
            assert!((p99_us - p99).abs() <= 0.01 * p99, "{p99_us} {p99}");
        }
    }
    let total = |kind: &str| -> u64 {
        merged.iter().filter(|(tag, _)| tag.ends_with(kind)).map(|(_, all)| all.len()).sum()
    };
    assert_eq!(total("response"), summary.latency_us.response.count);
    assert_eq!(total("service"), summary.latency_us.service.count);
}

/// Decodes standard base64 with padding, without another dependency.
fn decode_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::from(value(c));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// Asserts that the journal has the events of the kill in their order.
fn assert_events(finished: &Finished) {
    let text = finished.read("events.jsonl");
    let events: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(events.iter().all(|event| event["at_s"].is_number()), "{text}");
    let of_2 = |event: &&Value| event["consumer"] == 2 || event["event"] == "fault_injected";
    let story: Vec<(&str, u64)> = events
        .iter()
        .filter(of_2)
        .map(|event| {
            let name = event["event"].as_str().expect("a name");
            (name, event["start"].as_u64().unwrap_or(0))
        })
        // The old client is closed concurrently with the start of the new one.
        .filter(|(name, _)| *name != "consumer_closed")
        .collect();
    // The first restart is immediate.
    let expected = [
        ("consumer_started", 1),
        ("consumer_ready", 1),
        ("fault_injected", 0),
        ("consumer_failed", 1),
        ("consumer_started", 2),
        ("consumer_ready", 2),
    ];
    assert_eq!(story, expected, "{text}");
}

/// Asserts that every line about a consumer names it and its partition, and that no line names an actor.
fn assert_log(log: &str) {
    let is_log = |line: &&str| line.starts_with("20") && line.contains('Z');
    let lines: Vec<&str> = log.lines().filter(is_log).collect();
    let of_consumers: Vec<&&str> = lines.iter().filter(|line| line.contains("consumer")).collect();
    assert!(of_consumers.len() >= 6, "{log}");
    for line in of_consumers {
        assert!(line.contains(" consumer=") && line.contains(" partition="), "{line}");
    }
    for line in log.lines() {
        assert!(!line.contains("Actor{") && !line.contains("ractor"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}

#[test]
fn results_are_never_overwritten() {
    let tool = Tool::run_text(KILL);
    let tool = tool.file("out", b"a file of that name");
    let finished = tool.exits(3);
    assert!(finished.stderr.contains("it is no directory"), "{}", finished.output());
    assert!(finished.stderr.contains("choose another --out"), "{}", finished.output());

    let tool = Tool::new().file("scenario.toml", KILL.as_bytes());
    let finished = tool.args(["run", "scenario.toml", "--out", "."]).exits(3);
    assert!(finished.stderr.contains("not empty"), "{}", finished.output());
    assert!(finished.stderr.contains("choose another --out"), "{}", finished.output());
    let left: Vec<_> = std::fs::read_dir(finished.scratch()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_place_that_cannot_be_written_to_is_refused_before_the_run() {
    let tool = Tool::new().file("scenario.toml", KILL.as_bytes());
    let finished = tool.args(["run", "scenario.toml", "--out", "scenario.toml/below"]).exits(3);
    assert!(finished.stderr.contains("`scenario.toml/below`"), "{}", finished.output());
    assert!(finished.stderr.contains("choose another --out"), "{}", finished.output());
    assert_eq!(finished.stdout, "");
}

#[test]
fn without_a_place_results_go_below_results_under_the_scenarios_name() {
    let text = "[topic]\npartitions = 1\n[load]\nproducers = 1\nrate = \"10/s\"\n\
                [run]\nwarmup = \"0s\"\nduration = \"500ms\"\n";
    let tool = Tool::new().file("mine.toml", text.as_bytes());
    let finished = tool.args(["run", "mine.toml"]).set(support::PATIENT).exits(0);
    let entries = std::fs::read_dir(finished.scratch().join("results")).expect("a directory");
    let names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let [name] = names.as_slice() else { panic!("{names:?}") };
    assert!(name.starts_with("mine-20"), "{name}");
    assert!(finished.scratch().join("results").join(name).join("result.json").is_file());
    assert!(finished.stdout.contains(&format!("saved to results/{name}")), "{}", finished.stdout);
}
