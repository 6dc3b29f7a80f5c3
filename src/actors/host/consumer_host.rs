//! A consumer host: the loop of its thread, and the handling of its commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use super::dispatcher::Dispatcher;
use super::injected_faults;
use super::lease::{HostCommand, HostReport, ReportChannel};
use super::position_check::inquire;
use crate::actors::Context;
use crate::base::{Clock, ConsumerId, Time};
use crate::broker::calls::RuledConsumer;
use crate::broker::{BrokerError, ConsumerCommand, ConsumerPort, ConsumerSpec, ErrorClass};
use crate::logic::Effort;
use crate::measure::{Event, Owner};
use crate::plan::Membership;

/// Longest wait for a record, and so the longest a command waits for an idle host.
const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Between two looks at how far the client has come at the ends of partitions.
const LOOK_AT_ENDS: Duration = Duration::from_millis(50);
/// Longest a client may take to close before its thread gives it up.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// A host without its client: its dispatcher, its commands, and (unless the client is shared) its owner.
pub(super) struct ConsumerHost {
    context: Context,
    dispatcher: Dispatcher,
    commands: Receiver<HostCommand>,
    /// The only owner; `None` when the client is shared.
    owner: Option<Owner>,
    /// The channel for a failure to create the client.
    channel: Option<ReportChannel>,
    next_commit: Time,
    next_look: Time,
    commit_interval: Option<Duration>,
    /// The channels for the report that the client is closed.
    detached: Vec<ReportChannel>,
    /// Whether watermarks are being asked for.
    inquiry: Arc<AtomicBool>,
    /// Whether a record costs nothing and nothing waits for it.
    can_defer: bool,
}

/// Tells owners that came too late, so that none waits for a host that is gone.
#[expect(clippy::needless_pass_by_value, reason = "nothing may come after")]
fn turn_away(commands: Receiver<HostCommand>, error: &BrokerError) {
    for command in commands.try_iter() {
        if let HostCommand::Attach { channel, .. } = command {
            channel.report(HostReport::Failed(error.clone()));
        }
    }
}

/// Whether a host goes on after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    On,
    Over,
}

impl ConsumerHost {
    pub(super) fn new(
        context: &Context,
        dispatcher: Dispatcher,
        commands: Receiver<HostCommand>,
        owner: Option<Owner>,
        channel: Option<ReportChannel>,
    ) -> ConsumerHost {
        let commit_interval = match &context.plan.consumers.membership {
            Membership::Group(group) => Some(group.commit_interval),
            Membership::Assigned { .. } => None,
        };
        let costs = context.plan.consumers.work.is_some() || context.handlers.is_some();
        let is_awaited =
            commit_interval.is_some() || context.plan.load.unprocessed_bytes_max.is_some();
        let can_defer = context.hosting.is_kernel() && !costs && !is_awaited;
        let context = context.clone();
        ConsumerHost {
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
            can_defer,
        }
    }

    pub(super) fn run(mut self, spec: &ConsumerSpec) {
        let mut port = match self.context.cluster.consumer(spec) {
            Ok(port) => {
                let member = spec.group.as_ref().map(|group| group.consumer);
                let active_faults = self.context.active_faults.clone();
                Box::new(RuledConsumer::new(port, member, active_faults, self.context.clock))
            }
            Err(error) => {
                if let Some(channel) = &self.channel {
                    channel.report(HostReport::Failed(error.clone()));
                }
                turn_away(self.commands, &error);
                return;
            }
        };
        while self.turn(&mut *port, IDLE_WAIT) == Turn::On {}
        self.close_dispatcher();
        let closing_since = self.context.clock.now();
        if let Some(owner) = self.owner {
            injected_faults::close_late(owner.consumer, &self.context);
        }
        port.close(CLOSE_LIMIT);
        let took = self.context.clock.now().since_ns(closing_since);
        self.closed(took);
    }

    /// Hands over the last batch and turns away owners that come too late; what is left is closing the client.
    pub(super) fn close_dispatcher(&mut self) {
        self.dispatcher.flush();
        let (_, closed) = mpsc::channel();
        let commands = std::mem::replace(&mut self.commands, closed);
        turn_away(commands, &BrokerError::fatal("the client has just closed"));
    }

    /// What is left to say when the client is closed, which took `took_ns`.
    pub(super) fn closed(self, took_ns: i64) {
        if let Some(owner) = self.owner {
            self.context.note(Event::ConsumerClosed {
                consumer: owner.consumer,
                incarnation: owner.incarnation,
                close_us: u64::try_from(took_ns / 1_000).unwrap_or(0),
            });
        }
        self.detached.into_iter().for_each(|channel| channel.report(HostReport::Detached));
    }

    /// The channel for the report that the client is closed, unless the client is shared.
    pub(super) fn channel(&self) -> Option<ReportChannel> {
        self.channel.clone()
    }

    /// The run's surroundings.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// The run's time.
    pub(super) fn clock(&self) -> Clock {
        self.context.clock
    }

    /// For which consumer the host is to hang, and until when, in simulation.
    pub(super) fn hangs_until(&self) -> Option<(ConsumerId, Time)> {
        let is_armed = self.context.active_faults.is_armed();
        is_armed
            .then(|| injected_faults::hangs_until(self.dispatcher.consumers(), &self.context))?
    }

    /// How long the client is to take to close, in simulation.
    pub(super) fn closes_late(&self) -> Option<Duration> {
        self.context.active_faults.on_close(self.owner?.consumer)
    }

    /// The effort the kernel has to make before the next turn, if the host makes none itself.
    pub(super) fn effort(&self) -> Option<Effort> {
        self.dispatcher.effort()
    }

    /// Whether the processing of records may be deferred until its result is read, once records
    /// [only count](Dispatcher::counts_only): in simulation.
    #[inline]
    pub(super) fn can_defer(&self) -> bool {
        self.can_defer && !self.context.active_faults.is_armed()
    }

    /// Whether records do nothing but count.
    pub(super) fn counts_only(&self) -> bool {
        self.dispatcher.counts_only()
    }

    /// Lets records count as processed when they came, but not before then; or (`None`) when they are.
    #[inline]
    pub(super) fn backdate(&mut self, to: Option<Time>) {
        self.dispatcher.backdate(to);
    }

    /// When the host wants a turn even if nothing happens.
    pub(super) fn next_wake(&self) -> Time {
        if self.commit_interval.is_some() { self.next_commit } else { Time::NEVER }
    }

    /// Commands, one poll that waits at most `wait`, batches, commits.
    pub(super) fn turn(&mut self, port: &mut dyn ConsumerPort, wait: Duration) -> Turn {
        self.dispatcher.resume();
        if self.dispatcher.effort().is_some() {
            return Turn::On;
        }
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    if self.obey(command, port) == Turn::Over {
                        return Turn::Over;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Turn::Over,
            }
        }
        self.dispatcher.beat();
        if self.context.active_faults.is_armed() {
            if !self.context.hosting.is_kernel() {
                injected_faults::hang(self.dispatcher.consumers(), &self.context);
            }
            let crashed = injected_faults::crashing(self.dispatcher.consumers(), &self.context);
            if !crashed.is_empty() {
                crashed.into_iter().for_each(|consumer| self.dispatcher.crash(consumer));
                return self.settle_failures(port);
            }
        }
        port.poll(wait, &mut self.dispatcher);
        if self.dispatcher.effort().is_none() {
            self.dispatcher.flush();
        }
        if !self.context.hosting.is_kernel() {
            self.look_at_ends(port);
        }
        if self.commit_is_due() {
            self.commit(port);
        }
        self.settle_failures(port)
    }

    /// Moves positions over what a client does not hand over. In simulation there is nothing of the kind.
    fn look_at_ends(&mut self, port: &mut dyn ConsumerPort) {
        let now = self.context.clock.now();
        if now >= self.next_look {
            self.next_look = now + LOOK_AT_ENDS;
            if self.dispatcher.asks_for_ends() {
                port.ends_reached()
                    .into_iter()
                    .for_each(|(at, next)| self.dispatcher.reached(at, next));
            }
        }
    }

    fn obey(&mut self, command: HostCommand, port: &mut dyn ConsumerPort) -> Turn {
        match command {
            HostCommand::Attach { partition, owner, start, channel } => {
                let now = self.context.clock.now();
                self.context.measurements.cell(partition).lock().take_over(owner, now);
                // A shared client may still read it for an older incarnation.
                let _ = port.submit(ConsumerCommand::Unassign(partition));
                self.dispatcher.attach(partition, owner, channel, start.resume_point);
                let assign = ConsumerCommand::Assign(partition, start.reads_from());
                if let Err(error) = port.submit(assign) {
                    self.dispatcher.fail(partition, &error);
                }
                Turn::On
            }
            HostCommand::Detach { owner } => self.detach(owner, port),
            HostCommand::Reassign { owner } => {
                self.reassign(owner, port);
                Turn::On
            }
        }
    }

    /// Takes the partitions of `owner` from the client and gives them back, at their checkpoints.
    fn reassign(&mut self, owner: Owner, port: &mut dyn ConsumerPort) {
        for partition in self.dispatcher.flush_partitions(owner) {
            if self.dispatcher.group().is_some() {
                // What a member reads is the group's affair, but not from where.
                let next = self.context.measurements.cell(partition).lock().next_offset();
                let _ = port.submit(ConsumerCommand::Seek(partition, next));
                continue;
            }
            let _ = port.submit(ConsumerCommand::Unassign(partition));
            let start = self.context.measurements.cell(partition).lock().start();
            self.dispatcher.expect(partition, start.resume_point);
            let assign = ConsumerCommand::Assign(partition, start.reads_from());
            if let Err(error) = port.submit(assign) {
                self.dispatcher.fail(partition, &error);
            }
        }
    }

    fn detach(&mut self, owner: Owner, port: &mut dyn ConsumerPort) -> Turn {
        let removed = self.dispatcher.detach(owner);
        if self.owner == Some(owner) {
            match self.dispatcher.group() {
                Some(group) => self.detached.push(group.channel.clone()),
                None => self.detached.extend(removed.into_iter().map(|(_, channel)| channel)),
            }
            return Turn::Over;
        }
        for (partition, channel) in removed {
            let _ = port.submit(ConsumerCommand::Unassign(partition));
            channel.report(HostReport::Detached);
        }
        Turn::On
    }

    fn commit_is_due(&self) -> bool {
        self.commit_interval.is_some() && self.context.clock.now() >= self.next_commit
    }

    fn commit(&mut self, port: &mut dyn ConsumerPort) {
        // What is committed has to be counted before: if this consumer is fenced meanwhile, its successor begins
        // behind it.
        self.dispatcher.flush();
        let positions: BTreeMap<_, _> = self.dispatcher.positions().collect();
        if !positions.is_empty()
            && let Err(error) = port.submit(ConsumerCommand::Commit(positions))
        {
            let consumer = self.owner.map(|owner| owner.consumer);
            self.context.note_client_error("commit", consumer, &error.message);
        }
        let interval = self.commit_interval.unwrap_or_default();
        self.next_commit = self.context.clock.now() + interval;
    }

    #[inline]
    fn settle_failures(&mut self, port: &mut dyn ConsumerPort) -> Turn {
        if self.dispatcher.is_healthy() { Turn::On } else { self.settle(port) }
    }

    fn settle(&mut self, port: &mut dyn ConsumerPort) -> Turn {
        // One inquiry at a time; what comes meanwhile waits for the next.
        if !self.inquiry.load(Ordering::Acquire)
            && let Some((doubtful, doubt)) = self.dispatcher.take_doubtful()
        {
            let consumer = self.owner.map(|owner| owner.consumer);
            inquire(&self.context, consumer, doubtful, doubt, &self.inquiry);
        }
        let (failures, client_failure) = self.dispatcher.take_failures();
        for (partition, error) in failures {
            let _ = port.submit(ConsumerCommand::Unassign(partition));
            if self.dispatcher.group().is_some() {
                return self.fail_client(&error);
            }
            self.dispatcher.fail(partition, &error);
        }
        if let Some(error) = client_failure {
            return self.fail_client(&error);
        }
        // A client of its own has nothing to do without its machine; a shared one waits for the next.
        let only_one_and_gone =
            self.owner.is_some() && self.dispatcher.group().is_none() && self.dispatcher.is_empty();
        if only_one_and_gone { Turn::Over } else { Turn::On }
    }

    fn fail_client(&mut self, error: &BrokerError) -> Turn {
        debug_assert!(error.class != ErrorClass::Informational);
        self.dispatcher.fail_all(error);
        Turn::Over
    }
}
