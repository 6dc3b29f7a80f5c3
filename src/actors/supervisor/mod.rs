//! The supervisor: one slot per consumer and per pool, each restarted by its own pure machine.

mod children;
mod child_exit;
mod faults;
mod topic_changes;
mod group_members;
mod recovery;
mod status;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;

pub(super) use self::children::SlotId;
use self::children::{Child, Failure};
pub use self::status::Status;
use super::fault_driver::{FaultDriver, FaultDriverArgs};
use super::host::{PoolShared, SharedHost};
use super::offset_oracle::{OffsetOracle, OracleMsg};
use super::topic_watcher::{TopicWatcher, WatcherArgs};
use super::{Context, Timers};
use crate::base::{ConsumerId, Incarnation, Random, Time};
use crate::logic::{Action, Gate, PoisonWatch, Reaper, Slot, SlotEvent, Watchdog};
use crate::measure::{Heartbeat, Owner};
use crate::plan::{ClientTopology, Membership};

/// The root of a run's actors. Lives on a runtime of its own, so no blocked handler can starve it.
#[derive(Debug)]
pub struct Supervisor;

/// What the supervisor needs.
#[derive(Debug)]
pub struct SupervisorArgs {
    /// The run's surroundings.
    pub context: Context,
    /// Where the state of the run is published.
    pub status: watch::Sender<Status>,
}

/// What the supervisor is told.
#[derive(Debug)]
pub enum SupervisorMsg {
    /// Start every consumer and the offset oracle.
    StartConsumers,
    /// Start every pool, and schedule the faults from `start` on.
    StartLoad {
        /// The pools' schedules.
        pools: Vec<Arc<PoolShared>>,
        /// Start of the load.
        start: Time,
    },
    /// An incarnation is up.
    Ready(SlotId, Incarnation),
    /// A restart's timer fired.
    Timer(SlotId, u64),
    /// The gate's timer of this generation fired.
    GateTimer(u64),
    /// The gate lets a slot through.
    Resume(SlotId),
    /// The thread of an incarnation has ended.
    Closed(Owner),
    /// Check the watchdogs of all consumers.
    CheckWatchdogs,
    /// Occurrence number n of the faults is due.
    Inject(usize),
    /// Occurrence number n of the faults is over.
    Heal(usize),
    /// The topic has more partitions than before.
    Grown,
    /// The topic has only so many partitions left.
    Gone {
        /// 0 when there is no such topic any more.
        left: u32,
    },
    /// End the pools' schedules.
    EndLoad,
    /// Stop every consumer, in order of their ids.
    StopConsumers,
}

/// What the supervisor knows.
#[derive(Debug)]
pub struct SupervisorState {
    context: Context,
    timers: Timers,
    /// Ordered by our own ids: ractor's map of children is not.
    children: BTreeMap<SlotId, Child>,
    by_actor: BTreeMap<ActorId, (SlotId, Incarnation)>,
    shared: Option<Arc<Mutex<SharedHost>>>,
    oracle: Option<ActorRef<OracleMsg>>,
    /// Held back here when many consumers fail together.
    gate: Gate<SlotId>,
    gate_random: Random,
    poison: PoisonWatch,
    reaper: Reaper,
    /// Nothing is broken any more once the load was told to end.
    load_is_over: bool,
    status: watch::Sender<Status>,
    /// Whether consumers are being stopped for good.
    stopping: bool,
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
        let SupervisorArgs { context, status } = args;
        let shared = match context.plan.consumers.membership {
            Membership::Assigned { clients: ClientTopology::Shared } => {
                Some(Arc::new(Mutex::new(SharedHost::new(context.clone()))))
            }
            _ => None,
        };
        Ok(SupervisorState {
            timers: Timers::of(&context),
            children: BTreeMap::new(),
            by_actor: BTreeMap::new(),
            shared,
            oracle: None,
            gate: Gate::new(context.plan.members() as usize, context.plan.restart),
            gate_random: context.seed.child("gate", 0).random(),
            poison: PoisonWatch::new(context.plan.consumers.poison),
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
            SupervisorMsg::StartLoad { pools, start } => {
                state.start_load(&myself, pools, start).await?;
            }
            SupervisorMsg::Ready(slot, incarnation) => {
                state.step(&myself, slot, SlotEvent::Ready(incarnation)).await;
                state.ready(slot);
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
            // The child's state comes with the event and is dropped here: it holds a lease and nothing that
            // blocks, see `host::Lease`.
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
    fn slots(&self, which: impl Fn(&SlotId) -> bool) -> Vec<SlotId> {
        self.children.keys().copied().filter(which).collect()
    }

    async fn start_consumers(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
    ) -> Result<(), ActorProcessingErr> {
        let (oracle, _) =
            Actor::spawn_linked(None, OffsetOracle, self.context.clone(), myself.get_cell())
                .await?;
        self.oracle = Some(oracle);
        for id in 0..self.context.plan.members() {
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
        let context = self.context.clone();
        let args = FaultDriverArgs { context, start, supervisor: myself.clone() };
        Actor::spawn_linked(None, FaultDriver, args, myself.get_cell()).await?;
        let (context, supervisor) = (self.context.clone(), myself.clone());
        let args = WatcherArgs { context, supervisor };
        Actor::spawn_linked(None, TopicWatcher, args, myself.get_cell()).await?;
        Ok(())
    }

    async fn add(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        pool: Option<Arc<PoolShared>>,
    ) {
        let slot = Slot::new(self.context.plan.restart);
        let random = self.context.seed.child("restart", id.number()).random();
        let heartbeat = Arc::new(Heartbeat::new(self.context.clock.now()));
        let watchdog = Watchdog::new(self.context.plan.watch, self.context.clock.now());
        let mut child = Child::new(slot, random, pool, heartbeat, watchdog);
        let actions = child.slot.start();
        self.children.insert(id, child);
        self.perform(myself, id, actions, None).await;
    }

    /// Gives a slot an event and does what its machine says. A start that fails is an event again.
    async fn step(&mut self, myself: &ActorRef<SupervisorMsg>, id: SlotId, event: SlotEvent) {
        self.step_after(myself, id, event, None).await;
    }

    async fn step_after(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        event: SlotEvent,
        fault: Option<usize>,
    ) {
        let now = self.context.clock.now();
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let actions = child.slot.step(event, now, &mut child.random);
        self.perform(myself, id, actions, fault).await;
    }

    async fn perform(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: SlotId,
        actions: Vec<Action>,
        fault: Option<usize>,
    ) {
        for action in actions {
            match action {
                Action::Release(next) => self.release(id, next, fault),
                Action::Start(incarnation) => self.start(myself, id, incarnation).await,
                Action::SetTimer { generation, delay } => {
                    self.note_restart(id, delay);
                    let at = self.context.clock.now() + delay;
                    self.timers.send_at(at, myself, SupervisorMsg::Timer(id, generation));
                }
                Action::Stop(_) => self.children[&id].stop(),
                Action::GiveUp { reason } => self.give_up(id, reason),
            }
        }
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
