//! The new leader of a partition, which Produce and Fetch responses name beside NOT_LEADER_OR_FOLLOWER.
//!
//! Source: KIP-951. The hints are tagged fields. Produce has them from version 10 on. Fetch has the leader from version
//! 12 on, and its address from 16 on.

use super::primitives::{WireError, WireReader};

/// A broker and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `node.id` of the broker.
    pub(crate) node_id: i32,
    /// Host name or IP address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: i32,
}

/// A partition's leader, as the responding broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaderHint {
    /// `node.id` of the leader; -1 if there is none.
    pub(crate) node_id: i32,
    /// Leader epoch. A hint with a lower epoch than the known one is outdated.
    pub(crate) epoch: i32,
}

/// Bytes of the smallest endpoint: node id, empty host, port, no rack, no tagged fields.
const ENDPOINT_BYTES_MIN: usize = 11;

/// Reads the structure `CurrentLeader`.
///
/// # Errors
/// The bytes are not one.
pub(super) fn leader_hint(mut reader: WireReader<'_>) -> Result<LeaderHint, WireError> {
    let node_id = reader.i32("a leader")?;
    let epoch = reader.i32("a leader epoch")?;
    reader.skip_tags(true)?;
    Ok(LeaderHint { node_id, epoch })
}

/// Reads the array `NodeEndpoints`.
///
/// # Errors
/// The bytes are not one.
pub(super) fn endpoints(mut reader: WireReader<'_>) -> Result<Vec<Endpoint>, WireError> {
    let count = reader.count(true, ENDPOINT_BYTES_MIN, "endpoints")?.unwrap_or_default();
    let mut endpoints = Vec::with_capacity(count);
    for _ in 0..count {
        let node_id = reader.i32("a node id")?;
        let host = reader.string(true, "a host")?.to_owned();
        let port = reader.i32("a port")?;
        reader.nullable_string(true, "a rack")?;
        reader.skip_tags(true)?;
        endpoints.push(Endpoint { node_id, host, port });
    }
    Ok(endpoints)
}
