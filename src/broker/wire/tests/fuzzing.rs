//! A short run of the fuzz target's function, on responses of brokers and on changed bytes of them.

use proptest::prelude::*;

use super::super::batch::BatchFacts;
use super::super::consumer_protocol::{assignment_bytes, subscription_bytes};
use super::super::fuzzing::decode;
use super::super::versions::{Api, answer_of};
use super::samples::sample;
use super::{Changes, changed, changes, in_log};
use crate::base::PartitionId;
use crate::broker::protocol::Batch;
use crate::plan::Compression;

/// Inputs that pass the first checks of every decoder.
fn seeds() -> Vec<Vec<u8>> {
    let kinds = Api::ALL.len() as u8;
    let mut seeds = Vec::new();
    for (kind, api) in (0u8..).zip(Api::ALL) {
        let versions = api.ours();
        for (detail, version) in (0u8..).zip(versions.min..=versions.max) {
            let body = match api {
                // The codec decodes these by hand. The body of a Fetch response below has a batch.
                Api::Produce | Api::Fetch => vec![0; 64],
                Api::ApiVersions => answer_of(&[(Api::Fetch, 4, 16)], 0),
                _ => sample(api, version, 0),
            };
            seeds.push([&[kind, detail][..], &body].concat());
        }
    }
    let mut batch = Batch::default();
    (0..20).for_each(|_| batch.push(b"a payload, and once more: a payload"));
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4];
    for (codec, compression) in (0u8..).zip(codecs) {
        let facts = BatchFacts { timestamp_ms: 1, producer: None, compression };
        let bytes = in_log(&batch, &facts, 0);
        seeds.push([&[kinds + 1, 0][..], &bytes].concat());
        // The records without the header of a batch, which the target adds.
        seeds.push([&[kinds + 2, (19 << 3) | codec][..], &bytes[61..]].concat());
    }
    let partitions = [PartitionId(1), PartitionId(4)];
    let subscription = subscription_bytes("lanes", &partitions, 5).expect("short");
    let assignment = assignment_bytes("lanes", &partitions).expect("short");
    seeds.extend([subscription, assignment].map(|bytes| [&[kinds + 3, 0][..], &bytes].concat()));
    let frame = [&[kinds, 3, 0, 0, 0, 40, 0, 0, 0, 0][..], &[0; 36]].concat();
    seeds.push(frame);
    seeds
}

proptest! {
    #[test]
    fn nothing_that_a_broker_may_send_makes_a_decoder_panic(
        at: prop::sample::Index,
        changes in changes(),
    ) {
        let seeds = seeds();
        let changes: Changes = changes;
        decode(&changed(&seeds[at.index(seeds.len())], &changes));
    }
}

#[test]
fn the_seeds_are_decoded_and_written_for_the_fuzz_target() {
    for (number, seed) in seeds().iter().enumerate() {
        decode(seed);
        if let Ok(directory) = std::env::var("FUZZ_SEEDS") {
            std::fs::create_dir_all(&directory).expect("a directory");
            std::fs::write(format!("{directory}/{number}"), seed).expect("a file");
        }
    }
}
