//! The actor of one consumer: on its fixed partition, or a member of the run's group.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Context;
use super::host::{HostReport, Lease, Reports, SharedHost, start_group_host, start_own_host};
use super::supervisor::{SlotId, SupervisorMsg};
use crate::base::PartitionId;
use crate::broker::BrokerError;
use crate::measure::{Event, Heartbeat, Owner, Start};

/// Owns a consumer's hold on its host: starts it, stops it, dies with it.
pub(super) struct Consumer;

/// What a consumer needs to start.
pub(super) struct ConsumerArgs {
    pub(super) context: Context,
    pub(super) owner: Owner,
    pub(super) place: Place,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// Where a consumer reads, and with whose client.
pub(super) enum Place {
    /// A fixed partition, with a client of its own.
    Own { partition: PartitionId, start: Start },
    /// A fixed partition, with the client all share.
    Shared { partition: PartitionId, start: Start, host: Arc<Mutex<SharedHost>> },
    /// Whatever the group gives it.
    Member,
}

/// What a consumer's actor is told, by its host or its supervisor.
pub(super) enum ConsumerMsg {
    /// The host reports.
    Host(HostReport),
    /// Stop in order.
    Stop,
    /// Have the client read anew from the checkpoint.
    Reassign,
}

/// A consumer's lease on its host, and its incarnation.
pub(super) struct ConsumerState {
    lease: Lease,
    owner: Owner,
    context: Context,
    supervisor: ActorRef<SupervisorMsg>,
}

/// The error a consumer's actor dies with when its host reports a failure.
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
        let ConsumerArgs { context, owner, place, heartbeat, supervisor } = args;
        let reports = reports_to(&context, &myself, &supervisor, owner);
        let lease = match place {
            Place::Own { partition, start } => {
                start_own_host(&context, partition, owner, start, reports, heartbeat)?
            }
            Place::Shared { partition, start, host } => host
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .attach(partition, owner, start, reports, heartbeat)?,
            Place::Member => start_group_host(&context, owner, reports, heartbeat)?,
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
            // Goes to the supervisor past a dead actor.
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

/// Sends a host's reports to its actor, and the last one to the supervisor: by then the actor may be long dead.
fn reports_to(
    context: &Context,
    actor: &ActorRef<ConsumerMsg>,
    supervisor: &ActorRef<SupervisorMsg>,
    owner: Owner,
) -> Reports {
    let (hosting, actor, supervisor) = (context.hosting.clone(), actor.clone(), supervisor.clone());
    Arc::new(move |report| {
        hosting.mark_actors_busy();
        match report {
            HostReport::Closed => drop(supervisor.cast(SupervisorMsg::Closed(owner))),
            // A dead actor needs no reports.
            report => drop(actor.cast(ConsumerMsg::Host(report))),
        }
    })
}
