//! A consumer host: its turns, and the handling of its commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use super::dispatcher::{Dispatcher, MemberSession};
use super::position_check::inquire;
use crate::actors::lease::{HostCommand, HostReport, ReportChannel};
use crate::actors::runtime::{ConsumerStart, Context};
use crate::base::{ConsumerId, Time};
use crate::broker::{BrokerError, ConsumerCommand, ConsumerPort, ErrorClass};
use crate::logic::Effort;
use crate::measure::{Event, Owner};
use crate::plan::Membership;

/// Time between two checks of the client's position at the ends of partitions.
const LOOK_AT_ENDS: Duration = Duration::from_millis(50);

/// A host without its client: the dispatcher, the commands, and (unless consumers share the client) the owner.
pub(in crate::actors) struct ConsumerHost {
    context: Context,
    dispatcher: Dispatcher,
    commands: Receiver<HostCommand>,
    /// The only owner; `None` if consumers share the client.
    owner: Option<Owner>,
    /// Gets the report if the client cannot be created.
    channel: Option<ReportChannel>,
    next_commit: Time,
    next_look: Time,
    /// True if logs can have offsets without a record, which a client passes without handing anything over.
    looks_at_ends: bool,
    commit_interval: Option<Duration>,
    /// Get the report that the client is closed.
    detached: Vec<ReportChannel>,
    /// True while watermarks are asked for.
    inquiry: Arc<AtomicBool>,
    /// True if a record costs nothing and nothing waits for it.
    can_defer: bool,
}

/// Reports a failure to owners that were attached too late, so that none waits for a host that has ended.
#[expect(clippy::needless_pass_by_value, reason = "nothing may come after")]
fn turn_away(commands: Receiver<HostCommand>, error: &BrokerError) {
    for command in commands.try_iter() {
        if let HostCommand::Attach { channel, .. } = command {
            channel.report(HostReport::Failed(error.clone()));
        }
    }
}

/// Whether a host has another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actors) enum HostTurn {
    On,
    Over,
}

impl ConsumerHost {
    pub(in crate::actors) fn new(start: ConsumerStart) -> ConsumerHost {
        let ConsumerStart { context, spec, commands, owner } = start;
        let (owner, channel) = owner.unzip();
        let member = match (&spec.group, owner, &channel) {
            (Some(group), Some(owner), Some(channel)) => {
                let (channel, positions) = (channel.clone(), group.positions.clone());
                Some(MemberSession { owner, channel, positions, joined: false })
            }
            _ => None,
        };
        let consumer = owner.map(|owner| owner.consumer);
        let dispatcher = Dispatcher::new(context.clone(), &spec.name, consumer, member);
        let commit_interval = match &context.plan.consumers.membership {
            Membership::Group(group) => Some(group.commit_interval),
            Membership::Assigned { .. } => None,
        };
        let costs = context.plan.consumers.work.is_some() || context.handlers.is_some();
        let is_awaited =
            commit_interval.is_some() || context.plan.load.unprocessed_bytes_max.is_some();
        ConsumerHost {
            looks_at_ends: context.runtime.logs_have_gaps(),
            context,
            dispatcher,
            commands,
            owner,
            channel,
            next_commit: Time::ZERO,
            next_look: Time::ZERO,
            commit_interval,
            detached: Vec::new(),
            inquiry: Arc::default(),
            can_defer: !costs && !is_awaited,
        }
    }

    /// Reports that the client could not be created.
    pub(in crate::actors) fn refuse(self, error: &BrokerError) {
        if let Some(channel) = &self.channel {
            channel.report(HostReport::Failed(error.clone()));
        }
        turn_away(self.commands, error);
    }

    /// Hands over the last batch and refuses owners that are attached too late. Then the client can be closed.
    pub(in crate::actors) fn close_dispatcher(&mut self) {
        self.dispatcher.flush();
        let (_, closed) = mpsc::channel();
        let commands = std::mem::replace(&mut self.commands, closed);
        turn_away(commands, &BrokerError::fatal("the client has just closed"));
    }

    /// Reports that the client is closed, which took `took_ns`.
    pub(in crate::actors) fn closed(self, now: Time, took_ns: i64) {
        if let Some(owner) = self.owner {
            let close_us = u64::try_from(took_ns / 1_000).unwrap_or(0);
            let Owner { consumer, incarnation } = owner;
            self.context.note_at(now, Event::ConsumerClosed { consumer, incarnation, close_us });
        }
        self.detached.into_iter().for_each(|channel| channel.report(HostReport::Detached));
    }

    /// The channel for the report that the client is closed, unless consumers share the client.
    pub(in crate::actors) fn channel(&self) -> Option<ReportChannel> {
        self.channel.clone()
    }

    /// The context of the run.
    pub(in crate::actors) fn context(&self) -> &Context {
        &self.context
    }

    /// The consumer for which the host hangs, and the end of the hang. The host gets no turn meanwhile.
    pub(in crate::actors) fn hangs_until(&self) -> Option<(ConsumerId, Time)> {
        let active_faults = &self.context.active_faults;
        let until = |consumer| {
            let until = active_faults.hangs(consumer)?;
            Some((consumer, until.unwrap_or(Time::NEVER)))
        };
        active_faults.is_armed().then(|| self.dispatcher.consumers().find_map(until))?
    }

    /// The delay of the client's close that a fault asks for.
    pub(in crate::actors) fn closes_late(&self) -> Option<Duration> {
        self.context.active_faults.on_close(self.owner?.consumer)
    }

    /// The effort that the host makes before its next turn.
    pub(super) fn effort(&self) -> Option<Effort> {
        self.dispatcher.effort()
    }

    /// True if that effort is a fault that blocks the consumer.
    pub(super) fn is_stalled(&self) -> bool {
        self.dispatcher.is_stalled()
    }

    /// The only consumer of the host; `None` if consumers share the client.
    pub(super) fn consumer(&self) -> Option<ConsumerId> {
        self.owner.map(|owner| owner.consumer)
    }

    /// True if the processing of records may be deferred until its result is read, as long as records [only
    /// count](Dispatcher::counts_only).
    #[inline]
    pub(super) fn can_defer(&self) -> bool {
        self.can_defer && !self.context.active_faults.is_armed()
    }

    /// True if records do nothing but count.
    pub(super) fn counts_only(&self) -> bool {
        self.dispatcher.counts_only()
    }

    /// Time of the next turn if nothing happens before.
    pub(super) fn next_wake(&self) -> Time {
        if self.commit_interval.is_some() { self.next_commit } else { Time::NEVER }
    }

    /// One turn: commands, one poll that waits at most `wait`, batches, commits. The host has been idle since
    /// `free_since`, which is `now` unless records may be processed later than they arrive.
    pub(in crate::actors) fn turn(
        &mut self,
        now: Time,
        free_since: Time,
        port: &mut dyn ConsumerPort,
        wait: Duration,
    ) -> HostTurn {
        self.dispatcher.set_time(now, free_since);
        self.dispatcher.resume();
        if self.dispatcher.effort().is_some() {
            return HostTurn::On;
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    if self.apply_command(now, command, port) == HostTurn::Over {
                        return HostTurn::Over;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return HostTurn::Over,
            }
        }
        self.dispatcher.beat();
        if self.context.active_faults.is_armed() {
            let crashed = self.crashing(now);
            if !crashed.is_empty() {
                crashed.into_iter().for_each(|consumer| self.dispatcher.crash(consumer));
                return self.settle_failures(now, port);
            }
        }
        let now = port.poll(now, wait, &mut self.dispatcher);
        self.dispatcher.set_time(now, now);
        if self.dispatcher.effort().is_none() {
            self.dispatcher.flush();
        }
        if self.looks_at_ends {
            self.look_at_ends(now, port);
        }
        if self.commit_is_due(now) {
            self.commit(now, port);
        }
        self.settle_failures(now, port)
    }

    /// The consumers that a fault crashes before the poll.
    fn crashing(&self, now: Time) -> Vec<ConsumerId> {
        let active_faults = &self.context.active_faults;
        let crashes = |consumer: &ConsumerId| active_faults.crashes(*consumer, now);
        self.dispatcher.consumers().filter(crashes).collect()
    }

    /// Advances positions over offsets for which the client hands over no record.
    fn look_at_ends(&mut self, now: Time, port: &mut dyn ConsumerPort) {
        if now >= self.next_look {
            self.next_look = now + LOOK_AT_ENDS;
            if self.dispatcher.asks_for_ends() {
                port.ends_reached()
                    .into_iter()
                    .for_each(|(at, next)| self.dispatcher.reached(at, next));
            }
        }
    }

    fn apply_command(
        &mut self,
        now: Time,
        command: HostCommand,
        port: &mut dyn ConsumerPort,
    ) -> HostTurn {
        match command {
            HostCommand::Attach { partition, owner, start, channel } => {
                self.context.measurements.cell(partition).lock().take_over(owner, now);
                // A shared client may still read the partition for an older incarnation.
                let _ = port.submit(now, ConsumerCommand::Unassign(partition));
                self.dispatcher.attach(partition, owner, channel, start.resume_point);
                let assign = ConsumerCommand::Assign(partition, start.reads_from());
                if let Err(error) = port.submit(now, assign) {
                    self.dispatcher.fail(partition, &error);
                }
                HostTurn::On
            }
            HostCommand::Detach { owner } => self.detach(now, owner, port),
            HostCommand::Reassign { owner } => {
                self.reassign(now, owner, port);
                HostTurn::On
            }
        }
    }

    /// Removes the partitions of `owner` from the client and assigns them again, at their checkpoints.
    fn reassign(&mut self, now: Time, owner: Owner, port: &mut dyn ConsumerPort) {
        for partition in self.dispatcher.flush_partitions(owner) {
            if self.dispatcher.group().is_some() {
                // The group assigns a member's partitions, but this host may set its positions.
                let next = self.context.measurements.cell(partition).lock().next_offset();
                let _ = port.submit(now, ConsumerCommand::Seek(partition, next));
                continue;
            }
            let _ = port.submit(now, ConsumerCommand::Unassign(partition));
            let start = self.context.measurements.cell(partition).lock().start();
            self.dispatcher.expect(partition, start.resume_point);
            let assign = ConsumerCommand::Assign(partition, start.reads_from());
            if let Err(error) = port.submit(now, assign) {
                self.dispatcher.fail(partition, &error);
            }
        }
    }

    fn detach(&mut self, now: Time, owner: Owner, port: &mut dyn ConsumerPort) -> HostTurn {
        let removed = self.dispatcher.detach(owner);
        if self.owner == Some(owner) {
            match self.dispatcher.group() {
                Some(group) => self.detached.push(group.channel.clone()),
                None => self.detached.extend(removed.into_iter().map(|(_, channel)| channel)),
            }
            return HostTurn::Over;
        }
        for (partition, channel) in removed {
            let _ = port.submit(now, ConsumerCommand::Unassign(partition));
            channel.report(HostReport::Detached);
        }
        HostTurn::On
    }

    fn commit_is_due(&self, now: Time) -> bool {
        self.commit_interval.is_some() && now >= self.next_commit
    }

    fn commit(&mut self, now: Time, port: &mut dyn ConsumerPort) {
        // Records must be counted before their offsets are committed: if this consumer is fenced in between, its
        // successor starts after these offsets.
        self.dispatcher.flush();
        let positions: BTreeMap<_, _> = self.dispatcher.positions().collect();
        if !positions.is_empty()
            && let Err(error) = port.submit(now, ConsumerCommand::Commit(positions))
        {
            let consumer = self.owner.map(|owner| owner.consumer);
            self.context.note_client_error(now, "commit", consumer, &error.message);
        }
        let interval = self.commit_interval.unwrap_or_default();
        self.next_commit = now + interval;
    }

    #[inline]
    fn settle_failures(&mut self, now: Time, port: &mut dyn ConsumerPort) -> HostTurn {
        if self.dispatcher.is_healthy() { HostTurn::On } else { self.settle(now, port) }
    }

    fn settle(&mut self, now: Time, port: &mut dyn ConsumerPort) -> HostTurn {
        // One query at a time. Doubts that arise meanwhile wait for the next one.
        if !self.inquiry.load(Ordering::Acquire)
            && let Some((doubtful, doubt)) = self.dispatcher.take_doubtful()
        {
            let consumer = self.owner.map(|owner| owner.consumer);
            inquire(&self.context, consumer, doubtful, doubt, &self.inquiry);
        }
        let (failures, client_failure) = self.dispatcher.take_failures();
        for (partition, error) in failures {
            let _ = port.submit(now, ConsumerCommand::Unassign(partition));
            if self.dispatcher.group().is_some() {
                return self.fail_client(&error);
            }
            self.dispatcher.fail(partition, &error);
        }
        if let Some(error) = client_failure {
            return self.fail_client(&error);
        }
        // A client of its own is useless without its machine; a shared one waits for the next owner.
        let only_one_and_gone =
            self.owner.is_some() && self.dispatcher.group().is_none() && self.dispatcher.is_empty();
        if only_one_and_gone { HostTurn::Over } else { HostTurn::On }
    }

    fn fail_client(&mut self, error: &BrokerError) -> HostTurn {
        debug_assert!(error.class != ErrorClass::Informational);
        self.dispatcher.fail_all(error);
        HostTurn::Over
    }
}
