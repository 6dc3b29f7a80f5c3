//! The actor that knows where partitions end, independently of any consumer.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::host::EndOffsetQuery;
use super::{Context, Timers};

/// Asks for end offsets: once a second, and much more often while a partition is recovering.
pub(super) struct OffsetOracle;

/// Between two questions as a rule.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two questions while a partition is behind after a failure.
const INTERVAL_RECOVERING: Duration = Duration::from_millis(10);

/// What the oracle knows.
pub(super) struct OracleState {
    context: Context,
    ends: EndOffsetQuery,
    asking: bool,
    generation: u64,
}

/// What the oracle is told.
pub(super) enum OracleMsg {
    /// A timer of this generation fired.
    Tick(u64),
    /// A partition has just been restarted: ask now.
    Hurry,
    /// An answer came, and is entered.
    Answered,
}

impl Actor for OffsetOracle {
    type Msg = OracleMsg;
    type State = OracleState;
    type Arguments = Context;

    async fn pre_start(
        &self,
        myself: ActorRef<OracleMsg>,
        context: Context,
    ) -> Result<OracleState, ActorProcessingErr> {
        let (measured, answers) = (context.clone(), myself.clone());
        let ends = EndOffsetQuery::new(&context, move |answer| {
            match answer {
                Ok((asked, ends)) => {
                    measured.measurements.observe_ends(&ends, asked, measured.clock.now());
                }
                Err(error) => measured.note_client_error("end-offsets", None, &error.message),
            }
            let _ = answers.cast(OracleMsg::Answered);
        })?;
        let mut state = OracleState { context, ends, asking: false, generation: 0 };
        state.ask();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<OracleMsg>,
        message: OracleMsg,
        state: &mut OracleState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OracleMsg::Tick(generation) if generation == state.generation => state.ask(),
            OracleMsg::Tick(_) => {}
            OracleMsg::Hurry => state.ask(),
            OracleMsg::Answered => {
                state.asking = false;
                state.generation += 1;
                let recovering =
                    state.context.measurements.is_recovering(state.context.clock.now());
                let interval = if recovering { INTERVAL_RECOVERING } else { INTERVAL };
                let tick = OracleMsg::Tick(state.generation);
                let at = state.context.clock.now() + interval;
                Timers::of(&state.context).send_at(at, &myself, tick);
            }
        }
        Ok(())
    }
}

impl OracleState {
    /// At most one question is under way; its answer brings the next one.
    fn ask(&mut self) {
        if !self.asking {
            self.asking = self.ends.ask();
        }
    }
}
