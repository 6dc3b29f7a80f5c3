//! Smaller inputs of the same failure: delta debugging over lists, and halving of numbers.

/// A smaller list that still fails, and the number of tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shrunk<T> {
    /// The remaining items, in their order.
    pub(super) items: Vec<T>,
    /// Number of lists that were tried.
    pub(super) tries: usize,
}

/// Leaves out items while `fails` is true for the rest: the algorithm *ddmin* of Zeller and Hildebrandt (Simplifying
/// and Isolating Failure-Inducing Input, 2002). The result is 1-minimal unless `tries_max` ends the search: without any
/// single item it would not fail.
pub(super) fn shrink_list<T: Clone>(
    items: &[T],
    tries_max: usize,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Shrunk<T> {
    let mut items = items.to_vec();
    let (mut parts, mut tries) = (2, 0);
    'smaller: while !items.is_empty() && tries < tries_max {
        let size = items.len().div_ceil(parts);
        for from in (0..items.len()).step_by(size) {
            if tries == tries_max {
                break 'smaller;
            }
            let to = (from + size).min(items.len());
            let rest = [&items[..from], &items[to..]].concat();
            tries += 1;
            if fails(&rest) {
                items = rest;
                parts = parts.saturating_sub(1).max(2);
                continue 'smaller;
            }
        }
        if size == 1 {
            break;
        }
        parts = (2 * parts).min(items.len());
    }
    Shrunk { items, tries }
}

/// The smallest number from `least` to `value` for which `fails` is true, if failing is monotonic. Otherwise some
/// number for which it is true. `fails` must be true for `value`.
pub(super) fn shrink_number(least: u64, value: u64, mut fails: impl FnMut(u64) -> bool) -> u64 {
    let (mut passing, mut failing) = (least, value);
    if value <= least || fails(least) {
        return least.min(value);
    }
    while failing - passing > 1 {
        let middle = passing + (failing - passing) / 2;
        *(if fails(middle) { &mut failing } else { &mut passing }) = middle;
    }
    failing
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_needed_is_what_is_left(
            needed in proptest::collection::btree_set(0u32..60, 0..6),
        ) {
            let all: Vec<u32> = (0..60).collect();
            let shrunk = shrink_list(&all, 10_000, |rest| needed.iter().all(|n| rest.contains(n)));
            prop_assert_eq!(shrunk.items, needed.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn the_result_fails_even_if_failing_follows_no_rule(
            seed in any::<u64>(),
            tries_max in 0usize..40,
        ) {
            let all: Vec<u64> = (0..20).collect();
            let fails = |rest: &[u64]| {
                rest.len() == all.len() || (rest.iter().sum::<u64>() ^ seed).count_ones() % 2 == 0
            };
            let shrunk = shrink_list(&all, tries_max, fails);
            prop_assert!(fails(&shrunk.items));
            prop_assert!(shrunk.tries <= tries_max);
        }

        #[test]
        fn a_number_shrinks_to_where_it_begins_to_fail(least in 0u64..50, to in 0u64..100, from in 0u64..100) {
            prop_assume!(to >= from && to >= least);
            prop_assert_eq!(shrink_number(least, to, |n| n >= from), from.max(least));
        }
    }
}
