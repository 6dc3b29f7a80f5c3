//! Looking after consumers that say nothing, and after threads that do not end.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::ActorRef;

use super::children::{Child, ChildRef, Doom, SlotId};
use super::{SupervisorMsg, SupervisorState};
use crate::actors::consumer::ConsumerMsg;
use crate::base::{ConsumerId, Offset, Time};
use crate::logic::{Diagnosis, Remedy, Signs, SlotState};
use crate::measure::{Event, Owner};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// An answer of the offset oracle older than this says nothing about now.
const END_IS_FRESH: Duration = Duration::from_secs(5);

/// What a consumer has to read.
#[derive(Clone, Copy, Default)]
struct Share {
    /// Whether records are known to wait for it.
    waited_for: bool,
    /// Its checkpoint; of a member, all of them together.
    checkpoint: Offset,
}

impl SupervisorState {
    /// Looks at every consumer, and again a little later.
    pub(super) fn look(&mut self, myself: &ActorRef<SupervisorMsg>) {
        let now = self.context.clock.now();
        for owner in self.reaper.look(now) {
            let Owner { consumer, incarnation } = owner;
            self.context.note(Event::ThreadAbandoned { consumer, incarnation });
        }
        let shares = self.shares(now);
        for id in self.slots(SlotId::is_consumer) {
            if let SlotId::Consumer(consumer) = id
                && matches!(
                    self.children[&id].slot.state(),
                    SlotState::Starting | SlotState::Running
                )
            {
                let share = shares.get(&consumer).copied().unwrap_or_default();
                self.look_at(consumer, share, now);
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

    fn look_at(&mut self, consumer: ConsumerId, share: Share, now: Time) {
        let id = SlotId::Consumer(consumer);
        let signs = self.signs(consumer, share);
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

    /// What each consumer has, in one pass. A member is looked at as a whole: partitions that come or go count as
    /// progress, and while it waits for its group it has none.
    fn shares(&self, now: Time) -> BTreeMap<ConsumerId, Share> {
        let is_group = self.context.plan.group().is_some();
        let mut shares: BTreeMap<ConsumerId, Share> = BTreeMap::new();
        for (id, cell) in (0..).zip(&self.context.board.cells) {
            let cell = cell.lock();
            let consumer = match cell.owners().last().filter(|last| last.to.is_none()) {
                _ if !is_group => ConsumerId(id),
                Some(last) => last.owner.consumer,
                None => continue,
            };
            let share = shares.entry(consumer).or_default();
            let is_fresh = cell.lag.asked.is_some_and(|asked| now < asked + END_IS_FRESH);
            share.waited_for |=
                is_fresh && cell.lag.end.is_some_and(|end| end > cell.next_offset());
            share.checkpoint.0 += cell.next_offset().0;
        }
        shares
    }

    fn signs(&self, consumer: ConsumerId, share: Share) -> Signs {
        let board = &self.context.board;
        let Child { pulse, .. } = &self.children[&SlotId::Consumer(consumer)];
        let Share { waited_for, checkpoint } = share;
        let trouble = board.trouble.load(Ordering::Relaxed);
        Signs {
            beat: pulse.last_beat(),
            in_flight: pulse.in_flight(),
            checkpoint,
            waited_for,
            trouble: (trouble > 0).then_some(Time(trouble)),
        }
    }
}
