//! The messages of the actors, and the ids of the supervisor's slots.

use std::sync::Arc;

use super::lease::{HostReport, PoolReport, PoolShared};
use crate::base::{ConsumerId, Incarnation, PoolId, Time};
use crate::broker::TopicSize;
use crate::measure::Owner;

/// Which slot: consumers come before pools.
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

    /// A number no other slot has, for seeds.
    pub(super) fn number(self) -> u64 {
        match self {
            SlotId::Consumer(consumer) => u64::from(consumer.0),
            SlotId::Pool(pool) => (1 << 32) + u64::from(pool.0),
        }
    }
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
    /// The topic has only this number of partitions left.
    Gone {
        /// 0 when there is no such topic any more.
        left: u32,
    },
    /// End the pools' schedules.
    EndLoad,
    /// Stop every consumer, in order of their ids.
    StopConsumers,
}

/// What a consumer's actor is told, by its host or its supervisor.
pub(super) enum ConsumerMsg {
    /// The host reports.
    Host(HostReport),
    /// Stop in order.
    Stop,
    /// Have the client read anew from the checkpoint.
    Reassign,
}

/// What a pool's actor is told.
pub(super) enum PoolMsg {
    /// The host reports.
    Host(PoolReport),
    /// Send nothing more; wait for what is in flight.
    End,
}

/// What the offset oracle is told.
pub(super) enum OracleMsg {
    /// A timer of this generation fired.
    Tick(u64),
    /// A partition has just been restarted: ask now.
    Hurry,
    /// An answer came, and is entered.
    Answered,
}

/// What the topic watcher is told.
pub(super) enum WatcherMsg {
    /// It is time to look.
    Tick,
    /// The answer; none if the cluster gave none.
    Seen(Option<TopicSize>),
}
