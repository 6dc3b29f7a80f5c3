//! Faults of the links between a broker and its clients.

use std::time::Duration;

use super::network::Network;
use crate::broker::protocol::BrokerId;

/// TCP's least retransmission time-out on Linux, and the most it grows to here.
const RETRANSMITTED_AFTER_NS: i64 = 200_000_000;
const RETRANSMITTED_AFTER_MAX_NS: i64 = 120_000_000_000;

/// The active faults of the links of a broker.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkFault {
    /// Whether a fault is active.
    pub(super) is_active: bool,
    delay: Duration,
    loss: f64,
    duplicate: f64,
    answer_delay: Duration,
    /// Messages are blocked until the link is healed.
    pub(super) is_blocked: bool,
}

impl LinkFault {
    /// Messages take `delay` longer in each direction, a share `loss` of them is lost on the way, and a share
    /// `duplicate` of the batches arrives twice.
    pub(super) fn set(&mut self, delay: Duration, loss: f64, duplicate: f64) {
        (self.delay, self.loss, self.duplicate) = (delay, loss, duplicate);
        self.refresh();
    }

    /// Responses take this much longer.
    pub(super) fn set_answer_delay(&mut self, by: Duration) {
        self.answer_delay = by;
        self.refresh();
    }

    /// Whether messages pass.
    pub(super) fn block(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
        self.refresh();
    }

    pub(super) fn answer_delay_ns(&self) -> i64 {
        self.answer_delay.as_nanos() as i64
    }

    fn refresh(&mut self) {
        self.is_active = self.is_blocked
            || self.loss > 0.0
            || self.duplicate > 0.0
            || !self.delay.is_zero()
            || !self.answer_delay.is_zero();
    }
}

impl Network {
    /// Something about the links has changed.
    pub(super) fn refresh(&mut self) {
        self.has_link_fault = self.link_faults.iter().any(|link_faults| link_faults.is_active);
    }

    /// The extra latency of a message to or from `broker`, in nanoseconds. TCP sends again what is lost, later each
    /// time, and keeps everything behind it waiting.
    pub(super) fn extra_latency_ns(&mut self, broker: BrokerId) -> i64 {
        let LinkFault { delay, loss, .. } = self.link_faults[broker as usize];
        let mut extra_ns = delay.as_nanos() as i64;
        let mut wait = RETRANSMITTED_AFTER_NS;
        while loss > 0.0 && wait < RETRANSMITTED_AFTER_MAX_NS && self.fault_random.unit() < loss {
            extra_ns += wait;
            wait *= 2;
        }
        extra_ns
    }

    /// Whether a batch to `broker` arrives twice.
    pub(super) fn duplicates(&mut self, broker: BrokerId) -> bool {
        let LinkFault { duplicate, .. } = self.link_faults[broker as usize];
        duplicate > 0.0 && self.fault_random.unit() < duplicate
    }
}
