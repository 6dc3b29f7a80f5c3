//! The pulse of one incarnation: what its thread is at, for all to read, even after it has died or hangs.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use crate::base::{Offset, PartitionId, Time};

/// Written by the host's thread, read by the supervisor. Each incarnation has its own, so that a thread that was
/// given up cannot be taken for its successor.
#[derive(Debug)]
pub struct Pulse {
    /// When the host last came round, in the run's time.
    beat: AtomicI64,
    partition: AtomicU32,
    /// The record being processed; [`NOTHING`] between records.
    offset: AtomicI64,
    /// Since when.
    since: AtomicI64,
}

/// A record that is being processed, or during whose processing the thread died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Whose record.
    pub partition: PartitionId,
    /// Which one.
    pub offset: Offset,
    /// Since when.
    pub since: Time,
}

const NOTHING: i64 = -1;

impl Pulse {
    /// The pulse of an incarnation started at `now`.
    pub fn new(now: Time) -> Pulse {
        Pulse {
            beat: AtomicI64::new(now.0),
            partition: AtomicU32::new(0),
            offset: AtomicI64::new(NOTHING),
            since: AtomicI64::new(now.0),
        }
    }

    /// The host has come round.
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

    /// When the host last came round.
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
        let pulse = Pulse::new(Time(1));
        assert_eq!((pulse.last_beat(), pulse.in_flight()), (Time(1), None));
        pulse.begin(PartitionId(3), Offset(7), Time(5));
        let expected = InFlight { partition: PartitionId(3), offset: Offset(7), since: Time(5) };
        assert_eq!(pulse.in_flight(), Some(expected));
        pulse.done();
        pulse.beat(Time(9));
        assert_eq!((pulse.last_beat(), pulse.in_flight()), (Time(9), None));
    }
}
