//! The bands in every chart over time, which show when faults were active and how long their effect lasted.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::scale::{TimeAxis, moment, percent};
use crate::report::words::{fault_name, millis};
use crate::summary::{FaultSummary, Summary};

/// Largest number of bands, in the charts and in the list below them.
const BANDS_MAX: usize = 200;
/// Largest number of entries in the list.
const LISTED_MAX: usize = 5;
/// Smallest distance of labels, as a share of the width. Closer ones are left out.
const LABEL_GAP: f64 = 0.03;

/// One occurrence of a fault.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// Index of the `[[fault]]`.
    fault: usize,
    /// Start of the fault.
    from_s: f64,
    /// End of the fault; equal to the start for an instantaneous one.
    active_to_s: f64,
    /// End of its effect on partitions; `None` if that did not end within the run.
    felt_to_s: Option<f64>,
    text: String,
}

/// The faults that were injected, in the order of their times.
pub(super) fn bands(summary: &Summary) -> Vec<Band> {
    summary.faults.iter().filter_map(band).take(BANDS_MAX).collect()
}

fn band(fault: &FaultSummary) -> Option<Band> {
    let from_s = fault.at_s?;
    let ended_s = fault.ended_ms.map(|ms| ms / 1e3);
    let active_s = ended_s.or(fault.lasts_s).unwrap_or(0.0);
    let felt_s = match fault.not_recovered.is_empty() {
        true => Some(fault.recovered_ms.unwrap_or(0.0) / 1e3),
        false => None,
    };
    let end = match (felt_s, fault.recovered_ms) {
        (None, _) => ", not recovered within the run".to_owned(),
        (_, Some(ms)) => format!(", recovered after {}", millis(ms)),
        (_, None) => String::new(),
    };
    let lasts = match active_s > 0.0 {
        true => format!(" for {}", millis(active_s * 1e3)),
        false => String::new(),
    };
    Some(Band {
        fault: fault.fault,
        from_s,
        active_to_s: from_s + active_s,
        felt_to_s: felt_s.map(|s| from_s + s.max(active_s)),
        text: format!("{} at {}{lasts}{end}", fault_name(fault), moment(from_s)),
    })
}

/// The bands behind a plot: strong while the fault was active, weak until its effect ended.
pub(super) fn behind(bands: &[Band], axis: TimeAxis, top: u32, height: u32) -> Markup {
    html! {
        @for band in bands {
            @let (from, active) = (axis.at(band.from_s), axis.at(band.active_to_s));
            @let felt = axis.at(band.felt_to_s.unwrap_or(f64::INFINITY));
            @if felt > from {
                rect.felt x=(percent(from)) y=(top) width=(percent(felt - from)) height=(height)
                    fill="#f0a35e" fill-opacity="0.22" {}
            }
            @if active > from {
                rect.active x=(percent(from)) y=(top) width=(percent(active - from)) height=(height)
                    fill="#d55e00" fill-opacity="0.25" {}
            }
        }
    }
}

/// The marks in front of a plot: the beginning of each fault with its number, and its duration as a bar.
pub(super) fn in_front(bands: &[Band], axis: TimeAxis, top: u32, height: u32) -> Markup {
    let mut last = f64::NEG_INFINITY;
    let mut label = |band: &Band| {
        let at = axis.at(band.from_s);
        let is_clear = at - last >= LABEL_GAP;
        if is_clear {
            last = at;
        }
        is_clear
    };
    html! {
        @for band in bands {
            @let (from, active) = (axis.at(band.from_s), axis.at(band.active_to_s));
            @let felt = axis.at(band.felt_to_s.unwrap_or(f64::INFINITY));
            rect.felt.mark x=(percent(from)) y=(top.saturating_sub(5)) width=(percent(felt - from)) height="4"
                fill="#f0a35e" {}
            rect.active.mark x=(percent(from)) y=(top.saturating_sub(5)) width=(percent(active - from)) height="4"
                fill="#d55e00" {}
            line.fault x1=(percent(from)) x2=(percent(from)) y1=(top.saturating_sub(6)) y2=(top + height)
                stroke="#b34700" stroke-width="1.5" stroke-dasharray="4 3" {}
            @if label(band) {
                text.fault x=(percent(from)) y=(top.saturating_sub(9)) text-anchor="middle" font-size="11"
                    fill="#b34700" { "▼" (band.fault) }
            }
        }
    }
}

/// Explains the numbers above a chart. A fault with many occurrences has one entry.
pub(super) fn legend(bands: &[Band]) -> Markup {
    let mut entries: Vec<(usize, String)> =
        bands.iter().map(|band| (band.fault, band.text.clone())).collect();
    if entries.len() > LISTED_MAX {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        bands.iter().for_each(|band| *counts.entry(band.fault).or_default() += 1);
        let first = |fault: usize| bands.iter().find(|band| band.fault == fault);
        let entry = |(fault, count): (usize, usize)| {
            let text = first(fault).map_or(String::new(), |band| band.text.clone());
            let more =
                if count > 1 { format!("; {} times more", count - 1) } else { String::new() };
            (fault, text + &more)
        };
        entries = counts.into_iter().map(entry).collect();
    }
    let left_out = entries.len().saturating_sub(LISTED_MAX);
    html! {
        @if !entries.is_empty() {
            ul.faults aria-label="Faults in this chart" {
                @for (fault, text) in entries.iter().take(LISTED_MAX) {
                    li { span.mark { "▼" (fault) } " " (text) }
                }
                @if left_out > 0 { li { "and " (left_out) " more: see " a href="#faults" { "Faults" } } }
            }
        }
    }
}
