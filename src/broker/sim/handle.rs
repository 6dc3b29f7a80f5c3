//! What actors hold of the kernel: they leave commands, and the kernel takes them when every actor is at rest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::audit::{Audit, Audited, Progress};
use super::hosted::Hosted;
use super::trace::Trace;
use super::watch::{Tap, Watch};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::ClientId;
use crate::broker::{Disturbance, Watermarks};
use crate::measure::TraceKind;

/// Something to be done at a time. Returns when it wants to be done again.
pub type Job = Box<dyn FnMut(Time) -> Option<Time> + Send>;

/// Who waits for watermarks.
pub(super) type Ask = Box<dyn FnOnce(Watermarks) + Send>;

/// What the kernel is told.
pub(super) enum Command {
    Host(ClientId, Box<dyn Hosted>, Duration),
    Wake(ClientId),
    At(Time, Job),
    Ask(ClientId, Ask),
    Disturb(Disturbance),
    Grow(u32),
    /// Ends the simulation, because of this.
    Fail(String),
}

/// A way to the kernel of a simulation. Cheap to clone.
#[derive(Clone)]
pub struct KernelHandle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Commands were left.
    called: AtomicBool,
    /// An actor was told something, and has not come to rest yet.
    stirred: AtomicBool,
    commands: Mutex<Vec<Command>>,
    next_client: AtomicU32,
    /// Clients whose question for watermarks is answered: they ask the next ones.
    askers: Mutex<Vec<ClientId>>,
    /// Partitions the run knows of; the topic may have more.
    known: AtomicU32,
    /// As it was when actors came to rest last.
    trace: Mutex<(Time, Trace)>,
    watch: OnceLock<Watch>,
    audit: Mutex<Audit>,
}

impl KernelHandle {
    pub(super) fn new(partitions: u32) -> KernelHandle {
        let handle = KernelHandle { shared: Arc::default() };
        handle.know(partitions);
        handle
    }

    /// So many partitions are known to the run.
    pub(super) fn know(&self, partitions: u32) {
        self.shared.known.store(partitions, Ordering::Relaxed);
    }

    fn call(&self, command: Command) {
        self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.shared.called.store(true, Ordering::Relaxed);
    }

    /// Hosts a machine with its client. Its first turn comes when it has started.
    pub fn host(&self, hosted: Box<dyn Hosted>, start: Duration) -> ClientId {
        let client = self.client();
        self.call(Command::Host(client, hosted, start));
        client
    }

    /// Gives a hosted machine a turn now, or as soon as it has finished the work under way.
    pub fn wake(&self, client: ClientId) {
        self.call(Command::Wake(client));
    }

    /// Does `job` at `at`, or at once if that has passed.
    pub fn at(&self, at: Time, job: Job) {
        self.call(Command::At(at, job));
    }

    /// Asks a broker for the end offsets of all partitions the run knows of; the answer is something an actor is told.
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

    /// A client's question is answered: it may ask another one.
    pub(super) fn asked(&self, client: ClientId) {
        self.askers().push(client);
    }

    fn askers(&self) -> MutexGuard<'_, Vec<ClientId>> {
        self.shared.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the simulation because of something outside.
    pub fn fail(&self, why: String) {
        self.call(Command::Fail(why));
    }

    /// Does something to the cluster or the network.
    pub fn disturb(&self, disturbance: Disturbance) {
        self.call(Command::Disturb(disturbance));
    }

    /// Gives the topic more partitions: `total` in all.
    pub fn grow(&self, total: u32) {
        self.call(Command::Grow(total));
    }

    /// Notes that an actor is being told something: time stands still until all actors are at rest again.
    pub fn stir(&self) {
        self.shared.stirred.store(true, Ordering::Relaxed);
    }

    /// How far the simulation has come, and the trace of what happened.
    pub fn trace(&self) -> (Time, Trace) {
        self.shared.trace.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has every event told to `tap` from now on. There is one tap at most.
    pub fn watch(&self, tap: Tap) {
        let _ = self.shared.watch.set(Watch::new(tap));
    }

    /// Tells the trace what has happened outside the kernel; `what` is asked only then.
    #[inline]
    pub fn tell(
        &self,
        at: Time,
        kind: TraceKind,
        what: impl FnOnce() -> (String, String, Vec<PartitionId>),
    ) {
        if let Some(watch) = self.watched() {
            let (who, what, partitions) = what();
            watch.tell(at, kind, who, (what, partitions));
        }
    }

    /// Has what groups commit compared with what is processed.
    pub fn follow(&self, progress: Progress) {
        self.audit().follow(progress);
    }

    /// What the audit of groups has found so far.
    pub fn audited(&self) -> Audited {
        self.audit().found
    }

    pub(super) fn audit(&self) -> MutexGuard<'_, Audit> {
        self.shared.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn watched(&self) -> Option<&Watch> {
        self.shared.watch.get()
    }

    pub(super) fn publish(&self, now: Time, trace: &Trace) {
        let mut published = self.shared.trace.lock().unwrap_or_else(PoisonError::into_inner);
        *published = (now, trace.clone());
    }

    /// Forgets what will not be done any more, once the kernel is gone: commands hold what holds this handle.
    pub fn forget(&self) {
        drop(self.take_commands());
    }

    fn client(&self) -> ClientId {
        self.shared.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether an actor was told something since the last call.
    #[inline]
    pub(super) fn take_stirred(&self) -> bool {
        self.shared.stirred.load(Ordering::Relaxed)
            && self.shared.stirred.swap(false, Ordering::Relaxed)
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
