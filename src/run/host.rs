//! The machine a run is made on.

use crate::base::{Clock, Time};
use crate::measure::Host;

/// What the system tells about itself.
pub(super) fn describe(clock: &Clock) -> Host {
    Host {
        os: std::env::consts::OS.to_owned(),
        kernel: kernel(),
        cpu: cpu(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        clock_resolution_ns: u64::try_from(clock.resolution().as_nanos()).unwrap_or(0),
    }
}

/// An instant of the run on the wall clock, RFC 3339 in UTC.
pub(super) fn wall_clock(clock: &Clock, at: Time) -> Option<String> {
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
