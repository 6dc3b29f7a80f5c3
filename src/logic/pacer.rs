//! Open-loop pacing: which producer's record is due when.
//!
//! Schedules are absolute. A record is never skipped and never shifted: if the tester is late, it is sent late and its
//! lateness is measured. The pacer outlives its pool's thread, so a restarted pool goes on where the last one was.

use super::paced::{Burst, Paced, paced};
use crate::base::{PartitionId, PoolId, ProducerId, Seed, Time};
use crate::plan::{LoadPlan, Pace, Placement, Plan};

/// A record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose it is.
    pub producer: ProducerId,
    /// Where it goes.
    pub partition: PartitionId,
    /// When the schedule wanted it sent; at maximum rate, now.
    pub intended: Time,
}

/// The schedules of one pool's producers.
#[derive(Clone, Debug)]
pub struct Pacer {
    schedule: Schedule,
    placement: Placement,
    /// Records sent so far, per producer of the pool.
    counts: Vec<u64>,
    /// Number n here is producer n x `pools` + `pool` of the run.
    pool: u32,
    pools: u32,
    /// Records this pool may still send.
    left: u64,
    /// The record handed out by `peek` and not yet taken, with its producer's number here.
    pending: Option<(u32, Due)>,
    /// Whether nothing more is to be sent, whatever is due.
    ended: bool,
}

#[derive(Clone, Debug)]
enum Schedule {
    Paced(Paced),
    Max { next: u32, start: Time, end: Time },
}

impl Pacer {
    /// The schedules of pool `pool` as the plan has them, in a load that begins at `start`. The same plan gives the same
    /// ones again.
    pub fn of_plan(plan: &Plan, pool: PoolId, start: Time) -> Pacer {
        let end = start + plan.times.load_end();
        Pacer::new(&plan.load, plan.topic.partitions, pool.0, plan.seed, start, end)
            .with_bursts(Burst::of_pool(&plan.faults, pool, start))
    }

    /// The schedules of pool `pool`, beginning at `start` and ending before `end`.
    pub fn new(
        load: &LoadPlan,
        partitions: u32,
        pool: u32,
        seed: Seed,
        start: Time,
        end: Time,
    ) -> Pacer {
        let producers = (pool..load.producers).step_by(load.pools as usize);
        let counts = vec![0; producers.clone().count()];
        let schedule = match load.pace {
            Pace::Max => Schedule::Max { next: 0, start, end },
            Pace::Paced { period } => {
                Schedule::Paced(paced(load, producers, period, seed, start, end))
            }
        };
        let pool_seed = seed.child("pool", u64::from(pool));
        let placement = Placement::new(load.partition, partitions, load.skew, seed, pool_seed);
        let left = load.messages.map_or(u64::MAX, |all| share(all, pool, load.pools));
        Pacer {
            schedule,
            placement,
            counts,
            pool,
            pools: load.pools,
            left,
            pending: None,
            ended: false,
        }
    }

    /// The same with stretches at another rate, in the order of their times.
    fn with_bursts(mut self, planned: Vec<Burst>) -> Pacer {
        if let Schedule::Paced(paced) = &mut self.schedule {
            paced.bursts = planned;
        }
        self
    }

    /// When the next record is due; `None` when there are no more. At maximum rate that is `now`, once the load
    /// has begun.
    #[inline]
    pub fn next_due(&self, now: Time) -> Option<Time> {
        match self.pending {
            Some((_, due)) => Some(due.intended),
            None => self.first(now).map(|(at, _)| at),
        }
    }

    /// When the next record is due that is not handed out yet, and which of the pool's producers sends it.
    #[inline]
    fn first(&self, now: Time) -> Option<(Time, u32)> {
        match &self.schedule {
            _ if self.left == 0 || self.ended => None,
            Schedule::Max { next, start, end } => (now < *end).then_some((now.max(*start), *next)),
            Schedule::Paced(paced) => paced.due.first().filter(|(at, _)| *at < paced.end),
        }
    }

    /// The record that is due at `now`, if any. The same one comes back until it is [taken](Self::taken).
    pub fn peek(&mut self, now: Time) -> Option<Due> {
        if self.pending.is_none() {
            let (intended, number) = self.first(now).filter(|(at, _)| *at <= now)?;
            self.pending = Some((number, self.place(number, intended)));
        }
        self.pending.map(|(_, due)| due)
    }

    /// Notes that the client took the record last peeked at.
    pub fn taken(&mut self) {
        if let Some((number, due)) = self.pending.take() {
            self.advance(number, due.intended);
        }
    }

    /// Takes the record that is due at `now`, if it is the only one then and there is one behind it.
    #[inline]
    pub fn take_alone(&mut self, now: Time) -> Option<Due> {
        let Schedule::Paced(paced) = &self.schedule else { return None };
        let is_later = |next: Time| now < next && next < paced.end;
        let is_alone =
            self.pending.is_none() && self.left > 1 && paced.due.second().is_some_and(is_later);
        let (intended, number) = paced.due.first().filter(|(at, _)| is_alone && *at <= now)?;
        let due = self.place(number, intended);
        self.advance(number, intended);
        Some(due)
    }

    /// The next record of a producer, with its partition.
    #[inline]
    fn place(&mut self, number: u32, intended: Time) -> Due {
        let producer = ProducerId(number * self.pools + self.pool);
        let partition = self.placement.partition(producer, self.counts[number as usize]);
        Due { producer, partition, intended }
    }

    /// The next record, which was due at `intended`, is sent.
    #[inline]
    fn advance(&mut self, number: u32, intended: Time) {
        self.left -= 1;
        self.counts[number as usize] += 1;
        match &mut self.schedule {
            Schedule::Max { next, .. } => *next = (number + 1) % self.counts.len() as u32,
            Schedule::Paced(paced) => {
                let next = paced.again(number, intended);
                paced.due.put_off(next);
            }
        }
    }

    /// At maximum rate: puts the record last peeked at off, and lets another producer go first.
    pub fn skip_for_now(&mut self) {
        if let Schedule::Max { next, .. } = &mut self.schedule {
            self.pending = None;
            *next = (*next + 1) % self.counts.len() as u32;
        }
    }

    /// Spreads the next records over this number of partitions. A record already handed out keeps its own.
    pub fn spread_over(&mut self, partitions: u32) {
        self.placement.spread_over(partitions);
    }

    /// How many partitions the records are spread over.
    pub fn partitions(&self) -> u32 {
        self.placement.partitions()
    }

    /// Ends the schedule: nothing more is to be sent.
    pub fn end(&mut self) {
        self.ended = true;
        self.pending = None;
    }

    /// When the schedule is over: its end, or, of a number of messages, when one more would be due. `None` at
    /// maximum rate.
    pub fn over_at(&self) -> Option<Time> {
        let Schedule::Paced(paced) = &self.schedule else { return None };
        let next = paced.due.first().map_or(paced.end, |(at, _)| at);
        Some(if self.left == 0 { next.min(paced.end) } else { paced.end })
    }

    /// The records that are due from `from` to before `to` and were not taken, in the order of their times. None at
    /// maximum rate.
    pub fn untaken(&self, from: Time, to: Time) -> impl Iterator<Item = Due> {
        let mut rest = self.clone();
        rest.ended = matches!(rest.schedule, Schedule::Max { .. });
        let next = move || {
            let due = rest.next_due(to).filter(|at| *at < to).and_then(|at| rest.peek(at))?;
            rest.taken();
            Some(due)
        };
        std::iter::from_fn(next).filter(move |due| due.intended >= from)
    }

    /// Whether there is nothing left to send.
    pub fn is_finished(&self, now: Time) -> bool {
        self.next_due(now).is_none()
    }
}

/// Pool `pool`'s share of `all` records: they add up to `all`.
fn share(all: u64, pool: u32, pools: u32) -> u64 {
    all / u64::from(pools) + u64::from(u64::from(pool) < all % u64::from(pools))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Acks, Compression, PartitionChoice, Phases, ProducerClients};

    fn load(producers: u32, pools: u32, pace: Pace, phases: Phases) -> LoadPlan {
        LoadPlan {
            producers,
            pace,
            messages: None,
            payload_bytes: 100,
            partition: PartitionChoice::Fixed,
            skew: 0.0,
            phases,
            pools,
            clients: ProducerClients::PerPool,
            acks: Acks::All,
            idempotence: true,
            linger: Duration::ZERO,
            compression: Compression::None,
            unprocessed_bytes_max: None,
        }
    }

    fn drain(pacer: &mut Pacer, mut now: impl FnMut(Time) -> Time) -> Vec<Due> {
        let mut sent = Vec::new();
        let mut clock = Time::ZERO;
        while let Some(due) = pacer.next_due(clock) {
            clock = now(due.max(clock));
            let record = pacer.peek(clock).unwrap();
            pacer.taken();
            sent.push(record);
        }
        sent
    }

    const HALF: Pace = Pace::Paced { period: Duration::from_millis(500) };

    proptest! {
        #[test]
        fn every_record_is_sent_once_at_its_place_however_late_the_tester_is(
            producers in 1u32..60,
            pools in 1u32..4,
            stalls in proptest::collection::vec(0i64..900_000_000, 1..20),
        ) {
            let pools = pools.min(producers);
            let load = load(producers, pools, HALF, Phases::Random);
            let end = Time::ZERO + Duration::from_secs(4);
            let mut intended = std::collections::BTreeMap::<u32, Vec<i64>>::new();
            for pool in 0..pools {
                let mut pacer = Pacer::new(&load, 18, pool, Seed(1), Time::ZERO, end);
                let mut turn = 0;
                let sent = drain(&mut pacer, |due| {
                    turn += 1;
                    Time(due.0 + stalls[turn % stalls.len()])
                });
                for due in sent {
                    prop_assert_eq!(due.producer.0 % pools, pool);
                    intended.entry(due.producer.0).or_default().push(due.intended.0);
                }
            }
            prop_assert_eq!(intended.len(), producers as usize);
            for times in intended.values() {
                prop_assert_eq!(times.len(), 8, "two per second for four seconds");
                prop_assert!(times[0] < 500_000_000);
                prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 500_000_000));
            }
        }

        #[test]
        fn a_count_is_split_over_pools_without_loss(all in 0u64..1000, pools in 1u32..9) {
            prop_assert_eq!((0..pools).map(|pool| share(all, pool, pools)).sum::<u64>(), all);
        }
    }

    #[test]
    fn uniform_phases_are_evenly_spaced() {
        let load = load(4, 1, HALF, Phases::Uniform);
        let end = Time::ZERO + Duration::from_millis(500);
        let mut pacer = Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, end);
        let times: Vec<i64> =
            drain(&mut pacer, |due| due).iter().map(|due| due.intended.0 / 1_000_000).collect();
        assert_eq!(times, [0, 125, 250, 375]);
    }

    #[test]
    fn poisson_gaps_keep_the_rate() {
        let load = load(50, 1, HALF, Phases::Poisson);
        let end = Time::ZERO + Duration::from_secs(100);
        let mut pacer = Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, end);
        let sent = drain(&mut pacer, |due| due).len() as f64;
        assert!((sent - 10_000.0).abs() < 400.0, "{sent}");
    }

    #[test]
    fn a_record_is_taken_alone_if_it_is_the_only_one_that_is_due_and_not_the_last_one() {
        for phases in [Phases::Uniform, Phases::Random, Phases::Poisson] {
            let mut load = load(5, 1, HALF, phases);
            load.partition = PartitionChoice::Random;
            let pacer = || Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, Time(4_000_000_000));
            let (mut alone, mut peeking) = (pacer(), pacer());
            let sent = drain(&mut peeking, |due| due);
            for (number, record) in sent.iter().enumerate() {
                let at = record.intended;
                assert_eq!(alone.next_due(at), Some(at));
                assert_eq!(alone.take_alone(Time(at.0 - 1)), None, "not due yet");
                assert_eq!(alone.take_alone(Time(at.0 + 3_000_000_000)), None, "others are, too");
                let is_last = number + 1 == sent.len();
                match alone.take_alone(at) {
                    Some(taken) => assert!(taken == *record && !is_last),
                    None => assert!(is_last, "{number}"),
                }
            }
            assert_eq!(alone.peek(Time::NEVER), sent.last().copied());
            assert_eq!(alone.take_alone(Time::NEVER), None, "handed out already");
        }
    }

    #[test]
    fn a_burst_multiplies_the_rate_while_it_lasts() {
        let load = load(10, 1, HALF, Phases::Random);
        let end = Time::ZERO + Duration::from_secs(10);
        let s = |s: i64| Time(s * 1_000_000_000);
        let bursts = vec![
            Burst { from: s(2), to: s(4), factor: 5.0 },
            Burst { from: s(6), to: s(7), factor: 0.5 },
        ];
        let mut pacer = Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, end).with_bursts(bursts);
        let sent = drain(&mut pacer, |due| due);
        let between = |from: i64, to: i64| {
            sent.iter().filter(|due| due.intended >= s(from) && due.intended < s(to)).count()
        };
        let counts = [between(0, 2), between(2, 4), between(4, 6), between(6, 7), between(7, 10)];
        assert_eq!(counts, [40, 200, 40, 10, 60]);
    }

    #[test]
    fn at_maximum_rate_nothing_is_due_before_the_start() {
        let load = load(4, 1, Pace::Max, Phases::Random);
        let start = Time(1_000);
        let mut pacer = Pacer::new(&load, 18, 0, Seed(1), start, Time::NEVER);
        assert_eq!((pacer.peek(Time(999)), pacer.next_due(Time(10))), (None, Some(start)));
        assert_eq!(pacer.peek(Time(1_001)).map(|due| due.intended), Some(Time(1_001)));
    }

    #[test]
    fn at_maximum_rate_all_producers_take_turns_until_the_count_is_reached() {
        let mut plan = load(4, 1, Pace::Max, Phases::Random);
        plan.messages = Some(10);
        let mut pacer = Pacer::new(&plan, 18, 0, Seed(1), Time::ZERO, Time::NEVER);
        let order: Vec<u32> =
            drain(&mut pacer, |now| now).iter().map(|due| due.producer.0).collect();
        assert_eq!(order, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]);
    }
}
