//! The processes of a run in a report, one row each.

use super::table::{Table, us};
use crate::base::{format_bytes, format_count};
use crate::summary::{ShareState, ShareSummary, Summary};

/// A column: its heading, and the text of a process.
type ShareColumn = (&'static str, fn(&ShareSummary) -> String);

/// The figures of a process.
const COLUMNS: [ShareColumn; 9] = [
    ("state", |share| {
        let word = match share.state {
            ShareState::Complete => "complete",
            ShareState::Interrupted => "interrupted",
            ShareState::Lost => "lost",
        };
        word.to_owned()
    }),
    ("host", |share| share.host.clone().unwrap_or_else(|| "-".to_owned())),
    ("clock", |share| match (share.same_clock, share.clock_bound_us) {
        (true, _) => "same".to_owned(),
        (false, bound) => bound.map_or("-".to_owned(), |_| format!("\u{b1}{}", us(bound))),
    }),
    ("partitions", |share| share.partitions.len().to_string()),
    ("producers", |share| format_count(share.producers.into())),
    ("sent", |share| format_count(share.sent)),
    ("processed", |share| format_count(share.delivered)),
    ("late p99", |share| us(share.lateness_p99_us)),
    ("memory", |share| share.rss_max_bytes.map_or("-".to_owned(), format_bytes)),
];

/// The headings, and a row for each process; empty for a run in one process.
pub(super) fn shares_table(summary: &Summary) -> Table {
    let mut table = Table::default();
    let Some(shares) = &summary.shares else { return table };
    let headings = COLUMNS.iter().map(|(heading, _)| (*heading).to_owned());
    table.row(std::iter::once(String::new()).chain(headings));
    for share in &shares.processes {
        let cells = COLUMNS.iter().map(|(_, cell)| cell(share));
        table.row(std::iter::once(share.share.to_string()).chain(cells));
    }
    table
}

/// Number of processes, and the accuracy of their times; `None` for a run in one process.
pub(super) fn shares_in_words(summary: &Summary) -> Option<String> {
    let shares = summary.shares.as_ref()?;
    let lost: Vec<String> = shares.lost().map(|share| share.share.to_string()).collect();
    let there = shares.processes.len() - lost.len();
    let clocks = match (shares.clocks, shares.clock_bound_us) {
        (1, _) => "one clock".to_owned(),
        (clocks, Some(bound)) => {
            format!("{clocks} clocks, latency between them known to \u{b1}{}", us(Some(bound)))
        }
        (clocks, None) => format!("{clocks} clocks"),
    };
    let lost = match lost.is_empty() {
        true => String::new(),
        false => format!("; lost: {}", lost.join(", ")),
    };
    Some(format!("{there} of {} processes, {clocks}{lost}", shares.count))
}
