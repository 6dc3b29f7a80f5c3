//! The messages of the actors, and the ids of the supervisor's slots.

use std::sync::Arc;

use super::lease::{HostReport, PoolReport, PoolShared};
use crate::base::{ConsumerId, Incarnation, PoolId, Time};
use crate::measure::Owner;

/// The id of a slot. Consumers come before pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotId {
    /// A consumer or group member.
    Consumer(ConsumerId),
    /// A producer pool.
    Pool(PoolId),
}

impl SlotId {
    pub(super) fn is_consumer(&self) -> bool {
        matches!(self, SlotId::Consumer(_))
    }

    /// A number that no other slot has, to derive seeds from.
    pub(super) fn number(self) -> u64 {
        match self {
            SlotId::Consumer(consumer) => u64::from(consumer.0),
            SlotId::Pool(pool) => (1 << 32) + u64::from(pool.0),
        }
    }
}

/// A message to the supervisor.
#[derive(Debug)]
pub enum SupervisorMsg {
    /// Start every consumer, and the actor that asks for end offsets.
    StartConsumers,
    /// Start every pool for the backlog.
    StartBacklog {
        /// The pools' shares of the backlog.
        pools: Vec<Arc<PoolShared>>,
    },
    /// Remove the pools: the backlog is written.
    EndBacklog,
    /// Start every pool, and schedule the faults from `start` on.
    StartLoad {
        /// The pools' schedules.
        pools: Vec<Arc<PoolShared>>,
        /// Start of the load.
        start: Time,
    },
    /// An incarnation is ready.
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
    /// The topic has fewer partitions than before.
    Gone {
        /// Number of partitions that are left; 0 if the topic does not exist any more.
        left: u32,
    },
    /// End the schedules of all pools.
    EndLoad,
    /// Stop every consumer, in order of their ids.
    StopConsumers,
}

/// A message to a consumer's actor, from its host or the supervisor.
pub(super) enum ConsumerMsg {
    /// A report of the host.
    Host(HostReport),
    /// Stop in order.
    Stop,
    /// Have the client assign the partition again, from its checkpoint.
    Reassign,
}

/// A message to a pool's actor.
pub(super) enum PoolMsg {
    /// A report of the host.
    Host(PoolReport),
    /// Send no more records, and wait for those in flight.
    End,
}

/// A message to the actor that asks for end offsets.
pub(super) enum PollerMsg {
    /// A timer of this generation fired.
    Tick(u64),
    /// A partition was just restarted: ask now.
    AskNow,
    /// The answer has arrived, and is entered.
    Answered,
}

/// A message to the topic watcher.
pub(super) enum WatcherMsg {
    /// It is time to ask for the topic.
    Tick,
    /// The number of partitions, and of those with a leader; `None` if the cluster gave no answer.
    Seen(Option<(u32, u32)>),
}
