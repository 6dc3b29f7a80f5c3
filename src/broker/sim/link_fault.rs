//! Faults of the links between a broker and its clients.

use std::time::Duration;

/// The active faults of the links of a broker.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkFault {
    /// Whether a fault is active.
    pub(super) is_active: bool,
    pub(super) delay: Duration,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
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
