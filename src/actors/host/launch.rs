//! The start of consumer hosts: on threads of their own, or in the kernel of a simulation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;

use super::consumer_host::ConsumerHost;
use super::dispatcher::{Dispatcher, MemberSession};
use super::lease::{Commands, HostCommand, HostReport, Lease, ReportChannel, Reports};
use super::simulated::{Hosting, SimulatedConsumer, client_start};
use crate::actors::Context;
use crate::base::PartitionId;
use crate::broker::model::ClientId;
use crate::broker::sim::KernelHandle;
use crate::broker::{BrokerError, ConsumerSpec, GroupSpec, Positions};
use crate::measure::{Heartbeat, Owner, Start};

/// Starts a host with a client of its own for one partition. Returns at once.
pub(in crate::actors) fn start_own_host(
    context: &Context,
    partition: PartitionId,
    owner: Owner,
    start: Start,
    reports: Reports,
    heartbeat: Arc<Heartbeat>,
) -> std::io::Result<Lease> {
    #[cfg(test)]
    let partition = astray(context, partition, owner);
    let channel = ReportChannel::new(reports, heartbeat);
    let (sender, received) = mpsc::channel();
    let _ = sender.send(HostCommand::Attach { partition, owner, start, channel: channel.clone() });
    let name = format!("consumer-{}", owner.consumer);
    let spec = ConsumerSpec { name: name.clone(), group: None };
    let dispatcher = Dispatcher::new(context.clone(), &name, Some(owner.consumer), None);
    let host = ConsumerHost::new(context, dispatcher, received, Some(owner), Some(channel.clone()));
    let kernel = launch(name, host, spec)?;
    Ok(Lease::new(owner, Commands { sender, kernel }, &channel))
}

/// Where a planted defect sends a restarted consumer.
#[cfg(test)]
fn astray(context: &Context, partition: PartitionId, owner: Owner) -> PartitionId {
    let is_astray = crate::base::Defect::WrongPartition.is_planted() && owner.incarnation.0 > 1;
    PartitionId((partition.0 + u32::from(is_astray)) % context.plan.topic.partitions)
}

/// Starts the host of a group member. Returns at once.
pub(in crate::actors) fn start_group_host(
    context: &Context,
    owner: Owner,
    reports: Reports,
    heartbeat: Arc<Heartbeat>,
) -> std::io::Result<Lease> {
    let channel = ReportChannel::new(reports, heartbeat);
    let (sender, received) = mpsc::channel();
    let name = format!("consumer-{}", owner.consumer);
    let positions = Positions::default();
    let group = GroupSpec {
        consumer: owner.consumer,
        incarnation: owner.incarnation,
        positions: positions.clone(),
        crashed: channel.crashed(),
    };
    let spec = ConsumerSpec { name: name.clone(), group: Some(group) };
    let side = MemberSession { owner, channel: channel.clone(), positions, joined: false };
    let dispatcher = Dispatcher::new(context.clone(), &name, Some(owner.consumer), Some(side));
    let host = ConsumerHost::new(context, dispatcher, received, Some(owner), Some(channel.clone()));
    let kernel = launch(name, host, spec)?;
    Ok(Lease::new(owner, Commands { sender, kernel }, &channel))
}

/// One client for all partitions, polled by one thread. Made again when it has failed.
#[derive(Debug)]
pub struct SharedHost {
    context: Context,
    commands: Option<Commands>,
}

impl SharedHost {
    /// A host that starts with its first partition.
    pub fn new(context: Context) -> SharedHost {
        SharedHost { context, commands: None }
    }

    /// Gives a client that hangs up: the next consumer gets another one.
    pub(in crate::actors) fn give_up(&mut self) {
        self.commands = None;
    }

    /// Starts a worker for `owner` at `partition`. Returns at once.
    pub(in crate::actors) fn attach(
        &mut self,
        partition: PartitionId,
        owner: Owner,
        start: Start,
        reports: Reports,
        heartbeat: Arc<Heartbeat>,
    ) -> std::io::Result<Lease> {
        let channel = ReportChannel::new(reports, heartbeat);
        let attach = HostCommand::Attach { partition, owner, start, channel: channel.clone() };
        let attach = match &self.commands {
            Some(commands) => match commands.send(attach) {
                Ok(()) => return Ok(Lease::new(owner, commands.clone(), &channel)),
                Err(returned) => returned.0,
            },
            None => attach,
        };
        let (sender, received) = mpsc::channel();
        let _ = sender.send(attach);
        let name = "consumers".to_owned();
        let spec = ConsumerSpec { name: name.clone(), group: None };
        let dispatcher = Dispatcher::new(self.context.clone(), &name, None, None);
        let kernel =
            launch(name, ConsumerHost::new(&self.context, dispatcher, received, None, None), spec)?;
        let commands = Commands { sender, kernel };
        self.commands = Some(commands.clone());
        Ok(Lease::new(owner, commands, &channel))
    }
}

/// Starts a host: on a thread of its own, or in the kernel, which then is to be told of commands.
fn launch(
    name: String,
    host: ConsumerHost,
    spec: ConsumerSpec,
) -> std::io::Result<Option<(KernelHandle, ClientId)>> {
    if let Hosting::Kernel(kernel) = &host.context().hosting {
        let kernel = kernel.clone();
        let start = client_start(host.context());
        let client = kernel.host(Box::new(SimulatedConsumer::new(host, &spec)), start);
        return Ok(Some((kernel, client)));
    }
    let channel = host.channel();
    let run = move || {
        // The dispatcher catches panics in the work on a record; this catches all others.
        let outcome = catch_unwind(AssertUnwindSafe(|| host.run(&spec)));
        let Some(channel) = channel else { return };
        if outcome.is_err() {
            channel.report(HostReport::Failed(BrokerError::fatal("panic in the client's thread")));
        }
        channel.report(HostReport::Closed);
    };
    std::thread::Builder::new().name(name).spawn(run)?;
    Ok(None)
}
