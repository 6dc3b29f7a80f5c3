//! Hosts: named OS threads that own a client and the machines behind it.
//!
//! A host has one client and any number of machines: one under explicit assignment with a client each, all
//! partitions with a shared client, and whatever the group assigns in group mode.

mod dispatcher;
mod ends;
mod handling;
mod injected_faults;
mod inquiry;
mod kernel;
mod lease;
mod partition_worker;
mod pool;
mod second;
mod sender;
mod thread;

pub(super) use ends::Ends;
pub use kernel::Hosting;
pub(super) use lease::{HostReport, Lease, Reports};
pub use pool::PoolShared;
pub(super) use pool::{PoolHandle, PoolReport, start_pool};
pub(super) use second::start_second_owner;
pub use thread::SharedHost;
pub(super) use thread::{start_group_host, start_own_host};
