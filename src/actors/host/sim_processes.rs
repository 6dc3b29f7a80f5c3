//! The processes of a simulation: the same hosts, given their turns by events of the kernel instead of by threads; and
//! a second process that was given a partition as well.

use std::time::Duration;

use super::consumer_host::{ConsumerHost, HostTurn};
use super::producer_host::{BLOCKED_WAIT, Blocked, PoolHost, PoolTurn};
use crate::actors::lease::{HostReport, PoolReport};
use crate::actors::runtime::Context;
use crate::base::{Clock, ConsumerId, Offset, PartitionId, Time};
use crate::broker::calls::RuledConsumer;
use crate::broker::native::{NativeConsumer, NativeProducer};
use crate::broker::protocol::Client;
use crate::broker::sim::{NextTurn, SimProcess, TurnRequest};
use crate::broker::{BrokerError, ConsumerCommand, ConsumerEvents, ConsumerPort, Flow};
use crate::logic::Effort;
use crate::plan::Acks;

/// Longest time without a turn, so that the watchdog sees that a host is not hanging.
const IDLE: Duration = Duration::from_millis(500);
/// Longest a host that hangs goes on to do so after the end of the run.
const HANG_STEP: Duration = Duration::from_millis(250);

/// Most bytes of records a client keeps while its host's turn is put off.
const LATE_BYTES_MAX: usize = 16 * 1024;

/// A consumer's host with the native client.
pub(in crate::actors) struct SimulatedConsumer {
    /// In a box: it is taken out for each turn, so that a turn can end it.
    host: Option<Box<ConsumerHost>>,
    client: RuledConsumer<NativeConsumer>,
    name: String,
    /// How long closing the client takes, once it has begun.
    closing: Option<Duration>,
    /// The consumer it hangs for, and until when.
    hangs: Option<(ConsumerId, Time)>,
    /// Whether it was busy before this turn, and since when it has not been.
    was_busy: bool,
    free_from: Time,
    /// Whether the host was settled after its last turn. Nothing changes that between turns, and every record asks.
    counts_only: bool,
}

impl SimulatedConsumer {
    /// The process of a host whose client is `client`: of this group member, if it is one.
    pub(in crate::actors) fn new(
        host: ConsumerHost,
        client: NativeConsumer,
        name: String,
        member: Option<ConsumerId>,
    ) -> SimulatedConsumer {
        let active_faults = host.context().active_faults.clone();
        let client = RuledConsumer::new(client, member, active_faults, host.clock());
        SimulatedConsumer {
            host: Some(Box::new(host)),
            client,
            name,
            closing: None,
            hangs: None,
            was_busy: false,
            free_from: Time::ZERO,
            counts_only: false,
        }
    }

    /// Whether the client has something to hand over that the host would get.
    fn has_events(&self) -> bool {
        self.client.as_inner().has_events() && self.client.has_room()
    }

    /// Whether records may wait in the client.
    fn can_wait(&self, host: &ConsumerHost) -> bool {
        self.counts_only && host.can_defer() && self.client.is_idle()
    }

    /// How long it hangs, if it does, before it is looked at again: a run that is over ends that.
    fn hangs_for(&mut self, host: &ConsumerHost) -> Option<Duration> {
        self.hangs = host.hangs_until().or(self.hangs);
        let (consumer, until) = self.hangs?;
        let left = until.remaining(host.clock().now());
        if left.is_zero() || host.context().active_faults.is_over() {
            self.hangs = None;
            // A later failure has another cause.
            host.context().active_faults.take_cause(consumer);
            return None;
        }
        Some(left.min(HANG_STEP))
    }

    fn turn_of(&mut self, host: &mut ConsumerHost) -> NextTurn {
        loop {
            host.backdate(self.can_wait(host).then_some(self.free_from));
            if let Some(left) = self.hangs_for(host) {
                return NextTurn::After(Effort::Wait(left));
            }
            if host.turn(&mut self.client, Duration::ZERO) == HostTurn::Over {
                host.close_dispatcher();
                self.client.inner().leave();
                let took = host.closes_late().unwrap_or_default();
                (self.closing, self.counts_only) = (Some(took), false);
                return NextTurn::After(Effort::Wait(took));
            }
            self.counts_only = host.counts_only();
            match host.effort() {
                Some(effort) => return NextTurn::After(effort),
                None if self.has_events() => {}
                None => {
                    let wake = host.next_wake().min(self.client.next_due());
                    return NextTurn::At(wake.min(host.clock().now() + IDLE));
                }
            }
        }
    }
}

impl SimProcess for SimulatedConsumer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn turn(&mut self) -> NextTurn {
        let Some(mut host) = self.host.take() else { return NextTurn::Over };
        if let Some(took) = self.closing {
            let channel = host.channel();
            host.closed(i64::try_from(took.as_nanos()).unwrap_or(i64::MAX));
            channel.iter().for_each(|channel| channel.report(HostReport::Closed));
            return NextTurn::Over;
        }
        if std::mem::take(&mut self.was_busy) {
            self.free_from = host.clock().now();
        }
        let next = self.turn_of(&mut host);
        self.was_busy = matches!(next, NextTurn::After(_));
        self.host = Some(host);
        next
    }

    fn client(&mut self) -> &mut dyn Client {
        self.client.inner()
    }

    fn wish(&self) -> TurnRequest {
        if !self.has_events() {
            return TurnRequest::None;
        }
        let waiting = self.client.as_inner().waiting_records_only();
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
        self.cannot_notify_actors() && self.client.as_inner().waits_for_one_answer()
    }
}

/// A pool's host with the native client.
pub(in crate::actors) struct SimulatedPool<R> {
    host: PoolHost<NativeProducer>,
    clock: Clock,
    report: R,
    /// Since when, and by what, the pool is kept from sending.
    blocked: Option<(Time, Blocked)>,
    /// Whether nothing it may hear of would change what it sends. Without acknowledgements it goes on sending to a
    /// leader that is none any more, and each of those records is lost.
    may_run_early: bool,
}

impl<R: Fn(PoolReport)> SimulatedPool<R> {
    pub(in crate::actors) fn new(host: PoolHost<NativeProducer>, report: R) -> SimulatedPool<R> {
        let (clock, plan) = (host.clock(), &host.context().plan);
        let may_run_early = plan.load.acks != Acks::None || plan.faults.is_empty();
        SimulatedPool { host, clock, report, blocked: None, may_run_early }
    }
}

impl<R: Fn(PoolReport) + Send> SimProcess for SimulatedPool<R> {
    fn name(&self) -> String {
        format!("pool-{}", self.host.pool())
    }

    fn turn(&mut self) -> NextTurn {
        let now = self.clock.now();
        if let Some((since, by)) = self.blocked.take() {
            self.host.blocked(by, since, now);
        }
        loop {
            return match self.host.turn() {
                PoolTurn::Again => continue,
                PoolTurn::Wait(wait) => NextTurn::At(now + wait),
                PoolTurn::Blocked(by) => {
                    self.blocked = Some((now, by));
                    NextTurn::At(now + BLOCKED_WAIT)
                }
                PoolTurn::Over => {
                    (self.report)(PoolReport::Finished);
                    NextTurn::Over
                }
            };
        }
    }

    fn client(&mut self) -> &mut dyn Client {
        self.host.sender.port.inner()
    }

    fn wish(&self) -> TurnRequest {
        TurnRequest::None
    }

    fn acks_are_inert(&self) -> bool {
        self.host.sender.port.as_inner().acks_are_inert()
    }

    fn cannot_notify_actors(&self) -> bool {
        self.host.has_more()
    }

    fn run_until(&mut self, next: Time, until: Time, turns: &mut Vec<Time>) -> Time {
        match self.blocked {
            None if self.may_run_early => self.host.run_until(next, until, turns),
            None | Some(_) => next,
        }
    }
}

/// A consumer of another process that was given a partition as well: the hazard of explicit assignment, which nothing
/// prevents. It has no incarnation, no supervisor and no fence; what it does with records is done a second time.
pub(in crate::actors) struct RogueConsumer {
    client: NativeConsumer,
    events: SecondWork,
    until: Time,
}

/// What it does with records: counts them as processed by another process, too.
struct SecondWork {
    context: Context,
    partition: PartitionId,
}

impl RogueConsumer {
    /// Reads `partition` with `client` from its checkpoint on, until then.
    pub(in crate::actors) fn new(
        context: &Context,
        mut client: NativeConsumer,
        partition: PartitionId,
        until: Time,
    ) -> RogueConsumer {
        let next = context.measurements.cell(partition).lock().next_offset();
        // It takes every command.
        let _ = client.submit(ConsumerCommand::Assign(partition, next));
        RogueConsumer { client, events: SecondWork { context: context.clone(), partition }, until }
    }
}

impl SimProcess for RogueConsumer {
    fn turn(&mut self) -> NextTurn {
        if self.events.context.clock.now() >= self.until {
            return NextTurn::Over;
        }
        self.client.poll(Duration::ZERO, &mut self.events);
        NextTurn::At(self.until)
    }

    fn name(&self) -> String {
        format!("second-owner-{}", self.events.partition)
    }

    fn client(&mut self) -> &mut dyn Client {
        &mut self.client
    }

    fn wish(&self) -> TurnRequest {
        if self.client.has_events() { TurnRequest::Now } else { TurnRequest::None }
    }
}

impl ConsumerEvents for SecondWork {
    fn record(&mut self, partition: PartitionId, _offset: Offset, _payload: &[u8]) -> Flow {
        self.context.measurements.cell(partition).lock().two_owners += 1;
        Flow::More
    }

    fn end_of_partition(&mut self, _partition: PartitionId) {}

    fn assigned(&mut self, _partitions: &[PartitionId]) {}

    fn revoked(&mut self, _partitions: &[PartitionId]) {}

    fn error(&mut self, error: BrokerError) {
        self.context.note_client_error("second owner", None, &error.message);
    }
}
