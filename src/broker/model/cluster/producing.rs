//! Produce requests: append, and acknowledge when those who have to have the batch have it.

use super::outputs::{Caller, Output, Outputs, Produced};
use super::refusal::{error_code, is_appended};
use super::state::{Cluster, Unacknowledged};
use crate::base::{Offset, PartitionId, Time};
use crate::broker::model::sequences::Admission;
use crate::broker::protocol::{BrokerId, ErrorCode, Produce};
use crate::fault::{Api, ApiError};
use crate::plan::Acks;

/// What became of a batch.
enum Appended {
    /// There it is, and every replica that has to have it has it.
    Done(Offset),
    /// It is to be acknowledged once everything up to `end` is replicated.
    Waits {
        offset: i64,
        end: i64,
    },
    Refused(ErrorCode),
    /// The broker can neither replicate it nor say so.
    Silence,
}

impl Cluster {
    /// Takes a batch, or keeps it until the one before it is acknowledged.
    pub(super) fn produce(
        &mut self,
        at: Time,
        broker: BrokerId,
        caller: Caller,
        produce: Box<Produce>,
        out: &mut Outputs,
    ) {
        if self.settings.replication_factor > 1 {
            let place = self.place_mut(caller.client, broker);
            if place.muted == Some(caller.connection) {
                return place.batches.push_back((caller, produce));
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
        out: &mut Outputs,
    ) {
        let at = self.brokers[broker as usize].write(at);
        let refusal = self.refusals.take(Api::Produce);
        if refusal == Some(ApiError::Disconnect) {
            return out.push(Output::HangUp { broker, caller });
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
                self.place_mut(caller.client, broker).muted = Some(caller.connection);
                let waits = Unacknowledged { end, offset, number: produce.number, broker, caller };
                return self.partition(produce.partition).unacknowledged.push_back(waits);
            }
            (Appended::Silence, None) => {
                self.place_mut(caller.client, broker).muted = Some(caller.connection);
                return;
            }
        };
        let number = produce.number;
        match (produce.acks, error) {
            // No answer is waited for.
            (Acks::None, None) => {}
            // The only way to say so: the client asks again who leads (KafkaApis.handleProduceRequest).
            (Acks::None, Some(_)) => out.push(Output::HangUp { broker, caller }),
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
        out: &mut Outputs,
    ) -> Appended {
        let (id, needs_all) = (produce.partition, produce.acks == Acks::All);
        let (retention, min_insync) = (self.settings.retention_bytes, self.settings.min_insync);
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return Appended::Refused(ErrorCode::Unavailable);
        };
        if partition.replicas.leader() != Some(broker) {
            return self.append_at_the_deposed(broker, produce);
        }
        if needs_all && partition.replicas.in_sync().count() < min_insync as usize {
            return Appended::Refused(ErrorCode::NotEnoughReplicas);
        }
        let count = produce.batch.len() as u64;
        let next = partition.log.end();
        let admission = produce.sequence.map_or(Admission::Append, |(number, first)| {
            partition.sequences.admit(number, first, count, next)
        });
        let offset = match admission {
            Admission::OutOfOrder => return Appended::Refused(ErrorCode::OutOfOrderSequence),
            Admission::Duplicate(offset) => offset,
            Admission::Append => {
                let offset = partition.log.append(&produce.batch);
                partition.log.retain(retention);
                if partition.replicas.appended(partition.log.end(), at) {
                    self.wake(at, broker, id, out);
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

    /// A leader that was cut off from the controller does not know that it is none any more: it takes batches that
    /// will be cut off when it hears of it. The log is that of the real leader, so they are not even kept.
    fn append_at_the_deposed(&mut self, broker: BrokerId, produce: &Produce) -> Appended {
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

    /// The high watermark has moved: acknowledges what is replicated, lets those connections go on, and answers
    /// fetches.
    pub(super) fn committed(&mut self, now: Time, id: PartitionId, out: &mut Outputs) {
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
            self.wake(now, leader, id, out);
        }
        for _ in 0..done {
            if let Some(batch) = self.partition(id).unacknowledged.pop_front() {
                self.unmute(now, batch.broker, batch.caller, out);
            }
        }
    }

    /// A partition's leader is gone or deposed: a request that waits for it is told, if its broker can still tell it.
    pub(super) fn refuse_waiting(&mut self, now: Time, id: PartitionId, out: &mut Outputs) {
        for batch in std::mem::take(&mut self.partition(id).unacknowledged) {
            if self.brokers[batch.broker as usize].is_heard() {
                out.produced.push(batch.answer(now, Some(ErrorCode::NotLeaderOrFollower)));
                self.unmute(now, batch.broker, batch.caller, out);
            }
        }
    }

    /// The connection's batch is answered: takes the next ones.
    pub(super) fn unmute(
        &mut self,
        now: Time,
        broker: BrokerId,
        caller: Caller,
        out: &mut Outputs,
    ) {
        let place = self.place_mut(caller.client, broker);
        if place.muted != Some(caller.connection) {
            // It has another connection by now.
            return;
        }
        place.muted = None;
        loop {
            let place = self.place_mut(caller.client, broker);
            if place.muted.is_some() {
                return;
            }
            let Some((caller, produce)) = place.batches.pop_front() else { return };
            self.take_batch(now, broker, caller, &produce, out);
            out.done(produce);
        }
    }
}
