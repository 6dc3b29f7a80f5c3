//! Keys, headers, timestamps and values as a handler gets them, with values of a schema, a file and a template. Another
//! decoder than lanekeeper's reads each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use lanekeeper::base::BrokerKind;
use lanekeeper::logic::{Handler, HandlerError, Handlers, Record};
use lanekeeper::plan::{Overrides, compile};
use lanekeeper::report::full_report;
use lanekeeper::run::{Options, run};
use lanekeeper::scenario::Source;
use lanekeeper::summary::{Summary, Verdict};

use super::PATIENT;

/// 20 records a second in all, for a second.
const LOAD: &str = "[topic]\npartitions = 2\n[run]\nwarmup = \"0s\"\nduration = \"1s\"\n\
                    [expect]\nlost = 0\ncorrupt = 0\n[load]\nproducers = 2\nrate = \"10/s\"\n";
const SENT: usize = 20;

const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OPEN", "PAID"]}},
    {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "note", "type": ["null", "string"]},
    {"name": "next", "type": ["null", "Order"]},
    {"name": "lines", "type": {"type": "array", "items": {"type": "map", "values": "double"}}}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3";
    package shop;
    import "google/protobuf/timestamp.proto";
    message Customer {}
    message Order {
        enum State { STATE_OPEN = 0; STATE_PAID = 7; }
        message Line { string article = 1; uint32 count = 2; double price = 3; }
        string id = 1;
        State state = 2;
        google.protobuf.Timestamp placed = 3;
        optional string note = 4;
        repeated Line lines = 5;
        map<string, int64> tags = 6;
        oneof paid { string card = 7; sint64 cash = 8; }
        Order next = 9;
    }"#;

/// The message for `prost`, which decodes it independently of the code that encodes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Order {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(int32, tag = "2")]
    state: i32,
    #[prost(message, optional, tag = "3")]
    placed: Option<Timestamp>,
    #[prost(string, optional, tag = "4")]
    note: Option<String>,
    #[prost(message, repeated, tag = "5")]
    lines: Vec<Line>,
    #[prost(btree_map = "string, int64", tag = "6")]
    tags: BTreeMap<String, i64>,
    #[prost(oneof = "Paid", tags = "7, 8")]
    paid: Option<Paid>,
    #[prost(message, optional, boxed, tag = "9")]
    next: Option<Box<Order>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(string, tag = "1")]
    article: String,
    #[prost(uint32, tag = "2")]
    count: u32,
    #[prost(double, tag = "3")]
    price: f64,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Paid {
    #[prost(string, tag = "7")]
    Card(String),
    #[prost(sint64, tag = "8")]
    Cash(i64),
}

const JSON: &str = r##"{"type": "object", "required": ["id", "items"], "properties": {
    "id": {"type": "string", "format": "uuid"}, "note": {"type": ["string", "null"], "maxLength": 9},
    "items": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"$ref": "#/$defs/item"}}},
    "additionalProperties": false,
    "$defs": {"item": {"type": "object", "required": ["count"], "properties": {
        "count": {"type": "integer", "minimum": 1, "maximum": 20}, "price": {"type": "number"}}}}}"##;

/// A record that a handler got.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    key: Option<String>,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    timestamp_ms: Option<i64>,
}

/// All records by partition, producer and sequence.
type All = BTreeMap<(u32, u32, u64), Seen>;

struct Keeps(Arc<Mutex<All>>);

impl Handler for Keeps {
    fn handle(&mut self, record: &Record<'_>) -> Result<(), HandlerError> {
        let place = (record.partition.0, record.stamp.producer.0, record.stamp.sequence);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let headers = record.headers.iter();
        let seen = Seen {
            key: record.key.map(text),
            value: record.value.to_vec(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.unwrap_or_default().to_vec())).collect(),
            timestamp_ms: record.timestamp_ms,
        };
        self.0.lock().unwrap().insert(place, seen);
        Ok(())
    }
}

/// The records that the handlers of a run got.
fn seen(load: &str, broker: BrokerKind) -> (All, Summary) {
    let source = Source { name: "payload.toml".to_owned(), text: format!("{LOAD}{load}") };
    let overrides = Overrides { broker: Some(broker), ..Overrides::default() };
    let (plan, found) = compile(&source, &PATIENT.map(str::to_owned), &overrides);
    let plan = plan.unwrap_or_else(|| panic!("{found:?}"));
    let all = Arc::new(Mutex::new(All::new()));
    let kept = all.clone();
    let handlers = Handlers::new("keeps", move |_, _| Ok(Keeps(kept.clone())));
    let options = Options { handlers: Some(handlers), ..Options::default() };
    let summary = run(plan, options, Box::new(())).expect("a summary");
    assert_eq!(summary.verdict, Verdict::Passed, "{}", full_report(&summary, None));
    let all = all.lock().unwrap().clone();
    assert_eq!(all.len(), SENT);
    (all, summary)
}

#[test]
fn a_handler_sees_key_headers_timestamp_and_value_the_same_on_every_broker() {
    let load = format!(
        "partition = \"keyed\"\nkeys = 5\nkey = \"customer-{{{{key}}}}\"\n\
         headers = {{ source = \"shop\", trace = \"{{{{hex 32}}}}\" }}\n\
         payload = {{ avro = '''{AVRO}''', registry_id = 7 }}\n"
    );
    let schema = apache_avro::Schema::parse_str(AVRO).expect("a schema");
    let (embedded, _) = seen(&load, BrokerKind::EMBEDDED);
    let (sim, _) = seen(&load, BrokerKind::SIM);
    for seen in embedded.values() {
        let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["source", "trace", "lanekeeper"]);
        assert_eq!((&seen.headers[0].1[..], seen.headers[1].1.len()), (&b"shop"[..], 32));
        assert!(seen.key.as_ref().is_some_and(|key| key.starts_with("customer-")), "{seen:?}");
        // The value is a 0, the schema's id, and a datum that Avro's library reads to the last byte.
        assert_eq!(seen.value[..5], [0, 0, 0, 0, 7]);
        let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
        let mut rest = &seen.value[5..];
        let Avro::Record(fields) = reader.read_value(&mut rest).expect("a value") else {
            panic!("{seen:?}")
        };
        assert_eq!((fields.len(), rest.len()), (7, 0));
        // The timestamps are times of this machine, which are after 2020.
        assert!(seen.timestamp_ms.is_some_and(|ms| ms > 1_577_836_800_000), "{seen:?}");
    }
    assert!(sim.values().all(|seen| seen.timestamp_ms.is_some_and(|ms| (0..40_000).contains(&ms))));
    // Both brokers have the same records, except for stamps and times.
    let plain = |all: &All| {
        let parts = |seen: &Seen| (seen.key.clone(), seen.value.clone(), seen.headers[1].clone());
        all.iter().map(|(place, seen)| (*place, parts(seen))).collect::<BTreeMap<_, _>>()
    };
    let (embedded, sim) = (plain(&embedded), plain(&sim));
    for (place, record) in &embedded {
        assert_eq!(sim.get(place), Some(record), "{place:?}");
    }
}

#[test]
fn values_of_a_protobuf_schema_are_messages_of_it_the_same_on_every_broker() {
    let load = |header: &str| {
        format!("payload = {{ protobuf = '''{PROTOBUF}''', message = \"shop.Order\"{header} }}\n")
    };
    let (embedded, _) = seen(&load(", registry_id = 7"), BrokerKind::EMBEDDED);
    let (sim, _) = seen(&load(", registry_id = 7"), BrokerKind::SIM);
    let (bare, _) = seen(&load(""), BrokerKind::SIM);
    let mut orders = Vec::new();
    for (place, seen) in &embedded {
        // The value begins with a 0, the schema's id, and the message indexes: one index, which is 1 for the second
        // message. Both numbers are zigzag varints.
        let (header, value) = seen.value.split_at(7);
        assert_eq!(header, [0, 0, 0, 0, 7, 2, 2]);
        let order: Order = prost::Message::decode(value).expect("an order");
        // `prost` encodes the message into the same bytes.
        assert_eq!(prost::Message::encode_to_vec(&order), value);
        assert_eq!(seen.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["lanekeeper"]);
        assert_eq!(sim[place].value, seen.value);
        assert_eq!(bare[place].value, value);
        orders.push(order);
    }
    // All alternatives occur. With 20 orders, one is missing for one of a thousand seeds, and the seed is fixed.
    assert!(orders.iter().all(|order| !order.id.is_empty() && [0, 7].contains(&order.state)));
    assert!(orders.iter().any(|order| matches!(order.paid, Some(Paid::Card(_)))));
    assert!(orders.iter().any(|order| matches!(order.paid, Some(Paid::Cash(_)))));
    assert!(orders.iter().any(|order| order.next.is_some() && !order.lines.is_empty()));
    assert!(orders.iter().any(|order| order.note.is_some() && !order.tags.is_empty()));
    let placed = orders.iter().filter_map(|order| order.placed.as_ref());
    let placed: Vec<i64> = placed.map(|placed| placed.seconds).collect();
    assert!(
        !placed.is_empty() && placed.iter().all(|at| (1_577_836_800..1_893_456_000).contains(at))
    );
}

#[test]
fn a_protobuf_schema_in_a_file_imports_from_its_directory() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let write = |name: &str, text: &str| {
        std::fs::create_dir_all(directory.path().join("parts")).expect("a directory");
        std::fs::write(directory.path().join(name), text).expect("a scratch file");
    };
    write("parts/line.proto", "syntax = \"proto3\"; message Line { uint32 count = 2; }");
    let order =
        "syntax = \"proto3\"; import \"parts/line.proto\"; message Order { Line line = 5; }";
    write("order.proto", order);
    let path = directory.path().join("order.proto");
    let load = format!("payload = {{ protobuf = '{}' }}\n", path.display());
    for seen in seen(&load, BrokerKind::SIM).0.values() {
        let order: Order = prost::Message::decode(&seen.value[..]).expect("an order");
        assert!(order.lines.len() <= 1 && order.lines.iter().all(|line| line.article.is_empty()));
    }
}

#[test]
fn values_of_a_json_schema_are_valid_by_it() {
    let load = format!("payload = {{ json_schema = '''{JSON}''' }}\n");
    let validator = jsonschema::validator_for(&serde_json::from_str(JSON).expect("JSON"));
    let validator = validator.expect("a schema");
    for seen in seen(&load, BrokerKind::SIM).0.values() {
        let value = serde_json::from_slice(&seen.value).expect("JSON");
        assert!(validator.is_valid(&value), "{value}");
        assert!(seen.key.is_none());
    }
}

#[test]
fn lines_of_a_file_and_templates_are_values() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("lines.txt");
    std::fs::write(&path, "one\r\ntwo\n\nthree").expect("a scratch file");
    let load = format!("payload = {{ lines = '{}' }}\n", path.display());
    for ((_, producer, sequence), seen) in seen(&load, BrokerKind::SIM).0 {
        let expected = ["one", "two", "three"][(u64::from(producer) + sequence) as usize % 3];
        assert_eq!(seen.value, expected.as_bytes());
    }
    let load = "payload = { template = '{\"n\": {{sequence}}, \"of\": {{producer}}}' }\n";
    for ((_, producer, sequence), seen) in seen(load, BrokerKind::SIM).0 {
        let expected = format!("{{\"n\": {sequence}, \"of\": {producer}}}");
        assert_eq!(String::from_utf8(seen.value).expect("text"), expected);
    }
}

#[test]
fn sizes_differ_and_the_stamp_stays_in_the_value() {
    let load = "payload = { size = { min = \"100B\", max = \"900B\" }, entropy = 0.2 }\n";
    for broker in [BrokerKind::EMBEDDED, BrokerKind::SIM] {
        let (all, _) = seen(load, broker);
        let sizes: std::collections::BTreeSet<usize> =
            all.values().map(|seen| seen.value.len()).collect();
        assert!(sizes.len() > 10 && sizes.iter().all(|size| (100..=900).contains(size)));
        assert!(all.values().all(|seen| seen.headers.is_empty() && seen.value.starts_with(b"LK")));
    }
}
