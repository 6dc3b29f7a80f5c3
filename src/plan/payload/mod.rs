//! The content of records: values, keys and headers. Also the writer that makes each record.
//!
//! A record depends only on the seed, its producer, its partition and its sequence. So it is the same on every broker,
//! after every restart, and in every retry.

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

/// The content of records.
#[derive(Clone, Debug, PartialEq)]
pub struct PayloadPlan {
    /// The values.
    pub value: ValuePlan,
    /// The key; `None` for records without keys.
    pub key: Option<Template>,
    /// The headers, without that of the stamp.
    pub headers: Vec<(String, Template)>,
    /// The id of the schema in a registry, which precedes each value; `None` without an id.
    pub registry_id: Option<u32>,
}

/// The way in which values are made.
#[derive(Clone, Debug, PartialEq)]
pub enum ValuePlan {
    /// A stamp and filler.
    Filler {
        /// Size of the values.
        size: SizePlan,
        /// Share of the filler's bytes that are random. The others are 0.
        entropy: f64,
    },
    /// Values from one or more files, in turn.
    Given(Arc<Vec<Vec<u8>>>),
    /// A text with placeholders.
    Template(Template),
    /// Avro values of a schema.
    Avro(AvroPlan),
    /// JSON values of a JSON Schema.
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
    /// Values of a constant size, without keys and headers.
    pub fn plain(bytes: u32) -> PayloadPlan {
        PayloadPlan {
            value: ValuePlan::Filler { size: SizePlan::Fixed(bytes), entropy: 1.0 },
            key: None,
            headers: Vec::new(),
            registry_id: None,
        }
    }

    /// True if records are a stamp and random filler of a constant size, without key and headers.
    pub fn is_plain(&self) -> bool {
        let is_usual = matches!(self.value, ValuePlan::Filler { size: SizePlan::Fixed(_), entropy }
            if entropy >= 1.0);
        is_usual && self.key.is_none() && self.headers.is_empty()
    }

    /// True if the stamp is a header, because the value has no room for it.
    pub fn stamps_a_header(&self) -> bool {
        !matches!(self.value, ValuePlan::Filler { .. })
    }

    /// Appends the value of a record to `out`. Filler includes room for the stamp.
    ///
    /// # Errors
    /// The schema is infinitely recursive, or its values exceed a limit.
    fn write_value(
        &self,
        out: &mut Vec<u8>,
        facts: &RecordFacts,
        random: &mut Random,
    ) -> Result<(), String> {
        if let Some(id) = self.registry_id {
            // The format of the registry: a 0 byte, and the id as four bytes in big-endian order.
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

/// Size of a block in bytes. Each block begins with its random bytes. Blocks are small, so that a compressor finds
/// random and other bytes everywhere.
const BLOCK_BYTES: usize = 256;

/// Fills each block with random bytes up to the share `entropy`.
fn fill(bytes: &mut [u8], entropy: f64, random: &mut Random) {
    for block in bytes.chunks_mut(BLOCK_BYTES) {
        let count = (block.len() as f64 * entropy).round() as usize;
        random.fill(&mut block[..count]);
    }
}

/// Makes records. Its buffers are reused for each record.
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
    /// A writer for the plan. The same seed makes the same records.
    pub fn new(plan: Arc<PayloadPlan>, seed: Seed) -> RecordWriter {
        let seed = seed.child("payload", 0);
        let (value, key, headers, packed) = Default::default();
        RecordWriter { plan, seed, value, key, headers, packed }
    }

    /// Makes a record with this stamp. Returns its value, or its packed form, and true for the packed form.
    pub fn write(&mut self, stamp: &Stamp, facts: &RecordFacts) -> (&[u8], bool) {
        // Schemas without values were refused when the plan was built.
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

    /// A record without a stamp, for display.
    ///
    /// # Errors
    /// The schema is infinitely recursive, or its values exceed a limit.
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
                // Bytes that are not random also cost something: a reference for each run of zeros.
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
