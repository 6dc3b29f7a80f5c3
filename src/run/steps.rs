//! The steps of a run: each sends the supervisor a message and waits, with a limit, for what it leads to.

use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::watch;

use crate::actors::{Context, PoolShared, Status, SupervisorMsg};
use crate::base::{PartitionId, PoolId, Time};
use crate::error::Error;
use crate::logic::Pacer;
use crate::measure::Event;
use crate::plan::Pace;

/// Sends steps to the supervisor and waits for them.
pub(super) struct Steps {
    context: Context,
    supervisor: ActorRef<SupervisorMsg>,
    status: watch::Receiver<Status>,
}

/// How the load ended.
pub(super) struct Ending {
    pub(super) interrupted: bool,
    pub(super) warnings: Vec<String>,
}

/// Between two looks at something that is not announced.
const LOOK: Duration = Duration::from_millis(5);
/// How long an interrupted run still waits for records under way.
const DRAIN_INTERRUPTED: Duration = Duration::from_secs(3);
/// How long stopping all consumers may take.
const STOP_LIMIT: Duration = Duration::from_secs(15);

impl Steps {
    pub(super) fn new(
        context: Context,
        supervisor: ActorRef<SupervisorMsg>,
        status: watch::Receiver<Status>,
    ) -> Steps {
        Steps { context, supervisor, status }
    }

    pub(super) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    fn tell(&self, message: SupervisorMsg) {
        if self.supervisor.cast(message).is_err() {
            tracing::error!("the supervisor is gone");
        }
    }

    /// Waits until `condition` holds; false when `limit` passes, the user interrupts, or the supervisor dies.
    async fn until(&mut self, limit: Duration, condition: impl FnMut(&Status) -> bool) -> Waited {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Waited::Interrupted,
            found = self.status.wait_for(condition) => match found {
                Ok(_) => Waited::Happened,
                Err(_) => Waited::TooLong,
            },
            () = tokio::time::sleep(limit) => Waited::TooLong,
        }
    }

    /// Starts every consumer and waits until each has really fetched (or the group is complete). Returns how
    /// long that took.
    pub(super) async fn start_consumers(&mut self) -> Result<Duration, Error> {
        let (clock, limit) = (self.context.clock, self.context.plan.times.startup);
        let began = clock.now();
        let wanted = self.context.plan.members() as usize;
        self.tell(SupervisorMsg::StartConsumers);
        let ready =
            |status: &Status| status.consumers_running == wanted || !status.given_up.is_empty();
        let waited = self.until(limit, ready).await;
        let status = self.status();
        if waited == Waited::Interrupted {
            return Err(Error::Environment("interrupted while consumers were starting".to_owned()));
        }
        if !status.given_up.is_empty() || waited == Waited::TooLong {
            return Err(Error::Environment(self.not_started(&status, wanted, limit)));
        }
        let deadline = began + limit;
        while !self.every_partition_is_owned() {
            if clock.now() > deadline {
                return Err(Error::Environment(format!(
                    "the group was not complete within {} s; raise `run.startup`, or check the coordinator",
                    limit.as_secs()
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(deadline.remaining(began) - deadline.remaining(clock.now()))
    }

    fn every_partition_is_owned(&self) -> bool {
        let owned = |cell: &crate::measure::PartitionCell| {
            cell.lock().owners().last().is_some_and(|last| last.to.is_none())
        };
        self.context.board.cells.iter().all(owned)
    }

    fn not_started(&self, status: &Status, wanted: usize, limit: Duration) -> String {
        if let Some((consumer, reason)) = status.given_up.iter().next() {
            return format!(
                "consumer {consumer} cannot start: {reason}; check the topic and this user's permissions"
            );
        }
        let heard: Vec<String> =
            self.context
                .board
                .journal
                .since(0)
                .into_iter()
                .rev()
                .find_map(|(_, event)| match event {
                    Event::ClientError { error, .. }
                    | Event::ConsumerFailed { reason: error, .. } => Some(error),
                    _ => None,
                })
                .into_iter()
                .collect();
        let heard =
            heard.first().map(|error| format!(" (last heard: {error})")).unwrap_or_default();
        format!(
            "only {} of {wanted} consumers were ready within {} s{heard}; raise `run.startup`, or check the \
             cluster's health",
            status.consumers_running,
            limit.as_secs()
        )
    }

    /// Starts the pools with schedules from `start` on and waits until they are done.
    pub(super) async fn load(&mut self, start: Time) -> Ending {
        let plan = self.context.plan.clone();
        let end = start + plan.times.load_end();
        let pool = |pool: u32| {
            let pacer = Pacer::new(&plan.load, plan.topic.partitions, pool, plan.seed, start, end);
            std::sync::Arc::new(PoolShared { pool: PoolId(pool), pacer: pacer.into() })
        };
        let pools = (0..plan.load.pools).map(pool).collect();
        self.tell(SupervisorMsg::StartLoad { pools, start });
        let limit = plan.times.load_end() + plan.times.drain + Duration::from_secs(10);
        let mut warnings = Vec::new();
        let waited = self.until(limit, |status| status.pools_over).await;
        if waited != Waited::Happened {
            self.tell(SupervisorMsg::EndLoad);
            let flush = DRAIN_INTERRUPTED + Duration::from_secs(2);
            if self.until(flush, |status| status.pools_over).await != Waited::Happened {
                warnings.push(
                    "a producer pool did not end in time; its unanswered records count as indeterminate"
                        .to_owned(),
                );
            }
        }
        if waited == Waited::TooLong {
            warnings.push("the load did not end by itself; check the broker".to_owned());
        }
        Ending { interrupted: waited == Waited::Interrupted, warnings }
    }

    /// Lets consumers run to the end offsets asked of the broker now.
    pub(super) async fn drain(&mut self, interrupted: bool) -> Vec<String> {
        let cluster = self.context.cluster.clone();
        let asked = tokio::task::spawn_blocking(move || cluster.end_offsets()?.fetch()).await;
        let ends = match asked {
            Ok(Ok(ends)) => ends,
            Ok(Err(error)) => {
                return vec![format!(
                    "the end offsets could not be asked ({error}); what was not read yet counts as lost"
                )];
            }
            Err(error) => return vec![format!("asking for end offsets panicked: {error}")],
        };
        let plan = &self.context.plan;
        let limit =
            if interrupted { DRAIN_INTERRUPTED.min(plan.times.drain) } else { plan.times.drain };
        let deadline = self.context.clock.now() + limit;
        let status = self.status();
        let behind = || -> Vec<PartitionId> {
            let is_behind = |(partition, end): (&PartitionId, &crate::base::Offset)| {
                (self.context.board.cell(*partition).lock().next_offset() < *end)
                    .then_some(*partition)
            };
            let given_up =
                |p: &PartitionId| plan.group().is_none() && status.given_up.contains_key(&p.0);
            ends.iter().filter_map(is_behind).filter(|p| !given_up(p)).collect()
        };
        while !behind().is_empty() {
            if self.context.clock.now() > deadline {
                let partitions: Vec<String> = behind().iter().map(ToString::to_string).collect();
                return vec![format!(
                    "partitions {} were not read to their end within {} s: what is left counts as lost; raise \
                     `run.drain`, or give consumers less work",
                    partitions.join(", "),
                    limit.as_secs()
                )];
            }
            tokio::time::sleep(LOOK).await;
        }
        Vec::new()
    }

    /// Stops every consumer and waits for their clients to close.
    pub(super) async fn stop_consumers(&mut self) {
        self.tell(SupervisorMsg::StopConsumers);
        if self.until(STOP_LIMIT, |status| status.consumers_over).await == Waited::TooLong {
            tracing::warn!("not every consumer stopped within {} s", STOP_LIMIT.as_secs());
        }
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    Happened,
    TooLong,
    Interrupted,
}

/// What a reader of the result should know, each with what to do about it.
pub(super) fn warnings(context: &Context, status: &Status) -> Vec<String> {
    let mut warnings = Vec::new();
    if !context.plan.broker.kind().capability().timing_is_real {
        warnings.push(
            "latency, recovery and rebalance times are those of the embedded mock cluster; measure with \
             `--broker kafka --bootstrap HOST:PORT`"
                .to_owned(),
        );
    }
    for (consumer, reason) in &status.given_up {
        warnings.push(format!("consumer {consumer} was given up: {reason}"));
    }
    for (pool, reason) in &status.pools_given_up {
        warnings.push(format!(
            "producer pool {pool} was given up: {reason}; its schedule was not kept"
        ));
    }
    for pool in &context.board.pools {
        let pool = pool.lock();
        for (error, times) in &pool.errors {
            warnings.push(format!("producer pool {}: {error} ({times} x)", pool.pool()));
        }
    }
    for (error, times) in context.board.client_errors() {
        warnings.push(format!("consumers: {error} ({times} x)"));
    }
    let (mut gaps, mut foreign) = (0, 0);
    for cell in &context.board.cells {
        let cell = cell.lock();
        gaps += cell.offset_gaps;
        foreign += cell.counts().foreign;
    }
    if gaps > 0 {
        warnings
            .push(format!("{gaps} offsets held no record (compaction, transactions, or a loss)"));
    }
    if foreign > 0 {
        warnings.push(format!(
            "{foreign} records were not sent by this run: somebody else writes to the topic; use one of the run's \
             own (leave `topic.name` out)"
        ));
    }
    if context.plan.load.pace == Pace::Max && context.plan.load.messages.is_none() {
        warnings.push(
            "at maximum rate latency says how long the queue was, not how fast the path is"
                .to_owned(),
        );
    }
    let dropped = context.board.journal.dropped();
    if dropped > 0 {
        warnings.push(format!("{dropped} events found no room in the journal"));
    }
    warnings
}
