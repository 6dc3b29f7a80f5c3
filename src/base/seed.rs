//! The seed tree: every random decision comes from a named branch of one root seed.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// A node of the seed tree. Children are independent of each other and of the order they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The branch `name`, number `index`.
    pub fn child(self, name: &str, index: u64) -> Seed {
        let named = name
            .bytes()
            .fold(self.0 ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| mix(hash ^ u64::from(byte)));
        Seed(mix(named ^ mix(index.wrapping_add(0x632b_e59b_d9b4_e019))))
    }

    /// The random stream of this node.
    pub fn random(self) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(self.0))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of random numbers (xoshiro256++).
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift (Lemire 2019) without the rejection step: the bias is below 2^-40
        // for every bound used here.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with the given mean (inverse transform).
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_differ_by_name_index_and_root() {
        let root = Seed(1);
        assert_eq!(root.child("phase", 3), root.child("phase", 3));
        assert_ne!(root.child("phase", 3), root.child("phase", 4));
        assert_ne!(root.child("phase", 3), root.child("jitter", 3));
        assert_ne!(root.child("phase", 3), Seed(2).child("phase", 3));
    }

    #[test]
    fn the_stream_of_seed_1_is_the_same_on_every_machine() {
        let mut random = Seed(1).child("phase", 0).random();
        let drawn: Vec<u64> = (0..3).map(|_| random.below(1_000_000)).collect();
        assert_eq!(drawn, [897_322, 902_977, 802_547]);
    }

    #[test]
    fn exponential_has_the_mean_it_was_given() {
        let mut random = Seed(7).random();
        let n = 200_000;
        let mean = (0..n).map(|_| random.exponential(5.0)).sum::<f64>() / f64::from(n);
        assert!((mean - 5.0).abs() < 0.05, "{mean}");
    }
}
