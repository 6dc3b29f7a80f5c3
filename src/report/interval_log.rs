//! The interval log: one distribution per line, encoded and compressed for distributions of some hundred values.
//!
//! An interval of a partition has some hundred values, and its bytes come to some hundred, too. General tools walk the
//! whole range of the distribution and clear 300 KB for each of them; what is here takes its time for the values.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fdeflate::Compressor;

use crate::measure::Counts;

/// Marks a distribution: `V2EncodingCookieBase | 0x10` of HdrHistogram's `AbstractHistogram`.
const V2: u32 = 0x1c84_9303 | 0x10;
/// Marks a compressed one: `V2CompressedEncodingCookieBase | 0x10`.
const V2_COMPRESSED: u32 = 0x1c84_9304 | 0x10;
/// Bytes before the counts.
const HEADER: usize = 40;

/// Writes lines of an interval log: `Tag=p3.response,5.000,1.000,1000447.000,HISTFAAAA…`, which are tag, beginning and
/// length of the interval in seconds, largest value and distribution. Lines that have the time or the distribution in
/// common share the making of it.
#[derive(Default)]
pub(super) struct IntervalLog {
    time: (Duration, Duration),
    time_text: String,
    encoded: Vec<u8>,
    compressed: Vec<u8>,
    /// The largest value and the bytes.
    distribution: String,
}

impl IntervalLog {
    /// The lines to come are of the interval that began `from` after the log's zero and lasted for `span`.
    pub(super) fn set_time(&mut self, from: Duration, span: Duration) {
        if self.time_text.is_empty() || self.time != (from, span) {
            self.time = (from, span);
            self.time_text = format!("{:.3},{:.3}", from.as_secs_f64(), span.as_secs_f64());
        }
    }

    /// The lines to come are of `counts`.
    pub(super) fn set_distribution(&mut self, counts: &Counts) -> io::Result<()> {
        encode(counts, &mut self.encoded);
        compress(&self.encoded, &mut self.compressed)?;
        self.distribution.clear();
        // HdrHistogram gives the largest value three decimals whatever its unit.
        self.distribution.push_str(&format!("{}.000,", counts.max()));
        STANDARD.encode_string(&self.compressed, &mut self.distribution);
        Ok(())
    }

    /// Writes a line.
    pub(super) fn write(&self, writer: &mut impl Write, tag: Arguments<'_>) -> io::Result<()> {
        writeln!(writer, "Tag={tag},{},{}", self.time_text, self.distribution)
    }
}

/// Replaces `compressed` by an encoded distribution as HdrHistogram compresses it.
fn compress(encoded: &[u8], compressed: &mut Vec<u8>) -> io::Result<()> {
    compressed.clear();
    compressed.extend(V2_COMPRESSED.to_be_bytes());
    // How many bytes are to come, which is not known yet.
    compressed.extend([0; 4]);
    // It has a fixed code for small numbers and so no state to clear.
    let mut compressor = Compressor::new(&mut *compressed)?;
    compressor.write_data(encoded)?;
    compressor.finish()?;
    let length = (compressed.len() - 8) as u32;
    compressed[4..8].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Replaces `bytes` by `counts` as HdrHistogram's V2: a header, then the counts from zero to the largest value, where
/// a negative number stands for so many zeros.
fn encode(counts: &Counts, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend(V2.to_be_bytes());
    // How many bytes the counts take, which is not known yet, and an offset of the counts, which there is none of.
    bytes.extend([0; 8]);
    bytes.extend(u32::from(counts.digits()).to_be_bytes());
    bytes.extend(counts.lowest().to_be_bytes());
    bytes.extend(counts.highest().to_be_bytes());
    // What to multiply values by.
    bytes.extend(1.0_f64.to_be_bytes());
    let mut next = 0;
    counts.iter().for_each(|(index, count)| {
        match index - next {
            0 => {}
            1 => put(bytes, 0),
            zeros => put(bytes, -(zeros as i64)),
        }
        put(bytes, i64::from(count));
        next = index + 1;
    });
    if next == 0 {
        put(bytes, 0);
    }
    let length = (bytes.len() - HEADER) as u32;
    bytes[4..8].copy_from_slice(&length.to_be_bytes());
}

/// Appends a number as ZigZag LEB128: seven bits a byte, the lowest first, the sign in the lowest bit.
fn put(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7f {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
    use hdrhistogram::serialization::{
        Deserializer, Serializer, V2DeflateSerializer, V2Serializer,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::base::Seed;
    use crate::measure::Latencies;

    fn of(values: &[i64]) -> (Latencies, Histogram<u32>) {
        let mut own = Latencies::default();
        let mut other = Histogram::new_with_bounds(64, 128, 3).unwrap();
        other.auto(true);
        for value in values {
            own.record(*value);
            other.record(*value as u64).unwrap();
        }
        (own, other)
    }

    fn written(mut by: impl Serializer, histogram: &Histogram<u32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(by.serialize(histogram, &mut bytes).is_ok());
        bytes
    }

    fn line(from: Duration, counts: &Counts) -> String {
        let (mut log, mut line) = (IntervalLog::default(), Vec::new());
        log.set_time(from, Duration::from_secs(1));
        log.set_distribution(counts).unwrap();
        log.write(&mut line, format_args!("p{}.response", 3)).unwrap();
        String::from_utf8(line).unwrap()
    }

    /// What the crate writes, without the distribution.
    fn usual_beginning(from: Duration, histogram: &Histogram<u32>) -> String {
        let (mut line, mut by) = (Vec::new(), V2Serializer::new());
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut line, &mut by).unwrap();
        let tag = Tag::new("p3.response");
        log.write_histogram(histogram, from, Duration::from_secs(1), tag).unwrap();
        let line = String::from_utf8(line).unwrap();
        line[..=line.rfind(',').unwrap()].to_owned()
    }

    #[test]
    fn any_reader_of_interval_logs_reads_it_and_it_is_not_twice_as_large_as_others_make_it() {
        let mut random = Seed(1).random();
        let values: Vec<i64> =
            (0..600).map(|_| 150_000 + random.exponential(50_000.0) as i64).collect();
        let (own, other) = of(&values);
        let line = line(Duration::ZERO, own.counts());
        let text = line.trim_end().rsplit(',').next().unwrap();
        let own = STANDARD.decode(text).unwrap();
        let read: Histogram<u32> = Deserializer::new().deserialize(&mut own.as_slice()).unwrap();
        assert_eq!(read, other);
        let usual = written(V2DeflateSerializer::new(), &other);
        assert!(own.len() < usual.len() * 2, "{} and {} bytes", own.len(), usual.len());
    }

    #[test]
    fn a_line_says_when_and_how_much_at_most() {
        let line = |counts: &Counts| line(Duration::from_secs(5), counts);
        let mut latencies = Latencies::default();
        assert!(line(latencies.counts()).starts_with("Tag=p3.response,5.000,1.000,0.000,"));
        latencies.record(1_000_000);
        let expected = "Tag=p3.response,5.000,1.000,1000447.000,";
        assert!(line(latencies.counts()).starts_with(expected), "{}", line(latencies.counts()));
        latencies.clear();
        assert!(line(latencies.counts()).starts_with("Tag=p3.response,5.000,1.000,63.000,"));
    }

    #[test]
    fn lines_of_one_time_and_of_one_distribution_differ_in_their_tags_only() {
        let (own, _) = of(&[100_000, 200_000]);
        let (mut log, mut lines) = (IntervalLog::default(), Vec::new());
        log.set_distribution(own.counts()).unwrap();
        for second in [0, 0, 7] {
            log.set_time(Duration::from_secs(second), Duration::from_secs(1));
            log.write(&mut lines, format_args!("a")).unwrap();
        }
        let lines = String::from_utf8(lines).unwrap();
        let [first, second, third] = lines.lines().collect::<Vec<_>>()[..] else {
            panic!("{lines}");
        };
        assert_eq!(first, second);
        assert_eq!(third, first.replace("0.000,1.000", "7.000,1.000"));
    }

    proptest! {
        /// Values of every magnitude, so that counts, zeros and gaps of every length come up.
        #[test]
        fn the_bytes_are_those_of_hdr_histogram(
            values in proptest::collection::vec((0_u32..64, 0..=i64::MAX), 0..200),
            repeats in 1_usize..3,
        ) {
            let values: Vec<i64> = values.iter().map(|(shift, value)| value >> shift).collect();
            let (own, other) = of(&values.repeat(repeats));
            let mut bytes = Vec::new();
            encode(own.counts(), &mut bytes);
            prop_assert_eq!(bytes, written(V2Serializer::new(), &other));
        }

        /// Up to a hundred days, beyond which floating-point numbers leave out nanoseconds.
        #[test]
        fn a_line_begins_as_hdr_histogram_begins_it(
            from in 0..1_u64 << 53,
            values in proptest::collection::vec(0..1_i64 << 53, 0..3),
        ) {
            let (own, other) = of(&values);
            let from = Duration::from_nanos(from);
            let (line, usual) = (line(from, own.counts()), usual_beginning(from, &other));
            prop_assert!(line.starts_with(&usual), "{} and {}", line, usual);
        }
    }
}
