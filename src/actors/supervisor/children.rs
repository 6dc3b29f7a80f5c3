//! The children: how slots are added and removed, and how each incarnation is started.

use std::sync::Arc;

use ractor::{Actor, ActorRef};

use super::state::{Child, ChildRef, KillReason, SupervisorState};
use crate::actors::clients::{Consumer, ConsumerArgs, ConsumerClient, PoolArgs, ProducerPool};
use crate::actors::lease::PoolShared;
use crate::actors::messages::{SlotId, SupervisorMsg};
use crate::base::{ConsumerId, Incarnation, PartitionId, PoolId, Time};
use crate::fault::FaultEffect;
use crate::logic::{Action, Cause, Slot, SlotEvent, Watchdog};
use crate::measure::{Event, Heartbeat, Owner};
use crate::plan::Membership;

impl SupervisorState {
    /// Adds a slot and starts it for the first time.
    pub(super) async fn add(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        pool: Option<Arc<PoolShared>>,
    ) {
        let slot = Slot::new(self.context.plan.restart);
        let random = self.context.seed.child("restart", id.number()).random();
        let heartbeat = Arc::new(Heartbeat::new(self.context.clock.now()));
        let watchdog = Watchdog::new(self.context.plan.watch, self.context.clock.now());
        let mut child = Child::new(slot, random, pool, heartbeat, watchdog);
        let actions = child.slot.start();
        self.children.insert(id, child);
        self.perform(myself, id, actions, (self.context.clock.now(), None)).await;
    }

    /// Passes an event to a slot, and carries out the actions of its machine. A start that fails is another event.
    pub(super) async fn step(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        event: SlotEvent,
    ) {
        self.step_after(myself, id, event, (self.context.clock.now(), None)).await;
    }

    /// The same at `now`, with the fault that led to the event, if any.
    pub(super) async fn step_after(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        event: SlotEvent,
        (now, fault): (Time, Option<usize>),
    ) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let actions = child.slot.step(event, now, &mut child.random);
        self.perform(myself, id, actions, (now, fault)).await;
    }

    async fn perform(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        actions: Vec<Action>,
        (now, fault): (Time, Option<usize>),
    ) {
        for action in actions {
            match action {
                Action::Fence(next) => self.release(id, next, (now, fault)),
                Action::Start(incarnation) => self.start(myself, id, incarnation).await,
                Action::SetTimer { generation, delay } => {
                    self.note_restart(id, delay, now);
                    self.context.send_at(now + delay, myself, SupervisorMsg::Timer(id, generation));
                }
                Action::Stop(_) => self.children[&id].stop(),
                Action::GiveUp { reason } => self.give_up(id, reason),
            }
        }
    }

    /// Starts an incarnation of a slot. Spawning an actor does not wait for its client.
    async fn start(
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
                // A failed spawn sends no supervision event, so this makes one.
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
        let client = match context.plan.consumers.membership {
            Membership::Group(_) => ConsumerClient::Member,
            Membership::Assigned { .. } => {
                let partition = PartitionId(consumer.0);
                let start = context.measurements.cell(partition).lock().start();
                match self.shared.clone() {
                    None => ConsumerClient::Own { partition, start },
                    Some(host) => ConsumerClient::Shared { partition, start, host },
                }
            }
        };
        let heartbeat = Arc::new(Heartbeat::new(context.clock.now()));
        if let Some(child) = self.children.get_mut(&SlotId::Consumer(consumer)) {
            child.heartbeat = heartbeat.clone();
            child.watchdog.started(context.clock.now());
        }
        let args = ConsumerArgs { context, owner, client, heartbeat, supervisor: myself.clone() };
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

    /// Notes a start, also in the recoveries that wait for it.
    fn started(&mut self, id: SlotId, incarnation: Incarnation) {
        let now = self.context.clock.now();
        match id {
            SlotId::Consumer(consumer) => {
                self.context.note_at(now, Event::ConsumerStarted { consumer, incarnation });
                self.restarted(consumer, incarnation, now);
            }
            SlotId::Pool(pool) => {
                self.context.note_at(now, Event::PoolStarted { pool, incarnation });
                if incarnation > Incarnation(1) {
                    self.pool_restarted(pool, now);
                }
            }
        }
    }

    /// Starts a consumer for each partition without one, from the first record on. A group assigns new partitions
    /// itself.
    pub(super) async fn grown(&mut self, myself: &ActorRef<SupervisorMsg>) {
        if self.stopping || self.context.plan.group().is_some() {
            return;
        }
        for id in 0..self.context.measurements.cells.len() as u32 {
            let slot = SlotId::Consumer(ConsumerId(id));
            if !self.children.contains_key(&slot) {
                self.add(myself, slot, None).await;
            }
        }
    }

    /// Stalls every consumer whose partition is deleted. The first `left` partitions still exist.
    pub(super) fn stall_deleted_partitions(&mut self, left: u32) {
        let is_group = self.context.plan.group().is_some();
        let reason = match left {
            0 => "the topic is gone".to_owned(),
            left => format!("the topic has only {left} partitions left"),
        };
        for (id, child) in &mut self.children {
            match id {
                // The group assigns the partitions that are left.
                SlotId::Consumer(_) if is_group && left > 0 => {}
                SlotId::Consumer(ConsumerId(id)) if is_group || *id >= left => {
                    child.kill_for(KillReason::Permanent(reason.clone()));
                }
                SlotId::Consumer(_) | SlotId::Pool(_) => {}
            }
        }
    }

    /// Starts the members that fault `number` adds, if it adds any.
    pub(super) async fn join(&mut self, myself: &ActorRef<SupervisorMsg>, number: usize) {
        if self.load_is_over {
            return;
        }
        for consumer in self.group_members(number) {
            self.add(myself, SlotId::Consumer(consumer), None).await;
        }
    }

    /// Stops the members that fault `number` has added.
    pub(super) async fn leave(&mut self, myself: &ActorRef<SupervisorMsg>, number: usize) {
        for consumer in self.group_members(number) {
            self.step(myself, SlotId::Consumer(consumer), SlotEvent::Stop).await;
        }
    }

    /// Notes that a member added by a fault has joined. If it is to stay, that ends the fault.
    pub(super) fn joined(&mut self, id: SlotId) {
        let SlotId::Consumer(consumer) = id else { return };
        let number = self.context.plan.faults.iter().position(|fault| {
            let is_to_stay = fault.kind.effect == FaultEffect::Join && fault.lasts.is_none();
            is_to_stay && fault.targets.consumers().contains(&consumer)
        });
        let Some(number) = number else { return };
        let now = self.context.clock.now();
        self.context.measurements.fault(number, |times| times.ended = Some(now));
        for cell in &self.context.measurements.cells {
            let mut cell = cell.lock();
            let its = cell.recoveries.iter_mut().filter(|mark| mark.fault == Some(number));
            its.for_each(|mark| mark.ended = Some(now));
        }
        self.poll_end_offsets_now();
    }

    fn group_members(&self, number: usize) -> Vec<ConsumerId> {
        let fault = self.context.plan.faults.get(number);
        let fault = fault.filter(|fault| fault.kind.effect == FaultEffect::Join);
        fault.map_or_else(Vec::new, |fault| fault.targets.consumers().to_vec())
    }
}
