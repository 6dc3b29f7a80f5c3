//! The load: producers, their schedules, and the partition of each record.
//!
//! The partition of a record is chosen here, never by a client's partitioner, because the sequence number in the lane
//! depends on it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::payload::PayloadPlan;
use super::stages::StagePlan;
use crate::base::{PartitionId, ProducerId, Random, Seed};

/// The load.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    /// Number of producers (schedules).
    pub producers: u32,
    /// The rate of each producer.
    pub pace: Pace,
    /// Stages from the warmup to the end of the load; empty if the rate is constant.
    pub stages: Vec<StagePlan>,
    /// Number of records that are written before the consumers start; `None` without a backlog.
    pub backlog: Option<u64>,
    /// Number of messages, without the backlog, after which the load ends; `None` without such a limit.
    pub messages: Option<u64>,
    /// The content of records.
    pub payload: Arc<PayloadPlan>,
    /// Mean size of a record in bytes: value with stamp, key and headers.
    pub payload_bytes: u32,
    /// Size of the largest record in bytes.
    pub payload_bytes_max: u32,
    /// The choice of a record's partition.
    pub partition: PartitionChoice,
    /// Zipf exponent of the partition weights for `random` and `keyed`; 0 is uniform.
    pub skew: f64,
    /// Zipf exponent of the keys' weights for `keyed`; 0 is uniform.
    pub key_skew: f64,
    /// The placement of the producers' schedules relative to each other.
    pub phases: Phases,
    /// Number of producer pools (actors, one thread each).
    pub pools: u32,
    /// The connections of the producers.
    pub clients: ProducerClients,
    /// The replicas that must have a record before it is acknowledged.
    pub acks: Acks,
    /// True if the client's retries must not duplicate or reorder records.
    pub idempotence: bool,
    /// Time that a client waits for a batch to fill.
    pub linger: Duration,
    /// Compression of batches.
    pub compression: Compression,
    /// Largest number of bytes per partition that may be sent and unprocessed, at maximum rate; `None` for no limit.
    pub unprocessed_bytes_max: Option<u64>,
}

impl LoadPlan {
    /// True if the run sends records. Otherwise it reads those of other producers.
    pub fn sends(&self) -> bool {
        self.producers > 0
    }

    /// Messages per second of all producers together; `None` at maximum rate.
    pub fn per_second(&self) -> Option<f64> {
        match self.pace {
            Pace::Paced { period } => Some(f64::from(self.producers) / period.as_secs_f64()),
            Pace::Max => None,
        }
    }

    /// The highest rate of all producers together, in messages per second; `None` at maximum rate.
    pub fn highest_per_second(&self) -> Option<f64> {
        let own = self.per_second()?;
        let of_stages = self.stages.iter().flat_map(|stage| stage.per_second);
        Some(of_stages.reduce(f64::max).map_or(own, |highest| highest.max(own)))
    }
}

/// The rate of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Record k is due at start + phase + k x period.
    Paced {
        /// Time between two records of one producer.
        period: Duration,
    },
    /// The rate at which the client accepts records; intended = actual send.
    Max,
}

/// The choice of a record's partition. It is always made here, never by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// Producer i always sends to partition i mod n.
    Fixed,
    /// Each producer sends to all partitions in turn, starting at i mod n.
    RoundRobin,
    /// A random partition for each record.
    Random,
    /// A random key for each record; a key always goes to the same partition.
    Keyed {
        /// Number of distinct keys.
        keys: u32,
    },
    /// The partition that gets every record.
    Only(u32),
}

/// The placement of schedules relative to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// Producer i starts i/n of a period late.
    Uniform,
    /// Each producer starts at a random point of its period.
    Random,
    /// Gaps are exponentially distributed with the period as mean. They are drawn before the load.
    Poisson,
}

/// The connections of the producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProducerClients {
    /// One client per pool.
    PerPool,
    /// One client per producer.
    PerProducer,
}

/// The acknowledgement a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// No acknowledgement: a record counts as acknowledged when it is sent.
    None,
    /// The leader has appended the record.
    Leader,
    /// All in-sync replicas have the record.
    All,
}

/// Compression of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd, which needs the `zstd` feature.
    Zstd,
}

impl fmt::Display for Acks {
    /// librdkafka's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Acks::None => "0",
            Acks::Leader => "1",
            Acks::All => "all",
        })
    }
}

impl fmt::Display for Compression {
    /// librdkafka's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

/// Chooses partitions for the records of all producers of a pool.
#[derive(Clone, Debug)]
pub struct Placement {
    choice: PartitionChoice,
    partitions: u32,
    skew: f64,
    run_seed: Seed,
    /// Cumulative weights of the partitions; empty if they are uniform.
    cumulative: Vec<f64>,
    /// Partition of each key.
    keys: Vec<u32>,
    /// Cumulative weights of the keys; empty if they are uniform.
    key_weights: Vec<f64>,
    random: Random,
}

impl Placement {
    /// A placement. `skew` is the Zipf exponent of the partitions' weights. The partition of a key depends on
    /// `run_seed`, which is the same for every pool. Records draw from `pool_seed`.
    pub fn new(
        choice: PartitionChoice,
        partitions: u32,
        skew: f64,
        run_seed: Seed,
        pool_seed: Seed,
    ) -> Placement {
        let mut placement = Placement {
            choice,
            partitions,
            skew,
            run_seed,
            cumulative: Vec::new(),
            keys: Vec::new(),
            key_weights: Vec::new(),
            random: pool_seed.child("placement", 0).random(),
        };
        placement.spread_over(partitions);
        placement
    }

    /// The same placement with this Zipf exponent of the keys' weights.
    pub fn with_key_skew(mut self, skew: f64) -> Placement {
        if let (PartitionChoice::Keyed { keys }, true) = (self.choice, skew > 0.0) {
            self.key_weights = zipf(keys, skew);
        }
        self
    }

    /// Number of partitions to which records are sent.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Sends later records to this number of partitions. As with a hash modulo that number, most keys get another
    /// partition.
    pub fn spread_over(&mut self, partitions: u32) {
        self.partitions = partitions;
        self.cumulative = if self.skew > 0.0 { zipf(partitions, self.skew) } else { Vec::new() };
        if let PartitionChoice::Keyed { keys } = self.choice {
            let random = self.run_seed.child("keys", 0).random();
            let of_the_pool = std::mem::replace(&mut self.random, random);
            self.keys = (0..keys).map(|_| self.weighted()).collect();
            self.random = of_the_pool;
        }
    }

    /// Share of the records of each partition, by id, with `producers` in total. With `keyed`, a key's share is its
    /// weight.
    pub fn shares(&self, producers: u32) -> Vec<f64> {
        let partitions = self.partitions as usize;
        let counted = |places: &mut dyn Iterator<Item = u32>| {
            let mut counts = vec![0_u32; partitions];
            places.for_each(|place| counts[place as usize] += 1);
            let all = f64::from(counts.iter().sum::<u32>().max(1));
            counts.into_iter().map(|count| f64::from(count) / all).collect()
        };
        match self.choice {
            PartitionChoice::Fixed => counted(&mut (0..producers).map(|id| id % self.partitions)),
            PartitionChoice::Keyed { .. } if !self.key_weights.is_empty() => {
                let mut shares = vec![0.0; partitions];
                for (share, place) in differences(&self.key_weights).zip(&self.keys) {
                    shares[*place as usize] += share;
                }
                shares
            }
            PartitionChoice::Keyed { .. } => counted(&mut self.keys.iter().copied()),
            PartitionChoice::Only(id) => counted(&mut std::iter::once(id)),
            PartitionChoice::Random if !self.cumulative.is_empty() => {
                differences(&self.cumulative).collect()
            }
            PartitionChoice::RoundRobin | PartitionChoice::Random => {
                vec![1.0 / f64::from(self.partitions); partitions]
            }
        }
    }

    /// The partition of record number `k` of `producer`, and the number of its key; `None` without keys.
    #[inline]
    pub fn place(&mut self, producer: ProducerId, k: u64) -> (PartitionId, Option<u32>) {
        let partition = match self.choice {
            PartitionChoice::Fixed => producer.0 % self.partitions,
            PartitionChoice::RoundRobin => {
                ((u64::from(producer.0) + k) % u64::from(self.partitions)) as u32
            }
            PartitionChoice::Random => self.weighted(),
            PartitionChoice::Only(id) => id,
            PartitionChoice::Keyed { keys } => {
                let key = match self.key_weights.is_empty() {
                    true => self.random.below(u64::from(keys)) as u32,
                    false => drawn(&self.key_weights, &mut self.random),
                };
                return (PartitionId(self.keys[key as usize]), Some(key));
            }
        };
        (PartitionId(partition), None)
    }

    fn weighted(&mut self) -> u32 {
        if self.cumulative.is_empty() {
            return self.random.below(u64::from(self.partitions)) as u32;
        }
        drawn(&self.cumulative, &mut self.random)
    }
}

/// A random index, by cumulative weights.
fn drawn(cumulative: &[f64], random: &mut Random) -> u32 {
    let point = random.unit();
    let at = cumulative.partition_point(|bound| *bound <= point);
    at.min(cumulative.len() - 1) as u32
}

/// The weights from cumulative ones.
fn differences(cumulative: &[f64]) -> impl Iterator<Item = f64> {
    let bounds = std::iter::once(0.0).chain(cumulative.iter().copied());
    bounds.zip(cumulative).map(|(from, to)| to - from)
}

/// Cumulative weights 1/(i+1)^s, normalised to 1.
fn zipf(partitions: u32, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=partitions).map(|i| f64::from(i).powf(-exponent)).collect();
    let total: f64 = weights.iter().sum();
    weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight / total;
            Some(*sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(choice: PartitionChoice, skew: f64) -> Vec<f64> {
        let mut placement = Placement::new(choice, 4, skew, Seed(1), Seed(2));
        let mut counts = [0u32; 4];
        for k in 0..40_000 {
            counts[placement.place(ProducerId(k as u32 % 10), k / 10).0.0 as usize] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / 40_000.0).collect()
    }

    #[test]
    fn shares_are_those_of_the_records_that_are_placed() {
        let keyed = PartitionChoice::Keyed { keys: 40 };
        let (only, fixed) = (PartitionChoice::Only(2), PartitionChoice::Fixed);
        for choice in [fixed, PartitionChoice::RoundRobin, PartitionChoice::Random, keyed, only] {
            let expected = Placement::new(choice, 4, 0.9, Seed(1), Seed(2)).shares(10);
            assert!((expected.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{choice:?} {expected:?}");
            for (expected, placed) in expected.iter().zip(shares(choice, 0.9)) {
                assert!((expected - placed).abs() < 0.02, "{choice:?} {expected} {placed}");
            }
        }
    }

    #[test]
    fn the_weights_of_keys_follow_zipf_and_so_do_the_shares_of_their_partitions() {
        let keyed = PartitionChoice::Keyed { keys: 3 };
        let mut placement = Placement::new(keyed, 4, 0.0, Seed(1), Seed(2)).with_key_skew(1.0);
        let expected = placement.shares(10);
        let (mut keys, mut partitions) = ([0.0_f64; 3], [0.0_f64; 4]);
        for k in 0..40_000 {
            let (partition, key) = placement.place(ProducerId(0), k);
            keys[key.expect("a key") as usize] += 1.0 / 40_000.0;
            partitions[partition.0 as usize] += 1.0 / 40_000.0;
        }
        // 1, 1/2 and 1/3, divided by 11/6.
        for (share, expected) in keys.iter().zip([6.0 / 11.0, 3.0 / 11.0, 2.0 / 11.0]) {
            assert!((share - expected).abs() < 0.02, "{keys:?}");
        }
        for (share, expected) in partitions.iter().zip(expected) {
            assert!((share - expected).abs() < 0.02, "{partitions:?}");
        }
    }

    #[test]
    fn fixed_and_round_robin_follow_the_numbers() {
        let mut fixed = Placement::new(PartitionChoice::Fixed, 18, 0.0, Seed(1), Seed(1));
        assert_eq!(fixed.place(ProducerId(1023), 5).0, PartitionId(1023 % 18));
        let mut round = Placement::new(PartitionChoice::RoundRobin, 4, 0.0, Seed(1), Seed(1));
        let seen: Vec<u32> = (0..5).map(|k| round.place(ProducerId(3), k).0.0).collect();
        assert_eq!(seen, [3, 0, 1, 2, 3]);
    }

    #[test]
    fn random_is_even_and_skew_follows_zipf() {
        assert!(shares(PartitionChoice::Random, 0.0).iter().all(|s| (s - 0.25).abs() < 0.02));
        let skewed = shares(PartitionChoice::Random, 1.0);
        assert!((skewed[0] - 0.48).abs() < 0.02, "{skewed:?}");
        assert!((skewed[3] - 0.12).abs() < 0.02, "{skewed:?}");
    }

    #[test]
    fn after_a_growth_every_partition_is_chosen_and_keys_move_alike_in_every_pool() {
        let keyed = PartitionChoice::Keyed { keys: 200 };
        for choice in
            [PartitionChoice::Fixed, PartitionChoice::RoundRobin, PartitionChoice::Random, keyed]
        {
            let mut placement = Placement::new(choice, 4, 0.5, Seed(1), Seed(2));
            placement.spread_over(6);
            let mut seen = [false; 6];
            for k in 0..2_000 {
                seen[placement.place(ProducerId(k as u32 % 12), k / 12).0.0 as usize] = true;
            }
            assert_eq!(seen, [true; 6], "{choice:?}");
        }
        let (mut one, mut other) = (
            Placement::new(keyed, 4, 0.0, Seed(1), Seed(2)),
            Placement::new(keyed, 4, 0.0, Seed(1), Seed(3)),
        );
        let before = one.keys.clone();
        one.spread_over(6);
        other.spread_over(6);
        assert_eq!(one.keys, other.keys);
        assert_ne!(one.keys, before);
    }

    #[test]
    fn a_key_keeps_its_partition_in_every_pool() {
        let keyed = PartitionChoice::Keyed { keys: 50 };
        let one = Placement::new(keyed, 18, 0.0, Seed(1), Seed(2));
        let other = Placement::new(keyed, 18, 0.0, Seed(1), Seed(3));
        assert_eq!(one.keys, other.keys);
    }
}
