//! Stored results as variants. A directory is a variant, and result directories in it are its rounds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::terminal::tell;
use crate::base::printable_path;
use crate::compare::{VariantRounds, settings};
use crate::error::Error;
use crate::report::{StoredError, StoredResult, read_result};
use crate::scenario::load;
use crate::summary::Verdict;

/// Name of the scenario in a result directory.
const SCENARIO: &str = "scenario.toml";

/// A variant with its settings, as `section.key` and value.
pub(super) struct StoredVariant {
    /// Its rounds.
    pub(super) rounds: VariantRounds,
    /// Its settings.
    pub(super) settings: BTreeMap<String, String>,
    /// Rounds that are left out, with the reasons.
    pub(super) left_out: Vec<String>,
}

/// Reads the results in `directory`.
///
/// # Errors
/// There is no result, or none that can be compared.
pub(super) fn stored(directory: &Path) -> Result<StoredVariant, Error> {
    let name = printable_path(directory);
    let input = |error: StoredError| Error::Input(error.to_string());
    let found = match read_result(directory) {
        Ok(found) => vec![(directory.to_owned(), found)],
        Err(StoredError::NoResult(why)) => {
            let below = below(directory);
            if below.is_empty() {
                return Err(input(StoredError::NoResult(why)));
            }
            let read = |path: PathBuf| Ok((path.clone(), read_result(&path).map_err(input)?));
            below.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?
        }
        Err(error) => return Err(input(error)),
    };
    let mut variant = StoredVariant {
        rounds: VariantRounds { name: name.clone(), ..VariantRounds::default() },
        settings: BTreeMap::new(),
        left_out: Vec::new(),
    };
    for (path, StoredResult { summary, notes }) in found {
        notes.iter().for_each(|note| tell(&format!("note: {note}")));
        let at = printable_path(&path);
        match summary.verdict {
            Verdict::Invalid => variant
                .left_out
                .push(format!("{at} is INVALID: {}", summary.invalid_reasons.join("; "))),
            Verdict::Interrupted | Verdict::CutOff => {
                variant.left_out.push(format!("{at} did not come to its end"));
            }
            Verdict::Passed | Verdict::Failed => {
                if let Ok(source) = load(&path.join(SCENARIO)) {
                    variant.settings = settings(&source, &summary.overrides);
                }
                variant.rounds.overrides.clone_from(&summary.overrides);
                variant.rounds.summaries.push(summary);
            }
        }
    }
    if variant.rounds.summaries.is_empty() {
        return Err(Error::Input(format!(
            "`{name}` has no result that can be compared: {}; run it again",
            variant.left_out.join("; ")
        )));
    }
    Ok(variant)
}

/// The directories in `directory`, sorted by name.
fn below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut all: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    all.sort();
    all
}
