//! The state of a member of the consumer protocol, and its requests that are not answered yet.

use std::collections::BTreeMap;

use crate::base::{Offset, PartitionId, Time};

/// The kind of a request, needed for its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Join,
    Heartbeat,
    Leave,
    /// A commit, with what is needed to repeat it.
    Commit(Commit),
    Offsets(Vec<PartitionId>),
}

/// A commit that is not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) offsets: BTreeMap<PartitionId, Offset>,
    pub(super) epoch: i32,
    /// True if partitions are given up once the commit is answered.
    pub(super) is_last: bool,
    pub(super) tries: u32,
}

/// The state of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not a member. Joins at the first tick from this time on.
    Outside(Time),
    /// Waits for the response to its first heartbeat.
    Joining,
    /// A member that reads its partitions.
    Up,
    /// Waits until the consumer has stopped reading, and then for the last commit.
    GivingUp,
    /// Has left because no records were asked for. Joins again when they are.
    Silent,
    /// Has left, or was fenced or refused.
    Gone,
}
