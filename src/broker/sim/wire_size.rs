//! How large messages are, where bandwidth is limited.

use super::kernel::Kernel;
use crate::broker::protocol::{Fetch, Request, Response};

/// Bytes of a message besides its records: header, topic, partitions.
const FRAME: u64 = 100;
/// Bytes of a record besides its payload, about (`DefaultRecord` of Kafka's message format v2).
const RECORD: u64 = 10;

impl Kernel {
    /// Bytes of a request; zero if that does not matter.
    #[inline]
    pub(super) fn size_of_request(&self, request: &Request) -> u64 {
        match request {
            _ if !self.network.is_limited() => 0,
            Request::Produce(produce) => {
                FRAME + produce.batch.bytes.len() as u64 + RECORD * produce.batch.len() as u64
            }
            _ => FRAME,
        }
    }

    /// Bytes of a response; zero if that does not matter.
    #[inline]
    pub(super) fn size_of_response(&self, response: &Response) -> u64 {
        match response {
            _ if !self.network.is_limited() => 0,
            Response::Fetch(fetch) => self.size_of_fetched(fetch),
            _ => FRAME,
        }
    }

    /// Bytes of the answer to a fetch; zero if that does not matter.
    #[inline]
    pub(super) fn size_of_fetched(&self, fetch: &Fetch) -> u64 {
        if !self.network.is_limited() {
            return 0;
        }
        let size = |slot| self.cluster.size_bytes(slot);
        let records: i64 = fetch.slots.iter().map(|slot| slot.end - slot.offset).sum();
        FRAME + fetch.slots.iter().map(size).sum::<u64>() + RECORD * records.max(0) as u64
    }

    /// Bytes of a message without records; zero if that does not matter.
    #[inline]
    pub(super) fn frame(&self) -> u64 {
        if self.network.is_limited() { FRAME } else { 0 }
    }
}
