//! Calls every decoder with arbitrary bytes, for the fuzz target in `fuzz/` and for a short run in the tests.
//!
//! The first byte of an input selects the decoder: the body of a response of an API, whose version the second byte
//! selects, frames of a connection, or record batches. Correct checksums are written into batches. Mutations would not
//! find one, and so would not reach the code behind the check.

use super::batch::{CHECKED_FROM, CHECKSUM_AT, MAGIC};
use super::cluster::{coordinator, metadata, producer_id};
use super::configs::described_config;
use super::consumer_protocol::{assignment, subscription};
use super::delete_records::deleted_records;
use super::fetch::FetchContext;
use super::fetched::{FetchAsked, FetchMemory};
use super::frame::{FrameBuffer, Pending};
use super::group::{GroupContext, group_answer};
use super::list_offsets::listed_offsets;
use super::produce::produced;
use super::sasl::{authenticated, mechanisms};
use super::topics::{created_partitions, created_topic, deleted_topic};
use super::versions::{Api, api_versions};
use crate::base::PartitionId;
use crate::broker::protocol::{Fetch, FetchSlot, RecordBuffer, Records};
use crate::plan::Assignor;

/// The name of the topic and the group in responses, and the id of the topic.
const NAME: &str = "lanes";
const TOPIC_ID: [u8; 16] = [7; 16];
/// Largest number of decompressed bytes of a partition.
const PLAIN_BYTES_MAX: usize = 1 << 20;

/// The kinds of inputs besides the body of each API.
const OTHERS: usize = 4;

/// Decodes bytes. Panics if a decoder does, or if its result contradicts itself.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "the fuzz target calls it"))]
pub fn decode(input: &[u8]) {
    let [kind, detail, bytes @ ..] = input else { return };
    let kind = usize::from(*kind) % (Api::ALL.len() + OTHERS);
    match Api::ALL.get(kind) {
        Some(api) => {
            let versions = api.ours();
            let count = (versions.max - versions.min + 1) as u8;
            body(*api, versions.min + i16::from(detail % count), bytes);
        }
        None => match kind - Api::ALL.len() {
            0 => frames(*detail, bytes),
            1 => fetch(4, &fetch_body(&sealed(bytes.to_vec()))),
            2 => fetch(4, &fetch_body(&batch_of(*detail, bytes))),
            _ => {
                let _ = (subscription(bytes, NAME), assignment(bytes, NAME));
            }
        },
    }
}

fn body(api: Api, version: i16, bytes: &[u8]) {
    let context =
        GroupContext { group: NAME, topic: NAME, topic_id: TOPIC_ID, assignor: Assignor::Range };
    match api {
        Api::Produce => (1..3).for_each(|asked| {
            let asked = (0..asked).map(PartitionId);
            drop(produced(bytes, version, NAME, asked));
        }),
        Api::Fetch => fetch(version, bytes),
        Api::ListOffsets => drop(listed_offsets(bytes, version, NAME)),
        Api::Metadata => drop(metadata(bytes, version, NAME)),
        Api::FindCoordinator => drop(coordinator(bytes, version, NAME)),
        Api::ApiVersions => drop(api_versions(bytes, version)),
        Api::SaslHandshake => drop(mechanisms(bytes)),
        Api::SaslAuthenticate => drop(authenticated(bytes)),
        Api::InitProducerId => drop(producer_id(bytes, version)),
        Api::CreateTopics => drop(created_topic(bytes, version, NAME)),
        Api::DeleteTopics => drop(deleted_topic(bytes, version, NAME)),
        Api::DeleteRecords => drop(deleted_records(bytes, version)),
        Api::DescribeConfigs => drop(described_config(bytes, version, NAME)),
        Api::CreatePartitions => drop(created_partitions(bytes, version, NAME)),
        Api::OffsetCommit
        | Api::OffsetFetch
        | Api::JoinGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::SyncGroup
        | Api::ConsumerGroupHeartbeat => drop(group_answer(bytes, (api, version), &context)),
    }
}

/// Decodes frames that arrive in pieces of this size.
fn frames(size: u8, bytes: &[u8]) {
    let mut buffer = FrameBuffer::new(1 << 16);
    let mut pending = Pending::default();
    for api in Api::ALL {
        pending.asked(api, api.ours().max, ());
    }
    for piece in bytes.chunks(usize::from(size).max(1)) {
        let free = buffer.free();
        free[..piece.len()].copy_from_slice(piece);
        buffer.received(piece.len());
        loop {
            match buffer.frame() {
                Ok(Some(frame)) => match pending.answered(frame) {
                    Ok((waiting, answer)) => body(waiting.api, waiting.version, answer),
                    Err(_) => return,
                },
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn fetch(version: i16, bytes: &[u8]) {
    let context = FetchContext {
        topic: NAME,
        topic_id: TOPIC_ID,
        leader_epochs: &[],
        bytes_min: 1,
        bytes_max: 1 << 20,
        rack: "",
    };
    let slots = (0..3).map(|id| FetchSlot::new(PartitionId(id), i64::from(id))).collect();
    let mut fetch = Fetch { wait_max: Default::default(), partition_bytes_max: 1 << 20, slots };
    let asked =
        FetchAsked { version, context: &context, partition_plain_bytes_max: PLAIN_BYTES_MAX };
    let mut memory = FetchMemory::default();
    if memory.read(bytes, &asked, &mut fetch).is_err() {
        return;
    }
    for slot in &fetch.slots {
        assert!(slot.end >= slot.offset && slot.resume >= slot.offset, "{slot:?}");
        let mut out = RecordBuffer::default();
        memory.records(bytes).copy(slot.partition, slot.offset, slot.end, &mut out);
        assert_eq!(out.timestamps.len(), out.lengths.len());
        assert_eq!(out.lengths.len() as i64, slot.end - slot.offset, "{slot:?}");
        let size: usize = out.records().map(|(record, _)| record.len()).sum();
        let gaps: usize = (0..out.lengths.len()).map(|index| out.gap(index)).sum();
        assert_eq!(out.bytes.len(), size + gaps, "{slot:?}");
        let limit = PLAIN_BYTES_MAX.max(bytes.len());
        assert!(out.bytes.len() <= limit, "{} bytes", out.bytes.len());
    }
}

/// The body of a Fetch response in version 4 with these records of one partition.
fn fetch_body(records: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, NAME.len() as u8];
    body.extend(NAME.as_bytes());
    // One partition, number 0, without an error.
    body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    // High watermark and last stable offset, and no aborted transactions.
    body.extend(i64::MAX.to_be_bytes());
    body.extend(i64::MAX.to_be_bytes());
    body.extend((-1i32).to_be_bytes());
    body.extend((records.len() as u32).to_be_bytes());
    body.extend(records);
    body
}

/// The same batch with the checksum that it should have.
fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    if batch.len() >= CHECKED_FROM {
        let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[CHECKSUM_AT..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    }
    batch
}

/// A batch whose records are these bytes. `detail` has the codec and the number of records.
fn batch_of(detail: u8, records: &[u8]) -> Vec<u8> {
    let (codec, count) = (detail & 7, i32::from(detail >> 3) + 1);
    let mut batch = Vec::new();
    batch.extend(0i64.to_be_bytes());
    let header_rest = 4 + 1 + 4 + 2 + 4 + 8 + 8 + 8 + 2 + 4 + 4;
    batch.extend(((header_rest + records.len()) as u32).to_be_bytes());
    batch.extend([0, 0, 0, 0, MAGIC as u8, 0, 0, 0, 0, 0, codec]);
    batch.extend((count - 1).to_be_bytes());
    batch.extend([0; 16]);
    batch.extend([255; 14]);
    batch.extend(count.to_be_bytes());
    batch.extend(records);
    sealed(batch)
}
