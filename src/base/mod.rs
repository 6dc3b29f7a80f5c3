//! The vocabulary everything else speaks: ids, units, time, randomness, the record stamp, and what comes from outside:
//! text and files.
//!
//! Nothing here knows about scenarios, brokers or actors.

mod capability;
mod clock;
#[cfg(test)]
mod defect;
mod outside;
mod record;
mod table;
mod units;

pub use capability::{BrokerKind, Capability};
pub use clock::{Clock, ClockHand, Time};
pub use clock::{Random, Seed};
#[cfg(test)]
pub(crate) use defect::Defect;
pub use outside::{
    FileError, Leftovers, open_regular, printable, printable_path, read_regular, require_regular,
};
pub use outside::{in_handler, is_in_handler, panic_text};
pub use record::{
    CLIENT_MESSAGE_BYTES, STAMP_BYTES, Stamp, StampCheck, batch_bytes, batch_payload_max,
    client_payload_max, sent_time, verify, write_payload,
};
pub use table::Table;
pub use units::{
    ConsumerId, Incarnation, Offset, PARTITIONS_MAX, PartitionId, PoolId, ProducerId, RunId,
};
pub use units::{
    Quantity, UnitError, format_bytes, format_count, format_cpus, format_duration, number,
    parse_bytes, parse_duration, parse_rate,
};
