//! The actor of one consumer on its fixed partition.

use std::sync::{Arc, Mutex, PoisonError};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Context;
use super::host::{HostReport, Lease, Reports, SharedHost, start_own_host};
use super::supervisor::{SlotId, SupervisorMsg};
use crate::base::{Offset, PartitionId};
use crate::broker::BrokerError;
use crate::measure::{Event, Owner};

/// Owns the machine of one partition: starts it, stops it, dies with it.
pub(super) struct PartitionConsumer;

/// What a consumer needs to start.
pub(super) struct ConsumerArgs {
    pub(super) context: Context,
    pub(super) partition: PartitionId,
    pub(super) owner: Owner,
    pub(super) start: Offset,
    /// The shared client, in that topology.
    pub(super) shared: Option<Arc<Mutex<SharedHost>>>,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// What a consumer's actor is told, by its host or its supervisor.
pub(super) enum ConsumerMsg {
    /// The host reports.
    Host(HostReport),
    /// Stop in order.
    Stop,
}

/// A consumer's hold on its host, and whom it works for.
pub(super) struct ConsumerState {
    pub(super) lease: Lease,
    pub(super) owner: Owner,
    pub(super) context: Context,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// The error a consumer's actor dies with when its host reports a failure.
pub(super) type HostFailure = BrokerError;

impl Actor for PartitionConsumer {
    type Msg = ConsumerMsg;
    type State = ConsumerState;
    type Arguments = ConsumerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ConsumerMsg>,
        args: ConsumerArgs,
    ) -> Result<ConsumerState, ActorProcessingErr> {
        let reports = reports_to(&myself);
        let ConsumerArgs { context, partition, owner, start, shared, supervisor } = args;
        let lease = match shared {
            None => start_own_host(&context, partition, owner, start, reports)?,
            Some(shared) => shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .attach(partition, owner, start, reports)?,
        };
        Ok(ConsumerState { lease, owner, context, supervisor })
    }

    async fn handle(
        &self,
        myself: ActorRef<ConsumerMsg>,
        message: ConsumerMsg,
        state: &mut ConsumerState,
    ) -> Result<(), ActorProcessingErr> {
        handle(&myself, message, state)
    }
}

/// Sends a host's reports to an actor.
pub(super) fn reports_to(actor: &ActorRef<ConsumerMsg>) -> Reports {
    let actor = actor.clone();
    // A dead actor needs no reports.
    Arc::new(move |report| drop(actor.cast(ConsumerMsg::Host(report))))
}

/// What every consumer's actor does with its messages, whatever its host.
pub(super) fn handle(
    myself: &ActorRef<ConsumerMsg>,
    message: ConsumerMsg,
    state: &mut ConsumerState,
) -> Result<(), ActorProcessingErr> {
    let (consumer, incarnation) = (state.owner.consumer, state.owner.incarnation);
    match message {
        ConsumerMsg::Host(HostReport::Ready) => {
            state.context.note(Event::ConsumerReady { consumer, incarnation });
            let slot = SlotId::Consumer(consumer);
            state.supervisor.cast(SupervisorMsg::Ready(slot, incarnation))?;
        }
        ConsumerMsg::Host(HostReport::Failed(error)) => return Err(Box::new(error)),
        ConsumerMsg::Host(HostReport::Detached) => myself.stop(None),
        ConsumerMsg::Stop => {
            if !state.lease.detach() {
                myself.stop(None);
            }
        }
    }
    Ok(())
}
