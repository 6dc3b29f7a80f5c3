//! The interval log: one distribution per line, encoded and compressed for distributions of some hundred values.
//!
//! An interval of a partition has some hundred values, and its bytes come to some hundred, too. General tools walk the
//! whole range of the distribution and clear 300 KB for each of them; what is here takes its time for the values.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::serialization::Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::{Counter, Histogram};

use crate::measure::Counts;

/// Marks a distribution: `V2EncodingCookieBase | 0x10` of HdrHistogram's `AbstractHistogram`.
const V2: u32 = 0x1c84_9303 | 0x10;
/// Marks a compressed one: `V2CompressedEncodingCookieBase | 0x10`.
const V2_COMPRESSED: u32 = 0x1c84_9304 | 0x10;
/// Bytes before the counts.
const HEADER: usize = 40;

/// Writes lines of an interval log. The line is the crate's, the distribution in it comes from [`encode`].
pub(super) struct IntervalLog {
    encoded: Encoded,
    /// All that the crate's writer itself asks a distribution for is its largest value: this one has no other.
    largest: Histogram<u8>,
}

impl IntervalLog {
    pub(super) fn new() -> IntervalLog {
        let largest = Histogram::new(3).expect("3 digits are possible");
        IntervalLog { encoded: Encoded(Vec::new()), largest }
    }

    /// Writes the line of one interval, which began `from` after the log's zero.
    pub(super) fn write(
        &mut self,
        writer: &mut impl Write,
        tag: &str,
        (from, span): (Duration, Duration),
        counts: &Counts,
    ) -> io::Result<()> {
        encode(counts, &mut self.encoded.0);
        self.largest.reset();
        self.largest.record(counts.max()).map_err(io::Error::other)?;
        IntervalLogWriterBuilder::new()
            .begin_log_with(writer, &mut self.encoded)?
            .write_histogram(&self.largest, from, span, Tag::new(tag))
            .map_err(|error| io::Error::other(error.to_string()))
    }
}

/// A distribution's bytes, for a writer that wants to ask for them.
struct Encoded(Vec<u8>);

impl Serializer for Encoded {
    type SerializeError = io::Error;

    /// Writes the bytes at hand, compressed; what they were made of, the caller knows.
    fn serialize<T: Counter, W: Write>(
        &mut self,
        _largest: &Histogram<T>,
        writer: &mut W,
    ) -> io::Result<usize> {
        // It has a fixed code for small numbers and so no state to clear.
        let compressed = fdeflate::compress_to_vec(&self.0);
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        writer.write_all(&V2_COMPRESSED.to_be_bytes())?;
        writer.write_all(&length.to_be_bytes())?;
        writer.write_all(&compressed)?;
        Ok(8 + compressed.len())
    }
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
    for (index, count) in counts.iter() {
        match index - next {
            0 => {}
            1 => put(bytes, 0),
            zeros => put(bytes, -(zeros as i64)),
        }
        put(bytes, i64::from(count));
        next = index + 1;
    }
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
    use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer, V2Serializer};
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

    fn line(counts: &Counts) -> String {
        let mut line = Vec::new();
        let second = Duration::from_secs(1);
        IntervalLog::new().write(&mut line, "p3.response", (5 * second, second), counts).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn any_reader_of_interval_logs_reads_it_and_it_is_not_twice_as_large_as_others_make_it() {
        let mut random = Seed(1).random();
        let values: Vec<i64> =
            (0..600).map(|_| 150_000 + random.exponential(50_000.0) as i64).collect();
        let (own, other) = of(&values);
        let mut encoded = Encoded(Vec::new());
        encode(own.counts(), &mut encoded.0);
        let own = written(encoded, &other);
        let read: Histogram<u32> = Deserializer::new().deserialize(&mut own.as_slice()).unwrap();
        assert_eq!(read, other);
        let usual = written(V2DeflateSerializer::new(), &other);
        assert!(own.len() < usual.len() * 2, "{} and {} bytes", own.len(), usual.len());
    }

    #[test]
    fn a_line_says_when_and_how_much_at_most() {
        let mut latencies = Latencies::default();
        assert!(line(latencies.counts()).starts_with("Tag=p3.response,5.000,1.000,0.000,"));
        latencies.record(1_000_000);
        let expected = "Tag=p3.response,5.000,1.000,1000447.000,";
        assert!(line(latencies.counts()).starts_with(expected), "{}", line(latencies.counts()));
        latencies.clear();
        assert!(line(latencies.counts()).starts_with("Tag=p3.response,5.000,1.000,63.000,"));
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
    }
}
