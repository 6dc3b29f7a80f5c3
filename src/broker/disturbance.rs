//! What is done to a cluster on purpose.

use std::time::Duration;

use crate::base::PartitionId;
use crate::plan::{Api, ApiError};

/// Something done to a cluster on purpose, or undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// These brokers are unreachable from now on.
    Down(Vec<u32>),
    /// These brokers are back.
    Up(Vec<u32>),
    /// These brokers answer so much later.
    Rtt(Vec<u32>, Duration),
    /// The next requests of a kind are refused.
    Refuse {
        /// Which kind.
        api: Api,
        /// With this answer.
        code: ApiError,
        /// So many.
        count: u32,
    },
    /// All records of these partitions are deleted.
    DeleteRecords(Vec<PartitionId>),
}
