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
mod leftovers;
mod printable;
mod record_size;
mod regular_file;
mod seed;
mod stamp;
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
pub use leftovers::Leftovers;
pub use printable::{printable, printable_path};
pub use record_size::{CLIENT_MESSAGE_BYTES, batch_bytes, batch_payload_max, client_payload_max};
pub use regular_file::{FileError, open_regular, read_regular, require_regular};
pub use seed::{Random, Seed};
pub use stamp::{STAMP_BYTES, Stamp, StampCheck, sent_time, verify, write_payload};
pub use table::Table;
pub use units::{
    Quantity, UnitError, format_bytes, format_count, format_cpus, format_duration, number,
    parse_bytes, parse_duration, parse_rate,
};
