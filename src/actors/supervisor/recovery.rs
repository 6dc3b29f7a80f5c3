//! Releasing and restarting: what the supervisor notes about each failure on the way.

use std::time::Duration;

use super::super::offset_oracle::OracleMsg;
use super::SupervisorState;
use super::children::{Failure, SlotId};
use crate::base::{ConsumerId, Incarnation, PartitionId};
use crate::measure::{Event, RecoveryMark};

impl SupervisorState {
    /// The partitions a consumer works on: its own, or those the group has given it.
    fn partitions_of(&self, consumer: ConsumerId) -> Vec<PartitionId> {
        match self.context.plan.group() {
            None => vec![PartitionId(consumer.0)],
            Some(_) => self.context.owned_by(consumer),
        }
    }

    /// Makes older incarnations count for nothing, and begins the recovery of their partitions.
    pub(super) fn release(&mut self, id: SlotId, next: Incarnation, fault: Option<usize>) {
        let SlotId::Consumer(consumer) = id else {
            if let SlotId::Pool(pool) = id {
                self.context.board.pools[pool.0 as usize].lock().release(next);
            }
            return;
        };
        let partitions = self.partitions_of(consumer);
        self.context.release(consumer, next);
        let now = self.context.clock.now();
        for partition in &partitions {
            let mut cell = self.context.board.cell(*partition).lock();
            cell.give_up(consumer, now);
            cell.recoveries.push(RecoveryMark::new(fault, now));
        }
        if let Some(fault) = fault {
            self.context.board.fault(fault, |times| times.released = Some(now));
        }
        if self.context.plan.group().is_some() && !partitions.is_empty() {
            self.context.note(Event::Orphaned { consumer, partitions });
        }
    }

    /// Notes that a consumer was started, for the recoveries that wait for it.
    pub(super) fn restarted(&mut self, consumer: ConsumerId, incarnation: Incarnation) {
        if incarnation == Incarnation(1) {
            return;
        }
        let now = self.context.clock.now();
        // In group mode another member may take the partition; the start of this one still is what the
        // supervisor did about the failure.
        let is_group = self.context.plan.group().is_some();
        for (id, cell) in self.context.board.cells.iter().enumerate() {
            if !is_group && id != consumer.0 as usize {
                continue;
            }
            let mut cell = cell.lock();
            let waiting = cell.recoveries.iter_mut().filter(|mark| mark.restarted.is_none());
            for mark in waiting {
                mark.restarted = Some(now);
                if let Some(fault) = mark.fault {
                    self.context.board.fault(fault, |times| times.restarted = Some(now));
                }
            }
        }
        if let Some(oracle) = &self.oracle {
            let _ = oracle.cast(OracleMsg::Hurry);
        }
        tracing::debug!(%consumer, %incarnation, "restarted");
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
        if let Some(fault) = fault {
            self.context.board.fault(fault, |times| times.detected = Some(now));
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
                let mut cell = self.context.board.cell(PartitionId(consumer.0)).lock();
                cell.recoveries.iter_mut().for_each(|mark| mark.given_up = true);
            }
            self.context.note(Event::ConsumerStalled { consumer, reason });
        }
    }
}
