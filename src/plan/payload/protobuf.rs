//! Random values of a message of a Protobuf schema, in Protobuf's binary encoding.

use std::cell::Cell;
use std::path::{Component, Path, PathBuf};

use prost_reflect::prost::Message;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, FileDescriptor, Kind, MapKey, MessageDescriptor,
    OneofDescriptor, ReflectMessage, Value,
};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::budget::Budget;
use super::template::{between, random_text};
use crate::base::{Random, read_regular};

/// Depth beyond which lists are empty and optional messages are left out.
const DEPTH_MAX: usize = 8;
/// Depth at which a schema counts as infinitely recursive.
const DEPTH_END: usize = 64;
/// Largest depth of nested braces in a schema, which bounds the recursion of its parser.
const NESTED_MAX: usize = 100;
/// Largest size of a schema's file in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest number of files that a schema may import.
const IMPORTS_MAX: u32 = 100;
/// Name of a schema that is written in the scenario.
const INLINE: &str = "schema.proto";

/// A message type for random values.
#[derive(Clone, Debug)]
pub struct ProtobufPlan {
    message: MessageDescriptor,
}

impl PartialEq for ProtobufPlan {
    fn eq(&self, other: &ProtobufPlan) -> bool {
        let pool = |plan: &ProtobufPlan| plan.message.parent_pool().encode_to_vec();
        self.message.full_name() == other.message.full_name() && pool(self) == pool(other)
    }
}

impl ProtobufPlan {
    /// Reads a schema (`.proto`), and its imports from `directory`. Imports of Protobuf's own files need no directory.
    /// Values are of the message with this full name, or of the first one.
    ///
    /// # Errors
    /// The text is no valid schema, an import cannot be read, or there is no such message.
    pub fn parse(
        text: &str,
        directory: Option<&Path>,
        message: Option<&str>,
    ) -> Result<ProtobufPlan, String> {
        let mut resolver = ChainFileResolver::new();
        resolver.add(GoogleFileResolver::new());
        resolver.add(Imports {
            schema: text.to_owned(),
            directory: directory.map(Path::to_path_buf),
            left: Cell::new(IMPORTS_MAX),
        });
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.open_file(INLINE).map_err(|error| said(&error))?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(INLINE).ok_or("the schema has no file")?;
        let message = match message {
            Some(name) => named(&file, name)?,
            None => file.messages().next().ok_or("it has no message")?,
        };
        Ok(ProtobufPlan { message })
    }

    /// Appends the message index, which is between the schema's id and a value in the format of Confluent's
    /// serializers. It has the number of indexes, and then the index of each enclosing message and of the message
    /// itself, from the outermost on. All are zigzag varints. A single 0 byte stands for the first message.
    pub(super) fn write_index(&self, out: &mut Vec<u8>) {
        let path = index(&self.message);
        if path == [0] {
            return out.push(0);
        }
        crate::base::put_varint(out, path.len() as i32);
        path.into_iter().for_each(|at| crate::base::put_varint(out, at));
    }

    /// Appends a random value to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>, random: &mut Random) -> Result<(), String> {
        let value = Values { random, left: Budget::new() }.message(&self.message, 0)?;
        value.encode(out).map_err(|error| error.to_string())
    }
}

/// The files of a schema: the schema itself and its imports.
struct Imports {
    schema: String,
    directory: Option<PathBuf>,
    left: Cell<u32>,
}

impl FileResolver for Imports {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == INLINE {
            return parsed(name, &self.schema);
        }
        let refused =
            |why: &str| Err(protox::Error::new(format!("it cannot import `{name}`: {why}")));
        let path = Path::new(name);
        // A schema may only import files of its own directory.
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        let Some(directory) = self.directory.as_ref().filter(|_| is_inside) else {
            return refused("only files below the directory of the schema's file can be imported");
        };
        if self.left.get() == 0 {
            return refused("it imports more than 100 files");
        }
        self.left.set(self.left.get() - 1);
        match read_regular(&directory.join(path), FILE_BYTES_MAX) {
            Ok(bytes) => parsed(name, &String::from_utf8_lossy(&bytes)),
            Err(error) => refused(&error.to_string()),
        }
    }
}

fn parsed(name: &str, text: &str) -> Result<File, protox::Error> {
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'<' | b'(' => depth += 1,
            b'}' | b']' | b'>' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTED_MAX {
            return Err(protox::Error::new(format!("`{name}` is nested too deeply")));
        }
    }
    File::from_source(name, text)
}

/// The message of an error, with line and column, and with the file unless that is the schema itself.
fn said(error: &protox::Error) -> String {
    // The library reports places only in this form: `file:line:column: message`.
    let placed = format!("{error:?}").replace(
        // The message of the library for the path of an import, too.
        "invalid group name",
        "invalid name of a group or an import",
    );
    let place = placed.strip_prefix(INLINE).and_then(|rest| rest.strip_prefix(':'));
    match (place, error.file()) {
        (Some(place), _) if place.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("line {place}")
        }
        (None, Some(_)) => placed,
        _ => error.to_string(),
    }
}

/// The message with a full name, at any depth.
fn named(file: &FileDescriptor, name: &str) -> Result<MessageDescriptor, String> {
    let found = file.parent_pool().get_message_by_name(name);
    let found = found.filter(|message| message.parent_file() == *file && !message.is_map_entry());
    found.ok_or_else(|| {
        let names: Vec<String> =
            file.messages().take(5).map(|message| format!("`{}`", message.full_name())).collect();
        let more = if file.messages().len() > names.len() { ", and more" } else { "" };
        match names.is_empty() {
            true => "it has no message".to_owned(),
            false => format!("it has no message `{name}`, but {}{more}", names.join(", ")),
        }
    })
}

/// The indexes of a message: that of each enclosing message, and its own among its siblings.
fn index(message: &MessageDescriptor) -> Vec<i32> {
    let at = |mut beside: Box<dyn Iterator<Item = MessageDescriptor> + '_>| {
        beside.position(|other| other == *message).unwrap_or(0) as i32
    };
    match message.parent_message() {
        // Entries of maps are messages that the text of the schema does not contain.
        Some(outer) => {
            let own = at(Box::new(outer.child_messages().filter(|it| !it.is_map_entry())));
            [index(&outer), vec![own]].concat()
        }
        None => vec![at(Box::new(message.parent_file().messages()))],
    }
}

/// The generator of values.
struct Values<'a> {
    random: &'a mut Random,
    left: Budget,
}

impl Values<'_> {
    fn message(&mut self, of: &MessageDescriptor, depth: usize) -> Result<DynamicMessage, String> {
        if depth > DEPTH_END {
            return Err("a message requires itself without end".to_owned());
        }
        self.left.spend(1)?;
        let mut message = DynamicMessage::new(of.clone());
        if self.is_known(&mut message) {
            return Ok(message);
        }
        for field in of.fields() {
            if field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()) {
                continue;
            }
            if self.is_set(&field, depth) {
                let value = self.field(&field, depth)?;
                message.try_set_field(&field, value).map_err(|error| error.to_string())?;
            }
        }
        for oneof in of.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            if let Some(field) = self.chosen(&oneof, depth) {
                let value = self.value(&field.kind(), depth)?;
                message.try_set_field(&field, value).map_err(|error| error.to_string())?;
            }
        }
        Ok(message)
    }

    /// Fills in a message of Protobuf's own types whose values have limits. False if it is none of them.
    fn is_known(&mut self, message: &mut DynamicMessage) -> bool {
        let name = message.descriptor().full_name().to_owned();
        let seconds = match name.as_str() {
            // Seconds within ten years from 2020 on.
            "google.protobuf.Timestamp" => between(self.random, 1_577_836_800, 1_893_455_999),
            "google.protobuf.Duration" => between(self.random, 0, 86_399),
            // Its content belongs to another schema.
            "google.protobuf.Any" => return true,
            _ => return false,
        };
        let nanos = between(self.random, 0, 999_999_999) as i32;
        message.set_field_by_name("seconds", Value::I64(seconds));
        message.set_field_by_name("nanos", Value::I32(nanos));
        true
    }

    /// True if a field gets a value. Fields without presence always do.
    fn is_set(&mut self, field: &FieldDescriptor, depth: usize) -> bool {
        if field.cardinality() == Cardinality::Required || !field.supports_presence() {
            return true;
        }
        let is_message = matches!(field.kind(), Kind::Message(_));
        !(is_message && depth >= DEPTH_MAX) && self.random.below(2) == 1
    }

    /// A random field of a oneof. Beyond the depth limit it is no message.
    fn chosen(&mut self, oneof: &OneofDescriptor, depth: usize) -> Option<FieldDescriptor> {
        let is_short = depth >= DEPTH_MAX;
        let fields =
            oneof.fields().filter(|field| !is_short || !matches!(field.kind(), Kind::Message(_)));
        let mut fields: Vec<FieldDescriptor> = fields.collect();
        let count = fields.len() as u64;
        (count > 0).then(|| fields.swap_remove(self.random.below(count) as usize))
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Result<Value, String> {
        let count = match depth >= DEPTH_MAX || self.left.is_low() {
            true => 0,
            false => self.random.below(4),
        };
        let kind = field.kind();
        match &kind {
            Kind::Message(entry) if field.is_map() => {
                // Maps have an order that differs between runs. Therefore a map has at most one entry.
                let (of_key, of_value) =
                    (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
                let entry = |_| Ok((self.key(&of_key)?, self.value(&of_value, depth)?));
                Ok(Value::Map((0..count.min(1)).map(entry).collect::<Result<_, String>>()?))
            }
            _ if field.is_list() => {
                let items = (0..count).map(|_| self.value(&kind, depth));
                Ok(Value::List(items.collect::<Result<_, _>>()?))
            }
            _ => self.value(&kind, depth),
        }
    }

    fn key(&mut self, kind: &Kind) -> Result<MapKey, String> {
        let value = self.value(kind, DEPTH_MAX)?;
        value.into_map_key().ok_or_else(|| "a map has keys of no scalar type".to_owned())
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Result<Value, String> {
        self.left.spend(1)?;
        let int = between(self.random, 0, 999_999);
        let long = between(self.random, 0, 999_999_999);
        Ok(match kind {
            Kind::Double => Value::F64(self.random.unit() * 1_000.0),
            Kind::Float => Value::F32(self.random.unit() as f32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(int as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(long),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(int as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(long as u64),
            Kind::Bool => Value::Bool(self.random.below(2) == 1),
            Kind::String => {
                let length = 1 + self.random.below(20);
                Value::String(random_text(self.random, length))
            }
            Kind::Bytes => {
                let mut bytes = vec![0; 16];
                self.random.fill(&mut bytes);
                Value::Bytes(bytes.into())
            }
            Kind::Enum(words) => {
                let at = self.random.below(words.values().len() as u64) as usize;
                let word = words.values().nth(at).ok_or("an enum has no values")?;
                Value::EnumNumber(word.number())
            }
            Kind::Message(message) => Value::Message(self.message(message, depth + 1)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "syntax = \"proto3\"; package shop;
        message Order { message Line { map<string, int32> m = 1; } message Other { message Deep {} } }
        message Second {}";

    fn index_of(message: Option<&str>) -> Vec<u8> {
        let mut out = Vec::new();
        ProtobufPlan::parse(SCHEMA, None, message).expect("a schema").write_index(&mut out);
        out
    }

    /// The examples of Confluent's documentation of its wire format. `[0]` is a 0 byte, others are the number of
    /// indexes and each index.
    #[test]
    fn the_place_of_a_message_is_written_as_registries_have_it() {
        assert_eq!(index_of(None), [0]);
        assert_eq!(index_of(Some("shop.Order")), [0]);
        assert_eq!(index_of(Some("shop.Second")), [2, 2]);
        assert_eq!(index_of(Some("shop.Order.Other.Deep")), [6, 0, 2, 0]);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let error =
            |text: &str, message| ProtobufPlan::parse(text, None, message).expect_err("no schema");
        assert!(error(SCHEMA, Some("Order")).contains("no message `Order`, but `shop.Order`"));
        assert!(error("syntax = \"proto3\";", None).contains("it has no message"));
        let unknown = error("syntax = \"proto3\";\nmessage A { B b = 1; }", None);
        assert_eq!(unknown, "line 2:13: name 'B' is not defined");
        let nonsense = error("message A {\n}\nmassage B {}", None);
        assert!(nonsense.starts_with("line 3:1: "), "{nonsense}");
        let outside = error("import \"../x.proto\"; message A {}", None);
        assert_eq!(outside, "line 1:8: invalid name of a group or an import");
        let deep = "message A {".repeat(500);
        assert!(error(&deep, None).contains("nested too deeply"));
    }
}
