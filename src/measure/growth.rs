//! When a topic grew, from when its new partitions were found.

use std::ops::Range;
use std::time::Duration;

use crate::base::Time;

/// The members of a group hear of their own new partitions one after another. What is found within so long is one
/// growth; a topic that really grows again so soon is shown as if it had grown once.
const APART: Duration = Duration::from_secs(1);

/// Makes one step of those that were found shortly after another.
pub(super) fn growths(
    found: impl IntoIterator<Item = (Time, Range<u32>)>,
) -> Vec<(Time, Range<u32>)> {
    let mut steps: Vec<(Time, Range<u32>)> = Vec::new();
    for (at, ids) in found {
        match steps.last_mut() {
            Some((first, step)) if at <= *first + APART => step.end = ids.end,
            _ => steps.push((at, ids)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_hear_one_after_another_is_one_growth() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let found = [(ms(4_000), 6..7), (ms(4_002), 7..9), (ms(9_000), 9..12)];
        assert_eq!(growths(found), [(ms(4_000), 6..9), (ms(9_000), 9..12)]);
        assert_eq!(growths([]), []);
    }
}
