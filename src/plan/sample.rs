//! The content of records as text, with a sample, for `check`.

use super::{LoadPlan, RecordFacts, RecordWriter};
use crate::base::{PartitionId, ProducerId, STAMP_HEADER, Seed, Time, format_bytes, printable};

/// A line for each part. Empty if a record is a stamp and filler of a constant size.
pub(super) fn payload_lines(load: &LoadPlan, seed: Seed) -> Vec<String> {
    let payload = &load.payload;
    if payload.is_plain() {
        return Vec::new();
    }
    let stamp = match payload.stamps_a_header() {
        true => format!("the stamp is the header `{STAMP_HEADER}`"),
        false => "the stamp is at the beginning of the value".to_owned(),
    };
    let id = payload.registry_id.map(|id| format!(", behind the registry's id {id}"));
    let mut lines = vec![format!("{}{}; {stamp}", payload.value, id.unwrap_or_default())];
    if let Some(per_second) = load.highest_per_second() {
        let bytes = format_bytes((per_second * f64::from(load.payload_bytes)) as u64);
        lines.push(format!("about {bytes} a second: keys, values and headers"));
    }
    let (producer, partition) = (ProducerId(0), PartitionId(0));
    let facts = RecordFacts { producer, partition, sequence: 0, key: Some(0), now: Time::ZERO };
    let mut writer = RecordWriter::new(payload.clone(), seed);
    // Schemas without values were refused when the plan was built.
    let Ok(record) = writer.sample(&facts) else { return lines };
    lines.extend(record.key.map(|key| format!("sample key: {}", shown(key))));
    lines.push(format!("sample value: {}", shown(record.value)));
    lines.extend(record.headers.iter().take(SAMPLE_HEADERS_MAX).map(|(name, value)| {
        format!("sample header `{}`: {}", printable(name), shown(value.unwrap_or_default()))
    }));
    lines
}

/// Largest number of headers of a sample that are shown.
const SAMPLE_HEADERS_MAX: usize = 8;
/// Largest number of characters of a sample that are shown.
const SAMPLE_MAX: usize = 160;

/// The beginning of some bytes, as text or in hexadecimal digits.
fn shown(bytes: &[u8]) -> String {
    let (text, more) = match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => {
            (text.chars().take(SAMPLE_MAX).collect::<String>(), text.chars().count() > SAMPLE_MAX)
        }
        _ => {
            let hex = bytes.iter().take(SAMPLE_MAX / 4).map(|byte| format!("{byte:02x}"));
            (format!("0x{}", hex.collect::<String>()), bytes.len() > SAMPLE_MAX / 4)
        }
    };
    let rest = if more { format!(".. ({} B)", bytes.len()) } else { String::new() };
    format!("{}{rest}", printable(&text))
}
