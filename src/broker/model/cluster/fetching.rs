//! Fetch requests: records up to the high watermark, or a delay until there are some.

use super::state::{Caller, ClientId, ClusterEffect, ClusterEffects, ClusterTimer, Fetched};
use super::state::{ClientState, Cluster};
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, ErrorCode, Fetch, FetchSlot};

/// More bytes than can be appended to one partition while a message is in flight.
const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;

impl Cluster {
    pub(super) fn fetch(
        &mut self,
        at: Time,
        broker: BrokerId,
        caller: Caller,
        mut fetch: Box<Fetch>,
        out: &mut ClusterEffects,
    ) {
        let client = caller.client;
        self.forget_fetch(client, broker);
        if self.fill(broker, &mut fetch) {
            return out.fetched.push(Fetched { at, from: broker, to: caller, fetch });
        }
        let deadline = at + fetch.wait_max;
        self.park(at, broker, caller, fetch);
        let state = self.client_state(client, broker);
        if !state.has_timer {
            state.has_timer = true;
            out.push(ClusterEffect::Timer {
                at: deadline,
                timer: ClusterTimer::Fetch { client, broker },
            });
        }
    }

    /// Handles a fetch that reaches `broker` at `now` and [is delayed](Self::would_delay).
    #[inline]
    pub fn delay_fetch(&mut self, now: Time, broker: BrokerId, caller: Caller, fetch: Box<Fetch>) {
        let at = self.brokers[broker as usize].cores.occupy(now, self.settings.request_cost);
        self.park(at, broker, caller, fetch);
    }

    /// Delays a fetch.
    #[inline]
    fn park(&mut self, since: Time, broker: BrokerId, caller: Caller, fetch: Box<Fetch>) {
        for slot in &fetch.slots {
            self.partition(slot.partition).waiting.push_back(caller.client);
        }
        let state = self.client_state(caller.client, broker);
        state.parked = Some(fetch);
        (state.caller, state.since) = (caller, since);
    }

    /// Writes the offsets of available records into the slots. True if the fetch can be answered.
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

    /// Bytes of the records in a slot.
    pub fn size_bytes(&self, slot: &FetchSlot) -> u64 {
        let partition = self.partitions.get(slot.partition.0 as usize);
        partition.map_or(0, |partition| partition.log.size_of(slot.offset, slot.end))
    }

    /// True if the records of a response stay in the log while the response is in flight: they are the last ones, and
    /// retention keeps more than can be appended in that time.
    #[inline]
    pub fn keeps(&self, answer: &Fetch) -> bool {
        self.settings.retention_bytes >= IN_FLIGHT_BYTES_MAX
            && answer
                .slots
                .iter()
                .all(|slot| slot.error.is_none() && slot.end == slot.high_watermark)
    }

    /// True if a fetch that arrived now would be delayed, without another effect.
    #[inline]
    pub fn would_delay(&self, broker: BrokerId, client: ClientId, fetch: &Fetch) -> bool {
        let state = self.client_states.get(self.client_index(client, broker));
        let finds_nothing =
            |slot: &FetchSlot| self.visible(broker, slot.partition) == Some(slot.offset);
        let is_free = |state: &ClientState| state.has_timer && state.parked.is_none();
        state.is_some_and(is_free) && fetch.slots.iter().all(finds_nothing)
    }

    /// Answers the fetches delayed at `broker` that wait for this partition.
    #[inline]
    pub(super) fn complete_delayed(
        &mut self,
        at: Time,
        broker: BrokerId,
        partition: PartitionId,
        out: &mut ClusterEffects,
    ) {
        while let Some(client) = self.partition(partition).waiting.pop_front() {
            self.answer(at, broker, client, out);
        }
    }

    /// Answers the fetches that wait for this partition at any broker that can be reached, because its leader has
    /// changed. A consumer that waits at the old leader learns of the change, as Kafka completes delayed fetches when a
    /// broker becomes a follower.
    pub(super) fn complete_delayed_everywhere(
        &mut self,
        at: Time,
        partition: PartitionId,
        out: &mut ClusterEffects,
    ) {
        for client in std::mem::take(&mut self.partition(partition).waiting) {
            for broker in 0..self.settings.brokers {
                if self.brokers[broker as usize].is_reachable() {
                    self.answer(at, broker, client, out);
                }
            }
        }
    }

    /// Answers a delayed fetch with the records that there are.
    fn answer(&mut self, at: Time, broker: BrokerId, client: ClientId, out: &mut ClusterEffects) {
        let Some((caller, mut fetch)) = self.forget_fetch(client, broker) else { return };
        self.fill(broker, &mut fetch);
        out.fetched.push(Fetched { at, from: broker, to: caller, fetch });
    }

    /// Removes a delayed fetch.
    #[inline]
    fn forget_fetch(&mut self, client: ClientId, broker: BrokerId) -> Option<(Caller, Box<Fetch>)> {
        let index = self.client_index(client, broker);
        let state = self.client_states.get_mut(index)?;
        let (caller, parked) = (state.caller, state.parked.take()?);
        for slot in &parked.slots {
            let partition = self.partition(slot.partition);
            if !partition.waiting.is_empty() {
                partition.forget_waiter(client);
            }
        }
        Some((caller, parked))
    }

    /// Handles a deadline: answers the delayed fetch if its time is over, or announces its deadline.
    pub(super) fn expire(
        &mut self,
        now: Time,
        broker: BrokerId,
        client: ClientId,
        out: &mut ClusterEffects,
    ) {
        let is_paused = self.brokers[broker as usize].is_paused;
        let state = self.client_state(client, broker);
        state.has_timer = false;
        let Some(deadline) = state.deadline() else { return };
        // A paused broker checks its fetches when it continues.
        if is_paused {
            return;
        }
        if deadline <= now {
            self.answer(now, broker, client, out);
        } else {
            state.has_timer = true;
            out.push(ClusterEffect::Timer {
                at: deadline,
                timer: ClusterTimer::Fetch { client, broker },
            });
        }
    }

    /// Checks every fetch that is delayed at `broker`.
    pub(super) fn look_again(&mut self, now: Time, broker: BrokerId, out: &mut ClusterEffects) {
        let brokers = self.settings.brokers as usize;
        for client in 0..self.client_states.len().div_ceil(brokers) {
            let client = client as ClientId;
            let index = self.client_index(client, broker);
            let Some(state) = self.client_states.get(index) else { continue };
            let Some(parked) = &state.parked else { continue };
            let has_waited = state.deadline() <= Some(now) || !state.has_timer;
            let changed = parked.slots.iter().any(|slot| {
                let visible = self.visible(broker, slot.partition);
                visible.is_none_or(|visible| slot.offset < visible)
            });
            if has_waited || changed {
                self.answer(now, broker, client, out);
            }
        }
    }

    /// Forgets a connection, with the requests that are not answered on it.
    pub fn forget_connection(&mut self, client: ClientId, broker: BrokerId) {
        self.refusals.forget(client, broker);
        self.forget_fetch(client, broker);
        let index = self.client_index(client, broker);
        if let Some(state) = self.client_states.get_mut(index) {
            state.muted = None;
            state.batches.clear();
        }
    }
}
