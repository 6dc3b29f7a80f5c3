//! Reads the result in a directory: the summary of a finished run, or the last summary that a run wrote before it was
//! cut off. Damaged files are reported, and their figures are not shown.
//!
//! Texts of a summary are escaped for the terminal, because the file may come from an untrusted source.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::directory::{APPENDED, RESULT, SCENARIO, SO_FAR};
use super::sums::{Found, Sums, is_intact, look};
use crate::base::{FileError, printable, printable_path, read_regular};
use crate::summary::{SCHEMA_VERSION, Summary, Verdict};

/// The oldest format with the same meanings of figures.
const OLDEST: u32 = 2;
/// The oldest format with checksums.
const CHECKED: u32 = 3;
/// Largest size of a summary in bytes. A summary of a thousand partitions and a hundred faults has a sixth of it.
const SUMMARY_MAX: u64 = 256 << 20;

/// The reason why a stored result cannot be shown.
#[derive(Debug, Error)]
pub enum StoredError {
    /// The directory does not exist.
    #[error("there is no directory `{0}`; give the one that a run has named after `saved to`")]
    NoDirectory(String),
    /// The path is not that of a directory.
    #[error("`{0}` is a file; give the directory that a run has named after `saved to`")]
    File(String),
    /// The directory has no summary.
    #[error(
        "`{0}` is not a result directory: it has neither {RESULT} nor {SO_FAR}; if its run ended within the first \
         second of the load, see run.log there"
    )]
    NoResult(String),
    /// A file cannot be read.
    #[error("cannot read `{path}`: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// The error of reading it.
        error: FileError,
    },
    /// A later version has written the result.
    #[error(
        "`{path}` has format {found}, and this lanekeeper ({}) knows formats up to {SCHEMA_VERSION}; use the version \
         that wrote it, or a later one",
        env!("CARGO_PKG_VERSION")
    )]
    TooNew {
        /// The file.
        path: String,
        /// The format of the result.
        found: u32,
    },
    /// An earlier version, whose figures had another meaning, has written the result.
    #[error(
        "`{path}` has format {found}, which an earlier version wrote, and some of its figures mean something else than \
         those of lanekeeper {}; show it with the version that wrote it, or run the scenario in it again",
        env!("CARGO_PKG_VERSION")
    )]
    TooOld {
        /// The file.
        path: String,
        /// The format of the result.
        found: u32,
    },
    /// The file is no summary, or not the one that was written.
    #[error(
        "`{path}` is damaged, or was changed after it was written: {why}. None of its figures is shown\n  \
         help: take the file from a copy, or run the scenario again"
    )]
    Damaged {
        /// The file.
        path: String,
        /// The reason, as part of a sentence.
        why: String,
    },
    /// The summary is intact, but files beside it are not.
    #[error(
        "the files in `{directory}` are damaged, were changed, or are not of one run:{}\n  \
         help: take them from a copy; or move them elsewhere to see the report, which is made of `{summary}` alone",
        listed(.files)
    )]
    FilesDamaged {
        /// The result directory.
        directory: String,
        /// The summary's name.
        summary: &'static str,
        /// The damaged files, each with the damage.
        files: Vec<(&'static str, String)>,
    },
}

fn listed(files: &[(&'static str, String)]) -> String {
    files.iter().map(|(name, why)| format!("\n  `{name}`: {why}")).collect()
}

/// The files of a result.
#[derive(Debug)]
pub struct StoredResult {
    /// The summary.
    pub summary: Summary,
    /// Files that could not be checked or do not exist, which does not change a figure of the summary.
    pub notes: Vec<String>,
}

/// The result in `directory`. The summary of a run that was cut off, or is still running, has the verdict
/// [`CutOff`](crate::summary::Verdict::CutOff).
///
/// # Errors
/// There is no result, it cannot be read, it is damaged, or its format is not known.
pub fn read_result(directory: &Path) -> Result<StoredResult, StoredError> {
    read(directory, true)
}

/// The summary alone. It has its own checksum, and the files beside it are not read because they may be large.
///
/// # Errors
/// The same as [`read_result`].
pub fn read_summary(directory: &Path) -> Result<Summary, StoredError> {
    read(directory, false).map(|stored| stored.summary)
}

fn read(directory: &Path, with_files: bool) -> Result<StoredResult, StoredError> {
    let named = printable_path(directory);
    if !directory.is_dir() {
        let is_there = directory.exists();
        return Err(if is_there {
            StoredError::File(named)
        } else {
            StoredError::NoDirectory(named)
        });
    }
    // A run that ends at this time removes the second file after it has written the first one.
    for name in [RESULT, SO_FAR, RESULT] {
        let path = directory.join(name);
        match read_regular(&path, SUMMARY_MAX) {
            Ok(text) => return checked((directory, name), &path, &text, with_files),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                return Err(StoredError::Unreadable { path: printable_path(&path), error });
            }
        }
    }
    Err(StoredError::NoResult(named))
}

/// The fields that every format has: its version, and the checksums of other files.
#[derive(Deserialize)]
struct Envelope {
    schema_version: u32,
    #[serde(default)]
    files: Sums,
}

fn checked(
    (directory, name): (&Path, &'static str),
    path: &Path,
    text: &[u8],
    with_files: bool,
) -> Result<StoredResult, StoredError> {
    let damaged = |why: String| StoredError::Damaged { path: printable_path(path), why };
    let no_result = |error: serde_json::Error| {
        damaged(format!("it is not a result of lanekeeper ({})", printable(&error.to_string())))
    };
    let intact = is_intact(text);
    if intact == Some(false) {
        return Err(damaged(
            "its content does not have the checksum it was written with".to_owned(),
        ));
    }
    let envelope: Envelope = serde_json::from_slice(text).map_err(no_result)?;
    let found = envelope.schema_version;
    if found > SCHEMA_VERSION {
        return Err(StoredError::TooNew { path: printable_path(path), found });
    }
    if found < OLDEST {
        return Err(StoredError::TooOld { path: printable_path(path), found });
    }
    if intact.is_none() && found >= CHECKED {
        return Err(damaged("it does not end with its checksum".to_owned()));
    }
    let summary: Summary = serde_json::from_slice(text).map_err(no_result)?;
    let mut notes = Vec::new();
    if intact.is_none() {
        if let Some(why) = contradiction(&summary) {
            return Err(damaged(why));
        }
        notes.push(format!(
            "`{}` has format {found}, which has no checksums: whether it is damaged cannot be told",
            printable_path(path)
        ));
    }
    if with_files {
        look_at_files(directory, name, &envelope.files, &mut notes)?;
    }
    Ok(StoredResult { summary, notes })
}

/// Compares the files beside the summary with its checksums.
fn look_at_files(
    directory: &Path,
    summary: &'static str,
    sums: &Sums,
    notes: &mut Vec<String>,
) -> Result<(), StoredError> {
    let mut files = Vec::new();
    // Only known names are checked, because names in the summary could be paths to other places.
    for name in std::iter::once(SCENARIO).chain(APPENDED) {
        let Some(sum) = sums.get(name) else { continue };
        // The last line may be incomplete.
        let grows = summary == SO_FAR && name != SCENARIO;
        match look(&directory.join(name), sum, grows) {
            Found::Intact => {}
            Found::Missing => notes.push(format!("`{name}` is not there any more")),
            Found::Unchecked => notes.push(format!("`{name}` is too large to be checked")),
            Found::Damaged(why) => files.push((name, why)),
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    Err(StoredError::FilesDamaged { directory: printable_path(directory), summary, files })
}

/// A value that a result with these settings cannot have; `None` if there is none. Without a checksum, such values are
/// the only sign of damage.
fn contradiction(summary: &Summary) -> Option<String> {
    let broken = summary.expectations.iter().find(|expectation| !expectation.passed)?;
    (summary.verdict == Verdict::Passed).then(|| {
        format!(
            "its verdict is `passed`, although `{}` does not hold",
            printable(&broken.expression)
        )
    })
}

/// Largest number of characters of a text that are shown.
const TEXT_MAX: usize = 4_096;

/// The summary with [`printable`] texts of a limited length. The error is about a figure that is no number.
pub(super) fn readable(summary: &Summary) -> serde_json::Result<Cow<'_, Summary>> {
    let mut value = serde_json::to_value(summary)?;
    if !clean(&mut value) {
        return Ok(Cow::Borrowed(summary));
    }
    serde_json::from_value(value).map(Cow::Owned)
}

/// Escapes all texts in a value. True if a text has changed.
fn clean(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let Some(shown) = shown(text) else { return false };
            *text = shown;
            true
        }
        Value::Array(items) => any(items.iter_mut()),
        Value::Object(fields) => {
            let wrong: Vec<(String, String)> =
                fields.keys().filter_map(|key| Some((key.clone(), shown(key)?))).collect();
            let has_wrong = !wrong.is_empty();
            for (key, shown) in wrong {
                let value = fields.remove(&key).unwrap_or_default();
                fields.insert(shown, value);
            }
            any(fields.values_mut()) || has_wrong
        }
        _ => false,
    }
}

/// True if a text in any of the values has changed. All are escaped.
fn any<'a>(values: impl Iterator<Item = &'a mut Value>) -> bool {
    values.map(clean).filter(|changed| *changed).count() > 0
}

/// The printable form of a text, if it differs from the text.
fn shown(text: &str) -> Option<String> {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => Some(format!("{} …", printable(&text[..end]))),
        None => match printable(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(shown) => Some(shown),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_terminal_obeys_is_changed() {
        let mut summary = Summary { scenario: "größer".to_owned(), ..Summary::default() };
        assert!(matches!(readable(&summary), Ok(Cow::Borrowed(_))));
        summary.warnings.push("\u{1b}[31mred".to_owned());
        summary.warnings.push("x".repeat(TEXT_MAX + 1));
        summary.given_up.insert(7, "a\nb".to_owned());
        summary.not_measured.insert("\u{202e}".to_owned(), String::new());
        let shown = readable(&summary).unwrap();
        assert_eq!(shown.warnings[0], "\\u{1b}[31mred");
        assert_eq!(shown.warnings[1].chars().count(), TEXT_MAX + 2);
        assert_eq!(shown.given_up[&7], "a\\nb");
        assert!(shown.not_measured.contains_key("\\u{202e}"));
        assert_eq!(shown.scenario, summary.scenario);
    }
}
