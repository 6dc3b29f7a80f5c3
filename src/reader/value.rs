//! Reads one value. Each type defines the description of its values, its reader, and its JSON Schema.
//!
//! `words!` defines the type of a key that takes one of several words.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::tree::{Entry, Kind, Node, parse_value};
use super::{Diagnostic, MISTAKES_MAX, Origin, codes, suggest};
use crate::base::{Quantity, UnitError, parse_bytes, parse_duration, parse_rate};

/// The definition of a key.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name of the key.
    pub key: &'static str,
    /// The name in the version before, which is still accepted with a warning.
    pub was: Option<&'static str>,
    /// The description in the reference.
    pub doc: &'static str,
    /// The default.
    pub fallback: Fallback,
    /// An example of its value, in TOML.
    pub example: &'static str,
    /// The description of its values.
    pub wanted: fn() -> String,
    /// The JSON Schema of its value.
    pub schema: fn() -> Json,
    /// The keys of its value, if that is a table.
    pub fields: fn() -> &'static [Field],
}

/// The default of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This value, in TOML.
    Is(&'static str),
    /// A default that is described in words.
    Depends(&'static str),
    /// No default: the key is required.
    Required,
}

impl Field {
    /// An example line, such as `warmup = "5s"`.
    pub fn line(&self) -> String {
        format!("{} = {}", self.key, self.shown())
    }

    /// The example in one line. `stringify!` may break a long one into several lines.
    pub fn shown(&self) -> String {
        let words: Vec<&str> = self.example.split_whitespace().collect();
        words.join(" ")
    }

    /// The description in one line.
    pub fn meaning(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The default as JSON; `None` if it is not a single value.
    pub fn fallback_json(&self) -> Option<Json> {
        let Fallback::Is(toml) = self.fallback else {
            return None;
        };
        match parse_value(toml, &|_, _| Origin::WholeFile)?.kind {
            Kind::Text(text) => Some(json!(text)),
            Kind::Integer(number) => i64::try_from(number).ok().map(|number| json!(number)),
            Kind::Float(number) => Some(json!(number)),
            Kind::Flag(flag) => Some(json!(flag)),
            Kind::Date | Kind::Array(_) | Kind::Table(_) => None,
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// The place of the value.
    pub origin: Origin,
    /// The place of its key.
    pub key: Origin,
}

/// The context in which a value is read, for messages.
#[derive(Clone, Copy, Debug)]
pub struct ValueContext<'a> {
    /// The path from the root, such as `run.warmup`.
    pub path: &'a str,
    /// A valid line, such as `warmup = "5s"`.
    pub example: &'a str,
    /// Returns the section of a key that is in the wrong one; `None` if no section or several have the key.
    pub home: fn(&str) -> Option<&'static str>,
}

/// A type of values that keys accept.
pub trait Value: Sized {
    /// The description of its values, with an article.
    fn wanted() -> String;
    /// The JSON Schema of its values.
    fn schema() -> Json;
    /// The keys of its values, if these are tables.
    fn fields() -> &'static [Field] {
        &[]
    }
    /// Reads a value. Adds a diagnostic to `out` and returns `None` if it is not valid.
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Self>;
}

impl<T: Value> At<T> {
    /// Reads the value of `entry`.
    pub fn read(
        entry: &Entry,
        place: ValueContext<'_>,
        out: &mut Vec<Diagnostic>,
    ) -> Option<At<T>> {
        T::read(&entry.node, place, out).map(|value| At {
            value,
            origin: entry.node.origin,
            key: entry.key_origin,
        })
    }
}

/// An amount of data in bytes, written like `"100B"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// The rate of each producer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Records per second.
    PerSecond(f64),
    /// The highest rate that is possible.
    Max,
}

/// The diagnostic for a `node` whose type is not that of `T`.
pub fn wrong_type<T: Value>(node: &Node, place: ValueContext<'_>) -> Diagnostic {
    let message = format!("`{}` must be {}, found {}", place.path, T::wanted(), node.kind.name());
    Diagnostic::error(codes::WRONG_TYPE, node.origin, message)
        .remedy(format!("for example `{}`", place.example))
}

fn wrong_unit(
    node: &Node,
    place: ValueContext<'_>,
    what: Quantity,
    error: &UnitError,
) -> Diagnostic {
    let message = format!("`{}` is not {}: {error}", place.path, what.name());
    Diagnostic::error(codes::WRONG_UNIT, node.origin, message).remedy(format!(
        "units are {}; for example `{}`",
        what.units(),
        place.example
    ))
}

/// Reads a text that is a number with a unit.
fn quantity<T: Value>(
    node: &Node,
    place: ValueContext<'_>,
    out: &mut Vec<Diagnostic>,
    what: Quantity,
    parse: impl Fn(&str) -> Result<T, UnitError>,
) -> Option<T> {
    let Kind::Text(text) = &node.kind else {
        out.push(wrong_type::<T>(node, place));
        return None;
    };
    parse(text).map_err(|error| out.push(wrong_unit(node, place, what, &error))).ok()
}

impl Value for String {
    fn wanted() -> String {
        "text".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "string"})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            _ => {
                out.push(wrong_type::<String>(node, place));
                None
            }
        }
    }
}

impl Value for bool {
    fn wanted() -> String {
        "`true` or `false`".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "boolean"})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<bool> {
        match node.kind {
            Kind::Flag(flag) => Some(flag),
            _ => {
                out.push(wrong_type::<bool>(node, place));
                None
            }
        }
    }
}

impl Value for u64 {
    fn wanted() -> String {
        "a whole number".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "integer", "minimum": 0})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<u64> {
        let Kind::Integer(number) = node.kind else {
            out.push(wrong_type::<u64>(node, place));
            return None;
        };
        // TOML's integers have 63 bits without the sign. JSON Schema and results do not support larger ones, either.
        let number = i64::try_from(number).ok().and_then(|n| u64::try_from(n).ok());
        if number.is_none() {
            let message = format!("`{}` must be a whole number from 0 to 2^63 - 1", place.path);
            out.push(
                Diagnostic::error(codes::OUT_OF_RANGE, node.origin, message)
                    .remedy(format!("for example `{}`", place.example)),
            );
        }
        number
    }
}

impl Value for f64 {
    fn wanted() -> String {
        "a number".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "number"})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<f64> {
        match node.kind {
            Kind::Integer(number) => Some(number as f64),
            Kind::Float(number) if number.is_finite() => Some(number),
            Kind::Float(number) => {
                let found = if number.is_nan() { "`nan`" } else { "an infinite one" };
                let message = format!("`{}` must be a finite number, found {found}", place.path);
                out.push(
                    Diagnostic::error(codes::OUT_OF_RANGE, node.origin, message)
                        .remedy(format!("for example `{}`", place.example)),
                );
                None
            }
            _ => {
                out.push(wrong_type::<f64>(node, place));
                None
            }
        }
    }
}

impl Value for Duration {
    fn wanted() -> String {
        "a duration".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "string", "pattern": "^\\s*[0-9]+(_[0-9]+)*(\\.[0-9]+(_[0-9]+)*)?\\s*(ns|us|µs|ms|s|m|min|h)\\s*$"})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Duration> {
        quantity(node, place, out, Quantity::Duration, parse_duration)
    }
}

impl Value for Bytes {
    fn wanted() -> String {
        "a size".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "string", "pattern": "^\\s*[0-9]+(_[0-9]+)*(\\.[0-9]+(_[0-9]+)*)?\\s*(B|[kK]B|KiB|MB|MiB|GB|GiB)\\s*$"})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Bytes> {
        quantity(node, place, out, Quantity::Bytes, |text| parse_bytes(text).map(Bytes))
    }
}

impl Value for Rate {
    fn wanted() -> String {
        "a rate or `max`".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "string", "pattern": "^(max|\\s*[0-9]+(_[0-9]+)*(\\.[0-9]+(_[0-9]+)*)?\\s*/\\s*(s|m|min|h)\\s*)$"})
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Rate> {
        quantity(node, place, out, Quantity::Rate, |text| match text.trim() {
            "max" => Ok(Rate::Max),
            text => parse_rate(text).map(Rate::PerSecond),
        })
    }
}

impl<T: Value> Value for Vec<At<T>> {
    fn wanted() -> String {
        "a list".to_owned()
    }
    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }
    fn fields() -> &'static [Field] {
        T::fields()
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Vec<At<T>>> {
        let Kind::Array(items) = &node.kind else {
            out.push(wrong_type::<Vec<At<T>>>(node, place));
            return None;
        };
        let mut read = Vec::new();
        for (i, item) in items.iter().enumerate() {
            if out.len() >= MISTAKES_MAX {
                break;
            }
            let path = format!("{}[{i}]", place.path);
            let place = ValueContext { path: &path, ..place };
            read.extend(T::read(item, place, out).map(|value| At {
                value,
                origin: item.origin,
                key: item.origin,
            }));
        }
        Some(read)
    }
}

/// A table from partition numbers to values.
impl<T: Value> Value for BTreeMap<u32, At<T>> {
    fn wanted() -> String {
        "a table from partition numbers to values".to_owned()
    }
    fn schema() -> Json {
        json!({
            "type": "object",
            "patternProperties": {"^[0-9]+$": T::schema()},
            "additionalProperties": false,
        })
    }
    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Self> {
        read_table::<Self, _, _>(node, place, out, |entry| {
            entry.key.parse().map_err(|_| {
                let message =
                    format!("`{}` in `{}` is not a partition number", entry.key, place.path);
                let mistake = Diagnostic::error(codes::UNKNOWN_KEY, entry.key_origin, message);
                Box::new(mistake.remedy(format!("for example `{}`", place.example)))
            })
        })
    }
}

/// Reads a table whose keys the scenario does not define, as a value of `Wanted`. `key` reads each key, and each value
/// is a `T`.
pub fn read_table<Wanted: Value, K: Ord, T: Value>(
    node: &Node,
    place: ValueContext<'_>,
    out: &mut Vec<Diagnostic>,
    key: impl Fn(&Entry) -> Result<K, Box<Diagnostic>>,
) -> Option<BTreeMap<K, At<T>>> {
    let Kind::Table(table) = &node.kind else {
        out.push(wrong_type::<Wanted>(node, place));
        return None;
    };
    let mut read = BTreeMap::new();
    for entry in table {
        if out.len() >= MISTAKES_MAX {
            break;
        }
        let path = format!("{}.{}", place.path, entry.key);
        match key(entry) {
            Ok(key) => {
                let at = At::read(entry, ValueContext { path: &path, ..place }, out);
                read.extend(at.map(|at| (key, at)));
            }
            Err(mistake) => out.push(*mistake),
        }
    }
    Some(read)
}

/// Defines an enum of the words that a key accepts.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// The word, as it is written.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $crate::reader::value::Value for $name {
            fn wanted() -> String {
                $crate::reader::suggest::one_of(&[$($word),+])
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({"enum": [$($word),+]})
            }
            fn read(
                node: &$crate::reader::tree::Node,
                place: $crate::reader::value::ValueContext<'_>,
                out: &mut Vec<$crate::reader::Diagnostic>,
            ) -> Option<$name> {
                let words = [$(($word, $name::$variant)),+];
                $crate::reader::value::read_word(node, place, out, &words)
            }
        }
    };
}
pub(crate) use words;

/// Reads one of `words`.
pub fn read_word<T: Value + Copy>(
    node: &Node,
    place: ValueContext<'_>,
    out: &mut Vec<Diagnostic>,
    words: &[(&str, T)],
) -> Option<T> {
    let Kind::Text(text) = &node.kind else {
        out.push(wrong_type::<T>(node, place));
        return None;
    };
    let found = words.iter().find(|(word, _)| word == text);
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("`{text}` is not a value of `{}`", place.path);
        out.push(
            Diagnostic::error(codes::UNKNOWN_WORD, node.origin, message)
                .remedy(suggest::word(text, &known)),
        );
    }
    found.map(|(_, value)| *value)
}
