//! The timer service: messages at a time, instead of sleeping actors.

use std::time::Duration;

use ractor::{ActorRef, Message};
use tokio::sync::oneshot;

use super::Context;
use super::host::Hosting;
use crate::base::{Clock, Time};

/// Sends messages at given times. In real time it is backed by tokio's timer, so good to about a millisecond: enough
/// for control, too coarse for pacing, which the hosts do themselves. In simulation the kernel is exact.
#[derive(Clone, Debug)]
pub struct Timers {
    clock: Clock,
    hosting: Hosting,
}

impl Timers {
    /// Timers on the run's clock.
    pub fn of(context: &Context) -> Timers {
        Timers { clock: context.clock, hosting: context.hosting.clone() }
    }

    /// Sends `message` to `actor` at `at`, or at once if that has passed. There is no cancelling: receivers
    /// compare generations and ignore what is stale.
    pub fn send_at<M: Message>(&self, at: Time, actor: &ActorRef<M>, message: M) {
        let actor = actor.clone();
        // The receiver may be gone by then, and then the message is not needed.
        self.at(at, move || drop(actor.cast(message)));
    }

    /// Lets `span` pass.
    pub async fn sleep(&self, span: Duration) {
        let (over, waits) = oneshot::channel();
        // The waiting side may have gone on for another reason.
        let end = move || {
            let _ = over.send(());
        };
        self.at(self.clock.now() + span, end);
        let _ = waits.await;
    }

    fn at(&self, at: Time, act: impl FnOnce() + Send + 'static) {
        match &self.hosting {
            Hosting::Threads => {
                let delay = at.remaining(self.clock.now());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    act();
                });
            }
            Hosting::Kernel(kernel) => {
                let (mark_actors_busy, mut act) = (kernel.clone(), Some(act));
                kernel.at(
                    at,
                    Box::new(move |_| {
                        mark_actors_busy.mark_actors_busy();
                        act.take()?();
                        None
                    }),
                );
            }
        }
    }
}
