//! The content of records: `payload = "100B"`, or a table that defines how values are generated; and headers.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{At, Diagnostic};
use crate::reader::section::{Section, section};
use crate::reader::tree::{Kind, Node};
use crate::reader::value::{Bytes, Field, Value, ValueContext, read_table, wrong_type};

section! {
    /// How values are made: by a `size`, or by one of `lines`, `files`, `template`, `avro`, `json_schema` and `protobuf`.
    /// Paths are relative to the working directory.
    PayloadTable {
        /// Size of each value, including the stamp of 48 bytes: fixed, `{ min, max }` evenly spread, or
        /// `{ p50, p99, max }` lognormal.
        size: SizeSpan = ("100B"), { p50 = "400B", p99 = "4KiB", max = "16KiB" };
        /// Share of the bytes behind the stamp that are random; the others are 0. Compression leaves about this share.
        entropy: f64 = 1.0, 0.3;
        /// A file whose lines are the values, in turn. It is read once; at most 64 MiB.
        lines: String = ("none"), "orders.jsonl";
        /// A directory whose files are the values, in the order of their names. They are read once; at most 64 MiB.
        files: String = ("none"), "samples";
        /// A text with placeholders such as `{{sequence}}` and `{{int 1 100}}`.
        template: String = ("none"), "{\"id\": {{sequence}}}";
        /// An Avro schema, or the file with it: values are random, in Avro's binary form.
        avro: String = ("none"), "orders.avsc";
        /// A JSON Schema, or the file with it: values are random.
        json_schema: String = ("none"), "orders.schema.json";
        /// A Protobuf schema, or the file with it, which may import files below its directory: values are random messages.
        protobuf: String = ("none"), "orders.proto";
        /// Full name of the message of `protobuf`.
        message: String = ("the first of the schema"), "shop.Order";
        /// Id of the schema in a registry: values begin with a 0 byte and the id in four bytes, and those of `protobuf` with
        /// the indexes of the message as well.
        registry_id: u64 = ("none: values have nothing before them"), 7;
    }
}

section! {
    /// A size that is random: `min` and `max`, or `p50` and `p99` with `max`.
    RandomSize {
        /// The smallest; with percentiles the stamp's 48 bytes if it is not given.
        min: Bytes = ("none"), "200B";
        /// The largest.
        max: Bytes = ("none"), "2KiB";
        /// The median of a lognormal distribution.
        p50: Bytes = ("none"), "400B";
        /// The size that one of a hundred exceeds, of a lognormal distribution.
        p99: Bytes = ("none"), "4KiB";
    }
}

/// A size, fixed or random.
#[derive(Clone, Debug, PartialEq)]
pub enum SizeSpan {
    /// A fixed size.
    Fixed(Bytes),
    /// A random size.
    Random(Box<RandomSize>),
}

impl Value for SizeSpan {
    fn wanted() -> String {
        "a size, `{ min = .., max = .. }` or `{ p50 = .., p99 = .., max = .. }`".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [Bytes::schema(), RandomSize::schema()]})
    }

    fn fields() -> &'static [Field] {
        RandomSize::FIELDS
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<SizeSpan> {
        match &node.kind {
            Kind::Text(_) => Bytes::read(node, place, out).map(SizeSpan::Fixed),
            Kind::Table(_) => {
                RandomSize::read(node, place, out).map(|size| SizeSpan::Random(Box::new(size)))
            }
            _ => {
                out.push(wrong_type::<SizeSpan>(node, place));
                None
            }
        }
    }
}

/// The payload of records: the size of the values, or a table that defines how they are generated.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Values of a fixed size.
    Size(Bytes),
    /// Values as the table defines them.
    Table(Box<PayloadTable>),
}

impl Value for Payload {
    fn wanted() -> String {
        "a size, or a table `[load.payload]`".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [Bytes::schema(), PayloadTable::schema()]})
    }

    fn fields() -> &'static [Field] {
        PayloadTable::FIELDS
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Payload> {
        match &node.kind {
            Kind::Table(_) => {
                PayloadTable::read(node, place, out).map(|table| Payload::Table(Box::new(table)))
            }
            Kind::Text(_) => Bytes::read(node, place, out).map(Payload::Size),
            // A value of any other type is reported as an invalid size.
            _ => {
                out.push(wrong_type::<Bytes>(node, place));
                None
            }
        }
    }
}

/// The headers of each record: names, and texts with placeholders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderTexts(pub BTreeMap<String, At<String>>);

impl Value for HeaderTexts {
    fn wanted() -> String {
        "a table from names to texts".to_owned()
    }

    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": {"type": "string"}})
    }

    fn read(
        node: &Node,
        place: ValueContext<'_>,
        out: &mut Vec<Diagnostic>,
    ) -> Option<HeaderTexts> {
        read_table::<HeaderTexts, _, _>(node, place, out, |entry| Ok(entry.key.clone()))
            .map(HeaderTexts)
    }
}
