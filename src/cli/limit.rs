//! `limit`: the highest rate at which a scenario's expectations hold.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::arguments::{ClientArguments, ScenarioArguments, quoted};
use super::compare::{plans, rendered, rounds};
use super::kept_rounds::KeptRounds;
use super::terminal::{print, start_logging};
use crate::base::{Leftovers, parse_rate};
use crate::broker::settings::ClientFile;
use crate::compare::{
    LIMIT_VERSION, LimitReport, LimitRuns, LimitSearch, RateOutcome, RoundObserver, SearchSettings,
    Variant, expectation_override, find_limit, fixed_stages, rate_override,
};
use crate::error::{Error, Exit};
use crate::plan::{Overrides, Plan};
use crate::run::listen;
use crate::scenario::{Diagnostic, Source};

/// Arguments of `limit`.
#[derive(Debug, Args)]
pub(super) struct LimitArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,

    #[command(flatten)]
    client: ClientArguments,

    /// What has to hold, besides the expectations of the scenario: `latency.p99 < 50ms`. Repeatable.
    #[arg(long, value_name = "EXPECTATION")]
    until: Vec<String>,

    /// Rounds at each rate: a rate holds if the expectations hold in every one.
    #[arg(long, value_name = "ROUNDS", allow_negative_numbers = true, value_parser = rounds, default_value_t = 3)]
    repeat: u64,

    /// The first rate that is tried, in messages per second of all producers. [default: that of the scenario]
    #[arg(long, value_name = "RATE", value_parser = per_second)]
    from: Option<f64>,

    /// The search ends when a rate that holds is this close to one that does not, as in `2%`.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "2%")]
    precision: f64,

    /// Most rates that are tried.
    #[arg(long, value_name = "COUNT", default_value_t = 24, value_parser = clap::value_parser!(u16).range(2..=60))]
    steps: u16,

    /// Format of the answer on stdout.
    #[arg(long, value_enum, default_value_t = LimitFormat::Text)]
    format: LimitFormat,

    /// Directory for the results of all rounds; must be new or empty. [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Allow `exec` faults to run their commands, and the scenario to set client properties that load code, run a
    /// command, open files or reach other servers; `check` shows them.
    #[arg(long)]
    allow_exec: bool,
}

/// Formats of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LimitFormat {
    /// A line for each rate, and the answer.
    Text,
    /// Everything, for programs.
    Json,
}

/// The effect of Ctrl-C, for the message at the first signal.
const ENDING: &str = "no further rate is tried; what is known by then is shown";

/// A rate from the command line: `3000/s`.
fn per_second(text: &str) -> Result<f64, String> {
    let rate = parse_rate(text).ok().filter(|rate| *rate > 0.0);
    rate.ok_or_else(|| "it is a rate of all producers, for example `3000/s`".to_owned())
}

/// A share from the command line: `2%` or `0.02`.
fn share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().map(|percent: f64| percent / 100.0),
        None => text.parse().ok(),
    };
    let share = number.filter(|share| (0.001..=0.5).contains(share));
    share.ok_or_else(|| "it is a share from 0.1% to 50%, for example `2%`".to_owned())
}

/// The first rate if the scenario has no rate, in messages per second.
const FIRST_RATE: f64 = 1_000.0;
/// The highest rate that is tried, in messages per second: more than a process can send.
const RATE_MAX: f64 = 50e6;

/// Searches, and prints each rate and the result.
pub(super) fn limit(arguments: &LimitArguments, verbose: u8) -> Result<Exit, Error> {
    start_logging(verbose, None);
    let until = arguments.until.iter().map(|text| expectation_override(text));
    let until: Vec<String> = until.collect::<Result<_, _>>().map_err(Error::Input)?;
    let set: Vec<String> = arguments.scenario.set().iter().chain(&until).cloned().collect();
    let source = arguments.scenario.source()?;
    let client = arguments.client.read()?;
    let overrides = arguments.scenario.overrides(arguments.client.allow_existing_topic);
    if let Some(why) = fixed_stages(&source, &set) {
        return Err(Error::Input(why));
    }
    let plan = planned(arguments, &source, &set, &overrides, &client)?;
    let is_text = arguments.format == LimitFormat::Text;
    if is_text {
        print(&heading(arguments, &plan))?;
    }
    let is_modelled = plan.broker.capability().is_modelled;
    let observers = |name: &str| -> Box<dyn RoundObserver> {
        Box::new(KeptRounds::new(arguments.out.clone(), vec![name.to_owned()], is_modelled))
    };
    let to_error = |variant: &Variant, diagnostics: &[Diagnostic]| {
        Error::Input(rendered(&source, variant, diagnostics))
    };
    let leftovers = Leftovers::default();
    let runs = LimitRuns {
        source: &source,
        set: &set,
        overrides: &overrides,
        client: &client,
        rounds: arguments.repeat as usize,
        interrupted: listen(ENDING, &leftovers),
        leftovers,
        observers: &observers,
        to_error: &to_error,
    };
    let settings = SearchSettings {
        from: arguments.from.or(plan.load.per_second()).unwrap_or(FIRST_RATE),
        most: RATE_MAX,
        precision: arguments.precision,
        steps: usize::from(arguments.steps),
    };
    let mut number = 0;
    let found = find_limit(&runs, settings, &mut |step| {
        number += 1;
        if is_text { print(&LimitReport::step_text(number, step)) } else { Ok(()) }
    })?;
    let report = report(arguments, &until, &plan, &found);
    print(&match arguments.format {
        LimitFormat::Text => report.answer(),
        LimitFormat::Json => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Error::Bug(error.to_string()))? + "\n"
        }
    })?;
    Ok(match (found.is_interrupted, report.holds, report.bounded_by) {
        (true, ..) => Exit::Interrupted,
        (false, Some(_), _) => Exit::Passed,
        (false, None, Some(RateOutcome::Invalid)) => Exit::Invalid,
        (false, None, _) => Exit::Failed,
    })
}

/// The plan of the scenario before any run. Settings without effect on the search cause a warning.
fn planned(
    arguments: &LimitArguments,
    source: &Source,
    set: &[String],
    overrides: &Overrides,
    client: &ClientFile,
) -> Result<Plan, Error> {
    let variant = Variant { name: "as it is written".to_owned(), overrides: set.to_vec() };
    let all = plans(source, &[variant], overrides, client, arguments.allow_exec, true)?;
    all.into_iter().next().ok_or_else(|| Error::Bug("the scenario has no plan".to_owned()))
}

fn heading(arguments: &LimitArguments, plan: &Plan) -> String {
    let rounds = if arguments.repeat == 1 { "round" } else { "rounds" };
    let own = plan.expectations.iter().filter(|it| !it.is_default);
    let own: Vec<&str> = own.map(|it| it.expression.as_str()).collect();
    let more = match own.as_slice() {
        [] => "consumers keep up and no record is lost".to_owned(),
        some => format!("{}, and consumers keep up", some.join(", ")),
    };
    format!(
        "SEARCH  {} on {}, {} {rounds} at each rate, for the highest rate at which\n  {more}\n",
        plan.name,
        plan.broker.kind(),
        arguments.repeat
    )
}

fn report(
    arguments: &LimitArguments,
    until: &[String],
    plan: &Plan,
    found: &LimitSearch,
) -> LimitReport {
    let search = &found.search;
    let mut notes = Vec::new();
    if search.is_cut_short() && !found.is_interrupted {
        notes.push("the search ended at its last step; allow more with `--steps`".to_owned());
    }
    if found.is_interrupted {
        notes.push("interrupted: the limit is between the two, or above".to_owned());
    }
    if !plan.broker.capability().timing_is_real {
        notes.push("times are those of the embedded mock cluster; measure with `--broker kafka --bootstrap HOST:PORT`".to_owned());
    }
    let command = search.holds().map(|rate| {
        let sets = arguments.scenario.set().iter().chain(until).cloned();
        let sets = sets.chain([rate_override(rate)]);
        let sets: String = sets.map(|set| format!(" --set {}", quoted(&set))).collect();
        arguments.scenario.command("run") + &sets
    });
    LimitReport {
        limit_version: LIMIT_VERSION,
        scenario: plan.name.clone(),
        broker: plan.broker.kind().to_string(),
        expectations: plan.expectations.iter().map(|it| it.expression.clone()).collect(),
        rounds: arguments.repeat as usize,
        steps: found.steps.clone(),
        holds: search.holds(),
        above: search.above().map(|(rate, _)| rate),
        bounded_by: search.above().map(|(_, outcome)| outcome),
        is_cut_short: search.is_cut_short(),
        command,
        notes,
    }
}
