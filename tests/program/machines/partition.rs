//! One partition of the model: its slot, its host with machine and client, and the state that the rules of the book
//! imply.

use std::collections::BTreeSet;
use std::time::Duration;

use lanekeeper::base::{
    Incarnation, Offset, PartitionId, ProducerId, Random, Seed, Stamp, Time, write_payload,
};
use lanekeeper::logic::{ConsumerMachine, Slot, Watchdog};
use lanekeeper::measure::{LaneShape, PartitionCell};
use lanekeeper::plan::{RestartPolicy, WatchPolicy};

use super::{PARTITIONS, RUN, TICK};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hang {
    Fetch,
    /// The hang began at this time.
    Poll(Time),
}

/// A thread with its machine and client.
pub(crate) struct Host {
    pub(crate) machine: ConsumerMachine,
    pub(crate) position: i64,
    pub(crate) pending: usize,
    pub(crate) skips: Vec<Offset>,
    pub(crate) hang: Option<Hang>,
}

pub(crate) struct Partition {
    pub(crate) slot: Slot,
    pub(crate) random: Random,
    pub(crate) watchdog: Watchdog,
    pub(crate) cell: PartitionCell,
    pub(crate) host: Option<Host>,
    pub(crate) timer: Option<(u64, Time)>,
    pub(crate) end: i64,
    /// Offsets that were processed, or skipped as poison.
    pub(crate) worked: BTreeSet<i64>,
    pub(crate) poison: BTreeSet<i64>,
    pub(crate) checkpoint: i64,
    pub(crate) started: Incarnation,
    pub(crate) fenced: Incarnation,
    /// Times of the failures that the rules charge to this partition, from its history alone.
    pub(crate) charged: Vec<Time>,
    pub(crate) progress: i64,
    /// True if a watchdog has used its last remedy, a record was poison, or data was lost here.
    pub(crate) may_be_given_up: bool,
    pub(crate) was_over: bool,
}

pub(crate) fn payload(partition: usize, offset: i64) -> Vec<u8> {
    let mut payload = vec![7; 64];
    let (producer, partition) = (ProducerId(0), PartitionId(partition as u32));
    let (sequence, intended, sent) = (offset as u64, Time(0), Time(0));
    write_payload(&Stamp { run: RUN, producer, partition, sequence, intended, sent }, &mut payload);
    payload
}

impl Partition {
    pub(crate) fn new(id: usize, seed: u64) -> Partition {
        let shape = LaneShape { fixed: true, partitions: PARTITIONS as u32, pools: 1 };
        // Time limits are short, so that histories reach its last remedy.
        let (poll, fetch) = (Duration::from_millis(500), Duration::from_secs(2));
        let watch = WatchPolicy { poll, fetch, ..WatchPolicy::default() };
        Partition {
            slot: Slot::new(RestartPolicy::default()),
            random: Seed(seed).child("slot", id as u64).random(),
            watchdog: Watchdog::new(watch, Time::ZERO),
            cell: PartitionCell::new(PartitionId(id as u32), Offset(0), shape),
            host: None,
            timer: None,
            end: 0,
            worked: BTreeSet::new(),
            poison: BTreeSet::new(),
            checkpoint: 0,
            started: Incarnation(0),
            fenced: Incarnation(1),
            charged: Vec::new(),
            progress: -1,
            may_be_given_up: false,
            was_over: false,
        }
    }

    pub(crate) fn next(&self) -> i64 {
        self.cell.lock().next_offset().0
    }

    /// Processes up to `amount` records. Returns the offset of the record on which it failed; `None` if it did not.
    pub(crate) fn work(&mut self, id: usize, amount: i64, now: Time) -> Option<i64> {
        let host = self.host.as_mut().filter(|host| host.hang.is_none())?;
        for _ in 0..amount.min(self.end - host.position) {
            let (at, offset) = (host.position, Offset(host.position));
            if host.skips.contains(&offset) {
                host.machine.skip(offset, &payload(id, at), now);
            } else {
                host.machine.begin(offset, &payload(id, at), now);
                if self.poison.contains(&at) {
                    return Some(at);
                }
                host.machine.done(now);
            }
            self.worked.insert(at);
            host.position += 1;
            host.pending += 1;
        }
        None
    }

    pub(crate) fn flush(&mut self) {
        if let Some(host) = &mut self.host {
            host.machine.flush(&self.cell);
            host.pending = 0;
        }
    }

    /// The rule of the book, separate from the slot's own code: five failures without progress in two minutes.
    pub(crate) fn charge(&mut self, now: Time) {
        let policy = RestartPolicy::default();
        self.charged.push(now);
        self.charged.retain(|at| now < *at + policy.budget_window + TICK);
    }
}
