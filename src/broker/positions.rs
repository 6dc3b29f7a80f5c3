//! The positions of a group member in its partitions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::{Offset, PartitionId};

/// The next offset to process in each partition of a member. The host advances them record by record. The client reads
/// them when it gives up a partition.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    partitions: Arc<Mutex<BTreeMap<PartitionId, Arc<AtomicI64>>>>,
}

/// The position in one partition.
#[derive(Clone, Debug)]
pub struct Position(Arc<AtomicI64>);

/// No record is processed.
const NONE: i64 = -1;

impl Positions {
    /// Adds a position for `partition`. It has no offset before the first record.
    pub fn begin(&self, partition: PartitionId) -> Position {
        let position = Position(Arc::new(AtomicI64::new(NONE)));
        self.lock().insert(partition, position.0.clone());
        position
    }

    /// The next offset to process in `partition`; `None` before its first record.
    pub fn next(&self, partition: PartitionId) -> Option<Offset> {
        let next = self.lock().get(&partition)?.load(Ordering::Acquire);
        (next != NONE).then_some(Offset(next))
    }

    /// Removes the position in `partition`.
    pub fn end(&self, partition: PartitionId) {
        self.lock().remove(&partition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Arc<AtomicI64>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    /// Advances the position to `next`.
    #[inline]
    pub fn advance(&self, next: Offset) {
        self.0.store(next.0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_known_from_the_first_record_until_the_partition_is_given_up() {
        let positions = Positions::default();
        let position = positions.begin(PartitionId(3));
        assert_eq!(positions.next(PartitionId(3)), None);
        position.advance(Offset(8));
        assert_eq!(positions.next(PartitionId(3)), Some(Offset(8)));
        positions.end(PartitionId(3));
        assert_eq!(positions.next(PartitionId(3)), None);
    }
}
