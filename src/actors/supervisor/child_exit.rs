//! The exit of a child: its cause, the release of its incarnation, its restart, and the notes on its recovery.

use std::collections::BTreeSet;
use std::time::Duration;

use ractor::{ActorId, ActorRef};

use super::state::{Failure, KillReason, SupervisorState};
use crate::actors::messages::{PollerMsg, SlotId, SupervisorMsg};
use crate::actors::runtime::Context;
use crate::base::{ConsumerId, Incarnation, Offset, PartitionId, PoolId, Time};
use crate::fault::{ConsumerFault, FaultEffect, Targets};
use crate::logic::{Cause, Death, GATE_WINDOW, GateEffect, SlotEvent, SlotState};
use crate::measure::{Event, FaultTimes, InFlight, Owner, RecoveryMark};
use crate::plan::PartitionChoice;

/// Time in which the lateness of a restarted pool is due to the fault, because it first sends the overdue records.
pub(super) const CATCH_UP: Duration = Duration::from_secs(1);

/// The partitions a pool sends to.
pub(super) fn partitions_of_pool(context: &Context, pool: PoolId) -> Vec<PartitionId> {
    let (load, partitions) = (&context.plan.load, context.measurements.cells.len() as u32);
    match load.partition {
        PartitionChoice::Fixed => {
            let producers = (pool.0..load.producers).step_by(load.pools as usize);
            let its: BTreeSet<u32> = producers.map(|producer| producer % partitions).collect();
            its.into_iter().map(PartitionId).collect()
        }
        PartitionChoice::Only(id) => vec![PartitionId(id)],
        _ => (0..partitions).map(PartitionId).collect(),
    }
}

impl SupervisorState {
    /// Handles the end of a child's actor, with a failure or as asked.
    pub(super) async fn ended(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        actor: ActorId,
        failure: Option<Failure>,
    ) {
        let Some((id, incarnation)) = self.by_actor.remove(&actor) else {
            if let Some(failure) = failure {
                tracing::error!(%failure, "a control actor has failed");
            }
            return;
        };
        let now = self.context.clock.now();
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        // A thread may end before its failure is reported. As a rule it ends after its client is closed.
        if let SlotId::Consumer(consumer) = id {
            let owner = Owner { consumer, incarnation };
            self.reaper.released(owner, now);
        }
        let failure = match (failure, child.kill_reason.take()) {
            (Some(Failure::Killed), Some(KillReason::Replaced(description))) => {
                Some(Failure::Failed(description))
            }
            (Some(Failure::Killed), Some(KillReason::GivenUp(description))) => {
                Some(Failure::Hopeless(description))
            }
            (Some(_), Some(KillReason::Permanent(description))) => {
                Some(Failure::Permanent(description))
            }
            (failure, _) => failure,
        };
        let stopped_for = child.stopping_for.take().filter(|_| !child.slot.is_stopping());
        let failure = failure.or(stopped_for.map(|_| Failure::Stopped));
        let Some(failure) = failure else {
            if let SlotId::Pool(pool) = id {
                self.context.note(Event::PoolFinished { pool });
            }
            self.step(myself, id, SlotEvent::Stopped(incarnation)).await;
            return;
        };
        let armed_fault = match id {
            SlotId::Consumer(consumer) => self.context.active_faults.take_cause(consumer),
            SlotId::Pool(_) => None,
        };
        // A consumer that panics as planned does not fail because of its record.
        let faults = &self.context.plan.faults;
        let effect =
            armed_fault.and_then(|fault| faults.get(fault)).map(|fault| &fault.kind.effect);
        let is_planned = effect == Some(&FaultEffect::Consumers(ConsumerFault::Panic));
        let in_flight = child.heartbeat.in_flight().filter(|_| !is_planned);
        let killed_for = child.fault.take();
        if let (Some(_), Some(stop)) = (killed_for, stopped_for) {
            self.context.note_missed(stop, "it was killed while it stopped".to_owned());
        }
        let injected = killed_for.or(stopped_for);
        let fault = injected.or(armed_fault);
        self.note_failure(id, incarnation, &failure, (now, fault));
        if matches!((&failure, id), (Failure::Broker(_), SlotId::Consumer(_))) {
            let effects = self.gate.failed(id, now, &mut self.gate_random);
            if effects.contains(&GateEffect::Hold(id)) {
                self.step_after(myself, id, SlotEvent::Held(incarnation), (now, fault)).await;
                self.gate_effects(myself, effects).await;
                return;
            }
        }
        let cause = self.cause(id, &failure, (now, injected), in_flight);
        let checkpoint = self.checkpoint(id);
        let event = SlotEvent::Ended { incarnation, cause, checkpoint };
        self.step_after(myself, id, event, (now, fault)).await;
    }

    /// The cause for which an incarnation ended while it processed `in_flight`.
    fn cause(
        &mut self,
        id: SlotId,
        failure: &Failure,
        (now, injected): (Time, Option<usize>),
        in_flight: Option<InFlight>,
    ) -> Cause {
        match (failure, injected) {
            (Failure::Killed | Failure::Stopped, Some(_)) => Cause::Injected,
            (Failure::Permanent(reason), _) => Cause::Permanent(reason.clone()),
            (Failure::Hopeless(reason), _) => Cause::Exhausted(reason.clone()),
            (Failure::Unreleased(reason), _) => match id {
                SlotId::Consumer(consumer) if self.unreleased.is_free(consumer, now) => {
                    Cause::Unreleased
                }
                _ => Cause::Failed(reason.clone()),
            },
            (Failure::Failed(reason) | Failure::Poison(reason), _) => match (id, in_flight) {
                (SlotId::Consumer(consumer), Some(record)) => {
                    let death = match failure {
                        Failure::Poison(_) => self.poison.declared(record.partition),
                        _ => self.poison.died(record.partition, record.offset),
                    };
                    self.died_on(consumer, record, death, reason)
                }
                _ if matches!(failure, Failure::Poison(_)) => Cause::Permanent(reason.clone()),
                _ => Cause::Failed(reason.clone()),
            },
            (failure, _) => Cause::Failed(failure.to_string()),
        }
    }

    /// Handles the death of a consumer while it processed a record.
    fn died_on(
        &mut self,
        consumer: ConsumerId,
        record: InFlight,
        death: Death,
        reason: &str,
    ) -> Cause {
        let InFlight { partition, offset, .. } = record;
        match death {
            Death::Common => Cause::Failed(reason.to_owned()),
            Death::Stop => Cause::Permanent(format!(
                "poison at offset {offset} of partition {partition}: {reason}; mend the record or its handler, or \
                 set `consumers.poison = \"skip\"`"
            )),
            Death::Skip => {
                self.context.measurements.cell(partition).lock().skip(offset);
                self.context.note(Event::RecordSkipped { consumer, partition, offset });
                Cause::Skipped
            }
        }
    }

    /// The progress of a slot, as a number that only grows.
    pub(super) fn checkpoint(&self, id: SlotId) -> Offset {
        let measurements = &self.context.measurements;
        match id {
            SlotId::Consumer(consumer) if self.context.plan.group().is_none() => {
                measurements.cells[consumer.0 as usize].lock().next_offset()
            }
            SlotId::Consumer(_) => {
                Offset(measurements.cells.iter().map(|cell| cell.lock().next_offset().0).sum())
            }
            SlotId::Pool(PoolId(pool)) => {
                Offset(measurements.pools[pool as usize].lock().sent as i64)
            }
        }
    }

    /// Applies the effects of the gate. [`GateEffect::Hold`] is applied before, together with the exit that led to it.
    pub(super) async fn gate_effects(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        effects: Vec<GateEffect<SlotId>>,
    ) {
        let now = self.context.clock.now();
        let count = |wanted: fn(&GateEffect<SlotId>) -> bool| {
            effects.iter().filter(|effect| wanted(effect)).count() as u32
        };
        let failed = count(|e| matches!(e, GateEffect::Hold(_) | GateEffect::Forgive(_)));
        let held = count(|e| matches!(e, GateEffect::Release(..)));
        for effect in effects {
            match effect {
                GateEffect::Hold(_) => {}
                GateEffect::Shut => self.context.note(Event::GateShut { failed }),
                GateEffect::Opened => self.context.note(Event::GateOpened { held }),
                GateEffect::Forgive(id) => {
                    let since = now - GATE_WINDOW;
                    self.step(myself, id, SlotEvent::Forgive { since }).await;
                    let child = &self.children[&id];
                    if matches!(child.slot.state(), SlotState::BackingOff { .. }) {
                        self.gate.hold(id);
                    }
                }
                GateEffect::SetTimer { generation, delay } => {
                    self.context.send_at(now + delay, myself, SupervisorMsg::GateTimer(generation));
                }
                GateEffect::Probe(id) => {
                    if let SlotId::Consumer(consumer) = id {
                        self.context.note(Event::GateProbe { consumer });
                    }
                    self.step(myself, id, SlotEvent::Resume).await;
                }
                GateEffect::Release(id, delay) => {
                    self.context.send_at(now + delay, myself, SupervisorMsg::Resume(id));
                }
            }
        }
    }

    /// The partitions of a consumer: its own, or those that the group has assigned to it.
    pub(super) fn partitions_of(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        match self.context.plan.group() {
            None => vec![PartitionId(consumer.0)],
            Some(_) => self.context.owned_by(consumer),
        }
    }

    /// Fences older incarnations, and begins the recovery of their partitions, unless the fault has already begun it.
    pub(super) fn release(
        &mut self,
        id: SlotId,
        next: Incarnation,
        (now, fault): (Time, Option<usize>),
    ) {
        let consumer = match id {
            SlotId::Consumer(consumer) => consumer,
            SlotId::Pool(pool) => {
                self.context.measurements.pools[pool.0 as usize].lock().release(next);
                self.pool_times(fault, |times| times.fenced = Some(now));
                return;
            }
        };
        let partitions = self.partitions_of(consumer);
        self.context.release(consumer, next);
        for partition in self.touched_by(consumer) {
            let mut cell = self.context.measurements.cell(partition).lock();
            let is_owned = partitions.contains(&partition);
            let last = cell.owners().last().map(|last| last.owner);
            if let Some(owner) = last.filter(|_| is_owned) {
                cell.give_up(owner, now);
            }
            let is_this = |mark: &&mut RecoveryMark| {
                let is_its = mark.consumer.is_none_or(|hit| hit == consumer);
                mark.fault == fault && is_its && (mark.is_open() || fault.is_some())
            };
            match cell.recoveries.iter_mut().rev().find(is_this) {
                Some(mark) => {
                    mark.detected.get_or_insert(now);
                    mark.release(now);
                }
                None if is_owned => {
                    let mut mark = cell.new_mark(fault, Some(consumer), now);
                    mark.detected = Some(now);
                    mark.release(now);
                    cell.recover(mark);
                }
                None => {}
            }
        }
        if self.context.plan.group().is_some() && !partitions.is_empty() {
            let incarnation = Incarnation(next.0.saturating_sub(1));
            self.context.note_at(now, Event::Orphaned { consumer, incarnation, partitions });
        }
    }

    /// Notes the start of a consumer, for the recoveries that wait for it.
    pub(super) fn restarted(&mut self, consumer: ConsumerId, incarnation: Incarnation, now: Time) {
        if incarnation == Incarnation(1) {
            return;
        }
        for partition in self.touched_by(consumer) {
            let mut cell = self.context.measurements.cell(partition).lock();
            // In group mode another member may take over the partition. The start of this member still is the
            // supervisor's response to the failure.
            let waiting = cell.recoveries.iter_mut().filter(|mark| {
                mark.awaits_restart() && mark.consumer.is_none_or(|hit| hit == consumer)
            });
            waiting.for_each(|mark| mark.restarted = Some(now));
        }
        self.poll_end_offsets_now();
        tracing::debug!(%consumer, start = %incarnation, "restarted");
    }

    /// Notes that a consumer has fetched from its partition, which may count as recovered from now on. In group mode
    /// that is noted when a member takes over the partition.
    pub(super) fn ready(&self, id: SlotId) {
        let (SlotId::Consumer(consumer), None) = (id, self.context.plan.group()) else { return };
        let now = self.context.clock.now();
        let mut cell = self.context.measurements.cell(PartitionId(consumer.0)).lock();
        let its = cell.recoveries.iter_mut().filter(|mark| mark.restarted.is_some());
        its.for_each(|mark| mark.is_ready(now));
    }

    /// Notes the restart of a pool, for the fault that killed it.
    pub(super) fn pool_restarted(&mut self, pool: PoolId, now: Time) {
        let measurements = self.context.measurements.clone();
        let is_due = |times: &FaultTimes| times.injected.is_some() && times.ended.is_none();
        let due = measurements.faults().into_iter().filter(|(_, times)| is_due(times));
        for (number, _) in due {
            let fault = &self.context.plan.faults[number];
            let hits = matches!(&fault.targets, Targets::Pools(pools) if pools.contains(&pool));
            if !hits || fault.lasts.is_some() {
                continue;
            }
            measurements.fault(number, |times| {
                (times.restarted, times.ended) = (Some(now), Some(now));
            });
            for partition in partitions_of_pool(&self.context, pool) {
                let mut cell = measurements.cell(partition).lock();
                let its = cell.recoveries.iter_mut().filter(|mark| mark.fault == Some(number));
                its.for_each(|mark| mark.ended = Some(now));
            }
        }
        measurements.pools[pool.0 as usize].lock().exclude_lateness_until(now + CATCH_UP);
        self.poll_end_offsets_now();
    }

    /// Asks for end offsets now, because a partition has just begun to catch up.
    pub(super) fn poll_end_offsets_now(&self) {
        if let Some(end_offset_poller) = &self.end_offset_poller {
            let _ = end_offset_poller.cast(PollerMsg::AskNow);
        }
    }

    /// Partitions in whose cells a consumer may have counted: its own, or in group mode all.
    fn touched_by(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        match self.context.plan.group() {
            None => vec![PartitionId(consumer.0)],
            Some(_) => (0..self.context.measurements.cells.len() as u32).map(PartitionId).collect(),
        }
    }

    /// Notes a time of a fault that hit a pool.
    pub(super) fn pool_times(&self, fault: Option<usize>, note: impl FnOnce(&mut FaultTimes)) {
        if let Some(fault) = fault {
            self.context.measurements.fault(fault, note);
        }
    }

    /// Notes the failure of a slot.
    pub(super) fn note_failure(
        &self,
        id: SlotId,
        incarnation: Incarnation,
        failure: &Failure,
        (now, fault): (Time, Option<usize>),
    ) {
        if !id.is_consumer() {
            self.pool_times(fault, |times| times.detected = Some(now));
        }
        let reason = failure.to_string();
        let event = match id {
            SlotId::Consumer(consumer) => Event::ConsumerFailed { consumer, incarnation, reason },
            SlotId::Pool(pool) => Event::PoolFailed { pool, incarnation, reason },
        };
        self.context.note_at(now, event);
    }

    /// Notes that a slot will be restarted after `delay`.
    pub(super) fn note_restart(&self, id: SlotId, delay: Duration, now: Time) {
        if let SlotId::Consumer(consumer) = id {
            let incarnation = self.children[&id].slot.incarnation();
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            self.context
                .note_at(now, Event::ConsumerRestarting { consumer, incarnation, delay_ms });
        }
    }

    /// Gives up a slot.
    pub(super) fn give_up(&mut self, id: SlotId, reason: String) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.given_up = Some(reason.clone());
        if let SlotId::Consumer(consumer) = id {
            // In group mode the other members take over.
            if self.context.plan.group().is_none() {
                let mut cell = self.context.measurements.cell(PartitionId(consumer.0)).lock();
                cell.recoveries.iter_mut().for_each(|mark| mark.given_up = true);
            }
            self.context.note(Event::ConsumerGivenUp { consumer, reason });
        }
    }
}
