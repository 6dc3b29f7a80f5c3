//! Produce requests: append, replicate, and acknowledge when the replicas that `acks` requires have the batch.
//!
//! Replication is in rounds: followers fetch what their leader has, and then the high watermark moves.
//!
//! Without a fault, a leader and all its followers share their rounds, and a round is one event for any number of
//! partitions and records. A pair with a slow or unreachable broker has rounds of its own. Replication therefore costs
//! at most one event per batch, and much less under load.

use std::time::Duration;

use super::refusal::{error_code, is_appended};
use super::state::{
    Broker, Caller, Cluster, ClusterEffect, ClusterEffects, ClusterTimer, Produced, Unacknowledged,
};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::producer_states::SequenceCheck;
use crate::broker::protocol::{BrokerId, ErrorCode, Produce};
use crate::fault::{Api, ApiError};
use crate::plan::Acks;

/// The result of appending a batch.
enum Appended {
    /// The batch is in the log, and on every replica that must have it.
    Done(Offset),
    /// The batch is acknowledged once all records before `end` are replicated.
    Waits {
        offset: i64,
        end: i64,
    },
    Refused(ErrorCode),
    /// The broker can neither replicate the batch nor answer.
    Silence,
}

impl Cluster {
    /// Handles a batch, or keeps it until the previous one on the connection is acknowledged.
    pub(super) fn produce(
        &mut self,
        at: Time,
        broker: BrokerId,
        caller: Caller,
        produce: Box<Produce>,
        out: &mut ClusterEffects,
    ) {
        if self.settings.replication_factor > 1 {
            let state = self.client_state(caller.client, broker);
            if state.muted == Some(caller.connection) {
                return state.batches.push_back((caller, produce));
            }
        }
        self.take_batch(at, broker, caller, &produce, out);
        out.done(produce);
    }

    fn take_batch(
        &mut self,
        at: Time,
        broker: BrokerId,
        caller: Caller,
        produce: &Produce,
        out: &mut ClusterEffects,
    ) {
        let at = self.brokers[broker as usize].write(at);
        let refusal = self.refusals.take(Api::Produce);
        if refusal == Some(ApiError::Disconnect) {
            return out.push(ClusterEffect::Disconnect { broker, caller });
        }
        if refusal.is_none() && produce.acks != Acks::None {
            self.refusals.note_lost(Api::Produce, broker, caller, produce.number);
        }
        let appended = match refusal {
            Some(code) if !is_appended(code) => Appended::Refused(error_code(code)),
            Some(_) | None => self.append(at, broker, produce, out),
        };
        let (offset, error) = match (appended, refusal) {
            (Appended::Refused(code), _) => (Offset(-1), Some(code)),
            (_, Some(code)) => (Offset(-1), Some(error_code(code))),
            (Appended::Done(offset), None) => (offset, None),
            (Appended::Waits { offset, end }, None) => {
                self.client_state(caller.client, broker).muted = Some(caller.connection);
                let waits = Unacknowledged { end, offset, number: produce.number, broker, caller };
                return self.partition(produce.partition).unacknowledged.push_back(waits);
            }
            (Appended::Silence, None) => {
                self.client_state(caller.client, broker).muted = Some(caller.connection);
                return;
            }
        };
        let number = produce.number;
        match (produce.acks, error) {
            // The client waits for no response.
            (Acks::None, None) => {}
            // Closing the connection is the only way to report the error. The client then asks for the leaders again
            // (KafkaApis.handleProduceRequest).
            (Acks::None, Some(_)) => out.push(ClusterEffect::Disconnect { broker, caller }),
            (Acks::Leader | Acks::All, error) => {
                out.produced.push(Produced { at, from: broker, to: caller, number, offset, error });
            }
        }
    }

    fn append(
        &mut self,
        at: Time,
        broker: BrokerId,
        produce: &Produce,
        out: &mut ClusterEffects,
    ) -> Appended {
        let (id, needs_all) = (produce.partition, produce.acks == Acks::All);
        let (retention, min_insync) = (self.settings.retention_bytes, self.settings.min_insync);
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return Appended::Refused(ErrorCode::Unavailable);
        };
        if partition.replicas.leader() != Some(broker) {
            return self.append_at_former_leader(broker, produce);
        }
        if needs_all && partition.replicas.in_sync().count() < min_insync as usize {
            return Appended::Refused(ErrorCode::NotEnoughReplicas);
        }
        let count = produce.batch().len() as u64;
        let next = partition.log.end();
        let admission = produce.sequence.map_or(SequenceCheck::Append, |(number, first)| {
            partition.sequences.admit(number, first, count, next)
        });
        let offset = match admission {
            SequenceCheck::OutOfOrder => return Appended::Refused(ErrorCode::OutOfOrderSequence),
            SequenceCheck::Duplicate(offset) => offset,
            SequenceCheck::Append => {
                let offset = partition.log.append(produce.batch());
                partition.log.retain(retention);
                if partition.replicas.appended(partition.log.end(), at) {
                    self.complete_delayed(at, broker, id, out);
                } else {
                    self.is_behind(at, broker, id, out);
                }
                offset
            }
        };
        let end = offset + count as i64;
        if needs_all && self.partition(id).replicas.high_watermark() < end {
            return Appended::Waits { offset, end };
        }
        Appended::Done(Offset(offset))
    }

    /// A leader that is cut off from the controller does not know of its successor. It accepts batches that are dropped
    /// when it learns of the change. They are not kept here, because the log is that of the real leader.
    fn append_at_former_leader(&mut self, broker: BrokerId, produce: &Produce) -> Appended {
        if !self.leads(broker, produce.partition) {
            return Appended::Refused(ErrorCode::NotLeaderOrFollower);
        }
        match produce.acks {
            Acks::None | Acks::Leader => {
                Appended::Done(Offset(self.partition(produce.partition).log.end()))
            }
            Acks::All => Appended::Silence,
        }
    }

    /// The high watermark has moved: acknowledges the batches that are replicated, continues with later batches on
    /// their connections, and answers fetches.
    pub(super) fn committed(&mut self, now: Time, id: PartitionId, out: &mut ClusterEffects) {
        let partition = self.partition(id);
        let (visible, leader) = (partition.replicas.high_watermark(), partition.replicas.leader());
        let mut done = 0;
        while let Some(batch) = self.partition(id).unacknowledged.get(done).copied() {
            if batch.end > visible {
                break;
            }
            done += 1;
            out.produced.push(batch.answer(now, None));
        }
        if let Some(leader) = leader {
            self.complete_delayed(now, leader, id, out);
        }
        for _ in 0..done {
            if let Some(batch) = self.partition(id).unacknowledged.pop_front() {
                self.unmute(now, batch.broker, batch.caller, out);
            }
        }
    }

    /// A partition's leader is down or was replaced: a request that waits for it gets an error, if its broker can still
    /// answer.
    pub(super) fn refuse_waiting(&mut self, now: Time, id: PartitionId, out: &mut ClusterEffects) {
        for batch in std::mem::take(&mut self.partition(id).unacknowledged) {
            if self.brokers[batch.broker as usize].is_reachable() {
                out.produced.push(batch.answer(now, Some(ErrorCode::NotLeaderOrFollower)));
                self.unmute(now, batch.broker, batch.caller, out);
            }
        }
    }

    /// The batch of a connection is answered: handles the next ones.
    pub(super) fn unmute(
        &mut self,
        now: Time,
        broker: BrokerId,
        caller: Caller,
        out: &mut ClusterEffects,
    ) {
        let state = self.client_state(caller.client, broker);
        if state.muted != Some(caller.connection) {
            // The client has another connection by now.
            return;
        }
        state.muted = None;
        loop {
            let state = self.client_state(caller.client, broker);
            if state.muted.is_some() {
                return;
            }
            let Some((caller, produce)) = state.batches.pop_front() else { return };
            self.take_batch(now, broker, caller, &produce, out);
            out.done(produce);
        }
    }
}

impl Cluster {
    /// Notes that a leader has records that its followers lack.
    pub(super) fn is_behind(
        &mut self,
        now: Time,
        leader: BrokerId,
        id: PartitionId,
        out: &mut ClusterEffects,
    ) {
        if self.partition(id).is_dirty {
            return;
        }
        self.partition(id).is_dirty = true;
        if self.is_full_speed {
            return self.enlist(now, leader, leader, id, out);
        }
        self.partition(id).is_dirty = false;
        let followers: Vec<BrokerId> = self.partition(id).replicas.followers().collect();
        for follower in followers {
            let pair = if self.is_full_speed_pair(leader, follower) { leader } else { follower };
            if self.reach(leader, follower) {
                self.enlist(now, leader, pair, id, out);
            }
        }
    }

    fn is_full_speed_pair(&self, leader: BrokerId, follower: BrokerId) -> bool {
        [leader, follower].iter().all(|broker| self.brokers[*broker as usize].is_full_speed())
    }

    /// True if a follower can fetch from a leader.
    fn reach(&self, leader: BrokerId, follower: BrokerId) -> bool {
        [leader, follower].iter().all(|broker| self.brokers[*broker as usize].is_reachable())
    }

    fn enlist(
        &mut self,
        now: Time,
        leader: BrokerId,
        follower: BrokerId,
        id: PartitionId,
        out: &mut ClusterEffects,
    ) {
        let number = self.rounds.number(leader, follower);
        let pair = &mut self.rounds.rounds[number as usize];
        if !pair.next.contains(&id) {
            pair.next.push(id);
        }
        if !pair.is_under_way {
            self.begin_round(now, number, out);
        }
    }

    fn begin_round(&mut self, now: Time, number: u32, out: &mut ClusterEffects) {
        let (leader, follower) = (number / self.settings.brokers, number % self.settings.brokers);
        let pair = &mut self.rounds.rounds[number as usize];
        pair.is_under_way = true;
        let next = std::mem::take(&mut pair.next);
        let mut bringing = std::mem::take(&mut pair.bringing);
        bringing.clear();
        for id in &next {
            let partition = self.partition(*id);
            partition.is_dirty = false;
            bringing.push((*id, partition.log.end(), partition.replicas.epoch()));
        }
        let at = now + self.round(leader, follower, bringing.len());
        let pair = &mut self.rounds.rounds[number as usize];
        (pair.bringing, pair.next) = (bringing, next);
        pair.next.clear();
        out.push(ClusterEffect::Timer { at, timer: ClusterTimer::Replicated { pair: number } });
    }

    /// Time from the append until the leader knows that the follower has the records: the response to the fetch that
    /// was delayed, and the next fetch.
    fn round(&self, leader: BrokerId, follower: BrokerId, partitions: usize) -> Duration {
        let smooth = 2 * (self.settings.link + self.settings.request_cost);
        let (leader, follower) = (&self.brokers[leader as usize], &self.brokers[follower as usize]);
        let disk = follower.disk_cost * partitions as u32;
        let own = if std::ptr::eq(leader, follower) { 0 } else { 1 };
        smooth + own * (2 * (leader.link_delay + follower.link_delay) + disk)
    }

    /// Handles the end of a round: followers have the records of it.
    pub(super) fn replicated(&mut self, now: Time, number: u32, out: &mut ClusterEffects) {
        let (leader, follower) = (number / self.settings.brokers, number % self.settings.brokers);
        if !self.brokers[leader as usize].is_reachable() {
            // Records that could not be replicated are replicated when the leader can be reached again.
            let pair = &mut self.rounds.rounds[number as usize];
            pair.is_under_way = false;
            return pair.next.clear();
        }
        let bringing = std::mem::take(&mut self.rounds.rounds[number as usize].bringing);
        for (id, end, epoch) in &bringing {
            let replicas = &self.partitions[id.0 as usize].replicas;
            if replicas.leader() != Some(leader) || replicas.epoch() != *epoch {
                continue;
            }
            let mut has_moved = false;
            for place in 0..replicas.copies() {
                let broker = self.partitions[id.0 as usize].replicas.broker(place);
                let takes_part = match leader == follower {
                    true => broker != leader && self.is_full_speed_pair(leader, broker),
                    false => broker == follower && self.reach(leader, broker),
                };
                if takes_part {
                    has_moved |= self.partition(*id).replicas.fetched(broker, *end, now);
                }
            }
            self.note_change(now, *id);
            if has_moved {
                self.committed(now, *id, out);
            }
        }
        let pair = &mut self.rounds.rounds[number as usize];
        pair.bringing = bringing;
        pair.is_under_way = false;
        if !pair.next.is_empty() {
            self.begin_round(now, number, out);
        }
    }

    /// Starts rounds for followers that are behind and can be reached, because the state of a broker has changed.
    pub(super) fn replicate_all(&mut self, now: Time, out: &mut ClusterEffects) {
        self.is_full_speed = self.brokers.iter().all(Broker::is_full_speed);
        for id in 0..self.partitions.len() as u32 {
            let id = PartitionId(id);
            self.partition(id).is_dirty = false;
            let Some(leader) = self.partition(id).replicas.leader() else { continue };
            if self.partition(id).replicas.has_laggards() {
                self.is_behind(now, leader, id, out);
            }
        }
        if !self.laggards_timer && !self.is_full_speed {
            self.laggards_timer = true;
            let at = now + self.settings.replica_lag_max / 2;
            out.push(ClusterEffect::Timer { at, timer: ClusterTimer::Laggards });
        }
    }

    /// Removes followers that were behind for too long from the in-sync replicas. Leaders check that twice per
    /// `replica.lag.time.max.ms`.
    pub(super) fn drop_laggards(&mut self, now: Time, out: &mut ClusterEffects) {
        let lag_max = self.settings.replica_lag_max;
        for id in 0..self.partitions.len() as u32 {
            let id = PartitionId(id);
            let Some(leader) = self.partition(id).replicas.leader() else { continue };
            // Only the controller can remove a replica from the in-sync ones.
            let can = self.brokers[leader as usize].is_reachable();
            if can && self.partition(id).replicas.drop_laggards(lag_max, now) {
                self.committed(now, id, out);
            }
            self.note_change(now, id);
        }
        self.laggards_timer = !self.is_full_speed;
        if self.laggards_timer {
            out.push(ClusterEffect::Timer { at: now + lag_max / 2, timer: ClusterTimer::Laggards });
        }
    }
}
