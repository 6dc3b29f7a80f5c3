//! The watchdogs: checks of consumers that make no progress, and of threads that do not end.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::ActorRef;

use super::state::{Child, ChildRef, KillReason, SupervisorState};
use crate::actors::messages::{ConsumerMsg, SlotId, SupervisorMsg};
use crate::base::{ConsumerId, Offset, Time};
use crate::logic::{Diagnosis, Remedy, SlotState, WatchdogInput};
use crate::measure::{Event, Owner};

/// Time between two checks of the watchdogs.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Time after which a check is made at the latest, in a runtime that leaves out checks that cannot find anything. No
/// check compares with an older one.
const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// An end offset that was entered longer ago than this is not used.
const END_IS_FRESH: Duration = Duration::from_secs(5);

/// The backlog of a consumer, and its position.
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
        let last_error = measurements.last_error.load(Ordering::Relaxed);
        WatchdogInput {
            beat: heartbeat.last_beat(),
            in_flight: heartbeat.in_flight(),
            checkpoint,
            is_waited_for,
            last_error: (last_error > 0).then_some(Time(last_error)),
        }
    }
}
