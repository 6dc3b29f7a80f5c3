//! One case: a scenario with a seed and faults, that can be run and written down.
//!
//! The smallest case that still breaks the same invariant.
//!
//! Smaller cases of the same failure: delta debugging over lists, and halving of numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::{Table, Value};

use super::settings::{Role, Setting, section};
use crate::error::Error;
use crate::plan::{Overrides, Plan, compile};
use crate::run::Options;
use crate::run::run;
use crate::scenario::{Diagnostic, Source};
use crate::summary::{METRICS, Summary};

/// How much a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CaseSize {
    /// Faults.
    pub faults: usize,
    /// Settings that were drawn.
    pub settings: usize,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Producers.
    pub producers: u32,
    /// How long the load lasts, warmup included.
    pub load: Duration,
}

/// What must hold in every run, whatever is broken in it: metrics that stay 0, each with what that means.
pub(super) fn zeros() -> impl Iterator<Item = (&'static str, &'static str)> {
    METRICS.iter().filter_map(|metric| Some((metric.name, metric.invariant?)))
}

/// What a run that ends with an error breaks: there are no figures then.
pub(super) const ENDS: (&str, &str) = ("error", "every run comes to its end");

/// A scenario with a seed, settings and faults.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) base: Table,
    pub(super) seed: u64,
    /// They lie over those of `base`.
    pub(super) settings: Vec<Setting>,
    pub(super) faults: Vec<Table>,
}

impl Case {
    /// The scenario `base`, with the invariants in the place of its expectations. Pauses of pools make records late on
    /// purpose, so lateness makes no run invalid here.
    pub(super) fn new(name: &str, mut base: Table) -> Case {
        let expected = zeros().map(|(figure, _)| (figure.to_owned(), Value::Integer(0)));
        base.insert("expect".to_owned(), Value::Table(expected.collect()));
        // Virtual time costs little, and what is only late is not lost.
        let drain = Value::String("10m".to_owned());
        let run = section(&mut base, "run");
        run.entry("drain".to_owned()).or_insert(drain.clone());
        run.entry("startup".to_owned()).or_insert(drain);
        let limits = section(&mut base, "limits");
        limits.insert("lateness_p99".to_owned(), Value::String("1h".to_owned()));
        limits.insert("sent_min".to_owned(), Value::Float(0.0));
        Case { name: name.to_owned(), base, seed: 0, settings: Vec::new(), faults: Vec::new() }
    }

    /// The same scenario with another seed, these settings, and no fault. What does not go with the scenario or with a
    /// setting before it is left out.
    pub(super) fn with_settings(&self, seed: u64, settings: Vec<Setting>) -> Case {
        let bare = Case { seed, settings: Vec::new(), faults: Vec::new(), ..self.clone() };
        let all = Case { settings, ..bare.clone() };
        if all.plan().is_ok() {
            return all;
        }
        let mut fitting = bare;
        for setting in all.settings {
            fitting.settings.push(setting);
            if fitting.plan().is_err() {
                fitting.settings.pop();
            }
        }
        fitting
    }

    /// The same scenario with another seed and other faults.
    pub(super) fn with(&self, seed: u64, faults: Vec<Table>) -> Case {
        Case { seed, faults, ..self.clone() }
    }

    /// The scenario file.
    pub(super) fn text(&self) -> String {
        let mut base = self.base.clone();
        base.remove("fault");
        self.settings.iter().for_each(|setting| setting.write(&mut base));
        section(&mut base, "run").insert("seed".to_owned(), Value::Integer(self.seed as i64));
        let mut text = base.to_string();
        for fault in &self.faults {
            text.push_str("\n[[fault]]\n");
            for (key, value) in fault {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        text
    }

    pub(super) fn plan(&self) -> Result<Plan, Vec<Diagnostic>> {
        let source = Source { name: self.name.clone(), text: self.text() };
        let overrides = Overrides {
            broker: Some(crate::base::BrokerKind::simulated()),
            ..Overrides::default()
        };
        match compile(&source, &[], &overrides) {
            (Some(plan), _) => Ok(plan),
            (None, diagnostics) => Err(diagnostics),
        }
    }

    /// A drawn scenario is never refused.
    fn accepted(&self) -> Result<Plan, Error> {
        self.plan().map_err(|diagnostics| {
            let messages = diagnostics.iter().filter(|found| found.is_error());
            let messages: Vec<_> = messages.map(|found| found.message.clone()).collect();
            Error::Bug(format!("a drawn scenario is refused: {}", messages.join("; ")))
        })
    }

    /// How much it is.
    pub(super) fn size(&self) -> Result<CaseSize, Error> {
        let plan = self.accepted()?;
        Ok(CaseSize {
            faults: self.faults.len(),
            settings: self.settings.len(),
            partitions: plan.topic.partitions,
            producers: plan.load.producers,
            load: plan.times.load_end(),
        })
    }

    /// Runs it in virtual time.
    pub(super) fn run(&self) -> Result<Summary, Error> {
        run(self.accepted()?, Options::default(), Box::new(()))
    }

    /// Whether `figure` is not zero when this runs.
    pub(super) fn breaks(&self, figure: &str) -> bool {
        self.plan().is_ok() && broken(&self.run()).iter().any(|broken| broken.figure == figure)
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The figure that is not zero.
    pub figure: &'static str,
    /// What should have held.
    pub meaning: &'static str,
    /// What was measured.
    pub measured: String,
}

/// The invariants that a run broke.
pub(super) fn broken(outcome: &Result<Summary, Error>) -> Vec<Broken> {
    let summary = match outcome {
        Ok(summary) => summary,
        Err(error) => {
            let (figure, meaning) = ENDS;
            return vec![Broken { figure, meaning, measured: error.to_string() }];
        }
    };
    let failed = summary.expectations.iter().filter(|expectation| !expectation.passed);
    failed
        .filter_map(|expectation| {
            let (named, _) = expectation.expression.split_once(' ')?;
            let (figure, meaning) = zeros().find(|(figure, _)| *figure == named)?;
            let measured = expectation.text.clone().unwrap_or_default();
            Some(Broken { figure, meaning, measured })
        })
        .collect()
}

/// Runs it may take.
const TRIES_MAX: usize = 600;
/// What a shorter run makes superfluous is found in another round; more than two rarely change anything.
const ROUNDS_MAX: usize = 5;

/// What is left of a case.
#[derive(Clone, Debug)]
pub(super) struct Smallest {
    pub(super) case: Case,
    /// Runs it took.
    pub(super) tries: usize,
    /// Whether nothing more can be left out: without any one of its faults the invariant holds.
    pub(super) is_minimal: bool,
}

/// Leaves out faults and settings, then shortens the run, takes producers and partitions away, shortens what faults last
/// and brings settings nearer to their defaults; again from the begin, until nothing changes any more or `go_on`, which hears how many runs there were, says no.
pub(super) fn smaller(case: &Case, figure: &str, go_on: &mut dyn FnMut(usize) -> bool) -> Smallest {
    let case = case.clone();
    let mut search =
        Search { case, figure, go_on, known: BTreeMap::new(), tries: 0, is_cut: false };
    for round in 1.. {
        search.leave_out_faults();
        search.leave_out_settings();
        let before = search.case.text();
        if round > ROUNDS_MAX {
            break;
        }
        search.take_away();
        search.shorten_faults();
        search.bring_settings_nearer();
        if search.case.text() == before {
            break;
        }
    }
    Smallest { case: search.case, tries: search.tries, is_minimal: !search.is_cut }
}

struct Search<'a> {
    /// The smallest one that breaks it so far.
    case: Case,
    figure: &'a str,
    go_on: &'a mut dyn FnMut(usize) -> bool,
    /// What has been tried already.
    known: BTreeMap<String, bool>,
    tries: usize,
    /// Whether something was not tried any more.
    is_cut: bool,
}

impl Search<'_> {
    fn breaks(&mut self, case: &Case) -> bool {
        let text = case.text();
        if let Some(breaks) = self.known.get(&text) {
            return *breaks;
        }
        self.is_cut |= self.tries == TRIES_MAX || !(self.go_on)(self.tries);
        if self.is_cut {
            return false;
        }
        self.tries += 1;
        let breaks = case.breaks(self.figure);
        self.known.insert(text, breaks);
        breaks
    }

    fn leave_out_faults(&mut self) {
        let case = self.case.clone();
        let with = |faults: &[Table]| case.with(case.seed, faults.to_vec());
        // What is known already takes no run, so the limit that counts is that of `breaks`.
        let shrunk = shrink_list(&case.faults, usize::MAX, |faults| self.breaks(&with(faults)));
        self.case = with(&shrunk.items);
    }

    fn take_away(&mut self) {
        let Ok(plan) = self.case.plan() else { return };
        let numbers = [
            ("run", "duration", plan.times.duration.as_secs(), Unit::Seconds),
            ("load", "producers", u64::from(plan.load.producers), Unit::Count),
            ("topic", "partitions", u64::from(plan.topic.partitions), Unit::Count),
        ];
        for (name, key, value, unit) in numbers {
            self.lessen(value, |case, number| {
                case.settings.retain(|one| (one.key.section, one.key.name) != (name, key));
                section(&mut case.base, name).insert(key.to_owned(), unit.value(number));
            });
        }
    }

    /// What is left out is what the scenario says, or the default.
    fn leave_out_settings(&mut self) {
        let case = self.case.clone();
        let is_size = |setting: &&Setting| setting.key.role == Role::Size;
        let sizes: Vec<Setting> = case.settings.iter().filter(is_size).cloned().collect();
        let others: Vec<Setting> =
            case.settings.iter().filter(|one| !is_size(one)).cloned().collect();
        let with = |others: &[Setting]| {
            let settings = sizes.iter().chain(others).cloned().collect();
            Case { settings, ..case.clone() }
        };
        let shrunk = shrink_list(&others, usize::MAX, |others| self.breaks(&with(others)));
        self.case = with(&shrunk.items);
    }

    fn bring_settings_nearer(&mut self) {
        for place in 0..self.case.settings.len() {
            let Some((distance, nearer)) = self.case.settings[place].distance() else { continue };
            if self.case.settings[place].key.role != Role::Size {
                self.lessen(distance, |case, number| case.settings[place] = nearer(number));
            }
        }
    }

    fn shorten_faults(&mut self) {
        for place in 0..self.case.faults.len() {
            let lasts = self.case.faults[place].get("for").and_then(Value::as_str);
            let ms = lasts.and_then(|text| text.strip_suffix("ms")?.parse().ok());
            let Some(ms) = ms else { continue };
            self.lessen(ms, |case, number| {
                case.faults[place].insert("for".to_owned(), Unit::Milliseconds.value(number));
            });
        }
    }

    /// Makes a number of the case as small as it can.
    fn lessen(&mut self, value: u64, set: impl Fn(&mut Case, u64)) {
        let case = self.case.clone();
        let with = |number| {
            let mut changed = case.clone();
            set(&mut changed, number);
            changed
        };
        let least = shrink_number(1, value, |number| self.breaks(&with(number)));
        if least < value {
            self.case = with(least);
        }
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
    Count,
}

impl Unit {
    fn value(self, number: u64) -> Value {
        match self {
            Unit::Seconds => Value::String(format!("{number}s")),
            Unit::Milliseconds => Value::String(format!("{number}ms")),
            Unit::Count => Value::Integer(number as i64),
        }
    }
}

/// A smaller list that still fails, and what it took to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shrunk<T> {
    /// What is left, in its old order.
    pub(super) items: Vec<T>,
    /// How many lists were tried.
    pub(super) tries: usize,
}

/// Leaves out as much of `items` as it can while `fails` holds for the rest: the algorithm *ddmin* of Zeller and
/// Hildebrandt (Simplifying and Isolating Failure-Inducing Input, 2002). Unless `tries_max` ends it, leaving out any
/// single item of the result would make it pass.
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

/// The smallest number from `least` to `value` that `fails` holds for, if failing is monotonous; in any case one that
/// it holds for, given that it does for `value`.
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
