//! The parts of response times, the slowest records, and the leaders of partitions. Also the records in counts that
//! should be 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The parts of the response time of a partition's records that were due in the measured window and processed. The
/// means of the parts add up to the mean response time, and the shares to 1. A part is `null` where the client does not
/// report it, or where a value was below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TimeParts {
    /// Intended send -> actual send.
    pub send_delay: Option<TimePart>,
    /// Actual send -> arrival in the consumer's client: the broker appends, replicates and returns the record.
    pub fetch: Option<TimePart>,
    /// Arrival in the client -> handling begins, behind other records.
    pub waiting: Option<TimePart>,
    /// Actual send -> handling begins, where the client does not report the two parts above.
    pub handed_over: Option<TimePart>,
    /// Handling begins -> processed.
    pub handling: Option<TimePart>,
    /// Mean time in microseconds from the actual send to the acknowledgement, of the records sent in the measured
    /// window; `null` where it is not measured. It is no part of the sum: a consumer may have the record before its
    /// producer has the acknowledgement.
    pub ack_us: Option<f64>,
}

/// A part of the response time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TimePart {
    /// Mean in microseconds.
    pub mean_us: f64,
    /// Share of the whole response time, 0 to 1; `null` where the whole is 0.
    pub share: Option<f64>,
}

/// A processed record that was due in the measured window, with its response time and the parts of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SlowRecord {
    /// Id of the partition.
    pub partition: u32,
    /// Offset of the record.
    pub offset: i64,
    /// Id of the producer. Producer and partition are its lane.
    pub producer: u32,
    /// Sequence number of the record in the lane, from 0.
    pub sequence: u64,
    /// Id of the consumer that processed it.
    pub consumer: u32,
    /// Number of that consumer's start: 1 for the first one.
    pub start: u32,
    /// Actual send in seconds since the load began.
    pub sent_s: f64,
    /// Wall-clock time of the actual send; `null` in a simulation.
    pub sent_at: Option<String>,
    /// Processed - intended send, in microseconds.
    pub response_us: f64,
    /// Actual send - intended send, in microseconds.
    pub send_delay_us: f64,
    /// Actual send -> arrival in the consumer's client, in microseconds; `null` where the client does not report it.
    pub fetch_us: Option<f64>,
    /// Arrival in the client -> handling began, in microseconds; `null` where the client does not report it.
    pub waiting_us: Option<f64>,
    /// Actual send -> handling began, in microseconds; `null` where the client reports the two parts above.
    pub handed_over_us: Option<f64>,
    /// Handling began -> processed, in microseconds.
    pub handling_us: f64,
}

/// The leader and the replicas of a partition, from a time on. Brokers are named by their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Leadership {
    /// Time at which this was first seen, in seconds since the load began; negative before. In a simulation it is the
    /// time of the change. Otherwise the change was up to `topic.discover` earlier.
    pub from_s: f64,
    /// The leader; `null` if there is none.
    pub leader: Option<i32>,
    /// Brokers with a replica, in the order in which they are preferred as leaders.
    pub replicas: Vec<i32>,
    /// Those of the replicas that are in sync (ISR).
    pub in_sync: Vec<i32>,
}

/// A record that a count includes that should be 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct WrongRecord {
    /// Name of the count's metric.
    pub figure: String,
    /// Id of the partition.
    pub partition: u32,
    /// Id of the producer; `null` if the record does not contain it.
    pub producer: Option<u32>,
    /// Sequence number in the producer's lane, from 0; `null` if the record does not contain it.
    pub sequence: Option<u64>,
    /// Offset at which the record was counted; `null` for a lost record.
    pub offset: Option<i64>,
}
