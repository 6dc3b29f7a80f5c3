//! The data that a consumer's thread leaves for other threads. These are processed records, the measurements of one
//! partition since the collector last took them, and a heartbeat. The heartbeat can be read after the thread has died,
//! and while it hangs.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::{Latencies, MeanTime, StageShard};
use crate::base::{Offset, PartitionId, Stamp, Time};

/// A record as a consumer machine processed it.
#[derive(Clone, Copy, Debug)]
pub struct Processed {
    /// Offset of the record.
    pub offset: Offset,
    /// Origin and state of the record.
    pub content: Content,
    /// Times at which the record came to its consumer.
    pub handed: Handed,
    /// Time at which its processing was complete.
    pub done: Time,
    /// Size of key, value and headers in bytes.
    pub bytes: u32,
}

/// The times at which a record came to its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// Time at which the response with the record reached the client; `None` if the client does not tell it.
    pub fetched: Option<Time>,
    /// Time at which its handling began.
    pub at: Time,
}

impl From<Time> for Handed {
    /// The times with a client that does not tell when it received the record.
    fn from(at: Time) -> Handed {
        Handed { fetched: None, at }
    }
}

/// Origin and state of a record.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Sent by this run, and intact.
    Intact(Stamp),
    /// Sent by an earlier run that this run continues, and intact.
    Earlier(Stamp),
    /// With a stamp, but damaged.
    Corrupt,
    /// Of another run.
    OtherProducer,
    /// Skipped as poison. With its stamp if the record is intact and was sent by this run.
    Skipped(Option<Stamp>),
}

/// The measurements of one partition over one interval, usually one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shard {
    /// Processed - intended send, of records intended in the measured window.
    pub response: Latencies,
    /// Processed - actual send, of the same records.
    pub service: Latencies,
    /// The parts of the service time, of the same records.
    #[serde(skip)]
    pub parts: Parts,
    /// Processed - intended send, of records intended during the warmup. Only the live view shows them.
    #[serde(skip)]
    pub warmup: Latencies,
    /// Distinct records processed in the interval, warmup included.
    pub delivered: u64,
    /// Records processed in the measured window, sent at any time.
    pub processed_in_window: u64,
    /// Their payload bytes.
    pub bytes_in_window: u64,
    /// Payload bytes processed in the interval.
    pub bytes: u64,
    /// The records processed in each stage of the load.
    #[serde(skip)]
    pub stages: Vec<StageShard>,
}

impl Shard {
    /// Adds another shard without its parts and stages, which are merged over all partitions, and without its warmup.
    pub fn merge(&mut self, other: &Shard) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.delivered += other.delivered;
        self.processed_in_window += other.processed_in_window;
        self.bytes_in_window += other.bytes_in_window;
        self.bytes += other.bytes;
    }

    /// Removes all measurements and keeps the memory.
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

/// The parts of the service time. For each record their sum is the service time: `fetch + waiting + handling`, or
/// `handed_over + handling` if the client does not tell when it received the record.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// Actual send -> in the consumer's client. Empty if the client does not tell it.
    pub fetch: Latencies,
    /// In the client, behind other records -> handling begins. Empty if the client does not tell it.
    pub waiting: Latencies,
    /// Actual send -> handling begins. Empty if the client tells `fetch` and `waiting` apart.
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

    /// Adds the values of `other`.
    pub fn merge(&mut self, other: &Parts) {
        self.fetch.merge(&other.fetch);
        self.waiting.merge(&other.waiting);
        self.handed_over.merge(&other.handed_over);
        self.handling.merge(&other.handling);
    }

    /// Removes all values and keeps the memory.
    pub fn clear(&mut self) {
        self.fetch.clear();
        self.waiting.clear();
        self.handed_over.clear();
        self.handling.clear();
    }
}

/// Sums of the times in one partition's shards.
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

/// Written by the host's thread and read by the supervisor. Each incarnation has its own one. So a thread that was
/// given up cannot be mistaken for its successor.
#[derive(Debug)]
pub struct Heartbeat {
    /// Time of the host's last poll, in the run's time.
    beat: AtomicI64,
    partition: AtomicU32,
    /// The record being processed; [`NOTHING`] between records.
    offset: AtomicI64,
    /// Start of its processing, in the run's time.
    since: AtomicI64,
}

/// A record that is being processed, or during whose processing the thread failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// Start of its processing.
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

    /// Notes that the processing of a record begins.
    #[inline]
    pub fn begin(&self, partition: PartitionId, offset: Offset, now: Time) {
        self.partition.store(partition.0, Ordering::Relaxed);
        self.since.store(now.0, Ordering::Relaxed);
        self.offset.store(offset.0, Ordering::Release);
    }

    /// Notes that the processing of the record is complete.
    #[inline]
    pub fn done(&self) {
        self.offset.store(NOTHING, Ordering::Release);
    }

    /// Time of the host's last poll.
    pub fn last_beat(&self) -> Time {
        Time(self.beat.load(Ordering::Relaxed))
    }

    /// The record that is being processed, or was when the thread failed; `None` between records.
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
