//! The files that `run` and `report` write besides the report, and annotations of a GitHub workflow.

use std::path::{Path, PathBuf};

use clap::Args;

use super::terminal::tell;
use crate::base::printable_path;
use crate::error::Error;
use crate::report::{FileKind, github_annotations, require_writable, write_file, write_page};
use crate::summary::Summary;

/// Set to `true` in every step of a GitHub workflow.
const IN_WORKFLOW: &str = "GITHUB_ACTIONS";

/// Files made of a result.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files made of the result")]
pub(super) struct OutputArguments {
    /// Write the result as one HTML page with charts. It loads nothing: it can be mailed or kept as a CI artifact.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write JUnit XML: a case for each expectation. `failure` is one that does not hold, `error` one that the run
    /// could not decide (invalid, interrupted or cut off).
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Append a summary in Markdown, as in `--summary-md "$GITHUB_STEP_SUMMARY"`.
    #[arg(long, value_name = "FILE")]
    summary_md: Option<PathBuf>,

    /// Write the figures of each second and partition as CSV.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl OutputArguments {
    fn files(&self) -> impl Iterator<Item = (FileKind, &Path)> {
        let files = [
            (FileKind::Html, &self.html),
            (FileKind::Junit, &self.junit),
            (FileKind::Markdown, &self.summary_md),
            (FileKind::Csv, &self.csv),
        ];
        files.into_iter().filter_map(|(kind, path)| Some((kind, path.as_deref()?)))
    }

    /// Checks before a run that all files can be written.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut files = self.files();
        files.try_for_each(|(_, path)| {
            require_writable(path).map_err(|error| Error::Environment(error.to_string()))
        })
    }

    /// Writes the files for the result in `directory`, and prints their paths.
    pub(super) fn write(&self, summary: &Summary, directory: &Path) -> Result<(), Error> {
        for (kind, path) in self.files() {
            write_file(kind, path, summary, directory)
                .map_err(|error| Error::Environment(error.to_string()))?;
            tell(&format!("wrote {}", printable_path(path)));
        }
        Ok(())
    }
}

/// The page of a comparison or of the guide.
#[derive(Debug, Args)]
pub(super) struct PageArguments {
    /// Write it as one HTML page with drawings. It loads nothing: it can be mailed or kept as a CI artifact.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl PageArguments {
    /// Checks before the runs that the file can be written.
    pub(super) fn check(&self) -> Result<(), Error> {
        let checked = self.html.as_deref().map_or(Ok(()), require_writable);
        checked.map_err(|error| Error::Environment(error.to_string()))
    }

    /// Writes the page if it is requested, and prints its path.
    pub(super) fn write(&self, page: impl FnOnce() -> String) -> Result<(), Error> {
        let Some(path) = &self.html else { return Ok(()) };
        write_page(path, &page()).map_err(|error| Error::Environment(error.to_string()))?;
        tell(&format!("wrote {}", printable_path(path)));
        Ok(())
    }
}

/// In a GitHub workflow, prints an annotation for each failed expectation, at its line of the scenario `file`. The
/// output is stderr, which the runner reads too, because a program may read stdout.
pub(super) fn annotate(summary: &Summary, file: Option<&Path>, text: &str) {
    if std::env::var_os(IN_WORKFLOW).is_none_or(|value| value != "true") {
        return;
    }
    let file = file.map(printable_path);
    for line in github_annotations(summary, file.as_deref(), text) {
        tell(&line);
    }
}
