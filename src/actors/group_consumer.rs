//! The actor of one member of the run's consumer group.

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Context;
use super::host::start_group_host;
use super::partition_consumer::{ConsumerMsg, ConsumerState, handle, reports_to};
use super::supervisor::SupervisorMsg;
use crate::measure::Owner;

/// Owns a member's host; the partitions come and go with the group's assignments.
pub(super) struct GroupConsumer;

/// What a member needs to start.
pub(super) struct MemberArgs {
    pub(super) context: Context,
    pub(super) owner: Owner,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

impl Actor for GroupConsumer {
    type Msg = ConsumerMsg;
    type State = ConsumerState;
    type Arguments = MemberArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ConsumerMsg>,
        args: MemberArgs,
    ) -> Result<ConsumerState, ActorProcessingErr> {
        let MemberArgs { context, owner, supervisor } = args;
        let lease = start_group_host(&context, owner, reports_to(&myself))?;
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
