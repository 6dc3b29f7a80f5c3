//! The targets of a fault: from the scenario's words to the numbers of consumers, partitions, pools and brokers.

use crate::base::{ConsumerId, PartitionId, PoolId, Random};
use crate::plan::Targets;
use crate::reader::Findings;
use crate::reader::GivenKey;
use crate::scenario::{At, Diagnostic, Pick, codes};

/// How many there are to hit.
pub(super) struct There {
    pub(super) consumers: u32,
    pub(super) partitions: u32,
    pub(super) pools: u32,
    /// Known of the embedded and the simulated cluster only.
    pub(super) brokers: u32,
}

/// The set a fault picks its targets from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim<'a> {
    Consumers(&'a At<Pick>),
    Partitions(&'a At<Pick>),
    Pools(&'a At<Pick>),
    Brokers(&'a At<Pick>),
    /// This number of members that do not exist yet.
    New(u32),
    Cluster,
}

impl<'a> Aim<'a> {
    /// What they are called, who is meant, the lowest number there is, and how many there are.
    fn parts(self, there: &There) -> Option<(&'static str, &'a At<Pick>, u32, u32)> {
        Some(match self {
            Aim::Consumers(pick) => ("consumer", pick, 0, there.consumers),
            Aim::Partitions(pick) => ("partition", pick, 0, there.partitions),
            Aim::Pools(pick) => ("pool", pick, 0, there.pools),
            Aim::Brokers(pick) => ("broker", pick, 1, there.brokers),
            Aim::New(_) | Aim::Cluster => return None,
        })
    }
}

/// Whether everyone who is meant is there.
pub(super) fn check(kind: &str, aim: Aim<'_>, there: &There, found: &mut Findings) -> bool {
    let Some((noun, pick, lowest, count)) = aim.parts(there) else {
        return true;
    };
    let highest = lowest + count.max(1) - 1;
    let numbers = match count {
        0 | 1 => format!("the only {noun} is number {lowest}"),
        _ => format!("{noun}s are numbered {lowest} to {highest}"),
    };
    let before = found.count_so_far();
    match &pick.value {
        Pick::All => {}
        Pick::These(these) => {
            for (number, origin) in these {
                if !(u64::from(lowest)..=u64::from(highest)).contains(number) {
                    let message = format!("there is no {noun} {number} to {}", verb(kind));
                    found.push(
                        Diagnostic::error(codes::NO_SUCH_MEMBER, *origin, message)
                            .remedy(numbers.clone()),
                    );
                }
            }
        }
        Pick::Random(how_many) => {
            let key = format!("{kind}.{noun}.random");
            let reason = format!("there {} to choose from", are(count, noun));
            found.count(GivenKey::new(&*key, Some(how_many)), 1, 1..=count.max(1), &reason);
        }
    }
    found.count_so_far() == before
}

fn are(count: u32, noun: &str) -> String {
    match count {
        1 => format!("is 1 {noun}"),
        _ => format!("are {count} {noun}s"),
    }
}

fn verb(kind: &str) -> &str {
    match kind {
        "late_close" => "close late",
        "crash_loop" => "crash",
        "produce_call" | "fetch_call" => "trouble",
        "slow" | "broker_rtt" | "slow_disk" => "slow down",
        "broker_pause" => "pause",
        "second_owner" => "give to a second process",
        "link" | "link_cut" | "link_reset" | "half_open" => "cut off",
        "broker_down" => "take away",
        "delete_records" => "delete records of",
        kind => kind,
    }
}

/// How many it hits each time.
pub(super) fn count(aim: Aim<'_>, there: &There) -> u64 {
    match (aim.parts(there), aim) {
        (Some((_, pick, _, count)), _) => match &pick.value {
            Pick::All => count.into(),
            Pick::These(these) => these.len() as u64,
            Pick::Random(how_many) => how_many.value,
        },
        (None, Aim::New(count)) => count.into(),
        (None, _) => 1,
    }
}

/// Those it hits this time, in ascending order.
pub(super) fn draw(aim: Aim<'_>, there: &There, random: &mut Random) -> Targets {
    let Some((_, pick, lowest, count)) = aim.parts(there) else {
        return Targets::Cluster;
    };
    let numbers = numbers(&pick.value, lowest, count, random);
    match aim {
        Aim::Consumers(_) => Targets::Consumers(numbers.into_iter().map(ConsumerId).collect()),
        Aim::Partitions(_) => Targets::Partitions(numbers.into_iter().map(PartitionId).collect()),
        Aim::Pools(_) => Targets::Pools(numbers.into_iter().map(PoolId).collect()),
        Aim::Brokers(_) => Targets::Brokers(numbers),
        Aim::New(_) | Aim::Cluster => Targets::Cluster,
    }
}

fn numbers(pick: &Pick, lowest: u32, count: u32, random: &mut Random) -> Vec<u32> {
    let mut numbers: Vec<u32> = match pick {
        Pick::All => (lowest..lowest + count).collect(),
        Pick::These(these) => these.iter().map(|(number, _)| *number as u32).collect(),
        Pick::Random(how_many) => {
            // The first steps of a shuffle (Fisher and Yates): each choice is as likely as any other.
            let mut all: Vec<u32> = (lowest..lowest + count).collect();
            let wanted = (how_many.value as usize).min(all.len());
            for i in 0..wanted {
                let left = (all.len() - i) as u64;
                all.swap(i, i + random.below(left) as usize);
            }
            all.truncate(wanted);
            all
        }
    };
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;
    use crate::scenario::Origin;

    #[test]
    fn a_random_pick_hits_different_ones_and_everyone_in_the_end() {
        let at = |value| At { value, origin: Origin::WholeFile, key: Origin::WholeFile };
        let pick = Pick::Random(at(3));
        let mut seen = std::collections::BTreeSet::new();
        let mut random = Seed(1).random();
        for _ in 0..100 {
            let drawn = numbers(&pick, 0, 18, &mut random);
            assert!(drawn.len() == 3 && drawn.is_sorted() && drawn[2] < 18, "{drawn:?}");
            seen.extend(drawn);
        }
        assert_eq!(seen.len(), 18);
    }
}
