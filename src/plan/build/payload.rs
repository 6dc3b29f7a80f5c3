//! The content of records: values, keys and headers. Every record fits the limits of the client and the broker.

use std::sync::Arc;

use super::payload_limits::{fits_broker, fits_client};
use super::payload_sources::{sourced, template};
use crate::base::{PartitionId, ProducerId, STAMP_BYTES, Seed, Time, printable};
use crate::plan::{
    BrokerPlan, PayloadPlan, RecordFacts, RecordWriter, SizePlan, Template, ValuePlan,
};
use crate::reader::{Findings, GivenKey};
use crate::scenario::payload::{Payload, PayloadTable, RandomSize, SizeSpan};
use crate::scenario::{At, Bytes, Diagnostic, Load, Origin, Scenario, codes};

/// Default size of a value in bytes.
const PAYLOAD_DEFAULT: u32 = 100;
/// Largest number of headers of a record.
const HEADERS_MAX: usize = 100;
/// Number of sample records from which sizes are learned.
const SAMPLES: u64 = 200;
/// Number of sizes that are drawn to estimate their mean.
const SIZES: u64 = 10_000;
/// Bytes of the header with the stamp: name and value, each with its length.
const STAMP_HEADER_BYTES: u64 = 60;

/// The content of records, and the sizes of key, value and headers together.
pub(super) struct BuiltPayload {
    pub(super) plan: PayloadPlan,
    /// The mean size in bytes, rounded up.
    pub(super) mean_bytes: u32,
    /// The largest size in bytes. For values from a template or a schema, the largest one of the samples.
    pub(super) most_bytes: u32,
}

/// The content of records. A record that the client or the broker would refuse is an error.
pub(super) fn build(
    scenario: &Scenario,
    broker: &BrokerPlan,
    is_keyed: bool,
    found: &mut Findings,
) -> BuiltPayload {
    let load = &scenario.load;
    let before = found.count_so_far();
    let (value, registry_id) = match load.payload.as_ref().map(|at| &at.value) {
        None => (filler(SizePlan::Fixed(PAYLOAD_DEFAULT), 1.0), None),
        Some(Payload::Size(_)) => (plain(load, found), None),
        Some(Payload::Table(table)) => value(table, is_keyed, found),
    };
    let plan = PayloadPlan {
        value,
        key: key_text(load, is_keyed, found),
        headers: headers(load, is_keyed, found),
        registry_id,
    };
    let (mean_bytes, most_bytes) = match sizes(&plan) {
        Ok(sizes) => sizes,
        Err(error) => {
            let origin = schema_place(load);
            let message = format!("no value can be made of the schema: {}", printable(&error));
            found.push(
                Diagnostic::error(codes::BAD_SCHEMA, origin, message)
                    .remedy("use a schema whose types are all supported, and that ends"),
            );
            (u64::from(PAYLOAD_DEFAULT), u64::from(PAYLOAD_DEFAULT))
        }
    };
    let built = BuiltPayload {
        plan,
        mean_bytes: u32::try_from(mean_bytes).unwrap_or(u32::MAX),
        most_bytes: u32::try_from(most_bytes).unwrap_or(u32::MAX),
    };
    let is_wrong = found.count_so_far() > before;
    let places = [
        load.payload.as_ref().map(|at| (at.origin, at.key)),
        load.headers.as_ref().map(|at| (at.origin, at.key)),
        load.key.as_ref().map(|at| (at.origin, at.key)),
    ];
    if let (Some((origin, key)), false) = (places.into_iter().flatten().next(), is_wrong) {
        let largest = At { value: Bytes(most_bytes), origin, key };
        let kind = broker.kind();
        if !fits_client(&largest, kind, &scenario.client, found)
            || !fits_broker(&largest, kind, found)
        {
            let plan = PayloadPlan::plain(PAYLOAD_DEFAULT);
            return BuiltPayload { plan, mean_bytes: PAYLOAD_DEFAULT, ..built };
        }
    }
    built
}

/// Place of the schema in the scenario.
fn schema_place(load: &Load) -> Origin {
    let Some(at) = &load.payload else { return Origin::WholeFile };
    let Payload::Table(table) = &at.value else { return at.origin };
    let schema = table.avro.as_ref().or(table.json_schema.as_ref()).or(table.protobuf.as_ref());
    schema.map_or(at.origin, |schema| schema.origin)
}

fn filler(size: SizePlan, entropy: f64) -> ValuePlan {
    ValuePlan::Filler { size, entropy }
}

/// Values of the size `load.payload`.
fn plain(load: &Load, found: &mut Findings) -> ValuePlan {
    let Some(At { value: Payload::Size(bytes), origin, key }) = &load.payload else {
        return filler(SizePlan::Fixed(PAYLOAD_DEFAULT), 1.0);
    };
    let at = At { value: *bytes, origin: *origin, key: *key };
    filler(SizePlan::Fixed(with_stamp("load.payload", &at, found)), 1.0)
}

/// Checks that a size has room for the stamp.
fn with_stamp(name: &str, at: &At<Bytes>, found: &mut Findings) -> u32 {
    let bytes = at.value.0;
    if bytes < STAMP_BYTES as u64 {
        let message = format!("`{name}` of {bytes} B has no room for the stamp");
        let remedy =
            format!("the smallest is {STAMP_BYTES}B: run, producer, sequence, times, checksum");
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
        return PAYLOAD_DEFAULT;
    }
    // Larger sizes are refused by the limits of client and broker.
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The values of a payload table, and the id of the schema in a registry.
fn value(payload: &PayloadTable, is_keyed: bool, found: &mut Findings) -> (ValuePlan, Option<u32>) {
    let sources = [
        ("lines", &payload.lines),
        ("files", &payload.files),
        ("template", &payload.template),
        ("avro", &payload.avro),
        ("json_schema", &payload.json_schema),
        ("protobuf", &payload.protobuf),
    ];
    let mut given = sources.into_iter().filter_map(|(name, at)| Some((name, at.as_ref()?)));
    let first = given.next();
    if let (Some((name, _)), Some((other, at))) = (first, given.next()) {
        let message =
            format!("`load.payload` has `{name}` and `{other}`, and values have one source");
        found.push(
            Diagnostic::error(codes::CONFLICT, at.key, message)
                .remedy(format!("keep `{name}` or `{other}`")),
        );
    }
    let has_schema = matches!(first, Some(("avro" | "json_schema" | "protobuf", _)));
    if !has_schema {
        let works_with = "`avro`, `json_schema` or `protobuf`";
        let name = "load.payload.registry_id";
        found.no_effect(name, payload.registry_id.as_ref(), works_with, "values of no schema");
    }
    if !matches!(first, Some(("protobuf", _))) {
        let name = "load.payload.message";
        found.no_effect(
            name,
            payload.message.as_ref(),
            "`protobuf`",
            "values of no Protobuf schema",
        );
    }
    let registry_id = payload.registry_id.as_ref().filter(|_| has_schema).map(|at| {
        u32::try_from(at.value).ok().filter(|id| i32::try_from(*id).is_ok()).unwrap_or_else(|| {
            let message = "`load.payload.registry_id` must be from 0 to 2147483647";
            found.push(
                Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                    .remedy("a registry counts its schemas from 1"),
            );
            0
        })
    });
    let Some((name, at)) = first else {
        let size = payload.size.as_ref();
        let size = size.map_or(SizePlan::Fixed(PAYLOAD_DEFAULT), |at| self::size(at, found));
        let entropy = found.number(
            GivenKey::new("load.payload.entropy", payload.entropy.as_ref()),
            1.0,
            0.0..=1.0,
            "0 is zeros only, 1 is random bytes only",
        );
        return (filler(size, entropy), None);
    };
    let unused = [
        ("size", payload.size.as_ref().map(|at| at.key)),
        ("entropy", payload.entropy.as_ref().map(|at| at.key)),
    ];
    for (unused, key) in unused.into_iter().filter_map(|(unused, key)| Some((unused, key?))) {
        let message = format!("`load.payload.{unused}` has no effect with values from `{name}`");
        let diagnostic = Diagnostic::error(codes::NO_EFFECT, key, message);
        found.push_for_others(diagnostic.remedy(format!("remove it, or remove `{name}`")));
    }
    let fallback = || filler(SizePlan::Fixed(PAYLOAD_DEFAULT), 1.0);
    (sourced(name, at, payload, is_keyed, found).unwrap_or_else(fallback), registry_id)
}

/// The sizes of values.
fn size(at: &At<SizeSpan>, found: &mut Findings) -> SizePlan {
    let name = "load.payload.size";
    let random = match &at.value {
        SizeSpan::Fixed(bytes) => {
            let at = At { value: *bytes, origin: at.origin, key: at.key };
            return SizePlan::Fixed(with_stamp(name, &at, found));
        }
        SizeSpan::Random(random) => random,
    };
    let RandomSize { min, max, p50, p99 } = &**random;
    let mut bytes = |part: &str, at: &At<Bytes>| with_stamp(&format!("{name}.{part}"), at, found);
    let stamp = STAMP_BYTES as u32;
    let (plan, in_order) = match (min, max, p50, p99) {
        (Some(min), Some(max), None, None) => {
            let (least, most) = (bytes("min", min), bytes("max", max));
            (SizePlan::Uniform { least, most }, least <= most)
        }
        (min, Some(max), Some(p50), Some(p99)) => {
            let least = min.as_ref().map_or(stamp, |min| bytes("min", min));
            let (median, p99, most) = (bytes("p50", p50), bytes("p99", p99), bytes("max", max));
            let in_order = least <= median && median <= p99 && p99 <= most;
            let (median, p99) = (f64::from(median), f64::from(p99));
            (SizePlan::Lognormal { median, p99, least, most }, in_order)
        }
        _ => {
            let message = format!("`{name}` needs `min` and `max`, or `p50`, `p99` and `max`");
            found.push(
                Diagnostic::error(codes::EXACTLY_ONE, at.origin, message)
                    .remedy("for example `size = { min = \"200B\", max = \"2KiB\" }`"),
            );
            return SizePlan::Fixed(PAYLOAD_DEFAULT);
        }
    };
    if !in_order {
        let message = format!("the sizes of `{name}` do not ascend");
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("write `min` <= `p50` <= `p99` <= `max`"),
        );
        return SizePlan::Fixed(PAYLOAD_DEFAULT);
    }
    plan
}

/// The template of the records' key; `None` without keys. With `keyed`, the default is the number of the key.
fn key_text(load: &Load, is_keyed: bool, found: &mut Findings) -> Option<Template> {
    match &load.key {
        Some(at) => template("load.key", at, is_keyed, found),
        None => is_keyed.then(|| Template::parse("{{key}}", true).ok()).flatten(),
    }
}

fn headers(load: &Load, is_keyed: bool, found: &mut Findings) -> Vec<(String, Template)> {
    let Some(at) = &load.headers else { return Vec::new() };
    if at.value.0.len() > HEADERS_MAX {
        let message = format!("`load.headers` has more than {HEADERS_MAX} headers");
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message)
                .remedy("put what belongs together into one header"),
        );
    }
    let mut planned = Vec::new();
    for (name, text) in &at.value.0 {
        if name == crate::base::STAMP_HEADER {
            let message = format!("the header `{name}` is that of the stamp");
            found.push(
                Diagnostic::error(codes::CONFLICT, text.key, message)
                    .remedy("give it another name"),
            );
        }
        if name.is_empty() || name.contains(char::is_control) {
            let message = format!("`{}` is no name of a header", printable(name));
            found.push(
                Diagnostic::error(codes::BAD_TEMPLATE, text.key, message)
                    .remedy("a name has letters, and no control characters"),
            );
        }
        let key = format!("load.headers.{name}");
        planned.extend(template(&key, text, is_keyed, found).map(|text| (name.clone(), text)));
    }
    planned
}

/// The mean and the largest size of key, value and headers together, in bytes.
fn sizes(plan: &PayloadPlan) -> Result<(u64, u64), String> {
    let ValuePlan::Filler { size, .. } = plan.value else {
        let (mean, most) = sampled(plan)?;
        return Ok((mean + STAMP_HEADER_BYTES, most + STAMP_HEADER_BYTES));
    };
    let mut random = Seed(1).random();
    let drawn = (0..SIZES).map(|_| u64::from(size.draw(&mut random))).sum::<u64>();
    let (mean, most) = (drawn.div_ceil(SIZES), u64::from(size.most()));
    // The sizes of key and headers do not depend on the value's size.
    let value = filler(SizePlan::Fixed(STAMP_BYTES as u32), 1.0);
    let (other_mean, other_most) = sampled(&PayloadPlan { value, ..plan.clone() })?;
    let stamp = STAMP_BYTES as u64;
    Ok((mean + other_mean - stamp, most + other_most - stamp))
}

/// The mean and the largest size of sample records.
fn sampled(plan: &PayloadPlan) -> Result<(u64, u64), String> {
    let mut writer = RecordWriter::new(Arc::new(plan.clone()), Seed(1));
    let samples = match &plan.value {
        ValuePlan::Given(values) => SAMPLES.max(values.len() as u64),
        _ => SAMPLES,
    };
    let (mut sum, mut most) = (0, 0);
    for sequence in 0..samples {
        let bytes = writer.sample(&sample_facts(sequence))?.bytes() as u64;
        (sum, most) = (sum + bytes, most.max(bytes));
    }
    Ok((sum.div_ceil(samples), most))
}

/// Facts of a sample record.
fn sample_facts(sequence: u64) -> RecordFacts {
    RecordFacts {
        producer: ProducerId(0),
        partition: PartitionId(0),
        sequence,
        key: Some(0),
        now: Time::ZERO,
    }
}
