//! What lanekeeper's own client has asked of brokers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Digest;

/// Requests of the clients that carry the load, as these clients saw them. What is asked beside the load is not in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ClientRequests {
    /// Largest number of connections that were open at the same time, in the whole run.
    pub connections_max: u64,
    /// Connections that were made in the whole run.
    pub connections_made: u64,
    /// Requests per second in the measured window, by Kafka's name of their kind. A request counts when its response is
    /// read, and one without a response when it is written.
    pub per_s: BTreeMap<String, f64>,
    /// All of them together.
    pub all_per_s: f64,
    /// Batches of Produce requests in the measured window, with the bytes of the requests, headers and compression
    /// included. A request has a batch of each partition whose records were due.
    pub produced: RequestSizes,
    /// Responses to Fetch in the measured window, of those with records.
    pub fetched: RequestSizes,
    /// Microseconds from a Produce request until its response was read.
    pub produce_us: Digest,
    /// The same for Fetch: the time that the broker waits for a first record is in it.
    pub fetch_us: Digest,
    /// Milliseconds for which quotas of brokers have held connections back in the measured window, all together.
    pub throttled_ms: f64,
}

/// Number and size of requests or responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RequestSizes {
    /// How many there were.
    pub count: u64,
    /// Their records.
    pub records: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Records of each, on average; `null` if there was none.
    pub records_each: Option<f64>,
    /// Bytes of each, on average; `null` if there was none.
    pub bytes_each: Option<f64>,
}
