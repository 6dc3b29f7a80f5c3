//! What becomes of a batch: acknowledged, sent again, or given up.

use std::time::Duration;

use triomphe::Arc;

use super::parcel::Parcel;
use super::{NativeProducer, Number};
use crate::base::{Time, sent_time};
use crate::broker::protocol::{BrokerId, Client, ErrorCode, Request};
use crate::measure::{Ack, Outcome};

/// How often librdkafka looks for records that have waited too long.
const LOOK_FOR_OLD: Duration = Duration::from_secs(1);

impl NativeProducer {
    /// Closes connections that do not answer, and gives up what has taken too long.
    #[inline]
    pub(super) fn look_for_trouble(&mut self, now: Time) -> Time {
        let mut next = Time::NEVER;
        for broker in 0..self.in_flight.len() {
            let Some(oldest) = self.in_flight[broker].front() else { continue };
            let limit = oldest.sent + self.profile.request_timeout;
            if limit <= now {
                self.close_connection(broker as BrokerId, now);
            } else {
                next = next.min(limit);
            }
        }
        if now >= self.looked_for_old + LOOK_FOR_OLD {
            self.looked_for_old = now;
            self.give_up_old(now);
        }
        next
    }

    pub(super) fn close_connection(&mut self, broker: BrokerId, now: Time) {
        self.outbox.push((broker, Request::Close));
        self.disconnected(broker, now);
    }

    pub(super) fn give_up_old(&mut self, now: Time) {
        let too_old = |since: Time| since + self.profile.message_timeout <= now;
        let mut old = Vec::new();
        for lane in &mut self.lanes {
            if lane.open.as_ref().is_some_and(|parcel| too_old(parcel.since)) {
                old.extend(lane.close());
            }
        }
        let lanes = &self.lanes;
        self.opened.retain(|(_, partition)| lanes[partition.0 as usize].open.is_some());
        for partition in &self.waiting {
            let lane = &mut self.lanes[partition.0 as usize];
            while lane.first().is_some_and(|parcel| too_old(parcel.since)) {
                old.extend(lane.take_first());
            }
        }
        for parcel in old {
            self.answers.errors.push("MessageTimedOut".to_owned());
            self.resolve_unsent(parcel, now);
        }
    }

    /// A batch that is not in flight is given up.
    pub(super) fn resolve_unsent(&mut self, parcel: Box<Parcel>, now: Time) {
        // What never left has certainly failed; what left may have arrived.
        let outcome = if parcel.may_be_there { Outcome::Indeterminate } else { Outcome::Failed };
        self.resolve(parcel, now, outcome);
    }

    /// A batch was refused, or not answered: it is sent again later.
    pub(super) fn retry(&mut self, parcel: Box<Parcel>, now: Time) {
        let doublings = parcel.tries.saturating_sub(1).min(16);
        let backoff = self.profile.retry_backoff * (1 << doublings);
        let lane = &mut self.lanes[parcel.partition.0 as usize];
        lane.not_before = now + backoff.min(self.profile.retry_backoff_max);
        self.put_by(parcel);
    }

    /// Lets a closed batch wait in its place.
    pub(super) fn put_by(&mut self, parcel: Box<Parcel>) {
        let partition = parcel.partition;
        self.lanes[partition.0 as usize].put(parcel);
        if !self.waiting.contains(&partition) {
            self.waiting.push(partition);
        }
    }

    pub(super) fn answered(
        &mut self,
        mut parcel: Box<Parcel>,
        result: Result<(), ErrorCode>,
        now: Time,
    ) {
        let Err(code) = result else {
            return self.resolve(parcel, now, Outcome::Acked);
        };
        match code {
            ErrorCode::NotLeaderOrFollower | ErrorCode::Unavailable => self.metadata.doubt(now),
            ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend => {
                parcel.may_be_there = true;
            }
            ErrorCode::OutOfOrderSequence => {
                let lane = &self.lanes[parcel.partition.0 as usize];
                let is_first = lane.first().is_none_or(|first| first.sequence > parcel.sequence);
                // The batch before it is still to come, or the log has lost it: then a new number begins anew.
                if is_first && lane.in_flight == 0 && parcel.tries > 1 {
                    self.answers.errors.push(code.name().to_owned());
                    self.number = Number::Wanted;
                }
            }
            ErrorCode::NotEnoughReplicas | ErrorCode::OffsetOutOfRange => {}
        }
        self.retry(parcel, now);
    }

    /// Answers every record of a batch and keeps the memory.
    pub(super) fn resolve(&mut self, mut parcel: Box<Parcel>, at: Time, outcome: Outcome) {
        let (partition, batch) = (parcel.partition, &parcel.request.batch);
        let mut start = 0;
        for ((producer, sequence), end) in parcel.records.drain(..).zip(&batch.ends) {
            let sent = sent_time(&batch.bytes[start..*end as usize]).unwrap_or(at);
            start = *end as usize;
            self.answers.acks.push(Ack {
                producer,
                partition,
                sequence,
                sent,
                at,
                timed: true,
                outcome,
            });
        }
        self.queued -= parcel.request.batch.len();
        if let Some(request) = Arc::get_mut(&mut parcel.request) {
            request.batch.clear();
            (parcel.tries, parcel.may_be_there) = (0, false);
            self.spare.push(parcel);
        }
    }
}
