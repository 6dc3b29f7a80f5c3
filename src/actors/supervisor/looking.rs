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
/// In simulation there are no looks that cannot find anything, but for one after so long: what was seen last is as old.
const LOOK_MAX: Duration = Duration::from_secs(1);
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
        let mut due = Time::NEVER;
        for id in self.slots(SlotId::is_consumer) {
            if let SlotId::Consumer(consumer) = id
                && matches!(
                    self.children[&id].slot.state(),
                    SlotState::Starting | SlotState::Running
                )
            {
                let share = shares.get(&consumer).copied().unwrap_or_default();
                due = due.min(self.look_at(consumer, share, now));
            }
        }
        self.look_again(myself, due);
    }

    /// Has [`SupervisorState::look`] called again; something may be found at `due`.
    pub(super) fn look_again(&mut self, myself: &ActorRef<SupervisorMsg>, due: Time) {
        let (now, watch) = (self.context.clock.now(), &self.context.plan.watch);
        let wait = match self.context.hosting.is_kernel() {
            false => LOOK,
            // At times at which there would be looks in real time, too.
            true => {
                let longest = LOOK_MAX.min(watch.poll).min(watch.fetch).min(watch.close);
                let steps = |wait: Duration| wait.as_nanos().div_ceil(LOOK.as_nanos()) as u32;
                let due = due.min(now + LOOK_MAX).remaining(now);
                LOOK * steps(due).clamp(1, steps(longest).max(1))
            }
        };
        self.timers.send_at(now + wait, myself, SupervisorMsg::Look);
    }

    /// Looks at a consumer; returns when there may be something to be seen next.
    fn look_at(&mut self, consumer: ConsumerId, share: Share, now: Time) -> Time {
        let id = SlotId::Consumer(consumer);
        let signs = self.signs(consumer, share);
        let Some(child) = self.children.get_mut(&id) else {
            return Time::NEVER;
        };
        let (diagnosis, remedy) = child.watchdog.look(&signs, now);
        let due = child.watchdog.due(&signs);
        if let (Some(remedy), Some(said)) = (remedy, diagnosis.describe(now)) {
            self.apply(consumer, diagnosis, remedy, said);
        }
        due
    }

    /// Does what is to be done about a consumer that stands still.
    fn apply(&mut self, consumer: ConsumerId, diagnosis: Diagnosis, remedy: Remedy, said: String) {
        let no_more_threads = self.reaper.abandoned() >= self.context.plan.watch.abandoned_max;
        let Some(child) = self.children.get_mut(&SlotId::Consumer(consumer)) else { return };
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
            // What is started next needs another thread than the one that hangs.
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
        for (id, cell) in (0..).zip(&self.context.measurements.cells) {
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
        let measurements = &self.context.measurements;
        let Child { heartbeat, .. } = &self.children[&SlotId::Consumer(consumer)];
        let Share { waited_for, checkpoint } = share;
        let trouble = measurements.trouble.load(Ordering::Relaxed);
        Signs {
            beat: heartbeat.last_beat(),
            in_flight: heartbeat.in_flight(),
            checkpoint,
            waited_for,
            trouble: (trouble > 0).then_some(Time(trouble)),
        }
    }
}
