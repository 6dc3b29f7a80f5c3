//! The TOML as a tree in which every value has its place.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Diagnostic, Origin, codes};

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// The place of the value.
    pub origin: Origin,
}

/// A value of TOML.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `"text"`.
    Text(String),
    /// `18`. A number that does not fit is [`i128::MAX`], which is outside every range.
    Integer(i128),
    /// `0.5`.
    Float(f64),
    /// `true`.
    Flag(bool),
    /// `1979-05-27`. No key accepts a date.
    Date,
    /// `[1, 2]` or `[[section]]`.
    Array(Vec<Node>),
    /// `[section]` or `{ key = 1 }`.
    Table(Table),
}

/// Keys and values in the order in which they are written.
pub type Table = Vec<Entry>;

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The place of the key.
    pub key_origin: Origin,
    /// The value.
    pub node: Node,
}

impl Kind {
    /// The name of the type, for a message.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Text(_) => "text",
            Kind::Integer(_) => "a whole number",
            Kind::Float(_) => "a number",
            Kind::Flag(_) => "true or false",
            Kind::Date => "a date",
            Kind::Array(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }
}

/// Parses a document. The readable part of a document with errors is returned together with all errors.
pub fn parse_document(text: &str) -> (Table, Vec<Diagnostic>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let origin = |start, end| Origin::File { start, end };
    let mut diagnostics: Vec<Diagnostic> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            let place = origin(span.start, span.end);
            let (message, remedy) = explained(error.message(), text.get(span).unwrap_or_default());
            Diagnostic::error(codes::SYNTAX, place, message).remedy(remedy)
        })
        .collect();
    // The parser reports each bracket that is open at the end of the file with the same error.
    diagnostics.dedup();
    (table_of(table.as_ref(), &origin), diagnostics)
}

/// The full text of the parser's message, and the remedy.
fn explained(message: &str, written: &str) -> (String, &'static str) {
    match message {
        "duplicate key" => (
            format!("`{}` is written twice", written.trim_matches(['"', '\''])),
            "remove one of them, or write both in one section",
        ),
        _ if message.contains("recur") => (
            "values are nested too deeply".to_owned(),
            "a scenario has sections with keys, and nothing deeper than three tables",
        ),
        _ if message.starts_with("string values") => {
            (message.to_owned(), "a value is a number, `true`, `false`, or text in double quotes")
        }
        _ => (
            message.to_owned(),
            "the file is TOML: lines of `key = value` in sections like `[topic]`",
        ),
    }
}

/// Parses a single value; `None` if it is not TOML.
pub fn parse_value(text: &str, origin: &dyn Fn(usize, usize) -> Origin) -> Option<Node> {
    DeValue::parse(text).ok().map(|value| node_of(&value, origin))
}

fn table_of(table: &DeTable<'_>, origin: &dyn Fn(usize, usize) -> Origin) -> Table {
    let mut entries: Table = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.as_ref().to_string(),
            key_origin: origin(key.span().start, key.span().end),
            node: node_of(value, origin),
        })
        .collect();
    // The parser sorts keys by name. Errors are reported in the order of the file.
    entries.sort_by_key(|entry| entry.key_origin);
    entries
}

fn node_of(value: &Spanned<DeValue<'_>>, origin: &dyn Fn(usize, usize) -> Origin) -> Node {
    let kind = match value.as_ref() {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) => Kind::Integer(
            i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX),
        ),
        DeValue::Float(number) => Kind::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Kind::Flag(*flag),
        DeValue::Datetime(_) => Kind::Date,
        DeValue::Array(items) => {
            Kind::Array(items.iter().map(|item| node_of(item, origin)).collect())
        }
        DeValue::Table(table) => Kind::Table(table_of(table, origin)),
    };
    Node { kind, origin: origin(value.span().start, value.span().end) }
}
