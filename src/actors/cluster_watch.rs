//! The actors that watch the cluster, independently of any consumer: one asks for the end offsets of the partitions,
//! the other detects that the topic grows or is deleted.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::messages::{PollerMsg, SupervisorMsg, WatcherMsg};
use super::runtime::{Context, Query};
use crate::base::PARTITIONS_MAX;
use crate::broker::TopicSize;
use crate::logic::{TopicChange, TopicCheck, TopicWatch};
use crate::measure::Event;

/// Asks for end offsets once a second, and every 10 ms while a partition recovers or a stage of the load waits for a
/// lag of 0.
pub(super) struct EndOffsetPoller;

/// Time between two queries as a rule.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two queries while a partition is behind after a failure.
const INTERVAL_RECOVERING: Duration = Duration::from_millis(10);

/// The query, whether an answer to it is outstanding, and the generation of the current timer.
pub(super) struct PollerState {
    context: Context,
    ask: Query,
    asking: bool,
    generation: u64,
}

impl Actor for EndOffsetPoller {
    type Msg = PollerMsg;
    type State = PollerState;
    type Arguments = Context;

    async fn pre_start(
        &self,
        myself: ActorRef<PollerMsg>,
        context: Context,
    ) -> Result<PollerState, ActorProcessingErr> {
        let measured = context.clone();
        let ask = context.runtime.end_offset_query(Arc::new(move |answer| {
            match answer {
                Ok((asked, ends)) => {
                    let now = measured.clock.now();
                    measured.measurements.observe_ends(&ends, asked, now);
                    measured.measurements.end_waiting_stage(asked, now);
                }
                Err(error) => {
                    let now = measured.clock.now();
                    measured.note_client_error(now, "end-offsets", None, &error.message);
                }
            }
            let _ = myself.cast(PollerMsg::Answered);
        }))?;
        let mut state = PollerState { context, ask, asking: false, generation: 0 };
        state.ask();
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<PollerMsg>,
        message: PollerMsg,
        state: &mut PollerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            PollerMsg::Tick(generation) if generation == state.generation => state.ask(),
            PollerMsg::Tick(_) => {}
            PollerMsg::AskNow => state.ask(),
            PollerMsg::Answered => {
                state.asking = false;
                state.generation += 1;
                let (measurements, now) = (&state.context.measurements, state.context.clock.now());
                let soon = now + INTERVAL_RECOVERING;
                let at = if measurements.is_recovering(now) { soon } else { now + INTERVAL };
                // A stage that waits for a lag of 0 needs the same short interval.
                let waits_from = measurements.stages.waits_from(now);
                let at = waits_from.map_or(at, |from| at.min(from.max(soon)));
                state.context.send_at(at, &myself, PollerMsg::Tick(state.generation));
            }
        }
        Ok(())
    }
}

impl PollerState {
    /// At most one query is outstanding; its answer schedules the next one.
    fn ask(&mut self) {
        if !self.asking {
            self.asking = (self.ask)();
        }
    }
}

/// Asks for the size of the topic at the scenario's interval (`topic.discover`), with a client of its own.
pub(super) struct TopicWatcher;

/// Time until a change that was seen once is checked again. Brokers learn of a change within this time.
const SOON: Duration = Duration::from_secs(1);

/// The arguments of the actor.
pub(super) struct WatcherArgs {
    pub(super) context: Context,
    pub(super) supervisor: ActorRef<SupervisorMsg>,
}

/// The query for the topic, and the machine that evaluates its answers.
pub(super) struct WatcherState {
    context: Context,
    supervisor: ActorRef<SupervisorMsg>,
    watch: TopicWatch,
    /// `None` where a topic never changes.
    ask: Option<Query>,
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
        let (asker, answers) = (context.clone(), myself.clone());
        let ask = context.runtime.topic_query(Arc::new(move |size| {
            if let Err(error) = &size {
                asker.note_client_error(asker.clock.now(), "topic", None, &error.message);
            }
            let seen = size.ok().map(|TopicSize { partitions, led, brokers }| {
                let now = asker.clock.now();
                for (id, its) in brokers.into_iter().take(PARTITIONS_MAX) {
                    asker.measurements.note_brokers(now, id, its);
                }
                (partitions, led)
            });
            let _ = answers.cast(WatcherMsg::Seen(seen));
        }))?;
        let watch = TopicWatch::new(context.measurements.cells.len() as u32);
        let state = WatcherState { context, supervisor, watch, ask };
        // The first query is immediate, so that the leaders at the start are known, unless the runtime notes leaders
        // itself.
        let first = match state.context.runtime.knows_leaders() {
            true => state.context.plan.topic.discover,
            false => Duration::ZERO,
        };
        state.look_after(first, &myself);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<WatcherMsg>,
        message: WatcherMsg,
        state: &mut WatcherState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WatcherMsg::Tick => {
                if !state.ask.as_ref().is_none_or(|ask| ask()) {
                    return Err("nothing answers for the topic any more".into());
                }
            }
            WatcherMsg::Seen(size) => {
                let check = size.map_or(TopicCheck::Later, |(partitions, led)| {
                    state.watch.seen(partitions, led)
                });
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
            self.context.send_at(self.context.clock.now() + wait, myself, WatcherMsg::Tick);
        }
    }

    fn changed(&self, change: TopicChange) -> Result<(), ActorProcessingErr> {
        match change {
            TopicChange::Grown(partitions) => {
                self.context.grown(self.context.clock.now(), partitions);
                // The members of a group may have reported it before; consumers with a fixed partition never do.
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
