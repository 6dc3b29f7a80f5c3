//! Every shipped scenario can be read and planned, and matches the schema.

use crate::support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lanekeeper::base::{BROKER_KINDS, BrokerKind};
use lanekeeper::fault::KINDS;
use lanekeeper::plan::{self, Overrides};
use lanekeeper::scenario::tree::{Kind, Table, parse_document};
use lanekeeper::scenario::{self, Source, Sources};
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
            overrides.broker = Some(BrokerKind::SIM);
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
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
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
            let source = Source { name: "x.toml".to_owned(), text: text.clone() };
            assert_eq!(scenario::read(&source, &[]).1, [], "{text}");
        }
    }
    let reference = scenario::reference_markdown();
    assert!(reference.contains("| `partitions` | a whole number | `18` | `36` |"), "{reference}");
    assert!(reference.contains("| `kill.consumer` |"), "{reference}");
}

/// A scenario, and the keys without a meaning in it, whose defaults it cannot contain.
const FORMS: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "keys",
            "skew",
            "assignor",
            "commit_interval",
            "session_timeout",
            "checkpoint_interval",
            "membership",
            "protocol",
            "max_poll_interval",
        ],
    ),
    (
        "consumers.mode = \"group\"\nconsumers.count = 8\n",
        &["keys", "skew", "mode", "clients", "checkpoint", "checkpoint_interval"],
    ),
    (
        "load.partition = \"keyed\"\nconsumers.checkpoint = \"commit\"\n",
        &[
            "partition",
            "checkpoint",
            "assignor",
            "commit_interval",
            "session_timeout",
            "membership",
            "protocol",
            "max_poll_interval",
        ],
    ),
];

/// Every default that is a value, as TOML, except those of the keys `left_out`.
fn defaults(left_out: &[&str]) -> String {
    let mut text = String::new();
    for section in scenario::SECTIONS.iter().filter(|section| !section.repeated) {
        for field in (section.fields)().iter().filter(|field| !left_out.contains(&field.key)) {
            if let scenario::Fallback::Is(value) = field.fallback {
                text += &format!("{}.{} = {value}\n", section.key, field.key);
            }
        }
    }
    text
}

#[test]
fn documented_defaults_are_the_ones_that_hold() {
    let mut seen = BTreeSet::new();
    for kind in BROKER_KINDS {
        let bootstrap = kind.capability().is_elsewhere.then(|| "127.0.0.1:9092".to_owned());
        let overrides = Overrides { broker: Some(*kind), bootstrap, ..Overrides::default() };
        let plan = |text: String| {
            let source = Source { name: "x.toml".to_owned(), text };
            let (plan, diagnostics) = plan::compile(&source, &[], &overrides);
            let mut plan = plan.unwrap_or_else(|| panic!("{kind}: {diagnostics:?}"));
            plan.source.clear();
            plan
        };
        for (form, left_out) in FORMS {
            let written = defaults(left_out);
            seen.extend(written.lines().map(str::to_owned));
            let bare = if form.is_empty() { "run.seed = 1\n" } else { form };
            assert_eq!(plan(format!("{form}{written}")), plan(bare.to_owned()), "{kind}: {form}");
        }
    }
    // Each default is in one of the forms.
    let all: BTreeSet<String> = defaults(&[]).lines().map(str::to_owned).collect();
    assert_eq!(seen, all);
}

/// The planned faults of this kind with these keys, on each kind of broker, with and without `for` where that is
/// allowed.
fn planned_faults(kind: &str, keys: &toml::Table) -> Vec<String> {
    let mut planned = Vec::new();
    for broker in BROKER_KINDS.iter().filter(|broker| !broker.capability().is_elsewhere) {
        for lasts in ["", "for = \"5s\"\n"] {
            let text = format!("[[fault]]\nat = \"10s\"\n{lasts}[fault.{kind}]\n{keys}");
            let source = Source { name: "x.toml".to_owned(), text };
            let overrides = Overrides { broker: Some(*broker), ..Overrides::default() };
            let (plan, _) = plan::compile(&source, &[], &overrides);
            planned.extend(plan.map(|plan| format!("{:?}", plan.faults)));
        }
    }
    planned
}

#[test]
fn documented_defaults_of_faults_are_the_ones_that_hold() {
    let mut compared = BTreeSet::new();
    for kind in KINDS {
        let example: toml::Table = format!("keys = {}", kind.field.example).parse().expect("TOML");
        let example = example["keys"].as_table().expect("a table");
        for field in (kind.field.fields)() {
            let scenario::Fallback::Is(value) = field.fallback else { continue };
            let mut without = example.clone();
            without.remove(field.key);
            let default: toml::Table = format!("{} = {value}", field.key).parse().expect("TOML");
            let mut with = without.clone();
            with.extend(default);
            let planned = planned_faults(kind.name(), &without);
            assert_eq!(
                planned_faults(kind.name(), &with),
                planned,
                "{}.{}",
                kind.name(),
                field.key
            );
            if !planned.is_empty() {
                compared.insert(format!("{}.{}", kind.name(), field.key));
            }
        }
    }
    for key in ["exec.limit", "request_error.count", "answer_lost.count", "fetch_call.share"] {
        assert!(compared.contains(key), "{key} is not among {compared:?}");
    }
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

/// A former name of a figure is read as the present one. The schema marks it as deprecated for editors.
#[test]
fn former_names_of_figures_are_read_as_the_present_ones() {
    let text = "[topic]\npartitions = 2\n[load]\nproducers = 2\nrate = \"1/s\"\n[[fault]]\nat = \"1s\"\n\
                kill = { consumer = 1 }\n[expect]\nforeign = 0\nquarantined = 0\nunexplained = 0\n\
                \"fault[0].released\" = \"< 1s\"\n";
    let source = Source { name: "old.toml".to_owned(), text: text.to_owned() };
    let (plan, found) = plan::compile(&source, &[], &Overrides::default());
    let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
    let own: Vec<&str> = plan
        .expectations
        .iter()
        .filter(|expectation| !expectation.is_default)
        .map(|expectation| expectation.expression.as_str())
        .collect();
    let present = [
        "other_producers = 0",
        "given_up = 0",
        "unexpected_redelivered = 0",
        "fault[0].fenced < 1s",
    ];
    assert_eq!(own, present);
    assert_eq!(found.iter().filter(|found| found.code == "renamed-key").count(), 4);

    let schema = scenario::json_schema();
    let expect = &schema["properties"]["expect"];
    let fault = "^fault\\[([0-9]+)\\]\\.";
    for (names, old, new) in [
        (&expect["properties"], "foreign".to_owned(), "other_producers".to_owned()),
        (&expect["properties"], "quarantined".to_owned(), "given_up".to_owned()),
        (&expect["properties"], "unexplained".to_owned(), "unexpected_redelivered".to_owned()),
        (&expect["patternProperties"], format!("{fault}released$"), format!("{fault}fenced$")),
    ] {
        assert_eq!(names[&old]["deprecated"], true, "{old}");
        assert!(names[&new].is_object() && names[&new]["deprecated"].is_null(), "{new}");
    }
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let is_valid = |text: &str| {
        let table: toml::Table = text.parse().expect("TOML");
        validator.is_valid(&serde_json::to_value(table).expect("JSON"))
    };
    assert!(is_valid(text));
    assert!(is_valid("[expect]\nkeeps_up = true\n\"latency.p99\" = \"< 1s\"\n"));
    assert!(!is_valid("[expect]\n\"latency.p99\" = 5\n"));
}
