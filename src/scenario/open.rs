//! The sections whose keys are names of librdkafka's properties or of figures.
//!
//! These names contain dots. `"latency.p99" = ..` and `latency.p99 = ..` mean the same.
//!
//! Also the values of librdkafka properties in a scenario, and the refusal of properties that do not belong there.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::known::{self, Treatment, canonical};
use super::{At, Diagnostic, MISTAKES_MAX, Origin, codes};
use crate::reader::suggest::closest;
use crate::reader::tree::{Entry, Kind, Node, Table};
use crate::reader::value::{Value, ValueContext, wrong_type};
use crate::summary::{Figure, Unit};

/// librdkafka properties, as text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientSection {
    /// For every client.
    pub common: BTreeMap<String, At<Property>>,
    /// For producers only.
    pub producer: BTreeMap<String, At<Property>>,
    /// For consumers only.
    pub consumer: BTreeMap<String, At<Property>>,
}

/// The expectations at the end of a run, in the order in which they are written.
pub type Expect = Vec<Expected>;

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The figure, such as `latency.p99`.
    pub metric: String,
    /// The comparison that it must satisfy.
    pub bound: At<Bound>,
}

/// A comparison of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A number that the figure must equal.
    Number(f64),
    /// A comparison, such as `< 50ms`.
    Text(String),
    /// `true` or `false`, for a figure that has one of these values.
    Flag(bool),
}

impl Value for ClientSection {
    fn wanted() -> String {
        "a table of librdkafka properties".to_owned()
    }

    fn schema() -> Json {
        let property = json!({"type": ["string", "number", "boolean", "object"]});
        let only = json!({"type": "object", "additionalProperties": property});
        json!({
            "type": "object",
            "properties": {"producer": only, "consumer": only},
            "additionalProperties": property,
        })
    }

    fn read(
        node: &Node,
        place: ValueContext<'_>,
        out: &mut Vec<Diagnostic>,
    ) -> Option<ClientSection> {
        let Kind::Table(table) = &node.kind else {
            out.push(wrong_type::<ClientSection>(node, place));
            return None;
        };
        let is_scope = |entry: &&Entry| matches!(entry.key.as_str(), "producer" | "consumer");
        let (scopes, common): (Vec<&Entry>, Vec<&Entry>) = table.iter().partition(is_scope);
        let mut client =
            ClientSection { common: properties(&common, place, out), ..ClientSection::default() };
        for scope in scopes {
            let Kind::Table(table) = &scope.node.kind else {
                let path = format!("client.{}", scope.key);
                out.push(wrong_type::<ClientSection>(
                    &scope.node,
                    ValueContext { path: &path, ..place },
                ));
                continue;
            };
            let entries: Vec<&Entry> = table.iter().collect();
            let read = properties(&entries, place, out);
            if scope.key == "producer" {
                client.producer = read;
            } else {
                client.consumer = read;
            }
        }
        Some(client)
    }
}

fn properties(
    entries: &[&Entry],
    place: ValueContext<'_>,
    out: &mut Vec<Diagnostic>,
) -> BTreeMap<String, At<Property>> {
    let mut read: BTreeMap<String, At<Property>> = BTreeMap::new();
    for (name, entry) in flatten(entries) {
        if out.len() >= MISTAKES_MAX {
            break;
        }
        if let Some(refusal) = refuse(&name, entry) {
            out.push(refusal);
            continue;
        }
        let place = ValueContext {
            path: &format!("client.{name}"),
            example: "socket.nagle.disable = true",
            ..place
        };
        let Some(property) = At::<Property>::read(entry, place, out) else {
            continue;
        };
        let is_override = matches!(property.key, Origin::Override { .. });
        // Two names of one property count as one.
        if read.insert(canonical(&name).to_owned(), property).is_some() && !is_override {
            out.push(written_twice(&name, entry));
        }
    }
    read
}

/// The JSON types of the comparisons of a figure with this unit.
fn bounds(unit: Unit) -> Json {
    match unit {
        Unit::Time => json!("string"),
        Unit::Flag => json!(["boolean", "number", "string"]),
        Unit::Count | Unit::Number => json!(["number", "string"]),
    }
}

impl Value for Expect {
    fn wanted() -> String {
        "a table from figures to what they must be".to_owned()
    }

    fn schema() -> Json {
        let (mut properties, mut patterns) = (Map::new(), Map::new());
        let mut add = |name: String, schema: Json| match name.split_once("[]") {
            None => properties.insert(name, schema),
            Some((kind, rest)) => {
                let all = if kind == "partition" { "\\*|" } else { "" };
                let rest = rest.replace('.', "\\.");
                patterns.insert(format!("^{kind}\\[({all}[0-9]+)\\]{rest}$"), schema)
            }
        };
        for (name, metric) in Figure::names() {
            let schema = json!({"type": bounds(metric.unit), "description": metric.meaning});
            add(name, schema);
        }
        for (name, metric) in Figure::former_names() {
            let renamed = format!("Renamed: `{}`.", metric.name);
            let kind = bounds(metric.unit);
            add(name, json!({"type": kind, "description": renamed, "deprecated": true}));
        }
        json!({
            "type": "object",
            "properties": properties,
            "patternProperties": patterns,
            "additionalProperties": {"type": ["boolean", "number", "string", "object"]},
        })
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Expect> {
        let Kind::Table(table) = &node.kind else {
            out.push(wrong_type::<Expect>(node, place));
            return None;
        };
        let entries: Vec<&Entry> = table.iter().collect();
        let mut read: Expect = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (metric, entry) in flatten(&entries) {
            if out.len() >= MISTAKES_MAX {
                break;
            }
            let path = format!("expect.{metric}");
            let place =
                ValueContext { path: &path, example: "\"latency.p99\" = \"< 50ms\"", ..place };
            let Some(bound) = At::<Bound>::read(entry, place, out) else {
                continue;
            };
            let is_override = matches!(bound.key, Origin::Override { .. });
            match places.get(&metric) {
                Some(place) if is_override => read[*place].bound = bound,
                Some(_) => out.push(written_twice(&metric, entry)),
                None => {
                    places.insert(metric.clone(), read.len());
                    read.push(Expected { metric, bound });
                }
            }
        }
        Some(read)
    }
}

impl Value for Bound {
    fn wanted() -> String {
        "a number, a comparison, `true` or `false`".to_owned()
    }

    fn schema() -> Json {
        json!({"type": ["number", "string", "boolean"]})
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Bound> {
        match &node.kind {
            Kind::Text(text) => Some(Bound::Text(text.clone())),
            Kind::Flag(flag) => Some(Bound::Flag(*flag)),
            Kind::Integer(_) | Kind::Float(_) => f64::read(node, place, out).map(Bound::Number),
            _ => {
                out.push(wrong_type::<Bound>(node, place));
                None
            }
        }
    }
}

fn written_twice(name: &str, entry: &Entry) -> Diagnostic {
    let message = format!("`{name}` is written twice");
    Diagnostic::error(codes::CONFLICT, entry.key_origin, message).remedy("remove one of them")
}

/// All values below `entries` with their dotted names. The command line's options come last.
fn flatten<'a>(entries: &[&'a Entry]) -> Vec<(String, &'a Entry)> {
    let mut flat = Vec::new();
    for entry in entries {
        collect(entry, String::new(), &mut flat);
    }
    flat.sort_by_key(|(_, entry)| entry.key_origin);
    flat
}

fn collect<'a>(entry: &'a Entry, prefix: String, flat: &mut Vec<(String, &'a Entry)>) {
    let name = prefix + &entry.key;
    match &entry.node.kind {
        Kind::Table(table) if !table.is_empty() => collect_all(table, &name, flat),
        _ => flat.push((name, entry)),
    }
}

fn collect_all<'a>(table: &'a Table, name: &str, flat: &mut Vec<(String, &'a Entry)>) {
    for entry in table {
        collect(entry, format!("{name}."), flat);
    }
}

/// The value of a property, as text for librdkafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property(pub String);

impl Value for Property {
    fn wanted() -> String {
        "text, a number, `true` or `false`".to_owned()
    }

    fn schema() -> Json {
        json!({"type": ["string", "number", "boolean"]})
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Property> {
        match &node.kind {
            Kind::Text(text) => Some(Property(text.clone())),
            Kind::Integer(number) => Some(Property(number.to_string())),
            Kind::Float(number) => Some(Property(number.to_string())),
            Kind::Flag(flag) => Some(Property(flag.to_string())),
            Kind::Date | Kind::Array(_) | Kind::Table(_) => {
                out.push(wrong_type::<Property>(node, place));
                None
            }
        }
    }
}

/// The reason why the property `name` must not be in a scenario; `None` if it may be.
pub(super) fn refuse(name: &str, entry: &Entry) -> Option<Diagnostic> {
    let refusal = |code, message: String, remedy: String| {
        Some(Diagnostic::error(code, entry.key_origin, message).remedy(remedy))
    };
    if let Some(instead) = known::instead(name) {
        let message = format!("`{name}` is a property of the Java client");
        return refusal(codes::UNKNOWN_PROPERTY, message, instead.to_owned());
    }
    let treatment = known::treatment(name);
    if is_secret(name) && treatment.is_some() {
        let message = format!("`{name}` is a secret and does not belong in a scenario");
        return refusal(codes::SECRET_PROPERTY, message, elsewhere(name));
    }
    match treatment {
        None => {
            let message = format!("librdkafka has no property `{name}`");
            // The value of a misspelt secret is a secret as well.
            match closest(name, known::names()).filter(|meant| is_secret(meant) || is_secret(name))
            {
                Some(meant) => {
                    let remedy = format!("did you mean `{meant}`? Then {}", elsewhere(meant));
                    refusal(codes::SECRET_PROPERTY, message, remedy)
                }
                None => refusal(codes::UNKNOWN_PROPERTY, message, known::remedy(name)),
            }
        }
        Some(Treatment::Ours(instead)) => {
            let message = format!("`{name}` is set by lanekeeper itself");
            refusal(codes::CONTROLLED_PROPERTY, message, instead.to_owned())
        }
        Some(_) => None,
    }
}

/// The remedy for a secret: the places where it belongs.
fn elsewhere(name: &str) -> String {
    let variable = name.to_uppercase().replace(['.', '-'], "_");
    format!(
        "put it in the environment as {}{variable}, or in a file given by `--client-config`",
        known::VARIABLES
    )
}

/// True if a property, or a line of a scenario that need not be TOML, may hold a secret.
pub fn is_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // The properties that librdkafka marks as sensitive, and similar names.
    let words = [
        "password",
        "secret",
        "passphrase",
        "ssl.key.pem",
        "ssl.keystore.key",
        "private.key",
        "sasl.oauthbearer.config",
        "jaas",
    ];
    words.iter().any(|word| text.contains(word))
}

/// True if a line of a scenario or an option may hold a secret, also under a misspelt name or in an address.
pub(super) fn may_hold_secret(line: &str) -> bool {
    is_secret(line) || has_credentials(line) || keys(line).any(is_nearly_secret)
}

/// True if a text contains credentials such as `user:password@host`.
pub(super) fn has_credentials(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

/// The key before each `=` of a line.
fn keys(line: &str) -> impl Iterator<Item = &str> {
    let end = line.rfind('=').unwrap_or(0);
    line[..end].split('=').map(|before| {
        let before = before.trim();
        let key = before.rsplit([' ', '\t', '{', ',']).next().unwrap_or(before);
        key.trim_matches(['"', '\''])
    })
}

fn is_nearly_secret(key: &str) -> bool {
    let name = key.strip_prefix("client.").unwrap_or(key);
    let name = name.strip_prefix("producer.").or(name.strip_prefix("consumer.")).unwrap_or(name);
    closest(name, known::names()).is_some_and(is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_secret_is_known_by_its_name_even_with_a_slip() {
        for line in [
            "sasl.password = \"x\"",
            "sasl.pasword = \"x\"",
            "client = { acks = 1, 'sasl.pasword' = \"x\" }",
            "client.producer.sasl.passwrod=x",
            "bootstrap = \"me:x@host:1\"",
        ] {
            assert!(may_hold_secret(line), "{line}");
        }
        for line in ["acks = 1", "partitions = 18", "[client]", "", "rate = \"2/s\" # me@home"] {
            assert!(!may_hold_secret(line), "{line}");
        }
    }
}
