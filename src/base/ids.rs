//! Newtypes for the numbers of the field, so that a partition is never passed for a producer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most partitions a topic may have: each has a consumer and histograms of its own.
pub const PARTITIONS_MAX: usize = 10_000;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A partition of the topic under test, counted from 0.
    PartitionId(u32)
);
id!(
    /// A consumer, counted from 0. With explicit assignment it equals the partition's id.
    ConsumerId(u32)
);
id!(
    /// One of the load's producers (a schedule, not a connection), counted from 0.
    ProducerId(u32)
);
id!(
    /// A pool of producers, counted from 0.
    PoolId(u32)
);
id!(
    /// How often a consumer or pool has been started. The first start is incarnation 1;
    /// whatever an older incarnation brings is fenced.
    Incarnation(u32)
);
id!(
    /// A numeric offset in a partition's log.
    Offset(i64)
);

/// Tells the records of one run from those of every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0 & 0xffff_ffff_ffff)
    }
}
