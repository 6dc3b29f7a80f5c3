//! The cost of the run on this machine: CPU time, memory, threads, sockets.
//!
//! The CPU that this process may use: the CPUs it is bound to, and the quotas of its control groups.

use std::collections::BTreeMap;

use crate::summary::Cost;

/// Measures the process.
#[derive(Debug, Default)]
pub struct CostMeter {
    cpu_at_start_s: Option<f64>,
    cpu_now_s: Option<f64>,
    rss_max_bytes: Option<u64>,
    threads_max: Option<u64>,
    sockets_max: Option<u64>,
    samples: u32,
    is_off: bool,
    /// Name of each thread and its CPU seconds, by thread id.
    threads: BTreeMap<i32, (String, f64)>,
}

impl CostMeter {
    /// Turns all measurements off: in a simulation this process says nothing about the simulated machines.
    pub fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// Marks the start of the load.
    pub fn start(&mut self) {
        self.cpu_at_start_s = system::process_cpu_s();
        self.look();
    }

    /// To be called once a second. Reads the process every fifth time, because reading all threads and open files takes
    /// milliseconds, and the memory figure is a high-water mark anyway.
    pub fn sample(&mut self) {
        self.samples += 1;
        if self.samples.is_multiple_of(SAMPLES_PER_LOOK) {
            self.look();
        }
    }

    /// Reads the process, its threads and its open files.
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

    /// CPU seconds of all threads with exactly this name. Threads that have ended count up to their last reading.
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

#[cfg(test)]
impl CostMeter {
    /// A meter that has found these threads with these CPU seconds.
    pub(super) fn with_threads(threads: &[(&str, f64)]) -> CostMeter {
        let threads = threads.iter().map(|(name, cpu_s)| ((*name).to_owned(), *cpu_s));
        CostMeter { threads: (1..).zip(threads).collect(), ..CostMeter::default() }
    }
}

/// The operating system counts CPU time in hundredths of a second, so a share of less than ten of them is too inexact.
const SHARE_FROM_S: f64 = 0.1;

/// One reading of the process.
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

    /// CPU seconds of this process, all threads together.
    pub(super) fn process_cpu_s() -> Option<f64> {
        let stat = Process::myself().ok()?.stat().ok()?;
        Some((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }

    /// Memory, threads, sockets and the CPU time of threads, as of now.
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

/// The CPU that the operating system lets this process use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuLimit {
    /// Number of CPUs that the process may run on.
    pub cores: usize,
    /// Average number of CPUs that the process may use: `cores`, or less with a quota.
    pub cpus: f64,
}

impl CpuLimit {
    /// The current limits of this process. Where they are not known, all CPUs that the standard library finds.
    pub fn of_this_process() -> CpuLimit {
        let cores = cpus::affinity()
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let quota = cpus::quota().unwrap_or(f64::INFINITY);
        CpuLimit { cores, cpus: quota.min(cores as f64) }
    }
}

#[cfg(target_os = "linux")]
mod cpus {
    use std::path::{Path, PathBuf};

    use procfs::process::{MountInfo, MountInfos, Process};
    use procfs::{ProcResult, ProcessCGroups};

    /// Number of CPUs that this process is bound to.
    pub(super) fn affinity() -> Option<usize> {
        let list = Process::myself().ok()?.status().ok()?.cpus_allowed_list?;
        Some(list.iter().map(|(first, last)| (last - first) as usize + 1).sum())
    }

    /// The smallest quota of this process's control groups, in CPUs.
    pub(super) fn quota() -> Option<f64> {
        let known = || -> ProcResult<_> {
            let process = Process::myself()?;
            Ok((process.cgroups()?, process.mountinfo()?))
        };
        let (groups, mounts) = known().ok()?;
        quota_in(&groups, &mounts, Path::new("/"))
    }

    /// The smallest quota of these control groups and the groups above them. `root` takes the place of the root
    /// directory.
    pub(super) fn quota_in(
        groups: &ProcessCGroups,
        mounts: &MountInfos,
        root: &Path,
    ) -> Option<f64> {
        let mut smallest: Option<f64> = None;
        for group in &groups.0 {
            // Version 2 has one hierarchy for all controllers, version 1 one for each.
            let is_v2 = group.hierarchy == 0;
            if !is_v2 && !group.controllers.iter().any(|controller| controller == "cpu") {
                continue;
            }
            let is_its = |mount: &&MountInfo| match is_v2 {
                true => mount.fs_type == "cgroup2",
                false => mount.fs_type == "cgroup" && mount.super_options.contains_key("cpu"),
            };
            for mount in mounts.0.iter().filter(is_its) {
                let top = below(root, &mount.mount_point);
                let bottom = top.join(path_in(mount, &group.pathname));
                let up = bottom.ancestors().take_while(|directory| directory.starts_with(&top));
                let quotas = up.filter_map(|directory| match is_v2 {
                    true => quota_v2(directory),
                    false => quota_v1(directory),
                });
                smallest = quotas.chain(smallest).min_by(f64::total_cmp);
            }
        }
        smallest
    }

    fn below(root: &Path, path: &Path) -> PathBuf {
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The directory of a group below a mount. A container may see only a part of the hierarchy. A group outside of it
    /// is taken to be the top of that part.
    fn path_in(mount: &MountInfo, group: &str) -> PathBuf {
        let path = Path::new(group).strip_prefix(&mount.root).unwrap_or(Path::new(""));
        let is_outside = path.components().any(|part| part.as_os_str() == "..");
        if is_outside { PathBuf::new() } else { path.to_owned() }
    }

    /// `50000 100000` means half a CPU, `max 100000` no limit.
    fn quota_v2(directory: &Path) -> Option<f64> {
        let text = std::fs::read_to_string(directory.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        share(quota, period)
    }

    /// Quota and period are in two files. A quota of `-1` means no limit.
    fn quota_v1(directory: &Path) -> Option<f64> {
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
        share(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
    }

    fn share(quota: &str, period: &str) -> Option<f64> {
        let [quota, period]: [f64; 2] = [quota.trim().parse().ok()?, period.trim().parse().ok()?];
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }
}

#[cfg(not(target_os = "linux"))]
mod cpus {
    /// Unknown on this operating system.
    pub(super) fn affinity() -> Option<usize> {
        None
    }

    /// Unknown on this operating system.
    pub(super) fn quota() -> Option<f64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use procfs::process::MountInfos;
    use procfs::{FromBufRead, ProcessCGroups};

    #[test]
    fn the_process_sees_itself() {
        let mut meter = CostMeter::default();
        meter.start();
        let cost = meter.cost(1.0, 1.0);
        assert!(cost.rss_max_bytes.unwrap() > 100_000);
        assert!(cost.threads_max.unwrap() >= 1);
        assert!(cost.sockets_max.is_some());
        assert!(cost.cpu_share.is_some());
        // In a very short time, any CPU time would be a very large share.
        assert_eq!(meter.cost(1e-9, 1.0).cpu_share, None);
    }

    /// The quota of a process with these control groups and mounts, where these files are.
    fn quota(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<f64> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            std::fs::write(path, text).expect("written");
        }
        let groups = ProcessCGroups::from_buf_read(groups.as_bytes()).expect("control groups");
        let mounts = MountInfos::from_buf_read(mounts.as_bytes()).expect("mounts");
        cpus::quota_in(&groups, &mounts, root.path())
    }

    const V2: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n";
    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const V1_GROUPS: &str = "9:memory:/\n2:cpu,cpuacct:/a/b\n0::/\n";

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let files = |own: &'static str, above: &'static str| {
            let dir = "sys/fs/cgroup";
            [(format!("{dir}/a/cpu.max"), above), (format!("{dir}/a/b/cpu.max"), own)]
        };
        for (own, above, expected) in [
            ("20000 100000\n", "max 100000\n", Some(0.2)),
            ("max 100000\n", "150000 100000\n", Some(1.5)),
            ("400000 100000\n", "75000 50000\n", Some(1.5)),
            ("max 100000\n", "max 100000\n", None),
            ("", "what\n", None),
        ] {
            let files = files(own, above);
            let files: Vec<(&str, &str)> =
                files.iter().map(|(p, text)| (p.as_str(), *text)).collect();
            assert_eq!(quota("0::/a/b\n", V2, &files), expected, "{own} {above}");
        }
    }

    #[test]
    fn version_1_has_a_hierarchy_for_the_cpu() {
        let dir = "sys/fs/cgroup/cpu,cpuacct";
        let files = |own: &'static str| {
            [
                (format!("{dir}/cpu.cfs_quota_us"), "-1\n"),
                (format!("{dir}/cpu.cfs_period_us"), "100000\n"),
                (format!("{dir}/a/b/cpu.cfs_quota_us"), own),
                (format!("{dir}/a/b/cpu.cfs_period_us"), "50000\n"),
                ("sys/fs/cgroup/memory/a/b/cpu.cfs_quota_us".to_owned(), "1\n"),
            ]
        };
        for (own, expected) in [("-1\n", None), ("25000\n", Some(0.5))] {
            let files = files(own);
            let files: Vec<(&str, &str)> =
                files.iter().map(|(p, text)| (p.as_str(), *text)).collect();
            assert_eq!(quota(V1_GROUPS, V1, &files), expected, "{own}");
        }
    }

    /// A container sees its own group as the top, by the whole hierarchy's name for it or by its own.
    #[test]
    fn a_part_of_the_hierarchy_may_be_all_there_is() {
        let files = [("sys/fs/cgroup/cpu.max", "30000 100000\n")];
        let part = V2.replace(" / /sys", " /box/7 /sys");
        for (group, mounts) in [("/", V2), ("/box/7", &part), ("/../8", V2), ("/elsewhere", &part)]
        {
            assert_eq!(quota(&format!("0::{group}\n"), mounts, &files), Some(0.3), "{group}");
        }
    }

    #[test]
    fn no_more_than_the_cpus_it_is_bound_to() {
        let limit = CpuLimit::of_this_process();
        assert!(limit.cores >= 1 && limit.cpus > 0.0);
        assert!(limit.cpus <= limit.cores as f64, "{limit:?}");
    }

    #[test]
    fn its_share_is_of_all_cpus_for_the_whole_time() {
        let (cpu_at_start_s, cpu_now_s) = (Some(1.0), Some(4.0));
        let meter = CostMeter { cpu_at_start_s, cpu_now_s, ..CostMeter::default() };
        let cost = meter.cost(2.0, 3.0);
        assert_eq!((cost.cpu_s, cost.cpu_share), (Some(3.0), Some(0.5)));
    }
}
