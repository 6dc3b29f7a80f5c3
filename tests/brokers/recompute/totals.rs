//! Recomputes figures that are made from others or from the journal. Also the origin of each number of a result.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{assert_same, lines};
use crate::support::Finished;

/// The beginnings of the places of all numbers that are recomputed here or in `recompute`.
const RECOMPUTED: &[&str] = &[
    "achieved_",
    "consumers_started",
    "expectations[].measured",
    "fairness.",
    "faults[].at_s",
    "faults[].blast_radius",
    "faults[].closed_ms",
    "faults[].detected_ms",
    "faults[].ended_ms",
    "faults[].fault",
    "faults[].lag_peak",
    "faults[].not_recovered[]",
    "faults[].others.left_out[]",
    "faults[].others.partitions",
    "faults[].others.stall_",
    "faults[].partitions_hit[]",
    "faults[].recovered_ms",
    "faults[].redelivered",
    "faults[].restarted_ms",
    "faults[].worst_partition",
    "lateness_us.",
    "latency_us.",
    "ledger.",
    "not_processed",
    "offered",
    "partitions[].consumer",
    "partitions[].delivered",
    "partitions[].lag_max",
    "partitions[].latency_us.",
    "partitions[].ledger.",
    "partitions[].offered_per_s",
    "partitions[].owners[].",
    "partitions[].processed_",
    "partitions[].rate_cv",
    "partitions[].restarts",
    "partitions[].slowest[].",
    "partitions[].time.",
    "restarts",
    "slowest_records[].",
    "startup_ms",
];

/// Numbers that are settings of the run, or ids.
const SETTINGS: &[&str] = &[
    "duration_s",
    "epoch_to_load_s",
    "faults[].lasts_s",
    "faults[].partitions[].partition",
    "faults[].partitions_aimed_at[]",
    "host.",
    "load_lasted_s",
    "members",
    "partitions[].partition",
    "planned_load_s",
    "schema_version",
    "seed",
    "sending.",
];

/// Numbers that are not in the raw files, which other tests check: counts that should be 0 (`truths`, `accidents`),
/// effects of faults on single records (`measure::fault_watch`, `simulator::figures`), and measurements of the machine.
const OWN_TESTS: &[&str] = &[
    "abandoned_threads",
    "cost.",
    "faults[].fenced_ms",
    "faults[].first_record_ms",
    "faults[].lag_after[]",
    "faults[].others.slow_",
    "faults[].partitions[].",
    "fenced",
    "lane_gaps_max",
    "offset_gaps",
    "partitions[].cpu_s",
    "partitions[].leadership[].",
    "partitions[].longest_stall_ms",
    "partitions[].memory_bytes",
    "simulation.",
    "two_owners",
    "unexpected_redelivered",
    "withheld",
    "wrong_partition",
];

fn places(place: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let dot = if place.is_empty() { "" } else { "." };
            places(&format!("{place}{dot}{name}"), value, found);
        }),
        Value::Array(items) => items.iter().for_each(|it| places(&format!("{place}[]"), it, found)),
        Value::Number(_) => {
            found.insert(place.to_owned());
        }
        _ => {}
    }
}

/// Asserts that each number is in one of these lists, so that a new one is not forgotten.
pub(super) fn assert_each_number_is_known(result: &Value) {
    let mut found = BTreeSet::new();
    places("", result, &mut found);
    let known = [RECOMPUTED, SETTINGS, OWN_TESTS].concat();
    // Sizes of the raw files, and figures of requests and commits, which this run does not have.
    found.retain(|place| !place.starts_with("files.") && !place.starts_with("figures."));
    found.retain(|place| !known.iter().any(|beginning| place.starts_with(beginning)));
    assert!(found.is_empty(), "where do these come from? {found:?}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// Standard deviation of a sample, divided by its mean.
fn variation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0)).sqrt() / mean
}

pub(super) fn recompute(finished: &Finished, result: &Value) {
    of_partitions(finished, result);
    of_events(finished, result);
    result["faults"].as_array().expect("faults").iter().for_each(of_a_fault);
    of_expectations(result);
    assert_each_number_is_known(result);
}

fn of_partitions(finished: &Finished, result: &Value) {
    let partitions = list(result, "partitions");
    // The account of the run is the sum of the partitions' accounts.
    for (name, total) in result["ledger"].as_object().expect("an account") {
        let sum: f64 = partitions.iter().map(|it| number(&it["ledger"][name])).sum();
        assert_eq!(sum, number(total), "{name}");
    }
    let rates: Vec<f64> = partitions.iter().map(|it| number(&it["processed_per_s"])).collect();
    assert_same("spread of rates", variation(&rates), &result["fairness"]["rate_cv"]);
    let mut p99s: Vec<f64> =
        partitions.iter().map(|it| number(&it["latency_us"]["response"]["p99"])).collect();
    p99s.sort_by(f64::total_cmp);
    let median = (p99s[p99s.len() / 2] + p99s[(p99s.len() - 1) / 2]) / 2.0;
    let spread = p99s[p99s.len() - 1] / median;
    assert_same("spread of p99", spread, &result["fairness"]["p99_max_over_median"]);
    let duration_s = number(&result["duration_s"]);
    let seconds = lines(finished, "seconds.jsonl");
    let warmup_s = number(&result["planned_load_s"]) - duration_s;
    for it in partitions {
        let due = number(&it["latency_us"]["response"]["count"]);
        assert_same("offered of a partition", due / duration_s, &it["offered_per_s"]);
        let bytes = 100.0 * number(&it["processed_per_s"]);
        assert_same("bytes of a partition", bytes, &it["processed_bytes_per_s"]);
        assert_eq!(it["delivered"], it["latency_us"]["response"]["count"]);
        let of_it = |line: &&Value| line["partition"] == it["partition"];
        let in_window = |line: &&Value| {
            number(&line["from_s"]) >= warmup_s && number(&line["to_s"]) <= warmup_s + duration_s
        };
        let its: Vec<&Value> = seconds.iter().filter(of_it).filter(in_window).collect();
        // The lag of a line is that of the last answer when the line is made. On a busy machine the last line is made a
        // moment after the window, in the drain.
        let before = its.split_last().map_or(&[][..], |(_, before)| before);
        let lag = before.iter().map(|line| number(&line["lag"])).fold(0.0, f64::max);
        assert!(lag <= number(&it["lag_max"]), "{lag} {}", it["lag_max"]);
        let per_second: Vec<f64> = its
            .iter()
            .map(|line| {
                number(&line["delivered"]) / (number(&line["to_s"]) - number(&line["from_s"]))
            })
            .collect();
        assert_same("spread of seconds", variation(&per_second), &it["rate_cv"]);
    }
    let latency = &result["latency_us"];
    let counts = list(&latency["response_buckets"], "counts");
    let sum: f64 = counts.iter().map(number).sum();
    assert_eq!(sum, number(&latency["response"]["count"]));
    assert_same(
        "the last bucket",
        number(&latency["response_buckets"]["to_us"]),
        &latency["response"]["max"],
    );
    let bytes = 100.0 * number(&result["offered_per_s"]);
    assert_same("offered bytes", bytes, &result["offered_bytes_per_s"]);
}

/// Recomputes startup, restarts and owners from the journal.
fn of_events(finished: &Finished, result: &Value) {
    let events = lines(finished, "events.jsonl");
    let its = |name: &str| -> Vec<(u64, u64, f64)> {
        let named = events.iter().filter(|event| event["event"] == name);
        let whole = |value: &Value| value.as_u64().expect("a number");
        named.map(|it| (whole(&it["consumer"]), whole(&it["start"]), number(&it["at_s"]))).collect()
    };
    let (started, ready) = (its("consumer_started"), its("consumer_ready"));
    let distinct: BTreeSet<u64> = ready.iter().map(|(consumer, ..)| *consumer).collect();
    assert_eq!(result["consumers_started"].as_u64(), Some(distinct.len() as u64));
    let again: BTreeMap<u64, u64> = started.iter().filter(|(_, start, _)| *start > 1).fold(
        BTreeMap::new(),
        |mut again, (consumer, ..)| {
            *again.entry(*consumer).or_default() += 1;
            again
        },
    );
    assert_eq!(result["restarts"].as_u64(), Some(again.values().sum()));
    let first = |(_, start, _): &&(u64, u64, f64)| *start == 1;
    let last_ready = ready.iter().filter(first).map(|it| it.2).fold(f64::MIN, f64::max);
    let first_start = started.iter().filter(first).map(|it| it.2).fold(f64::MAX, f64::min);
    let startup = 1e3 * (last_ready - first_start);
    let (told, simulated) = (number(&result["startup_ms"]), !result["simulation"].is_null());
    // The journal has the start of a consumer a moment after its command, and later on a busy machine.
    let (least, most) = (startup - 0.01, startup + if simulated { 0.01 } else { 2_000.0 });
    assert!((least..most).contains(&told), "{startup} {told}");
    for partition in list(result, "partitions") {
        let id = partition["partition"].as_u64().expect("an id");
        // Consumers have the numbers of their partitions.
        assert_eq!(partition["consumer"], id);
        assert_eq!(partition["restarts"].as_u64(), Some(again.get(&id).copied().unwrap_or(0)));
        let owners = list(partition, "owners");
        let starts: Vec<u64> = started.iter().filter(|it| it.0 == id).map(|it| it.1).collect();
        let told: Vec<u64> =
            owners.iter().map(|it| it["start"].as_u64().expect("a start")).collect();
        assert_eq!(told, starts, "partition {id}");
        for owner in owners {
            assert_eq!(owner["consumer"], id);
            let from = number(&owner["from_s"]);
            let its = |it: &&(u64, u64, f64)| it.0 == id && Some(it.1) == owner["start"].as_u64();
            let at = |all: &[(u64, u64, f64)]| all.iter().find(its).expect("an event").2;
            // The consumer's thread may act before the journal has the event.
            let ahead = if simulated { 1e-6 } else { 2.0 };
            assert!((at(&started) - ahead..=at(&ready) + ahead).contains(&from), "{owner}");
        }
    }
}

/// Recomputes the figures of a fault from those of its partitions.
fn of_a_fault(fault: &Value) {
    let partitions = list(fault, "partitions");
    let aimed_at = list(fault, "partitions_aimed_at");
    let is_hit = |it: &&Value| {
        let limit = (3.0 * number(&it["stall_before_ms"])).max(100.0);
        number(&it["stall_after_ms"]) > limit
    };
    let ids = |all: &mut dyn Iterator<Item = &Value>| -> Vec<Value> {
        all.map(|it| it["partition"].clone()).collect()
    };
    let hit = ids(&mut partitions.iter().filter(is_hit));
    assert_eq!(hit, list(fault, "partitions_hit"), "{fault}");
    assert_eq!(fault["blast_radius"], hit.len());
    let with: Vec<&Value> = partitions.iter().filter(|it| !it["recovery"].is_null()).collect();
    let marked = ids(&mut with.iter().copied());
    assert!(hit.iter().chain(aimed_at).all(|id| marked.contains(id)), "{fault}");
    let sum: f64 = with.iter().map(|it| number(&it["recovery"]["redelivered"])).sum();
    assert_eq!(sum, number(&fault["redelivered"]));
    let peak = with.iter().map(|it| number(&it["recovery"]["lag_peak"])).fold(0.0, f64::max);
    assert_eq!(peak, number(&fault["lag_peak"]));
    let open = ids(&mut with.iter().copied().filter(|it| it["recovery"]["recovered_ms"].is_null()));
    assert_eq!(open, list(fault, "not_recovered"), "{fault}");
    if open.is_empty() {
        let latest = with.iter().map(|it| number(&it["recovery"]["recovered_ms"]));
        assert_same("recovered", latest.fold(0.0, f64::max), &fault["recovered_ms"]);
        let worst = with.iter().find(|it| it["recovery"]["recovered_ms"] == fault["recovered_ms"]);
        assert_eq!(worst.map(|it| &it["partition"]), Some(&fault["worst_partition"]));
    } else {
        assert!(fault["recovered_ms"].is_null() && open.contains(&fault["worst_partition"]));
    }
    let others: Vec<&Value> =
        partitions.iter().filter(|it| !aimed_at.contains(&it["partition"])).collect();
    let is_out = |it: &&&Value| it["is_stable"] == false;
    let left_out = ids(&mut others.iter().filter(is_out).copied());
    assert_eq!(left_out, list(&fault["others"], "left_out"));
    let kept: Vec<&&Value> = others.iter().filter(|it| !is_out(it)).collect();
    assert_eq!(fault["others"]["partitions"], kept.len());
    for name in ["stall_before_ms", "stall_after_ms"] {
        let longest = kept.iter().map(|it| number(&it[name])).fold(0.0, f64::max);
        assert_same(name, longest, &fault["others"][name]);
    }
}

/// Recomputes the values of the default expectations from the account.
fn of_expectations(result: &Value) {
    for it in list(result, "expectations") {
        let expression = it["expression"].as_str().expect("text");
        let name = expression.split(' ').next().expect("a name");
        let told = number(&it["measured"]);
        let again = match name {
            "measured" => number(&result["latency_us"]["response"]["count"]),
            "keeps_up" => f64::from(u8::from(result["keeps_up"] == true)),
            _ => number(&result["ledger"][name]),
        };
        assert_eq!(again, told, "{it}");
    }
}
