//! `compare`: variants of a scenario, or stored results, side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::arguments::{ClientArguments, broker_kinds, client_kinds, render, source, whole};
use super::heal::require_healed;
use super::kept_rounds::{ComparisonPlan, KeptRounds};
use super::outputs::PageArguments;
use super::run::consented;
use super::stored_variants::{StoredVariant, stored};
use super::terminal::{print, start_logging, tell};
use crate::base::{BrokerKind, ClientKind, Leftovers, Seed, printable_path};
use crate::broker::refusals;
use crate::broker::settings::ClientFile;
use crate::compare::guide::{
    Advice, Assigning, Condition, SetUpRounds, Situation, advice, advice_lines,
};
use crate::compare::{
    Counts, InvalidRun, REPEATS_MAX, RegressionRule, RoundObserver, RoundSettings, RoundsDone,
    SideBySide, Variant, VariantRounds, comparison_page, not_comparable, regressions, run_rounds,
    sentence, setting_rows, settings, side_by_side, text,
};
use crate::error::{Error, Exit};
use crate::plan::{Overrides, Plan};
use crate::run::{RESULTS, listen};
use crate::scenario::{Diagnostic, Source};

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArguments {
    /// The scenario file, or two and more directories with results. Directories with results in a directory are the
    /// rounds of one variant.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,

    /// Variants, as in `--variants group:8,group:18,assign`; the first one is what the others are compared with.
    /// [default: every `[[variant]]` of the scenario]
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    variants: Vec<String>,

    /// Rounds: each variant runs once in each round.
    #[arg(long, value_name = "ROUNDS", default_value_t = 5, allow_negative_numbers = true, value_parser = rounds)]
    repeat: u64,

    /// Cluster to use; `kafka` needs --bootstrap. [default: embedded, or kafka if --bootstrap is given]
    #[arg(long, value_parser = broker_kinds(|_| true))]
    broker: Option<BrokerKind>,

    /// The client library.
    #[arg(long = "client", value_parser = client_kinds(), default_value_t = ClientKind::of_this_build())]
    library: ClientKind,

    /// Addresses of the cluster, `host:port[,host:port…]`.
    #[arg(long, value_name = "ADDRESSES")]
    bootstrap: Option<String>,

    /// Seed of the first round; the others follow it. [default: `run.seed`]
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(0, text))]
    seed: Option<u64>,

    /// Override a value of the scenario in every variant, as in `--set run.duration=10s`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    client: ClientArguments,

    /// Show every figure, not only the most important ones.
    #[arg(long)]
    all: bool,

    /// Compare even if load, faults or broker are not the same.
    #[arg(long)]
    allow_different: bool,

    /// Exit with 1 if a figure of a variant is worse than that of the first one, as in `latency.p99`, `latency.p99:10%`
    /// or `fault[0].recovery:1s`. Repeatable.
    #[arg(long, value_name = "METRIC[:THRESHOLD]", value_parser = RegressionRule::parse)]
    fail_on_regression: Vec<RegressionRule>,

    /// Directory for the results of all rounds: new or empty, or that of the same comparison, which then continues after
    /// an interruption. [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Allow `exec` faults to run their commands, and the scenario to set client properties that load code, run a
    /// command, open files or reach other servers; `check` shows them.
    #[arg(long)]
    allow_exec: bool,

    /// Format of the comparison on stdout.
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Text)]
    format: ComparisonFormat,

    #[command(flatten)]
    page: PageArguments,
}

/// Formats of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ComparisonFormat {
    /// Tables for people.
    Text,
    /// Everything, for programs.
    Json,
}

/// Largest number of rounds of a comparison.
const ROUNDS_MAX: u64 = 1_000;

/// A number of rounds.
pub(super) fn rounds(text: &str) -> Result<u64, String> {
    let rounds = text.parse().ok().filter(|rounds| (1..=ROUNDS_MAX).contains(rounds));
    rounds.ok_or_else(|| {
        format!("it is a number of rounds from 1 to {ROUNDS_MAX}; intervals need 2 rounds or more, and 3 are a good start")
    })
}

/// The effect of Ctrl-C, for the message at the first signal.
const ENDING: &str = "no further run is begun; complete rounds are compared";

/// The rounds of each variant, and its settings.
struct Compared {
    variants: Vec<VariantRounds>,
    settings: Vec<BTreeMap<String, String>>,
    invalid: Vec<String>,
    is_paired: bool,
    is_interrupted: bool,
}

/// Compares and prints, and returns an exit code that includes regressions.
pub(super) fn compare(arguments: &CompareArguments, verbose: u8) -> Result<Exit, Error> {
    start_logging(verbose, None);
    arguments.page.check()?;
    let is_stored = arguments.paths.iter().all(|path| path.is_dir());
    let compared = match (arguments.paths.as_slice(), is_stored) {
        ([one], true) => {
            return Err(Error::Input(format!(
                "`{}` is one directory; give at least two, or a scenario file with `--variants group:8,assign`",
                printable_path(one)
            )));
        }
        (_, true) => of_directories(arguments)?,
        ([_], false) => of_scenario(arguments)?,
        _ => {
            return Err(Error::Input(
                "give one scenario file, or two and more directories with results".to_owned(),
            ));
        }
    };
    if compared.variants.iter().any(|variant| variant.summaries.is_empty()) {
        if compared.is_interrupted {
            return Err(Error::Interrupted);
        }
        tell(&format!("no round is valid in all variants:\n  {}", compared.invalid.join("\n  ")));
        return Ok(Exit::Invalid);
    }
    let side_by_side = judged(arguments, &compared)?;
    let comparison = Comparison { advice: advice_of(&compared), compared: side_by_side };
    show(arguments, &comparison)?;
    let Comparison { compared: side_by_side, advice } = comparison;
    arguments.page.write(|| comparison_page(&side_by_side, &advice))?;
    Ok(match (compared.is_interrupted, side_by_side.regressions.is_empty()) {
        (true, _) => Exit::Interrupted,
        (false, false) => Exit::Failed,
        (false, true) => Exit::Passed,
    })
}

/// A comparison with the advice that follows from it.
#[derive(Debug, Serialize)]
struct Comparison {
    #[serde(flatten)]
    compared: SideBySide,
    /// Each sentence with the figures that support it.
    advice: Vec<Advice>,
}

/// The advice from variants under the same conditions. Empty if the broker's times are not realistic, or if the first
/// fault is neither a crash nor a membership change.
fn advice_of(compared: &Compared) -> Vec<Advice> {
    let first = compared.variants.first().and_then(|variant| variant.summaries.first());
    let Some(first) = first.filter(|it| is_timing_real(&it.broker)) else { return Vec::new() };
    let condition = match first.faults.first().map(|fault| fault.kind.as_str()) {
        None => Condition::Quiet,
        Some("kill") => Condition::Crash,
        Some("stop") => Condition::MembershipChange,
        Some(_) => return Vec::new(),
    };
    let set_up = |(variant, settings)| {
        let VariantRounds { name, summaries, .. }: &VariantRounds = variant;
        SetUpRounds { name, assigning: Assigning::of(settings), summaries }
    };
    let set_ups = compared.variants.iter().zip(&compared.settings).map(set_up).collect();
    advice(&[Situation { condition, set_ups }], 0)
}

/// The comparison with settings, notes, regressions and its sentence.
fn judged(arguments: &CompareArguments, compared: &Compared) -> Result<SideBySide, Error> {
    let rows = setting_rows(&compared.settings);
    let why = not_comparable(&rows, &compared.variants);
    if !why.is_empty() && !arguments.allow_different {
        return Err(Error::Input(format!(
            "these variants cannot be compared:\n  {}\n  help: make them the same, or add `--allow-different` if you \
             want to compare them nevertheless",
            why.join("\n  ")
        )));
    }
    let seed = Seed(arguments.seed.unwrap_or(1)).child("compare", 0);
    let mut all = side_by_side(&compared.variants, compared.is_paired, seed);
    all.differences = rows;
    all.invalid.clone_from(&compared.invalid);
    all.notes = why.iter().map(|why| format!("not the same: {why}")).collect();
    all.notes.extend(notes(&compared.variants));
    all.regressions = regressions(&arguments.fail_on_regression, &all).map_err(Error::Input)?;
    all.sentence = sentence(&all, &compared.variants);
    Ok(all)
}

/// Remarks that apply to all figures.
fn notes(variants: &[VariantRounds]) -> Vec<String> {
    let mut notes = Vec::new();
    if variants.iter().any(|variant| variant.summaries.len() < 2) {
        notes.push("one round has no interval, and nothing can be called better or worse; use `--repeat 3` or more".to_owned());
    }
    match variants.first().and_then(|variant| variant.summaries.first()) {
        Some(first) if first.simulation.is_some() => notes.push(
            "simulated: times follow from the settings of `[sim]`, which are not fitted to a cluster".to_owned(),
        ),
        Some(first) if !is_timing_real(&first.broker) => notes.push(
            "times are those of the embedded mock cluster; measure with `--broker kafka --bootstrap HOST:PORT`".to_owned(),
        ),
        _ => {}
    }
    notes
}

/// True if times on this kind of broker are comparable with those of a real cluster.
fn is_timing_real(broker: &str) -> bool {
    BrokerKind::named(broker).is_none_or(|kind| kind.capability().timing_is_real)
}

fn show(arguments: &CompareArguments, compared: &Comparison) -> Result<(), Error> {
    let json = || {
        let json = serde_json::to_string_pretty(compared);
        json.map(|json| json + "\n").map_err(|error| Error::Bug(error.to_string()))
    };
    if let Some(out) = &arguments.out {
        let path = out.join("comparison.json");
        let json = json()?;
        std::fs::create_dir_all(out)
            .and_then(|()| std::fs::write(&path, json.as_bytes()))
            .map_err(|error| {
                Error::Environment(format!("cannot write `{}`: {error}", printable_path(&path)))
            })?;
    }
    match arguments.format {
        ComparisonFormat::Text => {
            let mut out = text(&compared.compared, arguments.all);
            let lines = advice_lines(&compared.advice);
            if !lines.is_empty() {
                out.push_str(&format!("\nADVICE  from these runs\n  {}\n", lines.join("\n  ")));
            }
            print(&out)
        }
        ComparisonFormat::Json => print(&json()?),
    }
}

/// Reads stored results.
fn of_directories(arguments: &CompareArguments) -> Result<Compared, Error> {
    if !arguments.variants.is_empty() {
        return Err(Error::Input(
            "`--variants` is for a scenario file; each directory with results is a variant already"
                .to_owned(),
        ));
    }
    let all: Vec<StoredVariant> =
        arguments.paths.iter().map(|path| stored(path)).collect::<Result<_, _>>()?;
    let seeds = |it: &StoredVariant| -> Vec<u64> {
        it.rounds.summaries.iter().map(|summary| summary.seed).collect()
    };
    let is_simulated =
        |it: &StoredVariant| it.rounds.summaries.iter().all(|it| it.simulation.is_some());
    let is_paired = all.iter().all(|it| is_simulated(it) && seeds(it) == seeds(&all[0]));
    let invalid = all.iter().flat_map(|it| it.left_out.clone()).collect();
    let (variants, settings) = all.into_iter().map(|it| (it.rounds, it.settings)).unzip();
    Ok(Compared { variants, settings, invalid, is_paired, is_interrupted: false })
}

/// The parameters that must be equal for a comparison to continue an interrupted one.
fn kept_plan(
    arguments: &CompareArguments,
    source: &Source,
    variants: &[Variant],
    first: Option<&Plan>,
) -> ComparisonPlan {
    ComparisonPlan {
        lanekeeper_version: env!("CARGO_PKG_VERSION"),
        scenario: source.text.clone(),
        variants: variants.iter().map(|it| (it.name.clone(), it.overrides.clone())).collect(),
        broker: first.map(|plan| plan.broker.kind().to_string()).unwrap_or_default(),
        client: arguments.library.to_string(),
        bootstrap: first.and_then(|plan| plan.broker.bootstrap.clone()),
        seed: first.map_or(1, |plan| plan.seed.0),
    }
}

/// Runs the variants of a scenario.
fn of_scenario(arguments: &CompareArguments) -> Result<Compared, Error> {
    let source = source(&arguments.paths[0], &arguments.set)?;
    let variants =
        Variant::all(&source, &arguments.set, &arguments.variants).map_err(Error::Input)?;
    let client = arguments.client.read()?;
    let overrides = Overrides {
        broker: arguments.broker,
        client: Some(arguments.library),
        bootstrap: arguments.bootstrap.clone(),
        seed: arguments.seed,
        allow_existing_topic: arguments.client.allow_existing_topic,
        ..Overrides::default()
    };
    let plans = plans(&source, &variants, &overrides, &client, arguments.allow_exec, true)?;
    let all_settings =
        variants.iter().map(|it| settings(&source, &it.overrides)).collect::<Vec<_>>();
    let round_settings = RoundSettings {
        rounds: arguments.repeat as usize,
        seed: plans.first().map_or(1, |plan| plan.seed.0),
        overrides,
        counts: Counts::WholeRounds,
        warms_up: true,
    };
    let names = variants.iter().map(|variant| variant.name.clone()).collect();
    let is_simulated = plans.iter().all(|plan| plan.broker.kind().capability().is_modelled);
    let observer = KeptRounds::new(arguments.out.clone(), names, is_simulated);
    let observer = observer.resuming(&kept_plan(arguments, &source, &variants, plans.first()))?;
    let done = run_variants(&source, &variants, &round_settings, &client, &observer, ENDING);
    let is_cut_short = done.as_ref().map_or(true, |done| done.is_interrupted);
    if let (true, Some(out)) = (is_cut_short, &arguments.out) {
        let out = printable_path(out);
        tell(&format!(
            "complete rounds are kept in `{out}`; the same command continues with the others"
        ));
    }
    let RoundsDone { summaries, invalid, is_interrupted } = done?;
    let own = |overrides: &[String]| overrides[arguments.set.len()..].to_vec();
    let rounds_of = |(variant, summaries): (&Variant, _)| VariantRounds {
        name: variant.name.clone(),
        overrides: own(&variant.overrides),
        summaries,
    };
    Ok(Compared {
        variants: variants.iter().zip(summaries).map(rounds_of).collect(),
        settings: all_settings,
        invalid: invalid.iter().map(said).collect(),
        is_paired: true,
        is_interrupted,
    })
}

/// Runs all rounds of variants of a file that was read. After an interruption, `ending` is printed and the complete
/// rounds are returned.
pub(super) fn run_variants(
    source: &Source,
    variants: &[Variant],
    settings: &RoundSettings,
    client: &ClientFile,
    observer: &dyn RoundObserver,
    ending: &'static str,
) -> Result<RoundsDone, Error> {
    let leftovers = Leftovers::default();
    let interrupted = listen(ending, &leftovers);
    let to_error = |variant: &Variant, diagnostics: &[Diagnostic]| {
        Error::Input(rendered(source, variant, diagnostics))
    };
    run_rounds(source, variants, settings, client, interrupted, leftovers, observer, &to_error)
}

fn said(invalid: &InvalidRun) -> String {
    format!(
        "{}, round {}: {} (a run is repeated at most {REPEATS_MAX} times; in virtual time not at all)",
        invalid.variant,
        invalid.round,
        invalid.reasons.join("; ")
    )
}

/// The diagnostics of a variant, with its name.
pub(super) fn rendered(source: &Source, variant: &Variant, diagnostics: &[Diagnostic]) -> String {
    format!(
        "{}\n(in the variant `{}`)",
        render(source, &variant.overrides, diagnostics),
        variant.name
    )
}

/// The plan of each variant, made before any run. With `warns`, warnings are printed to stderr.
pub(super) fn plans(
    source: &Source,
    variants: &[Variant],
    overrides: &Overrides,
    client: &ClientFile,
    allow_exec: bool,
    warns: bool,
) -> Result<Vec<Plan>, Error> {
    let mut plans = Vec::new();
    for variant in variants {
        let (plan, diagnostics) = variant.plan(source, overrides);
        let Some(plan) = plan else {
            return Err(Error::Input(rendered(source, variant, &diagnostics)));
        };
        if warns && !diagnostics.is_empty() {
            tell(&rendered(source, variant, &diagnostics));
        }
        let refused = refusals(&plan, client);
        if !refused.is_empty() {
            return Err(Error::Input(rendered(source, variant, &refused)));
        }
        if !allow_exec {
            consented(&plan, client)?;
        }
        require_healed(&plan, Path::new(RESULTS))?;
        plans.push(plan);
    }
    Ok(plans)
}
