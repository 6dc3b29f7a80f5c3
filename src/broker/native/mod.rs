//! The native client: requests out, responses in, no socket and no clock inside.
//!
//! The client follows librdkafka in defaults and timing: one fetch in flight per broker, and the next fetch is sent as
//! soon as the last one is answered. A host delivers its requests and tells it the time: the kernel of a simulation, or
//! a TCP transport.

mod consumer;
mod consumer_member;
pub mod member;
pub mod member_protocol;
mod membership;
mod metadata;
mod producer;
mod received;

#[cfg(test)]
pub(in crate::broker) use membership::member_of;

pub use consumer::NativeConsumer;
pub use producer::NativeProducer;

use std::time::Duration;

/// The time limits and backoffs of a client, named after librdkafka's properties, with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeSettings {
    /// Number of brokers that the client knows at the start.
    pub brokers: u32,
    /// `socket.timeout.ms`: a connection is closed if a request is unanswered for this long. The value is 30 s, as
    /// librdkafka's `request.timeout.ms`, instead of its 60 s.
    pub request_timeout: Duration,
    /// `message.timeout.ms`: longest time until a record is acknowledged.
    pub message_timeout: Duration,
    /// `retry.backoff.ms`, which doubles up to `retry.backoff.max.ms`.
    pub retry_backoff: Duration,
    /// `retry.backoff.max.ms`.
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`, which doubles up to `reconnect.backoff.max.ms`.
    pub reconnect_backoff: Duration,
    /// `reconnect.backoff.max.ms`.
    pub reconnect_backoff_max: Duration,
    /// `fetch.wait.max.ms`: longest time that a broker waits for a first record.
    pub fetch_wait_max: Duration,
    /// Bytes of batches from which on a Produce request takes no more of them, like `max.request.size` of Kafka's Java
    /// client. With 0, each batch is a request of its own, as with librdkafka.
    pub request_bytes: usize,
}

impl Default for NativeSettings {
    fn default() -> NativeSettings {
        NativeSettings {
            brokers: 1,
            request_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(300),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(100),
            reconnect_backoff_max: Duration::from_secs(10),
            fetch_wait_max: Duration::from_millis(500),
            request_bytes: 0,
        }
    }
}
