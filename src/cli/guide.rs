//! `guide`: each claim of the guide with a verdict.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::watch;

use super::arguments::{
    ClientArguments, broker_kinds, client_kinds, planned, quoted, source, whole,
};
use super::compare::{ComparisonFormat, plans, rendered, rounds};
use super::kept_rounds::KeptRounds;
use super::outputs::PageArguments;
use super::terminal::{print, start_logging, tell};
use crate::base::{BrokerKind, ClientKind, Leftovers, printable_path};
use crate::broker::settings::ClientFile;
use crate::compare::guide::{
    Condition, GuideReport, GuideSuite, Saturation, advice, before_members, claims, guide_load,
    guide_page, guide_text, quiet_overrides,
};
use crate::compare::{
    Counts, LimitRuns, RateOutcome, RoundObserver, RoundSettings, RoundsDone, SearchSettings,
    Variant, find_limit, run_rounds,
};
use crate::error::{Error, Exit};
use crate::plan::{Overrides, Plan};
use crate::run::listen;
use crate::scenario::{Diagnostic, Source};

/// Arguments of `guide`.
#[derive(Debug, Args)]
pub(super) struct GuideArguments {
    /// A scenario whose load is used instead of the guide's; its faults, stages and expectations are left out. First
    /// the rate is searched at which the set-up Before is saturated.
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,

    /// Cluster to use; `kafka` needs --bootstrap. [default: sim, or kafka if --bootstrap is given]
    #[arg(long, value_parser = broker_kinds(|_| true))]
    broker: Option<BrokerKind>,

    /// The client library.
    #[arg(long = "client", value_parser = client_kinds(), default_value_t = ClientKind::of_this_build())]
    library: ClientKind,

    /// Addresses of the cluster, `host:port[,host:port…]`.
    #[arg(long, value_name = "ADDRESSES")]
    bootstrap: Option<String>,

    /// Rounds: each set-up runs once in each condition in each round. [default: 5, and 3 in real time]
    #[arg(long, value_name = "ROUNDS", allow_negative_numbers = true, value_parser = rounds)]
    repeat: Option<u64>,

    /// Seed of the first round; the others follow it. [default: `run.seed`]
    #[arg(long, allow_negative_numbers = true, value_parser = |text: &str| whole(0, text))]
    seed: Option<u64>,

    /// Override a value of the scenario in every run, as in `--set load.rate=4/s`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    client: ClientArguments,

    /// Format of the verdicts on stdout.
    #[arg(long, value_enum, default_value_t = ComparisonFormat::Text)]
    format: ComparisonFormat,

    #[command(flatten)]
    page: PageArguments,
}

/// The effect of Ctrl-C, for the message at the first signal.
const ENDING: &str = "no further run is begun; complete runs are judged";

/// Runs the suite and prints the verdicts.
pub(super) fn guide(arguments: &GuideArguments, verbose: u8) -> Result<Exit, Error> {
    start_logging(verbose, None);
    arguments.page.check()?;
    let (source, set) = load(arguments)?;
    let broker =
        arguments.broker.or(arguments.bootstrap.is_none().then_some(BrokerKind::simulated()));
    let overrides = Overrides {
        broker,
        client: Some(arguments.library),
        bootstrap: arguments.bootstrap.clone(),
        seed: arguments.seed,
        allow_existing_topic: arguments.client.allow_existing_topic,
        share: None,
        is_variant: true,
    };
    let plan = assigned_plan(&source, &set, &overrides)?;
    let client = arguments.client.read()?;
    let leftovers = Leftovers::default();
    let shared = Shared { client, interrupted: listen(ENDING, &leftovers), leftovers };
    let (own, mut notes) = match arguments.load.is_some() {
        true => saturation(&source, &plan, &set, &overrides, &shared)?,
        false => (None, Vec::new()),
    };
    let suite = GuideSuite::new(source, &plan, own, &set, &overrides).map_err(Error::Input)?;
    let is_modelled = plan.broker.kind().capability().is_modelled;
    let repeat = arguments.repeat.unwrap_or(if is_modelled { 5 } else { 3 });
    let done = run_suite(&suite, &plan, overrides, repeat, shared)?;
    let is_interrupted = done.is_interrupted;
    if is_interrupted && done.summaries.iter().all(Vec::is_empty) {
        return Err(Error::Interrupted);
    }
    let mut report = report(arguments, &suite, &plan, done, repeat);
    notes.append(&mut report.notes);
    report.notes = notes;
    print(&match arguments.format {
        ComparisonFormat::Text => guide_text(&report),
        ComparisonFormat::Json => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Error::Bug(error.to_string()))? + "\n"
        }
    })?;
    arguments.page.write(|| guide_page(&report))?;
    Ok(if is_interrupted { Exit::Interrupted } else { Exit::Passed })
}

/// The inputs that all runs share.
struct Shared {
    client: ClientFile,
    interrupted: watch::Receiver<bool>,
    leftovers: Leftovers,
}

/// Before is saturated if the p99 of a partition fails this in a run of [`SEARCH_SECONDS`]. A queue that grows by 2 %
/// of the load has that length by then.
const SATURATED: &str = "< 500ms";
const SEARCH_SECONDS: u32 = 30;
/// Largest rate of the search, as a multiple of the user's rate.
const BEYOND: f64 = 16.0;

/// The highest rate with which Before keeps up under the user's load, and remarks about it.
fn saturation(
    source: &Source,
    plan: &Plan,
    set: &[String],
    overrides: &Overrides,
    shared: &Shared,
) -> Result<(Option<Saturation>, Vec<String>), Error> {
    let unknown = |why: &str| {
        let note = format!("no runs at 70 % and 95 % of Before's saturation: {why}");
        Ok((Some(Saturation::default()), vec![note]))
    };
    let Some(own) = plan.load.per_second() else {
        return Ok((Some(Saturation::default()), Vec::new()));
    };
    if !plan.consumers.work.is_some() {
        return unknown("a record costs nothing to process; give the load `consumers.work`");
    }
    let before = format!("group:{}", before_members(plan.topic.partitions));
    let mut all: Vec<String> =
        set.iter().cloned().chain(quiet_overrides(plan, SEARCH_SECONDS)).collect();
    all.push(format!("expect={{\"partition[*].latency.p99\"=\"{SATURATED}\"}}"));
    let names = [before.clone(), "assign".to_owned()];
    let variants = Variant::all(source, &all, &names).map_err(Error::Input)?;
    let (before_plan, _) = variants[0].plan(source, overrides);
    let busy = before_plan.map_or(0.0, |plan| plan.utilisation().most());
    // The search begins at the rate that follows from rate times work.
    let from = if busy > 0.0 { 0.97 * own / busy } else { own };
    tell(&format!(
        "searching the rate at which {before} is saturated; by rate x work it is {:.0} msg/s",
        from / 0.97
    ));
    let is_modelled = plan.broker.kind().capability().is_modelled;
    let observers = |name: &str| -> Box<dyn RoundObserver> {
        Box::new(KeptRounds::new(None, vec![name.to_owned()], is_modelled))
    };
    let to_error = |variant: &Variant, diagnostics: &[Diagnostic]| {
        Error::Input(rendered(source, variant, diagnostics))
    };
    let runs = LimitRuns {
        source,
        set: &variants[0].overrides,
        overrides,
        client: &shared.client,
        rounds: 1,
        interrupted: shared.interrupted.clone(),
        leftovers: shared.leftovers.clone(),
        observers: &observers,
        to_error: &to_error,
    };
    let most = (BEYOND * own).max(2.0 * from);
    let settings = SearchSettings { from, most, precision: 0.02, steps: 12 };
    let found = find_limit(&runs, settings, &mut |_| Ok(()))?;
    if found.is_interrupted {
        return Err(Error::Interrupted);
    }
    match (found.search.holds(), found.search.above()) {
        (Some(holds), Some((above, RateOutcome::Fails))) => {
            let note = format!(
                "Before ({before}) is saturated between {holds} and {above} msg/s: the highest rate at which every partition's p99 \
                 stays {SATURATED} for {SEARCH_SECONDS} s"
            );
            Ok((Some(Saturation { per_second: Some(holds) }), vec![note]))
        }
        (_, Some((_, RateOutcome::Invalid))) => {
            unknown("the load generator reaches its limit before the set-up Before is saturated")
        }
        (None, _) => unknown("the set-up Before is saturated at each rate that was tried"),
        (Some(holds), _) => {
            unknown(&format!("the set-up Before is not saturated at {holds} msg/s"))
        }
    }
}

/// Runs every set-up in every condition.
fn run_suite(
    suite: &GuideSuite,
    plan: &Plan,
    overrides: Overrides,
    repeat: u64,
    shared: Shared,
) -> Result<RoundsDone, Error> {
    let Shared { client, interrupted, leftovers } = shared;
    let variants = suite.variants();
    plans(&suite.source, &variants, &overrides, &client, false, false)?;
    let settings = RoundSettings {
        rounds: repeat as usize,
        seed: plan.seed.0,
        overrides,
        counts: Counts::EveryRun,
        warms_up: true,
    };
    let names = variants.iter().map(|variant| variant.name.clone()).collect();
    let observer = KeptRounds::new(None, names, plan.broker.kind().capability().is_modelled);
    let to_error = |variant: &Variant, _: &[Diagnostic]| {
        Error::Bug(format!("the plan of `{}` is gone", variant.name))
    };
    run_rounds(
        &suite.source,
        &variants,
        &settings,
        &client,
        interrupted,
        leftovers,
        &observer,
        &to_error,
    )
}

/// The verdicts on the results.
fn report(
    arguments: &GuideArguments,
    suite: &GuideSuite,
    plan: &Plan,
    done: RoundsDone,
    repeat: u64,
) -> GuideReport {
    let invalid = done.invalid.iter().map(|it| {
        format!("INVALID: {}, round {}: {}", it.variant, it.round, it.reasons.join("; "))
    });
    let notes = suite.left_out.iter().cloned().chain(invalid).collect();
    let rounds = done.summaries.iter().map(Vec::len).max().unwrap_or(0);
    let results = suite.results(done.summaries);
    let command = |condition: Condition, names: &[String]| {
        command(arguments, suite, plan, repeat, condition, names)
    };
    let timing_is_real = plan.broker.kind().capability().timing_is_real;
    GuideReport {
        scenario: plan.name.clone(),
        broker: plan.broker.kind().to_string(),
        set_ups: [suite.before.clone(), suite.option_1.clone(), suite.option_2.clone()],
        rounds,
        claims: claims(suite, &results, timing_is_real, &command),
        advice: match timing_is_real {
            true => advice(&suite.situations(&results), suite.slow),
            false => Vec::new(),
        },
        notes,
    }
}

/// The load, and its overrides in every run.
fn load(arguments: &GuideArguments) -> Result<(Source, Vec<String>), Error> {
    let source = match &arguments.load {
        Some(file) => source(file, &arguments.set)?,
        None => guide_load(),
    };
    Ok((source, arguments.set.clone()))
}

/// The plan of the load with a consumer assigned to each partition.
fn assigned_plan(source: &Source, set: &[String], overrides: &Overrides) -> Result<Plan, Error> {
    let set: Vec<String> =
        set.iter().cloned().chain(["consumers.mode=assigned".to_owned()]).collect();
    planned(source, &set, overrides)
}

/// The `compare` command that repeats the runs of a condition.
fn command(
    arguments: &GuideArguments,
    suite: &GuideSuite,
    plan: &Plan,
    repeat: u64,
    condition: Condition,
    names: &[String],
) -> String {
    let file = arguments.load.as_ref().map_or(suite.source.name.clone(), |it| printable_path(it));
    let place = match &arguments.bootstrap {
        Some(addresses) => format!("--bootstrap {}", quoted(addresses)),
        None => format!("--broker {}", plan.broker.kind()),
    };
    let sets = arguments.set.iter().chain(suite.overrides_of(condition));
    let sets: String = sets.map(|set| format!(" --set {}", quoted(set))).collect();
    let seed = arguments.seed.map_or(String::new(), |seed| format!(" --seed {seed}"));
    format!(
        "lanekeeper compare {} --variants {} --repeat {repeat} {place}{seed}{sets}",
        quoted(&file),
        names.join(",")
    )
}
