//! The collector: takes the shards out of the cells once a second, and keeps the totals.

use serde::{Deserialize, Serialize};

use super::{
    CostMeter, Latencies, Measurements, Moments, Parts, SendTimes, Shard, StageBounds, StageShard,
    TimeSums,
};
use crate::base::{PartitionId, PoolId, Time};
use crate::summary::Ledger;

/// The shortest interval, in seconds, that has a rate and in which a partition can be stalled. The last interval of a
/// run may be shorter than the processing of one record.
const SHORTEST_S: f64 = 0.5;

/// One partition's interval, as it goes to the result directory.
#[derive(Debug)]
pub struct PartitionInterval<'a> {
    /// Start of the interval.
    pub from: Time,
    /// End of the interval.
    pub to: Time,
    /// The partition.
    pub partition: PartitionId,
    /// The measurements of the interval.
    pub shard: &'a Shard,
    /// Response time p50, ns.
    pub p50_ns: Option<u64>,
    /// Response time p99, ns.
    pub p99_ns: Option<u64>,
    /// Lag at the end of the interval, in records.
    pub lag: u64,
    /// True if the lag is known: the broker has answered at least once.
    pub is_lag_known: bool,
    /// True if records waited during the whole interval and none was processed.
    pub is_stalled: bool,
    /// Records sent, acknowledged and failed since the start.
    pub sends: Ledger,
    /// The counts that are made when records are processed, since the start.
    pub counts: &'a Ledger,
}

/// One pool's interval, as it goes to the result directory.
#[derive(Debug)]
pub struct PoolInterval<'a> {
    /// Start of the interval.
    pub from: Time,
    /// End of the interval.
    pub to: Time,
    /// The pool.
    pub pool: PoolId,
    /// The times of the interval.
    pub times: &'a SendTimes,
}

/// An interval of a partition or of a pool.
#[derive(Debug)]
pub enum Interval<'a> {
    /// A partition's.
    Partition(PartitionInterval<'a>),
    /// A pool's.
    Pool(PoolInterval<'a>),
}

/// The figures of the last interval that the live view shows.
#[derive(Clone, Debug)]
pub struct IntervalTotals<'a> {
    /// Length of the interval, in seconds.
    pub seconds: f64,
    /// Records processed in the interval.
    pub delivered: u64,
    /// Records processed since the start.
    pub delivered_total: u64,
    /// Records sent since the start.
    pub sent_total: u64,
    /// Response times of all partitions, warmup included.
    pub response: &'a Latencies,
    /// Sum of the partitions' lags.
    pub lag: u64,
    /// Beginnings and ends of the load's stages, as far as they are known.
    pub stages: StageBounds,
    /// The partition with the largest p99 response time of the interval, and that p99 in nanoseconds.
    pub worst: Option<(PartitionId, u64)>,
}

/// The totals of a partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PartitionTotals {
    /// All shards merged, without their [parts](Collector::parts) and [stages](Collector::stages).
    pub shard: Shard,
    /// The sums of the parts of the service time.
    pub times: TimeSums,
    /// Records per second, one value per full interval in the measured window.
    pub rates: Moments,
}

/// Takes shards out of the cells and merges them. A run has one collector, on a thread of its own.
#[derive(Debug)]
pub struct Collector {
    /// Index: the partition's id.
    pub partitions: Vec<PartitionTotals>,
    /// The send times of all pools.
    pub sends: SendTimes,
    /// The parts of the latency, of all partitions together.
    pub parts: Parts,
    /// The records processed in each stage, of all partitions together.
    pub stages: Vec<StageShard>,
    /// The cost of the process.
    pub cost: CostMeter,
    measured: (Time, Time),
    last: Time,
    spare: Shard,
    spare_times: SendTimes,
    interval: Latencies,
    delivered_total: u64,
}

impl Collector {
    /// A collector that begins at `start`.
    pub fn new(partitions: usize, start: Time, measured: (Time, Time)) -> Collector {
        Collector {
            partitions: (0..partitions).map(|_| PartitionTotals::default()).collect(),
            sends: SendTimes::default(),
            parts: Parts::default(),
            stages: Vec::new(),
            cost: CostMeter::default(),
            measured,
            last: start,
            spare: Shard::default(),
            spare_times: SendTimes::default(),
            interval: Latencies::default(),
            delivered_total: 0,
        }
    }

    /// Ends an interval at `now`. Passes the interval of each partition and pool to `store`, and merges it into the
    /// totals.
    pub fn tick(
        &mut self,
        measurements: &Measurements,
        now: Time,
        mut store: impl FnMut(&Interval<'_>),
    ) -> IntervalTotals<'_> {
        let from = std::mem::replace(&mut self.last, now);
        let seconds = now.since_ns(from) as f64 / 1e9;
        let stages = measurements.stages.state().bounds;
        self.measured.1 = stages.end().unwrap_or(self.measured.1);
        let is_long = seconds >= SHORTEST_S;
        let in_window = from >= self.measured.0 && now <= self.measured.1 && is_long;
        let (mut delivered, mut lags, mut worst) = (0, 0, None);
        self.interval.clear();
        self.partitions.resize_with(measurements.cells.len(), PartitionTotals::default);
        let sends = self.take_sends(measurements, (from, now), &mut store);
        for (id, totals) in self.partitions.iter_mut().enumerate() {
            let partition = PartitionId(id as u32);
            let (lag, is_stalled, counts) = {
                let mut cell = measurements.cells[id].lock();
                cell.take_shard(&mut self.spare);
                let is_stalled = is_long && cell.lag.is_stalled(cell.last_done, from);
                (cell.lag, is_stalled, cell.counts())
            };
            let shard = &self.spare;
            let [p50_ns, p99_ns] =
                [0.50, 0.99].map(|quantile| shard.response.quantile_ns(quantile));
            let sends = sends.get(id).copied().unwrap_or_default();
            let to = now;
            let (lag, is_lag_known) = (lag.last, lag.asked.is_some());
            store(&Interval::Partition(PartitionInterval {
                from,
                to,
                partition,
                shard,
                p50_ns,
                p99_ns,
                lag,
                is_lag_known,
                is_stalled,
                sends,
                counts: &counts,
            }));
            if in_window {
                totals.rates.add(self.spare.delivered as f64 / seconds);
            }
            delivered += self.spare.delivered;
            lags += lag;
            if let Some(p99) = p99_ns.or_else(|| shard.warmup.quantile_ns(0.99)) {
                worst = worst.max_by_p99(partition, p99);
            }
            self.interval.merge(&self.spare.response);
            self.interval.merge(&self.spare.warmup);
            totals.shard.merge(&self.spare);
            totals.times.add(&self.spare);
            self.parts.merge(&self.spare.parts);
            StageShard::merge_all(&mut self.stages, &self.spare.stages);
        }
        self.cost.sample();
        self.delivered_total += delivered;
        IntervalTotals {
            seconds,
            delivered,
            delivered_total: self.delivered_total,
            sent_total: measurements.pools.iter().map(|pool| pool.lock().sent).sum(),
            response: &self.interval,
            lag: lags,
            stages,
            worst,
        }
    }

    /// Takes the times of all pools, and returns the records sent so far, by partition.
    fn take_sends(
        &mut self,
        measurements: &Measurements,
        (from, to): (Time, Time),
        store: &mut impl FnMut(&Interval<'_>),
    ) -> Vec<Ledger> {
        let mut sends = vec![Ledger::default(); measurements.cells.len()];
        for pool in &measurements.pools {
            let id = {
                let mut pool = pool.lock();
                pool.take_times(&mut self.spare_times);
                sends.iter_mut().zip(pool.totals()).for_each(|(all, its)| all.merge(&its));
                pool.pool()
            };
            let times = &self.spare_times;
            store(&Interval::Pool(PoolInterval { from, to, pool: id, times }));
            self.sends.merge(times);
        }
        sends
    }

    /// One distribution, merged over all partitions.
    pub fn merged(&self, of: impl Fn(&Shard) -> &Latencies) -> Latencies {
        let mut all = Latencies::default();
        self.partitions.iter().for_each(|totals| all.merge(of(&totals.shard)));
        all
    }
}

trait Worst {
    fn max_by_p99(self, partition: PartitionId, p99: u64) -> Self;
}

impl Worst for Option<(PartitionId, u64)> {
    fn max_by_p99(self, partition: PartitionId, p99: u64) -> Self {
        match self {
            Some((_, worst)) if worst >= p99 => self,
            _ => Some((partition, p99)),
        }
    }
}
