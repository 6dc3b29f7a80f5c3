//! Where the time of records went, and which brokers had their partitions meanwhile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the response time of a partition's records went: of those due in the measured window that were processed.
/// Means and shares of the parts add up to the whole. A part is `null` where the client does not tell it apart, or where
/// a value was below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TimeParts {
    /// Intended send -> actual send.
    pub send_delay: Option<TimePart>,
    /// Actual send -> in the consumer's client: the broker appends, replicates and returns the record in it.
    pub fetch: Option<TimePart>,
    /// In the client, behind other records, until handling begins.
    pub waiting: Option<TimePart>,
    /// Actual send -> handling begins, where the client does not tell the two parts above apart.
    pub handed_over: Option<TimePart>,
    /// Handling begins -> processed.
    pub handling: Option<TimePart>,
    /// Mean time in microseconds from the actual send to the acknowledgement, of the records sent in the measured window.
    /// It is no part of the sum: a consumer may have the record before its producer has the acknowledgement.
    pub ack_us: Option<f64>,
}

/// A part of the response time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TimePart {
    /// Mean in microseconds.
    pub mean_us: f64,
    /// Share of the whole response time, 0 to 1; `null` where that is 0.
    pub share: Option<f64>,
}

/// A processed record that was due in the measured window, with the parts of its response time. The parts add up to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SlowRecord {
    /// Id of the partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// Id of the producer. Producer and partition are its lane.
    pub producer: u32,
    /// Its number in the lane, from 0.
    pub sequence: u64,
    /// Id of the consumer that processed it.
    pub consumer: u32,
    /// Which start of that consumer it was: 1 for the first one.
    pub start: u32,
    /// Actual send in seconds since the load began.
    pub sent_s: f64,
    /// Actual send on the wall clock; `null` in a simulation.
    pub sent_at: Option<String>,
    /// Processed - intended send, in microseconds.
    pub response_us: f64,
    /// Actual send - intended send, in microseconds.
    pub send_delay_us: f64,
    /// Actual send -> in the consumer's client, in microseconds; `null` where the client does not say.
    pub fetch_us: Option<f64>,
    /// In the client until handling began, in microseconds; `null` where the client does not say.
    pub waiting_us: Option<f64>,
    /// Actual send -> handling began, in microseconds; `null` where the client tells the two parts above apart.
    pub handed_over_us: Option<f64>,
    /// Handling began -> processed, in microseconds.
    pub handling_us: f64,
}

/// Which brokers had a partition from some time on. Brokers are named by their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Leadership {
    /// When this was seen first, in seconds since the load began; negative before. In a simulation it is when it
    /// happened; otherwise it happened up to `topic.discover` earlier.
    pub from_s: f64,
    /// The leader; `null` while there is none.
    pub leader: Option<i32>,
    /// Brokers with a replica, in the order in which they are preferred as leaders.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync (ISR).
    pub in_sync: Vec<i32>,
}

/// A record for which a count was raised that ought to be 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct WrongRecord {
    /// The count, by the name of its metric.
    pub figure: String,
    /// Id of the partition.
    pub partition: u32,
    /// Id of the producer; `null` where the record does not say it.
    pub producer: Option<u32>,
    /// Its number in the producer's lane, from 0; `null` where the record does not say it.
    pub sequence: Option<u64>,
    /// The offset at which it was counted; `null` for one that was lost.
    pub offset: Option<i64>,
}
