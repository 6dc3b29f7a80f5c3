//! `sweep`: runs a scenario with every combination of some settings, and prints a row for each.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::arguments::{ClientArguments, ScenarioArguments};
use super::compare::{plans, rounds, run_variants};
use super::kept_rounds::KeptRounds;
use super::terminal::{print, start_logging};
use crate::compare::{
    Axis, Counts, NamedFigure, RoundSettings, RoundsDone, SWEEP_FIGURES, SweepTable, Variant,
    VariantRounds, combinations,
};
use crate::error::{Error, Exit};
use crate::plan::Plan;
use crate::scenario::closest;
use crate::summary::Figure;

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub(super) struct SweepArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,

    #[command(flatten)]
    client: ClientArguments,

    /// Rounds of each combination; intervals need 2 or more.
    #[arg(long, value_name = "ROUNDS", default_value_t = 1, allow_negative_numbers = true, value_parser = rounds)]
    repeat: u64,

    /// A figure that the table shows, as in `latency.p99`; `lanekeeper figures` lists all. Repeatable. [default: rate,
    /// latency and lag]
    #[arg(long, value_name = "FIGURE", value_parser = figure)]
    figure: Vec<String>,

    /// Format of the table on stdout.
    #[arg(long, value_enum, default_value_t = SweepFormat::Text)]
    format: SweepFormat,

    /// Directory for the results of all rounds; must be new or empty. [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Allow `exec` faults to run their commands, and the scenario to set client properties that load code, run a
    /// command, open files or reach other servers; `check` shows them.
    #[arg(long)]
    allow_exec: bool,
}

/// Formats of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SweepFormat {
    /// A table for people.
    Text,
    /// A line for each combination.
    Csv,
    /// Everything, for programs.
    Json,
}

/// The effect of Ctrl-C, for the message at the first signal.
const ENDING: &str = "no further run is begun; what was run is shown";

/// The name of a figure.
fn figure(text: &str) -> Result<String, String> {
    if NamedFigure::named(text).is_some() {
        return Ok(text.to_owned());
    }
    let names: Vec<String> = Figure::names().map(|(name, _)| name).collect();
    let near = closest(text, names.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| {
        let near = near.replacen("partition[]", "partition[*]", 1).replacen("[]", "[0]", 1);
        format!("; did you mean `{near}`?")
    });
    Err(format!("there is no figure `{text}`{near}"))
}

/// Runs every combination and prints the table.
pub(super) fn sweep(arguments: &SweepArguments, verbose: u8) -> Result<Exit, Error> {
    start_logging(verbose, None);
    let parsed = arguments.scenario.set().iter().map(|set| Axis::parse(set));
    let axes: Vec<Axis> = parsed.collect::<Result<_, _>>().map_err(Error::Input)?;
    let variants = combinations(&axes).map_err(Error::Input)?;
    let (plans, done) = run(arguments, &variants)?;
    let named: Vec<VariantRounds> = variants
        .iter()
        .zip(done.summaries)
        .map(|(variant, summaries)| VariantRounds {
            name: variant.name.clone(),
            overrides: variant.overrides.clone(),
            summaries,
        })
        .collect();
    if named.iter().all(|it| it.summaries.is_empty()) && done.is_interrupted {
        return Err(Error::Interrupted);
    }
    let names: Vec<&str> = match arguments.figure.as_slice() {
        [] => SWEEP_FIGURES.to_vec(),
        some => some.iter().map(String::as_str).collect(),
    };
    let figures: Vec<NamedFigure> =
        names.iter().filter_map(|name| NamedFigure::named(name)).collect();
    let mut table = SweepTable::new(&axes, &variants, &named, &figures, &done.invalid);
    table.notes = notes(&plans, done.is_interrupted);
    print(&match arguments.format {
        SweepFormat::Text => table.text(),
        SweepFormat::Csv => table.csv(),
        SweepFormat::Json => {
            let json = serde_json::to_string_pretty(&table);
            json.map_err(|error| Error::Bug(error.to_string()))? + "\n"
        }
    })?;
    Ok(match (done.is_interrupted, named.iter().all(|it| it.summaries.is_empty())) {
        (true, _) => Exit::Interrupted,
        (false, true) => Exit::Invalid,
        (false, false) => Exit::Passed,
    })
}

/// Remarks that apply to all rows.
fn notes(plans: &[Plan], is_interrupted: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if is_interrupted {
        notes.push("interrupted: combinations without rounds were not run".to_owned());
    }
    match plans.first().map(|plan| plan.broker.capability()) {
        Some(capability) if capability.is_modelled => notes.push(
            "simulated: times follow from the settings of `[sim]`, which are not fitted to a cluster".to_owned(),
        ),
        Some(capability) if !capability.timing_is_real => notes.push(
            "times are those of the embedded mock cluster; measure with `--broker kafka --bootstrap HOST:PORT`".to_owned(),
        ),
        _ => {}
    }
    notes
}

/// Plans all combinations, and then runs them.
fn run(arguments: &SweepArguments, variants: &[Variant]) -> Result<(Vec<Plan>, RoundsDone), Error> {
    let source = arguments.scenario.source()?;
    let overrides = arguments.scenario.overrides(arguments.client.allow_existing_topic);
    let client = arguments.client.read()?;
    let plans = plans(&source, variants, &overrides, &client, arguments.allow_exec, true)?;
    let is_modelled = plans.iter().all(|plan| plan.broker.capability().is_modelled);
    let settings = RoundSettings {
        rounds: arguments.repeat as usize,
        seed: plans.first().map_or(1, |plan| plan.seed.0),
        overrides,
        counts: Counts::EveryRun,
        warms_up: true,
    };
    let names = variants.iter().map(|variant| variant.name.clone()).collect();
    let observer = KeptRounds::new(arguments.out.clone(), names, is_modelled);
    let done = run_variants(&source, variants, &settings, &client, &observer, ENDING)?;
    Ok((plans, done))
}
