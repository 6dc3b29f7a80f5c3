//! The owners of each partition over time: a bar for each start of a consumer, and a gap where there was no owner.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::bands::{Band, behind, in_front, legend};
use super::chart::TOP;
use super::scale::{Tick, TimeAxis, percent};
use crate::report::words::millis;
use crate::summary::{OwnerSummary, PartitionSummary, Summary};

/// Largest number of partitions that are drawn. With more, only those whose owner changed.
const ROWS_MAX: usize = 64;
/// Largest number of bars of a partition.
const BARS_MAX: usize = 60;
const ROW: u32 = 18;
/// Smallest width of a bar with a name in it, as a share of the axis.
const NAMED: f64 = 0.05;
/// Colours of bars. Neighbours can be told apart.
pub(super) const COLOURS: [&str; 6] =
    ["#7fb3d9", "#f2b179", "#8fcfb3", "#dfb0cc", "#e3d27f", "#b9c2cc"];

/// The section.
pub(super) fn owners(summary: &Summary, bands: &[Band], axis: TimeAxis) -> Markup {
    let has_changed = |p: &&PartitionSummary| p.owners.len() > 1 || gap_s(p, axis) > 0.0;
    let drawn: Vec<&PartitionSummary> = match summary.partitions.len() > ROWS_MAX {
        true => summary.partitions.iter().filter(has_changed).take(ROWS_MAX).collect(),
        false => summary.partitions.iter().collect(),
    };
    let changed = summary.partitions.iter().filter(has_changed).count();
    let height = TOP + ROW * drawn.len() as u32;
    html! {
        section #owners aria-labelledby="owners-h" {
            h2 #owners-h { "Owners" }
            figure {
                figcaption {
                    h3 { "Owner of each partition over time" }
                    p {
                        (sentence(summary, changed))
                        @if drawn.len() < summary.partitions.len() {
                            " Only " (drawn.len()) " of them are drawn."
                        }
                    }
                }
                @if !drawn.is_empty() {
                    div.frame {
                        svg.y width="58" height=(height + 38) aria-hidden="true" font-size="11" {
                            text x="51" y="12" text-anchor="end" fill="#5a6472" { "partition" }
                            @for (row, p) in drawn.iter().enumerate() {
                                text x="51" y=(TOP + ROW * row as u32 + 13) text-anchor="end" fill="#3c4654" { (p.partition) }
                            }
                        }
                        svg.plot width="100%" height=(height + 38) role="img" font-size="11"
                            aria-labelledby="owners-title owners-desc" {
                            title #owners-title { "Owner of each partition over time" }
                            desc #owners-desc { (sentence(summary, changed)) }
                            rect.ground x="0" y=(TOP) width="100%" height=(height - TOP) fill="#f4f6f8" {}
                            (behind(bands, axis, TOP, height - TOP))
                            @for (row, p) in drawn.iter().enumerate() { (bars(p, TOP + ROW * row as u32, axis)) }
                            (in_front(bands, axis, TOP, height - TOP))
                            (time_axis(axis, height))
                        }
                    }
                    (legend(bands))
                }
            }
            (table(&drawn, axis))
        }
    }
}

fn time_axis(axis: TimeAxis, y: u32) -> Markup {
    html! {
        line.axis x1="0" x2="100%" y1=(y) y2=(y) stroke="#8a94a3" {}
        @for Tick { at, text } in axis.ticks() {
            line.axis x1=(percent(at)) x2=(percent(at)) y1=(y) y2=(y + 4) stroke="#8a94a3" {}
            text x=(percent(at)) y=(y + 16) fill="#3c4654"
                text-anchor=(if at < 0.03 { "start" } else if at > 0.97 { "end" } else { "middle" }) { (text) }
        }
        text.unit x="50%" y=(y + 32) text-anchor="middle" fill="#5a6472" { (axis.unit()) }
    }
}

/// A bar for each start of a consumer, with the consumer's colour, and with its name if there is space.
fn bars(partition: &PartitionSummary, y: u32, axis: TimeAxis) -> Markup {
    html! {
        @for owner in partition.owners.iter().take(BARS_MAX) {
            @let (from, to) = (axis.at(owner.from_s), axis.at(owner.to_s.unwrap_or(f64::INFINITY)));
            @let colour = owner.consumer as usize % COLOURS.len();
            rect class=(format!("owner o{colour}")) x=(percent(from)) y=(y + 2) width=(percent((to - from).max(0.001)))
                height=(ROW - 4) fill=(COLOURS[colour]) stroke="#55606e" stroke-width="0.5" {
                title { "partition " (partition.partition) ": " (name(owner)) ", " (stretch(owner)) }
            }
            @if to - from > NAMED {
                text.owner x=(percent(from)) dx="5" y=(y + 13) fill="#1d2733" { (name(owner)) }
            }
        }
    }
}

fn name(owner: &OwnerSummary) -> String {
    match owner.start {
        1 => format!("consumer {}", owner.consumer),
        start => format!("consumer {}, start {start}", owner.consumer),
    }
}

fn stretch(owner: &OwnerSummary) -> String {
    match owner.to_s {
        Some(to_s) => format!("{:.3} to {to_s:.3} s", owner.from_s),
        None => format!("from {:.3} s", owner.from_s),
    }
}

/// Longest time without an owner while the load went on, in seconds.
fn gap_s(partition: &PartitionSummary, axis: TimeAxis) -> f64 {
    let pairs = partition.owners.windows(2);
    let between = pairs.filter_map(|pair| Some(pair[1].from_s - pair[0].to_s?));
    // The supervisor starts a replacement at once, which takes less than this.
    let gap = between.fold(0.0, f64::max);
    let last = partition.owners.last().and_then(|owner| owner.to_s);
    let open = last.map_or(0.0, |to_s| axis.to_s - to_s);
    gap.max(open).max(0.0)
}

fn sentence(summary: &Summary, changed: usize) -> String {
    let all = summary.partitions.len();
    let mut starts: BTreeMap<u32, u32> = BTreeMap::new();
    for owner in summary.partitions.iter().flat_map(|p| &p.owners) {
        let most = starts.entry(owner.consumer).or_default();
        *most = (*most).max(owner.start);
    }
    let again = starts.values().filter(|most| **most > 1).count();
    let kind = match summary.mode.as_str() {
        "group" => format!("A group of {} consumers.", summary.members),
        _ => format!("{} consumers, each assigned to its partitions.", summary.members),
    };
    match changed {
        0 => format!("{kind} Each of {all} partitions kept its owner."),
        _ => format!(
            "{kind} {changed} of {all} partitions changed their owner or were without one; consumers started again: \
             {again}."
        ),
    }
}

/// The same as text, for partitions whose owner changed.
fn table(drawn: &[&PartitionSummary], axis: TimeAxis) -> Markup {
    let changed: Vec<&&PartitionSummary> = drawn.iter().filter(|p| p.owners.len() > 1).collect();
    html! {
        @if !changed.is_empty() {
            details {
                summary { "The changes as a table" }
                div.scroll {
                    table {
                        caption { "Owners in turn" }
                        thead { tr {
                            th scope="col" { "partition" }
                            th.text scope="col" { "owners" }
                            th scope="col" { "longest time without an owner" }
                        } }
                        tbody { @for p in changed { tr {
                            th scope="row" { (p.partition) }
                            td.text { (p.owners.iter().take(BARS_MAX).map(|it| format!("{}, {}", name(it), stretch(it)))
                                .collect::<Vec<_>>().join("; ")) }
                            td { (millis(gap_s(p, axis) * 1e3)) }
                        } } }
                    }
                }
            }
        }
    }
}
