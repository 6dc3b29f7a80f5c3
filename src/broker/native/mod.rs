//! The native client: requests out, responses in, no socket and no clock inside.
//!
//! It follows librdkafka in defaults and timing: one outstanding fetch per broker, the next fetch sent as soon as the
//! last one is answered. Its host carries its requests and tells it the time: the simulator's kernel, or a TCP
//! transport.

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

/// How a client behaves when something goes wrong; named after librdkafka's properties, with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Number of brokers it knows of.
    pub brokers: u32,
    /// `socket.timeout.ms`: a connection on which a request is unanswered for this long is closed. 30 s, which is
    /// librdkafka's `request.timeout.ms`, instead of its 60 s.
    pub request_timeout: Duration,
    /// `message.timeout.ms`: how long a record may take until it is acknowledged.
    pub message_timeout: Duration,
    /// `retry.backoff.ms`, and `retry.backoff.max.ms` up to which it doubles.
    pub retry_backoff: Duration,
    /// See above.
    pub retry_backoff_max: Duration,
    /// `reconnect.backoff.ms`, and `reconnect.backoff.max.ms` up to which it doubles.
    pub reconnect_backoff: Duration,
    /// See above.
    pub reconnect_backoff_max: Duration,
    /// `fetch.wait.max.ms`: how long a broker waits for a first record.
    pub fetch_wait_max: Duration,
    /// Bytes of batches from which on a Produce request takes no more of them, as `max.request.size` of Kafka's Java
    /// client. 0: each batch is a request of its own, as with librdkafka.
    pub request_bytes: usize,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
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
