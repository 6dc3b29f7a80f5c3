//! Fetches: what there is up to the high watermark, or a wait for more.

use std::collections::VecDeque;

use triomphe::Arc;

use super::{Alarm, BrokerId, Caller, ClientId, Cluster, Fetched, Output, Outputs};
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{ErrorCode, Fetch, FetchSlot, Produce};

/// More than can be sent to one partition while a message is under way.
const MUCH: u64 = 64 << 20;

/// What a broker keeps of a client.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Its fetch that waits for records.
    parked: Option<Box<Fetch>>,
    /// Whose it is, and how long it waits.
    caller: Caller,
    deadline: Time,
    /// The announced deadline, if there is one: a fetch that is answered early leaves its own to the next one, so
    /// that there is one at a time and not one per fetch.
    alarm: Option<Time>,
    /// The connection whose batch waits for its replication. Kafka takes one request of a connection at a time.
    pub(super) muted: Option<u32>,
    /// Batches that came meanwhile.
    pub(super) batches: VecDeque<(Caller, Arc<Produce>)>,
}

impl Cluster {
    pub(super) fn fetch(
        &mut self,
        at: Time,
        broker: BrokerId,
        caller: Caller,
        mut fetch: Box<Fetch>,
        out: &mut Outputs,
    ) {
        let client = caller.client;
        self.forget_fetch(client, broker);
        if self.fill(broker, &mut fetch) {
            return out.fetched.push(Fetched { at, from: broker, to: caller, fetch });
        }
        let deadline = self.park(at, broker, caller, fetch);
        let place = self.place_mut(client, broker);
        if place.alarm.is_none() {
            place.alarm = Some(deadline);
            out.push(Output::Alarm { at: deadline, alarm: Alarm::Fetch { client, broker } });
        }
    }

    /// Takes a fetch that reaches `broker` at `now` and [would wait](Self::would_wait).
    pub fn let_wait(&mut self, now: Time, broker: BrokerId, caller: Caller, fetch: Box<Fetch>) {
        let at = self.brokers[broker as usize].cores.occupy(now, self.settings.request_cost);
        self.forget_fetch(caller.client, broker);
        self.park(at, broker, caller, fetch);
    }

    /// Lets a fetch wait; returns until when.
    fn park(&mut self, at: Time, broker: BrokerId, caller: Caller, fetch: Box<Fetch>) -> Time {
        let deadline = at + fetch.wait_max;
        for slot in &fetch.slots {
            self.partitions[slot.partition.0 as usize].waiting.push(caller.client);
        }
        let place = self.place_mut(caller.client, broker);
        place.parked = Some(fetch);
        (place.caller, place.deadline) = (caller, deadline);
        deadline
    }

    /// Writes what there is into the slots. Whether that is an answer.
    fn fill(&self, broker: BrokerId, fetch: &mut Fetch) -> bool {
        let mut is_answer = fetch.slots.is_empty();
        for slot in &mut fetch.slots {
            let Some(partition) = self.partitions.get(slot.partition.0 as usize) else {
                slot.error = Some(ErrorCode::Unavailable);
                is_answer = true;
                continue;
            };
            let (start, end) = (partition.log.start(), partition.log.end());
            let visible = self.visible(broker, slot.partition);
            slot.high_watermark = visible;
            slot.error = if !self.leads(broker, slot.partition) {
                Some(ErrorCode::NotLeaderOrFollower)
            } else if slot.offset < start || slot.offset > end {
                Some(ErrorCode::OffsetOutOfRange)
            } else {
                None
            };
            if slot.error.is_none() && slot.offset < visible {
                slot.end = partition.log.fitting(slot.offset, visible, fetch.partition_bytes_max);
            }
            is_answer |= slot.error.is_some() || slot.end > slot.offset;
        }
        is_answer
    }

    /// Bytes of the records a slot brings.
    pub fn size_bytes(&self, slot: &FetchSlot) -> u64 {
        let partition = self.partitions.get(slot.partition.0 as usize);
        partition.map_or(0, |partition| partition.log.size_of(slot.offset, slot.end))
    }

    /// Whether the records of an answer stay in the log while it is under way: they are the last ones, and as much as is
    /// kept of a partition does not come within a moment.
    #[inline]
    pub fn keeps(&self, answer: &Fetch) -> bool {
        self.settings.retention_bytes >= MUCH
            && answer
                .slots
                .iter()
                .all(|slot| slot.error.is_none() && slot.end == slot.high_watermark)
    }

    /// Whether a fetch that came now would find nothing and wait, and nothing else would change.
    #[inline]
    pub fn would_wait(&self, broker: BrokerId, client: ClientId, fetch: &Fetch) -> bool {
        let place = self.places.get(self.place(client, broker));
        let nothing_is_new = |slot: &FetchSlot| {
            (slot.partition.0 as usize) < self.partitions.len()
                && self.leads(broker, slot.partition)
                && slot.offset == self.visible(broker, slot.partition)
        };
        place.is_some_and(|place| place.alarm.is_some()) && fetch.slots.iter().all(nothing_is_new)
    }

    /// Answers the fetches that wait at `broker` for something of this partition.
    pub(super) fn wake(
        &mut self,
        at: Time,
        broker: BrokerId,
        partition: PartitionId,
        out: &mut Outputs,
    ) {
        if self.partition(partition).waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.partition(partition).waiting);
        for client in &waiting {
            self.answer(at, broker, *client, out);
        }
        let kept = &mut self.partition(partition).waiting;
        if kept.is_empty() {
            *kept = waiting;
            kept.clear();
        }
    }

    /// Answers a parked fetch with what there is.
    fn answer(&mut self, at: Time, broker: BrokerId, client: ClientId, out: &mut Outputs) {
        let Some((caller, mut fetch)) = self.forget_fetch(client, broker) else { return };
        self.fill(broker, &mut fetch);
        out.fetched.push(Fetched { at, from: broker, to: caller, fetch });
    }

    /// Takes a parked fetch away.
    fn forget_fetch(&mut self, client: ClientId, broker: BrokerId) -> Option<(Caller, Box<Fetch>)> {
        let place = self.place(client, broker);
        let place = self.places.get_mut(place)?;
        let (caller, parked) = (place.caller, place.parked.take()?);
        for slot in &parked.slots {
            let waiting = &mut self.partitions[slot.partition.0 as usize].waiting;
            if !waiting.is_empty() {
                waiting.retain(|waiter| *waiter != client);
            }
        }
        Some((caller, parked))
    }

    /// A deadline has come: the fetch that waits now is answered, or announces its own.
    pub(super) fn expire(
        &mut self,
        now: Time,
        broker: BrokerId,
        client: ClientId,
        out: &mut Outputs,
    ) {
        let is_paused = self.brokers[broker as usize].is_paused;
        let place = self.place_mut(client, broker);
        place.alarm = None;
        // With a paused broker it is looked at once that goes on.
        if place.parked.is_none() || is_paused {
            return;
        }
        let deadline = place.deadline;
        if deadline <= now {
            self.answer(now, broker, client, out);
        } else {
            place.alarm = Some(deadline);
            out.push(Output::Alarm { at: deadline, alarm: Alarm::Fetch { client, broker } });
        }
    }

    /// Looks at every fetch that waits at `broker` again.
    pub(super) fn look_again(&mut self, now: Time, broker: BrokerId, out: &mut Outputs) {
        let brokers = self.settings.brokers as usize;
        for client in 0..self.places.len().div_ceil(brokers) {
            let client = client as ClientId;
            let place = self.place(client, broker);
            let Some(place) = self.places.get(place) else { continue };
            let Some(parked) = &place.parked else { continue };
            let has_waited = place.deadline <= now || place.alarm.is_none();
            let changed = parked.slots.iter().any(|slot| {
                !self.leads(broker, slot.partition)
                    || slot.offset < self.visible(broker, slot.partition)
            });
            if has_waited || changed {
                self.answer(now, broker, client, out);
            }
        }
    }

    /// Forgets a connection: what waits for an answer there gets none.
    pub fn hang_up(&mut self, client: ClientId, broker: BrokerId) {
        self.forget_fetch(client, broker);
        let place = self.place(client, broker);
        if let Some(place) = self.places.get_mut(place) {
            place.muted = None;
            place.batches.clear();
        }
    }
}
