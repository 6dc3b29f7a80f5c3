//! Rounds: in each, every variant is run once under the same conditions.
//!
//! In virtual time all variants of a round have the same seed, so they share arrivals and times of faults (common
//! random numbers). Rounds run in parallel on all cores. On other brokers variants run one after another in a balanced
//! order, and an INVALID run is repeated.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::order::balanced;
use super::variant::Variant;
use crate::base::{Leftovers, Seed};
use crate::broker::settings::ClientFile;
use crate::error::Error;
use crate::plan::{Overrides, Plan};
use crate::run::{Observer, Options, run};
use crate::scenario::{Diagnostic, Source};
use crate::summary::{Summary, Verdict};

/// Largest number of repetitions of an INVALID run.
pub const REPEATS_MAX: usize = 2;

/// The runs to make, and the number of rounds.
#[derive(Clone, Debug)]
pub struct RoundSettings {
    /// Rounds that count.
    pub rounds: usize,
    /// Seed of the first round. The seeds of the others follow it.
    pub seed: u64,
    /// Broker and addresses.
    pub overrides: Overrides,
    /// The runs that count.
    pub counts: Counts,
    /// True if a broker in real time is warmed up by a run that does not count.
    pub warms_up: bool,
}

/// The choice of the runs that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// The runs of rounds in which every run is valid, because variants are compared.
    WholeRounds,
    /// Every valid run, because variants are not compared.
    EveryRun,
}

/// A run that was left out or repeated because it was INVALID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRun {
    /// The variant.
    pub variant: String,
    /// The round, from 1.
    pub round: usize,
    /// The reasons why its figures are not reliable.
    pub reasons: Vec<String>,
}

/// The results of the rounds.
#[derive(Clone, Debug, Default)]
pub struct RoundsDone {
    /// Index: the variant. The summaries of the rounds that count, in the order of the rounds.
    pub summaries: Vec<Vec<Summary>>,
    /// Runs that were INVALID.
    pub invalid: Vec<InvalidRun>,
    /// True if the user ended the runs before all rounds were complete.
    pub is_interrupted: bool,
}

/// Follows the rounds while they run: shows progress, and stores results.
pub trait RoundObserver: Sync {
    /// A run begins, after `done` of `total` runs. `what` is its name.
    fn begins(&self, done: usize, total: usize, what: &str);
    /// A run was INVALID. It is made again if `is_repeated`.
    fn invalid(&self, _run: &InvalidRun, _is_repeated: bool) {}
    /// The stored result of a run of an earlier, interrupted comparison; `None` if there is none.
    ///
    /// # Errors
    /// The path of the result has other content.
    fn kept(&self, _variant: usize, _round: usize) -> Result<Option<Summary>, Error> {
        Ok(None)
    }
    /// Checks before a run in real time that it may begin.
    ///
    /// # Errors
    /// The cluster is not in the state that the run expects.
    fn may_begin(&self, _plan: &Plan) -> Result<(), Error> {
        Ok(())
    }
    /// The observer of a run.
    ///
    /// # Errors
    /// The place for its result cannot be created.
    fn of_run(&self, variant: usize, round: usize, plan: &Plan)
    -> Result<Box<dyn Observer>, Error>;
    /// A run has ended.
    ///
    /// # Errors
    /// The result cannot be stored.
    fn ended(&self, variant: usize, round: usize, summary: &Summary) -> Result<(), Error>;
}

/// Turns the diagnostics of a variant into an error.
pub type ToError<'a> = &'a (dyn Fn(&Variant, &[Diagnostic]) -> Error + Sync);

/// The inputs that all runs share.
struct Rounds<'a> {
    source: &'a Source,
    variants: &'a [Variant],
    settings: &'a RoundSettings,
    client: &'a ClientFile,
    interrupted: watch::Receiver<bool>,
    leftovers: Leftovers,
    observer: &'a dyn RoundObserver,
    to_error: ToError<'a>,
}

/// Runs all rounds of all variants. After an interruption, the result has the complete rounds.
///
/// # Errors
/// A variant without a plan, or a run without a summary.
#[expect(clippy::too_many_arguments, reason = "each is another thing")]
pub fn run_rounds(
    source: &Source,
    variants: &[Variant],
    settings: &RoundSettings,
    client: &ClientFile,
    interrupted: watch::Receiver<bool>,
    leftovers: Leftovers,
    observer: &dyn RoundObserver,
    to_error: ToError<'_>,
) -> Result<RoundsDone, Error> {
    let rounds =
        Rounds { source, variants, settings, client, interrupted, leftovers, observer, to_error };
    let is_modelled = rounds.plan(0, 0)?.broker.kind().capability().is_modelled;
    if is_modelled { rounds.simulated() } else { rounds.in_real_time() }
}

impl Rounds<'_> {
    fn plan(&self, variant: usize, round: usize) -> Result<Plan, Error> {
        let seed = Some(self.settings.seed.saturating_add(round as u64));
        let overrides = Overrides { seed, ..self.settings.overrides.clone() };
        let variant = &self.variants[variant];
        let (plan, diagnostics) = variant.plan(self.source, &overrides);
        plan.ok_or_else(|| (self.to_error)(variant, &diagnostics))
    }

    fn options(&self) -> Options {
        Options {
            client: self.client.clone(),
            interrupted: Some(self.interrupted.clone()),
            leftovers: self.leftovers.clone(),
            ..Options::default()
        }
    }

    fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    /// Runs each run as a task of its own. The order in which threads take them changes no result.
    fn simulated(&self) -> Result<RoundsDone, Error> {
        let (variants, rounds) = (self.variants.len(), self.settings.rounds);
        let total = variants * rounds;
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
        let results: Mutex<Vec<Option<Summary>>> = Mutex::new(vec![None; total]);
        let work = || {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= total || self.is_interrupted() || lock(&failure).is_some() {
                    return;
                }
                let (variant, round) = (task % variants, task / variants);
                let made = self.plan(variant, round).and_then(|plan| {
                    if let Some(kept) = self.observer.kept(variant, round)? {
                        return Ok(kept);
                    }
                    self.observer.begins(task, total, &self.named(variant, round));
                    let observer = self.observer.of_run(variant, round, &plan)?;
                    let summary = run(plan, self.options(), observer)?;
                    self.observer.ended(variant, round, &summary)?;
                    Ok(summary)
                });
                match made {
                    Ok(summary) => lock(&results)[task] = Some(summary),
                    Err(Error::Interrupted | Error::CutOff(_)) if self.is_interrupted() => return,
                    Err(error) => *lock(&failure) = Some(error),
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..cores.min(total.max(1))).map(|_| scope.spawn(work)).collect();
            work();
            drop(helpers);
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        let results = std::mem::take(&mut *lock(&results));
        let by_round = results.chunks(variants.max(1)).map(<[_]>::to_vec).collect();
        Ok(self.done(by_round, Vec::new()))
    }

    fn in_real_time(&self) -> Result<RoundsDone, Error> {
        let (variants, rounds) = (self.variants.len(), self.settings.rounds);
        let orders = balanced(variants, rounds, Seed(self.settings.seed));
        let warms_up = self.settings.warms_up;
        let total = variants * rounds + usize::from(warms_up);
        let mut by_round = vec![vec![None; variants]; rounds];
        let mut invalid = Vec::new();
        let first = orders.first().and_then(|order| order.first()).copied().unwrap_or(0);
        if warms_up {
            self.observer.begins(0, total, &format!("warm-up: {}", self.variants[first].name));
            self.made(first, None)?;
        }
        let mut done = usize::from(warms_up);
        'rounds: for (round, order) in orders.iter().enumerate() {
            for &variant in order {
                if self.is_interrupted() {
                    break 'rounds;
                }
                by_round[round][variant] = match self.observer.kept(variant, round)? {
                    Some(kept) => Some(kept),
                    None => {
                        self.observer.begins(done, total, &self.named(variant, round));
                        self.valid(variant, round, &mut invalid)?
                    }
                };
                done += 1;
            }
        }
        Ok(self.done(by_round, invalid))
    }

    /// Runs until a run is not INVALID, with at most [`REPEATS_MAX`] repetitions.
    fn valid(
        &self,
        variant: usize,
        round: usize,
        invalid: &mut Vec<InvalidRun>,
    ) -> Result<Option<Summary>, Error> {
        for repeat in 0..=REPEATS_MAX {
            let Some(summary) = self.made(variant, Some(round))? else { return Ok(None) };
            if summary.verdict != Verdict::Invalid {
                self.observer.ended(variant, round, &summary)?;
                return Ok(Some(summary));
            }
            let run = self.invalid(variant, round, &summary);
            self.observer.invalid(&run, repeat < REPEATS_MAX);
            invalid.push(run);
        }
        Ok(None)
    }

    fn invalid(&self, variant: usize, round: usize, summary: &Summary) -> InvalidRun {
        let variant = self.variants[variant].name.clone();
        InvalidRun { variant, round: round + 1, reasons: summary.invalid_reasons.clone() }
    }

    /// Makes one run on a broker in real time. Without a round it is a warm-up. `None` if it was interrupted.
    fn made(&self, variant: usize, round: Option<usize>) -> Result<Option<Summary>, Error> {
        let plan = self.plan(variant, round.unwrap_or(0))?;
        self.observer.may_begin(&plan)?;
        let observer = match round {
            Some(round) => self.observer.of_run(variant, round, &plan)?,
            None => Box::new(()),
        };
        match run(plan, self.options(), observer) {
            Ok(summary) => Ok((!matches!(summary.verdict, Verdict::Interrupted | Verdict::CutOff))
                .then_some(summary)),
            Err(Error::Interrupted | Error::CutOff(_)) if self.is_interrupted() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn named(&self, variant: usize, round: usize) -> String {
        format!("{}, round {} of {}", self.variants[variant].name, round + 1, self.settings.rounds)
    }

    /// The results of the rounds, with only those that count.
    fn done(
        &self,
        by_round: Vec<Vec<Option<Summary>>>,
        mut invalid: Vec<InvalidRun>,
    ) -> RoundsDone {
        let mut summaries = vec![Vec::new(); self.variants.len()];
        for (number, round) in by_round.into_iter().enumerate() {
            if self.settings.counts == Counts::EveryRun {
                for (at, summary) in round.into_iter().enumerate() {
                    let Some(summary) = summary.filter(|it| !is_cut(it)) else { continue };
                    match summary.verdict {
                        Verdict::Invalid => invalid.push(self.invalid(at, number, &summary)),
                        _ => summaries[at].push(summary),
                    }
                }
                continue;
            }
            let whole: Option<Vec<Summary>> = round.into_iter().collect();
            let Some(whole) = whole else { continue };
            if whole.iter().any(is_cut) {
                continue;
            }
            let unfit: Vec<usize> =
                (0..whole.len()).filter(|at| whole[*at].verdict == Verdict::Invalid).collect();
            invalid.extend(unfit.iter().map(|at| self.invalid(*at, number, &whole[*at])));
            if unfit.is_empty() {
                summaries.iter_mut().zip(whole).for_each(|(all, summary)| all.push(summary));
            }
        }
        RoundsDone { summaries, invalid, is_interrupted: self.is_interrupted() }
    }
}

/// True if a run was interrupted or cut off.
fn is_cut(summary: &Summary) -> bool {
    matches!(summary.verdict, Verdict::Interrupted | Verdict::CutOff)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
