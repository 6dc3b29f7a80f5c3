//! The timer service: messages at a time, instead of sleeping actors.

use ractor::{ActorRef, Message};

use crate::base::{Clock, Time};

/// Sends messages at given times. Backed by tokio's timer, so good to about a millisecond: enough for control,
/// too coarse for pacing, which the hosts do themselves.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    clock: Clock,
}

impl Timers {
    /// Timers on the run's clock.
    pub fn new(clock: Clock) -> Timers {
        Timers { clock }
    }

    /// Sends `message` to `actor` at `at`, or at once if that has passed. There is no cancelling: receivers
    /// compare generations and ignore what is stale.
    pub fn send_at<M: Message>(&self, at: Time, actor: &ActorRef<M>, message: M) {
        let delay = at.remaining(self.clock.now());
        let actor = actor.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // The receiver may be gone by now, and then nobody needs the message.
            let _ = actor.cast(message);
        });
    }
}
