//! The broker model: pure state machines that speak Kafka's terms and know neither sockets nor clocks.

pub mod assignor;
mod cluster;
pub mod group;
mod log;
pub mod replicas;

pub use cluster::{
    Alarm, Caller, ClientId, Cluster, ClusterSettings, Cores, Fetched, Output, Outputs, Produced,
};
pub use log::PartitionLog;
