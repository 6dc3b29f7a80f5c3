//! Which batch goes next, and where.

use super::parcel::Parcel;
use super::{NativeProducer, Number};
use crate::base::{PartitionId, Time};
use crate::broker::protocol::{BrokerId, Request};

impl NativeProducer {
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.number, Number::NotNeeded | Number::Known(_))
    }

    /// Where a partition's next batch can go now: its leader, when it is known, reached and has room.
    #[inline]
    pub(super) fn way(&self, partition: PartitionId, now: Time) -> Option<BrokerId> {
        let leader = self.metadata.leader(partition, now)?;
        let lane = &self.lanes[partition.0 as usize];
        // A leader that has nothing of this producer yet takes any sequence: those before it come first.
        if lane.in_flight > 0
            && let Number::Known(number) = self.number
            && (lane.leader != leader || lane.sent_as != number_of(lane.first(), number))
        {
            return None;
        }
        (self.in_flight[leader as usize].len() < self.in_flight_max).then_some(leader)
    }

    /// Sends the batches that have waited long enough and have room; the others go on filling. Returns when
    /// something is due next.
    pub(super) fn send_due(&mut self, now: Time) -> Time {
        let mut next = self.metadata.refresh(now, &mut self.outbox);
        if !self.is_ready() {
            return next.min(self.ask_for_number(now));
        }
        if !self.waiting.is_empty() {
            next = next.min(self.send_waiting(now));
        }
        next = next.min(self.send_opened(now));
        next.min(self.look_for_trouble(now))
    }

    /// Whether any broker takes another batch.
    #[inline]
    fn has_room(&self) -> bool {
        self.in_flight.iter().any(|in_flight| in_flight.len() < self.in_flight_max)
    }

    /// Whether an open batch has waited long enough.
    #[inline]
    pub(super) fn has_due(&self, now: Time) -> bool {
        self.opened.front().is_some_and(|(since, _)| *since + self.linger <= now)
    }

    /// Closes and sends the open batches that have waited long enough and have room; they are the first ones. Returns
    /// when something is due next.
    #[inline]
    pub(super) fn send_opened(&mut self, now: Time) -> Time {
        let (mut next, mut at) = (Time::NEVER, 0);
        while let Some((since, partition)) = self.opened.get(at).copied() {
            let due = since + self.linger;
            if due > now {
                return next.min(due);
            }
            // Behind it there may be a thousand others that cannot go either.
            if !self.has_room() {
                return next.min(self.metadata.next_try(now));
            }
            let way = match self.lanes[partition.0 as usize].waits() {
                true => None,
                false => self.way(partition, now),
            };
            let Some(leader) = way else {
                next = next.min(self.metadata.next_try(now));
                at += 1;
                continue;
            };
            self.opened.remove(at);
            if let Some(parcel) = self.lanes[partition.0 as usize].close() {
                self.send_parcel(parcel, leader, now);
            }
        }
        next
    }

    /// Sends closed batches as far as that is possible; returns when more may be.
    pub(super) fn send_waiting(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|partition| {
            while self.may_send_first(*partition, now, &mut next) {
                // Before it is taken: the way depends on which one is the first.
                let leader = self.way(*partition, now);
                let parcel = self.lanes[partition.0 as usize].take_first();
                if let (Some(parcel), Some(leader)) = (parcel, leader) {
                    self.send_parcel(parcel, leader, now);
                }
            }
            self.lanes[partition.0 as usize].waits()
        });
        // Nothing joins the list meanwhile.
        self.waiting = waiting;
        next.min(self.metadata.next_try(now))
    }

    pub(super) fn may_send_first(
        &self,
        partition: PartitionId,
        now: Time,
        next: &mut Time,
    ) -> bool {
        let lane = &self.lanes[partition.0 as usize];
        let Some(first) = lane.first() else { return false };
        if lane.not_before > now {
            *next = lane.not_before.min(*next);
            return false;
        }
        // An idempotent producer sends nothing again before it knows what became of the rest.
        let drains = first.tries > 0 && lane.in_flight > 0 && self.number != Number::NotNeeded;
        !drains && self.way(partition, now).is_some()
    }

    pub(super) fn send_parcel(&mut self, mut parcel: Box<Parcel>, leader: BrokerId, now: Time) {
        let sequence = match self.number {
            Number::Known(number) => {
                parcel.sent_as = number_of(Some(&parcel), number);
                Some((parcel.sent_as, parcel.sequence))
            }
            _ => None,
        };
        self.requests += 1;
        parcel.tries += 1;
        parcel.number = self.requests;
        parcel.limit = now + self.profile.request_timeout;
        let partition = parcel.partition;
        let mut request = self.spare_requests.pop().unwrap_or_default();
        (request.number, request.partition) = (parcel.number, partition);
        (request.acks, request.sequence) = (self.acks, sequence);
        request.batch.clone_from(&parcel.batch);
        self.outbox.push((leader, Request::Produce(request)));
        let lane = &mut self.lanes[partition.0 as usize];
        lane.in_flight += 1;
        (lane.leader, lane.sent_as) = (leader, parcel.sent_as);
        self.in_flight[leader as usize].push_back(parcel);
    }
}

/// With which number a batch is sent when the producer's is `number`: what may be in the log goes there with the one it
/// was sent with before, so that it is recognised.
#[inline]
fn number_of(parcel: Option<&Parcel>, number: i64) -> i64 {
    let again = parcel.filter(|parcel| parcel.may_be_there && parcel.tries > 0);
    again.map_or(number, |parcel| parcel.sent_as)
}
