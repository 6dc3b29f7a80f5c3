//! Tests of the codec: with `kafka_protocol` as the broker, and with bytes that no broker sends.

mod cluster;
mod fetch;
mod fuzzing;
mod group;
mod layouts;
mod produce;
mod real;
mod records;
mod samples;

use proptest::prelude::*;

use super::batch::{BatchFacts, BatchMemory, PreparedBatch};
use crate::broker::protocol::Batch;
use crate::plan::Compression;

/// Compression codecs that are built in, and that the message codec supports in tests.
pub(super) fn codecs() -> impl Strategy<Value = Compression> {
    prop::sample::select(&[Compression::None, Compression::Gzip, Compression::Snappy][..])
}

/// A batch of a few payloads.
pub(super) fn batches() -> impl Strategy<Value = Batch> {
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    prop::collection::vec(payload, 1..20).prop_map(|payloads| {
        let mut batch = Batch::default();
        payloads.iter().for_each(|payload| batch.push(payload));
        batch
    })
}

/// The payloads of a batch.
pub(super) fn payloads(batch: &Batch) -> Vec<Vec<u8>> {
    let begins = std::iter::once(0).chain(batch.ends.iter().copied());
    begins.zip(&batch.ends).map(|(a, b)| batch.bytes[a as usize..*b as usize].to_vec()).collect()
}

/// A batch in a log, with the offset of its first record.
pub(super) fn in_log(batch: &Batch, facts: &BatchFacts, base_offset: i64) -> Vec<u8> {
    let (mut out, mut memory) = (Vec::new(), BatchMemory::default());
    PreparedBatch::new(batch, facts, &mut memory).expect("a batch").put(&mut out);
    out[..8].copy_from_slice(&base_offset.to_be_bytes());
    out
}

/// A batch in a log, appended in this leader epoch.
pub(crate) fn batch_in_log(batch: &Batch, base_offset: i64, epoch: i32) -> Vec<u8> {
    let compression = Compression::None;
    let facts = BatchFacts { timestamp_ms: 1, producer: None, compression };
    let mut out = in_log(batch, &facts, base_offset);
    // The leader epoch is after offset and length, and not covered by the checksum.
    out[12..16].copy_from_slice(&epoch.to_be_bytes());
    out
}

/// Changes some bits, and may truncate the bytes.
pub(super) type Changes = (Vec<(prop::sample::Index, u8)>, prop::sample::Index, bool);

pub(super) fn changes() -> impl Strategy<Value = Changes> {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (flips, any::<prop::sample::Index>(), prop::bool::weighted(0.3))
}

pub(super) fn changed(bytes: &[u8], (flips, cut, is_cut): &Changes) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for (at, bits) in flips {
        if !changed.is_empty() {
            let at = at.index(changed.len());
            changed[at] ^= bits;
        }
    }
    if *is_cut {
        changed.truncate(cut.index(changed.len() + 1));
    }
    changed
}
