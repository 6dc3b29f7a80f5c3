//! The machine on which a run was measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine. A field is `null` where the operating system does not report it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Host {
    /// Name of the operating system.
    pub os: String,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Name of the processor.
    pub cpu: Option<String>,
    /// Number of CPUs that this process may run on.
    pub cores: usize,
    /// Number of CPUs that this process may use at once on average: `cores`, or less with a quota of its control
    /// groups.
    #[serde(default)]
    pub cpu_limit: Option<f64>,
    /// Smallest step of the clock, in nanoseconds.
    pub clock_resolution_ns: u64,
}

impl Host {
    /// Number of CPUs that this process may use at once on average. If that is not known, those it may run on.
    pub fn cpus(&self) -> f64 {
        self.cpu_limit.filter(|cpus| *cpus > 0.0).unwrap_or(self.cores.max(1) as f64)
    }
}

/// The real time of a simulation and the machine, which are kept beside its result, because they differ each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HostRecord {
    /// The machine.
    pub host: Host,
    /// Start of the simulation, RFC 3339 in UTC; `None` if not known.
    pub started_at: Option<String>,
    /// Real time of the simulation in seconds.
    pub wall_s: f64,
    /// Virtual time divided by real time.
    pub speed: f64,
}
