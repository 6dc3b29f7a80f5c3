//! The targets of a fault: translates a scenario's keys to the numbers of consumers, partitions, pools and brokers.

use std::fmt;

use serde_json::{Value as Json, json};

use crate::base::{ConsumerId, PartitionId, PoolId, Random};
use crate::reader::section::section;
use crate::reader::tree::{Kind, Node};
use crate::reader::value::{Value, ValueContext, wrong_type};
use crate::reader::{At, Diagnostic, Findings, GivenKey, Origin, codes};

section! {
    /// Random targets, drawn again for each repetition.
    RandomPick {
        /// Number of targets.
        random: u64 = required, 3;
    }
}

/// The targets of a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Pick {
    /// These targets, with the place of each number in the scenario.
    These(Vec<(u64, Origin)>),
    /// All targets.
    All,
    /// This number of targets, drawn from the seed.
    Random(At<u64>),
}

impl Value for Pick {
    fn wanted() -> String {
        "a number, a list of numbers, `\"all\"` or `{ random = 3 }`".to_owned()
    }

    fn schema() -> Json {
        json!({"anyOf": [
            u64::schema(),
            {"type": "array", "items": u64::schema(), "minItems": 1},
            {"const": "all"},
            RandomPick::schema(),
        ]})
    }

    fn read(node: &Node, place: ValueContext<'_>, out: &mut Vec<Diagnostic>) -> Option<Pick> {
        match &node.kind {
            Kind::Integer(_) => {
                u64::read(node, place, out).map(|one| Pick::These(vec![(one, node.origin)]))
            }
            Kind::Array(items) if !items.is_empty() => {
                let each = |item: &Node| u64::read(item, place, out).map(|one| (one, item.origin));
                items.iter().map(each).collect::<Option<_>>().map(Pick::These)
            }
            Kind::Text(text) if text == "all" => Some(Pick::All),
            Kind::Text(text) => {
                let message = format!("`{text}` is not a value of `{}`", place.path);
                out.push(
                    Diagnostic::error(codes::UNKNOWN_WORD, node.origin, message)
                        .remedy(format!("it is {}", Self::wanted())),
                );
                None
            }
            Kind::Array(_) => {
                let message = format!("`{}` names none: the list is empty", place.path);
                out.push(
                    Diagnostic::error(codes::WRONG_TYPE, node.origin, message)
                        .remedy(format!("write {}", Self::wanted())),
                );
                None
            }
            Kind::Table(_) => RandomPick::read(node, place, out)?.random.map(Pick::Random),
            _ => {
                out.push(wrong_type::<Pick>(node, place));
                None
            }
        }
    }
}

section! {
    /// Consumers.
    ConsumerAim {
        /// Consumers, from 0. In assigned mode they have their partition's number.
        consumer: Pick = required, 7;
    }
}

section! {
    /// Partitions.
    PartitionAim {
        /// Partitions, from 0.
        partition: Pick = required, 3;
    }
}

section! {
    /// Brokers.
    BrokerAim {
        /// Brokers, from 1.
        broker: Pick = required, 1;
    }
}

/// The number of possible targets of each kind.
#[derive(Clone, Copy, Debug)]
pub struct TargetCounts {
    /// Consumers or group members.
    pub consumers: u32,
    /// Partitions.
    pub partitions: u32,
    /// Producer pools.
    pub pools: u32,
    /// Brokers. Only known for the embedded and the simulated cluster.
    pub brokers: u32,
}

/// The set a fault picks its targets from.
#[derive(Clone, Debug)]
pub enum Aim {
    /// Consumers or group members.
    Consumers(Pick),
    /// Partitions.
    Partitions(Pick),
    /// Producer pools.
    Pools(Pick),
    /// Brokers.
    Brokers(Pick),
    /// This number of members that do not exist yet.
    New(u32),
    /// The cluster as a whole.
    Cluster,
}

impl Aim {
    /// The noun of the targets, the selection, the lowest number, and the count; `None` for targets without numbers.
    fn parts(&self, there: &TargetCounts) -> Option<(&'static str, &Pick, u32, u32)> {
        Some(match self {
            Aim::Consumers(pick) => ("consumer", pick, 0, there.consumers),
            Aim::Partitions(pick) => ("partition", pick, 0, there.partitions),
            Aim::Pools(pick) => ("pool", pick, 0, there.pools),
            Aim::Brokers(pick) => ("broker", pick, 1, there.brokers),
            Aim::New(_) | Aim::Cluster => return None,
        })
    }

    /// Checks that the selected targets exist, for a fault of this `kind` with this `verb`. Returns false and adds
    /// diagnostics to `found` otherwise.
    pub fn check(
        &self,
        kind: &str,
        verb: &str,
        there: &TargetCounts,
        found: &mut Findings,
    ) -> bool {
        let Some((noun, pick, lowest, count)) = self.parts(there) else {
            return true;
        };
        let highest = lowest + count.max(1) - 1;
        let numbers = match count {
            0 | 1 => format!("the only {noun} is number {lowest}"),
            _ => format!("{noun}s are numbered {lowest} to {highest}"),
        };
        let before = found.count_so_far();
        match pick {
            Pick::All => {}
            Pick::These(these) => {
                for (number, origin) in these {
                    if !(u64::from(lowest)..=u64::from(highest)).contains(number) {
                        let message = format!("there is no {noun} {number} to {verb}");
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
                let key = GivenKey::new(&*key, Some(how_many));
                found.count(key, 1, 1..=count.max(1), &reason);
            }
        }
        found.count_so_far() == before
    }

    /// The number of targets of each repetition.
    pub fn count(&self, there: &TargetCounts) -> u64 {
        match (self.parts(there), self) {
            (Some((_, pick, _, count)), _) => match pick {
                Pick::All => count.into(),
                Pick::These(these) => these.len() as u64,
                Pick::Random(how_many) => how_many.value,
            },
            (None, Aim::New(count)) => (*count).into(),
            (None, _) => 1,
        }
    }

    /// The targets of one repetition, in ascending order.
    pub fn draw(&self, there: &TargetCounts, random: &mut Random) -> Targets {
        let Some((_, pick, lowest, count)) = self.parts(there) else {
            return Targets::Cluster;
        };
        let numbers = numbers(pick, lowest, count, random);
        match self {
            Aim::Consumers(_) => Targets::Consumers(numbers.into_iter().map(ConsumerId).collect()),
            Aim::Partitions(_) => {
                Targets::Partitions(numbers.into_iter().map(PartitionId).collect())
            }
            Aim::Pools(_) => Targets::Pools(numbers.into_iter().map(PoolId).collect()),
            Aim::Brokers(_) => Targets::Brokers(numbers),
            Aim::New(_) | Aim::Cluster => Targets::Cluster,
        }
    }
}

fn are(count: u32, noun: &str) -> String {
    match count {
        1 => format!("is 1 {noun}"),
        _ => format!("are {count} {noun}s"),
    }
}

fn numbers(pick: &Pick, lowest: u32, count: u32, random: &mut Random) -> Vec<u32> {
    let mut numbers: Vec<u32> = match pick {
        Pick::All => (lowest..lowest + count).collect(),
        Pick::These(these) => these.iter().map(|(number, _)| *number as u32).collect(),
        Pick::Random(how_many) => {
            // The first steps of a Fisher-Yates shuffle: each choice is equally likely.
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

/// The targets of a fault, by number, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// Consumers or group members.
    Consumers(Vec<ConsumerId>),
    /// Partitions.
    Partitions(Vec<PartitionId>),
    /// Producer pools.
    Pools(Vec<PoolId>),
    /// Brokers, from 1.
    Brokers(Vec<u32>),
    /// The cluster as a whole.
    Cluster,
}

impl Targets {
    /// The consumers among them.
    pub fn consumers(&self) -> &[ConsumerId] {
        match self {
            Targets::Consumers(consumers) => consumers,
            _ => &[],
        }
    }

    /// The producer pools among them.
    pub fn pools(&self) -> &[PoolId] {
        match self {
            Targets::Pools(pools) => pools,
            _ => &[],
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Targets::Consumers(consumers) => list(f, "consumer", consumers),
            Targets::Partitions(partitions) => list(f, "partition", partitions),
            Targets::Pools(pools) => list(f, "pool", pools),
            Targets::Brokers(brokers) => list(f, "broker", brokers),
            Targets::Cluster => f.write_str("cluster"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, noun: &str, numbers: &[impl fmt::Display]) -> fmt::Result {
    let plural = if numbers.len() == 1 { "" } else { "s" };
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    write!(f, "{noun}{plural} {}", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seed;

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
