//! `run`: runs a scenario, several times if an attempt is invalid.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::arguments::{ClientArguments, ScenarioArguments};
use super::attempts::{Attempt, Attempts, RETRIES_MAX, is_interrupted};
use super::heal::require_healed;
use super::metrics_endpoint::{MetricsArguments, MetricsEndpoint};
use super::outputs::{OutputArguments, annotate};
use super::terminal::{Asked, exit, log_to, show, start_logging, tell};
use crate::base::{Clock, Leftovers, Share, Time, printable_path};
use crate::broker::needs_consent;
use crate::broker::settings::ClientFile;
use crate::error::{Error, Exit};
use crate::logic::Handlers;
use crate::measure::{Event, Interval, IntervalTotals, PartFile};
use crate::plan::Plan;
use crate::report::{
    LatestSnapshot, ProgressView, ResultDirectory, RunFollower, write_host, write_part,
};
use crate::run::{
    KEEPING, Observer, Options, PartSlot, RESULTS, listen, make_room, record_host, run as run_plan,
};
use crate::summary::{Summary, Verdict};

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,

    #[command(flatten)]
    client: ClientArguments,

    /// Run one of several processes, as in `2/4` for the second of four, or `1+1/4` where a scheduler counts from 0.
    /// Start all of them with the same scenario; they meet on the cluster, divide partitions and producers, and each
    /// keeps its part and prints the report of all.
    #[arg(long, value_name = "NUMBER/COUNT", conflicts_with = "retry_invalid")]
    share: Option<Share>,

    /// Directory for results; must be new or empty. [default: results/SCENARIO-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Allow `exec` faults to run their commands, and the scenario to set client properties that load code, run a
    /// command, open files or reach other servers; `check` shows them.
    #[arg(long)]
    allow_exec: bool,

    /// Repeat a run that is INVALID (the load generator could not measure) up to N times; each attempt has a result
    /// directory of its own. One that passes or fails is never repeated.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=RETRIES_MAX))]
    retry_invalid: u32,

    /// The progress to show on stderr during the run.
    #[arg(long, value_enum, default_value = "auto")]
    live: LiveMode,

    #[command(flatten)]
    metrics: MetricsArguments,

    #[command(flatten)]
    asked: Asked,

    #[command(flatten)]
    outputs: OutputArguments,
}

/// The progress that is shown during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LiveMode {
    /// The live view if stderr is a terminal, a line each 10 seconds otherwise
    Auto,
    /// A line each 10 seconds
    Plain,
    /// Nothing
    Off,
}

/// Limit for the bytes that a simulation writes. In minutes, a simulation can write as much as a run on a cluster in
/// days.
const SIMULATED_BYTES_MAX: u64 = 4 << 30;

/// Runs the scenario, prints the report, and returns the exit code of the verdict.
pub(super) fn run(
    arguments: &RunArguments,
    handlers: Option<Handlers>,
    verbose: u8,
) -> Result<Exit, Error> {
    let (plan, client) = arguments.client.with_plan(&arguments.scenario, arguments.share)?;
    if !arguments.allow_exec {
        consented(&plan, &client)?;
    }
    arguments.asked.require_partition(plan.partitions_max())?;
    arguments.outputs.check()?;
    let listener = arguments.metrics.bind(&plan)?;
    let out = arguments.out.clone().unwrap_or_else(|| default_directory(&plan.name));
    let beside = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    require_healed(&plan, beside.unwrap_or(Path::new(".")))?;
    let attempts = Attempts::new(arguments.retry_invalid, &out)?;
    if !plan.broker.capability().is_modelled {
        // The check comes before this process opens files of its own.
        make_room(&plan)?;
    }
    let leftovers = Leftovers::default();
    let interrupted = listen(KEEPING, &leftovers);
    let options = Options {
        client,
        handlers,
        interrupted: Some(interrupted),
        leftovers,
        ..Options::default()
    };
    let latest = LatestSnapshot::default();
    let endpoint = listener.map(|listener| MetricsEndpoint::start(listener, latest.clone()));
    let endpoint = endpoint.transpose().map_err(|error| {
        Error::Environment(format!("no thread for the metrics: {error}; end other processes"))
    })?;
    if let Some(endpoint) = &endpoint {
        tell(&format!("metrics at {}", endpoint.url()));
    }
    // A simulation has no live view. Without an endpoint, snapshots of it have no reader.
    let is_followed = endpoint.is_some() || !plan.broker.capability().is_modelled;
    let once =
        Once { arguments, plan: &plan, options: &options, latest: &latest, is_followed, verbose };
    let summary = attempts.run(&options, |out, said| once.run(out, said))?;
    if let Some(endpoint) = endpoint
        && summary.verdict != Verdict::Interrupted
    {
        endpoint.wait_for_last_scrape(|| is_interrupted(&options));
    }
    Ok(exit(summary.verdict))
}

/// The inputs of each attempt.
struct Once<'a> {
    arguments: &'a RunArguments,
    plan: &'a Plan,
    options: &'a Options,
    latest: &'a LatestSnapshot,
    /// True if `latest` has a reader.
    is_followed: bool,
    verbose: u8,
}

impl Once<'_> {
    /// Runs the scenario, with its result in `out`. A result whose run is repeated is not printed.
    fn run(&self, out: &Path, attempt: &Attempt) -> Result<Summary, Error> {
        let wall = Clock::start();
        let Once { arguments, plan, options, latest, is_followed, verbose } = *self;
        let directory = ResultDirectory::create(out, &plan.source, plan.times.latency_interval)
            .map_err(|error| Error::Environment(error.to_string()))?;
        match attempt.is_first() {
            true => start_logging(verbose, Some(out)),
            false => log_to(out),
        }
        let directory = Arc::new(Mutex::new(directory));
        let watching = Watching {
            directory: directory.clone(),
            follower: is_followed.then(|| RunFollower::new(plan, latest.clone())),
            progress: self.progress(),
        };
        let part = PartSlot::default();
        let own = Options {
            client: options.client.clone(),
            handlers: options.handlers.clone(),
            interrupted: options.interrupted.clone(),
            leftovers: options.leftovers.clone(),
            part: part.clone(),
            lease: Some(out.to_owned()),
            ..Options::default()
        };
        let ran = run_plan(plan.clone(), own, Box::new(watching));
        let mut summary = ran.inspect_err(|error| {
            // A run that failed before its load began has no useful result. After a bug, the files may help to find it.
            if error.exit() != Exit::Bug {
                lock(&directory).discard();
            }
        })?;
        let failure = lock(&directory).failure();
        summary.warnings.extend(failure);
        let mut written = lock(&directory).finish(&summary);
        if let Some(part) = part.lock().unwrap_or_else(PoisonError::into_inner).take() {
            written = written.and_then(|()| write_part(out, &PartFile::new(plan, part)));
        }
        if attempt.is_repeated(&summary, options) {
            written.map_err(|error| Error::Environment(error.to_string()))?;
            return Ok(summary);
        }
        RunFollower::end(latest, summary.verdict);
        let mut last_line = format!("saved to {}{}", printable_path(out), attempt.note());
        if let Some(record) = record_host(&wall, &summary) {
            written = written.and_then(|()| write_host(out, &record));
            let (took_s, speed) = (record.wall_s, record.speed);
            let _ = write!(last_line, ", simulated in {took_s:.2} s: {speed:.0} x real time");
        }
        let shown = show(&summary, &arguments.asked, &last_line);
        written.map_err(|error| Error::Environment(error.to_string()))?;
        shown?;
        arguments.outputs.write(&summary, out)?;
        annotate(&summary, Some(arguments.scenario.file()), &plan.source);
        Ok(summary)
    }

    fn progress(&self) -> ProgressView {
        let total = self.plan.times.load_end();
        let is_quiet = self.arguments.asked.format.is_for_programs;
        match self.arguments.live {
            LiveMode::Off => ProgressView::new(total, true),
            _ if is_quiet => ProgressView::new(total, true),
            LiveMode::Plain => ProgressView::plain(total),
            // A simulation ends too soon for a view.
            LiveMode::Auto if self.plan.broker.capability().is_modelled => {
                ProgressView::new(total, false)
            }
            LiveMode::Auto => ProgressView::live(self.latest.clone(), interrupt_this_process)
                .unwrap_or_else(|| ProgressView::new(total, false)),
        }
    }
}

/// Sends this process SIGINT, as Ctrl-C does.
#[cfg(unix)]
fn interrupt_this_process() {
    use rustix::process::{Signal, getpid, kill_process};
    let _ = kill_process(getpid(), Signal::INT);
}

/// Without effect, because the live view needs Unix.
#[cfg(not(unix))]
fn interrupt_this_process() {}

/// Refuses a run that needs permissions on this machine that were not given.
pub(super) fn consented(plan: &Plan, client: &ClientFile) -> Result<(), Error> {
    if let Some(command) = plan.first_command() {
        return Err(Error::Input(format!(
            "this scenario runs commands on this machine, the first is {command}; look at them with \
             `lanekeeper check`, and add `--allow-exec` if that is what you want"
        )));
    }
    match needs_consent(plan, client).first() {
        None => Ok(()),
        Some(first) => Err(Error::Input(format!(
            "{first}; look at the properties with `lanekeeper check`, and add `--allow-exec` if that is what you \
             want, or remove it"
        ))),
    }
}

fn default_directory(scenario: &str) -> PathBuf {
    let ms = Clock::start().epoch_unix_ns() / 1_000_000;
    let time =
        jiff::Timestamp::from_millisecond(ms).map(|at| at.strftime("%Y%m%dT%H%M%S").to_string());
    // Two runs in the same second need different directories.
    let fraction = ms % 1_000;
    Path::new(RESULTS).join(format!("{scenario}-{}.{fraction:03}", time.unwrap_or_default()))
}

/// Writes events and intervals into the result directory, and shows them.
pub(super) struct Watching {
    pub(super) directory: Arc<Mutex<ResultDirectory>>,
    /// Makes snapshots for the live view and for scrapes; `None` without a reader.
    pub(super) follower: Option<RunFollower>,
    pub(super) progress: ProgressView,
}

pub(super) fn lock(directory: &Mutex<ResultDirectory>) -> MutexGuard<'_, ResultDirectory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Watching {
    fn phase(&mut self, name: &str) {
        self.progress.phase(name);
        self.follower.iter_mut().for_each(|follower| follower.phase(name));
    }

    fn begin(&mut self, start: Time, unix_ns: i64) {
        lock(&self.directory).begin(start, unix_ns);
        self.follower.iter_mut().for_each(|follower| follower.begin(start));
    }

    fn interval(&mut self, interval: &Interval<'_>) {
        lock(&self.directory).interval(interval);
        self.follower.iter_mut().for_each(|follower| follower.interval(interval));
    }

    fn second(&mut self, live: &IntervalTotals<'_>, elapsed: Duration) {
        lock(&self.directory).flush();
        self.follower.iter_mut().for_each(|follower| follower.second(live, elapsed));
        self.progress.second(live, elapsed);
    }

    fn events(&mut self, events: &[(Time, Event)]) {
        lock(&self.directory).events(events);
        self.follower.iter_mut().for_each(|follower| follower.events(events));
    }

    fn so_far(&mut self, summary: &Summary) {
        lock(&self.directory).so_far(summary);
    }

    fn is_full(&self) -> Option<String> {
        (lock(&self.directory).written() > SIMULATED_BYTES_MAX).then(|| {
            format!(
                "the results of this simulation are more than {} GiB; choose fewer partitions, or a shorter \
                 `run.duration` or `run.drain`",
                SIMULATED_BYTES_MAX >> 30
            )
        })
    }
}
