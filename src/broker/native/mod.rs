//! The native client: requests out, responses in, no socket and no clock inside.
//!
//! It follows librdkafka in defaults and timing: one request per partition's batch, one outstanding fetch per
//! broker, the next fetch sent as soon as the last one is answered. Whoever hosts it carries its requests and tells
//! it the time: the simulator's kernel, later a TCP transport.

mod consumer;
pub mod member;
mod producer;

pub use consumer::NativeConsumer;
pub use producer::NativeProducer;
