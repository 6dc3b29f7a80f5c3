//! What the desk does with the events of its client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Desk, UnderWay};
use crate::actors::host::lease::HostReport;
use crate::actors::host::seat::Worked;
use crate::base::{ConsumerId, Offset, PartitionId, Time};
use crate::broker::{BrokerError, ConsumerEvents, ErrorClass, Flow};
use crate::measure::Event;

/// A batch is handed over after so long at the latest, so that checkpoints and figures stay fresh when
/// records are slow to process.
const BATCH_TIME_MAX: Duration = Duration::from_millis(5);

impl ConsumerEvents for Desk {
    #[inline]
    fn record(&mut self, partition: PartitionId, offset: Offset, payload: &[u8]) -> Flow {
        let Some(seat) = self.seats.get_mut(partition.0 as usize).and_then(Option::as_mut) else {
            // A shared client or a group member may still hold records of a partition it has just given up.
            if self.consumer.is_some() && self.group.is_none() {
                self.context.board.strays.fetch_add(1, Ordering::Relaxed);
            }
            return Flow::More;
        };
        if seat.line.is_dead() {
            return Flow::Stop;
        }
        if seat.anchor.is_some() {
            return self.first_record(partition, offset, payload);
        }
        let arrived = self.came_at.unwrap_or_else(|| self.context.clock.now());
        let worked = seat.process(&self.context, offset, payload, arrived);
        self.worked(partition, offset, arrived, worked)
    }

    #[inline]
    fn came_at(&mut self, at: Time) {
        if let Some(came_at) = &mut self.came_at {
            *came_at = at.max(*came_at);
        }
    }

    fn end_of_partition(&mut self, partition: PartitionId) {
        let is_member = self.group.is_some();
        let Some(seat) = self.seat(partition) else { return };
        if let Some(anchor) = seat.anchor {
            // A member whose group has committed up to the checkpoint does not see the anchor.
            let is_before = |position: Offset| position <= anchor.offset;
            if !is_member || seat.machine.position().is_some_and(is_before) {
                self.ended_early.push(partition);
                return;
            }
            seat.anchor = None;
        }
        self.mark_ready(partition);
    }

    fn assigned(&mut self, partitions: &[PartitionId]) {
        let Some(group) = &mut self.group else { return };
        let (owner, line) = (group.owner, group.line.clone());
        if !std::mem::replace(&mut group.joined, true) {
            line.report(HostReport::Ready);
        }
        // A member may hear of new partitions first.
        if let Some(last) = partitions.iter().max() {
            self.context.grown(last.0 + 1);
        }
        let now = self.context.clock.now();
        for partition in partitions {
            let anchor = {
                let mut cell = self.context.board.cell(*partition).lock();
                cell.take_over(owner, now);
                cell.start().anchor
            };
            self.attach(*partition, owner, line.clone(), anchor);
        }
        let (consumer, partitions) = (owner.consumer, partitions.to_vec());
        self.context.note(Event::Assigned { consumer, partitions });
    }

    fn revoked(&mut self, partitions: &[PartitionId]) {
        self.flush();
        let Some(group) = &self.group else { return };
        let consumer: ConsumerId = group.owner.consumer;
        let now = self.context.clock.now();
        for partition in partitions {
            self.context.board.cell(*partition).lock().give_up(consumer, now);
            group.positions.end(*partition);
            if let Some(seat) = self.seats.get_mut(partition.0 as usize) {
                *seat = None;
            }
        }
        self.context.note(Event::Revoked { consumer, partitions: partitions.to_vec() });
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

impl Desk {
    /// The first records after a start, up to the one the partition was left at.
    #[cold]
    fn first_record(&mut self, partition: PartitionId, offset: Offset, payload: &[u8]) -> Flow {
        let Some(seat) = self.seat(partition) else {
            return Flow::More;
        };
        let recognised = seat.recognise(offset, payload);
        if seat.anchor.is_none() {
            self.mark_ready(partition);
        }
        match recognised {
            Ok(true) => {
                let arrived = self.context.clock.now();
                let Some(seat) = self.seats[partition.0 as usize].as_mut() else {
                    return Flow::More;
                };
                let worked = seat.process(&self.context, offset, payload, arrived);
                self.worked(partition, offset, arrived, worked)
            }
            Ok(false) => Flow::More,
            Err(definite) => {
                let (class, message) = (ErrorClass::Position, definite.to_string());
                self.failures.push((partition, BrokerError { class, message }));
                Flow::Stop
            }
        }
    }

    /// What follows from the work on a record.
    #[inline]
    fn worked(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        arrived: Time,
        worked: Result<Worked, BrokerError>,
    ) -> Flow {
        match worked {
            Ok(Worked::At(now)) => self.done(partition, offset, arrived, now),
            Ok(Worked::After(efforts)) => {
                self.under_way = Some(UnderWay { partition, offset, arrived, efforts });
                Flow::Stop
            }
            Err(error) => {
                self.failures.push((partition, error));
                Flow::Stop
            }
        }
    }

    /// A record is processed.
    #[inline]
    pub(super) fn done(
        &mut self,
        partition: PartitionId,
        offset: Offset,
        arrived: Time,
        now: Time,
    ) -> Flow {
        let Some(seat) = self.seat(partition) else {
            return Flow::Stop;
        };
        seat.done(now);
        if let Some(position) = &seat.position {
            position.advance(Offset(offset.0 + 1));
        }
        let (is_full, is_ready) = (seat.machine.is_full(), seat.ready);
        if !is_ready {
            self.mark_ready(partition);
        }
        if !self.busy.contains(&partition) {
            self.busy.push(partition);
        }
        let since = *self.batch_since.get_or_insert(arrived);
        let is_old = self.came_at.is_none() && now > since + BATCH_TIME_MAX;
        if is_full || is_old { Flow::Stop } else { Flow::More }
    }

    fn mark_ready(&mut self, partition: PartitionId) {
        let is_group = self.group.is_some();
        if let Some(seat) = self.seat(partition).filter(|seat| !seat.ready) {
            seat.ready = true;
            if !is_group {
                seat.line.report(HostReport::Ready);
            }
        }
    }
}
