//! What is sent: producers, their schedule, and where each record goes.
//!
//! Which partition a record goes to. Decided here, never by a client's partitioner, because a lane's
//! sequence number needs to know.

use std::fmt;
use std::time::Duration;

use crate::base::{PartitionId, ProducerId, Random, Seed};

/// The load.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadPlan {
    /// Number of producers (schedules).
    pub producers: u32,
    /// How fast each producer sends.
    pub pace: Pace,
    /// Total number of messages, after which the load ends.
    pub messages: Option<u64>,
    /// Size of each payload in bytes, stamp included.
    pub payload_bytes: u32,
    /// Which partition a record goes to.
    pub partition: PartitionChoice,
    /// Zipf exponent of the partition weights for `random` and `keyed`; 0 is uniform.
    pub skew: f64,
    /// How the producers' schedules are placed against each other.
    pub phases: Phases,
    /// Number of producer pools (actors, one thread each).
    pub pools: u32,
    /// How many connections carry the producers.
    pub clients: ProducerClients,
    /// Which replicas must have a record before it is acknowledged.
    pub acks: Acks,
    /// Whether the client's retries may not duplicate or reorder.
    pub idempotence: bool,
    /// How long a client waits for a batch to fill.
    pub linger: Duration,
    /// Compression of batches.
    pub compression: Compression,
    /// At maximum rate: bytes per partition that may be sent but not yet processed.
    pub unprocessed_bytes_max: Option<u64>,
}

impl LoadPlan {
    /// Messages per second of all producers together; `None` at maximum rate.
    pub fn per_second(&self) -> Option<f64> {
        match self.pace {
            Pace::Paced { period } => Some(f64::from(self.producers) / period.as_secs_f64()),
            Pace::Max => None,
        }
    }
}

/// How fast a producer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Record k is due at start + phase + k x period.
    Paced {
        /// Time between two records of one producer.
        period: Duration,
    },
    /// As fast as the client takes them; intended = actual send.
    Max,
}

/// Which partition a record goes to. Always decided here, never by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// Producer i always to partition i mod n.
    Fixed,
    /// Each producer goes round all partitions, starting at i mod n.
    RoundRobin,
    /// A random partition for each record.
    Random,
    /// A random key for each record; a key always goes to the same partition.
    Keyed {
        /// Number of distinct keys.
        keys: u32,
    },
}

/// How schedules are placed against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// Producer i starts i/n of a period late.
    Uniform,
    /// Each producer starts at a random point of its period.
    Random,
    /// Gaps are exponentially distributed with the period as mean (still fixed beforehand).
    Poisson,
}

/// How many client connections carry the producers.
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
    /// None: a send counts as acknowledged when it leaves.
    None,
    /// The leader.
    Leader,
    /// All in-sync replicas.
    All,
}

/// Compression of batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd; needs the `zstd` feature.
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
    /// Cumulative partition weights when skewed; empty when uniform.
    cumulative: Vec<f64>,
    /// Partition of each key.
    keys: Vec<u32>,
    random: Random,
}

impl Placement {
    /// A chooser; `skew` is the Zipf exponent of the partitions' weights. Keys are placed by `run_seed`,
    /// which is the same for every pool; records draw from `pool_seed`.
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
            random: pool_seed.child("placement", 0).random(),
        };
        placement.spread_over(partitions);
        placement
    }

    /// How many partitions records are spread over.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Spreads the next records over this number of partitions. As with a hash modulo the number, most keys get
    /// another partition.
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

    /// The share of the records that goes to each partition, by id, with `producers` in all. Of `keyed`, a key's share
    /// is the same as any other's.
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
            PartitionChoice::Keyed { .. } => counted(&mut self.keys.iter().copied()),
            PartitionChoice::Random if !self.cumulative.is_empty() => {
                let bounds = std::iter::once(0.0).chain(self.cumulative.iter().copied());
                bounds.zip(&self.cumulative).map(|(from, to)| to - from).collect()
            }
            PartitionChoice::RoundRobin | PartitionChoice::Random => {
                vec![1.0 / f64::from(self.partitions); partitions]
            }
        }
    }

    /// The partition of record number `k` of `producer`.
    #[inline]
    pub fn partition(&mut self, producer: ProducerId, k: u64) -> PartitionId {
        PartitionId(match self.choice {
            PartitionChoice::Fixed => producer.0 % self.partitions,
            PartitionChoice::RoundRobin => {
                ((u64::from(producer.0) + k) % u64::from(self.partitions)) as u32
            }
            PartitionChoice::Random => self.weighted(),
            PartitionChoice::Keyed { keys } => {
                self.keys[self.random.below(u64::from(keys)) as usize]
            }
        })
    }

    fn weighted(&mut self) -> u32 {
        if self.cumulative.is_empty() {
            return self.random.below(u64::from(self.partitions)) as u32;
        }
        let point = self.random.unit();
        let at = self.cumulative.partition_point(|bound| *bound <= point) as u32;
        at.min(self.partitions - 1)
    }
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
            counts[placement.partition(ProducerId(k as u32 % 10), k / 10).0 as usize] += 1;
        }
        counts.iter().map(|count| f64::from(*count) / 40_000.0).collect()
    }

    #[test]
    fn shares_are_those_of_the_records_that_are_placed() {
        let keyed = PartitionChoice::Keyed { keys: 40 };
        for choice in
            [PartitionChoice::Fixed, PartitionChoice::RoundRobin, PartitionChoice::Random, keyed]
        {
            let expected = Placement::new(choice, 4, 0.9, Seed(1), Seed(2)).shares(10);
            assert!((expected.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{choice:?} {expected:?}");
            for (expected, placed) in expected.iter().zip(shares(choice, 0.9)) {
                assert!((expected - placed).abs() < 0.02, "{choice:?} {expected} {placed}");
            }
        }
    }

    #[test]
    fn fixed_and_round_robin_follow_the_numbers() {
        let mut fixed = Placement::new(PartitionChoice::Fixed, 18, 0.0, Seed(1), Seed(1));
        assert_eq!(fixed.partition(ProducerId(1023), 5), PartitionId(1023 % 18));
        let mut round = Placement::new(PartitionChoice::RoundRobin, 4, 0.0, Seed(1), Seed(1));
        let seen: Vec<u32> = (0..5).map(|k| round.partition(ProducerId(3), k).0).collect();
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
                seen[placement.partition(ProducerId(k as u32 % 12), k / 12).0 as usize] = true;
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
