//! Changes of a topic: consumers for new partitions, and consumers whose partition is deleted.

use ractor::ActorRef;

use super::children::{KillReason, SlotId};
use super::{SupervisorMsg, SupervisorState};
use crate::base::ConsumerId;

impl SupervisorState {
    /// Gives each partition that has none a consumer, from its first record on. A group deals them out itself.
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

    /// Stalls every consumer whose partition is deleted: the first `left` are still there.
    pub(super) fn stall_deleted_partitions(&mut self, left: u32) {
        let is_group = self.context.plan.group().is_some();
        let reason = match left {
            0 => "the topic is gone".to_owned(),
            left => format!("the topic has only {left} partitions left"),
        };
        for (id, child) in &mut self.children {
            match id {
                // A group deals out what is left.
                SlotId::Consumer(_) if is_group && left > 0 => {}
                SlotId::Consumer(ConsumerId(id)) if is_group || *id >= left => {
                    child.kill_for(KillReason::Definite(reason.clone()));
                }
                SlotId::Consumer(_) | SlotId::Pool(_) => {}
            }
        }
    }
}
