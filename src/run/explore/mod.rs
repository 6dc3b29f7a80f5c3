//! Explores a scenario: runs many seeds in virtual time, each with its own settings and faults, until an invariant
//! breaks.

mod case;
mod minimize;
#[cfg(test)]
mod mutation;
mod settings;
mod shrink;
mod story;
mod swarm;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

pub use self::case::{Broken, CaseSize};
use self::case::{Case, ENDS, broken, zeros};
use self::minimize::{MinimalCase, smaller};
use self::settings::Settings;
pub use self::story::RecordStory;
use self::swarm::Swarm;
use crate::base::{Clock, Seed, Time};
use crate::error::Error;
use crate::plan::{Overrides, compile};
use crate::scenario::{Diagnostic, Source, merged};
use crate::summary::{FaultSummary, Summary};

/// The extent of an exploration.
#[derive(Clone, Debug)]
pub struct ExploreSettings {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Number of threads that run cases.
    pub jobs: usize,
    /// Largest number of faults per seed.
    pub faults_max: u32,
    /// The settings that are drawn besides the faults.
    pub draw: Draw,
}

/// The settings that are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draw {
    /// No settings, only faults.
    Faults,
    /// Settings that neither the file nor an override sets.
    #[default]
    Open,
    /// Settings that no override sets.
    All,
}

/// The counts of an exploration so far.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Seeds that have run.
    pub seeds: u64,
    /// Virtual time of these runs, in nanoseconds.
    pub virtual_ns: u64,
    /// Records that were processed.
    pub delivered: u64,
    /// Keys of the settings that are drawn, by section.
    pub settings: BTreeMap<&'static str, Vec<&'static str>>,
    /// Number of faults, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Number of seeds in which each of these conditions occurred. A condition that never occurs shows that the faults
    /// had no such effect.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Runs made so far to find a smaller case.
    pub shrink_tries: usize,
}

/// A seed that broke an invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// The invariants that it broke.
    pub broken: Vec<Broken>,
    /// The size of its case.
    pub size: CaseSize,
    /// The smallest case that breaks the first of `broken`.
    pub smallest: Repro,
}

/// A case that was made as small as possible.
#[derive(Clone, Debug)]
pub struct Repro {
    /// The size of the case.
    pub size: CaseSize,
    /// The invariants that it breaks.
    pub broken: Vec<Broken>,
    /// True if nothing more can be left out: without any one of its faults the invariant holds. False if the search
    /// reached its limit of runs, or if the user ended it.
    pub is_minimal: bool,
    /// Number of runs that the search took.
    pub tries: usize,
    /// Real time that the search took.
    pub took: Duration,
    /// The scenario file.
    pub text: String,
    /// The events of the first record that the broken invariant counts; `None` if the invariant is not about single
    /// records.
    pub story: Option<RecordStory>,
}

/// The invariants: the name of each figure that must be 0, and its meaning.
pub fn invariants() -> impl Iterator<Item = (&'static str, &'static str)> {
    zeros().chain([ENDS])
}

/// Runs the seeds in order until one breaks an invariant, all have run, or `watch` returns false. With any number of
/// jobs, the smallest seed that breaks an invariant is reported.
///
/// # Errors
/// [`ExploreError::Scenario`] with all diagnostics of the scenario, or [`ExploreError::Run`] if a run fails because of
/// its environment.
pub fn explore(
    source: &Source,
    set: &[String],
    settings: &ExploreSettings,
    watch: &mut dyn FnMut(&Explored) -> bool,
) -> Result<(Explored, Option<Violation>), ExploreError> {
    let overrides =
        Overrides { broker: Some(crate::base::BrokerKind::simulated()), ..Overrides::default() };
    let plan = match compile(source, set, &overrides) {
        (Some(plan), _) => plan,
        (None, diagnostics) => return Err(ExploreError::Scenario(diagnostics)),
    };
    let base = Case::new(&source.name, merged(source, set));
    base.plan().map_err(ExploreError::Scenario)?;
    let drawn = match settings.draw {
        Draw::Faults => Settings::none(),
        Draw::Open => Settings::new(&plan, &merged(source, set)),
        Draw::All => {
            Settings::new(&plan, &merged(&Source { text: String::new(), ..source.clone() }, set))
        }
    };
    let case = |seed: u64| {
        let case = base.with_settings(seed, drawn.draw(Seed(seed)));
        // The plan was accepted before.
        let faults =
            case.plan().map(|plan| Swarm::new(&plan, settings.faults_max).draw(Seed(seed)));
        case.with(seed, faults.unwrap_or_default())
    };
    let (mut explored, first) = sweep(settings, &case, watch)?;
    for (section, key) in drawn.names() {
        explored.settings.entry(section).or_default().push(key);
    }
    let Some((seed, broken)) = first else { return Ok((explored, None)) };
    let case = case(seed);
    let size = case.size().map_err(ExploreError::Run)?;
    let smallest = smallest(&case, &broken[0], &mut |tries| {
        explored.shrink_tries = tries;
        watch(&explored)
    });
    let smallest = smallest.map_err(ExploreError::Run)?;
    Ok((explored, Some(Violation { seed, broken, size, smallest })))
}

/// Makes a case that breaks an invariant as small as possible.
fn smallest(
    case: &Case,
    broken_first: &Broken,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Repro, Error> {
    let clock = Clock::start();
    let MinimalCase { case, tries, is_minimal } = smaller(case, broken_first.figure, go_on);
    let took = clock.now().remaining(Time::ZERO);
    let outcome = case.run();
    let mut broken = broken(&outcome);
    // The invariant for which the case was made smaller comes first.
    broken.sort_by_key(|other| other.figure != broken_first.figure);
    let text = format!(
        "# Found by `lanekeeper explore` with seed {} and made smaller: `{}` is not 0 here, and must be: {}.\n\
         # It shows with `--broker sim`.\n\n{}",
        case.seed,
        broken_first.figure,
        broken_first.meaning,
        case.text()
    );
    let summary = outcome.ok();
    let story = summary.and_then(|summary| story::story(&case, &summary, broken_first.figure));
    Ok(Repro { size: case.size()?, broken, is_minimal, tries, took, text, story })
}

/// The reason why a scenario was not explored.
#[derive(Debug)]
pub enum ExploreError {
    /// The diagnostics of the scenario.
    Scenario(Vec<Diagnostic>),
    /// The error of a run.
    Run(Error),
}

type Found = (u64, Vec<Broken>);
type Outcome = (u64, Result<Summary, Error>);

/// Largest number of outcomes that are not counted yet.
const WAITING_MAX: usize = 64;

fn sweep(
    settings: &ExploreSettings,
    case: &(dyn Fn(u64) -> Case + Sync),
    watch: &mut dyn FnMut(&Explored) -> bool,
) -> Result<(Explored, Option<Found>), ExploreError> {
    let next = AtomicU64::new(settings.seeds.start);
    let end = AtomicU64::new(settings.seeds.end);
    let (sender, outcomes) = sync_channel::<Outcome>(WAITING_MAX);
    let mut explored = Explored::default();
    let mut first: Option<Found> = None;
    std::thread::scope(|scope| {
        for _ in 0..settings.jobs.max(1) {
            let (sender, next, end) = (sender.clone(), &next, &end);
            scope.spawn(move || work(next, end, case, &sender));
        }
        drop(sender);
        let mut failure = None;
        for (seed, outcome) in outcomes {
            let outcome = match outcome {
                // An error of the environment: neither the scenario nor the program is wrong.
                Err(error) if !matches!(error, Error::Bug(_) | Error::Limit(_)) => {
                    end.store(0, Ordering::Release);
                    failure.get_or_insert(error);
                    continue;
                }
                outcome => outcome,
            };
            explored.count(&outcome);
            let broken = broken(&outcome);
            if !broken.is_empty() && first.as_ref().is_none_or(|(least, _)| seed < *least) {
                // Smaller seeds that are running are completed. Larger ones are not started.
                end.fetch_min(seed, Ordering::AcqRel);
                first = Some((seed, broken));
            }
            if !watch(&explored) {
                end.store(0, Ordering::Release);
            }
        }
        failure.map_or(Ok(()), |error| Err(ExploreError::Run(error)))
    })?;
    Ok((explored, first))
}

/// Runs seeds until no seed is left.
fn work(
    next: &AtomicU64,
    end: &AtomicU64,
    case: &(dyn Fn(u64) -> Case + Sync),
    outcomes: &SyncSender<Outcome>,
) {
    loop {
        let seed = next.fetch_add(1, Ordering::AcqRel);
        if seed >= end.load(Ordering::Acquire) || outcomes.send((seed, case(seed).run())).is_err() {
            return;
        }
    }
}

/// True if a fault was injected before all partitions had recovered from an earlier one.
fn overlapping(faults: &[FaultSummary]) -> bool {
    let spans = faults.iter().filter_map(|fault| {
        let at_s = fault.at_s?;
        Some((at_s, at_s + fault.recovered_ms.unwrap_or(0.0) / 1e3))
    });
    let spans: Vec<(f64, f64)> = spans.collect();
    spans.windows(2).any(|pair| pair[1].0 < pair[0].1)
}

impl Explored {
    fn count(&mut self, outcome: &Result<Summary, Error>) {
        self.seeds += 1;
        let Ok(summary) = outcome else { return };
        self.virtual_ns +=
            summary.simulation.as_ref().map_or(0, |run| u64::try_from(run.virtual_ns).unwrap_or(0));
        self.delivered += summary.ledger.delivered;
        for fault in &summary.faults {
            *self.faults.entry(fault.kind.clone()).or_default() += 1;
        }
        let hit = summary.faults.iter().any(|fault| fault.blast_radius > 0);
        let simulated = summary.simulation.as_ref();
        let sometimes = [
            ("a consumer was restarted", summary.restarts > 0),
            ("three or more restarts", summary.restarts >= 3),
            ("records were processed again", summary.ledger.redelivered > 0),
            ("records of a fenced consumer were dropped", summary.fenced > 0),
            ("a partition stalled", hit),
            ("records waited for a pool", summary.lateness_us.max.is_some_and(|max| max > 0.0)),
            ("the group rebalanced", !summary.rebalances.is_empty()),
            ("a commit was refused", simulated.is_some_and(|run| run.refused_commits > 0)),
            (
                "a partition had three owners",
                summary.partitions.iter().any(|p| p.owners.len() >= 3),
            ),
            ("two faults overlapped", overlapping(&summary.faults)),
        ];
        for (what, happened) in sometimes {
            *self.sometimes.entry(what).or_default() += u64::from(happened);
        }
    }
}
