//! Types that all other modules use: ids, units, time, randomness and the record stamp. Also the access to text and
//! files from outside.
//!
//! This module knows neither scenarios nor brokers nor actors.

mod broker_kind;
mod client_kind;
mod clock;
mod due_times;
mod filler_ring;
mod outside;
mod record;
mod record_view;
mod share;
mod table;
mod units;

pub use broker_kind::{BROKER_KINDS, BrokerKind, Capability};
pub use client_kind::ClientKind;
pub use clock::{Clock, Time, VirtualClockDriver, machine_clock};
pub use clock::{Random, Seed};
#[cfg(test)]
pub(crate) use defect::Defect;
pub use due_times::DueTimes;
pub use filler_ring::FillerRing;
pub use outside::{
    FileError, Leftovers, open_regular, printable, printable_path, read_regular, require_regular,
};
pub use outside::{in_handler, is_in_handler, panic_text};
pub use record::{
    CLIENT_MESSAGE_BYTES, STAMP_BYTES, Stamp, StampCheck, batch_bytes, batch_payload_max,
    client_payload_max, sent_time, stamp_parts, verify, verify_record, write_payload,
};
pub use record_view::{Headers, OwnedRecord, RecordView, STAMP_HEADER, put_header, put_varint};
pub use share::{SHARES_MAX, Share};
pub use table::GrowingTable;
pub use units::{
    ConsumerId, Incarnation, Offset, PARTITIONS_MAX, PartitionId, PoolId, ProducerId, RunId,
};
pub use units::{
    Quantity, UnitError, format_bytes, format_count, format_cpus, format_duration, number,
    parse_bytes, parse_duration, parse_rate,
};

#[cfg(test)]
mod defect {
    //! Planted defects, for tests that show that defects are found. They are part of the tests, never of the program.

    use std::sync::OnceLock;

    /// A defect.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Defect {
        /// A record counts as processed for the group when its processing begins.
        CommitFirst,
        /// A restarted consumer reads another partition.
        WrongPartition,
        /// The coordinator accepts commits of every former member, in any generation.
        StaleGeneration,
        /// The coordinator of a group of the consumer protocol accepts commits of every former member, in any epoch.
        StaleEpoch,
        /// The coordinator of such a group assigns a partition to its next owner before the last owner has revoked it.
        EarlyHandover,
    }

    impl Defect {
        pub(crate) const ALL: [(Defect, &'static str); 5] = [
            (Defect::CommitFirst, "commit-first"),
            (Defect::WrongPartition, "wrong-partition"),
            (Defect::StaleGeneration, "stale-generation"),
            (Defect::StaleEpoch, "stale-epoch"),
            (Defect::EarlyHandover, "early-handover"),
        ];

        /// Environment variable with the name of the defect of a test process.
        pub(crate) const VARIABLE: &'static str = "LANEKEEPER_TEST_DEFECT";

        /// True if the defect is planted in this process.
        pub(crate) fn is_planted(self) -> bool {
            static PLANTED: OnceLock<Option<Defect>> = OnceLock::new();
            let planted = PLANTED.get_or_init(|| {
                let name = std::env::var(Defect::VARIABLE).ok()?;
                Defect::ALL.iter().find(|(_, other)| *other == name).map(|(defect, _)| *defect)
            });
            *planted == Some(self)
        }
    }
}
