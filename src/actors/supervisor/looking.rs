//! Looking after consumers that say nothing, and after threads that do not end.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::ActorRef;

use super::children::{Child, ChildRef, Doom, SlotId};
use super::{SupervisorMsg, SupervisorState};
use crate::actors::consumer::ConsumerMsg;
use crate::base::{ConsumerId, PartitionId, Time};
use crate::logic::{Diagnosis, Remedy, Signs, SlotState};
use crate::measure::{Event, Owner};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// An answer of the offset oracle older than this says nothing about now.
const END_IS_FRESH: Duration = Duration::from_secs(5);

impl SupervisorState {
    /// Looks at every consumer, and again a little later.
    pub(super) fn look(&mut self, myself: &ActorRef<SupervisorMsg>) {
        let now = self.context.clock.now();
        for owner in self.reaper.look(now) {
            let Owner { consumer, incarnation } = owner;
            self.context.note(Event::ThreadAbandoned { consumer, incarnation });
        }
        for id in self.slots(SlotId::is_consumer) {
            if let SlotId::Consumer(consumer) = id
                && matches!(
                    self.children[&id].slot.state(),
                    SlotState::Starting | SlotState::Running
                )
            {
                self.look_at(consumer, now);
            }
        }
        self.look_again(myself);
    }

    /// Has [`SupervisorState::look`] called after a while. Hosts that are no threads cannot hang.
    pub(super) fn look_again(&mut self, myself: &ActorRef<SupervisorMsg>) {
        if self.context.plan.broker.kind().capability().has_threads {
            let at = self.context.clock.now() + LOOK;
            self.timers.send_at(at, myself, SupervisorMsg::Look);
        }
    }

    fn look_at(&mut self, consumer: ConsumerId, now: Time) {
        let id = SlotId::Consumer(consumer);
        let signs = self.signs(consumer, now);
        let no_more_threads = self.reaper.abandoned() >= self.context.plan.watch.abandoned_max;
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let (diagnosis, remedy) = child.watchdog.look(&signs, now);
        let (Some(remedy), Some(said)) = (remedy, diagnosis.describe(now)) else {
            return;
        };
        let incarnation = child.slot.incarnation();
        let is_poll = matches!(diagnosis, Diagnosis::HungPoll { .. });
        let remedy = match remedy {
            Remedy::Replace if is_poll && no_more_threads => Remedy::GiveUp,
            remedy => remedy,
        };
        let (remedy_said, doom) = match remedy {
            Remedy::Note => ("noted", None),
            Remedy::Reassign => ("assigned again", None),
            Remedy::Replace => ("replaced", Some(Doom::Replaced(said.clone()))),
            Remedy::GiveUp => ("given up", Some(Doom::GivenUp(said.clone()))),
        };
        if let (Some(_), true, Some(shared)) = (&doom, is_poll, &self.shared) {
            // Whoever is started next needs another thread than the one that hangs.
            shared.lock().unwrap_or_else(PoisonError::into_inner).give_up();
        }
        match (doom, &child.actor) {
            (Some(doom), _) => child.condemn(doom),
            (None, Some(ChildRef::Consumer(actor))) if remedy == Remedy::Reassign => {
                let _ = actor.cast(ConsumerMsg::Reassign);
            }
            _ => {}
        }
        let remedy = remedy_said.to_owned();
        self.context.note(Event::ConsumerStuck { consumer, incarnation, diagnosis: said, remedy });
    }

    fn signs(&self, consumer: ConsumerId, now: Time) -> Signs {
        let board = &self.context.board;
        let Child { pulse, .. } = &self.children[&SlotId::Consumer(consumer)];
        // A member's partitions come and go with the group, which has time-outs of its own for what it fetches.
        let waited_for = self.context.plan.group().is_none() && {
            let cell = board.cell(PartitionId(consumer.0)).lock();
            let is_fresh = cell.lag.asked.is_some_and(|asked| now < asked + END_IS_FRESH);
            is_fresh && cell.lag.end.is_some_and(|end| end > cell.next_offset())
        };
        let trouble = board.trouble.load(Ordering::Relaxed);
        Signs {
            beat: pulse.last_beat(),
            in_flight: pulse.in_flight(),
            checkpoint: self.checkpoint(SlotId::Consumer(consumer)),
            waited_for,
            trouble: (trouble > 0).then_some(Time(trouble)),
        }
    }
}
