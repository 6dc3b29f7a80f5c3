//! The requests of lanekeeper's native client.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Digest;

/// Requests of the clients that carry the load, as these clients see them. Requests outside the load are not included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ClientRequests {
    /// Largest number of connections that were open at a time, in the whole run.
    pub connections_max: u64,
    /// Number of connections that were made in the whole run.
    pub connections_made: u64,
    /// Requests per second in the measured window, by Kafka's name of their kind. A request counts when its response is
    /// read; a request without a response counts when it is written.
    pub per_s: BTreeMap<String, f64>,
    /// Requests of all kinds per second in the measured window.
    pub all_per_s: f64,
    /// Batches of Produce requests in the measured window, with the bytes of the requests, headers and compression
    /// included. A request has a batch for each partition whose records were due.
    pub produced: RequestSizes,
    /// Responses to Fetch with records, in the measured window.
    pub fetched: RequestSizes,
    /// Microseconds from a Produce request until its response was read.
    pub produce_us: Digest,
    /// Microseconds from a Fetch request until its response was read. It includes the broker's wait for a first record.
    pub fetch_us: Digest,
    /// Sum of the milliseconds for which quotas of brokers held connections back in the measured window.
    pub throttled_ms: f64,
}

/// Number and size of requests or responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct RequestSizes {
    /// Number of requests, responses or batches.
    pub count: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them on the wire.
    pub bytes: u64,
    /// Mean number of records in each; `null` if there was none.
    pub records_each: Option<f64>,
    /// Mean number of bytes of each; `null` if there was none.
    pub bytes_each: Option<f64>,
}
