//! The lease of an actor on its host: commands to the host, and reports from it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{SendError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::{PartitionId, PoolId, Time};
use crate::broker::BrokerError;
use crate::logic::{Due, Pacer};
use crate::measure::{Heartbeat, Owner, StageWatch, Start};

/// A command from an actor to its host.
#[derive(Debug)]
pub(super) enum HostCommand {
    /// Read this partition from here on, for this owner.
    Attach { partition: PartitionId, owner: Owner, start: Start, channel: ReportChannel },
    /// Stop working for this owner, and close the client if no other owner uses it.
    Detach { owner: Owner },
    /// Have the client assign the partitions of this owner again, from their checkpoints.
    Reassign { owner: Owner },
}

/// Notifies a host that a command waits for it.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The channel of commands to a host.
#[derive(Clone)]
pub(super) struct CommandChannel {
    pub(super) sender: Sender<HostCommand>,
    pub(super) wake: Wake,
}

impl CommandChannel {
    pub(super) fn send(&self, command: HostCommand) -> Result<(), SendError<HostCommand>> {
        self.sender.send(command)?;
        (self.wake)();
        Ok(())
    }
}

impl fmt::Debug for CommandChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandChannel")
    }
}

/// A report from a host to an actor.
#[derive(Clone, Debug)]
pub(super) enum HostReport {
    /// The client has fetched for the first time, or has joined its group.
    Ready,
    /// The machine or the client has failed.
    Failed(BrokerError),
    /// The host has stopped working for the actor, as asked.
    Detached,
    /// The thread has ended and its client is closed.
    Closed,
}

/// Delivers a host's reports.
pub(super) type Reports = Arc<dyn Fn(HostReport) + Send + Sync>;

/// The channel from a host to one of its actors. The host sends reports, and finds out whether the actor has crashed.
#[derive(Clone)]
pub(super) struct ReportChannel {
    pub(super) reports: Reports,
    pub(super) heartbeat: Arc<Heartbeat>,
    crashed: Arc<AtomicBool>,
}

impl fmt::Debug for ReportChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReportChannel")
    }
}

impl ReportChannel {
    pub(super) fn new(reports: Reports, heartbeat: Arc<Heartbeat>) -> ReportChannel {
        ReportChannel { reports, heartbeat, crashed: Arc::new(AtomicBool::new(false)) }
    }

    /// True if the actor has crashed. A host processes no more records for it.
    #[inline]
    pub(super) fn is_dead(&self) -> bool {
        self.crashed.load(Ordering::Acquire)
    }

    /// The flag behind [`ReportChannel::is_dead`].
    pub(super) fn crashed(&self) -> Arc<AtomicBool> {
        self.crashed.clone()
    }

    pub(super) fn report(&self, report: HostReport) {
        (self.reports)(report);
    }
}

/// An actor's hold on its host. Dropping it is a crash: a killed actor, for example, drops it with its state. The host
/// is then detached without waiting, and a group member commits nothing more. The supervisor's release makes the
/// records of the old incarnation count for nothing, however late its thread notices.
pub(super) struct Lease {
    owner: Owner,
    commands: CommandChannel,
    crashed: Arc<AtomicBool>,
    asked: AtomicBool,
}

impl Lease {
    pub(super) fn new(owner: Owner, commands: CommandChannel, channel: &ReportChannel) -> Lease {
        Lease { owner, commands, crashed: channel.crashed(), asked: AtomicBool::new(false) }
    }

    /// Asks the host to have its client assign the partitions again.
    pub(super) fn reassign(&self) {
        let _ = self.commands.send(HostCommand::Reassign { owner: self.owner });
    }

    /// Asks the host to finish; it answers with [`HostReport::Detached`]. False when the host is gone.
    pub(super) fn detach(&self) -> bool {
        self.asked.store(true, Ordering::Release);
        self.commands.send(HostCommand::Detach { owner: self.owner }).is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // An actor that ends in order has waited until its host is detached. This flag is for one that was killed.
        self.crashed.store(true, Ordering::Release);
        if !self.asked.load(Ordering::Acquire) {
            let _ = self.commands.send(HostCommand::Detach { owner: self.owner });
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// The schedules of a pool, which outlive its host.
#[derive(Debug)]
pub struct PoolShared {
    /// The pool that the schedules belong to.
    pub pool: PoolId,
    /// The schedules, with their progress.
    pub pacer: Mutex<Pacer>,
}

impl PoolShared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Pacer> {
        self.pacer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of partitions that the schedules use.
    pub(super) fn partitions(&self) -> usize {
        self.lock().partitions() as usize
    }

    /// End of the schedules as far as `stages` is known, see [`Pacer::over_at`].
    pub fn over_at(&self, stages: &StageWatch) -> Option<Time> {
        let mut pacer = self.lock();
        let ends = stages.ends_from(pacer.stages_ended());
        pacer.end_stages(&ends);
        pacer.over_at()
    }

    /// Records that are due and were not taken, see [`Pacer::untaken`].
    pub fn untaken(&self, from: Time, to: Time) -> Vec<Due> {
        self.lock().untaken(from, to).collect()
    }
}

/// A report from a pool's host to its actor.
#[derive(Clone, Debug)]
pub(super) enum PoolReport {
    /// All records are sent and answered.
    Finished,
    /// The client could not be made, or the thread panicked.
    Failed(BrokerError),
}

const RUN: u8 = 0;
const END: u8 = 1;
const ABANDON: u8 = 2;

/// The mode of a pool's host. The pool's actor sets it.
#[derive(Clone, Debug)]
pub(super) struct PoolMode(Arc<AtomicU8>);

impl PoolMode {
    /// True while the schedule continues.
    pub(super) fn goes_on(&self) -> bool {
        self.0.load(Ordering::Acquire) == RUN
    }

    /// True if the schedule is to end, and records in flight are still waited for.
    pub(super) fn is_ending(&self) -> bool {
        self.0.load(Ordering::Acquire) == END
    }

    /// True if the host is to end without waiting.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABANDON
    }

    /// Ends the host without waiting for anything.
    pub(super) fn abandon(&self) {
        self.0.store(ABANDON, Ordering::Release);
    }
}

/// An actor's hold on a pool's host. Dropping it abandons the host without waiting for it.
#[derive(Debug)]
pub(super) struct PoolLease(PoolMode);

impl PoolLease {
    pub(super) fn new() -> PoolLease {
        PoolLease(PoolMode(Arc::new(AtomicU8::new(RUN))))
    }

    /// The mode, for the host.
    pub(super) fn mode(&self) -> PoolMode {
        self.0.clone()
    }

    /// Ends the schedule: no more records are sent, and those in flight are waited for.
    pub(super) fn end(&self) {
        let PoolMode(mode) = &self.0;
        let _ = mode.compare_exchange(RUN, END, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for PoolLease {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
