//! The JSON Schema for editors and the reference for the book, from the same tables as the reader.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::{Fallback, Field, SECTIONS};

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

/// The reference of the scenario file: a table per section, in Markdown.
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

/// A row per key; the keys of a key's own table follow with their path.
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
