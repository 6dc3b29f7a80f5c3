//! How the dispatcher handles the events of its client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Dispatcher, UnderWay};
use crate::actors::host::lease::HostReport;
use crate::actors::host::partition_worker::Completion;
use crate::base::{Offset, PartitionId, Time};
use crate::broker::{BrokerError, ConsumerEvents, ErrorClass, Flow};
use crate::measure::{Event, Handed, Owner};

/// A batch is handed over after so long at the latest, so that checkpoints and figures stay fresh when
/// records are slow to process.
const BATCH_TIME_MAX: Duration = Duration::from_millis(5);

impl ConsumerEvents for Dispatcher {
    #[inline]
    fn record(&mut self, partition: PartitionId, offset: Offset, payload: &[u8]) -> Flow {
        let Some(worker) = self.workers.get_mut(partition.0 as usize).and_then(Option::as_mut)
        else {
            // A shared client or a group member may still hold records of a partition it has just given up.
            if self.consumer.is_some() && self.group.is_none() {
                self.context.measurements.strays.fetch_add(1, Ordering::Relaxed);
            }
            return Flow::More;
        };
        if worker.channel.is_dead() {
            return Flow::Stop;
        }
        if worker.resume_point.is_some() {
            match worker.recognise(offset, payload) {
                Ok(true) => {}
                Ok(false) => return Flow::More,
                Err(error) => return self.fails(partition, error),
            }
        }
        let begun = self.came_at.unwrap_or_else(|| self.context.clock.now());
        let handed = Handed { fetched: self.fetched, at: begun };
        match worker.process(&self.context, offset, payload, handed) {
            Ok(Completion::At(now)) => {
                let is_full = worker.done(offset, now);
                self.done(partition, begun, now, is_full)
            }
            Ok(Completion::After(costs)) => {
                self.under_way = Some(UnderWay { partition, offset, begun, costs });
                Flow::Stop
            }
            Err(error) => self.fails(partition, error),
        }
    }

    #[inline]
    fn came_at(&mut self, at: Time) {
        self.fetched = Some(at);
        if let Some(came_at) = &mut self.came_at {
            *came_at = at.max(*came_at);
        }
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        let Some(worker) = self.worker(partition) else { return };
        if let Some(resume_point) = worker.resume_point {
            // A member whose group has committed up to the checkpoint does not see the record of its resume point.
            let is_before = |position: Offset| position <= resume_point.offset;
            if worker.position.is_none() || worker.machine.position().is_some_and(is_before) {
                self.ended_early.push(partition);
                return;
            }
            worker.resume_point = None;
        }
        worker.reads();
    }

    fn assigned(&mut self, partitions: &[PartitionId]) {
        let Some(group) = &mut self.group else { return };
        let (owner, channel) = (group.owner, group.channel.clone());
        if !std::mem::replace(&mut group.joined, true) {
            channel.report(HostReport::Ready);
        }
        // A member may hear of new partitions first.
        if let Some(last) = partitions.iter().max() {
            self.context.grown(last.0 + 1);
        }
        let now = self.context.clock.now();
        for partition in partitions {
            let resume_point = {
                let mut cell = self.context.measurements.cell(*partition).lock();
                cell.take_over(owner, now);
                cell.taken_by_member(owner, now);
                cell.start().resume_point
            };
            self.attach(*partition, owner, channel.clone(), resume_point);
        }
        let (Owner { consumer, incarnation }, partitions) = (owner, partitions.to_vec());
        self.context.note(Event::Assigned { consumer, incarnation, partitions });
    }

    fn revoked(&mut self, partitions: &[PartitionId]) {
        self.flush();
        let Some(group) = &self.group else { return };
        let owner @ Owner { consumer, incarnation } = group.owner;
        let now = self.context.clock.now();
        for partition in partitions {
            self.context.measurements.cell(*partition).lock().give_up(owner, now);
            group.positions.end(*partition);
            if let Some(worker) = self.workers.get_mut(partition.0 as usize) {
                *worker = None;
            }
        }
        let partitions = partitions.to_vec();
        self.context.note(Event::Revoked { consumer, incarnation, partitions });
    }

    fn error(&mut self, error: BrokerError) {
        match error.class {
            ErrorClass::Informational => self.client_error(&error),
            ErrorClass::Position if self.group.is_none() => {
                self.client_error(&error);
                self.out_of_range = true;
            }
            ErrorClass::Position
            | ErrorClass::Denied
            | ErrorClass::Poison
            | ErrorClass::Fatal
            | ErrorClass::Processing => {
                self.client_error(&error);
                self.client_failure.get_or_insert(error);
            }
        }
    }
}

impl Dispatcher {
    /// What follows from a record that is processed, and from whether the batch is full.
    #[inline]
    pub(super) fn done(
        &mut self,
        partition: PartitionId,
        begun: Time,
        now: Time,
        is_full: bool,
    ) -> Flow {
        if !self.busy.contains(&partition) {
            self.busy.push(partition);
        }
        let since = *self.batch_since.get_or_insert(begun);
        let is_old = self.came_at.is_none() && now > since + BATCH_TIME_MAX;
        if is_full || is_old { Flow::Stop } else { Flow::More }
    }

    /// The machine of a partition has failed.
    fn fails(&mut self, partition: PartitionId, error: BrokerError) -> Flow {
        self.failures.push((partition, error));
        Flow::Stop
    }
}
