//! Defines each key once: the field of the struct, the reader, the schema and the documentation.

use serde_json::{Map, Value as Json, json};

use super::suggest;
use super::tree::{Entry, Kind, Node, Table};
use super::value::{Fallback, Field, Value, ValueContext, wrong_type};
use super::{Diagnostic, MISTAKES_MAX, Origin, codes};

/// A table with known keys.
pub trait Section: Default {
    /// The keys of the table.
    const FIELDS: &'static [Field];
    /// Reads the value of one key.
    fn set(&mut self, entry: &Entry, place: ValueContext<'_>, out: &mut Vec<Diagnostic>);
}

impl<S: Section> Value for S {
    fn wanted() -> String {
        let keys: Vec<&str> = S::FIELDS.iter().map(|field| field.key).collect();
        format!("a table of {}", keys.join(", "))
    }

    fn schema() -> Json {
        object_schema(S::FIELDS)
    }

    fn fields() -> &'static [Field] {
        S::FIELDS
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<S> {
        let Kind::Table(table) = &node.kind else {
            out.push(wrong_type::<S>(node, place));
            return None;
        };
        let mut section = S::default();
        for entry in table {
            if out.len() >= MISTAKES_MAX {
                return Some(section);
            }
            let renamed = renamed(entry, table, place.path, S::FIELDS, out);
            let entry = renamed.as_ref().unwrap_or(entry);
            let path = format!("{}.{}", place.path, entry.key);
            match S::FIELDS.iter().find(|field| field.key == entry.key) {
                Some(field) => {
                    let place = ValueContext { path: &path, example: &field.line(), ..place };
                    section.set(entry, place, out);
                }
                None => out.push(unknown_key(entry, place, S::FIELDS)),
            }
        }
        out.extend(missing_keys(table, node.origin, place.path, S::FIELDS));
        Some(section)
    }
}

/// The schema of a JSON object that has no other keys than these.
fn object_schema(fields: &[Field]) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut schema = (field.schema)();
        schema["description"] = json!(field.meaning());
        if let Some(value) = field.fallback_json() {
            schema["default"] = value;
        }
        if field.fallback == Fallback::Required {
            required.push(field.key);
        }
        if let Some(was) = field.was {
            let mut old = schema.clone();
            old["description"] = json!(format!("Renamed: `{}`.", field.key));
            old["deprecated"] = json!(true);
            properties.insert(was.to_owned(), old);
        }
        properties.insert(field.key.to_owned(), schema);
    }
    let mut object = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// The entry under its new name, if it has a former one, for which a warning is added; `None` for any other entry.
fn renamed(
    entry: &Entry,
    table: &Table,
    section: &str,
    fields: &[Field],
    out: &mut Vec<Diagnostic>,
) -> Option<Entry> {
    let key = fields.iter().find(|field| field.was == Some(&entry.key))?.key;
    let old = &entry.key;
    let warning = Diagnostic::warning(
        codes::RENAMED_KEY,
        entry.key_origin,
        format!("`{section}.{old}` is called `{section}.{key}` now"),
    );
    out.push(warning.remedy(format!("write `{key}`: the next version does not know `{old}`")));
    if table.iter().any(|entry| entry.key == key) {
        let message = format!("`{section}` has `{key}` and its old name `{old}`");
        let conflict = Diagnostic::error(codes::CONFLICT, entry.key_origin, message);
        out.push(conflict.remedy(format!("remove `{old}`")));
    }
    Some(Entry { key: key.to_owned(), ..entry.clone() })
}

fn unknown_key(entry: &Entry, place: ValueContext<'_>, fields: &[Field]) -> Diagnostic {
    let known: Vec<&str> = fields.iter().map(|field| field.key).collect();
    let near = suggest::closest(&entry.key, known.iter().copied());
    let remedy = match (near, (place.home)(&entry.key)) {
        _ if suggest::meant(&entry.key, &known).is_some() => suggest::key(&entry.key, &known),
        (None, Some(home)) => format!("`{}` belongs in `[{home}]`", entry.key),
        _ => suggest::key(&entry.key, &known),
    };
    let message = format!("`{}` has no key `{}`", place.path, entry.key);
    Diagnostic::error(codes::UNKNOWN_KEY, entry.key_origin, message).remedy(remedy)
}

fn missing_keys<'a>(
    table: &'a Table,
    origin: Origin,
    section: &'a str,
    fields: &'a [Field],
) -> impl Iterator<Item = Diagnostic> + 'a {
    fields
        .iter()
        .filter(|field| field.fallback == Fallback::Required)
        .filter(|field| table.iter().all(|entry| entry.key != field.key))
        .map(move |field| {
            let message = format!("`{section}` needs the key `{}`", field.key);
            Diagnostic::error(codes::MISSING_KEY, origin, message)
                .remedy(format!("for example `{}`", field.line()))
        })
}

/// Defines a table with known keys. Each line is `key: type = default, example;`. The default is a TOML value,
/// `("in words")` or `required`. A key that is not an identifier in Rust is written `name as "key"`. A key that had
/// another name in the version before is written `name was "old"`.
macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $($(#[doc = $key_doc:literal])+
            $key:ident $(as $written:literal)? $(was $old:literal)?: $type:ty = $fallback:tt, $example:tt;)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[doc = $key_doc])+ pub $key: Option<$crate::reader::At<$type>>,)+
        }

        impl $crate::reader::section::Section for $name {
            const FIELDS: &'static [$crate::reader::value::Field] = &[
                $($crate::reader::value::Field {
                    key: section!(@key $key $($written)?),
                    was: section!(@was $($old)?),
                    doc: concat!($($key_doc),+),
                    fallback: section!(@fallback $fallback),
                    example: stringify!($example),
                    wanted: <$type as $crate::reader::value::Value>::wanted,
                    schema: <$type as $crate::reader::value::Value>::schema,
                    fields: <$type as $crate::reader::value::Value>::fields,
                },)+
            ];

            fn set(
                &mut self,
                entry: &$crate::reader::tree::Entry,
                place: $crate::reader::value::ValueContext<'_>,
                out: &mut Vec<$crate::reader::Diagnostic>,
            ) {
                match entry.key.as_str() {
                    $(section!(@key $key $($written)?) => {
                        self.$key = $crate::reader::At::read(entry, place, out);
                    })+
                    _ => {}
                }
            }
        }
    };
    (@key $key:ident) => { stringify!($key) };
    (@key $key:ident $written:literal) => { $written };
    (@was) => { None };
    (@was $old:literal) => { Some($old) };
    (@fallback required) => { $crate::reader::value::Fallback::Required };
    (@fallback ($words:literal)) => { $crate::reader::value::Fallback::Depends($words) };
    (@fallback $value:tt) => { $crate::reader::value::Fallback::Is(stringify!($value)) };
}
pub(crate) use section;
