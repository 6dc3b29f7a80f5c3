//! The settings of the view that keys change, and texts that all parts of it use.

use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

/// Order of the partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SortBy {
    /// By id of the partition.
    #[default]
    Number,
    /// Largest p99 first.
    P99,
    /// Largest lag first.
    Lag,
}

impl SortBy {
    /// Name of the order.
    pub(super) fn name(self) -> &'static str {
        match self {
            SortBy::Number => "number",
            SortBy::P99 => "p99",
            SortBy::Lag => "lag",
        }
    }

    /// The next order.
    pub(super) fn next(self) -> SortBy {
        match self {
            SortBy::Number => SortBy::P99,
            SortBy::P99 => SortBy::Lag,
            SortBy::Lag => SortBy::Number,
        }
    }
}

/// The state of the view besides the snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct ViewState {
    /// Order of the partitions.
    pub(super) sort: SortBy,
    /// True if the snapshot is frozen.
    pub(super) is_frozen: bool,
    /// True if the run was told to stop.
    pub(super) is_stopping: bool,
    /// True if colours are allowed.
    pub(super) has_colours: bool,
    /// Time since the load began.
    pub(super) elapsed: Duration,
    /// The last text that was held back from stderr.
    pub(super) said: Option<String>,
}

impl ViewState {
    /// A style with this colour, or with this modifier if colours are not allowed.
    pub(super) fn style(&self, colour: Color, otherwise: Modifier) -> Style {
        match self.has_colours {
            true => Style::new().fg(colour),
            false => Style::new().add_modifier(otherwise),
        }
    }
}

/// Width of a text in columns.
pub(super) fn length(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, or its beginning and a mark if it is longer than `width`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(width.saturating_sub(1)).collect();
    while length(&kept) > width.saturating_sub(1) {
        kept.pop();
    }
    kept + "…"
}

/// Milliseconds with the significant digits; `-` without a value.
pub(super) fn millis(ns: Option<u64>) -> String {
    match ns.map(|ns| ns as f64 / 1e6) {
        None => "-".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 1000.0 => format!("{ms:.0} ms"),
        Some(ms) if ms < 100_000.0 => format!("{:.1} s", ms / 1e3),
        Some(ms) => format!("{:.0} s", ms / 1e3),
    }
}
