//! The processes of a simulation: the same hosts, which get their turns from events of the kernel instead of threads.
//! Also a rogue consumer, a second process that reads the same partition.

use std::time::Duration;

use super::consumer_host::{ConsumerHost, HostTurn};
use super::horizon::Horizon;
use super::producer_host::{BLOCKED_WAIT, Blocked, PoolHost, PoolTurn};
use crate::actors::lease::{HostReport, PoolReport};
use crate::actors::runtime::Context;
use crate::base::{ConsumerId, Offset, PartitionId, RecordView, Time};
use crate::broker::calls::RuledConsumer;
use crate::broker::native::{NativeConsumer, NativeProducer};
use crate::broker::protocol::Client;
use crate::broker::sim::{NextTurn, SimProcess, TurnRequest};
use crate::broker::{
    BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, Flow, InstanceIdClaim, ProducerPort,
};
use crate::logic::Effort;
use crate::plan::Acks;

/// Longest time without a turn, so that the watchdog sees that a host does not hang.
const IDLE: Duration = Duration::from_millis(500);
/// Longest time that a hang continues after the end of the run.
const HANG_STEP: Duration = Duration::from_millis(250);

/// Time between two checks whether an instance id is free, or whether the coordinator has processed a leave.
const CLAIM_INTERVAL: Duration = Duration::from_millis(10);

/// Most bytes of records that a client keeps while the turn of its host is deferred.
const LATE_BYTES_MAX: usize = 16 * 1024;

/// A consumer's host with the native client.
pub(in crate::actors) struct SimulatedConsumer<C> {
    /// Boxed and optional: it is taken out for each turn, so that a turn can end it.
    host: Option<Box<ConsumerHost>>,
    client: RuledConsumer<C>,
    name: String,
    /// The instance id that only this client may hold.
    claim: Option<HeldClaim>,
    /// Duration of the client's close, once that has begun.
    closing: Option<Duration>,
    /// The consumer for which the host hangs, and the end of the hang.
    hangs: Option<(ConsumerId, Time)>,
    /// Whether the host was busy before this turn, and since when it has been idle.
    was_busy: bool,
    free_from: Time,
    /// Whether records only counted after the last turn. That changes only in turns, and is asked for each record.
    counts_only: bool,
}

/// The instance id of a static member, which no other client can take meanwhile.
struct HeldClaim {
    claim: InstanceIdClaim,
    /// True if the client holds it.
    is_taken: bool,
    /// End of the wait for the response to the leave request, once that is sent.
    leaves_until: Option<Time>,
}

impl HeldClaim {
    /// Takes the instance id if it is free. True if the client holds it.
    fn take(&mut self) -> bool {
        self.is_taken |= self.claim.take(Duration::ZERO);
        self.is_taken
    }

    /// Leaves the group, which takes at most `limit`. Returns the time of the next check, or `None` if the client has
    /// left.
    fn leave(&mut self, now: Time, client: &mut NativeConsumer, limit: Duration) -> Option<Time> {
        let is_begin = self.is_taken && self.leaves_until.is_none();
        let until = *self.leaves_until.get_or_insert(now + limit);
        if is_begin {
            client.leave(now);
        }
        let is_over = !self.is_taken || client.has_left() || now >= until;
        (!is_over).then(|| client.tick(now).min(until).min(now + CLAIM_INTERVAL))
    }
}

/// A native consumer, or a wrapper of one.
pub(in crate::actors) trait NativeClient:
    ConsumerPort + AsRef<NativeConsumer> + AsMut<NativeConsumer> + Send
{
}

impl<C: ConsumerPort + AsRef<NativeConsumer> + AsMut<NativeConsumer> + Send> NativeClient for C {}

impl<C: NativeClient> SimulatedConsumer<C> {
    /// The process of a host with this client. `member` is set if it is a member of the group.
    pub(in crate::actors) fn new(
        host: ConsumerHost,
        client: C,
        name: String,
        member: Option<ConsumerId>,
    ) -> SimulatedConsumer<C> {
        let active_faults = host.context().active_faults.clone();
        let client = RuledConsumer::new(client, member, active_faults);
        SimulatedConsumer {
            host: Some(Box::new(host)),
            client,
            name,
            claim: None,
            closing: None,
            hangs: None,
            was_busy: false,
            free_from: Time::ZERO,
            counts_only: false,
        }
    }

    /// The same process, whose client joins its group when this instance id is free.
    pub(in crate::actors) fn with_claim(
        self,
        claim: Option<InstanceIdClaim>,
    ) -> SimulatedConsumer<C> {
        let held = |claim| HeldClaim { claim, is_taken: false, leaves_until: None };
        SimulatedConsumer { claim: claim.map(held), ..self }
    }

    /// True if the client has events that it would hand over to the host.
    fn has_events(&self) -> bool {
        self.client.as_inner().as_ref().has_events() && self.client.has_room()
    }

    /// True if records may wait in the client.
    fn can_wait(&self, host: &ConsumerHost) -> bool {
        self.counts_only && host.can_defer() && self.client.is_idle()
    }

    /// Time until the next check of a hang, if the host hangs. The end of the run ends a hang.
    fn hangs_for(&mut self, now: Time, host: &ConsumerHost) -> Option<Duration> {
        self.hangs = host.hangs_until().or(self.hangs);
        let (consumer, until) = self.hangs?;
        let left = until.remaining(now);
        if left.is_zero() || host.context().active_faults.is_over() {
            self.hangs = None;
            // The hang is over: a later failure has another cause.
            host.context().active_faults.take_cause(consumer);
            return None;
        }
        Some(left.min(HANG_STEP))
    }

    fn turn_of(&mut self, now: Time, host: &mut ConsumerHost) -> NextTurn {
        loop {
            // Records that were deferred are processed as of the time at which they arrived.
            let free_since = if self.can_wait(host) { self.free_from } else { now };
            if let Some(left) = self.hangs_for(now, host) {
                return NextTurn::After(Effort::Wait(left));
            }
            if host.turn(now, free_since, &mut self.client, Duration::ZERO) == HostTurn::Over {
                host.close_dispatcher();
                // A client with an instance id leaves when it is closed, which a fault may delay.
                if self.claim.is_none() {
                    self.client.inner().as_mut().leave(now);
                }
                let took = host.closes_late().unwrap_or_default();
                (self.closing, self.counts_only) = (Some(took), false);
                return NextTurn::After(Effort::Wait(took));
            }
            self.counts_only = host.counts_only();
            match host.effort() {
                Some(effort) => return NextTurn::After(effort),
                None if self.has_events() => {}
                None => {
                    let wake = host.next_wake().min(self.client.next_due()).min(now + IDLE);
                    if self.claim.as_mut().is_some_and(|claim| !claim.take()) {
                        return NextTurn::At(wake.min(now + CLAIM_INTERVAL));
                    }
                    return NextTurn::At(wake.min(self.client.inner().as_mut().tick(now)));
                }
            }
        }
    }
}

impl<C: NativeClient> SimProcess for SimulatedConsumer<C> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn turn(&mut self, now: Time, _horizon: Time) -> NextTurn {
        let Some(mut host) = self.host.take() else { return NextTurn::Over };
        if let Some(took) = self.closing {
            let (limit, client) = (host.context().plan.watch.close, self.client.inner().as_mut());
            if let Some(next) = self.claim.as_mut().and_then(|it| it.leave(now, client, limit)) {
                self.host = Some(host);
                return NextTurn::At(next);
            }
            let channel = host.channel();
            host.closed(now, i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
            channel.iter().for_each(|channel| channel.report(HostReport::Closed));
            return NextTurn::Over;
        }
        if std::mem::take(&mut self.was_busy) {
            self.free_from = now;
        }
        let next = self.turn_of(now, &mut host);
        self.was_busy = matches!(next, NextTurn::After(_));
        self.host = Some(host);
        next
    }

    fn client(&mut self) -> &mut dyn Client {
        self.client.inner().as_mut()
    }

    fn turn_request(&self) -> TurnRequest {
        if !self.has_events() {
            return TurnRequest::None;
        }
        let waiting = self.client.as_inner().as_ref().waiting_records_only();
        let is_little = waiting.is_some_and(|bytes| bytes <= LATE_BYTES_MAX);
        match is_little && self.cannot_notify_actors() {
            true => TurnRequest::Later,
            false => TurnRequest::Now,
        }
    }

    fn cannot_notify_actors(&self) -> bool {
        self.host.as_ref().is_some_and(|host| self.can_wait(host))
    }

    fn awaits_one_fetch(&self) -> bool {
        self.cannot_notify_actors() && self.client.as_inner().as_ref().waits_for_one_answer()
    }
}

/// A pool's host with the native client.
pub(in crate::actors) struct SimulatedPool<R> {
    host: PoolHost<NativeProducer>,
    report: R,
    /// Start and reason of the time in which the pool cannot send.
    blocked: Option<(Time, Blocked)>,
    /// True if no message can change what the pool sends. With `acks = "none"` and faults that is not so: the client
    /// continues to send to a former leader, and each of those records is lost.
    may_run_early: bool,
}

impl<R: Fn(PoolReport)> SimulatedPool<R> {
    pub(in crate::actors) fn new(host: PoolHost<NativeProducer>, report: R) -> SimulatedPool<R> {
        let plan = &host.context().plan;
        let may_run_early = plan.load.acks != Acks::None || plan.faults.is_empty();
        SimulatedPool { host, report, blocked: None, may_run_early }
    }
}

impl<R: Fn(PoolReport) + Send> SimProcess for SimulatedPool<R> {
    fn name(&self) -> String {
        format!("pool-{}", self.host.pool())
    }

    fn turn(&mut self, now: Time, horizon: Time) -> NextTurn {
        if let Some((since, by)) = self.blocked.take() {
            self.host.blocked(by, since, now);
        }
        let horizon = Horizon::Before(if self.may_run_early { horizon } else { now });
        let mut turn = self.host.turn(now, horizon);
        while let PoolTurn::Again = turn {
            turn = self.host.turn(self.host.reached(), horizon);
        }
        let reached = self.host.reached();
        let next = match turn {
            PoolTurn::Again => reached,
            PoolTurn::At(next) => next,
            PoolTurn::Blocked(by) => {
                self.blocked = Some((reached, by));
                reached + BLOCKED_WAIT
            }
            PoolTurn::Over => {
                (self.report)(PoolReport::Finished);
                return NextTurn::Over;
            }
        };
        NextTurn::At(next.min(self.host.sender.port.send_due(reached)))
    }

    fn client(&mut self) -> &mut dyn Client {
        self.host.sender.port.inner()
    }

    fn turn_request(&self) -> TurnRequest {
        TurnRequest::None
    }

    fn acks_are_inert(&self, now: Time) -> bool {
        self.host.sender.port.as_inner().acks_are_inert(now)
    }

    fn cannot_notify_actors(&self) -> bool {
        self.host.has_more()
    }
}

/// A second process that reads a partition of the run: the hazard of explicit assignment, which nothing prevents. It
/// has no incarnation, no supervisor and no fence. Records that it reads are processed a second time.
pub(in crate::actors) struct RogueConsumer {
    client: NativeConsumer,
    events: SecondWork,
    until: Time,
}

/// Counts each record as processed by another process.
struct SecondWork {
    context: Context,
    partition: PartitionId,
}

impl RogueConsumer {
    /// Reads `partition` with `client`, from its checkpoint at `now` until `until`.
    pub(in crate::actors) fn new(
        context: &Context,
        mut client: NativeConsumer,
        partition: PartitionId,
        (now, until): (Time, Time),
    ) -> RogueConsumer {
        let next = context.measurements.cell(partition).lock().next_offset();
        // A native client accepts every command.
        let _ = client.submit(now, ConsumerCommand::Assign(partition, next));
        RogueConsumer { client, events: SecondWork { context: context.clone(), partition }, until }
    }
}

impl SimProcess for RogueConsumer {
    fn turn(&mut self, now: Time, _horizon: Time) -> NextTurn {
        if now >= self.until {
            return NextTurn::Over;
        }
        self.client.poll(now, Duration::ZERO, &mut self.events);
        NextTurn::At(self.until.min(self.client.tick(now)))
    }

    fn name(&self) -> String {
        format!("second-owner-{}", self.events.partition)
    }

    fn client(&mut self) -> &mut dyn Client {
        &mut self.client
    }

    fn turn_request(&self) -> TurnRequest {
        if self.client.has_events() { TurnRequest::Now } else { TurnRequest::None }
    }
}

impl ConsumerEvents for SecondWork {
    fn present(&mut self, _now: Time) {}

    fn record(
        &mut self,
        partition: PartitionId,
        _offset: Offset,
        _record: &RecordView<'_>,
        _arrived: Time,
    ) -> Flow {
        self.context.measurements.cell(partition).lock().two_owners += 1;
        Flow::More
    }

    fn end_of_partition(&mut self, _partition: PartitionId) {}

    fn assigned(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    fn revoked(&mut self, _now: Time, _partitions: &[PartitionId]) {}

    fn error(&mut self, now: Time, error: BrokerError) {
        self.context.note_client_error(now, "second owner", None, &error.message);
    }
}
