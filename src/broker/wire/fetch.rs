//! Bodies of Fetch requests, versions 4 to 16.
//!
//! Source: the message definitions of Kafka, KIP-227 (sessions, which are not used), KIP-516 (topic ids from version 13
//! on), KIP-903 (no replica id from version 15 on). Versions 17 and 18 add fields for replicas only.

use bytes::BufMut;

use super::primitives::{WireError, WireWriter};
use super::versions::{Api, FETCH_BY_NAME_MAX};
use crate::broker::protocol::Fetch;

/// The id of a topic: a UUID in the order of its bytes (KIP-516); all zero if it is not known.
pub(crate) type TopicId = [u8; 16];

/// The settings of a Fetch request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchContext<'a> {
    /// The topic's name, for versions up to 12.
    pub(crate) topic: &'a str,
    /// The topic's id, for versions from 13 on.
    pub(crate) topic_id: TopicId,
    /// The leader epoch of each partition, by partition id; -1 or missing if it is not known.
    pub(crate) leader_epochs: &'a [i32],
    /// Smallest number of bytes for which the broker responds before the end of its wait.
    pub(crate) bytes_min: i32,
    /// Largest number of bytes of the response. A first batch is returned even if it is larger.
    pub(crate) bytes_max: i32,
    /// `client.rack`, to be referred to a replica in it (KIP-392); empty to read from the leader.
    pub(crate) rack: &'a str,
}

/// Writes the body of a Fetch request. It reads no records of open transactions, and begins no session.
///
/// # Errors
/// A text is too long.
pub(crate) fn put_fetch(
    out: &mut Vec<u8>,
    version: i16,
    fetch: &Fetch,
    context: &FetchContext<'_>,
) -> Result<(), WireError> {
    let flexible = Api::Fetch.is_flexible(version);
    if version <= 14 {
        // A consumer has no replica id.
        out.put_i32(-1);
    }
    out.put_i32(i32::try_from(fetch.wait_max.as_millis()).unwrap_or(i32::MAX));
    out.put_i32(context.bytes_min);
    out.put_i32(context.bytes_max);
    // The isolation level read_committed, the default of librdkafka.
    out.put_i8(1);
    if version >= 7 {
        // Session id 0 with epoch -1: no session (KIP-227).
        out.put_i32(0);
        out.put_i32(-1);
    }
    out.put_count(1, flexible, "topics")?;
    match version <= FETCH_BY_NAME_MAX {
        true => out.put_text(Some(context.topic), flexible, "topic name")?,
        false => out.put_slice(&context.topic_id),
    }
    out.put_count(fetch.slots.len(), flexible, "partitions")?;
    for slot in &fetch.slots {
        out.put_u32(slot.partition.0);
        if version >= 9 {
            let epoch = context.leader_epochs.get(slot.partition.0 as usize);
            out.put_i32(epoch.copied().unwrap_or(-1));
        }
        out.put_i64(slot.offset);
        if version >= 12 {
            // The epoch of the last fetched record, with which the broker detects a diverging log (KIP-595).
            out.put_i32(slot.epoch);
        }
        if version >= 5 {
            // A consumer has no log, and so no start offset of it.
            out.put_i64(-1);
        }
        out.put_i32(i32::try_from(fetch.partition_bytes_max).unwrap_or(i32::MAX));
        out.put_no_tags(flexible);
    }
    out.put_no_tags(flexible);
    if version >= 7 {
        // There is no session from which to remove partitions.
        out.put_count(0, flexible, "forgotten topics")?;
    }
    if version >= 11 {
        out.put_text(Some(context.rack), flexible, "rack")?;
    }
    out.put_no_tags(flexible);
    Ok(())
}
