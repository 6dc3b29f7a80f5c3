//! The share of a process in a run by several processes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{PartitionId, PoolId};

/// Largest number of processes of a run. Each waits for all others.
pub const SHARES_MAX: u32 = 100;

/// The number of this process among the processes of a run.
///
/// Partitions and pools are divided by their ids: share `number` of `count` has those with `id % count == number - 1`.
/// The run has `count` times the pools of one process, so producers are divided equally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share {
    /// Number of the share, from 1 on.
    pub number: u32,
    /// Number of shares.
    pub count: u32,
}

impl Share {
    /// True for the share that creates the topics, decides the start and deletes the topics.
    pub fn is_first(self) -> bool {
        self.number == 1
    }

    /// True if the consumer of `partition` is in this share.
    pub fn reads(self, partition: PartitionId) -> bool {
        partition.0 % self.count == self.number - 1
    }

    /// True if `pool` is in this share.
    pub fn has_pool(self, pool: PoolId) -> bool {
        pool.0 % self.count == self.number - 1
    }

    /// All shares of a run with `count` of them.
    pub fn all(count: u32) -> impl Iterator<Item = Share> {
        (1..=count).map(move |number| Share { number, count })
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, count)| Some((sum(number)?, count.parse::<u32>().ok()?)));
        let Some((number, count)) = numbers else {
            return Err("write `NUMBER/COUNT`, as in `2/4` for the second of four processes, or \
                        `INDEX+1/COUNT` where they are counted from 0"
                .into());
        };
        if !(1..=SHARES_MAX).contains(&count) {
            return Err(format!("a run has from 1 to {SHARES_MAX} processes"));
        }
        if !(1..=count).contains(&number) {
            return Err(format!(
                "the processes of {count} are numbered from 1/{count} to {count}/{count}"
            ));
        }
        Ok(Share { number, count })
    }
}

/// A number, or the sum of two numbers with a plus between them. Job schedulers count from 0, and arguments cannot be
/// computed there.
fn sum(text: &str) -> Option<u32> {
    match text.split_once('+') {
        None => text.parse().ok(),
        Some((index, more)) => index.parse::<u32>().ok()?.checked_add(more.parse::<u32>().ok()?),
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_and_each_pool_is_in_exactly_one_share() {
        for count in 1..=9 {
            for id in 0..40 {
                let reading = Share::all(count).filter(|share| share.reads(PartitionId(id)));
                assert_eq!(reading.count(), 1, "partition {id} of {count}");
                let having = Share::all(count).filter(|share| share.has_pool(PoolId(id)));
                assert_eq!(having.count(), 1, "pool {id} of {count}");
            }
        }
    }

    #[test]
    fn a_share_is_written_as_it_is_read_and_mistakes_are_told() {
        assert_eq!("2/4".parse(), Ok(Share { number: 2, count: 4 }));
        assert_eq!(Share { number: 2, count: 4 }.to_string(), "2/4");
        assert_eq!("0+1/4".parse(), Ok(Share { number: 1, count: 4 }));
        assert_eq!("3+1/4".parse(), Ok(Share { number: 4, count: 4 }));
        for (text, said) in [
            ("4+1/4", "from 1/4 to 4/4"),
            ("4294967295+1/4", "write `NUMBER/COUNT`"),
            ("1+1+1/4", "write `NUMBER/COUNT`"),
            ("+1/4", "`INDEX+1/COUNT`"),
            ("2", "write `NUMBER/COUNT`"),
            ("a/4", "write `NUMBER/COUNT`"),
            ("0/4", "from 1/4 to 4/4"),
            ("5/4", "from 1/4 to 4/4"),
            ("1/0", "from 1 to 100 processes"),
            ("1/101", "from 1 to 100 processes"),
        ] {
            let refused = text.parse::<Share>().expect_err(text);
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
