//! The load over time: a bar for each stage with its rate as height, a table of the stages' figures, and the backlog.

use maud::{Markup, html};

use super::bands::{Band, legend};
use super::chart::{Chart, TOP};
use super::owners::COLOURS;
use super::scale::{Tick, TimeAxis, percent, round_values};
use crate::base::format_count;
use crate::report::words::{backlog, millis, value_text};
use crate::summary::{StageSummary, Summary, Unit};

const HEIGHT: u32 = 90;
/// Smallest width of a bar with a number on it, as a share of the axis. The next constant is that for a name.
const NUMBERED: f64 = 0.03;
const NAMED: f64 = 0.14;

/// The section; empty for a load without stages and backlog.
pub(super) fn load(summary: &Summary, bands: &[Band], axis: TimeAxis) -> Markup {
    html! {
        @if !summary.stages.is_empty() || summary.backlog.is_some() {
            section #load aria-labelledby="load-h" {
                h2 #load-h { "Load" }
                @if let Some(its) = &summary.backlog { p data-backlog=(its.written) { "Backlog: " (backlog(its)) "." } }
                @if !summary.stages.is_empty() {
                    figure {
                        figcaption {
                            h3 { "Stages of the load" }
                            p { "A bar for each stage. Its height is the rate at which records were due." }
                        }
                        (drawing(&summary.stages, bands, axis))
                    }
                    (table(&summary.stages))
                }
            }
        }
    }
}

fn drawing(stages: &[StageSummary], bands: &[Band], axis: TimeAxis) -> Markup {
    let rate = |stage: &StageSummary| stage.offered_per_s.unwrap_or(0.0);
    let (values, top) = round_values(stages.iter().map(rate).fold(0.0, f64::max));
    let place = |stage: &StageSummary| (axis.at(stage.from_s), axis.at(stage.to_s));
    let bar = |stage: &StageSummary| {
        let (from, to) = place(stage);
        let high = 100.0 * rate(stage) / top;
        let colour = stage.stage as usize % COLOURS.len();
        html! {
            rect class=(format!("owner o{colour}")) data-stage=(stage.stage) fill=(COLOURS[colour])
                x=(format!("{:.2}", 1_000.0 * from)) y=(format!("{:.2}", 100.0 - high))
                width=(format!("{:.2}", (1_000.0 * (to - from)).max(1.0))) height=(format!("{high:.2}")) {}
        }
    };
    let name = |stage: &StageSummary| {
        let (from, to) = place(stage);
        html! {
            @if to - from > NUMBERED {
                text.owner x=(percent(from)) dx="4" y=(TOP + HEIGHT - 5) fill="#1d2733" {
                    (stage.stage) @if to - from > NAMED { " " (stage.name) }
                }
            }
        }
    };
    let chart = Chart {
        id: "stages",
        title: "Stages of the load over time",
        description: stages.iter().map(spoken).collect::<Vec<_>>().join("; "),
        height: HEIGHT,
        y: values.iter().map(|v| Tick { at: v / top, text: format_count(*v as u64) }).collect(),
        y_unit: "msg/s",
        has_lines: true,
        x: axis.ticks(),
        x_unit: axis.unit(),
        bands: Some((bands, axis)),
        stretched: html! { @for stage in stages { (bar(stage)) } },
        size: (1_000.0, 100.0),
        front: html! { @for stage in stages { (name(stage)) } },
    };
    html! { (chart.draw()) (legend(bands)) }
}

/// The description of a stage for screen readers.
fn spoken(stage: &StageSummary) -> String {
    let rate = stage.offered_per_s.map_or("–".to_owned(), |rate| value_text(Unit::Number, rate));
    let StageSummary { stage: number, name, from_s, to_s, .. } = stage;
    format!("stage {number}, {name}: {rate} msg/s from {from_s:.1} to {to_s:.1} s")
}

/// The figures of each stage.
fn table(stages: &[StageSummary]) -> Markup {
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |it| value_text(Unit::Number, it));
    let time = |us: Option<f64>| us.map_or("–".to_owned(), |us| millis(us / 1e3));
    html! {
        div.scroll {
            table {
                caption { "Latency is of the records due in a stage, the lag of all partitions together" }
                thead { tr {
                    @for heading in ["stage", "from [s]", "to [s]", "offered/s", "processed/s", "p50", "p99", "largest lag"] {
                        th scope="col" { (heading) }
                    }
                } }
                tbody { @for stage in stages { tr {
                    th scope="row" { (stage.stage) " " (stage.name) }
                    td { (format!("{:.1}", stage.from_s)) }
                    td { (format!("{:.1}", stage.to_s)) @if stage.ended_early { " as the lag was 0" } }
                    td { (rate(stage.offered_per_s)) }
                    td { (rate(stage.processed_per_s)) }
                    td { (time(stage.response_us.p50)) }
                    td { (time(stage.response_us.p99)) }
                    td { (format_count(stage.lag_max)) }
                } } }
            }
        }
    }
}
