//! The schedule of a pool whose producers have a rate: the next producer, its next time, and the rate at a time.
//!
//! With stages, the schedule counts load time ([`RateCurve`]). The times that it returns are times of the run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::base::{Random, Seed, Time};
use crate::plan::{LoadPlan, Phases, RateBurst, RateCurve};

/// The schedule of producers that send at a rate.
#[derive(Clone, Debug)]
pub(super) struct Paced {
    period: Duration,
    start: Time,
    end: Time,
    /// Next records. With a curve their times are load time, counted from the start.
    pub(super) due: DueProducers,
    gaps: Gaps,
    /// Spans with another rate, of a load without stages.
    bursts: Vec<RateBurst>,
    /// The rate over time, of a load with stages. Its bursts are part of it.
    curve: Option<Box<RateCurve>>,
}

/// End of a gap that begins at `from`. Within bursts, time passes faster by their factor.
fn after(mut from: Time, gap: Duration, bursts: &[RateBurst], start: Time) -> Time {
    let mut left = gap.as_nanos() as f64;
    for burst in bursts {
        let (begins, ends) = (Time(start.0 + burst.from_ns), Time(start.0 + burst.to_ns));
        if ends <= from {
            continue;
        }
        let before = begins.since_ns(from).max(0) as f64;
        if left <= before {
            break;
        }
        left -= before;
        from = from.max(begins);
        let within = ends.since_ns(from) as f64 * burst.factor;
        if left <= within {
            return Time(from.0 + (left / burst.factor) as i64);
        }
        left -= within;
        from = ends;
    }
    Time(from.0 + left as i64)
}

#[derive(Clone, Debug)]
enum Gaps {
    Fixed,
    Exponential(Vec<Random>),
}

impl Paced {
    /// The same schedule with spans at another rate, in the order of their times.
    pub(super) fn with_bursts(mut self, bursts: Vec<RateBurst>) -> Paced {
        self.bursts = bursts;
        self
    }

    /// The same schedule with stages: the times in `due` are load time from now on.
    pub(super) fn with_curve(mut self, curve: RateCurve) -> Paced {
        self.due.count_from(self.start);
        self.end = self.start + Duration::from_nanos(curve.end().max(0) as u64);
        self.curve = Some(Box::new(curve));
        self
    }

    /// Time of the next record, and the number of its producer in the pool.
    #[inline]
    pub(super) fn first(&self) -> Option<(Time, u32)> {
        match &self.curve {
            None => self.due.first().filter(|(at, _)| *at < self.end),
            Some(curve) => {
                let (load_time, number) = self.due.first()?;
                Some((self.when(curve, load_time)?, number))
            }
        }
    }

    /// Time of the record after the next.
    #[inline]
    pub(super) fn second(&self) -> Option<Time> {
        match &self.curve {
            None => self.due.second().filter(|at| *at < self.end),
            Some(curve) => self.when(curve, self.due.second()?),
        }
    }

    #[cold]
    fn when(&self, curve: &RateCurve, load_time: Time) -> Option<Time> {
        let at = Time(self.start.0 + curve.when(load_time.0)?);
        (at < self.end).then_some(at)
    }

    /// Moves on: the producer of the next record gets the time of its following record.
    #[inline]
    pub(super) fn advance(&mut self) {
        let Some((at, number)) = self.due.first() else { return };
        let next = match (&self.gaps, self.bursts.is_empty()) {
            (Gaps::Fixed, true) => at + self.period,
            _ => self.again_unevenly(number, at),
        };
        self.due.reschedule_first(next);
    }

    #[cold]
    fn again_unevenly(&mut self, number: u32, at: Time) -> Time {
        let gap = match &mut self.gaps {
            Gaps::Fixed => self.period,
            Gaps::Exponential(random) => Duration::from_secs_f64(
                random[number as usize].exponential(self.period.as_secs_f64()),
            ),
        };
        after(at, gap, &self.bursts, self.start)
    }

    /// Ends a stage at `at`: the later stages, and the end, move forward.
    pub(super) fn end_stage(&mut self, stage: usize, at: Time) {
        if let Some(curve) = &mut self.curve {
            curve.end_stage(stage, at.since_ns(self.start));
            self.end = self.start + Duration::from_nanos(curve.end().max(0) as u64);
        }
    }

    /// End of the schedule.
    pub(super) fn end(&self) -> Time {
        self.end
    }

    /// Time of the next record if the schedule had no end.
    pub(super) fn next_at(&self) -> Time {
        match &self.curve {
            None => self.due.first().map_or(self.end, |(at, _)| at),
            Some(_) => self.first().map_or(self.end, |(at, _)| at),
        }
    }
}

/// The schedule of these producers, beginning at `start` and ending before `end`, without bursts.
pub(super) fn paced(
    load: &LoadPlan,
    producers: impl Iterator<Item = u32> + Clone,
    period: Duration,
    seed: Seed,
    start: Time,
    end: Time,
) -> Paced {
    let phase = |producer: u32| match load.phases {
        Phases::Uniform => period.mul_f64(f64::from(producer) / f64::from(load.producers)),
        Phases::Random => period.mul_f64(seed.child("phase", u64::from(producer)).random().unit()),
        Phases::Poisson => Duration::from_secs_f64(
            seed.child("phase", u64::from(producer)).random().exponential(period.as_secs_f64()),
        ),
    };
    let numbers = producers.clone().zip(0..);
    let mut due: Vec<_> = numbers.map(|(id, number)| (start + phase(id), number)).collect();
    due.sort_unstable();
    let (due, gaps) = match load.phases {
        Phases::Poisson => {
            let gaps = producers.map(|id| seed.child("gaps", u64::from(id)).random()).collect();
            (DueProducers::with_random_gaps(due), Gaps::Exponential(gaps))
        }
        Phases::Uniform | Phases::Random => (DueProducers::with_equal_gaps(due), Gaps::Fixed),
    };
    Paced { period, start, end, due, gaps, bursts: Vec::new(), curve: None }
}

/// The producers of a pool by the time of their next record: that time, and the producer's number in the pool.
#[derive(Clone, Debug)]
pub(super) enum DueProducers {
    /// For equal gaps: a ring in the order of times, which begins at the index. A producer that has sent is its last
    /// entry, so nothing is sorted.
    Ring(Vec<(Time, u32)>, usize),
    /// For random gaps.
    Heap(BinaryHeap<Reverse<(Time, u32)>>),
}

impl DueProducers {
    /// Producers with the same gap. `entries` is in the order of times.
    fn with_equal_gaps(entries: Vec<(Time, u32)>) -> DueProducers {
        DueProducers::Ring(entries, 0)
    }

    /// Producers with random gaps.
    fn with_random_gaps(due: Vec<(Time, u32)>) -> DueProducers {
        DueProducers::Heap(due.into_iter().map(Reverse).collect())
    }

    /// Subtracts `start` from every time.
    fn count_from(&mut self, start: Time) {
        let less = |at: Time| Time(at.since_ns(start));
        match self {
            DueProducers::Ring(entries, _) => {
                entries.iter_mut().for_each(|(at, _)| *at = less(*at));
            }
            DueProducers::Heap(heap) => {
                *heap = heap.drain().map(|Reverse((at, id))| Reverse((less(at), id))).collect();
            }
        }
    }

    /// The earliest entry.
    #[inline]
    pub(super) fn first(&self) -> Option<(Time, u32)> {
        match self {
            DueProducers::Ring(entries, first) => entries.get(*first).copied(),
            DueProducers::Heap(heap) => heap.peek().map(|Reverse(entry)| *entry),
        }
    }

    /// Time of the second entry, if there is one.
    #[inline]
    pub(super) fn second(&self) -> Option<Time> {
        let second = match self {
            DueProducers::Ring(entries, _) if entries.len() < 2 => None,
            DueProducers::Ring(entries, first) => entries.get(behind(*first, entries)),
            DueProducers::Heap(heap) => {
                heap.as_slice().iter().skip(1).take(2).map(|Reverse(entry)| entry).min()
            }
        };
        second.map(|(at, _)| *at)
    }

    /// Gives the first entry the time `next`.
    #[inline]
    pub(super) fn reschedule_first(&mut self, next: Time) {
        match self {
            DueProducers::Ring(entries, first) => {
                if let Some(entry) = entries.get_mut(*first) {
                    entry.0 = next;
                }
                *first = behind(*first, entries);
            }
            DueProducers::Heap(heap) => {
                // Replacing the top costs half of a pop and a push.
                if let Some(mut top) = heap.peek_mut() {
                    top.0.0 = next;
                }
            }
        }
    }
}

/// The index after `index`, in a ring.
#[inline]
fn behind(index: usize, entries: &[(Time, u32)]) -> usize {
    if index + 1 < entries.len() { index + 1 } else { 0 }
}
