//! What records consist of: how values are made, keys and headers; and the writer that makes each record.
//!
//! A record follows from the seed, its producer, its partition and its number in the lane, so it is the same on every
//! broker, after every restart, and when it is tried again.

mod avro;
mod budget;
mod json;
mod protobuf;
mod size;
mod template;

use std::fmt;
use std::sync::Arc;

pub use self::avro::AvroPlan;
pub use self::json::JsonPlan;
pub use self::protobuf::ProtobufPlan;
pub use self::size::SizePlan;
pub use self::template::{PLACEHOLDERS, RecordFacts, Template, TemplateError};
use crate::base::{
    Headers, Random, RecordView, STAMP_BYTES, STAMP_HEADER, Seed, Stamp, put_header, put_varint,
    stamp_parts,
};

/// What records consist of.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadPlan {
    /// Their values.
    pub value: ValuePlan,
    /// Their keys, if they have any.
    pub key: Option<Template>,
    /// Their headers, besides that of the stamp.
    pub headers: Vec<(String, Template)>,
    /// What precedes a value of a schema: the id of the schema in a registry.
    pub registry_id: Option<u32>,
}

/// How values are made.
#[derive(Clone, Debug, PartialEq)]
pub enum ValuePlan {
    /// A stamp and filler.
    Filler {
        /// How large they are.
        size: SizePlan,
        /// The share of the filler's bytes that are random; the others are 0.
        entropy: f64,
    },
    /// Values of a file, or of files, in turn.
    Given(Arc<Vec<Vec<u8>>>),
    /// A text with placeholders.
    Template(Template),
    /// Avro, by a schema.
    Avro(AvroPlan),
    /// JSON, by a JSON Schema.
    Json(JsonPlan),
    /// A message of a Protobuf schema.
    Protobuf(ProtobufPlan),
}

impl fmt::Display for ValuePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValuePlan::Filler { size, entropy } => {
                let random = (entropy * 100.0).round();
                match *size {
                    SizePlan::Fixed(bytes) => write!(f, "{bytes} B")?,
                    SizePlan::Uniform { least, most } => write!(f, "{least} to {most} B")?,
                    SizePlan::Lognormal { median, p99, most, .. } => {
                        write!(f, "{median} B (p50), {p99} B (p99), at most {most} B")?;
                    }
                }
                write!(f, ", {random} % of it random")
            }
            ValuePlan::Given(values) => write!(f, "{} values of files, in turn", values.len()),
            ValuePlan::Template(_) => f.write_str("a template"),
            ValuePlan::Avro(_) => f.write_str("Avro by a schema"),
            ValuePlan::Json(_) => f.write_str("JSON by a schema"),
            ValuePlan::Protobuf(_) => f.write_str("Protobuf by a schema"),
        }
    }
}

impl PayloadPlan {
    /// Values of always this size, and nothing else.
    pub fn plain(bytes: u32) -> PayloadPlan {
        PayloadPlan {
            value: ValuePlan::Filler { size: SizePlan::Fixed(bytes), entropy: 1.0 },
            key: None,
            headers: Vec::new(),
            registry_id: None,
        }
    }

    /// Whether records are a stamp and random filler of always the same size, without key and headers.
    pub fn is_plain(&self) -> bool {
        let is_usual = matches!(self.value, ValuePlan::Filler { size: SizePlan::Fixed(_), entropy }
            if entropy >= 1.0);
        is_usual && self.key.is_none() && self.headers.is_empty()
    }

    /// Whether the stamp is a header: the value has no room for it.
    pub fn stamps_a_header(&self) -> bool {
        !matches!(self.value, ValuePlan::Filler { .. })
    }

    /// Appends the value of a record to `out`; of filler, with room for the stamp.
    ///
    /// # Errors
    /// The schema gives no value: it goes on without end.
    fn write_value(
        &self,
        out: &mut Vec<u8>,
        facts: &RecordFacts,
        random: &mut Random,
    ) -> Result<(), String> {
        if let Some(id) = self.registry_id {
            // The format of the registry: a 0, and the id as four bytes, the highest first.
            out.push(0);
            out.extend_from_slice(&id.to_be_bytes());
            if let ValuePlan::Protobuf(protobuf) = &self.value {
                protobuf.write_index(out);
            }
        }
        match &self.value {
            ValuePlan::Filler { size, entropy } => {
                let from = out.len();
                out.resize(from + size.draw(random) as usize, 0);
                fill(&mut out[from..], *entropy, random);
            }
            ValuePlan::Given(values) => {
                let number = facts.sequence.wrapping_add(facts.producer.0.into());
                let value = values.get((number % values.len().max(1) as u64) as usize);
                out.extend_from_slice(value.map_or(&[], |value| value));
            }
            ValuePlan::Template(template) => template.write(out, facts, random),
            ValuePlan::Avro(avro) => avro.write(out, random)?,
            ValuePlan::Json(json) => json.write(out, random)?,
            ValuePlan::Protobuf(protobuf) => protobuf.write(out, random)?,
        }
        Ok(())
    }
}

/// Bytes in which random ones come first: so small that a compressor finds random and other bytes everywhere.
const BLOCK_BYTES: usize = 256;

/// Fills with random bytes, up to this share of each block.
fn fill(bytes: &mut [u8], entropy: f64, random: &mut Random) {
    for block in bytes.chunks_mut(BLOCK_BYTES) {
        let count = (block.len() as f64 * entropy).round() as usize;
        random.fill(&mut block[..count]);
    }
}

/// Makes records. Its memory is used again for each.
#[derive(Debug)]
pub struct RecordWriter {
    plan: Arc<PayloadPlan>,
    seed: Seed,
    value: Vec<u8>,
    key: Vec<u8>,
    headers: Vec<u8>,
    packed: Vec<u8>,
}

impl RecordWriter {
    /// A writer of what the plan says; the same seed makes the same records.
    pub fn new(plan: Arc<PayloadPlan>, seed: Seed) -> RecordWriter {
        let seed = seed.child("payload", 0);
        let (value, key, headers, packed) = Default::default();
        RecordWriter { plan, seed, value, key, headers, packed }
    }

    /// Makes a record with this stamp: its value, or its packed form, and which of them it is.
    pub fn write(&mut self, stamp: &Stamp, facts: &RecordFacts) -> (&[u8], bool) {
        // A schema that gives no value was refused with the plan.
        let _ = self.make(facts);
        let RecordWriter { plan, value, key, headers, packed, .. } = self;
        let its_key = plan.key.as_ref().map(|_| &key[..]);
        let mut count = plan.headers.len() as i32;
        match plan.stamps_a_header() {
            true => {
                let mut header = [0; STAMP_BYTES];
                stamp_parts(stamp, its_key, value, Some(&mut header));
                put_header(headers, STAMP_HEADER, Some(&header));
                count += 1;
            }
            false => stamp_parts(stamp, its_key, value, None),
        }
        if its_key.is_none() && count == 0 {
            return (&self.value, false);
        }
        packed.clear();
        let part = |packed: &mut Vec<u8>, part: Option<&[u8]>| {
            put_varint(packed, part.map_or(-1, |part| part.len() as i32));
            packed.extend_from_slice(part.unwrap_or_default());
        };
        part(packed, its_key);
        part(packed, Some(value));
        put_varint(packed, count);
        packed.extend_from_slice(headers);
        (&self.packed, true)
    }

    /// Makes value, key and headers, without a stamp.
    fn make(&mut self, facts: &RecordFacts) -> Result<(), String> {
        let lane = u64::from(facts.producer.0) << 32 | u64::from(facts.partition.0);
        let mut random = self.seed.child("lane", lane).child("record", facts.sequence).random();
        [&mut self.value, &mut self.key, &mut self.headers].into_iter().for_each(Vec::clear);
        if let Some(key) = &self.plan.key {
            key.write(&mut self.key, facts, &mut random);
        }
        for (name, template) in &self.plan.headers {
            let mut value = Vec::new();
            template.write(&mut value, facts, &mut random);
            put_header(&mut self.headers, name, Some(&value));
        }
        self.plan.write_value(&mut self.value, facts, &mut random)
    }

    /// A record without a stamp, to be looked at.
    ///
    /// # Errors
    /// The schema gives no value: it goes on without end.
    pub fn sample(&mut self, facts: &RecordFacts) -> Result<RecordView<'_>, String> {
        self.make(facts)?;
        Ok(RecordView {
            key: self.plan.key.as_ref().map(|_| &self.key[..]),
            value: &self.value,
            headers: Headers::written(&self.headers),
            timestamp_ms: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::base::{PartitionId, ProducerId, Time};

    fn facts(sequence: u64) -> RecordFacts {
        let (producer, partition) = (ProducerId(3), PartitionId(1));
        RecordFacts { producer, partition, sequence, key: None, now: Time::ZERO }
    }

    fn values(plan: PayloadPlan, count: u64) -> Vec<u8> {
        let mut writer = RecordWriter::new(Arc::new(plan), Seed(1));
        (0..count).flat_map(|k| writer.sample(&facts(k)).expect("a value").value.to_vec()).collect()
    }

    #[test]
    fn compressors_leave_about_the_share_that_is_random() {
        for entropy in [0.0, 0.3, 0.7, 1.0] {
            let value = ValuePlan::Filler { size: SizePlan::Fixed(1_000), entropy };
            let bytes = values(PayloadPlan { value, ..PayloadPlan::plain(100) }, 200);
            let mut gzip =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(&bytes).expect("memory");
            let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
            lz4.write_all(&bytes).expect("memory");
            let sizes = [gzip.finish().expect("gzip").len(), lz4.finish().expect("lz4").len()];
            for left in sizes.map(|size| size as f64 / bytes.len() as f64) {
                // What is not random costs something as well: a reference for each run of zeros.
                assert!((-0.01..0.06).contains(&(left - entropy)), "{entropy}: {left}");
            }
        }
    }

    #[test]
    fn a_record_follows_from_its_lane_and_number_alone() {
        let template = Template::parse("{{uuid}} {{int 1 9}}", false).expect("a template");
        let plan = PayloadPlan { value: ValuePlan::Template(template), ..PayloadPlan::plain(100) };
        let mut writer = RecordWriter::new(Arc::new(plan), Seed(1));
        let mut value = |facts: &RecordFacts| writer.sample(facts).expect("one").value.to_vec();
        let first = value(&facts(0));
        assert_ne!(value(&facts(1)), first);
        assert_ne!(value(&RecordFacts { partition: PartitionId(2), ..facts(0) }), first);
        assert_eq!(value(&facts(0)), first);
    }
}
