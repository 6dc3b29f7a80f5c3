//! Which partition a record goes to. Decided here, never by a client's partitioner, because a lane's
//! sequence number needs to know.

use crate::base::{PartitionId, ProducerId, Random, Seed};
use crate::plan::PartitionChoice;

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
