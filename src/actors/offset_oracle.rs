//! The actor that knows where partitions end, independently of any consumer.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{Context, Timers};
use crate::broker::EndOffsets;

/// Asks for end offsets: once a second, and much more often while a partition is recovering.
pub(super) struct OffsetOracle;

/// Between two questions as a rule.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two questions while a partition is behind after a failure.
const INTERVAL_RECOVERING: Duration = Duration::from_millis(10);

/// The oracle's questions go through a thread of its own: they block.
pub(super) struct OracleState {
    context: Context,
    ask: Sender<()>,
    asking: bool,
    generation: u64,
}

/// What the oracle is told.
pub(super) enum OracleMsg {
    /// A timer of this generation fired.
    Tick(u64),
    /// A partition has just been restarted: ask now.
    Hurry,
    /// The thread has an answer, and entered it.
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
        let (ask, questions) = channel();
        let client = context.cluster.end_offsets()?;
        let (thread_context, answers) = (context.clone(), myself.clone());
        std::thread::Builder::new().name("end-offsets".to_owned()).spawn(move || {
            let mut client = client;
            // Ends when the actor's state, and with it the sender, is dropped.
            while questions.recv().is_ok() {
                answer(&thread_context, &mut *client);
                let _ = answers.cast(OracleMsg::Answered);
            }
        })?;
        let mut state = OracleState { context, ask, asking: false, generation: 0 };
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
                let recovering = state.context.board.is_recovering();
                let interval = if recovering { INTERVAL_RECOVERING } else { INTERVAL };
                let clock = state.context.clock;
                let tick = OracleMsg::Tick(state.generation);
                Timers::new(clock).send_at(clock.now() + interval, &myself, tick);
            }
        }
        Ok(())
    }
}

impl OracleState {
    /// At most one question is under way; its answer brings the next one.
    fn ask(&mut self) {
        if !self.asking {
            self.asking = self.ask.send(()).is_ok();
        }
    }
}

fn answer(context: &Context, client: &mut dyn EndOffsets) {
    match client.fetch() {
        Ok(ends) => context.board.observe_ends(&ends, context.clock.now()),
        Err(error) => context.note_client_error("end-offsets", None, &error.message),
    }
}
