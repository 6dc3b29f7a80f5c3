//! The handle to the kernel. Actors leave commands in it, and the kernel takes them when every actor is idle.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::group_checker::{CommitCheck, GroupChecker};
use super::process::SimProcess;
use super::trace::Trace;
use super::trace::{TraceSink, TraceWriter};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::Watermarks;
use crate::broker::model::{ClientId, LeaderChange};
use crate::fault::ClusterFault;
use crate::summary::Simulation;

/// A function that runs at a time. It returns the time of its next call.
pub type Job = Box<dyn FnMut(Time) -> Option<Time> + Send>;

/// Gets the watermarks that were asked for.
pub(super) type Ask = Box<dyn FnOnce(Watermarks) + Send>;

/// A command to the kernel.
pub(super) enum Command {
    Host(ClientId, Box<dyn SimProcess>, Duration),
    Wake(ClientId),
    At(Time, Job),
    Ask(ClientId, Ask),
    Inject(ClusterFault),
    /// Ends the simulation with this error.
    Fail(String),
}

/// A handle to the kernel of a simulation. Cheap to clone.
#[derive(Clone)]
pub struct KernelHandle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// True if there are commands.
    called: AtomicBool,
    /// True if an actor may have a message.
    actors_busy: AtomicBool,
    commands: Mutex<Vec<Command>>,
    next_client: AtomicU32,
    /// Clients whose question for watermarks was answered. They ask the next one.
    askers: Mutex<Vec<ClientId>>,
    /// Number of partitions that the run knows of. The topic may have more.
    known: AtomicU32,
    /// Time and trace when all actors were last idle.
    trace: Mutex<(Time, Trace)>,
    /// Changes of leaders that were not taken yet.
    leader_changes: Mutex<Vec<LeaderChange>>,
    trace_writer: OnceLock<TraceWriter>,
    group_checker: Mutex<GroupChecker>,
}

impl KernelHandle {
    /// `session_timeout` is that of groups of the consumer protocol.
    pub(super) fn new(partitions: u32, session_timeout: Duration) -> KernelHandle {
        let handle = KernelHandle { shared: Arc::default() };
        handle.group_checker().sessions_last(session_timeout);
        handle.set_known_partitions(partitions);
        handle
    }

    /// Sets the number of partitions that the run knows of.
    pub fn set_known_partitions(&self, partitions: u32) {
        self.shared.known.store(partitions, Ordering::Relaxed);
    }

    fn call(&self, command: Command) {
        self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.shared.called.store(true, Ordering::Relaxed);
    }

    /// Adds a process, which gets its first turn after `start`.
    pub fn host(&self, hosted: Box<dyn SimProcess>, start: Duration) -> ClientId {
        let client = self.client();
        self.call(Command::Host(client, hosted, start));
        client
    }

    /// Gives a process a turn now, or at the end of its current work.
    pub fn wake(&self, client: ClientId) {
        self.call(Command::Wake(client));
    }

    /// Runs `job` at `at`, or immediately if `at` has passed.
    pub fn at(&self, at: Time, job: Job) {
        self.call(Command::At(at, job));
    }

    /// Asks a broker for the end offsets of all partitions that the run knows of. The answer is a message to an actor.
    pub fn ask_ends(&self, answer: impl FnOnce(BTreeMap<PartitionId, Offset>) + Send + 'static) {
        let known = self.shared.known.load(Ordering::Relaxed);
        self.ask_watermarks(move |all| {
            let known = all.into_iter().filter(|(id, _)| id.0 < known);
            answer(known.map(|(id, (_, end))| (id, end)).collect());
        });
    }

    /// Asks a broker for the low and the high watermark of all partitions.
    pub fn ask_watermarks(&self, answer: impl FnOnce(Watermarks) + Send + 'static) {
        let asker = self.askers().pop().unwrap_or_else(|| self.client());
        self.call(Command::Ask(asker, Box::new(answer)));
    }

    /// Notes that the question of a client was answered, so that it may ask the next one.
    pub(super) fn asked(&self, client: ClientId) {
        self.askers().push(client);
    }

    fn askers(&self) -> MutexGuard<'_, Vec<ClientId>> {
        self.shared.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the simulation because of an error outside of it.
    pub fn fail(&self, why: String) {
        self.call(Command::Fail(why));
    }

    /// Injects a fault of the cluster or the network, or heals it.
    pub fn inject(&self, cluster_fault: ClusterFault) {
        self.call(Command::Inject(cluster_fault));
    }

    /// Notes that an actor gets a message: virtual time stops until all actors are idle again.
    pub fn mark_actors_busy(&self) {
        self.shared.actors_busy.store(true, Ordering::Relaxed);
    }

    /// The progress of the simulation, and the findings of its checks.
    pub fn simulation(&self) -> Simulation {
        let (now, trace) = self.shared.trace.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = self.group_checker().found;
        Simulation {
            virtual_ns: now.0,
            events: trace.events(),
            trace: format!("{:016x}", trace.hash()),
            miscommitted: found.miscommitted,
            shared: found.shared,
            refused_commits: found.refused,
        }
    }

    /// Writes every event to `sink` from now on. Only the first sink is used.
    pub fn trace_to(&self, sink: TraceSink) {
        let _ = self.shared.trace_writer.set(TraceWriter::new(sink));
    }

    /// Sets the function that compares commits of groups with what is processed.
    pub fn compare_commits(&self, is_beyond: CommitCheck) {
        self.group_checker().compare_with(is_beyond);
    }

    pub(super) fn group_checker(&self) -> MutexGuard<'_, GroupChecker> {
        self.shared.group_checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer of the trace, if a trace is wanted.
    #[inline]
    pub fn trace_writer(&self) -> Option<&TraceWriter> {
        self.shared.trace_writer.get()
    }

    /// The changes of leaders since the last call, up to the time when all actors were last idle.
    pub fn take_leader_changes(&self) -> Vec<LeaderChange> {
        let mut changes = self.shared.leader_changes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *changes)
    }

    pub(super) fn publish_leaders(&self, changes: Vec<LeaderChange>) {
        if changes.is_empty() {
            return;
        }
        let mut all = self.shared.leader_changes.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(changes);
    }

    pub(super) fn publish(&self, now: Time, trace: &Trace) {
        let mut published = self.shared.trace.lock().unwrap_or_else(PoisonError::into_inner);
        *published = (now, trace.clone());
    }

    /// Drops the remaining commands after the kernel has ended. They contain references to this handle, which would
    /// keep each other alive.
    pub fn forget(&self) {
        drop(self.take_commands());
    }

    fn client(&self) -> ClientId {
        self.shared.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// True if an actor may have got a message since the last call.
    #[inline]
    pub(super) fn take_actors_busy(&self) -> bool {
        self.shared.actors_busy.load(Ordering::Relaxed)
            && self.shared.actors_busy.swap(false, Ordering::Relaxed)
    }

    /// The commands left since the last call.
    #[inline]
    pub(super) fn take_commands(&self) -> Vec<Command> {
        if !self.shared.called.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.shared.called.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for KernelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KernelHandle")
    }
}
