//! The seam between a run and the world it runs in: threads, real time and a real cluster, or the kernel of a
//! simulation. And what every actor and host of a run shares, the runtime among it.

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
use crate::fault::Disturbance;
use crate::logic::{ActiveFaults, HandlerError, Handlers};
use crate::measure::{Event, Measurements, Owner, RecoveryMark, TraceKind};
use crate::plan::Plan;
use crate::summary::Simulation;

/// The world of a run: hosts, time and the cluster. Actors, hosts and the run's wiring are the same in every runtime,
/// and never ask which one it is.
///
/// There are two: [`ThreadRuntime`](super::ThreadRuntime) and [`SimRuntime`](super::SimRuntime).
pub trait Runtime: Send + Sync {
    /// Starts the host of a consumer, or of a client that consumers share. Returns at once.
    ///
    /// # Errors
    /// The system gives no thread.
    fn spawn_consumer(&self, start: ConsumerStart) -> io::Result<Wake>;

    /// Starts the host of a producer pool. Returns at once.
    ///
    /// # Errors
    /// The system gives no thread.
    fn spawn_producer(&self, start: ProducerStart) -> io::Result<()>;

    /// Lets a second process, without a supervisor and a fence, read `partition` from its checkpoint on until `until`.
    ///
    /// # Errors
    /// The runtime cannot do it; plans that want that are refused before.
    fn spawn_rogue_consumer(
        &self,
        _context: &Context,
        partition: PartitionId,
        _until: Time,
    ) -> Result<(), BrokerError> {
        Err(BrokerError::fatal(format!("no second process can read partition {partition} here")))
    }

    /// Does the work on a record: calls `handle`, if the user has a handler, or makes the scenario's effort. Either
    /// takes the time an injected fault adds.
    ///
    /// # Errors
    /// The handler's.
    ///
    /// # Panics
    /// When the handler does, or when that is planned.
    fn work(
        &self,
        context: &Context,
        work: &RecordWork,
        handle: Option<&mut dyn FnMut() -> Result<(), HandlerError>>,
    ) -> Result<Completion, HandlerError>;

    /// Has `act` run at `at`, or at once if that has passed. Good to about a millisecond in real time: enough for
    /// control, too coarse for pacing, which hosts do themselves.
    fn at(&self, at: Time, act: Box<dyn FnOnce() + Send>);

    /// Has `round` run at `first` and then every `interval`, beside everything else; it is given the time it is due.
    /// It ends when it says so, or when what is returned is dropped.
    ///
    /// # Errors
    /// The system gives no thread.
    fn repeat(
        &self,
        name: &str,
        first: Time,
        interval: Duration,
        round: Round,
    ) -> io::Result<Repetition>;

    /// How long the watchdogs wait for their next check. They check every `interval`; none before `due` finds
    /// anything, and one is made after `longest`.
    fn check_pause(&self, interval: Duration, due: Duration, longest: Duration) -> Duration;

    /// Notes that an actor gets a message from outside the control plane.
    fn mark_actors_busy(&self) {}

    /// Opens a query for the end offsets of all partitions. Each answer says when it was asked for.
    ///
    /// # Errors
    /// There is no client or no thread for it.
    fn end_offset_query(&self, answer: EndOffsetAnswer) -> Result<Query, BrokerError>;

    /// Opens a query for the size of the topic; none where a topic never changes.
    ///
    /// # Errors
    /// There is no client or no thread for it.
    fn topic_query(&self, answer: TopicAnswer) -> Result<Option<Query>, BrokerError>;

    /// Whether the runtime notes leaders by itself, so that the topic need not be looked at for them.
    fn knows_leaders(&self) -> bool {
        false
    }

    /// Notes the changes of leaders that the runtime knows of by itself.
    fn note_leaders(&self, _measurements: &Measurements) {}

    /// Asks once for the watermarks of all partitions, beside the host that asks.
    fn inquire(&self, inquiry: Inquiry);

    /// Asks for the end offset of every partition, again and again as long as `patience` lasts.
    fn end_offsets(&self, patience: Patience) -> Answer<BTreeMap<PartitionId, Offset>>;

    /// Asks for the low and the high watermark of every partition, once.
    fn watermarks(&self, patience: Patience) -> Answer<Watermarks>;

    /// Whether logs may have offsets at which a client hands nothing over: transaction markers, aborted records, what
    /// compaction removed.
    fn logs_have_gaps(&self) -> bool;

    /// Notes the topic's new number of partitions.
    fn grown(&self, partitions: u32);

    /// Injects occurrence `fault`, which is this disturbance, or heals it. Returns at once; `missed` is told why the
    /// cluster does not have it.
    fn inject(&self, fault: usize, disturbance: Disturbance, missed: Missed);

    /// The trace every event goes to, if one is wanted.
    fn trace(&self) -> Option<&TraceWriter> {
        None
    }

    /// How far virtual time has come, and what the broker model has found. None in real time.
    fn simulation(&self) -> Option<Simulation> {
        None
    }

    /// Whether what the run costs this machine is a figure of its result.
    fn measures_the_host(&self) -> bool;

    /// Whether the run can be made again, event by event: what is not kept of it can be found out so.
    fn is_reproducible(&self) -> bool;

    /// Ends a run that can be made again, because nothing more of it can be kept. One in real time goes on.
    fn end_early(&self, _why: String) {}
}

/// What a host of consumers begins with.
pub struct ConsumerStart {
    pub(super) context: Context,
    /// The client.
    pub(super) spec: ConsumerSpec,
    pub(super) commands: Receiver<HostCommand>,
    /// The only owner, and the channel to it; `None` when the client is shared.
    pub(super) owner: Option<(Owner, ReportChannel)>,
}

/// What a pool's host begins with.
pub struct ProducerStart {
    pub(super) context: Context,
    pub(super) shared: Arc<PoolShared>,
    pub(super) incarnation: Incarnation,
    pub(super) mode: PoolMode,
    pub(super) report: Box<dyn Fn(PoolReport) + Send>,
}

/// A round of [`Runtime::repeat`].
pub type Round = Box<dyn FnMut(Time) -> ControlFlow<()> + Send>;

/// A round that is repeated as long as this is kept.
pub type Repetition = Box<dyn Any + Send>;

/// Asks a question once more. False when there will be no answer.
pub type Query = Box<dyn Fn() -> bool + Send>;

/// Takes end offsets, and when they were asked for.
pub type EndOffsetAnswer =
    Arc<dyn Fn(Result<(Time, BTreeMap<PartitionId, Offset>), BrokerError>) + Send + Sync>;

/// Takes the size of the topic.
pub type TopicAnswer = Arc<dyn Fn(Result<TopicSize, BrokerError>) + Send + Sync>;

/// An answer that comes, or why there is none.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send>>;

/// Takes the reason why a fault was missed.
pub type Missed = Arc<dyn Fn(String) + Send + Sync>;

/// A question for watermarks that comes from a host.
pub struct Inquiry {
    /// The name of the thread that asks, where one does.
    pub(super) name: String,
    /// Whether to ask again after this error.
    pub(super) goes_on: Box<dyn FnMut(&BrokerError) -> bool + Send>,
    /// Takes the watermarks, or the last error.
    pub(super) answer: Arc<dyn Fn(Result<Watermarks, BrokerError>) + Send + Sync>,
}

/// How long the end of a run waits for an answer.
#[derive(Clone, Debug)]
pub struct Patience {
    /// At most this long, and until the end of a request that is under way then.
    pub limit: Duration,
    /// Turns true when the user interrupts the run.
    pub interrupted: watch::Receiver<bool>,
    /// This long after that.
    pub once_interrupted: Duration,
}

/// What every actor and host of a run shares. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// What is to be done.
    pub plan: Arc<Plan>,
    /// Where it is done.
    pub runtime: Arc<dyn Runtime>,
    /// Where everything is measured.
    pub measurements: Arc<Measurements>,
    /// The run's time.
    pub clock: Clock,
    /// Tells this run's records from others.
    pub run: RunId,
    /// Root of all randomness.
    pub seed: Seed,
    /// The runs this one continues.
    pub earlier: Arc<[RunId]>,
    /// What consumers do with records, if it is not the scenario's work.
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
    /// Sends `message` to `actor` at `at`, or at once if that has passed. There is no cancelling: receivers
    /// compare generations and ignore what is stale.
    pub fn send_at<M: Message>(&self, at: Time, actor: &ActorRef<M>, message: M) {
        let actor = actor.clone();
        // The receiver may be gone by then, and then the message is not needed.
        self.runtime.at(at, Box::new(move || drop(actor.cast(message))));
    }

    /// Lets `span` pass.
    pub async fn sleep(&self, span: Duration) {
        let (over, waits) = oneshot::channel();
        // The waiting side may have gone on for another reason.
        let end = move || {
            let _ = over.send(());
        };
        self.runtime.at(self.clock.now() + span, Box::new(end));
        let _ = waits.await;
    }

    /// Notes an event that happens now in the journal and logs it. An event whose time a figure has as well takes that
    /// time, by [`note_at`](Self::note_at).
    pub fn note(&self, event: Event) {
        self.note_at(self.clock.now(), event);
    }

    /// Notes an event in the journal and logs it. Every line about a consumer carries `partition` and
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

    /// An event for the trace: its subject, its text, and its partitions.
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

    /// Notes that occurrence `fault` hit nothing, or something else than was meant.
    pub fn note_missed(&self, fault: usize, reason: String) {
        self.note(Event::FaultMissed { fault, reason: reason.clone() });
        self.measurements.fault(fault, |times| times.missed.push(reason));
    }

    /// Notes that occurrence `fault` was over at `now`, and has `mark` do it for each partition it hit.
    pub fn fault_ended(&self, fault: usize, now: Time, mark: impl Fn(&mut RecoveryMark)) {
        let description = self.plan.faults.get(fault).map(ToString::to_string).unwrap_or_default();
        self.note_at(now, Event::FaultEnded { fault, description });
        self.measurements.fault(fault, |times| times.ended = Some(now));
        for cell in &self.measurements.cells {
            let mut cell = cell.lock();
            cell.recoveries.iter_mut().filter(|it| it.fault == Some(fault)).for_each(&mark);
        }
    }

    /// Counts an error of a client. The journal gets its first occurrence and then the second, fourth, eighth and so on.
    pub fn note_client_error(
        &self,
        now: Time,
        client: &str,
        consumer: Option<ConsumerId>,
        error: &str,
    ) {
        self.measurements.trouble.store(now.0, Ordering::Relaxed);
        let count = self.measurements.client_error(error);
        if count.is_power_of_two() {
            let (client, error) = (client.to_owned(), error.to_owned());
            self.note_at(now, Event::ClientError { client, consumer, error, count });
        }
    }

    /// Makes room for the topic's partitions below `partitions`. Whether any of them was new; consumers and producers
    /// follow.
    pub fn grown(&self, now: Time, partitions: u32) -> bool {
        let added = self.measurements.grow(partitions, now);
        if added.is_empty() {
            return false;
        }
        self.runtime.grown(added.end);
        self.note_at(now, Event::PartitionsAdded { from: added.start, to: added.end });
        true
    }

    /// The partitions a consumer has now, as a log field. Under explicit assignment, its own.
    fn partitions_of(&self, consumer: ConsumerId) -> String {
        if self.plan.group().is_none() {
            return consumer.to_string();
        }
        List(&self.owned_by(consumer)).to_string()
    }

    /// The partitions whose last owner is `consumer` and has not given them up.
    pub fn owned_by(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        let owns = |id: &usize| {
            let cell = self.measurements.cells[*id].lock();
            cell.owners()
                .last()
                .is_some_and(|last| last.to.is_none() && last.owner.consumer == consumer)
        };
        (0..self.measurements.cells.len()).filter(owns).map(|id| PartitionId(id as u32)).collect()
    }

    /// Makes everything before `next` of `consumer` count for nothing, in all cells it may touch.
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
