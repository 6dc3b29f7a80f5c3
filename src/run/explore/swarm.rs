//! Random faults: kinds, times and targets, all from one seed.
//!
//! Swarm testing (Groce et al., 2012): each seed allows a random subset of the kinds, so that some runs are nothing but
//! kills and others have a bit of everything. A fault that is always there can hide what another one would show.

use std::time::Duration;

use toml::{Table, Value};

use crate::base::{Random, Seed};
use crate::fault::{FaultDraw, Hits, KINDS, KindInfo};
use crate::plan::Plan;

/// What faults are drawn from.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    consumers: u32,
    pools: u32,
    brokers: u32,
    load_end: Duration,
    faults_max: u32,
}

/// A kind, and how it is drawn.
type Drawn = (&'static KindInfo, &'static FaultDraw);

/// What faults are drawn from: those of consumers, of pools, of brokers, of the cluster.
fn all_kinds() -> Vec<Drawn> {
    let of_kind = |kind: &'static KindInfo| kind.draws.iter().map(move |draw| (kind, draw));
    let mut all: Vec<Drawn> = KINDS.iter().flat_map(of_kind).collect();
    all.sort_by_key(|(_, draw)| draw.hits);
    all
}

/// Shortest and longest time a fault lasts; anything between is drawn evenly by its logarithm.
const LASTS_MS: (f64, f64) = (5.0, 4_000.0);
/// The same for what happens to brokers: long enough for others to be elected in their place.
const BROKER_LASTS_MS: (f64, f64) = (5.0, 15_000.0);

impl Swarm {
    pub(super) fn new(plan: &Plan, faults_max: u32) -> Swarm {
        Swarm {
            consumers: plan.members(),
            pools: plan.load.pools,
            brokers: plan.broker.brokers.unwrap_or(1),
            load_end: plan.times.load_end(),
            faults_max,
        }
    }

    /// The faults of a seed, in the order of their times: between one and the most there may be.
    pub(super) fn draw(&self, seed: Seed) -> Vec<Table> {
        let mut random = seed.child("swarm", 0).random();
        let all = all_kinds();
        let allowed = 1 + random.below((1 << all.len()) - 1);
        let mut kinds: Vec<Drawn> =
            (0..all.len()).filter(|kind| allowed & (1 << kind) != 0).map(|at| all[at]).collect();
        // What a killed pool had under way can be appended after what its successor sends if a broker held it up, on
        // Kafka as well: producers without a `transactional.id` are not fenced.
        if kinds.iter().any(|(_, draw)| draw.hits == Hits::Broker) {
            kinds.retain(|(kind, draw)| kind.ends.is_none() || draw.hits != Hits::Pool);
        }
        let count = 1 + random.below(u64::from(self.faults_max));
        // The last tenth is left for recovering.
        let span_ms = self.load_end.as_millis() as u64 * 9 / 10;
        let mut times_ms: Vec<u64> = (0..count).map(|_| random.below(span_ms.max(1))).collect();
        times_ms.sort_unstable();
        let fault = |at_ms| self.fault(at_ms, &kinds, &mut random);
        times_ms.into_iter().map(fault).collect()
    }

    fn fault(&self, at_ms: u64, kinds: &[Drawn], random: &mut Random) -> Table {
        let (kind, draw) = kinds[random.below(kinds.len() as u64) as usize];
        let mut fault = Table::new();
        fault.insert("at".to_owned(), ms(at_ms));
        let mut target = Table::new();
        let hit = match draw.hits {
            Hits::Consumer => Some(("consumer", 0, self.consumers)),
            Hits::Pool => Some(("pool", 0, self.pools)),
            Hits::Broker => Some(("broker", 1, self.brokers)),
            Hits::Cluster => None,
        };
        if let Some((noun, lowest, there)) = hit {
            target.insert(noun.to_owned(), targets_of(lowest, there, random));
        }
        (draw.settings)(&mut target, random);
        fault.insert(kind.name().to_owned(), Value::Table(target));
        if draw.lasts {
            let (least, most) = if draw.hits == Hits::Broker { BROKER_LASTS_MS } else { LASTS_MS };
            let span_ms = least * (most / least).powf(random.unit());
            fault.insert("for".to_owned(), ms(span_ms as u64));
        }
        fault
    }
}

/// Mostly one, sometimes several, now and then all.
fn targets_of(lowest: u32, there: u32, random: &mut Random) -> Value {
    let draw = |random: &mut Random| {
        Value::Integer(i64::from(lowest) + random.below(u64::from(there)) as i64)
    };
    let one = draw(random);
    match random.below(8) {
        0 if there > 1 => Value::String("all".to_owned()),
        1 | 2 if there > 1 => {
            let other = draw(random);
            Value::Array(if one == other { vec![one] } else { vec![one, other] })
        }
        _ => one,
    }
}

fn ms(number: u64) -> Value {
    Value::String(format!("{number}ms"))
}
