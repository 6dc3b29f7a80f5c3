//! The result of a run is recomputed from its raw files, by other code than that of the program.

mod totals;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::{Finished, Tool};
use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;

/// Six partitions and two pools, with a consumer that is killed and another one that stalls.
const SCENARIO: &str = "[topic]\npartitions = 6\n[load]\nproducers = 60\nrate = \"10/s\"\npools = 2\n\
    [consumers]\nwork = { wait = \"1ms\" }\n[run]\nwarmup = \"1s\"\nduration = \"5s\"\n\
    [[fault]]\nat = \"2s\"\nkill = { consumer = 2 }\n[[fault]]\nat = \"4s\"\nfor = \"500ms\"\nstall = { consumer = 3 }\n";

/// The distributions of `latency.hlog` by tag, all intervals merged.
fn distributions(finished: &Finished) -> BTreeMap<String, Histogram<u64>> {
    let mut merged: BTreeMap<String, Histogram<u64>> = BTreeMap::new();
    let log = finished.read("latency.hlog");
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(interval) = entry.expect("a readable log") else { continue };
        let bytes = base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram());
        let bytes = bytes.expect("base64");
        let mut histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
        histogram.auto(true);
        let tag = interval.tag().expect("a tag").as_str().to_owned();
        match merged.get_mut(&tag) {
            Some(all) => all.add(histogram).expect("the same precision"),
            None => drop(merged.insert(tag, histogram)),
        }
    }
    merged
}

fn lines(finished: &Finished, file: &str) -> Vec<Value> {
    let text = finished.read(file);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Asserts that two figures are equal within the resolution of the histograms.
#[track_caller]
fn assert_same(what: &str, recomputed: f64, told: &Value) {
    let told = told.as_f64().unwrap_or_else(|| panic!("{what}: {told}"));
    let off = (recomputed - told).abs();
    assert!(off <= 0.002 * told.abs() + 1e-6, "{what}: {recomputed} recomputed, {told} told");
}

/// Compares a digest of the result with the distributions whose tags have this ending.
fn assert_digest(
    what: &str,
    all: &BTreeMap<String, Histogram<u64>>,
    tags: &dyn Fn(&str) -> bool,
    digest: &Value,
) {
    let mut merged = Histogram::<u64>::new(3).expect("a histogram");
    let its = all.iter().filter(|(tag, _)| tags(tag));
    its.for_each(|(_, histogram)| merged.add(histogram).expect("the same precision"));
    let negative = digest["negative"].as_u64().expect("a count");
    assert_eq!(merged.len() + negative, digest["count"].as_u64().expect("a count"), "{what}");
    for (name, quantile) in
        [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)]
    {
        let recomputed = merged.value_at_quantile(quantile) as f64 / 1e3;
        // The smallest bucket is 64 ns.
        let told = digest[name].as_f64().unwrap_or_else(|| panic!("{what}: {digest}"));
        assert!(
            (recomputed - told).abs() <= 0.002 * told + 0.2,
            "{what} {name}: {recomputed} {told}"
        );
    }
}

/// Figures of partitions are compared for a run in which each record is processed.
fn assert_all_processed(finished: &Finished, result: &Value) {
    let account = &result["ledger"];
    assert_eq!(account["delivered"], account["sent"], "{account}\n{}", finished.output());
}

fn recompute(finished: &Finished) {
    let result = finished.json();
    assert_all_processed(finished, &result);
    let distributions = distributions(finished);
    let seconds = lines(finished, "seconds.jsonl");
    let count =
        |line: &Value, name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name}: {line}"));
    let duration_s = result["duration_s"].as_f64().expect("a length");

    let latency = &result["latency_us"];
    assert_digest(
        "response",
        &distributions,
        &|tag| tag.ends_with(".response"),
        &latency["response"],
    );
    assert_digest("service", &distributions, &|tag| tag.ends_with(".service"), &latency["service"]);
    assert_digest("ack", &distributions, &|tag| tag.ends_with(".ack"), &latency["ack"]);
    assert_digest(
        "lateness",
        &distributions,
        &|tag| tag.ends_with(".lateness"),
        &result["lateness_us"],
    );

    let (mut all, mut in_window, mut sent, mut acked) = (0, 0, 0, 0);
    let mut worst: Option<(f64, u64)> = None;
    for partition in result["partitions"].as_array().expect("partitions") {
        let id = count(partition, "partition");
        let tag = format!("p{id}");
        for kind in ["response", "service"] {
            let tag = format!("{tag}.{kind}");
            assert_digest(&tag, &distributions, &|it| it == tag, &partition["latency_us"][kind]);
        }
        let its: Vec<&Value> =
            seconds.iter().filter(|line| count(line, "partition") == id).collect();
        let sum = |name: &str| its.iter().map(|line| count(line, name)).sum::<u64>();
        let last = its.last().expect("a second");
        let ledger = &partition["ledger"];
        assert_eq!(sum("delivered"), count(ledger, "delivered"), "partition {id}");
        assert_eq!(count(last, "sent"), count(ledger, "sent"), "partition {id}");
        assert_eq!(count(last, "acked"), count(ledger, "acked"), "partition {id}");
        assert_eq!(count(last, "failed"), count(ledger, "failed"), "partition {id}");
        assert_same(
            "processed",
            sum("processed_in_window") as f64 / duration_s,
            &partition["processed_per_s"],
        );
        let p99 = partition["latency_us"]["response"]["p99"].as_f64().expect("a quantile");
        if worst.is_none_or(|(most, _)| p99 > most) {
            worst = Some((p99, id));
        }
        all += sum("delivered");
        in_window += sum("processed_in_window");
        sent += count(last, "sent");
        acked += count(last, "acked");
    }
    let ledger = &result["ledger"];
    assert_eq!(
        (all, sent, acked),
        (count(ledger, "delivered"), count(ledger, "sent"), count(ledger, "acked"))
    );
    assert_same("achieved", in_window as f64 / duration_s, &result["achieved_per_s"]);
    assert_same(
        "achieved bytes",
        100.0 * in_window as f64 / duration_s,
        &result["achieved_bytes_per_s"],
    );
    assert_eq!(result["fairness"]["worst_partition"].as_u64(), worst.map(|(_, id)| id));
    recompute_due(finished, &result, duration_s);
    recompute_faults(finished, &result);
    recompute_times(&result, &distributions);
    totals::recompute(finished, &result);
}

/// Asserts that all due records were sent. Records that were not processed have an age instead of a response time.
fn recompute_due(finished: &Finished, result: &Value, duration_s: f64) {
    let latency = &result["latency_us"];
    let counted = |digest: &Value| digest["count"].as_u64();
    let processed = counted(&latency["response"]).expect("a count");
    let due = counted(&latency["response_with_unprocessed"]).unwrap_or(processed);
    let offered = [&result["offered"], &result["offered_sent"]].map(Value::as_u64);
    assert_eq!(offered, [Some(due); 2], "{}\n{}", result["ledger"], finished.output());
    assert_same("offered", due as f64 / duration_s, &result["offered_per_s"]);
}

/// Asserts that the slowest record of each partition is the maximum of its raw distribution, that the slowest of the
/// run are those of its partitions, and that parts and means add up.
fn recompute_times(result: &Value, raw: &BTreeMap<String, Histogram<u64>>) {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
    let parts = ["send_delay_us", "fetch_us", "waiting_us", "handed_over_us", "handling_us"];
    let adds_up = |record: &Value| {
        let sum: f64 = parts.iter().filter_map(|part| record[*part].as_f64()).sum();
        assert!((sum - number(&record["response_us"])).abs() < 0.01, "{record}");
    };
    let all = result["slowest_records"].as_array().expect("records");
    assert_eq!(all.len(), 10);
    all.iter().for_each(adds_up);
    let key = |it: &Value| {
        (
            -(number(&it["response_us"]) * 1e3) as i64,
            it["partition"].as_u64(),
            it["offset"].as_i64(),
        )
    };
    assert!(all.is_sorted_by_key(key), "{all:?}");
    let mut firsts: Vec<&Value> = Vec::new();
    for partition in result["partitions"].as_array().expect("partitions") {
        let (id, slowest) =
            (&partition["partition"], partition["slowest"].as_array().expect("records"));
        slowest.iter().for_each(adds_up);
        let histogram = &raw[&format!("p{id}.response")];
        let (largest, first) = (histogram.max() as f64 / 1e3, number(&slowest[0]["response_us"]));
        assert!(
            (largest - first).abs() <= 0.002 * largest + 0.2,
            "partition {id}: {largest} {first}"
        );
        firsts.extend(slowest);
        let time = &partition["time"];
        let of = |name: &str| {
            time[name]
                .as_object()
                .map_or((0.0, 0.0), |its| (number(&its["mean_us"]), number(&its["share"])))
        };
        let (mean, share) = ["send_delay", "fetch", "waiting", "handed_over", "handling"]
            .iter()
            .fold((0.0, 0.0), |(mean, share), name| (mean + of(name).0, share + of(name).1));
        assert_same("the parts together", mean, &partition["latency_us"]["response"]["mean"]);
        assert!((share - 1.0).abs() < 1e-9, "{time}");
        assert!((histogram.mean() / 1e3 - mean).abs() <= 0.002 * mean + 0.2, "{time}");
    }
    // The list has every record of a partition's list that is slower than its last one.
    let last = number(&all[9]["response_us"]);
    for record in firsts.iter().filter(|it| number(&it["response_us"]) > last) {
        assert!(all.contains(record), "{record}");
    }
}

/// Recomputes the recovery of a killed consumer from the journal.
fn recompute_faults(finished: &Finished, result: &Value) {
    let events = lines(finished, "events.jsonl");
    let at = |name: &str, is_it: &dyn Fn(&Value) -> bool, from: f64| {
        let its = events.iter().filter(|event| event["event"] == name && is_it(event));
        let times = its.filter_map(|event| event["at_s"].as_f64());
        times
            .filter(|at_s| *at_s >= from)
            .min_by(f64::total_cmp)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    for (number, fault) in result["faults"].as_array().expect("faults").iter().enumerate() {
        let injected = at("fault_injected", &|event| event["fault"] == number, 0.0);
        // The times of an event and of its figure differ by rounding only.
        let told = fault["at_s"].as_f64().expect("a time");
        assert!((injected - told).abs() < 1e-5, "injected: {injected} recomputed, {told} told");
        if fault["kind"] != "kill" {
            let ended = at("fault_ended", &|event| event["fault"] == number, injected);
            let told = fault["ended_ms"].as_f64().expect("an end");
            let recomputed = 1e3 * (ended - injected);
            assert!(
                (recomputed - told).abs() < 0.01,
                "ended: {recomputed} recomputed, {told} told"
            );
            continue;
        }
        let is_it = |event: &Value| event["consumer"] == 2;
        for (name, figure) in [
            ("consumer_failed", "detected_ms"),
            ("consumer_started", "restarted_ms"),
            ("consumer_closed", "closed_ms"),
        ] {
            let told = fault[figure].as_f64().unwrap_or_else(|| panic!("{figure}: {fault}"));
            let recomputed = 1e3 * (at(name, &is_it, injected) - injected);
            assert!((recomputed - told).abs() < 0.01, "{figure}: {recomputed} {told}");
        }
        assert_eq!(result["restarts"], 1);
    }
}

/// A consumer without work stalls for a second. All records due in the stall are processed at its end. So the slowest
/// are the first ten, and each is faster by the time by which it was due later.
#[test]
fn the_slowest_records_are_those_that_waited_longest_for_the_end_of_a_stall() {
    const STALL: &str = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"50/s\"\nphases = \"uniform\"\n\
        [run]\nwarmup = \"1s\"\nduration = \"4s\"\n\
        [[fault]]\nat = \"2s\"\nfor = \"1s\"\nstall = { consumer = 1 }\n";
    let result = Tool::run_text(STALL).args(["--broker", "sim"]).finish().json();
    let slowest = result["slowest_records"].as_array().expect("records");
    assert_eq!(slowest.len(), 10, "{result}");
    let number = |record: &Value, name: &str| record[name].as_f64().expect("a number");
    for pair in slowest.windows(2) {
        let step = |name| number(&pair[1], name) - number(&pair[0], name);
        assert_eq!((step("offset"), step("sequence")), (1.0, 1.0), "{pair:?}");
        assert!((step("sent_s") - 0.02).abs() < 1e-6, "{pair:?}");
        assert!((step("response_us") + 20_000.0).abs() < 0.01, "{pair:?}");
    }
    let first = &slowest[0];
    assert!(slowest.iter().all(|record| record["partition"] == 1 && record["sent_at"].is_null()));
    assert!((2.0..2.02).contains(&number(first, "sent_s")), "{first}");
    assert!((number(first, "handling_us") - 1e6).abs() < 0.01, "{first}");
    let end = |it: &Value| number(it, "sent_s") + number(it, "response_us") / 1e6;
    let expected = number(first, "sent_s") + number(first, "fetch_us") / 1e6 + 1.0;
    assert!(slowest.iter().all(|it| (end(it) - expected).abs() < 1e-6), "{slowest:?}");
    // Records that were due in the warmup, or are in the other partition, did not wait.
    assert!(result["partitions"][0]["slowest"][0]["response_us"].as_f64() < Some(5_000.0));
}

#[test]
fn the_raw_files_of_a_simulation_give_its_result() {
    recompute(&Tool::run_text(SCENARIO).args(["--broker", "sim"]).finish());
}

#[test]
fn the_raw_files_of_an_embedded_run_give_its_result() {
    recompute(&Tool::run_text(SCENARIO).finish());
}

#[test]
fn the_raw_files_of_a_run_on_a_real_cluster_give_its_result() {
    let Ok(bootstrap) = std::env::var("BOOTSTRAP") else { return };
    recompute(&Tool::run_text(SCENARIO).args(["--bootstrap", &bootstrap]).finish());
}

/// HdrHistogram's own reader, a jar beside those of Kafka, computes the figures of the result for each tag.
#[test]
fn hdr_histogram_reads_the_interval_log() {
    if std::env::var("BOOTSTRAP").is_err() {
        return;
    }
    let finished = Tool::run_text(SCENARIO).args(["--broker", "sim"]).finish();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka.sh");
    // Each tag starts a Java virtual machine, so two partitions are enough.
    for partition in &finished.json()["partitions"].as_array().expect("partitions")[..2] {
        for kind in ["response", "service"] {
            let tag = format!("p{}.{kind}", partition["partition"]);
            // Values are printed in the unit of the log, and not in milliseconds.
            let read = Command::new(&script)
                .args(["run", "org.HdrHistogram.HistogramLogProcessor"])
                .args(["-outputValueUnitRatio", "1", "-tag", &tag, "-i"])
                .arg(finished.out().join("latency.hlog"))
                .output()
                .expect("the script");
            let text = String::from_utf8_lossy(&read.stdout);
            let figure = |name: &str| -> f64 {
                let rest = text.split_once(name).unwrap_or_else(|| panic!("{name}: {read:?}")).1;
                let number = rest.trim_start_matches([' ', '=']).split([',', ']']).next();
                number.and_then(|it| it.trim().parse().ok()).unwrap_or_else(|| panic!("{rest}"))
            };
            let digest = &partition["latency_us"][kind];
            assert_eq!(Some(figure("Total count") as u64), digest["count"].as_u64(), "{tag}");
            assert_same(&tag, figure("#[Max") / 1e3, &digest["max"]);
            assert_same(&tag, figure("#[Mean") / 1e3, &digest["mean"]);
        }
    }
}
