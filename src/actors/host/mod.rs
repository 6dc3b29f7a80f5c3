//! Hosts: named OS threads that own a client and the machines behind it.
//!
//! A host has one client and any number of machines: one under explicit assignment with a client each, all
//! partitions with a shared client, and whatever the group assigns in group mode.

mod consumer_host;
mod dispatcher;
mod end_offset_query;
mod handler_errors;
mod injected_faults;
mod launch;
mod lease;
mod partition_worker;
mod position_check;
mod producer_host;
mod rogue_consumer;
mod sender;
mod simulated;

pub(super) use end_offset_query::EndOffsetQuery;
pub use launch::SharedHost;
pub(super) use launch::{start_group_host, start_own_host};
pub(super) use lease::{HostReport, Lease, Reports};
pub use producer_host::PoolShared;
pub(super) use producer_host::{PoolHandle, PoolReport, start_pool};
pub(super) use rogue_consumer::start_rogue_consumer;
pub use simulated::Hosting;
