//! The faults that are active now. The supervisor arms them, and hosts trigger them.
//!
//! While no fault is armed, a record costs a host one relaxed load.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::CallRules;
use crate::base::{
    ConsumerId, GrowingTable, Offset, PARTITIONS_MAX, PartitionId, PoolId, Seed, Time,
};

/// The effect of a fault on one record: the host does this instead of processing it, or besides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RecordFault {
    /// Panic.
    Panic,
    /// Block until this time, and then process the record.
    Stall(Time),
    /// Multiply the duration of the work by `factor`, and lengthen it by `add`.
    Slow {
        /// Factor of the work's duration.
        factor: f64,
        /// Time added to the work.
        add: Duration,
    },
}

/// The active faults of a run. A fault is identified by its number in the plan.
#[derive(Debug)]
pub struct ActiveFaults {
    /// Number of faults that a record or a poll can trigger.
    armed: AtomicUsize,
    /// Set at the end of the run: a thread that an injected fault blocks then continues.
    over: AtomicBool,
    consumers: GrowingTable<Mutex<ConsumerFaults>>,
    /// Index: the partition's id.
    poison: GrowingTable<Mutex<Option<Poison>>>,
    /// Index: the pool's id. End of its pause, in nanoseconds of the run's time.
    pauses: Vec<AtomicI64>,
    calls: CallRules,
}

/// A fault that makes a record poisonous. The offset is that of the first record after the fault was armed.
#[derive(Clone, Copy, Debug)]
struct Poison {
    fault: usize,
    offset: Option<Offset>,
}

/// The faults that are armed for one consumer.
#[derive(Debug, Default)]
struct ConsumerFaults {
    panic: Option<usize>,
    stall: Option<(usize, Duration)>,
    hang: Option<(usize, Option<Time>)>,
    slow: Option<(f64, Duration, Time)>,
    crash_loop: Option<(usize, Option<u32>, Option<Time>)>,
    late_close: Option<Duration>,
    /// The fault that ends the current incarnation, or blocks it.
    cause: Option<usize>,
}

impl ConsumerFaults {
    /// Number of faults that a host has to check for.
    fn count(&self) -> usize {
        usize::from(self.panic.is_some())
            + usize::from(self.stall.is_some())
            + usize::from(self.hang.is_some())
            + usize::from(self.slow.is_some())
            + usize::from(self.crash_loop.is_some())
    }

    /// Counts one crash of a crash loop. True if the consumer crashes before it polls.
    fn crash(&mut self, now: Time) -> bool {
        let Some((fault, left, until)) = self.crash_loop else {
            return false;
        };
        let left = left.map(|left| left.saturating_sub(1));
        self.crash_loop = (left != Some(0)).then_some((fault, left, until));
        if until.is_some_and(|until| now >= until) {
            self.crash_loop = None;
            return false;
        }
        self.cause = Some(fault);
        true
    }

    fn trigger(&mut self, now: Time) -> Option<RecordFault> {
        if let Some(fault) = self.panic.take() {
            self.cause = Some(fault);
            return Some(RecordFault::Panic);
        }
        if let Some((fault, span)) = self.stall.take() {
            self.cause = Some(fault);
            return Some(RecordFault::Stall(now + span));
        }
        let (factor, add, until) = self.slow?;
        if now >= until {
            self.slow = None;
            return None;
        }
        Some(RecordFault::Slow { factor, add })
    }
}

impl ActiveFaults {
    /// No active faults. Random choices are drawn from `seed`.
    pub fn new(consumers: u32, partitions: u32, pools: u32, seed: Seed) -> ActiveFaults {
        ActiveFaults {
            armed: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            // A topic that grows gets more of both, and a group may get more members.
            consumers: GrowingTable::new(
                (0..consumers).map(|_| Mutex::default()),
                2 * PARTITIONS_MAX,
            ),
            poison: GrowingTable::new((0..partitions).map(|_| Mutex::default()), PARTITIONS_MAX),
            pauses: (0..pools).map(|_| AtomicI64::new(i64::MIN)).collect(),
            calls: CallRules::new(seed.child("calls", 0)),
        }
    }

    /// True if a record or a poll can trigger a fault.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed) > 0
    }

    /// The rules for the calls of clients.
    #[inline]
    pub fn calls(&self) -> &CallRules {
        &self.calls
    }

    /// Ends all faults that block a thread.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// True once the run is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Lets the consumer's next record panic.
    pub fn arm_panic(&self, consumer: ConsumerId, fault: usize) {
        self.change(consumer, |faults| faults.panic = Some(fault));
    }

    /// Lets the consumer's next record block for `span`.
    pub fn arm_stall(&self, consumer: ConsumerId, fault: usize, span: Duration) {
        self.change(consumer, |faults| faults.stall = Some((fault, span)));
    }

    /// Lets the consumer's thread stop polling until this time; with `None`, until the run is over.
    pub fn arm_hang(&self, consumer: ConsumerId, fault: usize, until: Option<Time>) {
        self.change(consumer, |faults| faults.hang = Some((fault, until)));
    }

    /// Slows down the work on each of the consumer's records until this time: `factor` times as long, and `add` longer.
    pub fn arm_slow(&self, consumer: ConsumerId, factor: f64, add: Duration, until: Time) {
        self.change(consumer, |faults| faults.slow = Some((factor, add, until)));
    }

    /// Lets each incarnation of the consumer crash before its first poll, this number of times or until this time.
    pub fn arm_crash_loop(
        &self,
        consumer: ConsumerId,
        fault: usize,
        times: Option<u32>,
        until: Option<Time>,
    ) {
        self.change(consumer, |faults| faults.crash_loop = Some((fault, times, until)));
    }

    /// Delays the next close of the consumer's client by `span`.
    pub fn arm_late_close(&self, consumer: ConsumerId, span: Duration) {
        self.change(consumer, |faults| faults.late_close = Some(span));
    }

    /// Makes the partition's next record poisonous.
    pub fn arm_poison(&self, partition: PartitionId, fault: usize) {
        let mut poison = lock(self.poison.reach(partition.0 as usize));
        if poison.replace(Poison { fault, offset: None }).is_none() {
            self.armed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pauses the pool until this time.
    pub fn pause(&self, pool: PoolId, until: Time) {
        self.pauses[pool.0 as usize].store(until.0, Ordering::Release);
    }

    /// End of the pool's pause; `None` if it does not pause.
    #[inline]
    pub fn paused(&self, pool: PoolId, now: Time) -> Option<Time> {
        let until = Time(self.pauses[pool.0 as usize].load(Ordering::Acquire));
        (now < until).then_some(until)
    }

    /// The fault that a record triggers.
    pub fn on_record(
        &self,
        consumer: ConsumerId,
        partition: PartitionId,
        offset: Offset,
        now: Time,
    ) -> Option<RecordFault> {
        let fault = self.poisoned(partition, offset);
        self.change(consumer, |faults| {
            if fault.is_some() {
                faults.cause = fault;
                return Some(RecordFault::Panic);
            }
            faults.trigger(now)
        })
    }

    /// The fault that has made this record poisonous, if any.
    fn poisoned(&self, partition: PartitionId, offset: Offset) -> Option<usize> {
        let mut guard = lock(self.poison.reach(partition.0 as usize));
        let poison = guard.as_mut()?;
        let poisonous = *poison.offset.get_or_insert(offset);
        (poisonous == offset).then_some(poison.fault)
    }

    /// End of the hang that a fault asks for now; `Some(None)` if that is the end of the run. The fault is returned
    /// once.
    pub fn hangs(&self, consumer: ConsumerId) -> Option<Option<Time>> {
        self.change(consumer, |faults| {
            let (fault, until) = faults.hang.take()?;
            faults.cause = Some(fault);
            Some(until)
        })
    }

    /// True if a fault crashes the consumer now, before it polls.
    pub fn crashes(&self, consumer: ConsumerId, now: Time) -> bool {
        self.change(consumer, |faults| faults.crash(now))
    }

    /// The delay of this close of the consumer's client; `None` if no fault delays it. The fault is returned once.
    pub fn on_close(&self, consumer: ConsumerId) -> Option<Duration> {
        self.change(consumer, |faults| faults.late_close.take())
    }

    /// Notes that `fault` ends the consumer's incarnation.
    pub fn note_cause(&self, consumer: ConsumerId, fault: usize) {
        self.change(consumer, |faults| faults.cause = Some(fault));
    }

    /// The fault that has just ended an incarnation of `consumer`, or blocks it. It is returned once.
    pub fn take_cause(&self, consumer: ConsumerId) -> Option<usize> {
        self.change(consumer, |faults| faults.cause.take())
    }

    /// Disarms what the consumer has not triggered until the fault ends.
    pub fn disarm(&self, consumer: ConsumerId, fault: usize) {
        self.change(consumer, |faults| {
            faults.crash_loop.take_if(|(number, ..)| *number == fault);
            faults.stall.take_if(|(number, _)| *number == fault);
            faults.hang.take_if(|(number, _)| *number == fault);
        });
    }

    fn change<T>(&self, consumer: ConsumerId, change: impl FnOnce(&mut ConsumerFaults) -> T) -> T {
        let faults = &mut *lock(self.consumers.reach(consumer.0 as usize));
        let before = faults.count();
        let result = change(faults);
        match faults.count() {
            after if after > before => _ = self.armed.fetch_add(after - before, Ordering::Relaxed),
            after => _ = self.armed.fetch_sub(before - after, Ordering::Relaxed),
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConsumerId = ConsumerId(1);
    const PARTITION: PartitionId = PartitionId(1);

    fn record(active_faults: &ActiveFaults, offset: i64, now: i64) -> Option<RecordFault> {
        active_faults.on_record(ONE, PARTITION, Offset(offset), Time(now))
    }

    #[test]
    fn a_panic_hits_one_record_and_names_its_fault_once() {
        let active_faults = ActiveFaults::new(2, 2, 1, Seed(1));
        assert!(!active_faults.is_armed());
        active_faults.arm_panic(ONE, 7);
        assert!(active_faults.is_armed());
        assert_eq!(record(&active_faults, 5, 0), Some(RecordFault::Panic));
        assert_eq!((record(&active_faults, 5, 1), active_faults.is_armed()), (None, false));
        assert_eq!((active_faults.take_cause(ONE), active_faults.take_cause(ONE)), (Some(7), None));
    }

    #[test]
    fn a_crash_loop_ends_after_its_times_or_at_its_end() {
        let active_faults = ActiveFaults::new(2, 2, 1, Seed(1));
        active_faults.arm_crash_loop(ONE, 0, Some(2), None);
        let hits: Vec<bool> = (0..4).map(|i| active_faults.crashes(ONE, Time(i))).collect();
        assert_eq!((hits, active_faults.is_armed()), (vec![true, true, false, false], false));
        active_faults.arm_crash_loop(ONE, 0, None, Some(Time(10)));
        let hits: Vec<bool> = [1, 9, 10].map(|now| active_faults.crashes(ONE, Time(now))).into();
        assert_eq!((hits, active_faults.is_armed()), (vec![true, true, false], false));
    }

    #[test]
    fn poison_is_the_first_record_and_stays_it() {
        let active_faults = ActiveFaults::new(2, 2, 1, Seed(1));
        active_faults.arm_poison(PARTITION, 3);
        assert_eq!(record(&active_faults, 40, 0), Some(RecordFault::Panic));
        assert_eq!(active_faults.take_cause(ONE), Some(3));
        assert_eq!(record(&active_faults, 39, 1), None);
        assert_eq!(record(&active_faults, 40, 2), Some(RecordFault::Panic));
        assert_eq!(record(&active_faults, 41, 3), None);
        let other = active_faults.on_record(ConsumerId(0), PartitionId(0), Offset(40), Time(4));
        assert_eq!(other, None);
    }

    #[test]
    fn slowness_ends_at_its_time_and_a_hang_hits_one_poll() {
        let active_faults = ActiveFaults::new(2, 2, 1, Seed(1));
        active_faults.arm_slow(ONE, 10.0, Duration::ZERO, Time(100));
        let slow = Some(RecordFault::Slow { factor: 10.0, add: Duration::ZERO });
        assert_eq!((record(&active_faults, 0, 99), record(&active_faults, 0, 100)), (slow, None));
        active_faults.arm_hang(ONE, 2, None);
        assert_eq!((active_faults.hangs(ONE), active_faults.hangs(ONE)), (Some(None), None));
        assert!(!active_faults.is_armed());
    }

    #[test]
    fn a_stall_hits_one_record_and_what_is_not_triggered_is_disarmed() {
        let active_faults = ActiveFaults::new(2, 2, 1, Seed(1));
        active_faults.arm_stall(ONE, 5, Duration::from_nanos(30));
        assert!(active_faults.is_armed());
        assert_eq!(record(&active_faults, 0, 10), Some(RecordFault::Stall(Time(40))));
        assert_eq!((record(&active_faults, 1, 50), active_faults.is_armed()), (None, false));
        assert_eq!(active_faults.take_cause(ONE), Some(5));
        active_faults.arm_stall(ONE, 6, Duration::from_nanos(30));
        active_faults.arm_hang(ONE, 7, None);
        active_faults.disarm(ONE, 6);
        assert!(active_faults.is_armed());
        active_faults.disarm(ONE, 7);
        assert_eq!((record(&active_faults, 2, 60), active_faults.is_armed()), (None, false));
    }
}
