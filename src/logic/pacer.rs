//! Open-loop pacing: decides when a record is due, and whose it is.
//!
//! Schedules are absolute: no record is skipped or shifted. If the load generator is late, the record is sent late and
//! its lateness is measured. The pacer outlives its pool's thread, so that a restarted pool continues the schedules.

use super::paced::{Paced, paced};
use crate::base::{PartitionId, PoolId, ProducerId, Seed, Time};
use crate::plan::{LoadPlan, Pace, Placement, Plan};

/// A record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The producer of the record.
    pub producer: ProducerId,
    /// The partition of the record.
    pub partition: PartitionId,
    /// The intended send time; at maximum rate, now.
    pub intended: Time,
    /// The number of the key; `None` without keys.
    pub key: Option<u32>,
}

/// The schedules of one pool's producers.
#[derive(Clone, Debug)]
pub struct Pacer {
    schedule: Schedule,
    placement: Placement,
    /// Records taken so far, by the producer's number in the pool.
    counts: Vec<u64>,
    /// Producer n of the pool is producer n x `pools` + `pool` of the run.
    pool: u32,
    pools: u32,
    /// Records this pool may still send.
    left: u64,
    /// The record that was put back. It is counted as taken nevertheless.
    pending: Option<Due>,
    /// True once the schedule was ended, whatever is due.
    ended: bool,
    stages_ended: usize,
}

#[derive(Clone, Debug)]
enum Schedule {
    Paced(Paced),
    Max { next: u32, start: Time, end: Time },
}

impl Pacer {
    /// The schedules of pool `pool` in a load that begins at `start`. They follow from the plan alone.
    pub fn of_plan(plan: &Plan, pool: PoolId, start: Time) -> Pacer {
        let end = start + plan.times.load_end();
        let mut pacer =
            Pacer::new(&plan.load, plan.topic.partitions, pool.0, plan.seed, start, end);
        pacer.schedule = match pacer.schedule {
            Schedule::Paced(paced) if plan.load.stages.is_empty() => {
                Schedule::Paced(paced.with_bursts(plan.bursts(pool)))
            }
            Schedule::Paced(paced) => Schedule::Paced(paced.with_curve(plan.rate_curve(pool))),
            at_max_rate => at_max_rate,
        };
        pacer
    }

    /// Pool `pool`'s share of the backlog, to be sent from `start` on at maximum rate. The records follow from the plan
    /// alone.
    pub fn of_backlog(plan: &Plan, pool: PoolId, start: Time) -> Pacer {
        let load = LoadPlan { pace: Pace::Max, messages: plan.load.backlog, ..plan.load.clone() };
        Pacer::new(&load, plan.topic.partitions, pool.0, plan.seed, start, Time::NEVER)
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
        let placement = Placement::new(load.partition, partitions, load.skew, seed, pool_seed)
            .with_key_skew(load.key_skew);
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
            stages_ended: 0,
        }
    }

    /// Number of stages that have ended early, as far as this schedule was told.
    #[inline]
    pub fn stages_ended(&self) -> usize {
        self.stages_ended
    }

    /// Applies the early ends of stages: the later stages move forward.
    pub fn end_stages(&mut self, ends: &[(usize, Time)]) {
        self.stages_ended += ends.len();
        if let Schedule::Paced(paced) = &mut self.schedule {
            ends.iter().for_each(|(stage, at)| paced.end_stage(*stage, *at));
        }
    }

    /// Time of the next record; `None` if there are no more. At maximum rate that is `now`, once the load has begun.
    #[inline]
    pub fn next_due(&self, now: Time) -> Option<Time> {
        match self.pending {
            Some(due) => Some(due.intended),
            None => self.first(now).map(|(at, _)| at),
        }
    }

    /// Time of the next record in the schedule, and the number of its producer in the pool.
    #[inline]
    fn first(&self, now: Time) -> Option<(Time, u32)> {
        match &self.schedule {
            _ if self.left == 0 || self.ended => None,
            Schedule::Max { next, start, end } => (now < *end).then_some((now.max(*start), *next)),
            Schedule::Paced(paced) => paced.first(),
        }
    }

    /// Takes the record that is due at `now`, if there is one. Inlined, because it is called for each record.
    #[inline(always)]
    pub fn take(&mut self, now: Time) -> Option<Due> {
        if let Some(due) = self.pending.take() {
            return Some(due);
        }
        let (intended, number) = self.first(now).filter(|(at, _)| *at <= now)?;
        let producer = ProducerId(number * self.pools + self.pool);
        let (partition, key) = self.placement.place(producer, self.counts[number as usize]);
        self.left -= 1;
        self.counts[number as usize] += 1;
        match &mut self.schedule {
            Schedule::Max { next, .. } => *next = (number + 1) % self.counts.len() as u32,
            Schedule::Paced(paced) => paced.advance(),
        }
        Some(Due { producer, partition, intended, key })
    }

    /// Puts back the record taken last, because the client has no room for it. It is the next one again.
    pub fn put_back(&mut self, due: Due) {
        self.pending = Some(due);
    }

    /// Defers the record taken last. At maximum rate another producer goes first; otherwise it is the next one again.
    pub fn put_off(&mut self, due: Due) {
        match self.schedule {
            Schedule::Max { .. } => {
                self.left += 1;
                self.counts[((due.producer.0 - self.pool) / self.pools) as usize] -= 1;
            }
            Schedule::Paced(_) => self.put_back(due),
        }
    }

    /// Send time of the next record, now or later, if it is the only one at that time and another one follows. `None`
    /// at maximum rate.
    #[inline(always)]
    pub fn next_alone(&self, now: Time) -> Option<Time> {
        let Schedule::Paced(paced) = &self.schedule else { return None };
        let at = paced.first()?.0.max(now);
        let is_later = |next: Time| at < next;
        let is_alone = self.pending.is_none()
            && !self.ended
            && self.left > 1
            && paced.second().is_some_and(is_later);
        is_alone.then_some(at)
    }

    /// Spreads the next records over this number of partitions. A record that was put back keeps its partition.
    pub fn spread_over(&mut self, partitions: u32) {
        self.placement.spread_over(partitions);
    }

    /// Number of partitions that the records are spread over.
    pub fn partitions(&self) -> u32 {
        self.placement.partitions()
    }

    /// Ends the schedule: no more records are due.
    pub fn end(&mut self) {
        self.ended = true;
        self.left += u64::from(self.pending.take().is_some());
    }

    /// End of the schedule; with a limit on the number of messages, the time at which one more would be due. `None` at
    /// maximum rate.
    pub fn over_at(&self) -> Option<Time> {
        let Schedule::Paced(paced) = &self.schedule else { return None };
        let is_sent = self.left == 0 && self.pending.is_none();
        Some(if is_sent { paced.next_at().min(paced.end()) } else { paced.end() })
    }

    /// The records that are due from `from` to before `to` and were not taken, in the order of their times. Empty at
    /// maximum rate.
    pub fn untaken(&self, from: Time, to: Time) -> impl Iterator<Item = Due> {
        let mut rest = self.clone();
        rest.ended = matches!(rest.schedule, Schedule::Max { .. });
        let next = move || rest.next_due(to).filter(|at| *at < to).and_then(|at| rest.take(at));
        std::iter::from_fn(next).filter(move |due| due.intended >= from)
    }

    /// True if no more records are due.
    pub fn is_finished(&self, now: Time) -> bool {
        self.next_due(now).is_none()
    }
}

/// Pool `pool`'s share of `all` records. The shares of all pools add up to `all`.
fn share(all: u64, pool: u32, pools: u32) -> u64 {
    all / u64::from(pools) + u64::from(u64::from(pool) < all % u64::from(pools))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Acks, Compression, PartitionChoice, Phases, ProducerClients, RateBurst};

    fn load(producers: u32, pools: u32, pace: Pace, phases: Phases) -> LoadPlan {
        LoadPlan {
            producers,
            pace,
            stages: Vec::new(),
            backlog: None,
            messages: None,
            payload: std::sync::Arc::new(crate::plan::PayloadPlan::plain(100)),
            payload_bytes: 100,
            payload_bytes_max: 100,
            key_skew: 0.0,
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
            sent.extend(pacer.take(clock));
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
    fn a_record_is_alone_if_no_other_is_due_at_its_time_and_one_is_behind_it() {
        for phases in [Phases::Uniform, Phases::Random, Phases::Poisson] {
            let mut load = load(5, 1, HALF, phases);
            load.partition = PartitionChoice::Random;
            let mut pacer = Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, Time(4_000_000_000));
            let sent = drain(&mut pacer.clone(), |due| due);
            for (number, record) in sent.iter().enumerate() {
                let is_last = number + 1 == sent.len();
                let (at, late) = (record.intended, Time(record.intended.0 + 3_000_000_000));
                for now in [Time::ZERO, at] {
                    assert_eq!(pacer.next_alone(now), (!is_last).then_some(at), "{number}");
                }
                assert_eq!(pacer.next_alone(late), None, "others are due as well");
                assert_eq!(pacer.take(at), Some(*record));
                pacer.put_back(*record);
                assert_eq!((pacer.next_alone(at), pacer.next_due(at)), (None, Some(at)));
                assert_eq!(pacer.take(at), Some(*record));
            }
        }
        let load = load(2, 1, HALF, Phases::Uniform);
        let mut pacer = Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, Time(4_000_000_000));
        if let Schedule::Paced(paced) = &mut pacer.schedule {
            paced.due.reschedule_first(paced.due.second().expect("another one"));
        }
        assert_eq!(pacer.next_alone(Time::ZERO), None, "two at the same time");
        pacer.end();
        assert_eq!(pacer.next_alone(Time::ZERO), None, "over");
    }

    #[test]
    fn a_burst_multiplies_the_rate_while_it_lasts() {
        let load = load(10, 1, HALF, Phases::Random);
        let end = Time::ZERO + Duration::from_secs(10);
        let s = |s: i64| Time(s * 1_000_000_000);
        let bursts = vec![
            RateBurst { from_ns: s(2).0, to_ns: s(4).0, factor: 5.0 },
            RateBurst { from_ns: s(6).0, to_ns: s(7).0, factor: 0.5 },
        ];
        let mut pacer = Pacer::new(&load, 18, 0, Seed(1), Time::ZERO, end);
        if let Schedule::Paced(paced) = &mut pacer.schedule {
            *paced = paced.clone().with_bursts(bursts);
        }
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
        assert_eq!((pacer.take(Time(999)), pacer.next_due(Time(10))), (None, Some(start)));
        assert_eq!(pacer.take(Time(1_001)).map(|due| due.intended), Some(Time(1_001)));
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

    #[test]
    fn a_record_that_is_put_off_at_maximum_rate_is_sent_after_those_of_the_others() {
        let mut plan = load(3, 1, Pace::Max, Phases::Random);
        plan.messages = Some(4);
        let mut pacer = Pacer::new(&plan, 18, 0, Seed(1), Time::ZERO, Time::NEVER);
        let first = pacer.take(Time::ZERO).expect("a record");
        pacer.put_off(first);
        let order: Vec<u32> =
            drain(&mut pacer, |now| now).iter().map(|due| due.producer.0).collect();
        assert_eq!(order, [1, 2, 0, 1], "four records all the same");
    }
}
