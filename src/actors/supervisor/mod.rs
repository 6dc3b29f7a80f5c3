//! The supervisor: one slot per consumer and per pool, each restarted by its own pure machine.

mod child_exit;
mod children;
mod faults;
mod state;
mod watchdogs;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

use self::state::{Failure, SupervisorState};
use super::clients::SharedHost;
use super::cluster_watch::{EndOffsetPoller, TopicWatcher, WatcherArgs};
use super::commands::Commands;
use super::lease::PoolShared;
use super::messages::{SlotId, SupervisorMsg};
use super::runtime::Context;
use crate::base::{ConsumerId, Incarnation, Time};
use crate::logic::{Gate, PoisonWatch, Reaper, SlotEvent, UnreleasedIds};
use crate::plan::{ClientTopology, Membership};

pub use self::state::Status;

/// The root of a run's actors. It has a runtime of its own, so that a handler that blocks cannot delay it.
#[derive(Debug)]
pub struct Supervisor;

/// The arguments of the supervisor.
#[derive(Debug)]
pub struct SupervisorArgs {
    /// The context of the run.
    pub context: Context,
    /// The user's own commands, which `exec` faults run.
    pub commands: Arc<Commands>,
    /// Publishes the state of the run.
    pub status: watch::Sender<Status>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let SupervisorArgs { context, commands, status } = args;
        let shared = match context.plan.consumers.membership {
            Membership::Assigned { clients: ClientTopology::Shared } => {
                Some(Arc::new(Mutex::new(SharedHost::new(context.clone()))))
            }
            _ => None,
        };
        Ok(SupervisorState {
            commands,
            children: BTreeMap::new(),
            by_actor: BTreeMap::new(),
            shared,
            end_offset_poller: None,
            gate: Gate::new(context.plan.members() as usize, context.plan.restart),
            gate_random: context.seed.child("gate", 0).random(),
            poison: PoisonWatch::new(context.plan.consumers.poison),
            unreleased: UnreleasedIds::default(),
            reaper: Reaper::new(context.plan.watch.close),
            load_is_over: false,
            status,
            stopping: false,
            context,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::StartConsumers => state.start_consumers(&myself).await?,
            SupervisorMsg::StartBacklog { pools } => {
                for shared in pools {
                    state.add(&myself, SlotId::Pool(shared.pool), Some(shared)).await;
                }
            }
            SupervisorMsg::EndBacklog => state.children.retain(|id, _| id.is_consumer()),
            SupervisorMsg::StartLoad { pools, start } => {
                state.start_load(&myself, pools, start).await?;
            }
            SupervisorMsg::Ready(slot, incarnation) => {
                state.step(&myself, slot, SlotEvent::Ready(incarnation)).await;
                state.ready(slot);
                if let SlotId::Consumer(consumer) = slot {
                    state.unreleased.joined(consumer);
                }
                if incarnation == Incarnation(1) {
                    state.joined(slot);
                }
                let effects = state.gate.ready(slot);
                state.gate_effects(&myself, effects).await;
            }
            SupervisorMsg::GateTimer(generation) => {
                let effects = state.gate.timer(generation, &mut state.gate_random);
                state.gate_effects(&myself, effects).await;
            }
            SupervisorMsg::Closed(owner) => state.reaper.closed(owner),
            SupervisorMsg::CheckWatchdogs => state.check_watchdogs(&myself),
            SupervisorMsg::Resume(slot) => state.step(&myself, slot, SlotEvent::Resume).await,
            SupervisorMsg::Timer(slot, generation) => {
                state.step(&myself, slot, SlotEvent::Timer(generation)).await;
            }
            SupervisorMsg::Inject(number) => {
                state.inject(number);
                state.join(&myself, number).await;
            }
            SupervisorMsg::Heal(number) => {
                state.heal(number);
                state.leave(&myself, number).await;
            }
            SupervisorMsg::Grown => state.grown(&myself).await,
            SupervisorMsg::Gone { left } => state.stall_deleted_partitions(left),
            SupervisorMsg::EndLoad => state.end_load(),
            SupervisorMsg::StopConsumers => {
                state.stopping = true;
                state.context.active_faults.end();
                for slot in state.slots(SlotId::is_consumer) {
                    state.step(&myself, slot, SlotEvent::Stop).await;
                }
            }
        }
        state.publish();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(actor, error) => {
                let failure = Failure::from_error(&error);
                state.ended(&myself, actor.get_id(), Some(failure)).await;
            }
            // The child's state comes with the event and is dropped here. It holds a lease, which does not block when
            // it is dropped.
            SupervisionEvent::ActorTerminated(actor, _state, reason) => {
                let failure = (reason.as_deref() == Some("killed")).then_some(Failure::Killed);
                state.ended(&myself, actor.get_id(), failure).await;
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        state.publish();
        Ok(())
    }
}

impl SupervisorState {
    /// The ids of the slots for which `which` returns true.
    fn slots(&self, which: impl Fn(&SlotId) -> bool) -> Vec<SlotId> {
        self.children.keys().copied().filter(which).collect()
    }

    async fn start_consumers(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
    ) -> Result<(), ActorProcessingErr> {
        let (end_offset_poller, _) =
            Actor::spawn_linked(None, EndOffsetPoller, self.context.clone(), myself.get_cell())
                .await?;
        self.end_offset_poller = Some(end_offset_poller);
        for id in 0..self.context.plan.members() {
            if !self.context.plan.starts(ConsumerId(id)) {
                continue;
            }
            self.add(myself, SlotId::Consumer(ConsumerId(id)), None).await;
        }
        self.schedule_check(myself, self.context.clock.now());
        Ok(())
    }

    async fn start_load(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        pools: Vec<Arc<PoolShared>>,
        start: Time,
    ) -> Result<(), ActorProcessingErr> {
        for shared in pools {
            self.add(myself, SlotId::Pool(shared.pool), Some(shared)).await;
        }
        for (number, fault) in self.context.plan.faults.iter().enumerate() {
            let inject = SupervisorMsg::Inject(number);
            self.context.send_at(start + fault.at, myself, inject);
            if fault.lasts.is_some() {
                self.context.send_at(start + fault.end(), myself, SupervisorMsg::Heal(number));
            }
        }
        let (context, supervisor) = (self.context.clone(), myself.clone());
        let args = WatcherArgs { context, supervisor };
        Actor::spawn_linked(None, TopicWatcher, args, myself.get_cell()).await?;
        Ok(())
    }

    fn end_load(&mut self) {
        self.load_is_over = true;
        self.context.active_faults.calls().clear();
        for (id, child) in &self.children {
            if !id.is_consumer() {
                child.stop();
            }
        }
    }

    fn publish(&self) {
        let status = Status::of(&self.children, self.reaper.abandoned());
        self.status.send_if_modified(|published| {
            let changed = *published != status;
            *published = status;
            changed
        });
    }
}
