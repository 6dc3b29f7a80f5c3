//! The order in which the variants of each round run on a real broker.

use crate::base::Seed;

/// The order of `variants` in each of `rounds`: a seeded permutation that is rotated by one from round to round. Over
/// as many rounds as variants, each variant has every place once (a Latin square). So a trend in the broker's speed
/// favours no variant.
pub fn balanced(variants: usize, rounds: usize, seed: Seed) -> Vec<Vec<usize>> {
    let mut first: Vec<usize> = (0..variants).collect();
    let mut random = seed.child("order", 0).random();
    // Fisher-Yates shuffle.
    for at in (1..variants).rev() {
        first.swap(at, random.below(at as u64 + 1) as usize);
    }
    (0..rounds)
        .map(|round| {
            let mut order = first.clone();
            order.rotate_left(round % variants.max(1));
            order
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_every_place_once() {
        let rounds = balanced(4, 4, Seed(3));
        for place in 0..4 {
            let mut there: Vec<usize> = rounds.iter().map(|round| round[place]).collect();
            there.sort_unstable();
            assert_eq!(there, [0, 1, 2, 3], "{rounds:?}");
        }
        assert_eq!(rounds, balanced(4, 4, Seed(3)));
        assert_eq!(balanced(0, 2, Seed(1)), [Vec::<usize>::new(), Vec::new()]);
    }
}
