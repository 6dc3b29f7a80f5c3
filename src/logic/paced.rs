//! The schedule of a pool whose producers have a rate: who is next, when it sends again, and at which rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::base::{PoolId, Random, Seed, Time};
use crate::fault::{FaultEffect, PoolFault, Targets};
use crate::plan::{FaultPlan, LoadPlan, Phases};

/// The schedule of producers that send at a rate.
#[derive(Clone, Debug)]
pub(super) struct Paced {
    period: Duration,
    pub(super) end: Time,
    pub(super) due: Upcoming,
    gaps: Gaps,
    pub(super) bursts: Vec<Burst>,
}

/// A stretch of the schedule in which a pool sends at another rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Burst {
    /// Its start.
    pub(super) from: Time,
    /// Its end.
    pub(super) to: Time,
    /// Times the rate.
    pub(super) factor: f64,
}

impl Burst {
    /// The bursts of a pool, in the order of their times, in a load that begins at `start`. Where they overlap,
    /// the first one counts.
    pub(super) fn of_pool(faults: &[FaultPlan], pool: PoolId, start: Time) -> Vec<Burst> {
        let mut bursts: Vec<Burst> = Vec::new();
        for fault in faults {
            let (FaultEffect::Pools(PoolFault::Burst { factor }), Targets::Pools(pools)) =
                (&fault.kind.effect, &fault.targets)
            else {
                continue;
            };
            let from = bursts.last().map_or(start + fault.at, |last| last.to.max(start + fault.at));
            let to = start + fault.end();
            if pools.contains(&pool) && from < to {
                bursts.push(Burst { from, to, factor: *factor });
            }
        }
        bursts
    }
}

/// When a gap that begins at `from` is over, if its time runs faster within bursts.
fn after(mut from: Time, gap: Duration, bursts: &[Burst]) -> Time {
    let mut left = gap.as_nanos() as f64;
    for burst in bursts {
        if burst.to <= from {
            continue;
        }
        let before = burst.from.since_ns(from).max(0) as f64;
        if left <= before {
            break;
        }
        left -= before;
        from = from.max(burst.from);
        let within = burst.to.since_ns(from) as f64 * burst.factor;
        if left <= within {
            return Time(from.0 + (left / burst.factor) as i64);
        }
        left -= within;
        from = burst.to;
    }
    Time(from.0 + left as i64)
}

#[derive(Clone, Debug)]
enum Gaps {
    Fixed,
    Exponential(Vec<Random>),
}

impl Paced {
    /// When a producer of the pool that was to send at `intended` is to send again.
    #[inline]
    pub(super) fn again(&mut self, number: u32, intended: Time) -> Time {
        match (&self.gaps, self.bursts.is_empty()) {
            (Gaps::Fixed, true) => intended + self.period,
            _ => self.again_unevenly(number, intended),
        }
    }

    #[cold]
    fn again_unevenly(&mut self, number: u32, intended: Time) -> Time {
        let gap = match &mut self.gaps {
            Gaps::Fixed => self.period,
            Gaps::Exponential(random) => Duration::from_secs_f64(
                random[number as usize].exponential(self.period.as_secs_f64()),
            ),
        };
        after(intended, gap, &self.bursts)
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
            (Upcoming::in_any_order(due), Gaps::Exponential(gaps))
        }
        Phases::Uniform | Phases::Random => (Upcoming::in_turn(due), Gaps::Fixed),
    };
    Paced { period, end, due, gaps, bursts: Vec::new() }
}

/// What each producer sends next: when, and its number in the pool.
#[derive(Clone, Debug)]
pub(super) enum Upcoming {
    /// Gaps are equal: from the place on, and then from the beginning, they are in the order of their times, as the one that
    /// has just sent comes last again.
    InTurn(Vec<(Time, u32)>, usize),
    /// Gaps differ.
    AnyOrder(BinaryHeap<Reverse<(Time, u32)>>),
}

impl Upcoming {
    /// Producers in the order of their times, and all with the same gap.
    fn in_turn(turns: Vec<(Time, u32)>) -> Upcoming {
        Upcoming::InTurn(turns, 0)
    }

    /// Producers with gaps that differ.
    fn in_any_order(due: Vec<(Time, u32)>) -> Upcoming {
        Upcoming::AnyOrder(due.into_iter().map(Reverse).collect())
    }

    /// When and who is next.
    #[inline]
    pub(super) fn first(&self) -> Option<(Time, u32)> {
        match self {
            Upcoming::InTurn(turns, place) => turns.get(*place).copied(),
            Upcoming::AnyOrder(heap) => heap.peek().map(|Reverse(first)| *first),
        }
    }

    /// When the second one is due, if there is one.
    #[inline]
    pub(super) fn second(&self) -> Option<Time> {
        let second = match self {
            Upcoming::InTurn(turns, _) if turns.len() < 2 => None,
            Upcoming::InTurn(turns, place) => turns.get(behind(*place, turns)),
            Upcoming::AnyOrder(heap) => {
                heap.as_slice().iter().skip(1).take(2).map(|Reverse(entry)| entry).min()
            }
        };
        second.map(|(at, _)| *at)
    }

    /// Puts the first one off until `next`.
    #[inline]
    pub(super) fn put_off(&mut self, next: Time) {
        match self {
            Upcoming::InTurn(turns, place) => {
                if let Some(first) = turns.get_mut(*place) {
                    first.0 = next;
                }
                *place = behind(*place, turns);
            }
            Upcoming::AnyOrder(heap) => {
                // A new top costs half of pop and push.
                if let Some(mut top) = heap.peek_mut() {
                    top.0.0 = next;
                }
            }
        }
    }
}

/// Whose turn is after that of `place`.
#[inline]
fn behind(place: usize, turns: &[(Time, u32)]) -> usize {
    if place + 1 < turns.len() { place + 1 } else { 0 }
}
