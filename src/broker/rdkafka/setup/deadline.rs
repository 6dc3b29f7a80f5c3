//! How long something may take, and whether the user still wants it.

use std::time::Duration;

use tokio::sync::watch;

use crate::base::{Clock, Time};

/// A limit of time that several steps share. Cheap to clone; every clone ends at the same moment.
#[derive(Clone, Debug)]
pub struct Deadline {
    clock: Clock,
    began: Time,
    at: Time,
    interrupted: Option<watch::Receiver<bool>>,
}

impl Deadline {
    /// Begins now and is over after `limit`, or as soon as `interrupted` turns true.
    pub fn new(clock: Clock, limit: Duration, interrupted: watch::Receiver<bool>) -> Deadline {
        Deadline { interrupted: Some(interrupted), ..Deadline::of(clock, limit) }
    }

    /// The same for a step that an interruption does not end.
    pub fn of(clock: Clock, limit: Duration) -> Deadline {
        let began = clock.now();
        Deadline { clock, began, at: began + limit, interrupted: None }
    }

    /// The same, over after `limit` from now on at the latest.
    pub(super) fn cut(&self, limit: Duration) -> Deadline {
        let at = self.at.min(self.clock.now() + limit);
        Deadline { at, ..self.clone() }
    }

    /// Time left, zero when it is over.
    pub fn left(&self) -> Duration {
        match self.is_interrupted() {
            true => Duration::ZERO,
            false => self.at.remaining(self.clock.now()),
        }
    }

    /// Time that has passed since it began.
    pub fn passed(&self) -> Duration {
        self.clock.now().remaining(self.began)
    }

    /// Whether the user has interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.as_ref().is_some_and(|interrupted| *interrupted.borrow())
    }

    /// Whether no time is left.
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Blocks the thread for `pause`, or for what is left if that is less.
    pub(super) fn pause(&self, pause: Duration) {
        std::thread::sleep(pause.min(self.left()));
    }
}
