//! How records are sent: the settings of batches that held, and what the batches came to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the producers' clients send, and the record batches that they have sent in the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Sending {
    /// Which replicas acknowledge a record, as `load.acks` names them.
    pub acks: String,
    /// Whether repeated requests can neither duplicate nor reorder records.
    pub idempotence: bool,
    /// Milliseconds for which a batch waits for more records; `null` if the value is not shown.
    pub linger_ms: Option<f64>,
    /// Bytes of a batch before compression, at most; `null` if the value is not shown.
    pub batch_bytes_max: Option<u64>,
    /// Records of a batch, at most; `null` if the value is not shown.
    pub batch_records_max: Option<u64>,
    /// Codec of the batches, or `none`.
    pub compression: String,
    /// Level of the codec; `null` if it is the codec's own default, or if the value is not shown.
    pub compression_level: Option<i64>,
    /// Produce requests without a response on a connection, at most; `null` if the value is not shown.
    pub in_flight_max: Option<u64>,
    /// Record batches that were sent, each time counted; `null` where the client does not say.
    pub batches: Option<u64>,
    /// Bytes of these batches on the wire, with their headers; `null` where the client does not say.
    pub batch_bytes: Option<u64>,
    /// Bytes that the same batches have without compression; `null` where the client does not say.
    pub uncompressed_bytes: Option<u64>,
    /// `uncompressed_bytes` / `batch_bytes`; `null` where the client does not say, or nothing was sent.
    pub compression_ratio: Option<f64>,
}
