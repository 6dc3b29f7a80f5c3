//! Errors and warnings about a scenario: the place, the reason, and the remedy.

use crate::base::printable;

/// A scenario file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The name in messages: the path as the user wrote it.
    pub name: String,
    /// The content of the file.
    pub text: String,
}

/// An error or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code, one of [`codes`](super::codes).
    pub code: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The message: lower case, the user's words in backticks, no full stop.
    pub message: String,
    /// The place in the scenario or the command line.
    pub origin: Origin,
    /// The text next to the caret; may be empty.
    pub label: String,
    /// The remedy; may be empty.
    pub remedy: String,
}

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The run cannot start.
    Error,
    /// The run can start, but its result may be misleading.
    Warning,
}

/// A place in the scenario or the command line. Positions are counted in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The file as a whole.
    WholeFile,
    /// A range of the scenario file.
    File {
        /// The first byte.
        start: usize,
        /// The byte after the last one.
        end: usize,
    },
    /// A position in a scenario file whose text is not available.
    Position {
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// A range of a `--set path=value`.
    Override {
        /// The index of the option, from 0.
        index: usize,
        /// The first byte.
        start: usize,
        /// The byte after the last one.
        end: usize,
    },
    /// Another option of the command line, which the message names.
    CommandLine,
}

impl Origin {
    /// True if this range is part of `other` in the same text.
    pub fn is_within(self, other: Origin) -> bool {
        match (self, other) {
            (Origin::File { start, end }, Origin::File { start: from, end: to }) => {
                from <= start && end <= to
            }
            (
                Origin::Override { index, start, end },
                Origin::Override { index: other, start: from, end: to },
            ) => index == other && from <= start && end <= to,
            _ => false,
        }
    }
}

/// The texts that diagnostics point to.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The scenario file.
    pub file: &'a Source,
    /// The `--set` options, each `path=value`.
    pub overrides: &'a [String],
}

impl Diagnostic {
    /// An error that points to `origin`.
    pub fn error(code: &'static str, origin: Origin, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            origin,
            label: String::new(),
            remedy: String::new(),
        }
    }

    /// A warning that points to `origin`.
    pub fn warning(code: &'static str, origin: Origin, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, origin, message) }
    }

    /// Adds a text next to the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// Adds a remedy, in one line.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Diagnostic {
        self.remedy = printable(&remedy.into()).into_owned();
        self
    }

    /// True if the diagnostic prevents a run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
