//! The actors of clients: of a consumer, on its fixed partition or as a member of the run's group, and of a producer
//! pool. Each starts its host, stops it, and dies with it.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::lease::{
    CommandChannel, HostCommand, HostReport, Lease, PoolLease, PoolReport, PoolShared,
    ReportChannel, Reports,
};
use super::messages::{ConsumerMsg, PoolMsg, SlotId, SupervisorMsg};
use super::runtime::{ConsumerStart, Context, ProducerStart};
use crate::base::{Incarnation, PartitionId};
use crate::broker::{BrokerError, ConsumerSpec, GroupSpec, Positions};
use crate::measure::{Event, Heartbeat, Owner, Start};

/// The actor of a consumer. It owns the lease of the consumer's host.
pub(super) struct Consumer;

/// The arguments of a consumer's actor.
pub(super) struct ConsumerArgs {
    pub(super) context: Context,
    pub(super) owner: Owner,
    pub(super) client: ConsumerClient,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// The partitions of a consumer, and its client.
pub(super) enum ConsumerClient {
    /// A fixed partition, with a client of its own.
    Own { partition: PartitionId, start: Start },
    /// A fixed partition, with the client that all consumers share.
    Shared { partition: PartitionId, start: Start, host: Arc<Mutex<SharedHost>> },
    /// The partitions that the group assigns.
    Member,
}

/// The lease of a consumer's host, and the incarnation that holds it.
pub(super) struct ConsumerState {
    lease: Lease,
    owner: Owner,
    context: Context,
    supervisor: ActorRef<SupervisorMsg>,
}

/// The error with which a consumer's actor fails when its host reports a failure.
pub(super) type HostFailure = BrokerError;

impl Actor for Consumer {
    type Msg = ConsumerMsg;
    type State = ConsumerState;
    type Arguments = ConsumerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ConsumerMsg>,
        args: ConsumerArgs,
    ) -> Result<ConsumerState, ActorProcessingErr> {
        let ConsumerArgs { context, owner, client, heartbeat, supervisor } = args;
        let reports = reports_to(&context, &myself, &supervisor, owner);
        let channel = ReportChannel::new(reports, heartbeat);
        let lease = match client {
            ConsumerClient::Own { partition, start } => {
                start_own_host(&context, partition, owner, start, &channel)?
            }
            ConsumerClient::Shared { partition, start, host } => host
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .attach(partition, owner, start, &channel)?,
            ConsumerClient::Member => start_group_host(&context, owner, &channel)?,
        };
        Ok(ConsumerState { lease, owner, context, supervisor })
    }

    async fn handle(
        &self,
        myself: ActorRef<ConsumerMsg>,
        message: ConsumerMsg,
        state: &mut ConsumerState,
    ) -> Result<(), ActorProcessingErr> {
        let Owner { consumer, incarnation } = state.owner;
        match message {
            ConsumerMsg::Host(HostReport::Ready) => {
                state.context.note(Event::ConsumerReady { consumer, incarnation });
                let slot = SlotId::Consumer(consumer);
                state.supervisor.cast(SupervisorMsg::Ready(slot, incarnation))?;
            }
            ConsumerMsg::Host(HostReport::Failed(error)) => return Err(Box::new(error)),
            ConsumerMsg::Host(HostReport::Detached) => myself.stop(None),
            // Goes to the supervisor, because the actor may be dead by then.
            ConsumerMsg::Host(HostReport::Closed) => {}
            ConsumerMsg::Reassign => state.lease.reassign(),
            ConsumerMsg::Stop => {
                if !state.lease.detach() {
                    myself.stop(None);
                }
            }
        }
        Ok(())
    }
}

/// Sends a host's reports to its actor, and the last one to the supervisor: the actor may be dead by then.
fn reports_to(
    context: &Context,
    actor: &ActorRef<ConsumerMsg>,
    supervisor: &ActorRef<SupervisorMsg>,
    owner: Owner,
) -> Reports {
    let (runtime, actor, supervisor) = (context.runtime.clone(), actor.clone(), supervisor.clone());
    Arc::new(move |report| {
        runtime.mark_actors_busy();
        match report {
            HostReport::Closed => drop(supervisor.cast(SupervisorMsg::Closed(owner))),
            // A dead actor needs no reports.
            report => drop(actor.cast(ConsumerMsg::Host(report))),
        }
    })
}

/// Starts a host with a client of its own for one partition. Returns at once.
fn start_own_host(
    context: &Context,
    partition: PartitionId,
    owner: Owner,
    start: Start,
    channel: &ReportChannel,
) -> std::io::Result<Lease> {
    let (sender, commands) = mpsc::channel();
    let _ = sender.send(HostCommand::Attach { partition, owner, start, channel: channel.clone() });
    let spec = ConsumerSpec { name: format!("consumer-{}", owner.consumer), group: None };
    let its = Some((owner, channel.clone()));
    let start = ConsumerStart { context: context.clone(), spec, commands, owner: its };
    let wake = context.runtime.spawn_consumer(start)?;
    Ok(Lease::new(owner, CommandChannel { sender, wake }, channel))
}

/// Starts the host of a group member. Returns at once.
fn start_group_host(
    context: &Context,
    owner: Owner,
    channel: &ReportChannel,
) -> std::io::Result<Lease> {
    let (sender, commands) = mpsc::channel();
    let group = GroupSpec {
        consumer: owner.consumer,
        incarnation: owner.incarnation,
        positions: Positions::default(),
        crashed: channel.crashed(),
    };
    let spec = ConsumerSpec { name: format!("consumer-{}", owner.consumer), group: Some(group) };
    let its = Some((owner, channel.clone()));
    let start = ConsumerStart { context: context.clone(), spec, commands, owner: its };
    let wake = context.runtime.spawn_consumer(start)?;
    Ok(Lease::new(owner, CommandChannel { sender, wake }, channel))
}

/// One client for all partitions, polled by one host. The next consumer creates another one after it has failed.
#[derive(Debug)]
pub(super) struct SharedHost {
    context: Context,
    commands: Option<CommandChannel>,
}

impl SharedHost {
    /// A host that starts when the first partition is attached.
    pub(super) fn new(context: Context) -> SharedHost {
        SharedHost { context, commands: None }
    }

    /// Gives up a client that hangs: the next consumer gets another one.
    pub(super) fn give_up(&mut self) {
        self.commands = None;
    }

    /// Starts a worker for `owner` at `partition`. Returns at once.
    fn attach(
        &mut self,
        partition: PartitionId,
        owner: Owner,
        start: Start,
        channel: &ReportChannel,
    ) -> std::io::Result<Lease> {
        let attach = HostCommand::Attach { partition, owner, start, channel: channel.clone() };
        let attach = match &self.commands {
            Some(commands) => match commands.send(attach) {
                Ok(()) => return Ok(Lease::new(owner, commands.clone(), channel)),
                Err(returned) => returned.0,
            },
            None => attach,
        };
        let (sender, commands) = mpsc::channel();
        let _ = sender.send(attach);
        let spec = ConsumerSpec { name: "consumers".to_owned(), group: None };
        let start = ConsumerStart { context: self.context.clone(), spec, commands, owner: None };
        let wake = self.context.runtime.spawn_consumer(start)?;
        let commands = self.commands.insert(CommandChannel { sender, wake });
        Ok(Lease::new(owner, commands.clone(), channel))
    }
}

/// The actor of a producer pool. It owns the lease of the pool's host.
pub(super) struct ProducerPool;

/// The arguments of a pool's actor.
pub(super) struct PoolArgs {
    pub(super) context: Context,
    pub(super) shared: Arc<PoolShared>,
    pub(super) incarnation: Incarnation,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

impl Actor for ProducerPool {
    type Msg = PoolMsg;
    type State = PoolLease;
    type Arguments = PoolArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMsg>,
        args: PoolArgs,
    ) -> Result<PoolLease, ActorProcessingErr> {
        let PoolArgs { context, shared, incarnation, supervisor } = args;
        let (slot, lease) = (SlotId::Pool(shared.pool), PoolLease::new());
        let (runtime, mode) = (context.runtime.clone(), lease.mode());
        let reports = runtime.clone();
        let report = move |report| {
            reports.mark_actors_busy();
            drop(myself.cast(PoolMsg::Host(report)));
        };
        let report = Box::new(report);
        runtime.spawn_producer(ProducerStart { context, shared, incarnation, mode, report })?;
        supervisor.cast(SupervisorMsg::Ready(slot, incarnation))?;
        Ok(lease)
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMsg>,
        message: PoolMsg,
        state: &mut PoolLease,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMsg::Host(PoolReport::Finished) => myself.stop(None),
            PoolMsg::Host(PoolReport::Failed(error)) => return Err(Box::new(error)),
            PoolMsg::End => state.end(),
        }
        Ok(())
    }
}
