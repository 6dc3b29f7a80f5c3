//! Files that a user requests besides the report: the page, JUnit, Markdown and CSV. Each is made from a result
//! directory, so it can be made again later.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::directory::replace;
use super::html::{PageParts, html_page};
use super::junit::junit_report;
use super::seconds::{Seconds, write_csv};
use super::step_summary::markdown_summary;
use crate::base::{FileError, printable_path, require_regular};
use crate::summary::Summary;

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The page.
    Html,
    /// A case for each expectation.
    Junit,
    /// Markdown, appended to the file.
    Markdown,
    /// The seconds as CSV.
    Csv,
}

/// The reason why a file is not written.
#[derive(Debug, Error)]
pub enum FileOutputError {
    /// The path cannot be written to.
    #[error("cannot write `{}`: {why}; choose another path or make room", printable_path(.path))]
    Target {
        /// Path of the file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The sources of the file cannot be read.
    #[error("cannot write `{}`: seconds.jsonl of the result cannot be read: {error}", printable_path(.path))]
    Source {
        /// Path of the file.
        path: PathBuf,
        /// The error of reading `seconds.jsonl`.
        error: FileError,
    },
}

/// Checks before a run that a file can be written at this path.
///
/// # Errors
/// The path is not that of a file, its directory does not exist, or the operating system refuses.
pub fn require_writable(path: &Path) -> Result<(), FileOutputError> {
    let refused = |why: String| FileOutputError::Target { path: path.to_owned(), why };
    require_regular(path).map_err(|error| refused(error.to_string()))?;
    let is_new = !path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| refused(error.to_string()))?;
    if is_new {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// Writes a file of a result whose directory is `directory`.
///
/// # Errors
/// The file cannot be written, or its source cannot be read.
pub fn write_file(
    kind: FileKind,
    path: &Path,
    summary: &Summary,
    directory: &Path,
) -> Result<(), FileOutputError> {
    let refused = |error: &dyn ToString| FileOutputError::Target {
        path: path.to_owned(),
        why: error.to_string(),
    };
    require_regular(path).map_err(|error| refused(&error))?;
    match kind {
        FileKind::Html => whole(path, html_page(summary, &PageParts::read(directory)).as_bytes()),
        FileKind::Junit => {
            let text = junit_report(summary).map_err(|error| refused(&error))?;
            whole(path, text.as_bytes())
        }
        FileKind::Markdown => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.and_then(|mut file| file.write_all(markdown_summary(summary).as_bytes()))
        }
        FileKind::Csv => {
            let source = |error| FileOutputError::Source { path: path.to_owned(), error };
            let seconds = Seconds::open(directory).map_err(source)?;
            replaced(path, |file| write_csv(seconds, BufWriter::new(file)))
        }
    }
    .map_err(|error| refused(&error))
}

/// Writes a page that was already made.
///
/// # Errors
/// The file cannot be written.
pub fn write_page(path: &Path, page: &str) -> Result<(), FileOutputError> {
    let refused = |why: String| FileOutputError::Target { path: path.to_owned(), why };
    require_regular(path).map_err(|error| refused(error.to_string()))?;
    whole(path, page.as_bytes()).map_err(|error| refused(error.to_string()))
}

fn whole(path: &Path, text: &[u8]) -> io::Result<()> {
    replaced(path, |file| file.write_all(text))
}

/// Replaces the file at `path`. If that fails, no temporary file is left.
fn replaced(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, write).inspect_err(|_| {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let _ = std::fs::remove_file(part);
    })
}
