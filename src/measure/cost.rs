//! What the run costs this process: CPU, memory, threads, sockets.

use std::collections::BTreeMap;

use crate::summary::Cost;

/// Watches the process.
#[derive(Debug, Default)]
pub struct CostMeter {
    cpu_at_start_s: Option<f64>,
    cpu_now_s: Option<f64>,
    rss_max_bytes: Option<u64>,
    threads_max: Option<u64>,
    sockets_max: Option<u64>,
    samples: u32,
    is_off: bool,
    /// CPU seconds by thread id, with the thread's name.
    threads: BTreeMap<i32, (String, f64)>,
}

impl CostMeter {
    /// Never looks: the process says nothing about simulated machines.
    pub fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// Marks the start of the load.
    pub fn start(&mut self) {
        self.cpu_at_start_s = system::process_cpu_s();
        self.look();
    }

    /// To be called once a second. Looks at the process every fifth time: going through all threads and open files
    /// costs milliseconds, and memory is a high-water mark anyway.
    pub fn sample(&mut self) {
        self.samples += 1;
        if self.samples.is_multiple_of(SAMPLES_PER_LOOK) {
            self.look();
        }
    }

    /// Looks at the process, its threads and its open files.
    pub fn look(&mut self) {
        if self.is_off {
            return;
        }
        self.cpu_now_s = system::process_cpu_s();
        let seen = system::look();
        self.rss_max_bytes = self.rss_max_bytes.max(seen.rss_max_bytes);
        self.threads_max = self.threads_max.max(seen.threads);
        self.sockets_max = self.sockets_max.max(seen.sockets);
        for (id, name, cpu_s) in seen.thread_cpu {
            self.threads.insert(id, (name, cpu_s));
        }
    }

    /// CPU seconds used since [`CostMeter::start`].
    pub fn cpu_s(&self) -> Option<f64> {
        Some(self.cpu_now_s? - self.cpu_at_start_s?)
    }

    /// CPU seconds of all threads with exactly this name, ended ones included up to their last sample.
    pub fn thread_cpu_s(&self, name: &str) -> f64 {
        self.threads.values().filter(|(thread, _)| thread == name).map(|(_, cpu)| cpu).sum()
    }

    /// The cost of a load that ran for `seconds` in a process that may use `cpus` CPUs.
    pub fn cost(&self, seconds: f64, cpus: f64) -> Cost {
        let cpu_s = self.cpu_s();
        Cost {
            cpu_s,
            cpu_share: cpu_s
                .filter(|_| seconds >= SHARE_FROM_S)
                .map(|cpu_s| cpu_s / (seconds * cpus)),
            rss_max_bytes: self.rss_max_bytes,
            threads_max: self.threads_max,
            sockets_max: self.sockets_max,
        }
    }
}

const SAMPLES_PER_LOOK: u32 = 5;
/// The system counts CPU time in hundredths of a second: a share of less than ten of them says nothing.
const SHARE_FROM_S: f64 = 0.1;

/// What one look at the process showed.
#[derive(Default)]
struct Seen {
    rss_max_bytes: Option<u64>,
    threads: Option<u64>,
    sockets: Option<u64>,
    thread_cpu: Vec<(i32, String, f64)>,
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::{FDTarget, Process};

    use super::Seen;

    pub(super) fn process_cpu_s() -> Option<f64> {
        let stat = Process::myself().ok()?.stat().ok()?;
        Some((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }

    pub(super) fn look() -> Seen {
        let Ok(process) = Process::myself() else {
            return Seen::default();
        };
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let thread_cpu: Vec<_> = process
            .tasks()
            .into_iter()
            .flatten()
            .filter_map(|task| task.ok()?.stat().ok())
            .map(|stat| (stat.pid, stat.comm, (stat.utime + stat.stime) as f64 / ticks_per_second))
            .collect();
        let is_socket = |target: &FDTarget| matches!(target, FDTarget::Socket(_));
        Seen {
            rss_max_bytes: process
                .status()
                .ok()
                .and_then(|status| status.vmhwm)
                .map(|kb| kb * 1024),
            threads: Some(thread_cpu.len() as u64),
            sockets: process.fd().ok().map(|fds| {
                fds.filter(|fd| fd.as_ref().is_ok_and(|fd| is_socket(&fd.target))).count() as u64
            }),
            thread_cpu,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Seen;

    pub(super) fn process_cpu_s() -> Option<f64> {
        None
    }

    pub(super) fn look() -> Seen {
        Seen::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_sees_itself() {
        let mut meter = CostMeter::default();
        meter.start();
        let cost = meter.cost(1.0, 1.0);
        assert!(cost.rss_max_bytes.unwrap() > 100_000);
        assert!(cost.threads_max.unwrap() >= 1);
        assert!(cost.sockets_max.is_some());
        assert!(cost.cpu_share.is_some());
        // Of no time at all everything would be a very large share.
        assert_eq!(meter.cost(1e-9, 1.0).cpu_share, None);
    }
}
