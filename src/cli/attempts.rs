//! `run --retry-invalid`: an invalid run is repeated. Each attempt keeps its result in a directory of its own.
//!
//! An invalid run shows that this machine could not measure, and decides nothing about the scenario. A run that passes
//! or fails has decided, and is never repeated. Repeating failures until a run passes would hide them.

use std::path::{Path, PathBuf};

use super::terminal::tell;
use crate::base::printable_path;
use crate::error::Error;
use crate::run::Options;
use crate::summary::{Summary, Verdict};

/// Largest number of repetitions. A machine that cannot measure ten times in a row is not suitable.
pub(super) const RETRIES_MAX: i64 = 10;

/// True if the user has interrupted the run.
pub(super) fn is_interrupted(options: &Options) -> bool {
    options.interrupted.as_ref().is_some_and(|interrupted| *interrupted.borrow())
}

/// All attempts of a run.
#[derive(Debug)]
pub(super) struct Attempts {
    directories: Vec<PathBuf>,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Number of the attempt, from 1.
    number: usize,
    of: usize,
}

impl Attempts {
    /// A run with its result in `out`, repeated at most `retries` times.
    ///
    /// # Errors
    /// The place for the result of a later attempt is taken.
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

    /// Runs until an attempt is not invalid, the user interrupts, or no attempt is left. Returns the last summary.
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
    /// True for the first attempt.
    pub(super) fn is_first(&self) -> bool {
        self.number == 1
    }

    /// True if the attempt was invalid and is repeated.
    pub(super) fn is_repeated(&self, summary: &Summary, options: &Options) -> bool {
        let is_invalid = summary.verdict == Verdict::Invalid;
        is_invalid && self.number < self.of && !is_interrupted(options)
    }

    /// A remark about the attempt, for the line with the place of its result.
    pub(super) fn note(&self) -> String {
        match self.of {
            1 => String::new(),
            of => format!(" (attempt {} of {of})", self.number),
        }
    }
}
