//! The actor that puts faults in at their times.

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::supervisor::SupervisorMsg;
use super::{Context, Timers};
use crate::base::Time;

/// Knows the fault plan and nothing else.
pub(super) struct FaultDriver;

/// What the driver needs.
pub(super) struct FaultDriverArgs {
    pub(super) context: Context,
    /// Start of the load: fault times count from it.
    pub(super) start: Time,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// What the driver is told by its timers.
pub(super) enum FaultMsg {
    /// The occurrence of this number is due.
    Due(usize),
    /// The occurrence of this number is over.
    Over(usize),
}

impl Actor for FaultDriver {
    type Msg = FaultMsg;
    type State = ActorRef<SupervisorMsg>;
    type Arguments = FaultDriverArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<FaultMsg>,
        args: FaultDriverArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let timers = Timers::of(&args.context);
        for (number, fault) in args.context.plan.faults.iter().enumerate() {
            timers.send_at(args.start + fault.at, &myself, FaultMsg::Due(number));
            if fault.lasts.is_some() {
                timers.send_at(args.start + fault.end(), &myself, FaultMsg::Over(number));
            }
        }
        Ok(args.supervisor)
    }

    async fn handle(
        &self,
        _myself: ActorRef<FaultMsg>,
        message: FaultMsg,
        supervisor: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        supervisor.cast(match message {
            FaultMsg::Due(number) => SupervisorMsg::Inject(number),
            FaultMsg::Over(number) => SupervisorMsg::Heal(number),
        })?;
        Ok(())
    }
}
