//! Scenarios drawn from the schema, valid and nearly valid. `check` reports their mistakes, or they run in virtual
//! time. None panics, ends with a bug, or runs without end.

mod hostile;

use lanekeeper::base::{BrokerKind, Random, Seed};
use lanekeeper::error::Error;
use lanekeeper::plan::{Overrides, Plan, compile};
use lanekeeper::run::{Options, run};
use lanekeeper::scenario::{Source, json_schema};
use serde_json::Value as Schema;
use toml::{Table, Value};

const CASES: u64 = 3_000;

/// Sections of other brokers, and sections that other tests check.
const LEFT_OUT: [&str; 6] = ["client", "embedded", "kafka", "expect", "fault", "variant"];
/// Keys with effects outside the run: files, commands, names of topics.
const OUTSIDE: [&str; 6] =
    ["checkpoint", "checkpoint_file", "checkpoint_group", "exec", "name", "messages"];

/// Faults without `for`.
const OVER_AT_ONCE: [&str; 11] = [
    "answer_lost",
    "kill",
    "panic",
    "stop",
    "poison",
    "link_reset",
    "half_open",
    "coordinator_move",
    "request_error",
    "grow",
    "delete_records",
];
/// Keys that only groups have.
const OF_GROUPS: [&str; 8] = [
    "count",
    "membership",
    "protocol",
    "assignor",
    "commit_interval",
    "session_timeout",
    "heartbeat_interval",
    "max_poll_interval",
];

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len() as u64) as usize]
}

/// Draws mostly a usual value, and sometimes an unusual one.
fn usual_or_not<T: Copy>(random: &mut Random, usual: &[T], not: &[T]) -> T {
    let all = if happens(random, 0.93) { usual } else { not };
    one_of(random, all)
}

fn happens(random: &mut Random, share: f64) -> bool {
    random.unit() < share
}

/// A value that the schema allows, but `check` may reject.
fn value(schema: &Schema, random: &mut Random) -> Value {
    if let Some(all) = schema["enum"].as_array() {
        let word = &all[random.below(all.len() as u64) as usize];
        return Value::String(word.as_str().unwrap_or_default().to_owned());
    }
    if let Some(word) = schema["const"].as_str() {
        return Value::String(word.to_owned());
    }
    if let Some(all) = schema["anyOf"].as_array() {
        return value(&all[random.below(all.len() as u64) as usize], random);
    }
    match schema["type"].as_str() {
        Some("integer") => Value::Integer(usual_or_not(random, &[1, 1, 2], &[0, 3, 4, 7])),
        Some("number") => Value::Float(usual_or_not(random, &[0.1, 0.5], &[0.0, 1.0, 2.0])),
        Some("boolean") => Value::Boolean(happens(random, 0.5)),
        Some("array") => {
            let count = 1 + random.below(2);
            Value::Array((0..count).map(|_| value(&schema["items"], random)).collect())
        }
        Some("object") => Value::Table(table(schema, random, 0.3)),
        _ => Value::String(text(schema["pattern"].as_str().unwrap_or_default(), random)),
    }
}

/// A text with a unit that matches the pattern.
fn text(pattern: &str, random: &mut Random) -> String {
    let (usual, not): (&[&str], &[&str]) = match pattern {
        bytes if bytes.contains("KiB") => (&["1KiB", "64KiB", "1MiB"], &["64B", "0B"]),
        rate if rate.contains("/\\s*(s") => (&["1/s", "5/s", "20/s"], &["0/s"]),
        _ => (&["500ms", "1s", "2s", "5s"], &["0s", "1ms", "10ms", "1h"]),
    };
    usual_or_not(random, usual, not).to_owned()
}

/// A table with all required keys, and each other key with probability `share`.
fn table(schema: &Schema, random: &mut Random, share: f64) -> Table {
    let needed: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str).collect();
    // Tables with free keys, such as `work_of`, stay empty.
    let Some(keys) = schema["properties"].as_object() else { return Table::new() };
    let mut table = Table::new();
    for (key, schema) in keys {
        let is_inside = !OUTSIDE.contains(&key.as_str());
        if needed.contains(&key.as_str()) || is_inside && happens(random, share) {
            table.insert(key.clone(), value(schema, random));
        }
    }
    table
}

/// A fault of one kind at `at_ms`.
fn fault(schema: &Schema, at_ms: u64, random: &mut Random) -> Table {
    let keys = schema["items"]["properties"].as_object().expect("a fault has keys");
    let is_kind = |key: &&String| {
        !["at", "every", "for", "jitter"].contains(&key.as_str())
            && !OUTSIDE.contains(&key.as_str())
    };
    let kinds: Vec<&String> = keys.keys().filter(is_kind).collect();
    let kind = kinds[random.below(kinds.len() as u64) as usize];
    let ms = |ms: u64| Value::String(format!("{ms}ms"));
    let mut fault = Table::new();
    fault.insert("at".to_owned(), ms(at_ms));
    let mut what = table(&keys[kind], random, 0.1);
    // Most kinds require one of several keys.
    if let Some(more) = keys[kind]["properties"].as_object() {
        let (key, schema) =
            more.iter().nth(random.below(more.len() as u64) as usize).expect("a key");
        what.insert(key.clone(), value(schema, random));
    }
    fault.insert(kind.clone(), Value::Table(what));
    let is_over_at_once = OVER_AT_ONCE.contains(&kind.as_str());
    if happens(random, if is_over_at_once { 0.05 } else { 0.95 }) {
        fault.insert("for".to_owned(), ms(1 + random.below(2_000)));
    }
    if happens(random, 0.1) {
        fault.insert("every".to_owned(), ms(2_100 + random.below(1_000)));
    }
    fault
}

fn scenario(schema: &Schema, random: &mut Random) -> Table {
    let mut scenario = Table::new();
    for (name, schema) in schema["properties"].as_object().expect("sections") {
        let share = one_of(random, &[0.0, 0.0, 0.05, 0.1]);
        if !LEFT_OUT.contains(&name.as_str()) {
            scenario.insert(name.clone(), Value::Table(table(schema, random, share)));
        }
    }
    let duration_ms = 500 + random.below(3_000);
    let mut keep_small = |section: &str, key: &str, value: Value| {
        let table = scenario.get_mut(section).and_then(Value::as_table_mut).expect("a section");
        table.insert(key.to_owned(), value);
    };
    keep_small("topic", "partitions", Value::Integer(1 + random.below(6) as i64));
    keep_small("load", "producers", Value::Integer(1 + random.below(20) as i64));
    keep_small("load", "rate", Value::String(one_of(random, &["1/s", "5/s", "20/s"]).to_owned()));
    keep_small("run", "warmup", Value::String("0s".to_owned()));
    keep_small("run", "duration", Value::String(format!("{duration_ms}ms")));
    let consumers = scenario.get_mut("consumers").and_then(Value::as_table_mut).expect("a section");
    if happens(random, 0.3) {
        consumers.insert("mode".to_owned(), Value::String("group".to_owned()));
        consumers.insert("count".to_owned(), Value::Integer(1 + random.below(2) as i64));
    } else if happens(random, 0.95) {
        consumers.retain(|key, _| key != "mode" && !OF_GROUPS.contains(&key));
    }
    let mut times_ms: Vec<u64> = (0..random.below(4)).map(|_| random.below(duration_ms)).collect();
    times_ms.sort_unstable();
    let faults: Vec<Value> = times_ms
        .into_iter()
        .map(|at_ms| Value::Table(fault(&schema["properties"]["fault"], at_ms, random)))
        .collect();
    if !faults.is_empty() {
        scenario.insert("fault".to_owned(), Value::Array(faults));
    }
    scenario
}

fn checked(text: &str) -> Result<Plan, usize> {
    let source = Source { name: "random.toml".to_owned(), text: text.to_owned() };
    let overrides = Overrides { broker: Some(BrokerKind::SIM), ..Overrides::default() };
    let (plan, diagnostics) = compile(&source, &[], &overrides);
    plan.ok_or(diagnostics.iter().filter(|found| found.is_error()).count())
}

#[test]
fn whatever_check_takes_runs_to_its_end() {
    let schema = json_schema();
    let (mut ran, mut refused) = (0, 0);
    for seed in 1..=CASES {
        let mut random = Seed(seed).child("scenario", 0).random();
        let text = scenario(&schema, &mut random).to_string();
        match checked(&text) {
            Err(errors) => {
                assert!(errors > 0, "refused without a reason, seed {seed}:\n{text}");
                refused += 1;
            }
            Ok(plan) => {
                ran += 1;
                let outcome = run(plan, Options::default(), Box::new(()));
                let defect = matches!(outcome, Err(Error::Bug(_)));
                assert!(!defect, "seed {seed}: {}\n{text}", outcome.expect_err("a defect"));
            }
        }
    }
    assert!(ran >= CASES / 5 && refused >= CASES / 20, "{ran} ran, {refused} were refused");
}
