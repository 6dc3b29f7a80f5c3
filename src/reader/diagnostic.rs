//! What is wrong with a scenario: where, why, and what to do about it.

use crate::base::printable;

/// A scenario file as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages: the path as the user wrote it.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One mistake, or one thing worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable name of the kind of mistake, one of [`codes`](super::codes).
    pub code: &'static str,
    /// Whether it prevents a run.
    pub severity: Severity,
    /// What is wrong: lower case, the user's words in backticks, no full stop.
    pub message: String,
    /// The place of the mistake.
    pub origin: Origin,
    /// What to write next to the caret; may be empty.
    pub label: String,
    /// What to do; may be empty.
    pub remedy: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// It can be run, but the result may not mean what it seems to.
    Warning,
}

/// Where something was written. Positions are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In no place of the file in particular.
    WholeFile,
    /// In the scenario file.
    File {
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// In the scenario file, of which there is no text to point into.
    Position {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// In a `--set path=value`.
    Override {
        /// Which one, from 0.
        index: usize,
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// In another option of the command line, which the message names.
    CommandLine,
}

impl Origin {
    /// Whether it is a part of `other`, in the same text.
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

/// The texts diagnostics point into.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The scenario file.
    pub file: &'a Source,
    /// The `--set` options, `path=value` each.
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

    /// With words next to the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// With something to do about it, in one line.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Diagnostic {
        self.remedy = printable(&remedy.into()).into_owned();
        self
    }

    /// Whether it prevents a run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
