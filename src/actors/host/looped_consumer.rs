//! A consumer's host that shares a thread with others. An effort or fault that would block a thread of its own is a
//! time here, before which the host gets no turn.

use std::time::Duration;

use super::consumer_host::{ConsumerHost, HostTurn};
use crate::actors::lease::HostReport;
use crate::base::{ConsumerId, Time};
use crate::broker::calls::RuledConsumer;
use crate::broker::{BrokerError, ConsumerPort};
use crate::logic::Effort;

/// Longest time without a turn. A turn of each of a thousand idle consumers costs as much as a thousand records.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// The same in a run with faults, because a hang begins with a turn.
const IDLE_WITH_FAULTS_MAX: Duration = Duration::from_millis(200);
/// Turns within the watchdog's limit (`watchdog.poll`), at the least. The watchdog sees from them that a host does not
/// hang.
const TURNS_WATCHED: u32 = 6;
/// Time between two checks whether the run is over, of a consumer that a fault blocks.
const LOOK_AT_END: Duration = Duration::from_millis(10);

/// A consumer's host with its client, as one of the hosts of a shared thread.
pub(in crate::actors) struct LoopedConsumer {
    host: ConsumerHost,
    client: RuledConsumer<Box<dyn ConsumerPort>>,
    ticket: u64,
    /// Longest time without a turn.
    idle: Duration,
    /// End of the work on the current record.
    busy_until: Option<Time>,
    /// The consumer for which the host hangs, and the end of the hang.
    hangs: Option<(ConsumerId, Time)>,
    /// Start of the close, and the time until which a fault delays it.
    closing: Option<(Time, Time)>,
}

impl LoopedConsumer {
    /// A host with a client whose polls never wait. `ticket` identifies it in requests.
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

    /// The number that identifies the host in requests.
    pub(in crate::actors) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Runs a turn. Returns the time of the next turn if nothing happens before; `None` if only [`close`](Self::close)
    /// is left.
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

    /// Time of the next check, if a record keeps the host busy.
    fn busy(&mut self, now: Time) -> Option<Time> {
        let until = self.busy_until?;
        let is_stalled = self.host.is_stalled();
        let next = if is_stalled { self.blocked_until(until, now) } else { Some(until) };
        if next.is_some_and(|next| next > now) {
            return next;
        }
        self.busy_until = None;
        if is_stalled && let Some(consumer) = self.host.consumer() {
            // The stall is over: a later failure has another cause.
            self.host.context().active_faults.take_cause(consumer);
        }
        None
    }

    /// Time of the next check, if the host hangs.
    fn hanging(&mut self, now: Time) -> Option<Time> {
        self.hangs = self.host.hangs_until().or(self.hangs);
        let (consumer, until) = self.hangs?;
        let next = self.blocked_until(until, now);
        if next.is_none() {
            self.hangs = None;
            // The hang is over: a later failure has another cause.
            self.host.context().active_faults.take_cause(consumer);
        }
        next
    }

    /// Time of the next check of a fault that blocks until `until`; `None` if the fault or the run is over.
    fn blocked_until(&self, until: Time, now: Time) -> Option<Time> {
        let is_over = until <= now || self.host.context().active_faults.is_over();
        (!is_over).then(|| until.min(now + LOOK_AT_END))
    }

    /// Closes the client, and reports that.
    pub(in crate::actors) fn close(self, now: Time, limit: Duration) {
        let since = self.closing.map_or(now, |(since, _)| since);
        let channel = self.host.channel();
        Box::new(self.client).close(limit);
        let now = self.host.context().clock.now();
        self.host.closed(now, now.since_ns(since));
        channel.iter().for_each(|channel| channel.report(HostReport::Closed));
    }

    /// Reports a panic outside the work on a record. The host is not used after that.
    pub(in crate::actors) fn panicked(self) {
        let Some(channel) = self.host.channel() else { return };
        channel.report(HostReport::Failed(BrokerError::fatal("panic in the client's thread")));
        channel.report(HostReport::Closed);
    }
}
