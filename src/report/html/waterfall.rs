//! Faults: the recovery from each as a waterfall, and a table of their effects.

use maud::{Markup, html};

use super::scale::{moment, percent, round_values};
use crate::base::format_count;
use crate::report::words::{fault_name, millis, recovery_steps, value_text};
use crate::summary::{FaultSummary, Get, METRICS, Summary, Unit};

/// Largest number of faults that are drawn. With more, the worst ones.
const DRAWN_MAX: usize = 6;
/// Largest number of rows of the table.
const ROWS_MAX: usize = 500;

/// The section; empty without faults and unplanned failures.
pub(super) fn faults(summary: &Summary) -> Markup {
    html! {
        @if !summary.faults.is_empty() {
            section #faults aria-labelledby="faults-h" {
                h2 #faults-h { "Faults" }
                (drawing(&summary.faults))
                (table(summary))
            }
        }
        @if !summary.failures.is_empty() { (failures(summary)) }
    }
}

fn drawing(faults: &[FaultSummary]) -> Markup {
    let mut drawn: Vec<&FaultSummary> =
        faults.iter().filter(|fault| fault.at_s.is_some()).collect();
    let end = |fault: &FaultSummary| recovery_steps(fault).last().map_or(0.0, |step| step.1);
    drawn.sort_by(|a, b| {
        let rank = |it: &FaultSummary| (it.not_recovered.len(), it.blast_radius);
        rank(b).cmp(&rank(a)).then(end(b).total_cmp(&end(a)))
    });
    let left_out = drawn.len().saturating_sub(DRAWN_MAX);
    drawn.truncate(DRAWN_MAX);
    drawn.sort_by(|a, b| a.at_s.unwrap_or(0.0).total_cmp(&b.at_s.unwrap_or(0.0)));
    let longest = drawn.iter().map(|fault| end(fault)).fold(0.0, f64::max);
    let (values, top) = round_values(longest);
    html! {
        figure {
            figcaption {
                h3 { "The way back" }
                p {
                    "Time since the fault. Each bar begins where the step before it was reached. "
                    @if left_out > 0 { "The worst " (DRAWN_MAX) " of " (drawn.len() + left_out) " occurrences." }
                }
            }
            @for (number, fault) in drawn.iter().enumerate() { (one(number, fault, top)) }
            svg.ruler width="100%" height="34" aria-hidden="true" font-size="11" {
                @for value in &values {
                    @let at = bar_at(value / top);
                    line.axis x1=(percent(at)) x2=(percent(at)) y1="0" y2="5" stroke="#8a94a3" {}
                    text x=(percent(at)) y="17" text-anchor="middle" fill="#3c4654" { (millis(*value)) }
                }
                text x=(percent(bar_at(0.5))) y="31" text-anchor="middle" fill="#5a6472" { "time since the fault" }
            }
        }
    }
}

/// Position of a share of the longest time. Names are to the left of the bars, times to the right.
fn bar_at(share: f64) -> f64 {
    0.24 + 0.60 * share.clamp(0.0, 1.0)
}

fn one(number: usize, fault: &FaultSummary, top: f64) -> Markup {
    let steps = recovery_steps(fault);
    let height = 20 * steps.len().max(1) as u32 + 4;
    let open = fault.not_recovered.first();
    let rows = steps.len() as u32 + u32::from(open.is_some());
    let (title, height) = (format!("fault-{number}-title"), height.max(20 * rows + 4));
    let spoken: Vec<String> =
        steps.iter().map(|(name, ms)| format!("{name} after {}", millis(*ms))).collect();
    html! {
        h4 { "▼" (fault.fault) " " (fault_name(fault)) " at " (moment(fault.at_s.unwrap_or(0.0))) }
        svg.waterfall width="100%" height=(height) role="img" aria-labelledby=(title) font-size="12" {
            title #(title) { (fault_name(fault)) ": " (spoken.join(", ")) }
            line.grid x1=(percent(bar_at(0.0))) x2=(percent(bar_at(0.0))) y1="0" y2=(height) stroke="#8a94a3" {}
            @for (row, (name, ms)) in steps.iter().enumerate() {
                @let before = if row == 0 { 0.0 } else { steps[row - 1].1 };
                @let (from, to) = (bar_at(before / top), bar_at(ms / top));
                @let y = 20 * row as u32 + 4;
                text x="23%" y=(y + 12) text-anchor="end" fill="#3c4654" { (name) }
                rect class=(if *name == "recovered" { "bar end" } else { "bar" }) x=(percent(from)) y=(y + 2)
                    width=(percent(to - from)) height="12" fill=(if *name == "recovered" { "#009e73" } else { "#0072b2" }) {}
                line.tip x1=(percent(to)) x2=(percent(to)) y1=(y + 1) y2=(y + 15) stroke="#0b4f7a" stroke-width="2" {}
                text x=(percent(to)) dx="6" y=(y + 12) fill="#1d2733" { (millis(*ms)) }
            }
            @if let Some(partition) = open {
                @let y = 20 * steps.len() as u32 + 4;
                text x="23%" y=(y + 12) text-anchor="end" fill="#3c4654" { "recovered" }
                text.bad x=(percent(bar_at(0.0))) dx="6" y=(y + 12) fill="#a3200d" font-weight="600" {
                    "not within the run (partition " (partition) ")"
                }
            }
        }
    }
}

/// The table of all occurrences with the metrics of a fault.
fn table(summary: &Summary) -> Markup {
    let columns = METRICS.iter().filter_map(|metric| match metric.get {
        Get::Fault(get) => Some((metric, get)),
        _ => None,
    });
    let columns: Vec<_> = columns
        .filter(|(_, get)| summary.faults.iter().any(|fault| get(fault).is_some()))
        .collect();
    let cell = |unit: Unit, value: Option<f64>| match (unit, value) {
        (_, None) => "–".to_owned(),
        (Unit::Time, Some(ns)) => format!("{:.2}", ns / 1e6),
        (unit, Some(value)) => value_text(unit, value),
    };
    html! {
        details open[summary.faults.len() <= 20] {
            summary { "Every occurrence" }
            div.scroll {
                table.sortable data-figures="faults" {
                    caption { "What each fault did; times in ms since the fault" }
                    thead { tr {
                        th scope="col" { "fault" }
                        th scope="col" { "at [s]" }
                        @for (metric, _) in &columns {
                            th scope="col" title=(metric.meaning) data-figure=(metric.name) {
                                (metric.name.replace('_', " ")) @if metric.unit == Unit::Time { " [ms]" }
                            }
                        }
                    } }
                    tbody { @for fault in summary.faults.iter().take(ROWS_MAX) { tr {
                        th scope="row" { "▼" (fault.fault) " " (fault_name(fault)) }
                        td { (fault.at_s.map_or("not reached".to_owned(), |s| format!("{s:.1}"))) }
                        @for (metric, get) in &columns { td { (cell(metric.unit, get(fault))) } }
                    } } }
                }
            }
            @if summary.faults.len() > ROWS_MAX {
                p { "and " (summary.faults.len() - ROWS_MAX) " more, in result.json" }
            }
        }
    }
}

/// Failures that were not planned.
fn failures(summary: &Summary) -> Markup {
    let time = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| format!("{ms:.2}"));
    html! {
        section #failures aria-labelledby="failures-h" {
            h2 #failures-h { "Failures that were not planned" }
            div.scroll {
                table.sortable {
                    caption { (format_count(summary.failures.len() as u64)) " failures; times in ms since the failure" }
                    thead { tr {
                        @for name in ["partition", "at [s]", "restarted", "first record", "recovered", "redelivered"] {
                            th scope="col" { (name) }
                        }
                    } }
                    tbody { @for failure in summary.failures.iter().take(ROWS_MAX) { tr {
                        th scope="row" { (failure.partition) }
                        td { (format!("{:.1}", failure.at_s)) }
                        td { (time(failure.recovery.restarted_ms)) }
                        td { (time(failure.recovery.first_record_ms)) }
                        td { (match (failure.recovery.given_up, failure.recovery.recovered_ms) {
                            (true, _) => "given up".to_owned(),
                            (false, None) => "not within the run".to_owned(),
                            (false, recovered) => time(recovered),
                        }) }
                        td { (format_count(failure.recovery.redelivered)) }
                    } } }
                }
            }
        }
    }
}
