//! The actor of one producer pool.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Context;
use super::host::{PoolHandle, PoolReport, PoolShared, start_pool};
use super::supervisor::{SlotId, SupervisorMsg};
use crate::base::Incarnation;

/// Owns a pool's thread.
pub(super) struct ProducerPool;

/// What a pool needs to start.
pub(super) struct PoolArgs {
    pub(super) context: Context,
    pub(super) shared: Arc<PoolShared>,
    pub(super) incarnation: Incarnation,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// What a pool's actor is told.
pub(super) enum PoolMsg {
    /// The host reports.
    Host(PoolReport),
    /// Send nothing more; wait for what is in flight.
    End,
}

impl Actor for ProducerPool {
    type Msg = PoolMsg;
    type State = PoolHandle;
    type Arguments = PoolArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<PoolMsg>,
        args: PoolArgs,
    ) -> Result<PoolHandle, ActorProcessingErr> {
        let slot = SlotId::Pool(args.shared.pool);
        let reports = myself.clone();
        let report = move |report| drop(reports.cast(PoolMsg::Host(report)));
        let handle = start_pool(&args.context, args.shared, args.incarnation, report)?;
        args.supervisor.cast(SupervisorMsg::Ready(slot, args.incarnation))?;
        Ok(handle)
    }

    async fn handle(
        &self,
        myself: ActorRef<PoolMsg>,
        message: PoolMsg,
        state: &mut PoolHandle,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PoolMsg::Host(PoolReport::Finished) => myself.stop(None),
            PoolMsg::Host(PoolReport::Failed(error)) => return Err(Box::new(error)),
            PoolMsg::End => state.end(),
        }
        Ok(())
    }
}
