//! Hosts: each owns a client and the machines that process its records, and works in turns.
//!
//! A host has one client and one or more machines: one machine if a consumer has a client of its own, all partitions
//! with a shared client, and the partitions that the group assigns in group mode. The runtime gives a host its turns,
//! on a thread or as a process of a simulation.

mod consumer_host;
mod dispatcher;
mod filler;
mod horizon;
mod looped_consumer;
mod partition_worker;
mod position_check;
mod producer_host;
mod sender;
mod sim_processes;

pub(super) use consumer_host::{ConsumerHost, HostTurn};
pub(super) use horizon::Horizon;
pub(super) use looped_consumer::LoopedConsumer;
pub(super) use producer_host::{BLOCKED_WAIT, PoolHost, PoolTurn};
pub(super) use sim_processes::{RogueConsumer, SimulatedConsumer, SimulatedPool};
