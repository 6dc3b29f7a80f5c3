//! The collector: takes the shards out once a second and keeps the totals.

use super::statistics::Moments;
use super::{CostMeter, Latencies, Scoreboard, Shard};
use crate::base::{PartitionId, Time};

/// One partition's interval, as it goes to the result directory.
#[derive(Debug)]
pub struct Window<'a> {
    /// Start of the interval.
    pub from: Time,
    /// End of the interval.
    pub to: Time,
    /// Which partition.
    pub partition: PartitionId,
    /// Its numbers.
    pub shard: &'a Shard,
    /// Response time p50, ns.
    pub p50_ns: Option<u64>,
    /// Response time p99, ns.
    pub p99_ns: Option<u64>,
    /// Its lag at the end of the interval, in records.
    pub lag: u64,
}

/// What the live view shows of the last interval.
#[derive(Clone, Debug)]
pub struct Live<'a> {
    /// Seconds the interval lasted.
    pub seconds: f64,
    /// Records processed in it.
    pub delivered: u64,
    /// Records processed since the start.
    pub delivered_total: u64,
    /// Records sent since the start.
    pub sent_total: u64,
    /// Response times of all partitions.
    pub response: &'a Latencies,
    /// Sum of the partitions' lags.
    pub lag: u64,
    /// The partition with the largest p99 of the interval, with that p99 in ns.
    pub worst: Option<(PartitionId, u64)>,
}

/// A partition's totals.
#[derive(Debug, Default)]
pub struct PartitionTotals {
    /// All shards merged.
    pub shard: Shard,
    /// Records per second, one value per full interval in the measured window.
    pub rates: Moments,
}

/// Takes shards out of the cells and merges them. One per run, on a thread of its own.
#[derive(Debug)]
pub struct Collector {
    /// By partition.
    pub partitions: Vec<PartitionTotals>,
    /// The process's cost.
    pub cost: CostMeter,
    measured: (Time, Time),
    last: Time,
    spare: Shard,
    interval: Latencies,
    delivered_total: u64,
}

impl Collector {
    /// A collector that begins at `start`.
    pub fn new(partitions: usize, start: Time, measured: (Time, Time)) -> Collector {
        Collector {
            partitions: (0..partitions).map(|_| PartitionTotals::default()).collect(),
            cost: CostMeter::default(),
            measured,
            last: start,
            spare: Shard::default(),
            interval: Latencies::default(),
            delivered_total: 0,
        }
    }

    /// Ends an interval at `now`. Every partition's numbers are given to `store` and merged.
    pub fn tick(
        &mut self,
        board: &Scoreboard,
        now: Time,
        mut store: impl FnMut(&Window<'_>),
    ) -> Live<'_> {
        let from = std::mem::replace(&mut self.last, now);
        let seconds = now.since_ns(from) as f64 / 1e9;
        let in_window = from >= self.measured.0 && now <= self.measured.1 && seconds > 0.5;
        let (mut delivered, mut lags, mut worst) = (0, 0, None);
        self.interval.clear();
        self.partitions.resize_with(board.cells.len(), PartitionTotals::default);
        for (id, totals) in self.partitions.iter_mut().enumerate() {
            let partition = PartitionId(id as u32);
            let lag = {
                let mut cell = board.cells[id].lock();
                cell.take_shard(&mut self.spare);
                cell.lag.last
            };
            let shard = &self.spare;
            let [p50_ns, p99_ns] =
                [0.50, 0.99].map(|quantile| shard.response.quantile_ns(quantile));
            store(&Window { from, to: now, partition, shard, p50_ns, p99_ns, lag });
            if in_window {
                totals.rates.add(self.spare.delivered as f64 / seconds);
            }
            delivered += self.spare.delivered;
            lags += lag;
            if let Some(p99) = p99_ns {
                worst = worst.max_by_p99(partition, p99);
            }
            self.interval.merge(&self.spare.response);
            totals.shard.merge(&self.spare);
        }
        self.cost.sample();
        self.delivered_total += delivered;
        Live {
            seconds,
            delivered,
            delivered_total: self.delivered_total,
            sent_total: board.pools.iter().map(|pool| pool.lock().sent).sum(),
            response: &self.interval,
            lag: lags,
            worst,
        }
    }

    /// One distribution of all partitions together.
    pub fn merged(&self, of: impl Fn(&Shard) -> &Latencies, digits: u8) -> Latencies {
        let mut all = Latencies::with_digits(digits);
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
