//! Latency of the run: a table of every distribution, and its percentiles as curves.

use maud::{Markup, html};

use super::chart::Chart;
use super::lines::{KINDS, line, path, sign};
use super::scale::{LogScale, Tick};
use crate::base::format_count;
use crate::report::words::{spoken, value_text};
use crate::summary::{Digest, Figure, Get, METRICS, Metric, Quantile, Scope, Summary, Unit};

const HEIGHT: u32 = 260;

/// A distribution of the run with its name.
struct Curve {
    metric: &'static Metric,
    digest: Digest,
}

/// The distributions that were measured, each once.
fn curves(summary: &Summary) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    let mut seen: Vec<*const Digest> = Vec::new();
    for metric in METRICS {
        let Get::RunQuantiles(get, _) = metric.get else { continue };
        let Some(digest) = get(summary).filter(|digest| digest.count > 0) else { continue };
        if !seen.contains(&std::ptr::from_ref(digest)) {
            seen.push(digest);
            curves.push(Curve { metric, digest: digest.clone() });
        }
    }
    curves
}

/// A quantile of a metric of the run, in nanoseconds.
fn quantile(summary: &Summary, metric: &'static Metric, quantile: Quantile) -> Option<f64> {
    let figure = Figure { metric, scope: Scope::Run, quantile: Some(quantile) };
    metric.quantiles().contains(&quantile).then(|| figure.values(summary))?.first()?.1
}

/// The section.
pub(super) fn latency(summary: &Summary) -> Markup {
    let curves = curves(summary);
    html! {
        section #latency aria-labelledby="latency-h" {
            h2 #latency-h { "Latency" }
            @if curves.is_empty() {
                p { "No record that was due in the measured window was processed." }
            } @else {
                @if summary.not_processed > 0 {
                    p.doubt {
                        (format_count(summary.not_processed)) " records due in the measured window were not processed: \
                         the quantiles are lower bounds."
                    }
                }
                (chart(summary, &curves))
                (table(summary, &curves))
                (not_measured(summary))
            }
        }
    }
}

/// Position of a quantile on the axis, which is logarithmic in the share of slower records.
fn place(quantile: Quantile) -> f64 {
    match quantile {
        Quantile::P50 => 0.0,
        Quantile::P90 => 0.22,
        Quantile::P95 => 0.34,
        Quantile::P99 => 0.56,
        Quantile::P999 => 0.8,
        Quantile::Max => 1.0,
    }
}

/// Name of a quantile on axes and in tables.
fn shown(quantile: Quantile) -> &'static str {
    match quantile {
        Quantile::P999 => "p99.9",
        other => other.name(),
    }
}

fn chart(summary: &Summary, curves: &[Curve]) -> Markup {
    let points = |curve: &Curve| -> Vec<(Quantile, f64)> {
        let value = |q: &Quantile| Some((*q, quantile(summary, curve.metric, *q)?));
        Quantile::ALL.iter().filter_map(value).filter(|(_, ns)| *ns > 0.0).collect()
    };
    let all: Vec<Vec<(Quantile, f64)>> = curves.iter().map(points).collect();
    let scale = LogScale::of(all.iter().flatten().map(|(_, ns)| *ns)).in_decades();
    let draw = |points: &[(Quantile, f64)]| {
        path(points.iter().map(|(q, ns)| Some((1000.0 * place(*q), 200.0 * (1.0 - scale.at(*ns))))))
    };
    let tick = |ns: &f64| Tick { at: scale.at(*ns), text: value_text(Unit::Time, *ns) };
    let drawn = Chart {
        id: "percentiles",
        title: "Percentiles of latency",
        description: "A line for each distribution, from the median to the largest value; the table below has the \
                      values."
            .to_owned(),
        height: HEIGHT,
        y: scale.decades().iter().map(tick).collect(),
        y_unit: "time",
        has_lines: true,
        x: Quantile::ALL.iter().map(|q| Tick { at: place(*q), text: shown(*q).to_owned() }).collect(),
        x_unit: "percentile of the records",
        bands: None,
        stretched: html! {
            @for (kind, points) in all.iter().enumerate().rev().filter(|(_, points)| !points.is_empty()) {
                (line(kind, &draw(points)))
            }
        },
        size: (1000.0, 200.0),
        front: html! {},
    };
    html! {
        figure {
            figcaption {
                h3 { "Percentiles of latency" }
                p { "All partitions, records due in the measured window. Both axes are logarithmic; lines join the \
                     values of the table." }
            }
            (drawn.draw())
        }
    }
}

fn table(summary: &Summary, curves: &[Curve]) -> Markup {
    let cell = |metric: &'static Metric, q: Quantile| {
        quantile(summary, metric, q).map_or("–".to_owned(), |ns| value_text(Unit::Time, ns))
    };
    let has_negative = curves.iter().any(|curve| curve.digest.negative > 0);
    html! {
        div.scroll {
            table data-figures="latency" {
                caption { "Percentiles of each distribution" }
                thead { tr {
                    th scope="col" { "distribution" }
                    @for q in Quantile::ALL { th scope="col" { (shown(q)) } }
                    th scope="col" { "mean" }
                    th scope="col" { "records" }
                    @if has_negative { th scope="col" { "negative" } }
                } }
                tbody { @for (kind, curve) in curves.iter().enumerate() { tr data-figure=(curve.metric.name) {
                    th scope="row" {
                        (sign(kind % KINDS)) " " span title=(curve.metric.meaning) { (spoken(curve.metric)) }
                        div.meaning { (curve.metric.meaning) }
                    }
                    @for q in Quantile::ALL { td { (cell(curve.metric, q)) } }
                    td { (curve.digest.mean.map_or("–".to_owned(), |us| value_text(Unit::Time, us * 1e3))) }
                    td { (format_count(curve.digest.count)) }
                    @if has_negative { td { (format_count(curve.digest.negative)) } }
                } } }
            }
        }
    }
}

/// Figures that could not be measured correctly, each with the reason.
fn not_measured(summary: &Summary) -> Markup {
    html! {
        @if !summary.not_measured.is_empty() {
            details {
                summary { "Not measured in this run: " (summary.not_measured.len()) }
                dl { @for (place, reason) in &summary.not_measured { dt { (place) } dd { (reason) } } }
            }
        }
    }
}
