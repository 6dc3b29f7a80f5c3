//! What the supervisor holds: its slots with their actors, and the state of the run that follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ractor::{ActorId, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::actors::clients::{HostFailure, SharedHost};
use crate::actors::commands::Commands;
use crate::actors::lease::PoolShared;
use crate::actors::lease::{ConsumerMsg, OracleMsg, PoolMsg, SlotId};
use crate::actors::runtime::Context;
use crate::base::{Incarnation, Random};
use crate::broker::ErrorClass;
use crate::logic::{Gate, PoisonWatch, Reaper, Slot, SlotState, Watchdog};
use crate::measure::Heartbeat;

/// What the supervisor knows.
#[derive(Debug)]
pub struct SupervisorState {
    pub(super) context: Context,
    /// The user's own commands.
    pub(super) commands: Arc<Commands>,
    /// Ordered by our own ids: ractor's map of children is not.
    pub(super) children: BTreeMap<SlotId, Child>,
    pub(super) by_actor: BTreeMap<ActorId, (SlotId, Incarnation)>,
    pub(super) shared: Option<Arc<Mutex<SharedHost>>>,
    pub(super) oracle: Option<ActorRef<OracleMsg>>,
    /// Held back here when many consumers fail together.
    pub(super) gate: Gate<SlotId>,
    pub(super) gate_random: Random,
    pub(super) poison: PoisonWatch,
    pub(super) reaper: Reaper,
    /// Nothing is broken any more once the load was told to end.
    pub(super) load_is_over: bool,
    pub(super) status: watch::Sender<Status>,
    /// Whether consumers are being stopped for good.
    pub(super) stopping: bool,
}

/// A slot with its actor.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) slot: Slot,
    pub(super) random: Random,
    /// A pool's schedules.
    pub(super) pool: Option<Arc<PoolShared>>,
    pub(super) actor: Option<ChildRef>,
    /// The fault that is about to end it.
    pub(super) fault: Option<usize>,
    /// The fault for which it was asked to stop.
    pub(super) stopping_for: Option<usize>,
    /// Why it is given up.
    pub(super) given_up: Option<String>,
    /// The heartbeat of its incarnation.
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) watchdog: Watchdog,
    /// Why the supervisor has killed it, unless a fault did.
    pub(super) kill_reason: Option<KillReason>,
}

/// Why the supervisor kills an incarnation: the reason of its exit.
#[derive(Debug)]
pub(super) enum KillReason {
    /// It hangs; another one may not.
    Replaced(String),
    /// Another one would hang, too.
    GivenUp(String),
    /// Its partition is gone for good.
    Definite(String),
}

/// A child's actor.
#[derive(Debug)]
pub(super) enum ChildRef {
    Consumer(ActorRef<ConsumerMsg>),
    Pool(ActorRef<PoolMsg>),
}

impl Child {
    /// A slot nothing has happened to yet.
    pub(super) fn new(
        slot: Slot,
        random: Random,
        pool: Option<Arc<PoolShared>>,
        heartbeat: Arc<Heartbeat>,
        watchdog: Watchdog,
    ) -> Child {
        Child {
            slot,
            random,
            pool,
            actor: None,
            fault: None,
            stopping_for: None,
            given_up: None,
            heartbeat,
            watchdog,
            kill_reason: None,
        }
    }

    /// Asks the actor to stop in order. One that is dead already needs no asking.
    pub(super) fn stop(&self) {
        match &self.actor {
            Some(ChildRef::Consumer(actor)) => drop(actor.cast(ConsumerMsg::Stop)),
            Some(ChildRef::Pool(actor)) => drop(actor.cast(PoolMsg::End)),
            None => {}
        }
    }

    /// Kills the actor for fault number `fault`, if there is a live one.
    pub(super) fn kill(&mut self, fault: usize) {
        if self.kill_actor() {
            self.fault = Some(fault);
        }
    }

    /// Kills the actor for a reason of the supervisor's own, if there is a live one.
    pub(super) fn kill_for(&mut self, kill_reason: KillReason) {
        if self.kill_actor() {
            self.kill_reason = Some(kill_reason);
        }
    }

    fn kill_actor(&self) -> bool {
        let cell = match &self.actor {
            _ if !self.slot.is_live() => return false,
            Some(ChildRef::Consumer(actor)) => actor.get_cell(),
            Some(ChildRef::Pool(actor)) => actor.get_cell(),
            None => return false,
        };
        cell.kill();
        true
    }

    /// Asks the actor to stop in order for fault number `fault`, to be started again.
    pub(super) fn stop_for(&mut self, fault: usize) {
        self.stopping_for = Some(fault);
        self.stop();
    }
}

/// How a child's actor died.
#[derive(Debug)]
pub(super) enum Failure {
    /// By `kill()`.
    Killed,
    /// In order, because a fault asked for it.
    Stopped,
    /// With an error a restart may mend.
    Failed(String),
    /// With an error of the client or the cluster.
    Broker(String),
    /// On a record its handler calls poison.
    Poison(String),
    /// Of something no restart has helped against.
    Hopeless(String),
    /// With an error a restart cannot mend.
    Definite(String),
}

impl Failure {
    pub(super) fn from_error(error: &ActorProcessingErr) -> Failure {
        let reason = error.to_string();
        match error.downcast_ref::<HostFailure>().map(|failure| failure.class) {
            Some(class) if class.is_definite() => Failure::Definite(reason),
            Some(ErrorClass::Poison) => Failure::Poison(reason),
            Some(ErrorClass::Fatal) => Failure::Broker(reason),
            _ => Failure::Failed(reason),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Killed => f.write_str("killed"),
            Failure::Stopped => f.write_str("stopped by a fault"),
            Failure::Failed(reason)
            | Failure::Broker(reason)
            | Failure::Poison(reason)
            | Failure::Hopeless(reason)
            | Failure::Definite(reason) => f.write_str(reason),
        }
    }
}

/// The state of all slots at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Consumers that are up.
    pub consumers_running: usize,
    /// Consumers that were up at least once.
    pub consumers_started: usize,
    /// Whether every consumer has come to its end.
    pub consumers_over: bool,
    /// Whether there are pools, and every one has come to its end.
    pub pools_over: bool,
    /// Restarts by consumer.
    pub restarts: BTreeMap<u32, u32>,
    /// Consumers given up, with the reason.
    pub given_up: BTreeMap<u32, String>,
    /// Threads of given-up incarnations that have not ended in time.
    pub abandoned: u32,
    /// Pools given up, with the reason.
    pub pools_given_up: BTreeMap<u32, String>,
}

impl Status {
    pub(super) fn of(children: &BTreeMap<SlotId, Child>, abandoned: u32) -> Status {
        let mut status = Status { consumers_over: true, abandoned, ..Status::default() };
        let (mut pools, mut pools_over) = (0, 0);
        for (id, child) in children {
            match id {
                SlotId::Consumer(consumer) => {
                    status.consumers_over &= child.slot.is_over();
                    status.consumers_running +=
                        usize::from(child.slot.state() == SlotState::Running);
                    status.consumers_started += usize::from(child.slot.was_up());
                    status.restarts.insert(consumer.0, child.slot.restarts());
                    if let Some(reason) = &child.given_up {
                        status.given_up.insert(consumer.0, reason.clone());
                    }
                }
                SlotId::Pool(pool) => {
                    pools += 1;
                    pools_over += usize::from(child.slot.is_over());
                    if let Some(reason) = &child.given_up {
                        status.pools_given_up.insert(pool.0, reason.clone());
                    }
                }
            }
        }
        status.pools_over = pools > 0 && pools == pools_over;
        status
    }
}
