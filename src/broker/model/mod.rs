//! The model of brokers: pure machines with the terms of Kafka, without sockets and clocks.

pub mod assignor;
mod cluster;
mod cores;
pub mod group;
mod log;
mod producer_states;
mod remote_assignor;
pub mod replicas;

pub use cluster::{
    Caller, ClientId, Cluster, ClusterEffect, ClusterEffects, ClusterSettings, ClusterTimer,
    Fetched, LeaderChange, Produced,
};
pub use cores::Cores;
pub use log::PartitionLog;
