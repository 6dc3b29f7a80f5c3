//! What is done to a cluster on purpose.

use std::time::Duration;

use crate::base::PartitionId;
use crate::plan::{Api, ApiError, LinkSide};

/// Something done to a cluster on purpose, or undone. Brokers are counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub enum Disturbance {
    /// These brokers are gone from now on.
    Down(Vec<u32>),
    /// These brokers are back.
    Up(Vec<u32>),
    /// These brokers stand still: what reaches them waits.
    Pause(Vec<u32>),
    /// These brokers go on.
    GoOn(Vec<u32>),
    /// These brokers respond this much later.
    Rtt(Vec<u32>, Duration),
    /// Each append to the disks of these brokers takes this much longer.
    SlowDisk(Vec<u32>, Duration),
    /// What the links of these brokers are like from now on.
    Link {
        /// Whose.
        brokers: Vec<u32>,
        /// How much longer each message takes.
        delay: Duration,
        /// Share of messages that is lost on the way and sent again.
        loss: f64,
        /// Share of batches that arrives twice.
        duplicate: f64,
    },
    /// Nothing passes between these brokers and the others on that side.
    Cut(Vec<u32>, LinkSide),
    /// Everything passes again.
    Join(Vec<u32>, LinkSide),
    /// Every connection to these brokers breaks.
    Reset(Vec<u32>),
    /// Nothing passes on the present connections to these brokers, and no side is told.
    HalfOpen(Vec<u32>),
    /// This broker coordinates the group, or the next one that runs.
    MoveCoordinator(Option<u32>),
    /// The next requests of a kind are refused.
    Refuse {
        /// Which kind.
        api: Api,
        /// With this answer.
        code: ApiError,
        /// Their number.
        count: u32,
    },
    /// The topic gets more partitions: so many in all.
    Grow(u32),
    /// All records of these partitions are deleted.
    DeleteRecords(Vec<PartitionId>),
}
