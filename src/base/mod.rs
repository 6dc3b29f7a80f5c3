//! The vocabulary everything else speaks: ids, units, time, randomness, the record stamp, and what comes from outside:
//! text and files.
//!
//! Nothing here knows about scenarios, brokers or actors.

mod capability;
mod clock;
#[cfg(test)]
mod defect;
mod handler_panic;
mod ids;
mod outside;
mod record;
mod seed;
mod table;
mod units;

pub use capability::{BrokerKind, Capability};
pub use clock::{Clock, ClockHand, Time};
#[cfg(test)]
pub(crate) use defect::Defect;
pub use handler_panic::{in_handler, is_in_handler, panic_text};
pub use ids::{
    ConsumerId, Incarnation, Offset, PARTITIONS_MAX, PartitionId, PoolId, ProducerId, RunId,
};
pub use outside::{
    FileError, Leftovers, open_regular, printable, printable_path, read_regular, require_regular,
};
pub use record::{
    CLIENT_MESSAGE_BYTES, STAMP_BYTES, Stamp, StampCheck, batch_bytes, batch_payload_max,
    client_payload_max, sent_time, verify, write_payload,
};
pub use seed::{Random, Seed};
pub use table::Table;
pub use units::{
    Quantity, UnitError, format_bytes, format_count, format_cpus, format_duration, number,
    parse_bytes, parse_duration, parse_rate,
};
