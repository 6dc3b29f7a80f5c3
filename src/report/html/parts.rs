//! The inputs of the page besides the summary: files of the result directory.

use std::io::ErrorKind;
use std::path::Path;

use crate::base::{FileError, printable, read_regular};
use crate::report::directory::SCENARIO;
use crate::report::seconds::{SECONDS, Seconds};
use crate::report::series::Series;

/// Largest size of a scenario in bytes.
const SCENARIO_MAX: u64 = 1 << 20;

/// The inputs of the page besides the summary.
#[derive(Debug, Default)]
pub struct PageParts {
    /// Partitions over time; `None` if the seconds cannot be read.
    pub series: Option<Series>,
    /// The scenario as it was read; `None` if it cannot be read.
    pub scenario: Option<String>,
    /// The files that could not be read, each with the reason.
    pub notes: Vec<String>,
}

impl PageParts {
    /// Reads the files of a run's directory. A page can be made without any of them.
    pub fn read(directory: &Path) -> PageParts {
        let mut parts = PageParts::default();
        let series = Seconds::open(directory)
            .and_then(|seconds| Series::read(seconds).map_err(FileError::from));
        match series {
            Ok(series) => parts.series = Some(series),
            Err(error) => parts.note(SECONDS, &error),
        }
        let text = read_regular(&directory.join(SCENARIO), SCENARIO_MAX).and_then(|bytes| {
            let unreadable = |_| FileError::Refused(ErrorKind::InvalidData.into());
            String::from_utf8(bytes).map_err(unreadable)
        });
        match text {
            Ok(text) => parts.scenario = Some(shown(&text)),
            Err(error) => parts.note(SCENARIO, &error),
        }
        parts
    }

    fn note(&mut self, name: &str, error: &FileError) {
        self.notes.push(format!("{name} is left out: {error}"));
    }
}

/// The text with its line feeds, and with other control characters escaped.
fn shown(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| printable(line).replace("\\t", "  ")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_noted_and_nothing_else_happens() {
        let scratch = tempfile::tempdir().unwrap();
        let parts = PageParts::read(scratch.path());
        assert!(parts.series.is_none() && parts.scenario.is_none());
        assert_eq!(parts.notes.len(), 2, "{:?}", parts.notes);
        std::fs::write(scratch.path().join(SCENARIO), "a = 1\n\u{1b}[2Jb = 2\r\n").unwrap();
        let parts = PageParts::read(scratch.path());
        assert_eq!(parts.scenario.as_deref(), Some("a = 1\n\\u{1b}[2Jb = 2"));
    }
}
