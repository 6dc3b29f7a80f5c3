//! The seam between a run and its surroundings: threads, real time and a real cluster, or the kernel of a simulation.
//! Also the context that all actors and hosts of a run share, which contains the runtime.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use ractor::{ActorRef, Message};
use tokio::sync::{oneshot, watch};
use tracing::info;

use super::lease::{HostCommand, PoolMode, PoolReport, PoolShared, ReportChannel, Wake};
use super::record_work::{Completion, RecordWork};
use crate::base::{Clock, ConsumerId, Incarnation, Offset, PartitionId, RunId, Seed, Time};
use crate::broker::sim::TraceWriter;
use crate::broker::{BrokerError, ConsumerSpec, TopicSize, Watermarks};
use crate::fault::ClusterFault;
use crate::logic::{ActiveFaults, HandlerError, Handlers};
use crate::measure::{Event, Measurements, Owner, RecoveryMark, TraceKind};
use crate::plan::Plan;
use crate::summary::Simulation;

/// The surroundings of a run: hosts, time and the cluster. Actors, hosts and the run's wiring are the same in every
/// runtime, and never ask which one it is.
///
/// There are two: [`ThreadRuntime`](super::ThreadRuntime) and [`SimRuntime`](super::SimRuntime).
pub trait Runtime: Send + Sync {
    /// Starts the host of a consumer, or of a client that consumers share. Returns at once.
    ///
    /// # Errors
    /// The operating system gives no thread.
    fn spawn_consumer(&self, start: ConsumerStart) -> io::Result<Wake>;

    /// Starts the host of a producer pool. Returns at once.
    ///
    /// # Errors
    /// The operating system gives no thread.
    fn spawn_producer(&self, start: ProducerStart) -> io::Result<()>;

    /// Starts a second process, without a supervisor and a fence, that reads `partition` from its checkpoint until
    /// `until`.
    ///
    /// # Errors
    /// The runtime cannot do that; a plan that needs it is refused before.
    fn spawn_rogue_consumer(
        &self,
        _context: &Context,
        partition: PartitionId,
        _until: Time,
    ) -> Result<(), BrokerError> {
        Err(BrokerError::fatal(format!("no second process can read partition {partition} here")))
    }

    /// Does the work on a record: calls `handle` if the user has a handler, or else makes the scenario's effort. Both
    /// take longer by the time that an injected fault adds.
    ///
    /// # Errors
    /// The error of the handler.
    ///
    /// # Panics
    /// If the handler panics, or a panic is planned.
    fn work(
        &self,
        context: &Context,
        work: &RecordWork,
        handle: Option<&mut dyn FnMut() -> Result<(), HandlerError>>,
    ) -> Result<Completion, HandlerError>;

    /// Runs `act` at `at`, or immediately if `at` has passed. The resolution is about 1 ms in real time: enough for
    /// control, but too coarse for pacing, which hosts do themselves.
    fn at(&self, at: Time, act: Box<dyn FnOnce() + Send>);

    /// Runs `round` at `first` and then every `interval`. Its argument is the time at which it is due. The repetition
    /// ends when `round` returns `Break`, or when the returned value is dropped.
    ///
    /// # Errors
    /// The operating system gives no thread.
    fn repeat(
        &self,
        name: &str,
        first: Time,
        interval: Duration,
        round: Round,
    ) -> io::Result<Repetition>;

    /// Time until the next check of the watchdogs. A check is due every `interval`. No check before `due` can find
    /// anything, so a runtime may leave these out, but it makes one after `longest`.
    fn check_pause(&self, interval: Duration, due: Duration, longest: Duration) -> Duration;

    /// Notes that an actor gets a message from outside the control plane. A simulation then lets actors run before time
    /// goes on.
    fn mark_actors_busy(&self) {}

    /// Opens a query for the end offsets of all partitions. Each answer has the time at which the question was asked.
    ///
    /// # Errors
    /// There is no client or no thread for the query.
    fn end_offset_query(&self, answer: EndOffsetAnswer) -> Result<Query, BrokerError>;

    /// Opens a query for the size of the topic; `None` where a topic never changes.
    ///
    /// # Errors
    /// There is no client or no thread for the query.
    fn topic_query(&self, answer: TopicAnswer) -> Result<Option<Query>, BrokerError>;

    /// True if the runtime notes leaders itself, so that the topic watcher need not ask for them at the start.
    fn knows_leaders(&self) -> bool {
        false
    }

    /// Notes the changes of leaders that the runtime knows of.
    fn note_leaders(&self, _measurements: &Measurements) {}

    /// Asks once for the watermarks of all partitions, without blocking the host that asks.
    fn inquire(&self, inquiry: Inquiry);

    /// Asks for end offsets, repeatedly until there is one of each of these partitions or `patience` is over. A cluster
    /// may answer for some partitions only: the map has what is known.
    fn end_offsets(
        &self,
        partitions: &[PartitionId],
        patience: Patience,
    ) -> Answer<BTreeMap<PartitionId, Offset>>;

    /// Asks once for the low and the high watermark of every partition.
    fn watermarks(&self, patience: Patience) -> Answer<Watermarks>;

    /// True if logs may have offsets without a record for the client: transaction markers, aborted records, records
    /// that compaction removed.
    fn logs_have_gaps(&self) -> bool;

    /// Notes the topic's new number of partitions.
    fn grown(&self, partitions: u32);

    /// Injects occurrence `fault`, a fault of the cluster, or heals it. Returns at once. If the cluster cannot do it,
    /// `missed` gets the reason.
    fn inject(&self, fault: usize, cluster_fault: ClusterFault, missed: Missed);

    /// The trace that gets every event, if one is wanted.
    fn trace(&self) -> Option<&TraceWriter> {
        None
    }

    /// Progress of virtual time, and the findings of the broker model; `None` in real time.
    fn simulation(&self) -> Option<Simulation> {
        None
    }

    /// True if the CPU time and memory of this machine belong into the result.
    fn measures_the_host(&self) -> bool;

    /// True if the run can be repeated event by event, so that what the result leaves out can be found out by a replay.
    fn is_reproducible(&self) -> bool;

    /// Ends a run that can be repeated, because its events exceed what can be kept. A run in real time continues.
    fn end_early(&self, _why: String) {}
}

/// The arguments of a consumer's host.
pub struct ConsumerStart {
    pub(super) context: Context,
    /// The client to create.
    pub(super) spec: ConsumerSpec,
    pub(super) commands: Receiver<HostCommand>,
    /// The only owner and its channel; `None` if consumers share the client.
    pub(super) owner: Option<(Owner, ReportChannel)>,
}

/// The arguments of a pool's host.
pub struct ProducerStart {
    pub(super) context: Context,
    pub(super) shared: Arc<PoolShared>,
    pub(super) incarnation: Incarnation,
    pub(super) mode: PoolMode,
    pub(super) report: Box<dyn Fn(PoolReport) + Send>,
}

/// A function that [`Runtime::repeat`] calls.
pub type Round = Box<dyn FnMut(Time) -> ControlFlow<()> + Send>;

/// Keeps a round repeated until it is dropped.
pub type Repetition = Box<dyn Any + Send>;

/// Asks a question once more. False if there will be no answer.
pub type Query = Box<dyn Fn() -> bool + Send>;

/// Gets end offsets, and the time at which they were asked for.
pub type EndOffsetAnswer =
    Arc<dyn Fn(Result<(Time, BTreeMap<PartitionId, Offset>), BrokerError>) + Send + Sync>;

/// Gets the size of the topic.
pub type TopicAnswer = Arc<dyn Fn(Result<TopicSize, BrokerError>) + Send + Sync>;

/// A future answer, or the reason why there is none.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// Gets the reason why a fault was missed.
pub type Missed = Arc<dyn Fn(String) + Send + Sync>;

/// A question of a host for watermarks.
pub struct Inquiry {
    /// Name of the thread that asks, in a runtime that uses one.
    pub(super) name: String,
    /// True if the question is to be asked again after this error.
    pub(super) goes_on: Box<dyn FnMut(&BrokerError) -> bool + Send>,
    /// Gets the watermarks, or the last error.
    pub(super) answer: Arc<dyn Fn(Result<Watermarks, BrokerError>) + Send + Sync>,
}

/// The limits of the wait for an answer at the end of a run.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Time limit; a request that is in progress then is still waited for.
    pub limit: Duration,
    /// Becomes true when the user interrupts the run.
    pub interrupted: watch::Receiver<bool>,
    /// Time limit after an interruption.
    pub once_interrupted: Duration,
}

/// The values that all actors and hosts of a run share. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The plan of the run.
    pub plan: Arc<Plan>,
    /// The runtime: threads or a simulation.
    pub runtime: Arc<dyn Runtime>,
    /// The measurements of the run.
    pub measurements: Arc<Measurements>,
    /// The clock of the run.
    pub clock: Clock,
    /// The id of the run, which the stamps of its records contain.
    pub run: RunId,
    /// The root of all randomness.
    pub seed: Seed,
    /// The earlier runs that this run continues.
    pub earlier: Arc<[RunId]>,
    /// The user's handlers, which replace the scenario's work.
    pub handlers: Option<Handlers>,
    /// The faults that hosts trigger.
    pub active_faults: Arc<ActiveFaults>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Context {
    /// Sends `message` to `actor` at `at`, or immediately if `at` has passed. A message cannot be cancelled: receivers
    /// compare generations and ignore stale ones.
    pub fn send_at<M: Message>(&self, at: Time, actor: &ActorRef<M>, message: M) {
        let actor = actor.clone();
        // An actor that has ended does not need the message.
        self.runtime.at(at, Box::new(move || drop(actor.cast(message))));
    }

    /// Waits for `span`.
    pub async fn sleep(&self, span: Duration) {
        let (over, waits) = oneshot::channel();
        // The receiver is gone if the caller has stopped waiting.
        let end = move || {
            let _ = over.send(());
        };
        self.runtime.at(self.clock.now() + span, Box::new(end));
        let _ = waits.await;
    }

    /// Adds an event of this moment to the journal, and logs it. If a figure has the time of the event too,
    /// [`note_at`](Self::note_at) takes the same time.
    pub fn note(&self, event: Event) {
        self.note_at(self.clock.now(), event);
    }

    /// Adds an event to the journal, and logs it. Every line about a consumer has the fields `partition` and
    /// `consumer`.
    pub fn note_at(&self, now: Time, event: Event) {
        match &event {
            Event::ConsumerStarted { consumer, incarnation }
            | Event::ConsumerReady { consumer, incarnation }
            | Event::ConsumerFailed { consumer, incarnation, .. }
            | Event::ConsumerRestarting { consumer, incarnation, .. }
            | Event::ConsumerClosed { consumer, incarnation, .. } => {
                let partition = self.partitions_of(*consumer);
                info!(%partition, %consumer, start = %incarnation, "{event}");
            }
            Event::ConsumerGivenUp { consumer, .. }
            | Event::RecordSkipped { consumer, .. }
            | Event::GateProbe { consumer }
            | Event::ConsumerStuck { consumer, .. }
            | Event::ThreadAbandoned { consumer, .. } => {
                let partition = self.partitions_of(*consumer);
                tracing::warn!(%partition, %consumer, "{event}");
            }
            Event::Assigned { consumer, incarnation, partitions }
            | Event::Revoked { consumer, incarnation, partitions }
            | Event::Orphaned { consumer, incarnation, partitions } => {
                info!(partition = %List(partitions), %consumer, start = %incarnation, "{event}");
            }
            Event::PoolStarted { pool, incarnation }
            | Event::PoolFailed { pool, incarnation, .. } => {
                info!(%pool, start = %incarnation, "{event}");
            }
            Event::PoolFinished { pool } => info!(%pool, "{event}"),
            Event::ClientError { consumer: Some(consumer), .. } => {
                let partition = self.partitions_of(*consumer);
                tracing::warn!(%partition, %consumer, "{event}");
            }
            Event::ClientError { .. } => tracing::warn!("{event}"),
            Event::FaultInjected { fault, .. } => {
                let consumers = self.plan.faults.get(*fault).map(|fault| fault.targets.consumers());
                match consumers.unwrap_or_default() {
                    [consumer] => {
                        let partition = self.partitions_of(*consumer);
                        info!(%partition, %consumer, "{event}");
                    }
                    _ => info!("{event}"),
                }
            }
            Event::PartitionsGone { .. } => tracing::warn!("{event}"),
            Event::FaultEnded { .. } | Event::FaultMissed { .. } => info!("{event}"),
            Event::GateShut { .. } | Event::GateOpened { .. } => tracing::warn!("{event}"),
            Event::PartitionsAdded { .. } | Event::Phase { .. } | Event::Resumed { .. } => {
                info!("{event}");
            }
        }
        if let Some(trace) = self.runtime.trace() {
            let (who, what, partitions) = self.told(&event);
            trace.emit_trace(now, TraceKind::Control, who, (what, partitions));
        }
        self.measurements.journal.note(now, event);
    }

    /// An event for the trace: subject, text, and partitions.
    fn told(&self, event: &Event) -> (String, String, Vec<PartitionId>) {
        let who = match (event.consumer(), event.pool()) {
            (Some(consumer), _) => format!("consumer-{consumer}"),
            (None, Some(pool)) => format!("pool-{pool}"),
            (None, None) => "supervisor".to_owned(),
        };
        let partitions = match (event, event.consumer()) {
            (
                Event::Assigned { partitions, .. }
                | Event::Revoked { partitions, .. }
                | Event::Orphaned { partitions, .. },
                _,
            ) => partitions.clone(),
            (_, Some(consumer)) if self.plan.group().is_none() => vec![PartitionId(consumer.0)],
            (_, Some(consumer)) => self.owned_by(consumer),
            (_, None) => Vec::new(),
        };
        (who, event.to_string(), partitions)
    }

    /// Notes that occurrence `fault` hit nothing, or another target than planned.
    pub fn note_missed(&self, fault: usize, reason: String) {
        self.note(Event::FaultMissed { fault, reason: reason.clone() });
        self.measurements.fault(fault, |times| times.missed.push(reason));
    }

    /// Notes that occurrence `fault` was over at `now`, and applies `mark` to each partition that it hit.
    pub fn fault_ended(&self, fault: usize, now: Time, mark: impl Fn(&mut RecoveryMark)) {
        let description = self.plan.faults.get(fault).map(ToString::to_string).unwrap_or_default();
        self.note_at(now, Event::FaultEnded { fault, description });
        self.measurements.fault(fault, |times| times.ended = Some(now));
        for cell in &self.measurements.cells {
            let mut cell = cell.lock();
            cell.recoveries.iter_mut().filter(|it| it.fault == Some(fault)).for_each(&mark);
        }
    }

    /// Counts an error of a client. The journal gets the first, second, fourth, eighth occurrence and so on.
    pub fn note_client_error(
        &self,
        now: Time,
        client: &str,
        consumer: Option<ConsumerId>,
        error: &str,
    ) {
        self.measurements.last_error.store(now.0, Ordering::Relaxed);
        let count = self.measurements.client_error(error);
        if count.is_power_of_two() {
            let (client, error) = (client.to_owned(), error.to_owned());
            self.note_at(now, Event::ClientError { client, consumer, error, count });
        }
    }

    /// Makes room for the topic's partitions below `partitions`. Returns true if any of them is new; then consumers and
    /// producers have to be adapted.
    pub fn grown(&self, now: Time, partitions: u32) -> bool {
        let added = self.measurements.grow(partitions, now);
        if added.is_empty() {
            return false;
        }
        self.runtime.grown(added.end);
        self.note_at(now, Event::PartitionsAdded { from: added.start, to: added.end });
        true
    }

    /// The partitions of a consumer, as a log field. Under explicit assignment, its own.
    fn partitions_of(&self, consumer: ConsumerId) -> String {
        if self.plan.group().is_none() {
            return consumer.to_string();
        }
        List(&self.owned_by(consumer)).to_string()
    }

    /// The partitions whose last owner is `consumer`, unless it has given them up.
    pub fn owned_by(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        let owns = |id: &usize| {
            let cell = self.measurements.cells[*id].lock();
            cell.owners()
                .last()
                .is_some_and(|last| last.to.is_none() && last.owner.consumer == consumer)
        };
        (0..self.measurements.cells.len()).filter(owns).map(|id| PartitionId(id as u32)).collect()
    }

    /// Fences all incarnations of `consumer` before `next`, in every cell that it may touch.
    pub fn release(&self, consumer: ConsumerId, next: Incarnation) {
        if self.plan.group().is_none() {
            self.measurements.cells[consumer.0 as usize].lock().release(consumer, next);
        } else {
            self.measurements.cells.iter().for_each(|cell| cell.lock().release(consumer, next));
        }
    }
}

/// Partition ids as a log field: `3,4`, or `-` for none.
struct List<'a>(&'a [PartitionId]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (i, partition) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{partition}")?;
        }
        Ok(())
    }
}
