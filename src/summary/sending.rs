//! The sending of records: the effective settings, and the number and size of the batches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings with which the producers' clients send, and the record batches that they sent in the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Sending {
    /// The replicas that acknowledge a record, as `load.acks` names them.
    pub acks: String,
    /// True if retries can neither duplicate nor reorder records.
    pub idempotence: bool,
    /// Milliseconds for which a batch waits for more records; `null` if the value is not shown.
    pub linger_ms: Option<f64>,
    /// Largest size of a batch before compression, in bytes; `null` if the value is not shown.
    pub batch_bytes_max: Option<u64>,
    /// Largest number of records in a batch; `null` if the value is not shown.
    pub batch_records_max: Option<u64>,
    /// Codec of the batches, or `none`.
    pub compression: String,
    /// Level of the codec; `null` if it is the codec's own default, or if the value is not shown.
    pub compression_level: Option<i64>,
    /// Largest number of Produce requests without a response on a connection; `null` if the value is not shown.
    pub in_flight_max: Option<u64>,
    /// Number of record batches that were sent, retries included; `null` where the client does not report it.
    pub batches: Option<u64>,
    /// Bytes of these batches on the wire, with their headers; `null` where the client does not report it.
    pub batch_bytes: Option<u64>,
    /// Bytes of the same batches without compression; `null` where the client does not report it.
    pub uncompressed_bytes: Option<u64>,
    /// `uncompressed_bytes` / `batch_bytes`; `null` where the client does not report them, or if nothing was sent.
    pub compression_ratio: Option<f64>,
}
