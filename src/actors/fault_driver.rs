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

/// The fault of this number is due.
pub(super) struct FaultDue(usize);

impl Actor for FaultDriver {
    type Msg = FaultDue;
    type State = ActorRef<SupervisorMsg>;
    type Arguments = FaultDriverArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<FaultDue>,
        args: FaultDriverArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let timers = Timers::new(args.context.clock);
        for (number, fault) in args.context.plan.faults.iter().enumerate() {
            timers.send_at(args.start + fault.at, &myself, FaultDue(number));
        }
        Ok(args.supervisor)
    }

    async fn handle(
        &self,
        _myself: ActorRef<FaultDue>,
        FaultDue(number): FaultDue,
        supervisor: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        supervisor.cast(SupervisorMsg::Inject(number))?;
        Ok(())
    }
}
