//! Latency and its parts in one unit, with a small histogram.

use super::sections::Section;
use super::unit::TimeUnit;
use crate::base::format_count;
use crate::report::styles::{DOUBT, HEADING, QUIET};
use crate::report::table::{Table, lines_of};
use crate::summary::{Buckets, Digest, METRICS, Metric, Need, Quantile, Summary};

/// The quantiles of a row, each with its heading.
const QUANTILES: [(Quantile, &str); 5] = [
    (Quantile::P50, "p50"),
    (Quantile::P90, "p90"),
    (Quantile::P99, "p99"),
    (Quantile::P999, "p99.9"),
    (Quantile::Max, "max"),
];

/// Names of the parts.
const PARTS: &str = "produce: sent → acked; fetch + handle: sent → processed";

/// A row: its name, and the distribution.
type Row<'a> = (&'static str, &'a Digest);

/// The section.
pub(super) fn latency(s: &Summary, unit: TimeUnit, width: usize) -> Section {
    let rows = rows(s);
    let mut section = Section { is_apart: true, ..Section::default() };
    if s.latency_us.response.count == 0 {
        let nothing = "no record due in the measured window was processed";
        section.head.push(format!("{HEADING}LATENCY{HEADING:#}  {nothing}"));
    } else {
        section.head = table(&rows, unit, width, s.latency_us.response_buckets.as_ref());
        let said = zero_rows(s, &rows);
        let said = said.iter().flat_map(|said| lines_of(said, width, "    "));
        section.head.extend(said);
    }
    let notes = notes(s);
    section.foot =
        notes.iter().flat_map(|note| lines_of(&format!("  {note}"), width, "    ")).collect();
    section
}

/// The metrics with a row in this table, in its order.
fn metrics() -> Vec<(&'static Metric, &'static str)> {
    let mut all: Vec<(u8, &Metric, &str)> = METRICS
        .iter()
        .filter_map(|metric| metric.short_row.map(|(place, name)| (place, metric, name)))
        .collect();
    all.sort_by_key(|(place, ..)| *place);
    all.into_iter().map(|(_, metric, name)| (metric, name)).collect()
}

/// The rows that have other values than 0: the whole latency, then its parts.
fn rows(s: &Summary) -> Vec<Row<'_>> {
    let is_shown = |digest: &&Digest| digest.count > 0 && digest.max != Some(0.0);
    let measured = metrics()
        .into_iter()
        .filter_map(|(metric, name)| Some((name, metric.digest(s).filter(is_shown)?)));
    let mut rows: Vec<Row<'_>> = measured.collect();
    if let Some(digest) = &s.latency_us.response_with_unprocessed {
        rows.insert(rows.len().min(1), ("with unprocessed", digest));
    }
    rows
}

/// The unit of all times of a report.
pub(super) fn time_unit(s: &Summary) -> TimeUnit {
    let rows = rows(s);
    let quantiles = |digest: &Digest| QUANTILES.map(|(quantile, _)| quantile.of(digest));
    TimeUnit::of(rows.iter().flat_map(|(_, digest)| quantiles(digest)).flatten())
}

fn table(rows: &[Row<'_>], unit: TimeUnit, width: usize, buckets: Option<&Buckets>) -> Vec<String> {
    let title = format!("LATENCY [{}]", unit.name);
    let columns: Vec<Vec<String>> = QUANTILES
        .iter()
        .map(|(quantile, _)| {
            let times: Vec<_> = rows.iter().map(|(_, digest)| quantile.of(digest)).collect();
            unit.column(&times)
        })
        .collect();
    let mut table = Table::default();
    let headings = QUANTILES.iter().map(|(_, heading)| (*heading).to_owned());
    table.row(std::iter::once(title.clone()).chain(headings));
    for (at, (name, _)) in rows.iter().enumerate() {
        let indent = if at == 0 { "" } else { "  " };
        let cells = columns.iter().map(|column| column[at].clone());
        table.row(std::iter::once(format!("{indent}{name}")).chain(cells));
    }
    let mut lines = table.blocks(None).concat();
    let room = width.saturating_sub(lines[0].chars().count() + GAP.len());
    if let (Some(buckets), true) = (buckets, lines.len() > 1 && room >= BARS_MIN) {
        let [from, to] =
            [buckets.from_us, buckets.to_us].map(|us| unit.text(us * 1e3, &[us * 1e3]));
        let ends = [format!("{from} … {to}, log"), format!("{from} … {to}"), String::new()];
        let ends = ends.into_iter().find(|ends| ends.chars().count() <= room).unwrap_or_default();
        lines[0].push_str(&format!("{GAP}{QUIET}{ends}{QUIET:#}"));
        lines[1].push_str(&format!("{GAP}{}", bars(&buckets.counts, room)));
    }
    lines[0] = lines[0].replacen(&title, &format!("{HEADING}{title}{HEADING:#}"), 1);
    lines
}

/// Smallest number of bars of a histogram.
const BARS_MIN: usize = 8;
/// The text between the table and the histogram.
const GAP: &str = "   ";

/// A bar for each bucket, or for several if there is less room. Its height is the count. The lowest bar stands for any
/// count above 0.
fn bars(counts: &[u64], room: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let together = counts.len().div_ceil(room.max(1)).next_power_of_two();
    let sum = |its: &[u64]| its.iter().map(|count| u128::from(*count)).sum::<u128>();
    let counts: Vec<u128> = counts.chunks(together).map(sum).collect();
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u128| match count {
        0 => ' ',
        count => BARS[((count * 8).div_ceil(most) as usize).clamp(1, 8) - 1],
    };
    counts.iter().map(bar).collect::<String>().trim_end().to_owned()
}

/// Names of the rows, and the rows that are left out because they are 0.
fn zero_rows(s: &Summary, rows: &[Row<'_>]) -> Option<String> {
    let is_zero = |metric: &Metric| {
        metric.digest(s).is_some_and(|digest| digest.count > 0 && digest.max == Some(0.0))
    };
    let zero: Vec<&str> =
        metrics().into_iter().filter(|(metric, _)| is_zero(metric)).map(|(_, name)| name).collect();
    let parts = if rows.len() > 1 { PARTS } else { "" };
    let said = match zero.is_empty() {
        true => parts.to_owned(),
        false => format!("{parts}; 0: {}", zero.join(", ")),
    };
    let said = said.trim_start_matches("; ");
    (!said.is_empty()).then(|| format!("  {QUIET}{said}{QUIET:#}"))
}

/// Remarks for readers of these figures.
fn notes(s: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    if s.not_processed > 0 {
        notes.push(format!(
            "{DOUBT}{} records due in the window were not processed: quantiles are lower bounds{DOUBT:#}",
            format_count(s.not_processed)
        ));
    }
    let negative = metrics().into_iter().filter_map(|(metric, _)| Some(metric.digest(s)?.negative));
    let negative = negative.fold(0, u64::saturating_add);
    if negative > 0 {
        notes.push(format!(
            "{DOUBT}{} negative values are not in the quantiles{DOUBT:#}",
            format_count(negative)
        ));
    }
    // Readers know the parts of the latency that a client tells, but not that acknowledgements are not timed.
    let timed = METRICS.iter().filter(|metric| metric.needs == Need::Acknowledgements);
    for metric in timed {
        let reason = s.not_measured.get(&metric.place());
        if let (Some((_, name)), Some(reason)) = (metric.short_row, reason) {
            notes.push(format!("{QUIET}{name} not measured: {reason}{QUIET:#}"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_count_and_never_missing() {
        assert_eq!(bars(&[0, 1, 8_000, 4_000, 0, 0], 6), " ▁█▄");
        assert_eq!(bars(&[0, 1, 8_000, 4_000, 0, 0], 5), "▁█");
        assert_eq!(bars(&[], 9), "");
        assert_eq!(bars(&[3], 9), "█");
    }

    #[test]
    fn parts_without_time_have_no_row_and_are_named() {
        let mut summary = Summary::default();
        let times =
            |us: f64| Digest { p50: Some(us), max: Some(us), count: 9, ..Digest::default() };
        summary.latency_us.response = times(440.0);
        summary.lateness_us = times(0.0);
        summary.latency_us.service = times(440.0);
        let section = latency(&summary, time_unit(&summary), 80);
        let text = section.head.join("\n");
        assert!(text.contains("fetch + handle") && text.contains("[us]"), "{text}");
        assert!(text.contains("; 0: send delay") && !text.contains("  send delay  "), "{text}");
    }
}
