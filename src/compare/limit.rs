//! The highest rate at which a scenario's expectations hold: the runs of the search, and its report.

use std::fmt::Write;

use serde::Serialize;
use tokio::sync::watch;

use super::rate_search::{RateOutcome, RateSearch, SearchSettings};
use super::rounds::{Counts, RoundObserver, RoundSettings, ToError, run_rounds};
use super::variant::Variant;
use crate::base::{Leftovers, format_count};
use crate::broker::settings::ClientFile;
use crate::error::Error;
use crate::plan::{Overrides, Plan};
use crate::scenario::{Source, StageRate, read};
use crate::summary::{Summary, Verdict};

/// Version of the report's JSON. Raised when a field changes its meaning or goes away, not when one is added.
pub const LIMIT_VERSION: u32 = 1;

/// Makes the observer of the runs at a rate, from the name of the rate.
pub type Observers<'a> = &'a dyn Fn(&str) -> Box<dyn RoundObserver>;

/// The inputs that all runs of a search share.
pub struct LimitRuns<'a> {
    /// The scenario.
    pub source: &'a Source,
    /// Overrides at every rate, as `path=value`.
    pub set: &'a [String],
    /// Broker, addresses and seed from the command line.
    pub overrides: &'a Overrides,
    /// Client properties from outside the scenario.
    pub client: &'a ClientFile,
    /// Rounds at each rate.
    pub rounds: usize,
    /// Becomes true when the user ends the search.
    pub interrupted: watch::Receiver<bool>,
    /// The list of changes that runs have to undo.
    pub leftovers: Leftovers,
    /// Makes the observers of the runs.
    pub observers: Observers<'a>,
    /// Turns the diagnostics of a rate into an error.
    pub to_error: ToError<'a>,
}

/// The result at a rate.
#[derive(Clone, Debug, Serialize)]
pub struct LimitStep {
    /// Messages per second of all producers.
    pub rate: f64,
    /// The outcome of the rounds.
    pub outcome: RateOutcome,
    /// Rounds that were run and are valid.
    pub rounds: usize,
    /// The measured values of the expectations of scenario and search, in the round that decided.
    pub measured: Vec<String>,
    /// The expectations that fail in one of the rounds; for an INVALID rate the reasons.
    pub reasons: Vec<String>,
}

/// A search that has ended.
#[derive(Clone, Debug)]
pub struct LimitSearch {
    /// The results so far.
    pub search: RateSearch,
    /// All rates that were tried.
    pub steps: Vec<LimitStep>,
    /// True if the user has ended the search.
    pub is_interrupted: bool,
}

/// Runs the search. `told` is called after each rate.
///
/// # Errors
/// A rate without a plan, or a run without a summary.
pub fn find_limit(
    runs: &LimitRuns<'_>,
    settings: SearchSettings,
    told: &mut dyn FnMut(&LimitStep) -> Result<(), Error>,
) -> Result<LimitSearch, Error> {
    let mut search = RateSearch::new(settings);
    let mut steps = Vec::new();
    while let Some(rate) = search.next_rate() {
        let Some(step) = runs.at(rate, steps.is_empty())? else { break };
        search.note(rate, step.outcome);
        told(&step)?;
        steps.push(step);
    }
    Ok(LimitSearch { search, steps, is_interrupted: *runs.interrupted.borrow() })
}

impl LimitRuns<'_> {
    /// The overrides of the scenario at a rate.
    fn overrides_at(&self, rate: f64) -> Vec<String> {
        self.set.iter().cloned().chain([rate_override(rate)]).collect()
    }

    /// The rounds at a rate; `None` if the user has ended them. In virtual time all rounds are run. Otherwise they run
    /// one after another until one decides.
    fn at(&self, rate: f64, is_first: bool) -> Result<Option<LimitStep>, Error> {
        let name = format!("{} msg/s", shown(rate));
        let variant = Variant { name: name.clone(), overrides: self.overrides_at(rate) };
        let (plan, diagnostics) = variant.plan(self.source, self.overrides);
        let plan: Plan = plan.ok_or_else(|| (self.to_error)(&variant, &diagnostics))?;
        let at_once = if plan.broker.capability().is_modelled { self.rounds } else { 1 };
        let observer = (self.observers)(&name);
        let mut summaries: Vec<Summary> = Vec::new();
        while summaries.len() < self.rounds {
            let settings = RoundSettings {
                rounds: at_once,
                seed: plan.seed.0.saturating_add(summaries.len() as u64),
                overrides: self.overrides.clone(),
                counts: Counts::EveryRun,
                warms_up: is_first && summaries.is_empty(),
            };
            let done = run_rounds(
                self.source,
                std::slice::from_ref(&variant),
                &settings,
                self.client,
                self.interrupted.clone(),
                self.leftovers.clone(),
                &*observer,
                self.to_error,
            )?;
            if done.is_interrupted {
                return Ok(None);
            }
            let valid = done.summaries.into_iter().flatten();
            let before = summaries.len();
            summaries.extend(valid);
            if summaries.len() < before + at_once {
                let reasons = done.invalid.last().map(|it| it.reasons.clone()).unwrap_or_default();
                return Ok(Some(invalid(rate, summaries.len(), reasons)));
            }
            if summaries.iter().any(|it| it.verdict != Verdict::Passed) {
                break;
            }
        }
        Ok(Some(step(rate, &summaries)))
    }
}

/// The override that sets a rate.
pub fn rate_override(rate: f64) -> String {
    format!("load.rate_total={rate}/s")
}

fn invalid(rate: f64, rounds: usize, reasons: Vec<String>) -> LimitStep {
    LimitStep { rate, outcome: RateOutcome::Invalid, rounds, measured: Vec::new(), reasons }
}

fn step(rate: f64, summaries: &[Summary]) -> LimitStep {
    let failed = summaries.iter().find(|it| it.verdict != Verdict::Passed);
    let decisive = failed.or(summaries.last());
    let own = decisive.into_iter().flat_map(|it| &it.expectations).filter(|it| !it.is_default);
    let measured = own.map(|it| {
        let name = it.expression.split(' ').next().unwrap_or_default();
        format!("{name} {}", it.text.as_deref().unwrap_or("not measured"))
    });
    let broken = failed.into_iter().flat_map(|it| &it.expectations).filter(|it| !it.passed);
    let broken = broken.map(|it| {
        let text = it.text.clone().or(it.reason.clone());
        format!("{}: {}", it.expression, text.unwrap_or_default())
    });
    let given_up = failed.into_iter().flat_map(|it| &it.given_up);
    let given_up = given_up.map(|(id, reason)| format!("consumer {id} was given up: {reason}"));
    LimitStep {
        rate,
        outcome: if failed.is_some() { RateOutcome::Fails } else { RateOutcome::Holds },
        rounds: summaries.len(),
        measured: measured.collect(),
        reasons: broken.chain(given_up).collect(),
    }
}

/// The reason why a scenario has no limit to search for: its stages have absolute rates. `None` if it has.
pub fn fixed_stages(source: &Source, set: &[String]) -> Option<String> {
    let (scenario, _) = read(source, set);
    let is_fixed = |rate: &Option<crate::scenario::At<StageRate>>| {
        rate.as_ref().is_some_and(|at| matches!(at.value, StageRate::PerSecond(_)))
    };
    let stages = scenario.load.stage.as_ref().map_or(&[][..], |at| &at.value);
    let number = stages.iter().position(|stage| {
        let ramp = stage.value.ramp.as_ref().map(|ramp| &ramp.value);
        is_fixed(&stage.value.step)
            || is_fixed(&stage.value.spike)
            || ramp.is_some_and(|ramp| is_fixed(&ramp.from) || is_fixed(&ramp.to))
    })?;
    Some(format!(
        "`load.stage[{number}]` has a rate of its own, which does not follow the rate that is searched; write it as a \
         factor of the load's rate, for example `step = 1.5`"
    ))
}

/// `--until 'latency.p99 < 50ms'` as an override of `[expect]`.
///
/// # Errors
/// The text has no comparison. The error has a remedy.
pub fn expectation_override(text: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "`--until '{text}'` is no expectation: write a figure and a comparison, as in `--until 'latency.p99 < 50ms'`"
        )
    };
    let at = text.find(['<', '>', '=']).ok_or_else(wrong)?;
    let (name, bound) = (text[..at].trim(), text[at..].trim());
    if name.is_empty()
        || bound.trim_start_matches(['<', '>', '=']).trim().is_empty()
        || text.contains('"')
    {
        return Err(wrong());
    }
    let value = bound.strip_prefix('=').map(str::trim).filter(|it| matches!(*it, "true" | "false"));
    Ok(match value {
        Some(flag) => format!("expect.\"{name}\"={flag}"),
        None => format!("expect.\"{name}\"=\"{bound}\""),
    })
}

/// The result of a search.
#[derive(Clone, Debug, Serialize)]
pub struct LimitReport {
    /// Version of this format.
    pub limit_version: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Kind of broker.
    pub broker: String,
    /// The expectations.
    pub expectations: Vec<String>,
    /// Rounds at each rate.
    pub rounds: usize,
    /// Every rate that was tried, in order.
    pub steps: Vec<LimitStep>,
    /// The highest rate that holds, in messages per second of all producers; `null` if none does.
    pub holds: Option<f64>,
    /// The lowest rate that does not; `null` if every rate holds.
    pub above: Option<f64>,
    /// The outcome at `above`: `fails` or `invalid`; `null` without such a rate.
    pub bounded_by: Option<RateOutcome>,
    /// True if the number of steps ended the search before it reached its precision.
    pub is_cut_short: bool,
    /// The command that runs the highest rate that holds.
    pub command: Option<String>,
    /// Remarks for the reader.
    pub notes: Vec<String>,
}

impl LimitReport {
    /// A step as a line for a terminal.
    pub fn step_text(number: usize, step: &LimitStep) -> String {
        let word = match step.outcome {
            RateOutcome::Holds => "holds",
            RateOutcome::Fails => "fails",
            RateOutcome::Invalid => "INVALID",
        };
        let rate = shown(step.rate);
        let what = match step.outcome {
            RateOutcome::Holds => step.measured.join(", "),
            RateOutcome::Fails | RateOutcome::Invalid => step.reasons.join(", "),
        };
        format!("{number:>4}  {rate:>12} msg/s  {word:<8} {what}").trim_end().to_owned() + "\n"
    }

    /// The result for a terminal.
    pub fn answer(&self) -> String {
        let mut out = String::from("\n");
        let reason = self.steps.iter().rev().find(|it| Some(it.rate) == self.above);
        let reason = reason.map_or(String::new(), |step| step.reasons.join(", "));
        let _ = match (self.holds, self.above, self.bounded_by) {
            (Some(holds), Some(above), Some(RateOutcome::Invalid)) => writeln!(
                out,
                "LIMIT  at least {} msg/s: at {} msg/s the tester itself fell short, so the system may take more\n  {reason}",
                shown(holds),
                shown(above)
            ),
            (Some(holds), Some(above), _) => writeln!(
                out,
                "LIMIT  {} msg/s holds, {} msg/s does not ({reason})",
                shown(holds),
                shown(above)
            ),
            (Some(holds), None, _) => writeln!(
                out,
                "LIMIT  at least {} msg/s: no rate was tried that does not hold",
                shown(holds)
            ),
            (None, Some(above), _) => {
                writeln!(out, "LIMIT  no rate holds, down to {} msg/s ({reason})", shown(above))
            }
            (None, None, _) => writeln!(out, "LIMIT  no rate was tried"),
        };
        for note in &self.notes {
            let _ = writeln!(out, "  {note}");
        }
        if let Some(command) = &self.command {
            let _ = writeln!(out, "  run it: {command}");
        }
        out
    }
}

/// A rate; a whole number from 1,000 on has its thousands separated.
fn shown(rate: f64) -> String {
    match rate {
        rate if rate >= 1_000.0 && rate.fract() == 0.0 => format_count(rate as u64),
        rate => format!("{rate}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_hold_becomes_an_expectation() {
        for (text, set) in [
            ("latency.p99 < 50ms", "expect.\"latency.p99\"=\"< 50ms\""),
            ("partition[*].lag_max<=1000", "expect.\"partition[*].lag_max\"=\"<=1000\""),
            ("keeps_up = true", "expect.\"keeps_up\"=true"),
            ("lost = 0", "expect.\"lost\"=\"= 0\""),
        ] {
            assert_eq!(expectation_override(text).as_deref(), Ok(set));
        }
        for text in ["latency.p99", "< 50ms", "latency.p99 <", ""] {
            assert!(expectation_override(text).is_err_and(|it| it.contains("--until")), "{text}");
        }
    }

    #[test]
    fn the_answer_says_what_bounds_it() {
        let report = |holds, above, bounded_by| LimitReport {
            limit_version: LIMIT_VERSION,
            scenario: String::new(),
            broker: String::new(),
            expectations: Vec::new(),
            rounds: 3,
            steps: Vec::new(),
            holds,
            above,
            bounded_by,
            is_cut_short: false,
            command: None,
            notes: Vec::new(),
        };
        let fails = Some(RateOutcome::Fails);
        let text = report(Some(1_500.0), Some(1_530.5), fails).answer();
        assert!(text.contains("1,500 msg/s holds, 1530.5 msg/s does not"), "{text}");
        let text = report(Some(900.0), Some(950.0), Some(RateOutcome::Invalid)).answer();
        assert!(
            text.contains("at least 900 msg/s") && text.contains("the tester itself"),
            "{text}"
        );
        assert!(report(None, Some(0.02), fails).answer().contains("no rate holds"));
    }
}
