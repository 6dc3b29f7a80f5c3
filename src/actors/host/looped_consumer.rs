//! A consumer's host that shares a thread with others: what would block a thread of its own is a time here, before which it
//! gets no turn.

use std::time::Duration;

use super::consumer_host::{ConsumerHost, HostTurn};
use crate::actors::lease::HostReport;
use crate::base::{ConsumerId, Time};
use crate::broker::calls::RuledConsumer;
use crate::broker::{BrokerError, ConsumerPort};
use crate::logic::Effort;

/// Longest time without a turn. A turn of a thousand idle consumers costs as much as a thousand records.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// The same in a run with faults: a hang begins with a turn.
const IDLE_WITH_FAULTS_MAX: Duration = Duration::from_millis(200);
/// That many turns at least for the watchdog, which sees by them that a host is not hanging.
const TURNS_WATCHED: u32 = 6;
/// Between two looks of a consumer that a fault blocks at whether the run is over.
const LOOK_AT_END: Duration = Duration::from_millis(10);

/// A consumer's host with its client.
pub(in crate::actors) struct LoopedConsumer {
    host: ConsumerHost,
    client: RuledConsumer<Box<dyn ConsumerPort>>,
    ticket: u64,
    /// Longest time without a turn.
    idle: Duration,
    /// Until when it is busy with a record.
    busy_until: Option<Time>,
    /// The consumer it hangs for, and until when.
    hangs: Option<(ConsumerId, Time)>,
    /// Since when it closes, and until when a fault delays that.
    closing: Option<(Time, Time)>,
}

impl LoopedConsumer {
    /// The host with a client whose polls never wait. Requests name it by `ticket`.
    pub(in crate::actors) fn new(
        host: ConsumerHost,
        client: Box<dyn ConsumerPort>,
        ticket: u64,
    ) -> LoopedConsumer {
        let active_faults = host.context().active_faults.clone();
        let client = RuledConsumer::new(client, None, active_faults);
        let plan = &host.context().plan;
        let idle_max = if plan.faults.is_empty() { IDLE_MAX } else { IDLE_WITH_FAULTS_MAX };
        let idle = (plan.watch.poll / TURNS_WATCHED).min(idle_max);
        LoopedConsumer { host, client, ticket, idle, busy_until: None, hangs: None, closing: None }
    }

    /// By what requests name it.
    pub(in crate::actors) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// A turn. Returns when it wants the next one even if nothing comes; none when only
    /// [closing](Self::close) it is left.
    pub(in crate::actors) fn turn(&mut self, now: Time) -> Option<Time> {
        if let Some((_, until)) = self.closing {
            return self.blocked_until(until, now);
        }
        if let Some(at) = self.busy(now).or_else(|| self.hanging(now)) {
            return Some(at);
        }
        if self.host.turn(now, now, &mut self.client, Duration::ZERO) == HostTurn::Over {
            self.host.close_dispatcher();
            let delay = self.host.closes_late().unwrap_or_default();
            self.closing = Some((now, now + delay));
            return self.blocked_until(now + delay, now);
        }
        if let Some(Effort::Wait(span) | Effort::Cpu(span)) = self.host.effort() {
            let until = self.host.context().clock.now() + span;
            self.busy_until = Some(until);
            return self.busy(now);
        }
        if self.client.has_events() {
            return Some(now);
        }
        Some(self.host.next_wake().min(self.client.next_due()).min(now + self.idle))
    }

    /// When it is to be looked at again, if a record keeps it busy.
    fn busy(&mut self, now: Time) -> Option<Time> {
        let until = self.busy_until?;
        let is_stalled = self.host.is_stalled();
        let next = if is_stalled { self.blocked_until(until, now) } else { Some(until) };
        if next.is_some_and(|next| next > now) {
            return next;
        }
        self.busy_until = None;
        if is_stalled && let Some(consumer) = self.host.consumer() {
            // The stall has ended: a later failure has another cause.
            self.host.context().active_faults.take_cause(consumer);
        }
        None
    }

    /// When it is to be looked at again, if it hangs.
    fn hanging(&mut self, now: Time) -> Option<Time> {
        self.hangs = self.host.hangs_until().or(self.hangs);
        let (consumer, until) = self.hangs?;
        let next = self.blocked_until(until, now);
        if next.is_none() {
            self.hangs = None;
            // A later failure has another cause.
            self.host.context().active_faults.take_cause(consumer);
        }
        next
    }

    /// When to look again at a fault that blocks until then: one that is over when the run is.
    fn blocked_until(&self, until: Time, now: Time) -> Option<Time> {
        let is_over = until <= now || self.host.context().active_faults.is_over();
        (!is_over).then(|| until.min(now + LOOK_AT_END))
    }

    /// Closes the client and says so.
    pub(in crate::actors) fn close(self, now: Time, limit: Duration) {
        let since = self.closing.map_or(now, |(since, _)| since);
        let channel = self.host.channel();
        Box::new(self.client).close(limit);
        let now = self.host.context().clock.now();
        self.host.closed(now, now.since_ns(since));
        channel.iter().for_each(|channel| channel.report(HostReport::Closed));
    }

    /// Says that it has panicked, outside the work on a record; nothing else is done with it.
    pub(in crate::actors) fn panicked(self) {
        let Some(channel) = self.host.channel() else { return };
        channel.report(HostReport::Failed(BrokerError::fatal("panic in the client's thread")));
        channel.report(HostReport::Closed);
    }
}
