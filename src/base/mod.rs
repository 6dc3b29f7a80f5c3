//! The vocabulary everything else speaks: ids, units, time, randomness and the record stamp.
//!
//! Nothing here knows about scenarios, brokers or actors.

mod capability;
mod clock;
#[cfg(test)]
mod defect;
mod ids;
mod input_file;
mod record_size;
mod seed;
mod stamp;
mod table;
mod units;
mod visible;

pub use capability::{BrokerKind, Capability};
pub use clock::{Clock, ClockHand, Time};
#[cfg(test)]
pub(crate) use defect::Defect;
pub use ids::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, ProducerId, RunId};
pub use input_file::{InputFileError, read_input_file, require_regular};
pub use record_size::{CLIENT_MESSAGE_BYTES, batch_bytes, batch_payload_max, client_payload_max};
pub use seed::{Random, Seed};
pub use stamp::{STAMP_BYTES, Stamp, Verdict, sent_time, verify, write_payload};
pub use table::Table;
pub use units::{
    Quantity, UnitError, format_bytes, format_count, format_cpus, format_duration, number,
    parse_bytes, parse_duration, parse_rate,
};
pub use visible::visible;
