//! The lag of each partition over time as lines. The worst ones have colours, and the others are behind them.

use maud::{Markup, html};

use super::bands::Band;
use super::chart::{Chart, TOP};
use super::lines::{faint, line, path, sign};
use super::scale::{Tick, TimeAxis, moment, percent, round_values};
use crate::base::format_count;
use crate::report::series::{Sample, Series};

/// Number of lines with colours.
const COLOURED: usize = 5;
/// Largest number of other lines. With more, the maximum of all others is one line.
const FAINT_MAX: usize = 40;
const HEIGHT: u32 = 220;

/// A partition with its largest lag, and the column with it.
struct Lagging<'a> {
    partition: u32,
    samples: &'a [Sample],
    peak: u64,
    column: usize,
}

fn worst_first(series: &Series) -> Vec<Lagging<'_>> {
    let mut all: Vec<Lagging<'_>> = series
        .partitions()
        .map(|(partition, samples)| {
            let lags = samples.iter().enumerate().map(|(at, sample)| (sample.lag.unwrap_or(0), at));
            let (peak, column) =
                lags.reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap_or((0, 0));
            Lagging { partition, samples, peak, column }
        })
        .collect();
    all.sort_by_key(|it| (std::cmp::Reverse(it.peak), it.partition));
    all
}

/// The chart with its legend.
pub(super) fn lag_lines(series: &Series, bands: &[Band]) -> Markup {
    let all = worst_first(series);
    let axis = TimeAxis { from_s: series.start_s(0), to_s: series.end_s() };
    let (values, top) = round_values(all.first().map_or(0.0, |it| it.peak as f64));
    let coloured: Vec<&Lagging<'_>> = all.iter().take(COLOURED).filter(|it| it.peak > 0).collect();
    let others = &all[coloured.len()..];
    let draw = |samples: &[Sample]| {
        let point = |(column, sample): (usize, &Sample)| {
            Some((column as f64 + 1.0, 200.0 * (1.0 - sample.lag? as f64 / top)))
        };
        path(samples.iter().enumerate().map(point))
    };
    let largest_of_others = (others.len() > FAINT_MAX).then(|| largest(series.columns(), others));
    let chart = Chart {
        id: "lag",
        title: "Lag over time",
        description: description(&coloured, series),
        height: HEIGHT,
        y: values.iter().map(|v| Tick { at: v / top, text: label(*v) }).collect(),
        y_unit: "records",
        has_lines: true,
        x: axis.ticks(),
        x_unit: axis.unit(),
        bands: Some((bands, axis)),
        stretched: html! {
            @match &largest_of_others {
                Some(samples) => { (faint(&draw(samples))) }
                None => { @for other in others { (faint(&draw(other.samples))) } }
            }
            @for (kind, it) in coloured.iter().enumerate().rev() { (line(kind, &draw(it.samples))) }
        },
        size: (series.columns() as f64, 200.0),
        front: peak_label(coloured.first().copied(), series, axis, top),
    };
    html! {
        figure {
            figcaption {
                h3 { "Lag over time" }
                p {
                    (description(&coloured, series))
                    " What it was between those ends is in the table of partitions, as its largest value."
                }
            }
            (chart.draw())
            ul.keys {
                @for (kind, it) in coloured.iter().enumerate() {
                    li { (sign(kind)) " partition " (it.partition) ": at most " (format_count(it.peak)) }
                }
                @if !others.is_empty() {
                    li { (others_label(others.len(), largest_of_others.is_some())) }
                }
            }
        }
    }
}

fn label(value: f64) -> String {
    if value.fract() > 0.0 { format!("{value}") } else { format_count(value as u64) }
}

fn others_label(count: usize, are_one_line: bool) -> String {
    match are_one_line {
        false if count == 1 => "thin: the other partition".to_owned(),
        true => format!("thin: the largest of the other {count} partitions"),
        false => format!("thin: the other {count} partitions"),
    }
}

fn largest(columns: usize, others: &[Lagging<'_>]) -> Vec<Sample> {
    let at = |column: usize| {
        let lags = others.iter().filter_map(|it| it.samples.get(column)?.lag);
        Sample { lag: lags.max(), ..Sample::default() }
    };
    (0..columns).map(at).collect()
}

fn description(coloured: &[&Lagging<'_>], series: &Series) -> String {
    let Some(worst) = coloured.first() else {
        return "No partition had records waiting at the end of an interval.".to_owned();
    };
    format!(
        "Records waiting at the end of each interval. Partition {} had most, {} at {}.",
        worst.partition,
        format_count(worst.peak),
        moment(series.start_s(worst.column + 1))
    )
}

/// The name of the worst partition next to its peak.
fn peak_label(worst: Option<&Lagging<'_>>, series: &Series, axis: TimeAxis, top: f64) -> Markup {
    html! {
        @if let Some(worst) = worst {
            @let at = axis.at(series.start_s(worst.column + 1));
            @let y = f64::from(TOP) + f64::from(HEIGHT) * (1.0 - worst.peak as f64 / top);
            @let is_right = at > 0.88;
            text.peak x=(percent(at)) y=(format!("{:.1}", (y + 4.0).max(f64::from(TOP) + 11.0)))
                dx=(if is_right { "-8" } else { "8" }) text-anchor=(if is_right { "end" } else { "start" })
                font-weight="600" fill="#0b4f7a" {
                "partition " (worst.partition)
            }
        }
    }
}
