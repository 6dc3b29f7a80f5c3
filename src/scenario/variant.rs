//! The section `[[variant]]`: a name, and the sections with the keys that differ in this variant.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::overrides::value as toml_value;
use super::{At, Diagnostic, codes};
use crate::reader::suggest;
use crate::reader::tree::{Entry, Kind, Node};
use crate::reader::value::{Value, ValueContext, wrong_type};

/// A variant of a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariantSection {
    /// The name of the variant.
    pub name: Option<At<String>>,
    /// The values that differ, each as `path=value` in the syntax of `--set`.
    pub overrides: Vec<String>,
}

impl Value for VariantSection {
    fn wanted() -> String {
        "a table with a `name` and sections of a scenario".to_owned()
    }

    fn schema() -> Json {
        let sections = super::SECTIONS.iter().filter(|section| section.key != "variant");
        let keys: BTreeMap<&str, Json> = sections
            .map(|section| {
                (section.key, json!({"type": if section.repeated { "array" } else { "object" }}))
            })
            .chain([("name", json!({"type": "string"}))])
            .collect();
        json!({
            "type": "object",
            "properties": keys,
            "required": ["name"],
            "additionalProperties": false,
        })
    }

    fn read(
        node: &Node,
        place: ValueContext<'_>,
        out: &mut Vec<Diagnostic>,
    ) -> Option<VariantSection> {
        let Kind::Table(table) = &node.kind else {
            out.push(wrong_type::<VariantSection>(node, place));
            return None;
        };
        let mut variant = VariantSection::default();
        for entry in table {
            if entry.key == "name" {
                let place = ValueContext {
                    path: "variant.name",
                    example: "name = \"static members\"",
                    ..place
                };
                variant.name = At::read(entry, place, out);
            } else if is_section(&entry.key) {
                variant.overrides.extend(overrides(entry));
            } else {
                out.push(unknown(entry));
            }
        }
        if !table.iter().any(|entry| entry.key == "name") {
            let message = "this variant has no `name`";
            let remedy = "give it one, for example `name = \"static members\"`";
            out.push(Diagnostic::error(codes::MISSING_KEY, node.origin, message).remedy(remedy));
        }
        Some(variant)
    }
}

fn is_section(key: &str) -> bool {
    key != "variant" && super::SECTIONS.iter().any(|section| section.key == key)
}

fn unknown(entry: &Entry) -> Diagnostic {
    let known: Vec<&str> = super::SECTIONS.iter().map(|section| section.key).collect();
    let message = format!("a variant has no section `{}`", entry.key);
    Diagnostic::error(codes::UNKNOWN_KEY, entry.key_origin, message)
        .remedy(suggest::key(&entry.key, &known))
}

/// An override for each key of a section. A section that is a list is one override.
fn overrides(section: &Entry) -> Vec<String> {
    let name = &section.key;
    let Kind::Table(table) = &section.node.kind else {
        return toml_value(&section.node)
            .map(|value| format!("{name}={value}"))
            .into_iter()
            .collect();
    };
    let of_entry = |entry: &Entry| {
        let value = toml_value(&entry.node)?;
        // The names of figures and properties contain dots.
        let key = match name.as_str() {
            "client" | "expect" => format!("\"{}\"", entry.key),
            _ => entry.key.clone(),
        };
        Some(format!("{name}.{key}={value}"))
    };
    table.iter().filter_map(of_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Source, read};

    #[test]
    fn a_variant_is_a_name_and_overrides() {
        let text = "[[variant]]\nname = \"static\"\nconsumers = { mode = \"group\", count = 18 }\n\
                    [variant.expect]\n\"latency.p99\" = \"< 1s\"\n\
                    [[variant.fault]]\nat = \"1s\"\nkill = { consumer = 1 }\n";
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
        let (scenario, diagnostics) = read(&source, &[]);
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        let variant = &scenario.variant[0].value;
        assert_eq!(variant.name.as_ref().map(|name| name.value.as_str()), Some("static"));
        assert_eq!(
            variant.overrides,
            [
                "consumers.mode=\"group\"",
                "consumers.count=18",
                "expect.\"latency.p99\"=\"< 1s\"",
                "fault=[{ at = \"1s\", kill = { consumer = 1 } }]"
            ]
        );
    }

    #[test]
    fn mistakes_in_a_variant_have_a_remedy() {
        let text = "[[variant]]\nconsumer.mode = \"group\"\n";
        let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
        let (_, diagnostics) = read(&source, &[]);
        assert_eq!(diagnostics.len(), 2, "{diagnostics:?}");
        assert!(diagnostics.iter().all(|it| it.is_error() && !it.remedy.is_empty()));
    }
}
