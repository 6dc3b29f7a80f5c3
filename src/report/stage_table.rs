//! The stages of the load in a report, one row each.

use super::table::{Table, us};
use crate::base::format_count;
use crate::summary::{StageSummary, Summary};

/// A column: its heading, and the text of a stage.
type StageColumn = (&'static str, fn(&StageSummary) -> String);

/// The figures of a stage.
const COLUMNS: [StageColumn; 8] = [
    ("from", |stage| seconds(stage.from_s)),
    ("to", |stage| seconds(stage.to_s) + if stage.ended_early { "*" } else { "" }),
    ("offered/s", |stage| rate(stage.offered_per_s)),
    ("processed/s", |stage| rate(stage.processed_per_s)),
    ("p50", |stage| us(stage.response_us.p50)),
    ("p99", |stage| us(stage.response_us.p99)),
    ("max", |stage| us(stage.response_us.max)),
    ("lag max", |stage| format_count(stage.lag_max)),
];

/// The headings, and a row for each stage; empty without stages.
pub(super) fn stage_table(summary: &Summary) -> Table {
    let mut table = Table::default();
    if summary.stages.is_empty() {
        return table;
    }
    let headings = COLUMNS.iter().map(|(heading, _)| (*heading).to_owned());
    table.row(std::iter::once(String::new()).chain(headings));
    for stage in &summary.stages {
        let cells = COLUMNS.iter().map(|(_, cell)| cell(stage));
        table.row(std::iter::once(format!("{} {}", stage.stage, stage.name)).chain(cells));
    }
    table
}

/// The text after the heading.
pub(super) fn stage_note(summary: &Summary) -> &'static str {
    match summary.stages.iter().any(|stage| stage.ended_early) {
        true => "latency of the records due in each; * ended as the lag was 0",
        false => "latency of the records due in each",
    }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1}s")
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"))
}
