//! What is wrong with a broker's links to clients.

use std::time::Duration;

use super::network::Network;
use crate::broker::protocol::BrokerId;

/// TCP's least retransmission time-out on Linux, and the most it grows to here.
const RETRANSMITTED_AFTER_NS: i64 = 200_000_000;
const RETRANSMITTED_AFTER_MAX_NS: i64 = 120_000_000_000;

/// What is wrong with the links of a broker.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkFault {
    /// Whether anything is.
    pub(super) is_there: bool,
    delay: Duration,
    loss: f64,
    duplicate: f64,
    answer_delay: Duration,
    /// Nothing passes; it waits.
    pub(super) is_blocked: bool,
}

impl LinkFault {
    /// Messages take `delay` longer in each direction, a share `loss` of them is lost on the way, and a share
    /// `duplicate` of the batches arrives twice.
    pub(super) fn set(&mut self, delay: Duration, loss: f64, duplicate: f64) {
        (self.delay, self.loss, self.duplicate) = (delay, loss, duplicate);
        self.look();
    }

    /// Answers take so much longer.
    pub(super) fn set_answer_delay(&mut self, by: Duration) {
        self.answer_delay = by;
        self.look();
    }

    /// Whether messages pass.
    pub(super) fn block(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
        self.look();
    }

    pub(super) fn answer_delay_ns(&self) -> i64 {
        self.answer_delay.as_nanos() as i64
    }

    fn look(&mut self) {
        self.is_there = self.is_blocked
            || self.loss > 0.0
            || self.duplicate > 0.0
            || !self.delay.is_zero()
            || !self.answer_delay.is_zero();
    }
}

impl Network {
    /// Something about the links has changed.
    pub(super) fn look(&mut self) {
        self.has_trouble = self.trouble.iter().any(|trouble| trouble.is_there);
    }

    /// What a message to or from `broker` takes longer. TCP sends again what is lost, later each time, and keeps
    /// everything behind it waiting.
    pub(super) fn mishap(&mut self, broker: BrokerId) -> i64 {
        let LinkFault { delay, loss, .. } = self.trouble[broker as usize];
        let mut longer = delay.as_nanos() as i64;
        let mut wait = RETRANSMITTED_AFTER_NS;
        while loss > 0.0 && wait < RETRANSMITTED_AFTER_MAX_NS && self.mishaps.unit() < loss {
            longer += wait;
            wait *= 2;
        }
        longer
    }

    /// Whether a batch to `broker` arrives twice.
    pub(super) fn repeats(&mut self, broker: BrokerId) -> bool {
        let LinkFault { duplicate, .. } = self.trouble[broker as usize];
        duplicate > 0.0 && self.mishaps.unit() < duplicate
    }
}
