//! The report as text: the short or the full one.

use super::full_report::full_report;
use super::partition_view::partition_report;
use super::renderer::{Page, Renderer};
use super::short::short_report;
use super::styles::verdict_style;
use super::words::{judged, verdict_word};
use crate::summary::Summary;

/// The report, then the place of the result, then the verdict again.
pub(super) const TEXT: Renderer = Renderer {
    name: "text",
    meaning: "The report",
    is_for_programs: false,
    print: |summary, page| Ok(text(summary, page)),
};

fn text(summary: &Summary, page: &Page<'_>) -> String {
    let asked = page.partition.and_then(|id| partition_report(summary, id, page.width));
    if asked.is_none() && !page.is_full {
        return short_report(summary, page.width, page.last_line);
    }
    let report = asked.unwrap_or_else(|| full_report(summary, page.width));
    let (style, word) = (verdict_style(summary.verdict), verdict_word(summary.verdict));
    format!("{}\n{}\n{style}{word}{style:#}  {}\n", report, page.last_line, judged(summary))
}
