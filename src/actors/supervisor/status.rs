//! What the run's wiring waits for.

use std::collections::BTreeMap;

use super::children::{Child, SlotId};
use crate::logic::SlotState;

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
