//! The supervisor: one slot per consumer and per pool, each restarted by its own pure machine.

mod children;
mod faults;
mod recovery;
mod status;

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
use super::{Context, Timers};
use crate::base::{ConsumerId, Incarnation, Offset, PoolId, Time};
use crate::logic::{Action, Cause, Slot, SlotEvent};
use crate::measure::Event;
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
    /// Occurrence number n of the faults is due.
    Inject(usize),
    /// Occurrence number n of the faults is over.
    Heal(usize),
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
    status: watch::Sender<Status>,
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
            timers: Timers::new(context.clock),
            context,
            children: BTreeMap::new(),
            by_actor: BTreeMap::new(),
            shared,
            oracle: None,
            status,
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
            }
            SupervisorMsg::Timer(slot, generation) => {
                state.step(&myself, slot, SlotEvent::Timer(generation)).await;
            }
            SupervisorMsg::Inject(number) => state.inject(number),
            SupervisorMsg::Heal(number) => state.heal(number),
            SupervisorMsg::EndLoad => state.end_load(),
            SupervisorMsg::StopConsumers => {
                state.context.sabotage.end();
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
        let mut child = Child::new(slot, random, pool);
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

    /// A child's actor has ended, with a failure or as asked.
    async fn ended(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        actor: ActorId,
        failure: Option<Failure>,
    ) {
        let Some((id, incarnation)) = self.by_actor.remove(&actor) else {
            if let Some(failure) = failure {
                tracing::error!(%failure, "a control actor has died");
            }
            return;
        };
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        let stopped_for = child.stopping_for.take().filter(|_| !child.slot.is_stopping());
        let failure = failure.or(stopped_for.map(|_| Failure::Stopped));
        let Some(failure) = failure else {
            if let SlotId::Pool(pool) = id {
                self.context.note(Event::PoolFinished { pool });
            }
            self.step(myself, id, SlotEvent::Stopped(incarnation)).await;
            return;
        };
        let trap = match id {
            SlotId::Consumer(consumer) => self.context.sabotage.take_cause(consumer),
            SlotId::Pool(_) => None,
        };
        let blow = child.fault.take().or(stopped_for);
        let fault = blow.or(trap);
        let cause = match (&failure, blow) {
            (Failure::Killed | Failure::Stopped, Some(_)) => Cause::Injected,
            (Failure::Definite(reason), _) => Cause::Definite(reason.clone()),
            (failure, _) => Cause::Failed(failure.to_string()),
        };
        self.note_failure(id, incarnation, &failure, fault);
        let checkpoint = self.checkpoint(id);
        let event = SlotEvent::Ended { incarnation, cause, checkpoint };
        self.step_after(myself, id, event, fault).await;
    }

    /// How far a slot has come, as a number that only grows with progress.
    fn checkpoint(&self, id: SlotId) -> Offset {
        let board = &self.context.board;
        match id {
            SlotId::Consumer(consumer) if self.context.plan.group().is_none() => {
                board.cells[consumer.0 as usize].lock().next_offset()
            }
            SlotId::Consumer(_) => {
                Offset(board.cells.iter().map(|cell| cell.lock().next_offset().0).sum())
            }
            SlotId::Pool(PoolId(pool)) => Offset(board.pools[pool as usize].lock().sent as i64),
        }
    }

    fn end_load(&self) {
        for (id, child) in &self.children {
            if !id.is_consumer() {
                child.stop();
            }
        }
    }

    fn publish(&self) {
        let status = Status::of(&self.children);
        self.status.send_if_modified(|published| {
            let changed = *published != status;
            *published = status;
            changed
        });
    }
}
