//! The broker model: pure state machines that speak Kafka's terms and know neither sockets nor clocks.

pub mod assignor;
pub mod group;
pub mod replicas;
pub mod sequences;
