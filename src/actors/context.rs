//! What every actor and host of a run shares.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::info;

use super::Commands;
use super::host::Hosting;
use crate::base::{Clock, ConsumerId, Incarnation, PartitionId, RunId, Seed, Time};
use crate::broker::ClusterPort;
use crate::logic::{ActiveFaults, Handlers};
use crate::measure::{Event, Measurements, RecoveryMark, TraceKind};
use crate::plan::Plan;

/// A run's surroundings. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// What is to be done.
    pub plan: Arc<Plan>,
    /// The way into the cluster.
    pub cluster: Arc<dyn ClusterPort>,
    /// Who gives hosts their turns.
    pub hosting: Hosting,
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
    /// The user's own commands.
    pub commands: Arc<Commands>,
    /// The faults that hosts trigger.
    pub active_faults: Arc<ActiveFaults>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run", &self.run).finish_non_exhaustive()
    }
}

impl Context {
    /// Notes an event in the journal and logs it. Every line about a consumer carries `partition` and
    /// `consumer`.
    pub fn note(&self, event: Event) {
        match &event {
            Event::ConsumerStarted { consumer, incarnation }
            | Event::ConsumerReady { consumer, incarnation }
            | Event::ConsumerFailed { consumer, incarnation, .. }
            | Event::ConsumerRestarting { consumer, incarnation, .. }
            | Event::ConsumerClosed { consumer, incarnation, .. } => {
                let partition = self.partitions_of(*consumer);
                info!(%partition, %consumer, %incarnation, "{event}");
            }
            Event::ConsumerStalled { consumer, .. }
            | Event::ConsumerQuarantined { consumer, .. }
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
                info!(partition = %List(partitions), %consumer, %incarnation, "{event}");
            }
            Event::PoolStarted { pool, incarnation }
            | Event::PoolFailed { pool, incarnation, .. } => {
                info!(%pool, %incarnation, "{event}");
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
        if let Hosting::Kernel(kernel) = &self.hosting {
            kernel.emit_trace(self.clock.now(), TraceKind::Control, || self.told(&event));
        }
        self.measurements.journal.note(self.clock.now(), event);
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
        self.note(Event::FaultEnded { fault, description });
        self.measurements.fault(fault, |times| times.healed = Some(now));
        for cell in &self.measurements.cells {
            let mut cell = cell.lock();
            cell.recoveries.iter_mut().filter(|it| it.fault == Some(fault)).for_each(&mark);
        }
    }

    /// Notes an error of a client, unless it has come so often already that it says nothing new.
    pub fn note_client_error(&self, client: &str, consumer: Option<ConsumerId>, error: &str) {
        self.measurements.trouble.store(self.clock.now().0, Ordering::Relaxed);
        let count = self.measurements.client_error(error);
        if count.is_power_of_two() {
            let (client, error) = (client.to_owned(), error.to_owned());
            self.note(Event::ClientError { client, consumer, error, count });
        }
    }

    /// Makes room for the topic's partitions below `partitions`. Whether any of them was new; consumers and producers
    /// follow.
    pub fn grown(&self, partitions: u32) -> bool {
        let added = self.measurements.grow(partitions, self.clock.now());
        if added.is_empty() {
            return false;
        }
        self.cluster.grown(added.end);
        self.note(Event::PartitionsAdded { from: added.start, to: added.end });
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
