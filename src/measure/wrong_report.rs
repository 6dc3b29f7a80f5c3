//! The records of the summary that are counted by figures that should be 0.

use super::{Measurements, WRONG_KEPT, first_lost};
use crate::base::{Offset, PartitionId, ProducerId};
use crate::summary::{Ledger, WrongRecord};

/// The first such records of all partitions. Of lost records, one per partition.
pub(super) fn wrong_records(measurements: &Measurements, ledgers: &[Ledger]) -> Vec<WrongRecord> {
    let mut found = Vec::new();
    for (id, (cell, ledger)) in (0..).zip(measurements.cells.iter().zip(ledgers)) {
        let wrong =
            |figure: &str, lane: Option<(ProducerId, u64)>, offset: Option<Offset>| WrongRecord {
                figure: figure.to_owned(),
                partition: id,
                producer: lane.map(|(producer, _)| producer.0),
                sequence: lane.map(|(_, sequence)| sequence),
                offset: offset.map(|offset| offset.0),
            };
        // With unread records in the partition, the lost ones of a lane are not known.
        if ledger.lost > 0 && ledger.unread == 0 {
            let lost = lost_of(measurements, PartitionId(id));
            found.extend(lost.map(|lane| wrong("lost", Some(lane), None)));
        }
        let noted = cell.lock().wrong.records().to_vec();
        found.extend(
            noted.into_iter().map(|noted| wrong(&noted.figure, noted.lane, Some(noted.offset))),
        );
        if found.len() >= WRONG_KEPT {
            break;
        }
    }
    found.truncate(WRONG_KEPT);
    found
}

/// The first lost record of a partition that has no unread records: its producer and sequence.
fn lost_of(measurements: &Measurements, partition: PartitionId) -> Option<(ProducerId, u64)> {
    measurements.pools.iter().find_map(|pool| {
        let pool = pool.lock();
        let cell = measurements.cell(partition).lock();
        let mut lanes = pool.lanes().filter(|(_, its, _)| *its == partition);
        lanes.find_map(|(producer, _, sent)| {
            Some((producer, first_lost(sent, cell.lane(producer))?))
        })
    })
}
