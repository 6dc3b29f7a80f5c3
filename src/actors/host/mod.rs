//! Hosts: what owns a client and the machines behind it, and has turns.
//!
//! A host has one client and any number of machines: one under explicit assignment with a client each, all
//! partitions with a shared client, and whatever the group assigns in group mode. The runtime gives it its turns: on a
//! thread of its own, or as a process of a simulation.

mod consumer_host;
mod dispatcher;
mod filler;
mod looped_consumer;
mod partition_worker;
mod producer_host;
mod sim_processes;

pub(super) use consumer_host::{ConsumerHost, HostTurn};
pub(super) use looped_consumer::LoopedConsumer;
pub(super) use producer_host::{BLOCKED_WAIT, Horizon, PoolHost, PoolTurn};
pub(super) use sim_processes::{RogueConsumer, SimulatedConsumer, SimulatedPool};
