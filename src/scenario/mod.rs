//! The scenario file as it is written, not yet interpreted, with the place of every error.
//!
//! [`sections`] defines each key once: the field of the struct, the reader, the list of known keys, the JSON Schema for
//! editors and the reference in the book are generated from it.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use crate::fault::Fault;
use crate::reader::suggest;
use crate::reader::tree::{Entry, Kind, Table};

pub use crate::reader::{
    At, Bytes, Diagnostic, Fallback, Field, MISTAKES_MAX, Origin, Rate, Section, Severity, Source,
    Sources, Value, ValueContext, closest, codes, tree,
};
pub use open::{Bound, ClientSection, Expect, Expected, Property, is_secret};
pub use overrides::{load, merged};
pub use render::render_all;
pub use sections::{
    Consumers, Embedded, Kafka, Limits, Load, RandomSpan, Restart, Run, Sim, Span, Topic, Watchdog,
    Work, WorkOf,
};
pub use stage::{Ramp, Stage, StageRate, UntilWord};
pub use variant::VariantSection;

pub mod known;
mod open;
mod overrides;
pub mod payload;
mod render;

pub mod sections;
mod stage;
pub mod target;
mod variant;

/// The definition of a section.
#[derive(Clone, Copy, Debug)]
pub struct SectionInfo {
    /// The name of the section.
    pub key: &'static str,
    /// The description of the section.
    pub doc: &'static str,
    /// True if it is written `[[name]]` and may occur several times.
    pub repeated: bool,
    /// The keys; empty if the section defines no keys of its own, such as `[client]`.
    pub fields: fn() -> &'static [Field],
    /// The JSON Schema of the section.
    pub schema: fn() -> serde_json::Value,
}

macro_rules! scenario {
    ($(#[doc = $doc:literal] $key:ident: $type:ty, $repeated:literal;)+) => {
        /// A scenario: the content of the file and the overrides.
        #[derive(Clone, Debug, Default)]
        pub struct Scenario {
            $(#[doc = $doc] pub $key: $type,)+
        }

        /// All sections.
        pub const SECTIONS: &[SectionInfo] = &[
            $(SectionInfo {
                key: stringify!($key),
                doc: $doc,
                repeated: $repeated,
                fields: <$type as Value>::fields,
                schema: <$type as Value>::schema,
            },)+
        ];

        impl Scenario {
            fn set(&mut self, entry: &Entry, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> bool {
                match entry.key.as_str() {
                    $(stringify!($key) => {
                        self.$key = <$type as Value>::read(&entry.node, place, out)
                            .unwrap_or_default();
                    })+
                    _ => return false,
                }
                true
            }
        }
    };
}

scenario! {
    /// The topic under test. Retention and replication apply when the run creates it.
    topic: Topic, false;
    /// The load: producers, rate, payloads and delivery guarantees.
    load: Load, false;
    /// The consumers, the work for each record, and where processed offsets are kept.
    consumers: Consumers, false;
    /// How failed consumers and pools are restarted. The first restart is immediate.
    restart: Restart, false;
    /// When a silent consumer counts as hung, and how long each remedy has to take effect.
    watchdog: Watchdog, false;
    /// Duration of each part of the run, and the seed of all randomness.
    run: Run, false;
    /// Limits for the load generator itself: a run beyond them is `INVALID`.
    limits: Limits, false;
    /// The mock cluster in this process, with `--broker embedded`.
    embedded: Embedded, false;
    /// The simulated cluster, network and machine, with `--broker sim`.
    sim: Sim, false;
    /// The cluster to use with `--broker kafka`.
    kafka: Kafka, false;
    /// librdkafka properties for every client; those of `[client.producer]` and `[client.consumer]` for these only.
    client: ClientSection, false;
    /// A fault: something that is broken on purpose at a given time. Faults are written in the order of their times.
    fault: Vec<At<Fault>>, true;
    /// Expectations at the end of the run: a figure, and a number or a comparison.
    expect: Expect, false;
    /// A variant for `lanekeeper compare`: a `name`, and sections with the keys that differ. `run` and `check` ignore it.
    variant: Vec<At<VariantSection>>, true;
}

/// Reads a scenario. The readable part is returned together with all diagnostics.
pub fn read(source: &Source, overrides: &[String]) -> (Scenario, Vec<Diagnostic>) {
    let mut scenario = Scenario::default();
    if let Some(diagnostic) = overrides::guard(&source.text) {
        return (scenario, vec![diagnostic]);
    }
    let (mut root, mut syntax) = tree::parse_document(&source.text);
    syntax.truncate(MISTAKES_MAX);
    if root.is_empty() && syntax.is_empty() {
        return (scenario, vec![overrides::empty()]);
    }
    let mut found = Vec::new();
    for (index, text) in overrides.iter().enumerate() {
        found.extend(overrides::apply(&mut root, index, text).err().map(|refusal| *refusal));
    }
    read_root(&root, &mut scenario, &mut found);
    // The parser's result for a line with a syntax error may not be what the author meant, so that further errors there
    // are dropped.
    let lines = overrides::BrokenLines::of(&source.text, &syntax);
    let broken = |diagnostic: &Diagnostic| lines.has(diagnostic.origin);
    found.retain(|diagnostic| {
        syntax.is_empty() || (diagnostic.code != codes::MISSING_KEY && !broken(diagnostic))
    });
    let mut all = syntax;
    all.append(&mut found);
    all.sort_by_key(|diagnostic| diagnostic.origin);
    (scenario, all)
}

fn read_root(root: &Table, scenario: &mut Scenario, out: &mut Vec<Diagnostic>) {
    for entry in root {
        if out.len() >= MISTAKES_MAX {
            return;
        }
        let example = match SECTIONS.iter().find(|section| section.key == entry.key) {
            Some(section) if section.repeated => format!("[[{}]]", section.key),
            _ => format!("[{}]", entry.key),
        };
        let place = ValueContext { path: &entry.key, example: &example, home: section_with_key };
        if !scenario.set(entry, place, out) {
            out.push(unknown_section(entry));
        }
    }
}

fn unknown_section(entry: &Entry) -> Diagnostic {
    let known: Vec<&str> = SECTIONS.iter().map(|section| section.key).collect();
    let (message, remedy) = match (&entry.node.kind, section_with_key(&entry.key)) {
        (Kind::Table(_) | Kind::Array(_), _) | (_, None) => {
            (format!("there is no section `{}`", entry.key), suggest::key(&entry.key, &known))
        }
        (_, Some(home)) => (
            format!("`{}` is outside every section", entry.key),
            format!("it belongs in `[{home}]`"),
        ),
    };
    Diagnostic::error(codes::UNKNOWN_SECTION, entry.key_origin, message).remedy(remedy)
}

/// The section with this key; `None` if no section or several have it.
fn section_with_key(key: &str) -> Option<&'static str> {
    let mut homes =
        SECTIONS.iter().filter(|section| (section.fields)().iter().any(|field| field.key == key));
    let home = homes.next()?;
    homes.next().is_none().then_some(home.key)
}

/// The JSON Schema (draft 2020-12) of a scenario file.
pub fn json_schema() -> Json {
    let mut properties = Map::new();
    for section in SECTIONS {
        let mut schema = (section.schema)();
        schema["description"] = json!(section.doc.trim());
        properties.insert(section.key.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lanekeeper scenario",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "minProperties": 1,
    })
}

/// The reference of the scenario file in Markdown, with a table for each section.
pub fn reference_markdown() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let name = match section.repeated {
            true => format!("[[{}]]", section.key),
            false => format!("[{}]", section.key),
        };
        let _ = writeln!(out, "## `{name}`\n\n{}\n", section.doc.trim());
        let fields = (section.fields)();
        if !fields.is_empty() {
            out.push_str("| key | value | default | example | meaning |\n|---|---|---|---|---|\n");
            rows(&mut out, "", fields);
            out.push('\n');
        }
    }
    out
}

/// Writes a row for each key. The keys of a key's own table follow, each with its path.
fn rows(out: &mut String, prefix: &str, fields: &[Field]) {
    for field in fields {
        let fallback = match field.fallback {
            Fallback::Is(value) => format!("`{value}`"),
            Fallback::Depends(words) => words.to_owned(),
            Fallback::Required => "required".to_owned(),
        };
        let wanted = match (field.fields)() {
            [] => (field.wanted)(),
            _ if (field.wanted)().starts_with("a table of") => "a table".to_owned(),
            _ => (field.wanted)(),
        };
        let _ = writeln!(
            out,
            "| `{prefix}{}` | {wanted} | {fallback} | `{}` | {} |",
            field.key,
            field.shown(),
            field.meaning()
        );
        rows(out, &format!("{prefix}{}.", field.key), (field.fields)());
    }
}
