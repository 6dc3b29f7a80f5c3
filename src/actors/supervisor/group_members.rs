//! Group members that join and leave during the run.

use ractor::ActorRef;

use super::children::SlotId;
use super::{SupervisorMsg, SupervisorState};
use crate::base::ConsumerId;
use crate::fault::FaultEffect;
use crate::logic::SlotEvent;

impl SupervisorState {
    /// Starts the members that fault number `number` adds, if that is what it does.
    pub(super) async fn join(&mut self, myself: &ActorRef<SupervisorMsg>, number: usize) {
        if self.load_is_over {
            return;
        }
        for consumer in self.group_members(number) {
            self.add(myself, SlotId::Consumer(consumer), None).await;
        }
    }

    /// Stops the members that fault number `number` has added.
    pub(super) async fn leave(&mut self, myself: &ActorRef<SupervisorMsg>, number: usize) {
        for consumer in self.group_members(number) {
            self.step(myself, SlotId::Consumer(consumer), SlotEvent::Stop).await;
        }
    }

    /// Notes that a member that was to join and stay has its place: its fault is over.
    pub(super) fn joined(&mut self, id: SlotId) {
        let SlotId::Consumer(consumer) = id else { return };
        let number = self.context.plan.faults.iter().position(|fault| {
            let is_to_stay = fault.kind.effect == FaultEffect::Join && fault.lasts.is_none();
            is_to_stay && fault.targets.consumers().contains(&consumer)
        });
        let Some(number) = number else { return };
        let now = self.context.clock.now();
        self.context.measurements.fault(number, |times| times.healed = Some(now));
        for cell in &self.context.measurements.cells {
            let mut cell = cell.lock();
            let its = cell.recoveries.iter_mut().filter(|mark| mark.fault == Some(number));
            its.for_each(|mark| mark.healed = Some(now));
        }
        self.poll_end_offsets_now();
    }

    fn group_members(&self, number: usize) -> Vec<ConsumerId> {
        let fault = self.context.plan.faults.get(number);
        let fault = fault.filter(|fault| fault.kind.effect == FaultEffect::Join);
        fault.map_or_else(Vec::new, |fault| fault.targets.consumers().to_vec())
    }
}
