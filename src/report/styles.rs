//! Colours of reports, which are stripped if the output does not support them.

use anstyle::{AnsiColor, Style};

use super::words::{Outcome, outcome};
use crate::summary::{ExpectationSummary, Summary, Verdict};

/// For expectations that hold.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// For expectations that failed.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For undecided values, and values that need attention.
pub(super) const DOUBT: Style = AnsiColor::Yellow.on_default().bold();
/// Headings.
pub(super) const HEADING: Style = Style::new().bold();
/// For explanations.
pub(super) const QUIET: Style = Style::new().dimmed();

/// The style of a verdict.
pub(super) fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Passed => GOOD,
        Verdict::Failed => BAD,
        Verdict::Invalid | Verdict::Interrupted | Verdict::CutOff => DOUBT,
    }
}

/// The sign of an expectation, with its style.
pub(super) fn mark(summary: &Summary, expectation: &ExpectationSummary) -> (Style, char) {
    match outcome(summary, expectation) {
        Outcome::Holds => (GOOD, '✓'),
        Outcome::Fails => (BAD, '✗'),
        Outcome::Undecided => (DOUBT, '?'),
    }
}
