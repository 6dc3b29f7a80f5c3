//! Releasing and restarting: what the supervisor notes about each failure on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::Context;
use super::super::offset_oracle::OracleMsg;
use super::SupervisorState;
use super::children::{Failure, SlotId};
use crate::base::{ConsumerId, Incarnation, PartitionId, PoolId};
use crate::fault::Targets;
use crate::measure::{Event, FaultTimes, RecoveryMark};
use crate::plan::PartitionChoice;

/// A pool that comes back sends what is overdue first; so long its lateness is the fault's.
pub(super) const CATCH_UP: Duration = Duration::from_secs(1);

/// The partitions a pool sends to.
pub(super) fn partitions_of_pool(context: &Context, pool: PoolId) -> Vec<PartitionId> {
    let (load, partitions) = (&context.plan.load, context.measurements.cells.len() as u32);
    match load.partition {
        PartitionChoice::Fixed => {
            let producers = (pool.0..load.producers).step_by(load.pools as usize);
            let its: BTreeSet<u32> = producers.map(|producer| producer % partitions).collect();
            its.into_iter().map(PartitionId).collect()
        }
        _ => (0..partitions).map(PartitionId).collect(),
    }
}

impl SupervisorState {
    /// The partitions a consumer works on: its own, or those the group has given it.
    pub(super) fn partitions_of(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        match self.context.plan.group() {
            None => vec![PartitionId(consumer.0)],
            Some(_) => self.context.owned_by(consumer),
        }
    }

    /// Makes older incarnations count for nothing, and begins the recovery of their partitions, unless the
    /// fault has already done so.
    pub(super) fn release(&mut self, id: SlotId, next: Incarnation, fault: Option<usize>) {
        let now = self.context.clock.now();
        let consumer = match id {
            SlotId::Consumer(consumer) => consumer,
            SlotId::Pool(pool) => {
                self.context.measurements.pools[pool.0 as usize].lock().release(next);
                self.pool_times(fault, |times| times.released = Some(now));
                return;
            }
        };
        let partitions = self.partitions_of(consumer);
        self.context.release(consumer, next);
        for partition in self.touched_by(consumer) {
            let mut cell = self.context.measurements.cell(partition).lock();
            let is_owned = partitions.contains(&partition);
            let last = cell.owners().last().map(|last| last.owner);
            if let Some(owner) = last.filter(|_| is_owned) {
                cell.give_up(owner, now);
            }
            let is_this = |mark: &&mut RecoveryMark| {
                let is_its = mark.consumer.is_none_or(|hit| hit == consumer);
                mark.fault == fault && is_its && (mark.is_open() || fault.is_some())
            };
            match cell.recoveries.iter_mut().rev().find(is_this) {
                Some(mark) => {
                    mark.detected.get_or_insert(now);
                    mark.release(now);
                }
                None if is_owned => {
                    let mut mark = cell.new_mark(fault, Some(consumer), now);
                    mark.detected = Some(now);
                    mark.release(now);
                    cell.recover(mark);
                }
                None => {}
            }
        }
        if self.context.plan.group().is_some() && !partitions.is_empty() {
            let incarnation = Incarnation(next.0.saturating_sub(1));
            self.context.note(Event::Orphaned { consumer, incarnation, partitions });
        }
    }

    /// Notes that a consumer was started, for the recoveries that wait for it.
    pub(super) fn restarted(&mut self, consumer: ConsumerId, incarnation: Incarnation) {
        if incarnation == Incarnation(1) {
            return;
        }
        let now = self.context.clock.now();
        for partition in self.touched_by(consumer) {
            let mut cell = self.context.measurements.cell(partition).lock();
            // In group mode another member may take the partition; the start of this one still is what the
            // supervisor did about the failure.
            let waiting = cell.recoveries.iter_mut().filter(|mark| {
                mark.awaits_restart() && mark.consumer.is_none_or(|hit| hit == consumer)
            });
            waiting.for_each(|mark| mark.restarted = Some(now));
        }
        self.poll_end_offsets_now();
        tracing::debug!(%consumer, %incarnation, "restarted");
    }

    /// Notes that a consumer has fetched from its partition: what has recovered there may be as before from now on.
    /// In group mode that is so when a member takes a partition over.
    pub(super) fn ready(&self, id: SlotId) {
        let (SlotId::Consumer(consumer), None) = (id, self.context.plan.group()) else { return };
        let now = self.context.clock.now();
        let mut cell = self.context.measurements.cell(PartitionId(consumer.0)).lock();
        let its = cell.recoveries.iter_mut().filter(|mark| mark.restarted.is_some());
        its.for_each(|mark| mark.is_ready(now));
    }

    /// Notes that a pool was started again, for the fault that killed it.
    pub(super) fn pool_restarted(&mut self, pool: PoolId) {
        let now = self.context.clock.now();
        let measurements = self.context.measurements.clone();
        let is_due = |times: &FaultTimes| times.injected.is_some() && times.healed.is_none();
        let due = measurements.faults().into_iter().filter(|(_, times)| is_due(times));
        for (number, _) in due {
            let fault = &self.context.plan.faults[number];
            let hits = matches!(&fault.targets, Targets::Pools(pools) if pools.contains(&pool));
            if !hits || fault.lasts.is_some() {
                continue;
            }
            measurements.fault(number, |times| {
                (times.restarted, times.healed) = (Some(now), Some(now));
            });
            for partition in partitions_of_pool(&self.context, pool) {
                let mut cell = measurements.cell(partition).lock();
                let its = cell.recoveries.iter_mut().filter(|mark| mark.fault == Some(number));
                its.for_each(|mark| mark.healed = Some(now));
            }
        }
        measurements.pools[pool.0 as usize].lock().excuse_until(now + CATCH_UP);
        self.poll_end_offsets_now();
    }

    /// Asks for end offsets now: a partition has just begun to catch up.
    pub(super) fn poll_end_offsets_now(&self) {
        if let Some(oracle) = &self.oracle {
            let _ = oracle.cast(OracleMsg::Hurry);
        }
    }

    /// Partitions a consumer may leave traces in: its own, or in group mode all.
    fn touched_by(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        match self.context.plan.group() {
            None => vec![PartitionId(consumer.0)],
            Some(_) => (0..self.context.measurements.cells.len() as u32).map(PartitionId).collect(),
        }
    }

    /// Notes when something happened to a pool because of a fault.
    pub(super) fn pool_times(&self, fault: Option<usize>, note: impl FnOnce(&mut FaultTimes)) {
        if let Some(fault) = fault {
            self.context.measurements.fault(fault, note);
        }
    }

    /// Notes that a slot has failed.
    pub(super) fn note_failure(
        &self,
        id: SlotId,
        incarnation: Incarnation,
        failure: &Failure,
        fault: Option<usize>,
    ) {
        let now = self.context.clock.now();
        if !id.is_consumer() {
            self.pool_times(fault, |times| times.detected = Some(now));
        }
        let reason = failure.to_string();
        self.context.note(match id {
            SlotId::Consumer(consumer) => Event::ConsumerFailed { consumer, incarnation, reason },
            SlotId::Pool(pool) => Event::PoolFailed { pool, incarnation, reason },
        });
    }

    /// Notes that a slot will be started again after `delay`.
    pub(super) fn note_restart(&self, id: SlotId, delay: Duration) {
        if let SlotId::Consumer(consumer) = id {
            let incarnation = self.children[&id].slot.incarnation();
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            self.context.note(Event::ConsumerRestarting { consumer, incarnation, delay_ms });
        }
    }

    /// Gives a slot up.
    pub(super) fn give_up(&mut self, id: SlotId, reason: String) {
        let Some(child) = self.children.get_mut(&id) else {
            return;
        };
        child.given_up = Some(reason.clone());
        if let SlotId::Consumer(consumer) = id {
            // In group mode the other members take over.
            if self.context.plan.group().is_none() {
                let mut cell = self.context.measurements.cell(PartitionId(consumer.0)).lock();
                cell.recoveries.iter_mut().for_each(|mark| mark.given_up = true);
            }
            self.context.note(Event::ConsumerStalled { consumer, reason });
        }
    }
}
