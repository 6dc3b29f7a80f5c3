//! The supervision of one slot: a consumer on its fixed partition, a group member, or a pool. A slot has a state
//! ([`SlotState`]). An event ([`SlotEvent`]) changes the state, and returns actions for the supervisor ([`Action`]).
//!
//! [`Slot::step`] is a pure function of the slot, an event, the time and a random stream. Slots are independent, so the
//! failures of one partition are not charged to the budget of another.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::{Incarnation, Offset, Random, Time};
use crate::plan::RestartPolicy;

/// The state of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// An incarnation was started and is not ready yet.
    Starting,
    /// The incarnation is ready.
    Running,
    /// The last incarnation failed. The next one starts when the timer of this generation fires.
    BackingOff {
        /// Timers of older generations are ignored.
        generation: u64,
    },
    /// The slot is not started again: it failed too often without progress, or a restart cannot help.
    GivenUp,
    /// The incarnation was asked to stop.
    Stopping,
    /// The incarnation has stopped, as asked.
    Stopped,
}

/// The cause of an exit that was not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A scheduled fault; not charged to the budget.
    Injected,
    /// A poison record that is skipped from now on; not charged to the budget.
    Skipped,
    /// A static member's instance id is not released yet; not charged to the budget.
    Unreleased,
    /// A failure or a panic.
    Failed(String),
    /// All remedies were tried, more than once.
    Exhausted(String),
    /// A failure that no restart can cure: data loss, truncation, no permission.
    Permanent(String),
}

/// An event of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// The incarnation is ready.
    Ready(Incarnation),
    /// The incarnation ended.
    Ended {
        /// The incarnation that ended.
        incarnation: Incarnation,
        /// The cause of its end.
        cause: Cause,
        /// The slot's checkpoint now; for groups and pools, a count that only grows.
        checkpoint: Offset,
    },
    /// The incarnation ended together with many others, and is held back. The failure is not its own, and no timer
    /// runs. [`SlotEvent::Resume`] starts the next incarnation.
    Held(Incarnation),
    /// Failures since `since` were not the slot's own, and are not charged any more. A slot that waits for its restart
    /// is held back.
    Forgive {
        /// Failures from this time on are forgotten.
        since: Time,
    },
    /// The slot is not held back any more.
    Resume,
    /// A timer of this generation fired.
    Timer(u64),
    /// Stop, without a restart.
    Stop,
    /// The incarnation has stopped, as asked.
    Stopped(Incarnation),
}

/// An action for the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fence all incarnations before this one.
    Fence(Incarnation),
    /// Start this incarnation, from the checkpoint.
    Start(Incarnation),
    /// Send [`SlotEvent::Timer`] after the delay.
    SetTimer {
        /// The generation in the event.
        generation: u64,
        /// Delay from now.
        delay: Duration,
    },
    /// Ask the incarnation to stop.
    Stop(Incarnation),
    /// Report that the slot is given up.
    GiveUp {
        /// The reason, for the report.
        reason: String,
    },
}

/// One supervised slot.
#[derive(Clone, Debug)]
pub struct Slot {
    state: SlotState,
    incarnation: Incarnation,
    policy: RestartPolicy,
    /// Restarts since the delay was last reset.
    restarts_in_row: u32,
    /// Times of failures without progress, within the budget's window.
    failures: VecDeque<Time>,
    /// Checkpoint at the last failure.
    progress: Option<Offset>,
    /// Time at which the current incarnation became ready.
    up_since: Option<Time>,
    generation: u64,
    /// Restarts so far, planned or not.
    restarts: u32,
    /// True if an incarnation was ever ready.
    was_up: bool,
}

impl Slot {
    /// A slot that was never started. [`Slot::start`] starts it.
    pub fn new(policy: RestartPolicy) -> Slot {
        Slot {
            state: SlotState::Stopped,
            incarnation: Incarnation(0),
            policy,
            restarts_in_row: 0,
            failures: VecDeque::new(),
            progress: None,
            up_since: None,
            generation: 0,
            restarts: 0,
            was_up: false,
        }
    }

    /// Starts the slot for the first time.
    pub fn start(&mut self) -> Vec<Action> {
        vec![self.start_next()]
    }

    /// The state.
    pub fn state(&self) -> SlotState {
        self.state
    }

    /// The current incarnation, the one that counts.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Restarts so far.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// True if an incarnation was ever ready.
    pub fn was_up(&self) -> bool {
        self.was_up
    }

    /// True if an incarnation is alive, or may be.
    pub fn is_live(&self) -> bool {
        matches!(self.state, SlotState::Starting | SlotState::Running | SlotState::Stopping)
    }

    /// True if the slot was asked to stop and has not stopped yet.
    pub fn is_stopping(&self) -> bool {
        self.state == SlotState::Stopping
    }

    /// True if the slot has ended for good.
    pub fn is_over(&self) -> bool {
        matches!(self.state, SlotState::Stopped | SlotState::GivenUp)
    }

    /// Takes one event.
    pub fn step(&mut self, event: SlotEvent, now: Time, random: &mut Random) -> Vec<Action> {
        match event {
            SlotEvent::Ready(incarnation) if self.is_current(incarnation) => {
                if self.state == SlotState::Starting {
                    self.state = SlotState::Running;
                    self.up_since = Some(now);
                    self.was_up = true;
                }
                Vec::new()
            }
            SlotEvent::Ended { incarnation, cause, checkpoint } if self.is_current(incarnation) => {
                self.ended(cause, checkpoint, now, random)
            }
            SlotEvent::Timer(generation)
                if self.state == (SlotState::BackingOff { generation }) =>
            {
                self.restarts += 1;
                vec![self.start_next()]
            }
            SlotEvent::Held(incarnation) if self.is_current(incarnation) => self.held(),
            SlotEvent::Forgive { since } => {
                self.forgive(since);
                Vec::new()
            }
            SlotEvent::Resume if matches!(self.state, SlotState::BackingOff { .. }) => {
                self.restarts += 1;
                vec![self.start_next()]
            }
            SlotEvent::Stop => self.stop(),
            SlotEvent::Stopped(incarnation) if self.is_current(incarnation) => {
                self.state = SlotState::Stopped;
                Vec::new()
            }
            // The event is of an older incarnation or an older timer.
            _ => Vec::new(),
        }
    }

    fn is_current(&self, incarnation: Incarnation) -> bool {
        incarnation == self.incarnation && self.is_live()
    }

    fn start_next(&mut self) -> Action {
        self.incarnation = Incarnation(self.incarnation.0 + 1);
        self.state = SlotState::Starting;
        self.up_since = None;
        Action::Start(self.incarnation)
    }

    fn stop(&mut self) -> Vec<Action> {
        match self.state {
            SlotState::Starting | SlotState::Running => {
                self.state = SlotState::Stopping;
                vec![Action::Stop(self.incarnation)]
            }
            SlotState::BackingOff { .. } => {
                self.state = SlotState::Stopped;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn ended(
        &mut self,
        cause: Cause,
        checkpoint: Offset,
        now: Time,
        random: &mut Random,
    ) -> Vec<Action> {
        let release = Action::Fence(Incarnation(self.incarnation.0 + 1));
        if self.state == SlotState::Stopping {
            self.state = SlotState::Stopped;
            return vec![release];
        }
        self.forget_failures(checkpoint, now);
        match cause {
            Cause::Permanent(reason) => {
                self.state = SlotState::GivenUp;
                return vec![release, Action::GiveUp { reason }];
            }
            Cause::Exhausted(reason) => {
                self.state = SlotState::GivenUp;
                return vec![release, Action::GiveUp { reason }];
            }
            Cause::Failed(reason) => {
                self.failures.push_back(now);
                if self.failures.len() >= self.policy.budget as usize {
                    self.state = SlotState::GivenUp;
                    let reason = format!(
                        "{} failures without progress, the last one: {reason}",
                        self.failures.len()
                    );
                    return vec![release, Action::GiveUp { reason }];
                }
            }
            Cause::Injected | Cause::Skipped | Cause::Unreleased => {}
        }
        vec![release, self.restart(random)]
    }

    fn held(&mut self) -> Vec<Action> {
        let release = Action::Fence(Incarnation(self.incarnation.0 + 1));
        if self.state == SlotState::Stopping {
            self.state = SlotState::Stopped;
        } else {
            self.wait();
        }
        vec![release]
    }

    /// Waits for the next start. Older timers are ignored from now on.
    fn wait(&mut self) -> u64 {
        self.generation += 1;
        self.state = SlotState::BackingOff { generation: self.generation };
        self.generation
    }

    fn forgive(&mut self, since: Time) {
        let charged = self.failures.len();
        self.failures.retain(|at| *at < since);
        let forgiven = (charged - self.failures.len()) as u32;
        self.restarts_in_row = self.restarts_in_row.saturating_sub(forgiven);
        if matches!(self.state, SlotState::BackingOff { .. }) {
            self.wait();
        }
    }

    /// Progress and one stable period reset the delay. Progress alone clears the failures.
    fn forget_failures(&mut self, checkpoint: Offset, now: Time) {
        let progressed = self.progress.is_none_or(|last| checkpoint > last);
        let stable = self.up_since.is_some_and(|since| now >= since + self.policy.stable);
        if progressed && stable {
            self.restarts_in_row = 0;
        }
        if progressed {
            self.failures.clear();
        }
        self.progress = Some(checkpoint);
        while self.failures.front().is_some_and(|at| now >= *at + self.policy.budget_window) {
            self.failures.pop_front();
        }
    }

    fn restart(&mut self, random: &mut Random) -> Action {
        let delay = self.delay(random);
        self.restarts_in_row = self.restarts_in_row.saturating_add(1);
        if delay.is_zero() {
            self.restarts += 1;
            return self.start_next();
        }
        Action::SetTimer { generation: self.wait(), delay }
    }

    /// The delay before the next restart: none for the first one in a row, then growing.
    fn delay(&self, random: &mut Random) -> Duration {
        match self.restarts_in_row.checked_sub(1) {
            None => Duration::ZERO,
            Some(delays) => self.policy.delay(delays, random),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Seed;

    fn ms(ms: i64) -> Time {
        Time(ms * 1_000_000)
    }

    fn slot() -> Slot {
        let mut slot = Slot::new(RestartPolicy::default());
        assert_eq!(slot.start(), [Action::Start(Incarnation(1))]);
        slot
    }

    fn fail(slot: &mut Slot, checkpoint: i64, now: Time, random: &mut Random) -> Vec<Action> {
        let ended = SlotEvent::Ended {
            incarnation: slot.incarnation(),
            cause: Cause::Failed("boom".into()),
            checkpoint: Offset(checkpoint),
        };
        slot.step(ended, now, random)
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long_each() {
        let (mut slot, mut random) = (slot(), Seed(1).random());
        assert_eq!(
            fail(&mut slot, 0, ms(0), &mut random),
            [Action::Fence(Incarnation(2)), Action::Start(Incarnation(2))]
        );
        for (n, base_ms) in [(1i64, 200.0), (2, 400.0), (3, 800.0)] {
            // Progress keeps the budget, the missing stable second keeps the delay growing.
            let actions = fail(&mut slot, n, ms(n), &mut random);
            let Action::SetTimer { generation, delay } = actions[1] else { panic!("{actions:?}") };
            let ratio = delay.as_secs_f64() * 1e3 / base_ms;
            assert!((0.8..=1.2).contains(&ratio), "{ratio}");
            let start = slot.step(SlotEvent::Timer(generation), ms(n), &mut random);
            assert!(matches!(start[..], [Action::Start(_)]));
        }
    }

    #[test]
    fn a_slot_is_given_up_after_failures_without_progress_and_not_after_injected_ones() {
        let (mut slot, mut random) = (slot(), Seed(1).random());
        for cause in [Cause::Injected, Cause::Unreleased].into_iter().cycle().take(20) {
            let incarnation = slot.incarnation();
            let ended = SlotEvent::Ended { incarnation, cause, checkpoint: Offset(5) };
            let actions = slot.step(ended, ms(0), &mut random);
            if let Action::SetTimer { generation, .. } = actions[1] {
                slot.step(SlotEvent::Timer(generation), ms(0), &mut random);
            }
        }
        assert!(slot.is_live());
        for failure in 1..=5 {
            let actions = fail(&mut slot, 5, ms(0), &mut random);
            match actions[1] {
                Action::SetTimer { generation, .. } => {
                    slot.step(SlotEvent::Timer(generation), ms(0), &mut random);
                }
                Action::GiveUp { .. } => assert_eq!(failure, 5),
                ref other => panic!("{other:?}"),
            }
        }
        assert_eq!(slot.state(), SlotState::GivenUp);
    }

    #[test]
    fn a_definite_cause_stalls_at_once() {
        let (mut slot, mut random) = (slot(), Seed(1).random());
        let cause = Cause::Permanent("offset out of range".into());
        let ended = SlotEvent::Ended { incarnation: Incarnation(1), cause, checkpoint: Offset(0) };
        let actions = slot.step(ended, ms(0), &mut random);
        assert!(matches!(actions[..], [Action::Fence(_), Action::GiveUp { .. }]));
        assert_eq!(slot.state(), SlotState::GivenUp);
    }

    #[test]
    fn a_slot_told_to_stop_while_backing_off_stays_dead() {
        let (mut slot, mut random) = (slot(), Seed(1).random());
        fail(&mut slot, 0, ms(0), &mut random);
        let actions = fail(&mut slot, 0, ms(0), &mut random);
        let Action::SetTimer { generation, .. } = actions[1] else { panic!("{actions:?}") };
        assert_eq!(slot.step(SlotEvent::Stop, ms(1), &mut random), []);
        assert_eq!(slot.step(SlotEvent::Timer(generation), ms(300), &mut random), []);
        assert_eq!(slot.state(), SlotState::Stopped);
    }

    #[test]
    fn progress_and_a_stable_second_reset_the_delay() {
        let (mut slot, mut random) = (slot(), Seed(1).random());
        fail(&mut slot, 0, ms(0), &mut random);
        slot.step(SlotEvent::Ready(slot.incarnation()), ms(1), &mut random);
        let actions = fail(&mut slot, 10, ms(2000), &mut random);
        assert!(matches!(actions[1], Action::Start(_)), "{actions:?}");
    }

    fn event() -> impl Strategy<Value = (u8, u32, i64)> {
        (0u8..7, 0u32..4, 0i64..3)
    }

    proptest! {
        #[test]
        fn at_most_one_incarnation_is_live_and_starts_only_go_up(
            events in proptest::collection::vec(event(), 1..200),
            seed in 0u64..1000,
        ) {
            let (mut slot, mut random) = (slot(), Seed(seed).random());
            let (mut started, mut released) = (Incarnation(1), Incarnation(1));
            let (mut now, mut checkpoint, mut was_over) = (Time::ZERO, 0, false);
            for (kind, age, progress) in events {
                now = now + Duration::from_millis(50);
                checkpoint += progress;
                let incarnation = Incarnation(slot.incarnation().0.saturating_sub(age));
                let ended = |cause| SlotEvent::Ended { incarnation, cause, checkpoint: Offset(checkpoint) };
                let event = match kind {
                    0 => SlotEvent::Ready(incarnation),
                    1 => ended(Cause::Injected),
                    2 => ended(Cause::Failed("x".into())),
                    3 => ended(Cause::Permanent("x".into())),
                    4 => SlotEvent::Timer(u64::from(age)),
                    5 => SlotEvent::Stopped(incarnation),
                    _ => SlotEvent::Stop,
                };
                for action in slot.step(event, now, &mut random) {
                    match action {
                        Action::Start(next) => {
                            prop_assert!(!was_over, "started after its end");
                            prop_assert_eq!(next.0, started.0 + 1);
                            prop_assert_eq!(released, next, "the old one was not released first");
                            started = next;
                        }
                        Action::Fence(next) => released = next,
                        Action::SetTimer { delay, .. } => {
                            prop_assert!(delay <= Duration::from_secs(36));
                        }
                        Action::Stop(_) | Action::GiveUp { .. } => {}
                    }
                }
                was_over = slot.is_over();
            }
        }
    }
}
