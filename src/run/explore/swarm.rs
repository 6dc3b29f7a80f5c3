//! Random faults: which, when and whom, all from one seed.
//!
//! Swarm testing (Groce et al., 2012): each seed allows a random subset of the kinds, so that some runs are nothing but
//! kills and others have a bit of everything. A fault that is always there can hide what another one would show.

use std::time::Duration;

use toml::{Table, Value};

use crate::base::{Random, Seed};
use crate::plan::Plan;

/// What faults are drawn from.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    consumers: u32,
    pools: u32,
    load_end: Duration,
    faults_max: u32,
}

/// Whom a kind hits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    Consumer,
    Pool,
}

/// A kind, whom it hits, and whether it lasts.
const KINDS: [(&str, Aim, bool); 9] = [
    ("kill", Aim::Consumer, false),
    ("panic", Aim::Consumer, false),
    ("stop", Aim::Consumer, false),
    ("hang", Aim::Consumer, true),
    ("stall", Aim::Consumer, true),
    ("slow", Aim::Consumer, true),
    ("late_close", Aim::Consumer, true),
    ("kill", Aim::Pool, false),
    ("pause", Aim::Pool, true),
];

/// Shortest and longest time a fault lasts; anything between is drawn evenly by its logarithm.
const LASTS_MS: (f64, f64) = (5.0, 4_000.0);

impl Swarm {
    pub(super) fn new(plan: &Plan, faults_max: u32) -> Swarm {
        Swarm {
            consumers: plan.members(),
            pools: plan.load.pools,
            load_end: plan.times.load_end(),
            faults_max,
        }
    }

    /// The faults of a seed, in the order of their times: between one and the most there may be.
    pub(super) fn draw(&self, seed: Seed) -> Vec<Table> {
        let mut random = seed.child("swarm", 0).random();
        let allowed = 1 + random.below((1 << KINDS.len()) - 1);
        let kinds: Vec<_> = (0..KINDS.len())
            .filter(|kind| allowed & (1 << kind) != 0)
            .map(|at| KINDS[at])
            .collect();
        let count = 1 + random.below(u64::from(self.faults_max));
        // The last tenth is left for recovering.
        let span_ms = self.load_end.as_millis() as u64 * 9 / 10;
        let mut times_ms: Vec<u64> = (0..count).map(|_| random.below(span_ms.max(1))).collect();
        times_ms.sort_unstable();
        let fault = |at_ms| self.fault(at_ms, &kinds, &mut random);
        times_ms.into_iter().map(fault).collect()
    }

    fn fault(&self, at_ms: u64, kinds: &[(&str, Aim, bool)], random: &mut Random) -> Table {
        let (kind, aim, lasts) = kinds[random.below(kinds.len() as u64) as usize];
        let mut fault = Table::new();
        fault.insert("at".to_owned(), ms(at_ms));
        let mut target = Table::new();
        let (noun, there) = match aim {
            Aim::Consumer => ("consumer", self.consumers),
            Aim::Pool => ("pool", self.pools),
        };
        target.insert(noun.to_owned(), whom(there, random));
        if kind == "slow" {
            target.insert("add".to_owned(), ms(1 + random.below(20)));
        }
        fault.insert(kind.to_owned(), Value::Table(target));
        if lasts {
            let (least, most) = LASTS_MS;
            let span_ms = least * (most / least).powf(random.unit());
            fault.insert("for".to_owned(), ms(span_ms as u64));
        }
        fault
    }
}

/// Mostly one, sometimes several, now and then everybody.
fn whom(there: u32, random: &mut Random) -> Value {
    let one = Value::Integer(random.below(u64::from(there)) as i64);
    match random.below(8) {
        0 if there > 1 => Value::String("all".to_owned()),
        1 | 2 if there > 1 => {
            let other = Value::Integer(random.below(u64::from(there)) as i64);
            Value::Array(if one == other { vec![one] } else { vec![one, other] })
        }
        _ => one,
    }
}

fn ms(number: u64) -> Value {
    Value::String(format!("{number}ms"))
}
