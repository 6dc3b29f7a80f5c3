//! Progress of a comparison on stderr, and a result directory for each round.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::heal::require_healed;
use super::run::{Watching, lock};
use super::terminal::tell;
use crate::base::{Clock, Time, printable_path};
use crate::compare::{InvalidRun, RoundObserver};
use crate::error::Error;
use crate::plan::Plan;
use crate::report::{ProgressView, ResultDirectory, StoredResult, read_result};
use crate::run::{Observer, RESULTS};
use crate::summary::{Summary, Verdict};

/// Shortest time between two lines of progress.
const BETWEEN_LINES: Duration = Duration::from_secs(3);

/// Number of runs after which the remaining time is shown.
const RUNS_UNTIL_KNOWN: usize = 3;

type Directories = BTreeMap<(usize, usize), Arc<Mutex<ResultDirectory>>>;

/// The file with the parameters of the comparison in a directory.
const PLAN: &str = "comparison-plan.json";

/// The parameters of a comparison. Stored rounds with equal parameters belong to the same comparison.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ComparisonPlan {
    /// Version of the program.
    pub(super) lanekeeper_version: &'static str,
    /// Text of the scenario.
    pub(super) scenario: String,
    /// Name and overrides of each variant.
    pub(super) variants: Vec<(String, Vec<String>)>,
    /// Kind of broker.
    pub(super) broker: String,
    /// The client library.
    pub(super) client: String,
    /// Addresses of the cluster; `None` for other brokers.
    pub(super) bootstrap: Option<String>,
    /// Seed of the first round.
    pub(super) seed: u64,
}

/// Shows the progress, and stores each round if a directory is given.
pub(super) struct KeptRounds {
    /// Directory for results, with a directory per variant, and one per round in it. `None` if they are not stored.
    out: Option<PathBuf>,
    /// True if complete rounds in `out` are reused.
    resumes: bool,
    /// Names of the variants.
    names: Vec<String>,
    clock: Clock,
    /// Earliest time of the next line of progress, because simulated runs take a fraction of a second each.
    next_line: Mutex<Time>,
    directories: Mutex<Directories>,
}

impl KeptRounds {
    /// Rounds of variants with these names.
    pub(super) fn new(out: Option<PathBuf>, names: Vec<String>, is_simulated: bool) -> KeptRounds {
        let clock = Clock::start();
        let first = if is_simulated { clock.now() + BETWEEN_LINES } else { clock.now() };
        KeptRounds {
            out,
            resumes: false,
            names,
            clock,
            next_line: Mutex::new(first),
            directories: Mutex::default(),
        }
    }

    /// The same, and continues an interrupted comparison of `plan` in the directory. Another comparison there is an
    /// error.
    pub(super) fn resuming(mut self, plan: &ComparisonPlan) -> Result<KeptRounds, Error> {
        let Some(out) = &self.out else { return Ok(self) };
        let (name, path) = (printable_path(out), out.join(PLAN));
        let failed =
            |error: std::io::Error| Error::Environment(format!("cannot write `{name}`: {error}"));
        let text = serde_json::to_string_pretty(plan).map_err(|it| Error::Bug(it.to_string()))?;
        match std::fs::read_to_string(&path) {
            Ok(old) if old == text => self.resumes = true,
            Ok(_) => {
                return Err(Error::Input(format!(
                    "`{name}` has the rounds of another comparison: its scenario, variants, seed or cluster are not the same; \
                     give another `--out`, or the same command"
                )));
            }
            Err(_) => {
                std::fs::create_dir_all(out).map_err(failed)?;
                if std::fs::read_dir(out).map_err(failed)?.next().is_some() {
                    return Err(Error::Input(format!(
                        "`{name}` is not empty; give a new directory with `--out`"
                    )));
                }
                std::fs::write(&path, text).map_err(failed)?;
            }
        }
        Ok(self)
    }

    /// The directory for the result of a round; `None` if results are not stored.
    fn path(&self, variant: usize, round: usize) -> Option<PathBuf> {
        let name: String = self.names[variant]
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' })
            .collect();
        Some(self.out.as_ref()?.join(name).join(format!("round-{:03}", round + 1)))
    }

    /// The remaining time at this pace as text; empty if it is not known or short.
    fn left(&self, done: usize, total: usize, now: Time) -> String {
        let each = now.as_secs_f64() / done.max(1) as f64;
        let minutes = each * (total - done.min(total)) as f64 / 60.0;
        let is_known = done >= RUNS_UNTIL_KNOWN && minutes >= 1.0;
        if is_known { format!(", about {minutes:.0} min left") } else { String::new() }
    }

    fn directories(&self) -> std::sync::MutexGuard<'_, Directories> {
        self.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RoundObserver for KeptRounds {
    fn begins(&self, done: usize, total: usize, what: &str) {
        let now = self.clock.now();
        let mut next_line = self.next_line.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= *next_line {
            *next_line = now + BETWEEN_LINES;
            let left = self.left(done, total, now);
            tell(&format!("run {} of {total}: {what}{left}", done + 1));
        }
    }

    fn invalid(&self, run: &InvalidRun, is_repeated: bool) {
        let what = if is_repeated { "made again" } else { "left out" };
        tell(&format!("  INVALID, {what}: {}", run.reasons.join("; ")));
    }

    /// An incomplete round is repeated, and its directory is removed.
    fn kept(&self, variant: usize, round: usize) -> Result<Option<Summary>, Error> {
        let path = self.path(variant, round).filter(|path| self.resumes && path.is_dir());
        let Some(path) = path else { return Ok(None) };
        match read_result(&path) {
            Ok(StoredResult { summary, .. })
                if matches!(summary.verdict, Verdict::Passed | Verdict::Failed) =>
            {
                Ok(Some(summary))
            }
            _ => {
                let name = printable_path(&path);
                std::fs::remove_dir_all(&path).map_err(|error| {
                    Error::Environment(format!("cannot remove the incomplete `{name}`: {error}"))
                })?;
                Ok(None)
            }
        }
    }

    fn may_begin(&self, plan: &Plan) -> Result<(), Error> {
        require_healed(plan, Path::new(RESULTS))
    }

    fn of_run(
        &self,
        variant: usize,
        round: usize,
        plan: &Plan,
    ) -> Result<Box<dyn Observer>, Error> {
        let Some(path) = self.path(variant, round) else { return Ok(Box::new(())) };
        if let Some(old) = self.directories().remove(&(variant, round)) {
            lock(&old).discard();
        }
        let directory = ResultDirectory::create(&path, &plan.source, plan.times.latency_interval)
            .map_err(|error| Error::Environment(error.to_string()))?;
        let directory = Arc::new(Mutex::new(directory));
        self.directories().insert((variant, round), directory.clone());
        let progress = ProgressView::new(plan.times.load_end(), true);
        Ok(Box::new(Watching { directory, progress, follower: None }))
    }

    fn ended(&self, variant: usize, round: usize, summary: &Summary) -> Result<(), Error> {
        let Some(directory) = self.directories().remove(&(variant, round)) else { return Ok(()) };
        let finished = lock(&directory).finish(summary);
        finished.map_err(|error| Error::Environment(error.to_string()))
    }
}
