//! Ports to a cluster, and their adapters.
//!
//! A port is non-blocking data: it takes commands and yields events on the thread that hosts it. rdkafka is
//! one implementation and nothing outside [`rdkafka`] names the library; [`tcp`] is another one.

pub mod calls;
mod listener;
pub mod model;
pub mod native;
mod places;
mod port;
mod positions;
pub mod protocol;
pub mod rdkafka;
mod secure;
pub mod sim;
pub mod tcp;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "members of KIP-848 are not there yet, and tests read every field")
)]
mod wire;

#[cfg(fuzzing)]
pub use wire::decode;

pub use port::{
    Answers, BrokerError, ClusterPort, Committer, ConsumerCommand, ConsumerEvents, ConsumerLoop,
    ConsumerPort, ConsumerSpec, EndOffsets, ErrorClass, Flow, GroupSpec, ProducerPort, SendError,
    SendRecord, TopicPort, TopicSize, Watermarks, run_group,
};
pub use positions::{Position, Positions};
