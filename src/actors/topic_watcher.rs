//! The actor that sees a topic grow or vanish.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::host::Hosting;
use super::supervisor::SupervisorMsg;
use super::{Context, Timers};
use crate::broker::TopicSize;
use crate::broker::sim::KernelHandle;
use crate::logic::{TopicChange, TopicCheck, TopicWatch};
use crate::measure::Event;

/// Looks at the topic at the scenario's interval, with a client of its own.
pub(super) struct TopicWatcher;

/// Between two looks at a change that is not certain yet: brokers have heard of it by then.
const SOON: Duration = Duration::from_secs(1);

/// What the watcher needs.
pub(super) struct WatcherArgs {
    pub(super) context: Context,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// In real time the questions go through a thread of their own: they block.
pub(super) struct WatcherState {
    context: Context,
    supervisor: ActorRef<SupervisorMsg>,
    watch: TopicWatch,
    /// None where a topic never changes.
    ask: Option<Asks>,
}

/// The client the watcher asks.
enum Asks {
    /// A thread with a client of its own.
    Thread(Sender<()>),
    /// The kernel of a simulation.
    Kernel(KernelHandle),
}

/// What the watcher is told.
pub(super) enum WatcherMsg {
    /// It is time to look.
    Tick,
    /// The thread has an answer; none if the cluster gave none.
    Seen(Option<TopicSize>),
}

impl Actor for TopicWatcher {
    type Msg = WatcherMsg;
    type State = WatcherState;
    type Arguments = WatcherArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WatcherMsg>,
        args: WatcherArgs,
    ) -> Result<WatcherState, ActorProcessingErr> {
        let WatcherArgs { context, supervisor } = args;
        let ask = topic_query(&context, &myself)?;
        let watch = TopicWatch::new(context.measurements.cells.len() as u32);
        let state = WatcherState { context, supervisor, watch, ask };
        state.look_after(state.context.plan.topic.discover, &myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<WatcherMsg>,
        message: WatcherMsg,
        state: &mut WatcherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatcherMsg::Tick => match &state.ask {
                Some(Asks::Thread(ask)) => ask.send(())?,
                Some(Asks::Kernel(kernel)) => kernel.ask_watermarks(move |watermarks| {
                    let partitions = watermarks.len() as u32;
                    let size = TopicSize { partitions, led: partitions };
                    let _ = myself.cast(WatcherMsg::Seen(Some(size)));
                }),
                None => {}
            },
            WatcherMsg::Seen(size) => {
                let check = size
                    .map_or(TopicCheck::Later, |size| state.watch.seen(size.partitions, size.led));
                let interval = state.context.plan.topic.discover;
                let wait = if check == TopicCheck::Soon { SOON.min(interval) } else { interval };
                state.look_after(wait, &myself);
                if let TopicCheck::Certain(change) = check {
                    state.changed(change)?;
                }
            }
        }
        Ok(())
    }
}

impl WatcherState {
    fn look_after(&self, wait: Duration, myself: &ActorRef<WatcherMsg>) {
        if self.ask.is_some() {
            let at = self.context.clock.now() + wait;
            Timers::of(&self.context).send_at(at, myself, WatcherMsg::Tick);
        }
    }

    fn changed(&self, change: TopicChange) -> Result<(), ActorProcessingErr> {
        match change {
            TopicChange::Grown(partitions) => {
                self.context.grown(partitions);
                // A group's members may have told of it already; consumers of their own never do.
                self.supervisor.cast(SupervisorMsg::Grown)?;
            }
            TopicChange::Shrunk(left) => {
                self.context.note(Event::PartitionsGone { left });
                self.supervisor.cast(SupervisorMsg::Gone { left })?;
            }
        }
        Ok(())
    }
}

/// Starts the thread that asks, unless the topic never changes.
fn topic_query(
    context: &Context,
    myself: &ActorRef<WatcherMsg>,
) -> Result<Option<Asks>, ActorProcessingErr> {
    if let Hosting::Kernel(kernel) = &context.hosting {
        // Only faults change a simulated topic.
        return Ok(context.plan.grows().then(|| Asks::Kernel(kernel.clone())));
    }
    let Some(mut port) = context.cluster.topic()? else { return Ok(None) };
    let (ask, questions) = channel();
    let (context, answers) = (context.clone(), myself.clone());
    std::thread::Builder::new().name("topic".to_owned()).spawn(move || {
        // Ends when the actor's state, and with it the sender, is dropped.
        while questions.recv().is_ok() {
            let size = port.size();
            if let Err(error) = &size {
                context.note_client_error("topic", None, &error.message);
            }
            let _ = answers.cast(WatcherMsg::Seen(size.ok()));
        }
    })?;
    Ok(Some(Asks::Thread(ask)))
}
