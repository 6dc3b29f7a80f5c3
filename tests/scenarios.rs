//! Every scenario that is shipped is read, planned and matches the schema.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lanekeeper::base::BrokerKind;
use lanekeeper::fault::KINDS;
use lanekeeper::plan::{self, Overrides};
use lanekeeper::scenario::tree::{Kind, Table, parse_document};
use lanekeeper::scenario::{self, Sources};
use serde_json::{Map, Value, json};

fn shipped() -> Vec<PathBuf> {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let read = |directory: PathBuf| std::fs::read_dir(directory).expect("a directory of scenarios");
    let mut files: Vec<PathBuf> = read(scenarios.clone())
        .chain(read(scenarios.join("faults")))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    files
}

fn table_json(table: &Table) -> Value {
    let entries = table.iter().map(|entry| (entry.key.clone(), kind_json(&entry.node.kind)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn kind_json(kind: &Kind) -> Value {
    match kind {
        Kind::Text(text) => json!(text),
        Kind::Integer(number) => json!(i64::try_from(*number).expect("a small number")),
        Kind::Float(number) => json!(number),
        Kind::Flag(flag) => json!(flag),
        Kind::Date => Value::Null,
        Kind::Array(items) => items.iter().map(|item| kind_json(&item.kind)).collect(),
        Kind::Table(table) => table_json(table),
    }
}

#[test]
fn every_scenario_is_planned_and_matches_the_schema() {
    let validator = jsonschema::validator_for(&scenario::json_schema()).expect("a schema");
    let files = shipped();
    assert!(files.len() >= 6, "{files:?}");
    for path in files {
        let source = scenario::load(&path).expect("a readable file");
        assert!(source.text.starts_with("# "), "{path:?} does not say what it shows");
        let (_, diagnostics) = scenario::read(&source, &[]);
        assert_eq!(diagnostics, [], "{path:?}");
        let mut overrides = Overrides::default();
        if source.text.starts_with(support::REAL_ONLY) {
            overrides.bootstrap = Some("localhost:9092".to_owned());
        }
        if source.text.starts_with(support::SIM_ONLY) {
            overrides.broker = Some(BrokerKind::Sim);
        }
        let (plan, diagnostics) = plan::compile(&source, &[], &overrides);
        let sources = Sources { file: &source, overrides: &[] };
        for diagnostic in diagnostics {
            assert!(!diagnostic.is_error(), "{}", diagnostic.render(&sources, false));
        }
        let plan = plan.expect("a plan");
        assert!(plan.memory_estimate_bytes() < 2 << 30, "{path:?}");
        let (tree, _) = parse_document(&source.text);
        let errors: Vec<String> =
            validator.iter_errors(&table_json(&tree)).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{path:?}: {errors:?}");
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&scenario::json_schema()).expect("a schema");
    for text in [
        "[topic]\npartitons = 3",
        "[topic]\npartitions = \"3\"",
        "[run]\nwarmup = 5",
        "[run]\nwarmup = \"5 parsecs\"",
        "[load]\nacks = \"some\"",
        "[load]\nrate = \"fast\"",
        "[[fault]]\nkill = { consumer = 1 }",
        "[consumers]\nwork = { gpu = \"5ms\" }",
        "[sheep]\ncount = 3",
        "",
    ] {
        let (tree, _) = parse_document(text);
        assert!(!validator.is_valid(&table_json(&tree)), "{text}");
        let source = scenario::Source { name: "x.toml".to_owned(), text: text.to_owned() };
        assert!(!scenario::read(&source, &[]).1.is_empty(), "{text}");
    }
}

/// The kinds in the first column of the catalogue.
fn kinds_in_the_book() -> BTreeSet<String> {
    let book = support::text_of("book/src/faults.md");
    let (_, rest) = book.split_once("## The catalogue").expect("a catalogue");
    let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|'));
    let name = |row: &str| Some(row.strip_prefix("| `")?.split(['`', ' ']).next()?.to_owned());
    rows.filter_map(name).collect()
}

/// The kinds that scenarios of the catalogue use.
fn kinds_in_scenarios() -> BTreeSet<String> {
    let files = shipped().into_iter();
    let in_catalogue = files.filter(|path| path.parent().is_some_and(|it| it.ends_with("faults")));
    let kinds = in_catalogue.flat_map(|path| {
        let source = scenario::load(&path).expect("a readable file");
        let (scenario, _) = scenario::read(&source, &[]);
        scenario.fault.into_iter().flat_map(|fault| fault.value.kinds)
    });
    kinds.map(|kind| kind.info.name().to_owned()).collect()
}

#[test]
fn every_kind_of_fault_is_in_the_schema_the_book_and_a_scenario() {
    let registered: BTreeSet<String> = KINDS.iter().map(|kind| kind.name().to_owned()).collect();
    assert_eq!(registered.len(), KINDS.len(), "two kinds have one name");
    let schema = scenario::json_schema();
    let keys = schema["properties"]["fault"]["items"]["properties"].as_object().expect("keys");
    let mut in_schema: BTreeSet<String> = keys.keys().cloned().collect();
    for key in ["at", "for", "every", "jitter"] {
        assert!(in_schema.remove(key), "{key}");
    }
    assert_eq!(in_schema, registered);
    assert_eq!(kinds_in_the_book(), registered);
    assert_eq!(kinds_in_scenarios(), registered);
}

#[test]
fn every_example_in_the_reference_is_read() {
    for section in scenario::SECTIONS {
        for field in (section.fields)() {
            let needed = if section.repeated && field.key != "at" { "at = \"1s\"\n" } else { "" };
            let header = if section.repeated { "[[fault]]" } else { &format!("[{}]", section.key) };
            let text = format!("{header}\n{needed}{}\n", field.line());
            let source = scenario::Source { name: "x.toml".to_owned(), text: text.clone() };
            assert_eq!(scenario::read(&source, &[]).1, [], "{text}");
        }
    }
    let reference = scenario::reference_markdown();
    assert!(reference.contains("| `partitions` | a whole number | `18` | `36` |"), "{reference}");
    assert!(reference.contains("| `kill.consumer` |"), "{reference}");
}

#[test]
fn documented_defaults_are_the_ones_that_hold() {
    let written = |is_default: bool| {
        let mut text = String::from("[topic]\n");
        for section in scenario::SECTIONS.iter().filter(|section| !section.repeated) {
            text += &format!("[{}]\n", section.key);
            for field in (section.fields)() {
                let scenario::Fallback::Is(value) = field.fallback else {
                    continue;
                };
                // These mean nothing in assigned mode with a fixed partition, even when default.
                let elsewhere = [
                    "keys",
                    "skew",
                    "assignor",
                    "commit_interval",
                    "session_timeout",
                    "checkpoint_interval",
                    "membership",
                    "protocol",
                    "max_poll_interval",
                ];
                if is_default && !elsewhere.contains(&field.key) {
                    text += &format!("{} = {value}\n", field.key);
                }
            }
        }
        text.replacen("[topic]\n", "", 1)
    };
    let plan = |text: String| {
        let source = scenario::Source { name: "x.toml".to_owned(), text };
        let (plan, diagnostics) = plan::compile(&source, &[], &Overrides::default());
        let mut plan = plan.unwrap_or_else(|| panic!("{diagnostics:?}"));
        plan.source.clear();
        plan
    };
    assert_eq!(plan(written(true)), plan(written(false)));
}

#[test]
fn a_plan_describes_itself() {
    let describe = |file: &str, set: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(file);
        let source = scenario::load(&path).expect("a readable file");
        let set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
        let (plan, diagnostics) = plan::compile(&source, &set, &Overrides::default());
        plan.unwrap_or_else(|| panic!("{diagnostics:?}")).describe()
    };
    let texts = [
        describe("guide-option-2.toml", &["client.consumer.fetch.wait.max.ms=5"]),
        describe("kill-one-consumer.toml", &["consumers.mode=group", "consumers.count=8"]),
        describe("max-rate.toml", &["consumers.work={ cpu = { mean = \"50us\" } }"]),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/describe.txt");
    let printed = texts.join("\n");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &printed).expect("a writable file");
    }
    assert_eq!(printed, std::fs::read_to_string(&path).expect("a readable file"));
}
