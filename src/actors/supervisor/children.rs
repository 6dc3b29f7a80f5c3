//! The supervisor's children: what it holds of each, and how each is started.

use std::fmt;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::super::consumer::{Consumer, ConsumerArgs, ConsumerMsg, HostFailure, Place};
use super::super::host::PoolShared;
use super::super::pool::{PoolArgs, PoolMsg, ProducerPool};
use super::{SupervisorMsg, SupervisorState};
use crate::base::{ConsumerId, Incarnation, PartitionId, PoolId, Random};
use crate::broker::ErrorClass;
use crate::logic::{Cause, Slot, SlotEvent, Watchdog};
use crate::measure::{Event, Heartbeat, Owner};
use crate::plan::Membership;

/// Which slot: consumers come before pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotId {
    /// A consumer or group member.
    Consumer(ConsumerId),
    /// A producer pool.
    Pool(PoolId),
}

impl SlotId {
    pub(super) fn is_consumer(&self) -> bool {
        matches!(self, SlotId::Consumer(_))
    }

    /// A number no other slot has, for seeds.
    pub(super) fn number(self) -> u64 {
        match self {
            SlotId::Consumer(consumer) => u64::from(consumer.0),
            SlotId::Pool(pool) => (1 << 32) + u64::from(pool.0),
        }
    }
}

/// A slot with its actor.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) slot: Slot,
    pub(super) random: Random,
    /// A pool's schedules.
    pub(super) pool: Option<Arc<PoolShared>>,
    pub(super) actor: Option<ChildRef>,
    /// The fault that is about to end it.
    pub(super) fault: Option<usize>,
    /// The fault for which it was asked to stop.
    pub(super) stopping_for: Option<usize>,
    /// Why it is given up.
    pub(super) given_up: Option<String>,
    /// The heartbeat of its incarnation.
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) watchdog: Watchdog,
    /// Why the supervisor has killed it, unless a fault did.
    pub(super) kill_reason: Option<KillReason>,
}

/// Why the supervisor kills an incarnation: the reason of its exit.
#[derive(Debug)]
pub(super) enum KillReason {
    /// It hangs; another one may not.
    Replaced(String),
    /// Another one would hang, too.
    GivenUp(String),
    /// Its partition is gone for good.
    Definite(String),
}

/// A child's actor.
#[derive(Debug)]
pub(super) enum ChildRef {
    Consumer(ActorRef<ConsumerMsg>),
    Pool(ActorRef<PoolMsg>),
}

impl Child {
    /// A slot nothing has happened to yet.
    pub(super) fn new(
        slot: Slot,
        random: Random,
        pool: Option<Arc<PoolShared>>,
        heartbeat: Arc<Heartbeat>,
        watchdog: Watchdog,
    ) -> Child {
        Child {
            slot,
            random,
            pool,
            actor: None,
            fault: None,
            stopping_for: None,
            given_up: None,
            heartbeat,
            watchdog,
            kill_reason: None,
        }
    }

    /// Asks the actor to stop in order. One that is dead already needs no asking.
    pub(super) fn stop(&self) {
        match &self.actor {
            Some(ChildRef::Consumer(actor)) => drop(actor.cast(ConsumerMsg::Stop)),
            Some(ChildRef::Pool(actor)) => drop(actor.cast(PoolMsg::End)),
            None => {}
        }
    }

    /// Kills the actor for fault number `fault`, if there is a live one.
    pub(super) fn kill(&mut self, fault: usize) {
        if self.kill_actor() {
            self.fault = Some(fault);
        }
    }

    /// Kills the actor for a reason of the supervisor's own, if there is a live one.
    pub(super) fn kill_for(&mut self, kill_reason: KillReason) {
        if self.kill_actor() {
            self.kill_reason = Some(kill_reason);
        }
    }

    fn kill_actor(&self) -> bool {
        let cell = match &self.actor {
            _ if !self.slot.is_live() => return false,
            Some(ChildRef::Consumer(actor)) => actor.get_cell(),
            Some(ChildRef::Pool(actor)) => actor.get_cell(),
            None => return false,
        };
        cell.kill();
        true
    }

    /// Asks the actor to stop in order for fault number `fault`, to be started again.
    pub(super) fn stop_for(&mut self, fault: usize) {
        self.stopping_for = Some(fault);
        self.stop();
    }
}

/// How a child's actor died.
#[derive(Debug)]
pub(super) enum Failure {
    /// By `kill()`.
    Killed,
    /// In order, because a fault asked for it.
    Stopped,
    /// With an error a restart may mend.
    Failed(String),
    /// With an error of the client or the cluster.
    Broker(String),
    /// On a record its handler calls poison.
    Poison(String),
    /// Of something no restart has helped against.
    Hopeless(String),
    /// With an error a restart cannot mend.
    Definite(String),
}

impl Failure {
    pub(super) fn from_error(error: &ActorProcessingErr) -> Failure {
        let reason = error.to_string();
        match error.downcast_ref::<HostFailure>().map(|failure| failure.class) {
            Some(class) if class.is_definite() => Failure::Definite(reason),
            Some(ErrorClass::Poison) => Failure::Poison(reason),
            Some(ErrorClass::Fatal) => Failure::Broker(reason),
            _ => Failure::Failed(reason),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Killed => f.write_str("killed"),
            Failure::Stopped => f.write_str("stopped by a fault"),
            Failure::Failed(reason)
            | Failure::Broker(reason)
            | Failure::Poison(reason)
            | Failure::Hopeless(reason)
            | Failure::Definite(reason) => f.write_str(reason),
        }
    }
}

impl SupervisorState {
    /// Starts an incarnation of a slot. Spawning an actor does not wait for its client.
    pub(super) async fn start(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        incarnation: Incarnation,
    ) {
        let spawned = match id {
            SlotId::Consumer(consumer) => self.spawn_consumer(myself, consumer, incarnation).await,
            SlotId::Pool(pool) => self.spawn_pool(myself, pool, incarnation).await,
        };
        match spawned {
            Ok(actor) => {
                let actor_id = match &actor {
                    ChildRef::Consumer(actor) => actor.get_id(),
                    ChildRef::Pool(actor) => actor.get_id(),
                };
                self.by_actor.insert(actor_id, (id, incarnation));
                if let Some(child) = self.children.get_mut(&id) {
                    child.actor = Some(actor);
                }
                self.started(id, incarnation);
            }
            Err(error) => {
                // A failed spawn sends no supervision event: it is made one here.
                let checkpoint = self.checkpoint(id);
                let cause = Cause::Failed(error.to_string());
                let event = SlotEvent::Ended { incarnation, cause, checkpoint };
                Box::pin(self.step(myself, id, event)).await;
            }
        }
    }

    async fn spawn_consumer(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        consumer: ConsumerId,
        incarnation: Incarnation,
    ) -> Result<ChildRef, ractor::SpawnErr> {
        let context = self.context.clone();
        let owner = Owner { consumer, incarnation };
        let place = match context.plan.consumers.membership {
            Membership::Group(_) => Place::Member,
            Membership::Assigned { .. } => {
                let partition = PartitionId(consumer.0);
                let start = context.measurements.cell(partition).lock().start();
                match self.shared.clone() {
                    None => Place::Own { partition, start },
                    Some(host) => Place::Shared { partition, start, host },
                }
            }
        };
        let heartbeat = Arc::new(Heartbeat::new(context.clock.now()));
        if let Some(child) = self.children.get_mut(&SlotId::Consumer(consumer)) {
            child.heartbeat = heartbeat.clone();
            child.watchdog.started(context.clock.now());
        }
        let args = ConsumerArgs { context, owner, place, heartbeat, supervisor: myself.clone() };
        let (actor, _) = Actor::spawn_linked(None, Consumer, args, myself.get_cell()).await?;
        if self.shared.is_none() {
            self.reaper.started(owner);
        }
        Ok(ChildRef::Consumer(actor))
    }

    async fn spawn_pool(
        &self,
        myself: &ActorRef<SupervisorMsg>,
        pool: PoolId,
        incarnation: Incarnation,
    ) -> Result<ChildRef, ractor::SpawnErr> {
        let shared = self.children.get(&SlotId::Pool(pool)).and_then(|child| child.pool.clone());
        let shared = shared
            .ok_or_else(|| ractor::SpawnErr::StartupFailed("a pool without schedules".into()))?;
        let (context, supervisor) = (self.context.clone(), myself.clone());
        let args = PoolArgs { context, shared, incarnation, supervisor };
        let (actor, _) = Actor::spawn_linked(None, ProducerPool, args, myself.get_cell()).await?;
        Ok(ChildRef::Pool(actor))
    }

    /// Notes a start, and what it means for recoveries under way.
    fn started(&mut self, id: SlotId, incarnation: Incarnation) {
        match id {
            SlotId::Consumer(consumer) => {
                self.context.note(Event::ConsumerStarted { consumer, incarnation });
                self.restarted(consumer, incarnation);
            }
            SlotId::Pool(pool) => {
                self.context.note(Event::PoolStarted { pool, incarnation });
                if incarnation > Incarnation(1) {
                    self.pool_restarted(pool);
                }
            }
        }
    }
}
