//! The simulated cluster, network and machine.

use std::time::Duration;

/// What a simulation assumes. Nothing in it has been fitted to a real cluster unless the book says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimPlan {
    /// Number of brokers.
    pub brokers: u32,
    /// Cores of each broker.
    pub broker_cores: u32,
    /// CPU time of a request.
    pub request_cost: Duration,
    /// Shortest one-way time between a client and a broker.
    pub latency: Duration,
    /// Mean of what comes on top, exponentially distributed.
    pub jitter: Duration,
    /// Cores of the machine the consumers run on.
    pub host_cores: u32,
}
