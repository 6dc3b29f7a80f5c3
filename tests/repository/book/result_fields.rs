//! The fields of `result.json` for the book: a table for each object, made from the serialized structs, their comments,
//! and the table of metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use lanekeeper::summary::{Get, METRICS, Metric};

use crate::support::text_of;

const SOURCES: [&str; 8] = [
    "src/summary/mod.rs",
    "src/summary/parts.rs",
    "src/summary/requests.rs",
    "src/summary/sending.rs",
    "src/summary/backlog.rs",
    "src/summary/times.rs",
    "src/summary/shares.rs",
    "src/summary/host.rs",
];

/// The struct of the whole file.
const ROOT: &str = "Summary";

/// Struct, field and figure, where the figure has another name than the field.
const OTHER_NAMES: [(&str, &str, &str); 14] = [
    ("StageSummary", "processed_per_s", "rate"),
    ("StageSummary", "response_us", "latency"),
    ("Fairness", "p99_max_over_median", "fairness.p99_spread"),
    ("PartitionSummary", "processed_per_s", "rate"),
    ("FaultSummary", "recovered_ms", "recovery"),
    ("Others", "stall_after_ms", "others_stall"),
    ("Others", "slow_after", "others_slow"),
    ("Summary", "figures", "committed_ahead"),
    ("ClientRequests", "all_per_s", "requests_per_s"),
    ("ClientRequests", "produce_us", "request.produce"),
    ("ClientRequests", "fetch_us", "request.fetch"),
    ("BacklogSummary", "read_s", "backlog.read"),
    ("BacklogSummary", "read_per_s", "backlog.rate"),
    ("BacklogSummary", "caught_up_s", "backlog.caught_up"),
];

/// Figures that are made from several fields, or that are another name of a figure.
const MADE: [&str; 9] = [
    "measured",
    "unaccounted",
    "achieved_share",
    "latency",
    "lasted",
    "records_per_produce",
    "bytes_per_produce",
    "records_per_fetch",
    "bytes_per_fetch",
];

/// A struct, or an enum whose variants have no fields.
#[derive(Default)]
struct Item {
    meaning: String,
    fields: Vec<Field>,
    words: Vec<String>,
}

struct Field {
    name: String,
    kind: String,
    meaning: String,
}

/// The structs and enums of the sources, by name.
fn items() -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    for source in SOURCES {
        let mut open: Option<(String, Item)> = None;
        let mut comment = String::new();
        for line in text_of(source).lines() {
            let text = line.trim();
            if let Some(more) = text.strip_prefix("///") {
                comment.push_str(more);
            } else if text.starts_with('#') {
                assert!(!text.contains("rename =") && !text.contains("skip"), "{text}");
            } else {
                let meaning = plain(&std::mem::take(&mut comment));
                let begun = ["pub struct ", "pub enum "]
                    .iter()
                    .find_map(|keyword| line.strip_prefix(keyword)?.strip_suffix(" {"));
                if let Some(name) = begun {
                    open = Some((name.to_owned(), Item { meaning, ..Item::default() }));
                } else if line == "}" {
                    items.extend(open.take());
                } else if let Some((_, item)) = &mut open {
                    read_line(text, meaning, item);
                }
            }
        }
    }
    items
}

/// A line within a struct or an enum.
fn read_line(text: &str, meaning: String, item: &mut Item) {
    let text = text.trim_end_matches(',');
    if let Some((name, kind)) = text.strip_prefix("pub ").and_then(|field| field.split_once(": ")) {
        item.fields.push(Field { name: name.to_owned(), kind: kind.to_owned(), meaning });
    } else if !text.is_empty() && text.chars().all(char::is_alphanumeric) {
        let mut word = String::new();
        for c in text.chars() {
            if c.is_uppercase() && !word.is_empty() {
                word.push('_');
            }
            word.extend(c.to_lowercase());
        }
        item.words.push(word);
    }
}

/// A comment as text of the book.
fn plain(comment: &str) -> String {
    let text = comment.trim().replace("[`", "`").replace("`]", "`").replace('|', "\\|");
    text.replace("`Summary::", "`")
}

/// The text between `<` and `>` after `outer`; `None` for another type.
fn inner<'a>(kind: &'a str, outer: &str) -> Option<&'a str> {
    kind.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>')
}

/// The name of the type within options, lists and maps.
fn innermost(kind: &str) -> &str {
    if let Some(kind) = inner(kind, "Option").or(inner(kind, "Vec")) {
        return innermost(kind);
    }
    inner(kind, "BTreeMap").and_then(|pair| pair.split_once(", ")).map_or(kind, |(_, value)| value)
}

/// The JSON type of a Rust type.
fn json_type(kind: &str, items: &BTreeMap<String, Item>) -> String {
    if let Some(kind) = inner(kind, "Option") {
        return format!("{} or `null`", json_type(kind, items));
    }
    if let Some(kind) = inner(kind, "Vec") {
        return format!("list: {}", json_type(kind, items));
    }
    if inner(kind, "BTreeMap").is_some() {
        return format!("map: {}", json_type(innermost(kind), items));
    }
    match kind {
        "String" => "text".to_owned(),
        "bool" => "`true` or `false`".to_owned(),
        "f64" => "number".to_owned(),
        "i32" | "i64" | "u32" | "u64" | "usize" => "integer".to_owned(),
        name => {
            let item = items.get(name).unwrap_or_else(|| panic!("the type `{name}` is not known"));
            let words = item.words.iter().map(|word| format!("`{word}`"));
            if item.words.is_empty() {
                "object".to_owned()
            } else {
                words.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// The figure of `[expect]` for a field; `None` if it has none.
fn figure(object: &str, field: &Field) -> Option<&'static Metric> {
    let (field, has_quantiles) = (field.name.as_str(), innermost(&field.kind) == "Digest");
    let is_about = |metric: &&Metric| match metric.get {
        Get::Run(_) => {
            let of_runs = ["Summary", "Ledger", "Simulation", "Fairness", "ClientRequests"];
            of_runs.contains(&object) || object == "BacklogSummary"
        }
        Get::RunQuantiles(..) => {
            has_quantiles && ["Summary", "RunLatency", "ClientRequests"].contains(&object)
        }
        Get::Partition(_) => object == "PartitionSummary",
        Get::PartitionQuantiles(..) => object == "PartitionLatency",
        Get::Stage(_) => object == "StageSummary",
        Get::StageQuantiles(..) => has_quantiles && object == "StageSummary",
        Get::Fault(_) => ["FaultSummary", "Others"].contains(&object),
    };
    let bare = field.trim_end_matches("_ms").trim_end_matches("_us");
    let other = OTHER_NAMES.iter().find(|(of, name, _)| (*of, *name) == (object, field));
    let is_named = |metric: &&Metric| match other {
        Some((_, _, name)) => metric.name == *name,
        None => {
            let within = metric.name.rsplit_once('.').filter(|_| object != ROOT);
            let name = within.map_or(metric.name, |(_, name)| name);
            name == bare || name == field
        }
    };
    METRICS.iter().find(|metric| is_about(metric) && is_named(metric))
}

/// The serialized structs in the order of their first occurrences, with all places of each.
type Places = Vec<(String, Vec<String>)>;

/// Adds the struct `name` at `path`, and those within it.
fn visit(name: &str, path: &str, items: &BTreeMap<String, Item>, found: &mut Places) {
    if let Some((_, paths)) = found.iter_mut().find(|(known, _)| known == name) {
        paths.push(path.to_owned());
        return;
    }
    found.push((name.to_owned(), vec![path.to_owned()]));
    for field in &items[name].fields {
        let kind = innermost(&field.kind);
        if items.get(kind).is_none_or(|item| item.fields.is_empty()) {
            continue;
        }
        let mark = match &field.kind {
            kind if kind.contains("Vec<") => "[]",
            kind if kind.contains("BTreeMap<") => ".*",
            _ => "",
        };
        let dot = if path.is_empty() { "" } else { "." };
        visit(kind, &format!("{path}{dot}{}{mark}", field.name), items, found);
    }
}

/// All fields of `result.json`, as Markdown.
pub(crate) fn result_fields_markdown() -> String {
    let items = items();
    let mut out = String::new();
    let mut named: BTreeSet<&str> = MADE.into();
    let mut places = Places::new();
    visit(ROOT, "", &items, &mut places);
    for (name, paths) in places {
        let item = &items[&name];
        if name != ROOT {
            let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
            let _ = write!(out, "\n{}: {}\n\n", paths.join(", "), item.meaning);
        }
        out.push_str("| field | type | figure | content |\n|---|---|---|---|\n");
        for field in &item.fields {
            assert!(!field.meaning.is_empty(), "{name}.{} has no comment", field.name);
            let metric = figure(&name, field);
            named.extend(metric.map(|metric| metric.name));
            let figure = metric.map(|metric| format!("`{}` ", metric.name)).unwrap_or_default();
            let kind = json_type(&field.kind, &items);
            let _ = writeln!(out, "| `{}` | {kind} | {figure}| {} |", field.name, field.meaning);
        }
    }
    let missing: Vec<&str> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "figures without a field: {missing:?}");
    out
}
