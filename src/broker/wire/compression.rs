//! Compressed record batches, with a limit on the decompressed bytes.
//!
//! Source: "Record Batch" of Kafka's protocol guide for the codecs' numbers. Snappy is written as one block, as by
//! librdkafka. It is read in that form and in the framing of snappy-java, which Java clients write. Lz4 is a frame with
//! independent blocks, because the Java client reads only those (KIP-57).

use std::io::{Read, Write};

use super::primitives::WireReader;
use crate::plan::Compression;

/// The reason why the records of a batch cannot be compressed or decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompressionError {
    /// No codec has this number.
    #[error("codec {0} is unknown")]
    UnknownCodec(u8),
    /// This program was built without the codec.
    #[cfg(not(feature = "zstd"))]
    #[error("{0} is not built in; build with the feature `{0}`")]
    NotBuilt(&'static str),
    /// The decompressed bytes exceed this limit.
    #[error("the records take more than {0} bytes without compression")]
    TooLarge(usize),
    /// The bytes are damaged, or the codec fails.
    #[error("{codec}: {message}")]
    Damaged {
        /// The codec.
        codec: &'static str,
        /// The error text of the codec.
        message: String,
    },
}

impl CompressionError {
    fn damaged(codec: &'static str, error: &impl ToString) -> CompressionError {
        CompressionError::Damaged { codec, message: error.to_string() }
    }
}

/// The header of snappy-java's framing.
const SNAPPY_JAVA: &[u8] = &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version, and the lowest version that can read the data, after the header.
const SNAPPY_JAVA_VERSIONS: usize = 8;
/// Bytes of one read from a decoder.
const CHUNK_BYTES: usize = 16 * 1024;

/// The codec with this number, from the lowest three bits of a batch's attributes.
///
/// # Errors
/// No codec has this number.
pub(crate) fn codec_of(number: u8) -> Result<Compression, CompressionError> {
    Ok(match number {
        0 => Compression::None,
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        3 => Compression::Lz4,
        4 => Compression::Zstd,
        other => return Err(CompressionError::UnknownCodec(other)),
    })
}

/// The number of a codec.
pub(crate) fn number_of(codec: Compression) -> u8 {
    match codec {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
    }
}

/// Appends `plain` to `out`, compressed.
///
/// # Errors
/// The codec is not built in, or fails.
pub(crate) fn compress(
    codec: Compression,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    match codec {
        Compression::None => out.extend_from_slice(plain),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
            let written = encoder.write_all(plain).and_then(|()| encoder.finish().map(drop));
            written.map_err(|error| CompressionError::damaged("gzip", &error))?;
        }
        Compression::Snappy => {
            let compressed = snap::raw::Encoder::new().compress_vec(plain);
            let damaged = |error| CompressionError::damaged("snappy", &error);
            out.extend_from_slice(&compressed.map_err(damaged)?);
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
            encoder.write_all(plain).map_err(|error| CompressionError::damaged("lz4", &error))?;
            encoder.finish().map_err(|error| CompressionError::damaged("lz4", &error))?;
        }
        Compression::Zstd => compress_zstd(plain, out)?,
    }
    Ok(())
}

/// Appends the decompressed bytes to `out`, at most `limit` bytes.
///
/// # Errors
/// The bytes are damaged, or there are more than `limit`. `out` is then unchanged.
pub(crate) fn decompress(
    codec: Compression,
    compressed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let before = out.len();
    let result = match codec {
        Compression::None => match compressed.len() > limit {
            true => Err(CompressionError::TooLarge(limit)),
            false => {
                out.extend_from_slice(compressed);
                Ok(())
            }
        },
        Compression::Gzip => {
            append(flate2::read::MultiGzDecoder::new(compressed), limit, "gzip", out)
        }
        Compression::Snappy => decompress_snappy(compressed, limit, out),
        Compression::Lz4 => {
            append(lz4_flex::frame::FrameDecoder::new(compressed), limit, "lz4", out)
        }
        Compression::Zstd => decompress_zstd(compressed, limit, out),
    };
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Appends all bytes of a decoder, at most `limit` bytes. Memory grows with the decompressed bytes.
fn append(
    mut decoder: impl Read,
    limit: usize,
    codec: &'static str,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let mut chunk = [0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        match decoder.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                total += count;
                if total > limit {
                    return Err(CompressionError::TooLarge(limit));
                }
                out.extend_from_slice(&chunk[..count]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CompressionError::damaged(codec, &error)),
        }
    }
}

fn decompress_snappy(
    compressed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let Some(framed) = compressed.strip_prefix(SNAPPY_JAVA) else {
        return snappy_block(compressed, limit, out);
    };
    let ends = |error| CompressionError::damaged("snappy", &error);
    let mut reader = WireReader::new(framed);
    reader.take(SNAPPY_JAVA_VERSIONS, "the header of snappy-java").map_err(ends)?;
    let before = out.len();
    while reader.remaining() > 0 {
        let size = reader.u32("the size of a snappy block").map_err(ends)?;
        let block = reader.take(size as usize, "a snappy block").map_err(ends)?;
        let left = limit - (out.len() - before);
        snappy_block(block, left, out).map_err(|error| match error {
            CompressionError::TooLarge(_) => CompressionError::TooLarge(limit),
            other => other,
        })?;
    }
    Ok(())
}

fn snappy_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let damaged = |error| CompressionError::damaged("snappy", &error);
    let size = snap::raw::decompress_len(block).map_err(damaged)?;
    if size > limit {
        return Err(CompressionError::TooLarge(limit));
    }
    // Three bytes of a block decompress to at most 64. A longer length is rejected before memory is allocated.
    if size > block.len().saturating_mul(64) {
        return Err(CompressionError::damaged(
            "snappy",
            &"a length beyond what the block can hold",
        ));
    }
    let before = out.len();
    out.resize(before + size, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[before..]);
    out.truncate(before + written.map_err(damaged)?);
    Ok(())
}

#[cfg(feature = "zstd")]
fn compress_zstd(plain: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
    let damaged = |error| CompressionError::damaged("zstd", &error);
    zstd::stream::copy_encode(plain, out, zstd::DEFAULT_COMPRESSION_LEVEL).map_err(damaged)
}

#[cfg(not(feature = "zstd"))]
fn compress_zstd(_plain: &[u8], _out: &mut Vec<u8>) -> Result<(), CompressionError> {
    Err(CompressionError::NotBuilt("zstd"))
}

#[cfg(feature = "zstd")]
fn decompress_zstd(
    compressed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    /// Binary logarithm of the largest window: 8 MiB, which every decoder has to support (RFC 8878). A frame with a
    /// larger window is rejected.
    const WINDOW_LOG_MAX: u32 = 23;
    let damaged = |error| CompressionError::damaged("zstd", &error);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    append(decoder, limit, "zstd", out)
}

#[cfg(not(feature = "zstd"))]
fn decompress_zstd(
    _compressed: &[u8],
    _limit: usize,
    _out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    Err(CompressionError::NotBuilt("zstd"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUILT: &[Compression] = &[
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        #[cfg(feature = "zstd")]
        Compression::Zstd,
    ];

    fn codecs() -> impl Strategy<Value = Compression> {
        prop::sample::select(BUILT)
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_out_again(
            codec in codecs(),
            words in prop::collection::vec(any::<[u8; 2]>(), 0..100),
            times in 1usize..50,
        ) {
            let plain = words.concat().repeat(times);
            let (mut compressed, mut out) = (vec![1], vec![2]);
            compress(codec, &plain, &mut compressed).expect("a codec");
            decompress(codec, &compressed[1..], plain.len(), &mut out).expect("whole");
            prop_assert_eq!(&out[1..], &plain[..]);
            if !plain.is_empty() {
                let limit = plain.len() - 1;
                let refused = decompress(codec, &compressed[1..], limit, &mut out);
                prop_assert_eq!(refused, Err(CompressionError::TooLarge(limit)));
                prop_assert_eq!(out.len(), 1 + plain.len());
            }
        }

        #[test]
        fn damage_is_an_error_or_other_bytes_and_never_a_panic(
            codec in codecs(),
            plain in prop::collection::vec(any::<u8>(), 0..500),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let (mut compressed, mut out) = (Vec::new(), Vec::new());
            compress(codec, &plain, &mut compressed).expect("a codec");
            for (at, bits) in flips {
                let at = at.index(compressed.len() + 1);
                match compressed.get_mut(at) {
                    Some(byte) => *byte ^= bits,
                    None => compressed.push(bits),
                }
            }
            let _ = decompress(codec, &compressed, 10_000, &mut out);
            prop_assert!(out.len() <= 10_000);
        }

        #[test]
        fn no_bytes_make_a_codec_panic(codec in codecs(), bytes: Vec<u8>, framed: bool) {
            let start = if framed { SNAPPY_JAVA } else { &[] };
            let bytes = [start, &bytes].concat();
            let _ = decompress(codec, &bytes, 10_000, &mut Vec::new());
        }
    }

    #[test]
    fn a_small_batch_that_grows_is_cut_off() {
        for codec in BUILT {
            let mut compressed = Vec::new();
            compress(*codec, &vec![0; 20_000_000], &mut compressed).expect("a codec");
            let mut out = Vec::new();
            let refused = decompress(*codec, &compressed, 100_000, &mut out);
            assert_eq!(refused, Err(CompressionError::TooLarge(100_000)));
            assert!(out.capacity() <= 400_000, "{codec}: {}", out.capacity());
        }
    }

    #[test]
    fn the_framing_of_java_clients_is_read() {
        let mut framed = SNAPPY_JAVA.to_vec();
        framed.extend([0, 0, 0, 1, 0, 0, 0, 1]);
        for part in [&b"one, "[..], b"two"] {
            let mut block = Vec::new();
            compress(Compression::Snappy, part, &mut block).expect("snappy");
            framed.extend((block.len() as u32).to_be_bytes());
            framed.extend(block);
        }
        let mut out = Vec::new();
        decompress(Compression::Snappy, &framed, 8, &mut out).expect("whole");
        assert_eq!(out, b"one, two");
        let refused = decompress(Compression::Snappy, &framed, 7, &mut out);
        assert_eq!(refused, Err(CompressionError::TooLarge(7)));
        framed.pop();
        assert!(decompress(Compression::Snappy, &framed, 100, &mut out).is_err());
    }

    #[test]
    fn codecs_have_kafkas_numbers() {
        for number in 0..8 {
            match codec_of(number) {
                Ok(codec) => assert_eq!(number_of(codec), number),
                Err(error) => assert_eq!(error, CompressionError::UnknownCodec(number)),
            }
        }
        assert!(codec_of(4).is_ok() && codec_of(5).is_err());
    }

    #[cfg(not(feature = "zstd"))]
    #[test]
    fn a_codec_that_is_not_built_in_is_named() {
        let error = decompress(Compression::Zstd, &[], 10, &mut Vec::new());
        let message = error.expect_err("not built").to_string();
        assert_eq!(message, "zstd is not built in; build with the feature `zstd`");
    }
}
