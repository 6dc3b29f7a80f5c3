//! The lease of an actor on its host: commands to the host, reports from it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SendError, Sender};

use crate::base::PartitionId;
use crate::broker::BrokerError;
use crate::broker::model::ClientId;
use crate::broker::sim::KernelHandle;
use crate::measure::{Heartbeat, Owner, Start};

/// What an actor tells a host.
#[derive(Debug)]
pub(super) enum HostCommand {
    /// Read this partition from here on, for this owner.
    Attach { partition: PartitionId, owner: Owner, start: Start, channel: ReportChannel },
    /// Stop working for this owner, and close the client if no other owner uses it.
    Detach { owner: Owner },
    /// Have the client read anew what this owner reads, from its checkpoint.
    Reassign { owner: Owner },
}

/// The way of commands to a host. A thread looks for them between two polls; the kernel is told.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    pub(super) sender: Sender<HostCommand>,
    pub(super) kernel: Option<(KernelHandle, ClientId)>,
}

impl Commands {
    pub(super) fn send(&self, command: HostCommand) -> Result<(), SendError<HostCommand>> {
        self.sender.send(command)?;
        if let Some((kernel, client)) = &self.kernel {
            kernel.wake(*client);
        }
        Ok(())
    }
}

/// What a host tells an actor.
#[derive(Clone, Debug)]
pub(in crate::actors) enum HostReport {
    /// The client has really fetched, or has joined its group.
    Ready,
    /// The machine or the client has failed.
    Failed(BrokerError),
    /// The host works for the actor no more, as it was asked.
    Detached,
    /// The thread has ended and its client is closed.
    Closed,
}

/// Where a host's reports go.
pub(in crate::actors) type Reports = Arc<dyn Fn(HostReport) + Send + Sync>;

/// The channel from a host to one of its actors: reports to the actor, and the news of its crash to the host.
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

    /// Whether the actor has crashed. A host processes nothing more for it.
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

/// An actor's hold on its host. Dropping it, with a killed actor's state for example, is a crash: the host
/// is detached without waiting for anything, and a group member commits nothing any more. The supervisor's
/// release makes the old incarnation count for nothing, whenever its thread notices.
pub(in crate::actors) struct Lease {
    owner: Owner,
    commands: Commands,
    crashed: Arc<AtomicBool>,
    asked: AtomicBool,
}

impl Lease {
    pub(super) fn new(owner: Owner, commands: Commands, channel: &ReportChannel) -> Lease {
        Lease { owner, commands, crashed: channel.crashed(), asked: AtomicBool::new(false) }
    }

    /// Asks the host to have its client read anew.
    pub(in crate::actors) fn reassign(&self) {
        let _ = self.commands.send(HostCommand::Reassign { owner: self.owner });
    }

    /// Asks the host to finish; it answers with [`HostReport::Detached`]. False when the host is gone.
    pub(in crate::actors) fn detach(&self) -> bool {
        self.asked.store(true, Ordering::Release);
        self.commands.send(HostCommand::Detach { owner: self.owner }).is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // An actor that ends in order waits until its host has finished; one that was killed before does not.
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
