//! The exit of a child: its cause, and what follows from it.

use ractor::{ActorId, ActorRef};

use super::children::{Failure, KillReason, SlotId};
use super::{SupervisorMsg, SupervisorState};
use crate::base::{ConsumerId, Offset, PoolId};
use crate::fault::{ConsumerFault, FaultEffect};
use crate::logic::{Cause, Death, GATE_WINDOW, GateEffect, SlotEvent, SlotState};
use crate::measure::{Event, InFlight, Owner};

impl SupervisorState {
    /// A child's actor has ended, with a failure or as asked.
    pub(super) async fn ended(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        actor: ActorId,
        failure: Option<Failure>,
    ) {
        let Some((id, incarnation)) = self.by_actor.remove(&actor) else {
            if let Some(failure) = failure {
                tracing::error!(%failure, "a control actor has died");
            }
            return;
        };
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        // A thread may end before it is known that it failed; in order, it ends after its client is closed.
        if let SlotId::Consumer(consumer) = id {
            let owner = Owner { consumer, incarnation };
            self.reaper.released(owner, self.context.clock.now());
        }
        let failure = match (failure, child.kill_reason.take()) {
            (Some(Failure::Killed), Some(KillReason::Replaced(description))) => {
                Some(Failure::Failed(description))
            }
            (Some(Failure::Killed), Some(KillReason::GivenUp(description))) => {
                Some(Failure::Hopeless(description))
            }
            (Some(_), Some(KillReason::Definite(description))) => {
                Some(Failure::Definite(description))
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
        // A consumer that panics as planned does not die of its record.
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
        self.note_failure(id, incarnation, &failure, fault);
        if matches!((&failure, id), (Failure::Broker(_), SlotId::Consumer(_))) {
            let effects = self.gate.failed(id, self.context.clock.now(), &mut self.gate_random);
            if effects.contains(&GateEffect::Hold(id)) {
                self.step_after(myself, id, SlotEvent::Held(incarnation), fault).await;
                self.gate_effects(myself, effects).await;
                return;
            }
        }
        let cause = self.cause(id, &failure, injected, in_flight);
        let checkpoint = self.checkpoint(id);
        let event = SlotEvent::Ended { incarnation, cause, checkpoint };
        self.step_after(myself, id, event, fault).await;
    }

    /// The cause for which an incarnation ended while it processed `in_flight`.
    fn cause(
        &mut self,
        id: SlotId,
        failure: &Failure,
        injected: Option<usize>,
        in_flight: Option<InFlight>,
    ) -> Cause {
        match (failure, injected) {
            (Failure::Killed | Failure::Stopped, Some(_)) => Cause::Injected,
            (Failure::Definite(reason), _) => Cause::Definite(reason.clone()),
            (Failure::Hopeless(reason), _) => Cause::Exhausted(reason.clone()),
            (Failure::Failed(reason) | Failure::Poison(reason), _) => match (id, in_flight) {
                (SlotId::Consumer(consumer), Some(record)) => {
                    let death = match failure {
                        Failure::Poison(_) => self.poison.declared(record.partition),
                        _ => self.poison.died(record.partition, record.offset),
                    };
                    self.died_on(consumer, record, death, reason)
                }
                _ if matches!(failure, Failure::Poison(_)) => Cause::Definite(reason.clone()),
                _ => Cause::Failed(reason.clone()),
            },
            (failure, _) => Cause::Failed(failure.to_string()),
        }
    }

    /// A consumer died while it processed a record.
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
            Death::Stop => Cause::Definite(format!(
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

    /// How far a slot has come, as a number that only grows with progress.
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

    /// Applies the effects of the gate. A [`GateEffect::Hold`] is done before, with the end that led to it.
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
                    self.timers.send_at(now + delay, myself, SupervisorMsg::GateTimer(generation));
                }
                GateEffect::Probe(id) => {
                    if let SlotId::Consumer(consumer) = id {
                        self.context.note(Event::GateProbe { consumer });
                    }
                    self.step(myself, id, SlotEvent::Resume).await;
                }
                GateEffect::Release(id, delay) => {
                    self.timers.send_at(now + delay, myself, SupervisorMsg::Resume(id));
                }
            }
        }
    }
}
