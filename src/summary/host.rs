//! The machine on which a run was measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine. `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Host {
    /// Name of the operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Name of the processor.
    pub cpu: Option<String>,
    /// CPUs this process may run on.
    pub cores: usize,
    /// CPUs this process may use at once on average: `cores`, or less with a quota of its control groups.
    #[serde(default)]
    pub cpu_limit: Option<f64>,
    /// Smallest step of the clock, in nanoseconds.
    pub clock_resolution_ns: u64,
}

impl Host {
    /// CPUs this process may use at once on average; where that is not known, those it may run on.
    pub fn cpus(&self) -> f64 {
        self.cpu_limit.filter(|cpus| *cpus > 0.0).unwrap_or(self.cores.max(1) as f64)
    }
}

/// What a simulation took, beside its result: all of it depends on the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct HostRecord {
    /// The machine.
    pub host: Host,
    /// When it was started, RFC 3339 in UTC.
    pub started_at: Option<String>,
    /// How long it took, in seconds.
    pub wall_s: f64,
    /// Virtual time over real time.
    pub speed: f64,
}
