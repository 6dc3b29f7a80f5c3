//! Records as a consumer processed them, and what one partition measured since the collector last took it.

use super::Latencies;
use crate::base::{Offset, Stamp, Time};

/// A record as a consumer machine saw it.
#[derive(Clone, Copy, Debug)]
pub struct Processed {
    /// Where it stood.
    pub offset: Offset,
    /// What it was.
    pub content: Content,
    /// When it came.
    pub handed: Handed,
    /// When the handling of it was done.
    pub done: Time,
    /// Size of the payload.
    pub bytes: u32,
}

/// When a record came to its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// When the response with it reached the client; `None` where the client does not say.
    pub fetched: Option<Time>,
    /// When its handling began.
    pub at: Time,
}

impl From<Time> for Handed {
    /// By a client that does not say when it had the record.
    fn from(at: Time) -> Handed {
        Handed { fetched: None, at }
    }
}

/// What a record was.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Ours and intact.
    Intact(Stamp),
    /// Intact, of an earlier run that this one continues.
    Earlier(Stamp),
    /// Ours once.
    Corrupt,
    /// Of another run.
    OtherProducer,
    /// Passed over as poison; with its stamp, if it was ours and intact.
    Skipped(Option<Stamp>),
}

/// The numbers of one partition over one interval (a second, as a rule).
#[derive(Clone, Debug, Default)]
pub struct Shard {
    /// Processed - intended send, of records intended in the measured window.
    pub response: Latencies,
    /// Processed - actual send, of the same records.
    pub service: Latencies,
    /// What the service time consists of, of the same records.
    pub parts: Parts,
    /// Distinct records processed in the interval, warmup included.
    pub delivered: u64,
    /// Records processed while the measured window lasted, whenever they were sent.
    pub processed_in_window: u64,
    /// Their payload bytes.
    pub bytes_in_window: u64,
    /// Payload bytes processed in the interval.
    pub bytes: u64,
}

impl Shard {
    /// Adds another shard, but for its parts: those are kept for all partitions together.
    pub fn merge(&mut self, other: &Shard) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.delivered += other.delivered;
        self.processed_in_window += other.processed_in_window;
        self.bytes_in_window += other.bytes_in_window;
        self.bytes += other.bytes;
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.response.clear();
        self.service.clear();
        self.parts.clear();
        self.delivered = 0;
        self.processed_in_window = 0;
        self.bytes_in_window = 0;
        self.bytes = 0;
    }
}

/// The parts of the service time. For each record they add up to it: `fetch + waiting + handling`, or
/// `handed_over + handling` where the client does not say when it had the record.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Actual send -> in the consumer's client. Empty where the client does not say.
    pub fetch: Latencies,
    /// In the client, behind other records -> handling begins. Empty where the client does not say.
    pub waiting: Latencies,
    /// Actual send -> handling begins. Empty where the client tells the two above apart.
    pub handed_over: Latencies,
    /// Handling begins -> processed.
    pub handling: Latencies,
}

impl Parts {
    /// Adds a record.
    #[inline]
    pub fn add(&mut self, stamp: &Stamp, record: &Processed) {
        let Handed { fetched, at } = record.handed;
        match fetched {
            Some(fetched) => {
                self.fetch.between(stamp.sent, fetched);
                self.waiting.between(fetched, at);
            }
            None => self.handed_over.between(stamp.sent, at),
        }
        self.handling.between(at, record.done);
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Parts) {
        self.fetch.merge(&other.fetch);
        self.waiting.merge(&other.waiting);
        self.handed_over.merge(&other.handed_over);
        self.handling.merge(&other.handling);
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.fetch.clear();
        self.waiting.clear();
        self.handed_over.clear();
        self.handling.clear();
    }
}
