//! What a consumer's thread leaves for others: records as it processed them, what one partition measured since the
//! collector last took it, and a heartbeat that can be read after the thread has died, or while it hangs.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::{Latencies, MeanTime, StageShard};
use crate::base::{Offset, PartitionId, Stamp, Time};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shard {
    /// Processed - intended send, of records intended in the measured window.
    pub response: Latencies,
    /// Processed - actual send, of the same records.
    pub service: Latencies,
    /// What the service time consists of, of the same records.
    #[serde(skip)]
    pub parts: Parts,
    /// Processed - intended send, of records intended during the warmup. For the live view: no figure has them.
    #[serde(skip)]
    pub warmup: Latencies,
    /// Distinct records processed in the interval, warmup included.
    pub delivered: u64,
    /// Records processed while the measured window lasted, whenever they were sent.
    pub processed_in_window: u64,
    /// Their payload bytes.
    pub bytes_in_window: u64,
    /// Payload bytes processed in the interval.
    pub bytes: u64,
    /// What it processed in each stage of the load.
    #[serde(skip)]
    pub stages: Vec<StageShard>,
}

impl Shard {
    /// Adds another shard, but for its parts and stages, which are kept for all partitions together, and its warmup.
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
        self.warmup.clear();
        self.parts.clear();
        self.delivered = 0;
        self.processed_in_window = 0;
        self.bytes_in_window = 0;
        self.bytes = 0;
        self.stages.iter_mut().for_each(StageShard::clear);
    }
}

/// The parts of the service time. For each record they add up to it: `fetch + waiting + handling`, or
/// `handed_over + handling` where the client does not say when it had the record.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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

/// Sums of the times that one partition's shards have.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TimeSums {
    /// Of [`Shard::response`].
    pub response: MeanTime,
    /// Of [`Shard::service`].
    pub service: MeanTime,
    /// Of [`Parts::fetch`].
    pub fetch: MeanTime,
    /// Of [`Parts::waiting`].
    pub waiting: MeanTime,
    /// Of [`Parts::handed_over`].
    pub handed_over: MeanTime,
    /// Of [`Parts::handling`].
    pub handling: MeanTime,
}

impl TimeSums {
    /// Adds a shard.
    pub fn add(&mut self, shard: &Shard) {
        self.response.add(&shard.response);
        self.service.add(&shard.service);
        self.fetch.add(&shard.parts.fetch);
        self.waiting.add(&shard.parts.waiting);
        self.handed_over.add(&shard.parts.handed_over);
        self.handling.add(&shard.parts.handling);
    }
}

/// Written by the host's thread, read by the supervisor. Each incarnation has its own, so that a thread that was
/// given up cannot be taken for its successor.
#[derive(Debug)]
pub struct Heartbeat {
    /// When the host last polled, in the run's time.
    beat: AtomicI64,
    partition: AtomicU32,
    /// The record being processed; [`NOTHING`] between records.
    offset: AtomicI64,
    /// When its processing began, in the run's time.
    since: AtomicI64,
}

/// A record that is being processed, or during whose processing the thread failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// When its processing began.
    pub since: Time,
}

const NOTHING: i64 = -1;

impl Heartbeat {
    /// The heartbeat of an incarnation started at `now`.
    pub fn new(now: Time) -> Heartbeat {
        Heartbeat {
            beat: AtomicI64::new(now.0),
            partition: AtomicU32::new(0),
            offset: AtomicI64::new(NOTHING),
            since: AtomicI64::new(now.0),
        }
    }

    /// Notes that the host polls.
    pub fn beat(&self, now: Time) {
        self.beat.store(now.0, Ordering::Relaxed);
    }

    /// Work on a record begins.
    #[inline]
    pub fn begin(&self, partition: PartitionId, offset: Offset, now: Time) {
        self.partition.store(partition.0, Ordering::Relaxed);
        self.since.store(now.0, Ordering::Relaxed);
        self.offset.store(offset.0, Ordering::Release);
    }

    /// Work on the record is done.
    #[inline]
    pub fn done(&self) {
        self.offset.store(NOTHING, Ordering::Release);
    }

    /// When the host last polled.
    pub fn last_beat(&self) -> Time {
        Time(self.beat.load(Ordering::Relaxed))
    }

    /// The record that is being processed, or was when the thread failed.
    pub fn in_flight(&self) -> Option<InFlight> {
        let offset = self.offset.load(Ordering::Acquire);
        (offset != NOTHING).then(|| InFlight {
            partition: PartitionId(self.partition.load(Ordering::Relaxed)),
            offset: Offset(offset),
            since: Time(self.since.load(Ordering::Relaxed)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_in_flight_from_its_beginning_until_it_is_done() {
        let heartbeat = Heartbeat::new(Time(1));
        assert_eq!((heartbeat.last_beat(), heartbeat.in_flight()), (Time(1), None));
        heartbeat.begin(PartitionId(3), Offset(7), Time(5));
        let expected = InFlight { partition: PartitionId(3), offset: Offset(7), since: Time(5) };
        assert_eq!(heartbeat.in_flight(), Some(expected));
        heartbeat.done();
        heartbeat.beat(Time(9));
        assert_eq!((heartbeat.last_beat(), heartbeat.in_flight()), (Time(9), None));
    }
}
