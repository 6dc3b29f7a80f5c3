//! The smallest case that still breaks the same invariant.

use toml::{Table, Value};

use super::case::{Case, section};
use crate::logic::{shrink_list, shrink_number};

/// Runs it may take to leave faults out.
const TRIES_MAX: usize = 400;

/// Leaves out faults, then shortens the run, then takes producers and partitions away. Returns the case and how many
/// runs that took.
pub(super) fn smaller(case: &Case, figure: &str) -> (Case, usize) {
    let with = |faults: &[Table]| case.with(case.seed, faults.to_vec());
    let shrunk = shrink_list(&case.faults, TRIES_MAX, |faults| with(faults).breaks(figure));
    let mut tries = shrunk.tries;
    let mut case = with(&shrunk.items);
    let Ok(plan) = case.plan() else { return (case, tries) };
    let seconds = plan.times.duration.as_secs();
    let numbers = [
        ("run", "duration", seconds, Unit::Seconds),
        ("load", "producers", u64::from(plan.load.producers), Unit::Count),
        ("topic", "partitions", u64::from(plan.topic.partitions), Unit::Count),
    ];
    for (name, key, value, unit) in numbers {
        let set = |number: u64| {
            let mut changed = case.clone();
            section(&mut changed.base, name).insert(key.to_owned(), unit.value(number));
            changed
        };
        let least = shrink_number(1, value, |number| {
            tries += 1;
            set(number).breaks(figure)
        });
        if least < value {
            case = set(least);
        }
    }
    (case, tries)
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Count,
}

impl Unit {
    fn value(self, number: u64) -> Value {
        match self {
            Unit::Seconds => Value::String(format!("{number}s")),
            Unit::Count => Value::Integer(number as i64),
        }
    }
}
