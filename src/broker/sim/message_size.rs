//! The size of messages on the wire and in memory, and the limit on what is in flight.

use super::kernel::Kernel;
use super::limits::Exceeded;
use crate::broker::protocol::{Fetch, Request, Response};

/// Bytes of a message besides its records, in memory.
const MESSAGE_BYTES: usize = 256;

/// Bytes of a message besides its records: header, topic, partitions.
const FRAME: u64 = 100;
/// Bytes of a record besides its payload, about (`DefaultRecord` of Kafka's message format v2).
const RECORD: u64 = 10;

impl Kernel {
    /// The limit on events or on bytes in flight that is reached; `None` if neither is.
    pub(super) fn exceeded(&self) -> Option<Exceeded> {
        if self.steps >= self.limits.events {
            return Some(Exceeded::Events(self.steps, self.now));
        }
        let requests = self.network.requests().chain(self.cluster.queued_requests());
        let bytes = requests.map(bytes_of).sum();
        (bytes >= self.limits.bytes).then_some(Exceeded::Bytes(bytes, self.now))
    }

    /// Bytes of a request; 0 if no link has a limited bandwidth.
    #[inline]
    pub(super) fn size_of_request(&self, request: &Request) -> u64 {
        match request {
            _ if !self.network.is_limited() => 0,
            Request::Produce(produce) => {
                FRAME + produce.batch().bytes.len() as u64 + RECORD * produce.batch().len() as u64
            }
            _ => FRAME,
        }
    }

    /// Bytes of a response; 0 if no link has a limited bandwidth.
    #[inline]
    pub(super) fn size_of_response(&self, response: &Response) -> u64 {
        match response {
            _ if !self.network.is_limited() => 0,
            Response::Fetch(fetch) => self.size_of_fetched(fetch),
            _ => FRAME,
        }
    }

    /// Bytes of a fetch response; 0 if no link has a limited bandwidth.
    #[inline]
    pub(super) fn size_of_fetched(&self, fetch: &Fetch) -> u64 {
        if !self.network.is_limited() {
            return 0;
        }
        let size = |slot| self.cluster.size_bytes(slot);
        let records: i64 = fetch.slots.iter().map(|slot| slot.end - slot.offset).sum();
        FRAME + fetch.slots.iter().map(size).sum::<u64>() + RECORD * records.max(0) as u64
    }

    /// Bytes of a message without records; 0 if no link has a limited bandwidth.
    #[inline]
    pub(super) fn frame(&self) -> u64 {
        if self.network.is_limited() { FRAME } else { 0 }
    }
}

/// Approximate memory of a request, in bytes.
fn bytes_of(request: &Request) -> usize {
    match request {
        Request::Produce(produce) => {
            MESSAGE_BYTES + produce.batch().bytes.capacity() + 4 * produce.batch().ends.capacity()
        }
        _ => MESSAGE_BYTES,
    }
}
