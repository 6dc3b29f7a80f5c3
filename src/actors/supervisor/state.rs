//! The state of the supervisor: its slots with their actors, and the state of the run that follows from them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ractor::{ActorId, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::actors::clients::{HostFailure, SharedHost};
use crate::actors::commands::Commands;
use crate::actors::lease::PoolShared;
use crate::actors::messages::{ConsumerMsg, PollerMsg, PoolMsg, SlotId};
use crate::actors::runtime::Context;
use crate::base::{Incarnation, Random};
use crate::broker::ErrorClass;
use crate::logic::{Gate, PoisonWatch, Reaper, Slot, SlotState, UnreleasedIds, Watchdog};
use crate::measure::Heartbeat;

/// The state of the supervisor.
#[derive(Debug)]
pub struct SupervisorState {
    pub(super) context: Context,
    /// The user's own commands, which `exec` faults run.
    pub(super) commands: Arc<Commands>,
    /// In the order of our own ids, because the order of ractor's map of children is random.
    pub(super) children: BTreeMap<SlotId, Child>,
    pub(super) by_actor: BTreeMap<ActorId, (SlotId, Incarnation)>,
    pub(super) shared: Option<Arc<Mutex<SharedHost>>>,
    pub(super) end_offset_poller: Option<ActorRef<PollerMsg>>,
    /// Holds slots back when many fail together.
    pub(super) gate: Gate<SlotId>,
    pub(super) gate_random: Random,
    pub(super) poison: PoisonWatch,
    pub(super) unreleased: UnreleasedIds,
    pub(super) reaper: Reaper,
    /// True once the load was told to end: no fault is injected any more.
    pub(super) load_is_over: bool,
    pub(super) status: watch::Sender<Status>,
    /// True if consumers are stopped for good.
    pub(super) stopping: bool,
}

/// A slot and its actor.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) slot: Slot,
    pub(super) random: Random,
    /// The schedules, if the slot is a pool's.
    pub(super) pool: Option<Arc<PoolShared>>,
    pub(super) actor: Option<ChildRef>,
    /// The fault that is about to end the actor.
    pub(super) fault: Option<usize>,
    /// The fault for which the actor was asked to stop.
    pub(super) stopping_for: Option<usize>,
    /// The reason why the slot is given up.
    pub(super) given_up: Option<String>,
    /// The heartbeat of the current incarnation.
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) watchdog: Watchdog,
    /// The reason for which the supervisor has killed the actor, unless a fault did.
    pub(super) kill_reason: Option<KillReason>,
}

/// The reason for which the supervisor kills an incarnation.
#[derive(Debug)]
pub(super) enum KillReason {
    /// The incarnation hangs, and a replacement may not.
    Replaced(String),
    /// The incarnation hangs, and a replacement would hang too.
    GivenUp(String),
    /// The partition is gone for good.
    Permanent(String),
}

/// A child's actor.
#[derive(Debug)]
pub(super) enum ChildRef {
    Consumer(ActorRef<ConsumerMsg>),
    Pool(ActorRef<PoolMsg>),
}

impl Child {
    /// A slot without any event so far.
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

    /// Asks the actor to stop in order. An actor that has ended is not asked.
    pub(super) fn stop(&self) {
        match &self.actor {
            Some(ChildRef::Consumer(actor)) => drop(actor.cast(ConsumerMsg::Stop)),
            Some(ChildRef::Pool(actor)) => drop(actor.cast(PoolMsg::End)),
            None => {}
        }
    }

    /// Kills the actor for this fault, if it is alive.
    pub(super) fn kill(&mut self, fault: usize) {
        if self.kill_actor() {
            self.fault = Some(fault);
        }
    }

    /// Kills the actor for a reason of the supervisor's own, if it is alive.
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

    /// Asks the actor to stop in order for this fault. It is started again after that.
    pub(super) fn stop_for(&mut self, fault: usize) {
        self.stopping_for = Some(fault);
        self.stop();
    }
}

/// The way in which a child's actor died.
#[derive(Debug)]
pub(super) enum Failure {
    /// By `kill()`.
    Killed,
    /// In order, as a fault asked.
    Stopped,
    /// With an error that a restart may cure.
    Failed(String),
    /// With an error of the client or the cluster.
    Broker(String),
    /// Because the instance id of this static member is not released yet.
    Unreleased(String),
    /// On a record that its handler calls poison.
    Poison(String),
    /// After every remedy was tried without success.
    Hopeless(String),
    /// With an error that no restart can cure.
    Permanent(String),
}

impl Failure {
    pub(super) fn from_error(error: &ActorProcessingErr) -> Failure {
        let reason = error.to_string();
        match error.downcast_ref::<HostFailure>().map(|failure| failure.class) {
            Some(class) if class.is_definite() => Failure::Permanent(reason),
            Some(ErrorClass::Poison) => Failure::Poison(reason),
            Some(ErrorClass::Fatal) => Failure::Broker(reason),
            Some(ErrorClass::Unreleased) => Failure::Unreleased(reason),
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
            | Failure::Unreleased(reason)
            | Failure::Poison(reason)
            | Failure::Hopeless(reason)
            | Failure::Permanent(reason) => f.write_str(reason),
        }
    }
}

/// A summary of the states of all slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Consumers that are running.
    pub consumers_running: usize,
    /// Consumers that were running at least once.
    pub consumers_started: usize,
    /// True if every consumer has ended.
    pub consumers_over: bool,
    /// True if there are pools, and each of them has ended.
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
