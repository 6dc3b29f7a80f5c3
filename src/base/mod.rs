//! The vocabulary everything else speaks: ids, units, time, randomness, the record stamp, and what comes from outside:
//! text and files.
//!
//! Nothing here knows about scenarios, brokers or actors.

mod broker_kind;
mod client_kind;
mod clock;
mod due_times;
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
pub use table::Table;
pub use units::{
    ConsumerId, Incarnation, Offset, PARTITIONS_MAX, PartitionId, PoolId, ProducerId, RunId,
};
pub use units::{
    Quantity, UnitError, format_bytes, format_count, format_cpus, format_duration, number,
    parse_bytes, parse_duration, parse_rate,
};

#[cfg(test)]
mod defect {
    //! Defects planted on purpose, so that a test can show that they are found. Part of the tests, never of the program.

    use std::sync::OnceLock;

    /// What is done wrongly.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Defect {
        /// A record counts as processed for the group as soon as it is begun.
        CommitFirst,
        /// A restarted consumer reads its neighbour's partition.
        WrongPartition,
        /// The coordinator takes commits of any that was a member once, in whatever generation.
        StaleGeneration,
        /// The coordinator of a group of the consumer protocol takes commits of any that was a member once, in whatever
        /// epoch.
        StaleEpoch,
        /// The coordinator of such a group gives a partition to its next owner while the last one is giving it up.
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

        /// Names the defect of a whole test process.
        pub(crate) const VARIABLE: &'static str = "LANEKEEPER_TEST_DEFECT";

        /// Whether it is planted in this process.
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
