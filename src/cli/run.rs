//! `run`: a scenario from beginning to end.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;

use super::arguments::{ClientArguments, ScenarioArguments};
use super::terminal::{exit, outputs, show, start_logging};
use crate::base::{Clock, Leftovers, Time, printable_path};
use crate::broker::rdkafka::{ClientFile, needs_consent};
use crate::error::{Error, Exit};
use crate::logic::Handlers;
use crate::measure::{Event, Interval, Live};
use crate::plan::{BrokerPlan, Plan};
use crate::report::{OUTPUTS, ProgressView, Renderer, ResultDirectory, write_host};
use crate::run::{KEEPING, Observer, Options, listen, record_host, run as run_plan};
use crate::summary::Summary;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    scenario: ScenarioArguments,

    #[command(flatten)]
    client: ClientArguments,

    /// Directory for results; must be new or empty. [default: results/SCENARIO-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Allow `exec` faults to run their commands, and the scenario to set client properties that load code, run a
    /// command, open files or reach other servers; `check` shows them.
    #[arg(long)]
    allow_exec: bool,

    /// Format of the report on stdout.
    #[arg(long, value_parser = outputs(), default_value = OUTPUTS[0].name)]
    format: &'static Renderer,
}

/// What a simulation may write: it takes minutes for what a cluster takes days for.
const SIMULATED_BYTES_MAX: u64 = 4 << 30;

/// Runs the scenario, reports, and turns the verdict into an exit code.
pub(super) fn run(
    arguments: &RunArguments,
    handlers: Option<Handlers>,
    verbose: u8,
) -> Result<Exit, Error> {
    let wall = Clock::start();
    let (plan, client) = arguments.client.with_plan(&arguments.scenario)?;
    if !arguments.allow_exec {
        consented(&plan, &client)?;
    }
    let out = arguments.out.clone().unwrap_or_else(|| default_directory(&plan.name));
    let directory = ResultDirectory::create(&out, &plan.source, plan.times.latency_interval)
        .map_err(|error| Error::Environment(error.to_string()))?;
    start_logging(verbose, Some(&out));
    let watching = Watching {
        directory: Arc::new(Mutex::new(directory)),
        progress: ProgressView::new(plan.times.load_end(), arguments.format.is_for_programs),
    };
    let directory = watching.directory.clone();
    let interrupted =
        matches!(plan.broker, BrokerPlan::Sim(_)).then(|| listen(KEEPING, &Leftovers::default()));
    let options = Options { client, handlers, trace_sink: None, interrupted };
    let mut summary = run_plan(plan, options, Box::new(watching)).inspect_err(|error| {
        // A run that fails before its load began leaves nothing worth keeping; one that met a bug may help to find it.
        if error.exit() != Exit::Bug {
            lock(&directory).discard();
        }
    })?;
    let failure = lock(&directory).failure();
    summary.warnings.extend(failure);
    let mut written = lock(&directory).finish(&summary);
    let mut last_line = format!("results in {}", printable_path(&out));
    if let Some(record) = record_host(&wall, &summary) {
        written = written.and_then(|()| write_host(&out, &record));
        let (took_s, speed) = (record.wall_s, record.speed);
        let _ = write!(last_line, ", simulated in {took_s:.2} s: {speed:.0} x real time");
    }
    let shown = show(&summary, arguments.format, &last_line);
    written.map_err(|error| Error::Environment(error.to_string()))?;
    shown?;
    Ok(exit(summary.verdict))
}

/// Refuses a run that does on this machine what it was not allowed to.
fn consented(plan: &Plan, client: &ClientFile) -> Result<(), Error> {
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
    // Two runs in one second get different directories.
    let fraction = ms % 1_000;
    PathBuf::from("results").join(format!("{scenario}-{}.{fraction:03}", time.unwrap_or_default()))
}

/// Writes what happens into the result directory and shows it.
struct Watching {
    directory: Arc<Mutex<ResultDirectory>>,
    progress: ProgressView,
}

fn lock(directory: &Mutex<ResultDirectory>) -> MutexGuard<'_, ResultDirectory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Watching {
    fn phase(&mut self, name: &str) {
        self.progress.phase(name);
    }

    fn begin(&mut self, start: Time, unix_ns: i64) {
        lock(&self.directory).begin(start, unix_ns);
    }

    fn interval(&mut self, interval: &Interval<'_>) {
        lock(&self.directory).interval(interval);
    }

    fn second(&mut self, live: &Live<'_>, elapsed: Duration) {
        lock(&self.directory).flush();
        self.progress.second(live, elapsed);
    }

    fn events(&mut self, events: &[(Time, Event)]) {
        lock(&self.directory).events(events);
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
