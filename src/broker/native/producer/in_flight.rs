//! The batches that a broker has not answered yet, and the requests that contain them.

use std::collections::VecDeque;

use super::batch::ProducerBatch;
use crate::base::Time;

/// Batches in flight to a broker, in the order in which they were sent. The batches of one request are adjacent.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    batches: VecDeque<Box<ProducerBatch>>,
    /// Number of requests with a batch that is not answered.
    requests: usize,
    open: OpenRequest,
}

/// The latest request. It takes batches until its outbox is taken.
#[derive(Clone, Copy, Debug, Default)]
struct OpenRequest {
    number: u64,
    outbox: u64,
    bytes: usize,
}

/// The limits of requests in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlightLimits {
    /// Largest number of requests in flight.
    pub(super) requests_max: usize,
    /// Bytes from which on a request takes no more batches. With 0, it takes one batch.
    pub(super) request_bytes: usize,
    /// Number of the outbox that is being filled.
    pub(super) outbox: u64,
}

impl InFlight {
    /// True if a batch of a partition can be sent whose last batch was sent in request `last`.
    #[inline]
    pub(super) fn has_room(&self, window: InFlightLimits, last: u64) -> bool {
        self.requests < window.requests_max || self.takes_more(window, last)
    }

    /// True if a batch of any partition can be sent.
    #[inline]
    pub(super) fn may_have_room(&self, window: InFlightLimits) -> bool {
        self.has_room(window, 0)
    }

    /// True if the latest request takes another batch, of a partition that it has no batch of.
    #[inline]
    fn takes_more(&self, window: InFlightLimits, last: u64) -> bool {
        self.open.bytes < window.request_bytes
            && self.open.outbox == window.outbox
            && self.open.number != last
            && self.requests > 0
    }

    /// Adds a batch whose number is set, and returns the number of its request. `last` is the request of the
    /// partition's previous batch.
    #[inline]
    pub(super) fn push(
        &mut self,
        mut batch: Box<ProducerBatch>,
        window: InFlightLimits,
        last: u64,
    ) -> u64 {
        let bytes = batch.bytes;
        if self.takes_more(window, last) {
            batch.request = self.open.number;
            self.open.bytes += bytes;
        } else {
            batch.request = batch.number;
            self.requests += 1;
            self.open = OpenRequest { number: batch.number, outbox: window.outbox, bytes };
        }
        self.batches.push_back(batch);
        self.open.number
    }

    /// The batch that was sent first.
    #[inline]
    pub(super) fn first(&self) -> Option<&ProducerBatch> {
        self.batches.front().map(|batch| &**batch)
    }

    /// Removes the batch that was sent as `number`.
    #[inline]
    pub(super) fn take(&mut self, number: u64) -> Option<Box<ProducerBatch>> {
        let place = match self.batches.front() {
            Some(first) if first.number == number => 0,
            _ => self.place_of(number)?,
        };
        let batch = self.batches.remove(place)?;
        let is_in_request = |other: Option<&Box<ProducerBatch>>| {
            other.is_some_and(|other| other.request == batch.request)
        };
        let before = place.checked_sub(1).and_then(|before| self.batches.get(before));
        if !is_in_request(before) && !is_in_request(self.batches.get(place)) {
            self.requests -= 1;
        }
        Some(batch)
    }

    /// Index of a batch that is not the first one, which is rare.
    #[cold]
    fn place_of(&self, number: u64) -> Option<usize> {
        // Batches are numbered in the order in which they are sent.
        self.batches.binary_search_by_key(&number, |batch| batch.number).ok()
    }

    /// Removes all batches.
    pub(super) fn take_all(&mut self) -> VecDeque<Box<ProducerBatch>> {
        self.requests = 0;
        std::mem::take(&mut self.batches)
    }

    /// Time limit for the response to the oldest batch.
    #[inline]
    pub(super) fn limit(&self) -> Time {
        self.first().map_or(Time::NEVER, |oldest| oldest.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: InFlightLimits =
        InFlightLimits { requests_max: 2, request_bytes: 250, outbox: 1 };

    fn batch(number: u64) -> Box<ProducerBatch> {
        let mut batch = Box::<ProducerBatch>::default();
        (batch.number, batch.bytes) = (number, 100);
        batch
    }

    fn sent(window: InFlightLimits, lasts: &[u64]) -> (InFlight, Vec<u64>) {
        let mut in_flight = InFlight::default();
        let mut requests = Vec::new();
        for (number, last) in (1..).zip(lasts) {
            requests.push(in_flight.push(batch(number), window, *last));
        }
        (in_flight, requests)
    }

    #[test]
    fn a_request_takes_batches_of_different_partitions_up_to_its_size() {
        let (in_flight, requests) = sent(WINDOW, &[0, 0, 0, 0]);
        assert_eq!((requests, in_flight.requests), (vec![1, 1, 1, 4], 2));
        assert!(in_flight.has_room(WINDOW, 0), "the second request has room");
        assert!(!in_flight.has_room(WINDOW, 4), "not for a partition that is in it");
        assert!(!in_flight.has_room(InFlightLimits { outbox: 2, ..WINDOW }, 0), "it is under way");
    }

    #[test]
    fn a_partition_that_is_in_a_request_begins_another_one() {
        assert_eq!(sent(WINDOW, &[0, 1, 0]).1, [1, 2, 2]);
    }

    #[test]
    fn without_a_size_each_batch_is_a_request() {
        let window = InFlightLimits { request_bytes: 0, ..WINDOW };
        let (in_flight, requests) = sent(window, &[0, 0]);
        assert_eq!(requests, [1, 2]);
        assert!(!in_flight.has_room(window, 0));
    }

    #[test]
    fn a_request_is_answered_with_its_last_batch_in_any_order() {
        let (mut in_flight, _) = sent(WINDOW, &[0, 0, 0, 0]);
        for (number, requests) in [(2, 2), (1, 2), (4, 1), (3, 0)] {
            assert_eq!(in_flight.take(number).map(|batch| batch.number), Some(number));
            assert_eq!(in_flight.requests, requests, "after {number}");
        }
        assert!(in_flight.take(1).is_none() && in_flight.first().is_none());
    }
}
