//! The smallest case that still breaks the same invariant.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::case::Case;
use super::settings::{Role, Setting, section};
use super::shrink::{shrink_list, shrink_number};

/// Largest number of runs.
const TRIES_MAX: usize = 600;
/// Largest number of rounds. A shorter run makes faults superfluous, which the next round finds. More than two rounds
/// rarely change anything.
const ROUNDS_MAX: usize = 5;

/// A case that was made smaller.
#[derive(Clone, Debug)]
pub(super) struct MinimalCase {
    pub(super) case: Case,
    /// Number of runs.
    pub(super) tries: usize,
    /// True if the search was not cut short: without any one of its faults the invariant holds.
    pub(super) is_minimal: bool,
}

/// Makes a case smaller while it breaks `figure`. Each round leaves out faults and settings, shortens the run, removes
/// producers and partitions, shortens faults, and moves settings towards their defaults. The rounds end when nothing
/// changes any more, or when `go_on` returns false. Its argument is the number of runs so far.
pub(super) fn smaller(
    case: &Case,
    figure: &str,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> MinimalCase {
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
    MinimalCase { case: search.case, tries: search.tries, is_minimal: !search.is_cut }
}

struct Search<'a> {
    /// The smallest case so far that breaks the invariant.
    case: Case,
    figure: &'a str,
    go_on: &'a mut dyn FnMut(usize) -> bool,
    /// Results of earlier runs, by the text of the case.
    known: BTreeMap<String, bool>,
    tries: usize,
    /// True if a limit or `go_on` has ended the search.
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
        // Known cases need no run, so the only limit is that of `breaks`.
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

    /// Leaves out drawn settings except sizes. Without one, the scenario's value or the default applies.
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

    /// Reduces a number of the case as far as the case still breaks the invariant.
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
