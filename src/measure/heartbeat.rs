//! The heartbeat of one incarnation: when its thread last polled, and the record it processes. It can be read after the
//! thread has died, or while it hangs.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::base::{Offset, PartitionId, Time};

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

/// A record that is being processed, or during whose processing the thread died.
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

    /// The record that is being processed, or was when the thread died.
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
