//! The distributions of the interval log, compressed without a compressor's state.

use std::io::{self, Write};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use hdrhistogram::{Counter, serialization::V2SerializeError};

/// Marks a compressed distribution: `V2CompressedEncodingCookieBase | 0x10` of HdrHistogram's `AbstractHistogram`.
const V2_COMPRESSED: u32 = 0x1c84_9304 | 0x10;

/// Writes distributions as V2 in zlib's format, which is what interval logs hold.
///
/// An interval of a partition has some hundred values, and its bytes come to some hundred, too. A general compressor
/// clears 300 KB before each of them; this one has a fixed code for small numbers and nothing to clear.
pub(super) struct SmallSerializer {
    v2: V2Serializer,
    plain: Vec<u8>,
}

impl SmallSerializer {
    pub(super) fn new() -> SmallSerializer {
        SmallSerializer { v2: V2Serializer::new(), plain: Vec::new() }
    }
}

impl Serializer for SmallSerializer {
    type SerializeError = io::Error;

    fn serialize<T: Counter, W: Write>(
        &mut self,
        histogram: &Histogram<T>,
        writer: &mut W,
    ) -> io::Result<usize> {
        self.plain.clear();
        self.v2.serialize(histogram, &mut self.plain).map_err(|error| match error {
            V2SerializeError::IoError(error) => error,
            other => io::Error::other(other),
        })?;
        let compressed = fdeflate::compress_to_vec(&self.plain);
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        writer.write_all(&V2_COMPRESSED.to_be_bytes())?;
        writer.write_all(&length.to_be_bytes())?;
        writer.write_all(&compressed)?;
        Ok(8 + compressed.len())
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

    use super::*;
    use crate::base::Seed;

    fn written(mut by: impl Serializer, histogram: &Histogram<u32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(by.serialize(histogram, &mut bytes).is_ok());
        bytes
    }

    #[test]
    fn any_reader_of_interval_logs_reads_it_and_it_is_not_twice_as_large_as_others_make_it() {
        let mut histogram = Histogram::new(3).unwrap();
        let mut random = Seed(1).random();
        for _ in 0..600 {
            histogram.record(150_000 + random.exponential(50_000.0) as u64).unwrap();
        }
        let own = written(SmallSerializer::new(), &histogram);
        let read: Histogram<u32> = Deserializer::new().deserialize(&mut own.as_slice()).unwrap();
        assert_eq!(read, histogram);
        let usual = written(V2DeflateSerializer::new(), &histogram);
        assert!(own.len() < usual.len() * 2, "{} and {} bytes", own.len(), usual.len());
    }
}
