//! A consumer port on a native client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::transport::Transport;
use crate::base::{Clock, Offset, PartitionId, RecordView, Time};
use crate::broker::instance_ids::InstanceIdClaim;
use crate::broker::native::NativeConsumer;
use crate::broker::{BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, Flow};

/// A consumer's client.
pub(super) struct TcpConsumer {
    transport: Transport<NativeConsumer>,
    member: Option<TcpMember>,
    clock: Clock,
}

/// The group membership of a client, as far as the client does not handle it.
pub(super) struct TcpMember {
    /// Set when the member has crashed: it then sends no leave request.
    crashed: Arc<AtomicBool>,
    /// The instance id that it holds, if only one client may.
    claim: Option<InstanceIdClaim>,
    /// True if it has not joined its group.
    is_outside: bool,
}

impl TcpMember {
    /// A member that has not joined yet.
    pub(super) fn new(crashed: Arc<AtomicBool>, claim: Option<InstanceIdClaim>) -> TcpMember {
        TcpMember { crashed, claim, is_outside: true }
    }

    /// True if it has joined its group, or may join it. Waits at most `wait` for its instance id.
    fn enter(&mut self, wait: Duration) -> bool {
        if self.is_outside {
            self.is_outside = self.claim.as_ref().is_some_and(|claim| !claim.take(wait));
        }
        !self.is_outside
    }

    /// True if it leaves its group when it is closed. An instance id that only one client may hold is given up in any
    /// case, because no other client would get it.
    fn leaves(&self) -> bool {
        !self.is_outside && (self.claim.is_some() || !self.crashed.load(Ordering::Acquire))
    }
}

impl TcpConsumer {
    /// The client of `transport`.
    pub(super) fn new(
        transport: Transport<NativeConsumer>,
        member: Option<TcpMember>,
        clock: Clock,
    ) -> TcpConsumer {
        TcpConsumer { transport, member, clock }
    }

    /// True if the client may work. Waits for that at most `wait`.
    fn enter(&mut self, wait: Duration) -> bool {
        self.member.as_mut().is_none_or(|member| member.enter(wait))
    }
}

impl ConsumerPort for TcpConsumer {
    fn submit(&mut self, now: Time, command: ConsumerCommand) -> Result<(), BrokerError> {
        self.transport.client(0).submit(now, command)?;
        if self.enter(Duration::ZERO) {
            self.transport.send_due(now);
        }
        Ok(())
    }

    fn poll(&mut self, now: Time, wait: Duration, events: &mut dyn ConsumerEvents) -> Time {
        if !self.enter(wait) {
            return self.clock.now();
        }
        let has_events = self.transport.client(0).has_events();
        let now = self.transport.turn(now, if has_events { Duration::ZERO } else { wait });
        let mut events = Timed::new(events, self.clock);
        self.transport.client(0).poll(now, Duration::ZERO, &mut events);
        // The next fetch is sent first, so that the broker works meanwhile.
        let now = self.clock.now();
        self.transport.send_due(now);
        now
    }

    fn ends_reached(&mut self) -> BTreeMap<PartitionId, Offset> {
        self.transport.client(0).ends_reached()
    }

    fn close(mut self: Box<Self>, limit: Duration) -> bool {
        if !self.member.as_ref().is_some_and(TcpMember::leaves) {
            return true;
        }
        let mut now = self.clock.now();
        let deadline = now + limit;
        self.transport.client(0).leave(now);
        while !self.transport.client(0).has_left() {
            if now >= deadline {
                return false;
            }
            now = self.transport.turn(now, deadline.remaining(now));
        }
        true
    }
}

/// Passes the current time with the first record, and with each [`LOOK_EVERY`]th one after it.
pub(super) struct Timed<'a> {
    events: &'a mut dyn ConsumerEvents,
    clock: Clock,
    /// Records until the clock is read again.
    left: u32,
}

/// Records between two readings of the clock. Records without work take about 100 ns each, so the time of one is less
/// than 1 us too early. After a record with work the host knows the time.
const LOOK_EVERY: u32 = 8;

impl<'a> Timed<'a> {
    /// Passes records on to `events`.
    pub(super) fn new(events: &'a mut dyn ConsumerEvents, clock: Clock) -> Timed<'a> {
        Timed { events, clock, left: 0 }
    }
}

impl ConsumerEvents for Timed<'_> {
    fn record(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        record: &RecordView<'_>,
        arrived: Time,
    ) -> Flow {
        if self.left == 0 {
            self.events.present(self.clock.now());
            self.left = LOOK_EVERY;
        }
        self.left -= 1;
        self.events.record(partition, offset, record, arrived)
    }

    fn present(&mut self, now: Time) {
        self.events.present(now);
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        self.events.end_of_partition(partition);
    }

    fn assigned(&mut self, now: Time, partitions: &[PartitionId]) {
        self.events.assigned(now, partitions);
    }

    fn revoked(&mut self, now: Time, partitions: &[PartitionId]) {
        self.events.revoked(now, partitions);
    }

    fn error(&mut self, now: Time, error: BrokerError) {
        self.events.error(now, error);
    }
}
