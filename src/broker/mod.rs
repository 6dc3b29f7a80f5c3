//! Ports to a cluster, and their adapters.
//!
//! A port is non-blocking data: it takes commands and yields events on the thread that hosts it. rdkafka is
//! one implementation; nothing outside [`rdkafka`] names the library.

pub mod calls;
pub mod model;
pub mod native;
mod port;
pub mod protocol;
pub mod rdkafka;
pub mod sim;

pub use port::{
    Answers, BrokerError, ClusterPort, Committer, ConsumerCommand, ConsumerEvents, ConsumerPort,
    ConsumerSpec, EndOffsets, ErrorClass, Flow, GroupSpec, ProducerPort, SendError, SendRecord,
    TopicPort, TopicSize, Watermarks, run_group,
};
pub use port::{Position, Positions};
