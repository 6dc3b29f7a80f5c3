//! Ports to a cluster, and their adapters.
//!
//! A port is non-blocking data: it takes commands and yields events on the thread that hosts it. rdkafka is
//! one implementation; nothing outside [`rdkafka`] names the library.

pub mod calls;
mod disturbance;
mod port;
pub mod model;
pub mod native;
pub mod protocol;
pub mod rdkafka;
pub mod sim;

pub use disturbance::Disturbance;
pub use port::{
    Answers, BrokerError, ClusterPort, Committer, ConsumerCommand, ConsumerEvents, ConsumerPort,
    ConsumerSpec, EndOffsets, ErrorClass, Flow, GroupSpec, Position, Positions, ProducerPort,
    SendError, SendRecord, TopicPort, TopicSize, Watermarks,
};
