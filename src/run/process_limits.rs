//! Open files and threads: compares the limits of this process with the needs of the run, before the first client is
//! created.
//!
//! The client library ends the process, or hangs, if it gets no thread or no descriptor.

use crate::base::format_count;
use crate::error::Error;
use crate::plan::{Needs, Plan, ProducerClients};

/// Raises the soft limit of open files to the need of the run. Refuses a run that exceeds a limit.
///
/// # Errors
/// A limit is too low. The error has the need of the run, and a remedy.
pub fn make_room(plan: &Plan) -> Result<(), Error> {
    let needs = plan.needs(brokers(plan));
    let files = system::open_files_max(needs.descriptors);
    if let Some(max) = files.filter(|max| *max < needs.descriptors) {
        return Err(too_low(plan, &needs, "open files", needs.descriptors, max, "ulimit -n"));
    }
    if let Some((max, used)) = system::threads_left()
        && used.saturating_add(needs.threads) > max
    {
        let wanted = used.saturating_add(needs.threads);
        return Err(too_low(plan, &needs, "threads", wanted, max, "ulimit -u"));
    }
    Ok(())
}

/// Number of brokers that clients connect to, as far as it is known before a connection.
fn brokers(plan: &Plan) -> u64 {
    let addresses = plan.broker.bootstrap.as_ref().map(|list| list.split(',').count() as u64);
    plan.broker.brokers.map(u64::from).or(addresses).unwrap_or(0)
}

fn too_low(plan: &Plan, needs: &Needs, what: &str, wanted: u64, max: u64, command: &str) -> Error {
    let fewer = match plan.load.clients {
        ProducerClients::PerProducer => "`load.clients = \"pool\"`",
        ProducerClients::PerPool => "`consumers.clients = \"shared\"`",
    };
    Error::Environment(format!(
        "this run needs about {} {what} for {} clients, and this process may have {}; raise the limit with `{command} {}` \
         (or where the limits of the user, the service or the container are set), or use fewer clients: {fewer}",
        format_count(wanted),
        format_count(needs.clients),
        format_count(max),
        // A multiple that is easy to type.
        wanted.next_multiple_of(1024),
    ))
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::{Process, all_processes};
    use rustix::process::{Resource, getrlimit, setrlimit};

    /// Open files that this process may have, after raising the soft limit to `wanted` if possible.
    pub(super) fn open_files_max(wanted: u64) -> Option<u64> {
        let mut limit = getrlimit(Resource::Nofile);
        let soft = limit.current?;
        if soft >= wanted {
            return Some(soft);
        }
        limit.current = Some(limit.maximum.map_or(wanted, |hard| hard.min(wanted)));
        match setrlimit(Resource::Nofile, limit) {
            Ok(()) => limit.current,
            Err(_) => Some(soft),
        }
    }

    /// Threads that the user may have, and has; `None` without a limit.
    pub(super) fn threads_left() -> Option<(u64, u64)> {
        // The superuser is not limited (setrlimit(2), RLIMIT_NPROC).
        if rustix::process::geteuid().is_root() {
            return None;
        }
        let max = getrlimit(Resource::Nproc).current?;
        let user = Process::myself().ok()?.status().ok()?.ruid;
        let threads = |process: Process| {
            let status = process.status().ok()?;
            (status.ruid == user).then_some(status.threads)
        };
        // A process that has ended in between has no threads.
        Some((max, all_processes().ok()?.filter_map(|process| threads(process.ok()?)).sum()))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn open_files_max(_wanted: u64) -> Option<u64> {
        None
    }

    pub(super) fn threads_left() -> Option<(u64, u64)> {
        None
    }
}
