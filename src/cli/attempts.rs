//! `run --retry-invalid`: an invalid run is repeated. Each attempt keeps its result in a directory of its own.
//!
//! An invalid run says that this machine could not measure, and nothing about the scenario. A run that passes or fails has
//! decided, and is never repeated: repeating failures until one passes would hide them.

use std::path::{Path, PathBuf};

use super::terminal::tell;
use crate::base::printable_path;
use crate::error::Error;
use crate::run::Options;
use crate::summary::{Summary, Verdict};

/// Most repetitions: a machine that cannot measure ten times in a row is not the right one.
pub(super) const RETRIES_MAX: i64 = 10;

/// Whether the user has interrupted the run.
pub(super) fn is_interrupted(options: &Options) -> bool {
    options.interrupted.as_ref().is_some_and(|interrupted| *interrupted.borrow())
}

/// All attempts of a run.
#[derive(Debug)]
pub(super) struct Attempts {
    directories: Vec<PathBuf>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// From 1.
    number: usize,
    of: usize,
}

impl Attempts {
    /// A run whose result goes to `out`, repeated `retries` times at most.
    ///
    /// # Errors
    /// There is a result already where a later attempt would put its own.
    pub(super) fn new(retries: u32, out: &Path) -> Result<Attempts, Error> {
        let mut directories = vec![out.to_owned()];
        for number in 2..=retries + 1 {
            let mut name = out.as_os_str().to_owned();
            name.push(format!("-attempt-{number}"));
            let directory = PathBuf::from(name);
            let is_taken = directory.read_dir().is_ok_and(|mut found| found.next().is_some());
            if is_taken {
                return Err(Error::Environment(format!(
                    "{} is not empty: the result of attempt {number} would go there; remove it, or give another `--out`",
                    printable_path(&directory)
                )));
            }
            directories.push(directory);
        }
        Ok(Attempts { directories })
    }

    /// Runs until an attempt is not invalid, the user interrupts, or there are no more attempts. Returns the last summary.
    pub(super) fn run(
        &self,
        options: &Options,
        mut once: impl FnMut(&Path, &Attempt) -> Result<Summary, Error>,
    ) -> Result<Summary, Error> {
        let of = self.directories.len();
        let mut number = 1;
        loop {
            let (attempt, directory) = (Attempt { number, of }, &self.directories[number - 1]);
            if number > 1 {
                tell(&format!("attempt {number} of {of}"));
            }
            let summary = once(directory, &attempt)?;
            if !attempt.is_repeated(&summary, options) {
                return Ok(summary);
            }
            let reason = summary.invalid_reasons.first().map(String::as_str);
            tell(&format!(
                "attempt {number} of {of} is INVALID: {}; its result is kept in {}",
                reason.unwrap_or("no reason is known"),
                printable_path(directory)
            ));
            number += 1;
        }
    }
}

impl Attempt {
    /// Whether it is the first one.
    pub(super) fn is_first(&self) -> bool {
        self.number == 1
    }

    /// Whether it ended in a way that is repeated, and may be.
    pub(super) fn is_repeated(&self, summary: &Summary, options: &Options) -> bool {
        let is_invalid = summary.verdict == Verdict::Invalid;
        is_invalid && self.number < self.of && !is_interrupted(options)
    }

    /// What is said of it beside the place of its result.
    pub(super) fn note(&self) -> String {
        match self.of {
            1 => String::new(),
            of => format!(" (attempt {} of {of})", self.number),
        }
    }
}
