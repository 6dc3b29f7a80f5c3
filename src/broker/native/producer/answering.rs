//! What becomes of a batch: acknowledged, sent again, or given up.

use std::collections::VecDeque;
use std::time::Duration;

use super::parcel::{Parcel, Sent};
use super::{NativeProducer, Number};
use crate::base::{Offset, Time};
use crate::broker::protocol::{BrokerId, Client, ErrorCode, Request};
use crate::measure::{Ack, Outcome};

/// How often librdkafka looks for records that have waited too long.
pub(super) const LOOK_FOR_OLD: Duration = Duration::from_secs(1);

impl NativeProducer {
    /// Closes connections that do not answer, and gives up what has taken too long. Returns when something may be due
    /// next.
    #[inline]
    pub(super) fn look_for_trouble(&mut self, now: Time) -> Time {
        let limit = self.limit();
        if now >= limit {
            return self.close_silent_connections(now);
        }
        if now >= self.look_for_old_at {
            self.give_up_old(now);
        }
        limit
    }

    /// Until when the oldest batch in flight is to be answered.
    #[inline]
    fn limit(&self) -> Time {
        let oldest = self.in_flight.iter().filter_map(VecDeque::front);
        oldest.map(|parcel| parcel.limit).fold(Time::NEVER, Time::min)
    }

    #[cold]
    fn close_silent_connections(&mut self, now: Time) -> Time {
        for broker in 0..self.in_flight.len() {
            if self.in_flight[broker].front().is_some_and(|oldest| oldest.limit <= now) {
                self.close_connection(broker as BrokerId, now);
            }
        }
        self.look_for_trouble(now)
    }

    pub(super) fn close_connection(&mut self, broker: BrokerId, now: Time) {
        self.outbox.push((broker, Request::Close));
        self.disconnected(broker, now);
    }

    fn give_up_old(&mut self, now: Time) {
        self.look_for_old_at = now + LOOK_FOR_OLD;
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
            self.answers.add_error("MessageTimedOut", 1);
            self.resolve_unsent(parcel, now);
        }
    }

    /// A batch that is not in flight is given up.
    pub(super) fn resolve_unsent(&mut self, parcel: Box<Parcel>, now: Time) {
        // What never left has certainly failed; what left may have arrived.
        let outcome = if parcel.may_be_there { Outcome::Indeterminate } else { Outcome::Failed };
        self.resolve(parcel, now, outcome, None);
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

    /// Takes what became of the batch that was sent as request `number`. What was answered already is not there any
    /// more.
    pub(super) fn answered(
        &mut self,
        broker: BrokerId,
        number: u64,
        result: Result<Offset, ErrorCode>,
        now: Time,
    ) {
        let in_flight = &mut self.in_flight[broker as usize];
        let parcel = match in_flight.front() {
            Some(first) if first.number == number => in_flight.pop_front(),
            _ => take_out(in_flight, number),
        };
        let Some(parcel) = parcel else { return };
        self.lanes[parcel.partition.0 as usize].in_flight -= 1;
        match result {
            // It is not known where a batch stands that is not answered.
            Ok(first) => {
                let lane = &mut self.lanes[parcel.partition.0 as usize];
                lane.acked = lane.acked.max(parcel.sequence + parcel.records.len() as u64);
                let first = Some(first).filter(|first| first.0 >= 0);
                self.resolve(parcel, now, Outcome::Acked, first);
            }
            Err(code) => self.refused(parcel, code, now),
        }
    }

    fn refused(&mut self, mut parcel: Box<Parcel>, code: ErrorCode, now: Time) {
        match code {
            ErrorCode::NotLeaderOrFollower | ErrorCode::Unavailable => self.metadata.doubt(now),
            ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend => {
                parcel.may_be_there = true;
            }
            ErrorCode::OutOfOrderSequence => {
                let lane = &self.lanes[parcel.partition.0 as usize];
                // It was refused when the log knew nothing of this producer yet, and then the next one was taken,
                // whatever its sequence. Behind that one it must not stand: it is given up, as the Java client does
                // in the end.
                if parcel.sequence < lane.acked {
                    self.answers.add_error(code.name(), 1);
                    return self.resolve_unsent(parcel, now);
                }
                let is_first = lane.first().is_none_or(|first| first.sequence > parcel.sequence);
                // The batch before it is still to come, or the log has lost it: then a new number begins anew.
                if is_first && lane.in_flight == 0 && parcel.tries > 1 {
                    // It cannot be there without the one before it.
                    parcel.may_be_there = false;
                    self.answers.add_error(code.name(), 1);
                    self.number = Number::Wanted;
                }
            }
            ErrorCode::NotEnoughReplicas | ErrorCode::OffsetOutOfRange => {}
        }
        self.retry(parcel, now);
    }

    /// Answers every record of a batch, whose first one stands at `first` if that is known, and keeps the memory.
    pub(super) fn resolve(
        &mut self,
        mut parcel: Box<Parcel>,
        at: Time,
        outcome: Outcome,
        first: Option<Offset>,
    ) {
        let partition = parcel.partition;
        let ack = |(index, &Sent { producer, sequence, at: sent }): (i64, &Sent)| {
            let offset = first.map(|first| Offset(first.0 + index));
            Ack { producer, partition, sequence, offset, sent, at, outcome }
        };
        self.answers.acks.extend((0..).zip(&parcel.records).map(ack));
        self.queued -= parcel.records.len();
        self.queued_bytes -= parcel.batch.bytes.len();
        parcel.batch.clear();
        parcel.records.clear();
        (parcel.tries, parcel.may_be_there) = (0, false);
        self.spare.push(parcel);
    }
}

/// A batch that is not the first one, which is rare.
#[cold]
fn take_out(in_flight: &mut VecDeque<Box<Parcel>>, number: u64) -> Option<Box<Parcel>> {
    // Requests are numbered as they are sent.
    let place = in_flight.binary_search_by_key(&number, |parcel| parcel.number).ok()?;
    in_flight.remove(place)
}
