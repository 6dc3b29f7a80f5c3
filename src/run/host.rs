//! The machine a run is made on.

use crate::base::{Clock, Time};
use crate::measure::CpuLimit;
use crate::summary::{Host, HostRecord, Summary};

/// What the system tells about itself.
pub(super) fn describe(clock: &Clock) -> Host {
    let limit = CpuLimit::of_this_process();
    Host {
        os: std::env::consts::OS.to_owned(),
        kernel: kernel(),
        cpu: cpu(),
        cores: limit.cores,
        cpu_limit: Some(limit.cpus),
        clock_resolution_ns: u64::try_from(clock.resolution().as_nanos()).unwrap_or(0),
    }
}

/// What a simulation that began with `wall` took until now. `None` if it was none.
pub fn record_host(wall: &Clock, summary: &Summary) -> Option<HostRecord> {
    let simulation = summary.simulation.as_ref()?;
    let wall_s = wall.now().as_secs_f64();
    Some(HostRecord {
        host: describe(wall),
        started_at: wall_clock(wall, Time::ZERO),
        wall_s,
        speed: simulation.virtual_ns as f64 / 1e9 / wall_s.max(1e-9),
    })
}

/// An instant of the run on the wall clock, RFC 3339 in UTC. A simulated run has none.
pub(super) fn wall_clock(clock: &Clock, at: Time) -> Option<String> {
    if clock.is_simulated() {
        return None;
    }
    let ns = i128::from(clock.epoch_unix_ns()) + i128::from(at.0);
    let timestamp = jiff::Timestamp::from_nanosecond(ns).ok()?;
    Some(format!("{timestamp:.3}"))
}

#[cfg(target_os = "linux")]
fn kernel() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned())
}

#[cfg(target_os = "linux")]
fn cpu() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Option<String> {
    None
}

#[cfg(not(target_os = "linux"))]
fn cpu() -> Option<String> {
    None
}
