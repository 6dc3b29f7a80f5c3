//! Fetches: what there is up to the high watermark, or a wait for more.

use super::state::{Alarm, Caller, ClientId, Fetched, Output, Outputs};
use super::state::{Cluster, Place};
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, FetchSlot};

/// More than can be sent to one partition while a message is under way.
const MUCH: u64 = 64 << 20;

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
        let deadline = at + fetch.wait_max;
        self.park(at, broker, caller, fetch);
        let place = self.place_mut(client, broker);
        if !place.has_alarm {
            place.has_alarm = true;
            out.push(Output::Alarm { at: deadline, alarm: Alarm::Fetch { client, broker } });
        }
    }

    /// Takes a fetch that reaches `broker` at `now` and [would wait](Self::would_wait).
    #[inline]
    pub fn let_wait(&mut self, now: Time, broker: BrokerId, caller: Caller, fetch: Box<Fetch>) {
        let at = self.brokers[broker as usize].cores.occupy(now, self.settings.request_cost);
        self.park(at, broker, caller, fetch);
    }

    /// Lets a fetch wait.
    #[inline]
    fn park(&mut self, since: Time, broker: BrokerId, caller: Caller, fetch: Box<Fetch>) {
        for slot in &fetch.slots {
            self.partition(slot.partition).waiting.push_back(caller.client);
        }
        let place = self.place_mut(caller.client, broker);
        place.parked = Some(fetch);
        (place.caller, place.since) = (caller, since);
    }

    /// Writes what there is into the slots. Whether that is an answer.
    #[inline]
    fn fill(&self, broker: BrokerId, fetch: &mut Fetch) -> bool {
        let mut is_answer = fetch.slots.is_empty();
        for slot in &mut fetch.slots {
            slot.error = self.fill_slot(broker, slot, fetch.partition_bytes_max).err();
            is_answer |= slot.error.is_some() || slot.end > slot.offset;
        }
        is_answer
    }

    #[inline]
    fn fill_slot(
        &self,
        broker: BrokerId,
        slot: &mut FetchSlot,
        bytes_max: u32,
    ) -> Result<(), ErrorCode> {
        let partition = self.partitions.get(slot.partition.0 as usize);
        let log = &partition.ok_or(ErrorCode::Unavailable)?.log;
        let visible = self.visible(broker, slot.partition);
        let visible = visible.ok_or(ErrorCode::NotLeaderOrFollower)?;
        if slot.offset < log.start() || slot.offset > log.end() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        slot.high_watermark = visible;
        if slot.offset < visible {
            slot.end = log.fitting(slot.offset, visible, bytes_max);
        }
        Ok(())
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
        let finds_nothing =
            |slot: &FetchSlot| self.visible(broker, slot.partition) == Some(slot.offset);
        let is_free = |place: &Place| place.has_alarm && place.parked.is_none();
        place.is_some_and(is_free) && fetch.slots.iter().all(finds_nothing)
    }

    /// Answers the fetches that wait at `broker` for something of this partition.
    #[inline]
    pub(super) fn wake(
        &mut self,
        at: Time,
        broker: BrokerId,
        partition: PartitionId,
        out: &mut Outputs,
    ) {
        while let Some(client) = self.partition(partition).waiting.pop_front() {
            self.answer(at, broker, client, out);
        }
    }

    /// Answers the fetches that wait for something of this partition at any broker that is heard: it has another leader,
    /// and a consumer that waits at the old one is told, as Kafka completes delayed fetches when a broker becomes a follower.
    pub(super) fn wake_everywhere(&mut self, at: Time, partition: PartitionId, out: &mut Outputs) {
        for client in std::mem::take(&mut self.partition(partition).waiting) {
            for broker in 0..self.settings.brokers {
                if self.brokers[broker as usize].is_heard() {
                    self.answer(at, broker, client, out);
                }
            }
        }
    }

    /// Answers a parked fetch with what there is.
    fn answer(&mut self, at: Time, broker: BrokerId, client: ClientId, out: &mut Outputs) {
        let Some((caller, mut fetch)) = self.forget_fetch(client, broker) else { return };
        self.fill(broker, &mut fetch);
        out.fetched.push(Fetched { at, from: broker, to: caller, fetch });
    }

    /// Takes a parked fetch away.
    #[inline]
    fn forget_fetch(&mut self, client: ClientId, broker: BrokerId) -> Option<(Caller, Box<Fetch>)> {
        let place = self.place(client, broker);
        let place = self.places.get_mut(place)?;
        let (caller, parked) = (place.caller, place.parked.take()?);
        for slot in &parked.slots {
            let partition = self.partition(slot.partition);
            if !partition.waiting.is_empty() {
                partition.forget_waiter(client);
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
        place.has_alarm = false;
        let Some(deadline) = place.deadline() else { return };
        // With a paused broker it is looked at once that goes on.
        if is_paused {
            return;
        }
        if deadline <= now {
            self.answer(now, broker, client, out);
        } else {
            place.has_alarm = true;
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
            let has_waited = place.deadline() <= Some(now) || !place.has_alarm;
            let changed = parked.slots.iter().any(|slot| {
                let visible = self.visible(broker, slot.partition);
                visible.is_none_or(|visible| slot.offset < visible)
            });
            if has_waited || changed {
                self.answer(now, broker, client, out);
            }
        }
    }

    /// Forgets a connection: what waits for an answer there gets none.
    pub fn hang_up(&mut self, client: ClientId, broker: BrokerId) {
        self.refusals.forget(client, broker);
        self.forget_fetch(client, broker);
        let place = self.place(client, broker);
        if let Some(place) = self.places.get_mut(place) {
            place.muted = None;
            place.batches.clear();
        }
    }
}
