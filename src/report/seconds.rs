//! `seconds.jsonl`: a line for each interval of a partition, about a second long. The result directory writes it. The
//! page and the CSV output read it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{FileError, PartitionId, open_regular};

/// The name of the file.
pub(super) const SECONDS: &str = "seconds.jsonl";
/// Largest number of bytes of a line that are read. A written line has about 300.
const LINE_MAX: u64 = 4_096;

/// A line: the counts of a partition's records between two times, in seconds since the load began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Records acknowledged from the beginning of the load to `to_s`.
    pub acked: u64,
    /// Payload bytes processed.
    pub bytes: u64,
    /// Distinct records processed.
    pub delivered: u64,
    /// Records that failed to be sent, from the beginning of the load to `to_s`.
    pub failed: u64,
    /// Start of the interval.
    pub from_s: f64,
    /// True if records have waited since `from_s` and none was processed; `None` in files of earlier versions.
    #[serde(default)]
    pub is_stalled: Option<bool>,
    /// Lag at `to_s`, in records.
    pub lag: u64,
    /// The partition.
    pub partition: PartitionId,
    /// Records due in the measured window that were processed.
    pub processed_in_window: u64,
    /// Median of the response times of records due in the measured window, in microseconds; `null` without any.
    pub response_p50_us: Option<f64>,
    /// p99 of these response times, in microseconds; `null` without any.
    pub response_p99_us: Option<f64>,
    /// Records sent from the beginning of the load to `to_s`.
    pub sent: u64,
    /// End of the interval.
    pub to_s: f64,
}

/// The lines of the file in a result directory.
pub(super) struct Seconds {
    file: BufReader<File>,
    line: Vec<u8>,
}

impl Seconds {
    /// Opens the file.
    pub(super) fn open(directory: &Path) -> Result<Seconds, FileError> {
        let file = open_regular(&directory.join(SECONDS))?;
        Ok(Seconds { file: BufReader::with_capacity(1 << 16, file), line: Vec::new() })
    }

    fn read(&mut self) -> io::Result<Option<Second>> {
        self.line.clear();
        let mut limited = io::Read::take(&mut self.file, LINE_MAX);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if !self.line.ends_with(b"\n") && self.line.len() as u64 == LINE_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "it has a line that is too long"));
        }
        // A run that was cut off may have an incomplete line at the end.
        Ok(serde_json::from_slice(&self.line).ok())
    }
}

impl Iterator for Seconds {
    type Item = io::Result<Second>;

    fn next(&mut self) -> Option<io::Result<Second>> {
        self.read().transpose()
    }
}

/// A column of the CSV file.
type Column = (&'static str, fn(&Second) -> Option<f64>);

/// The columns. The first ones identify the interval.
const COLUMNS: [Column; 13] = [
    ("from_s", |s| Some(s.from_s)),
    ("to_s", |s| Some(s.to_s)),
    ("partition", |s| Some(f64::from(s.partition.0))),
    ("delivered", |s| Some(s.delivered as f64)),
    ("bytes", |s| Some(s.bytes as f64)),
    ("processed_in_window", |s| Some(s.processed_in_window as f64)),
    ("lag", |s| Some(s.lag as f64)),
    ("is_stalled", |s| s.is_stalled.map(|it| f64::from(u8::from(it)))),
    ("sent", |s| Some(s.sent as f64)),
    ("acked", |s| Some(s.acked as f64)),
    ("failed", |s| Some(s.failed as f64)),
    ("response_p50_us", |s| s.response_p50_us),
    ("response_p99_us", |s| s.response_p99_us),
];

/// Writes the lines as CSV: a line of names, and one for each interval of a partition. Values that were not measured
/// are empty.
///
/// # Errors
/// The text cannot be written, or a line cannot be read.
pub(super) fn write_csv(
    seconds: impl Iterator<Item = io::Result<Second>>,
    mut out: impl Write,
) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.map(|(name, _)| name).join(","))?;
    for second in seconds {
        let second = second?;
        let mut separator = "";
        for (_, value) in COLUMNS {
            out.write_all(separator.as_bytes())?;
            if let Some(value) = value(&second) {
                write!(out, "{value}")?;
            }
            separator = ",";
        }
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_column() {
        let json = serde_json::to_value(Second::default()).unwrap();
        let fields: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = COLUMNS.map(|(name, _)| name);
        columns.sort_unstable();
        assert_eq!(columns.to_vec(), fields);
    }

    #[test]
    fn what_was_not_measured_is_empty() {
        let second = Second {
            from_s: 5.0,
            to_s: 6.5,
            partition: PartitionId(7),
            delivered: 114,
            response_p99_us: Some(720.895),
            ..Second::default()
        };
        let mut text = Vec::new();
        write_csv([Ok(second)].into_iter(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (names, line) = text.split_once('\n').unwrap();
        assert!(names.starts_with("from_s,to_s,partition,delivered,"), "{names}");
        assert_eq!(line, "5,6.5,7,114,0,0,0,,0,0,0,,720.895\n");
    }

    #[test]
    fn half_a_line_at_the_end_is_left_out() {
        let scratch = tempfile::tempdir().unwrap();
        let mut text = serde_json::to_string(&Second::default()).unwrap() + "\n";
        text += "{\"to_s\":3.1,\"partition\":0,\"deliv";
        std::fs::write(scratch.path().join(SECONDS), text).unwrap();
        assert_eq!(Seconds::open(scratch.path()).unwrap().count(), 1);
        let long = "x".repeat(LINE_MAX as usize + 1);
        std::fs::write(scratch.path().join(SECONDS), long).unwrap();
        assert!(Seconds::open(scratch.path()).unwrap().next().unwrap().is_err());
    }
}
