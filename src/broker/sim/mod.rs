//! The kernel of a simulation: owns virtual time, hosts the data machines, carries messages.

mod lookahead;
mod deferred;
mod group_checker;
mod delivery;
mod faults;
mod handle;
mod process;
mod kernel;
mod limits;
mod network;
mod event_queue;
mod wire_size;
mod trace_text;
mod trace;
mod link_fault;
mod scheduling;
mod trace_sink;

pub use group_checker::{CheckReport, ProcessedOffsets};
pub use handle::{Job, KernelHandle};
pub use kernel::{Kernel, StepOutcome};
pub use limits::{Exceeded, SimLimits};
pub use network::NetworkSettings;
pub use process::{Delivered, NextTurn, SimProcess, TurnRequest};
pub use trace::Trace;
pub use trace_sink::TraceSink;

use crate::base::PoolId;
use crate::broker::{
    BrokerError, ClusterPort, ConsumerPort, ConsumerSpec, EndOffsets, ProducerPort,
};
use crate::fault::Disturbance;

/// The cluster as the ports of real time see it: the kernel hosts the clients itself, so there are none, but things
/// can be done to it.
#[derive(Debug)]
pub struct NoSockets(pub KernelHandle);

impl NoSockets {
    fn error<T>() -> Result<T, BrokerError> {
        Err(BrokerError::fatal("a simulated cluster has no sockets; this is a bug"))
    }
}

impl ClusterPort for NoSockets {
    fn consumer(&self, _spec: &ConsumerSpec) -> Result<Box<dyn ConsumerPort>, BrokerError> {
        NoSockets::error()
    }

    fn producer(&self, _pool: PoolId) -> Result<Box<dyn ProducerPort>, BrokerError> {
        NoSockets::error()
    }

    fn end_offsets(&self) -> Result<Box<dyn EndOffsets>, BrokerError> {
        NoSockets::error()
    }

    fn grown(&self, partitions: u32) {
        self.0.set_known_partitions(partitions);
    }

    fn create_partitions(&self, total: u32) -> Result<(), BrokerError> {
        self.0.grow(total);
        Ok(())
    }

    fn disturb(&self, disturbance: &Disturbance) -> Result<(), BrokerError> {
        self.0.disturb(disturbance.clone());
        Ok(())
    }
}
