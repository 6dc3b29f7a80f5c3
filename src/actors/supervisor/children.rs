//! The children: how slots are added and removed, and how each incarnation is started.
//!
//! Also the watchdogs: checks of consumers that make no progress, and of threads that do not end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorRef};

use super::state::{Child, ChildRef, KillReason, SupervisorState};
use crate::actors::clients::{Consumer, ConsumerArgs, Place, PoolArgs, ProducerPool};
use crate::actors::lease::{ConsumerMsg, PoolShared, SlotId, SupervisorMsg};
use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, Time};
use crate::fault::FaultEffect;
use crate::logic::{
    Action, Cause, Diagnosis, Remedy, Slot, SlotEvent, SlotState, Watchdog, WatchdogInput,
};
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
                    child.kill_for(KillReason::Definite(reason.clone()));
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

/// Time between two checks of the watchdogs.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Time after which a check is made at the latest, in a runtime that leaves out checks that cannot find anything. No
/// check compares with an older one.
const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// An end offset that was entered longer ago than this is not used.
const END_IS_FRESH: Duration = Duration::from_secs(5);

/// Whether records wait for a consumer, and its position.
#[derive(Clone, Copy, Default)]
struct ConsumerBacklog {
    /// True if records are known to wait for the consumer.
    is_waited_for: bool,
    /// Checkpoint of the consumer; for a group member the sum over its partitions.
    checkpoint: Offset,
}

impl SupervisorState {
    /// Checks every consumer, and schedules the next check.
    pub(super) fn check_watchdogs(&mut self, myself: &ActorRef<SupervisorMsg>) {
        let now = self.context.clock.now();
        for owner in self.reaper.check(now) {
            let Owner { consumer, incarnation } = owner;
            self.context.note(Event::ThreadAbandoned { consumer, incarnation });
        }
        let backlogs = self.backlogs(now);
        let mut due = Time::NEVER;
        for id in self.slots(SlotId::is_consumer) {
            if let SlotId::Consumer(consumer) = id
                && matches!(
                    self.children[&id].slot.state(),
                    SlotState::Starting | SlotState::Running
                )
            {
                let backlog = backlogs.get(&consumer).copied().unwrap_or_default();
                due = due.min(self.check_consumer(consumer, backlog, now));
            }
        }
        self.schedule_check(myself, due);
    }

    /// Schedules the next call of [`SupervisorState::check_watchdogs`]. No check before `due` can find anything.
    pub(super) fn schedule_check(&mut self, myself: &ActorRef<SupervisorMsg>, due: Time) {
        let (now, watch) = (self.context.clock.now(), &self.context.plan.watch);
        let longest = CHECK_INTERVAL_MAX.min(watch.poll).min(watch.fetch).min(watch.close);
        let due = due.min(now + CHECK_INTERVAL_MAX).remaining(now);
        let wait = self.context.runtime.check_pause(CHECK_INTERVAL, due, longest);
        self.context.send_at(now + wait, myself, SupervisorMsg::CheckWatchdogs);
    }

    /// Checks a consumer. Returns the earliest time at which the next check can find something.
    fn check_consumer(
        &mut self,
        consumer: ConsumerId,
        backlog: ConsumerBacklog,
        now: Time,
    ) -> Time {
        let id = SlotId::Consumer(consumer);
        let watchdog_input = self.watchdog_input(consumer, backlog);
        let Some(child) = self.children.get_mut(&id) else {
            return Time::NEVER;
        };
        let (diagnosis, remedy) = child.watchdog.check(&watchdog_input, now);
        let due = child.watchdog.due(&watchdog_input);
        if let (Some(remedy), Some(description)) = (remedy, diagnosis.describe(now)) {
            self.apply(consumer, diagnosis, remedy, description);
        }
        due
    }

    /// Applies the remedy to a consumer that makes no progress.
    fn apply(
        &mut self,
        consumer: ConsumerId,
        diagnosis: Diagnosis,
        remedy: Remedy,
        description: String,
    ) {
        let no_more_threads = self.reaper.abandoned() >= self.context.plan.watch.abandoned_max;
        let Some(child) = self.children.get_mut(&SlotId::Consumer(consumer)) else { return };
        let incarnation = child.slot.incarnation();
        let is_poll = matches!(diagnosis, Diagnosis::HungPoll { .. });
        let remedy = match remedy {
            Remedy::Replace if is_poll && no_more_threads => Remedy::GiveUp,
            remedy => remedy,
        };
        let (remedy_text, kill_reason) = match remedy {
            Remedy::Note => ("noted", None),
            Remedy::Reassign => ("assigned again", None),
            Remedy::Replace => ("replaced", Some(KillReason::Replaced(description.clone()))),
            Remedy::GiveUp => ("given up", Some(KillReason::GivenUp(description.clone()))),
        };
        if let (Some(_), true, Some(shared)) = (&kill_reason, is_poll, &self.shared) {
            // The replacement needs another thread than the one that hangs.
            shared.lock().unwrap_or_else(PoisonError::into_inner).give_up();
        }
        match (kill_reason, &child.actor) {
            (Some(kill_reason), _) => child.kill_for(kill_reason),
            (None, Some(ChildRef::Consumer(actor))) if remedy == Remedy::Reassign => {
                let _ = actor.cast(ConsumerMsg::Reassign);
            }
            _ => {}
        }
        let remedy = remedy_text.to_owned();
        self.context.note(Event::ConsumerStuck {
            consumer,
            incarnation,
            diagnosis: description,
            remedy,
        });
    }

    /// The backlog of each consumer, computed in one pass. A member is checked as a whole: a change of its partitions
    /// counts as progress, and it has no backlog while it waits for its group.
    fn backlogs(&self, now: Time) -> BTreeMap<ConsumerId, ConsumerBacklog> {
        let is_group = self.context.plan.group().is_some();
        let mut backlogs: BTreeMap<ConsumerId, ConsumerBacklog> = BTreeMap::new();
        for (id, cell) in (0..).zip(&self.context.measurements.cells) {
            let cell = cell.lock();
            let consumer = match cell.owners().last().filter(|last| last.to.is_none()) {
                _ if !is_group => ConsumerId(id),
                Some(last) => last.owner.consumer,
                None => continue,
            };
            let backlog = backlogs.entry(consumer).or_default();
            let is_fresh = cell.lag.asked.is_some_and(|asked| now < asked + END_IS_FRESH);
            backlog.is_waited_for |=
                is_fresh && cell.lag.end.is_some_and(|end| end > cell.next_offset());
            backlog.checkpoint.0 += cell.next_offset().0;
        }
        backlogs
    }

    fn watchdog_input(&self, consumer: ConsumerId, backlog: ConsumerBacklog) -> WatchdogInput {
        let measurements = &self.context.measurements;
        let Child { heartbeat, .. } = &self.children[&SlotId::Consumer(consumer)];
        let ConsumerBacklog { is_waited_for, checkpoint } = backlog;
        let trouble = measurements.trouble.load(Ordering::Relaxed);
        WatchdogInput {
            beat: heartbeat.last_beat(),
            in_flight: heartbeat.in_flight(),
            checkpoint,
            is_waited_for,
            trouble: (trouble > 0).then_some(Time(trouble)),
        }
    }
}
