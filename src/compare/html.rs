//! A comparison as one page: the sentence, a drawing of each figure with its rounds and interval, and tables of all
//! figures.

use maud::{Markup, html};

use super::guide::{Advice, advice_section};
use super::scale::Scale;
use super::sentence::time;
use super::side_by_side::{ChangeWord, MetricRow, MetricValue, SideBySide, VariantAccount};
use super::text::{heading, in_words, is_zero, measured, untold};
use crate::report::html_document;

/// Height of a variant's row in a drawing.
const ROW: usize = 22;
/// Start and end of the axis of a drawing. Names are before it.
const AXIS: (f64, f64) = (0.30, 0.97);

/// The page of a comparison with its advice. All texts are escaped.
pub fn comparison_page(compared: &SideBySide, advice: &[Advice]) -> String {
    let title = format!("{} compared · lanekeeper", compared.scenario);
    html_document(&title, &content(compared, advice))
}

fn content(compared: &SideBySide, advice: &[Advice]) -> Markup {
    let headlines: Vec<&MetricRow> =
        compared.metrics.iter().filter(|row| row.is_headline && !is_zero(row)).collect();
    let zero: Vec<&str> = compared
        .metrics
        .iter()
        .filter(|row| row.is_headline && is_zero(row))
        .map(|row| row.name.as_str())
        .collect();
    let all: Vec<&MetricRow> = compared.metrics.iter().collect();
    html! {
        (head(compared))
        section aria-labelledby="drawn-h" {
            h2 #drawn-h { "Figures side by side" }
            p.setting { "The bar is the 95 % interval of the mean, the line in it the mean, each dot a round. \
                Axes begin at 0. Figures that are the same in all rounds of all variants are only in the table." }
            div.intervals {
                @for (number, row) in headlines.iter().filter(|row| differs(row)).enumerate() { (drawing(number, row)) }
            }
            @if !zero.is_empty() { p { "0 in every round of every variant: " (zero.join(", ")) "." } }
        }
        section aria-labelledby="table-h" {
            h2 #table-h { "Values and changes" }
            (table(compared, &headlines, "The most important figures", "headlines"))
            details {
                summary { "All " (all.len()) " figures" }
                (table(compared, &all, "Every figure that a variant has", "all"))
            }
        }
        (advice_section(advice))
        (list("Unclear", "Differences that may be noise, among all figures that are compared.", &untold(&headlines)))
        (variants(compared))
        (list("Invalid runs", "", &compared.invalid))
        (list("Notes", "", &compared.notes))
    }
}

fn head(compared: &SideBySide) -> Markup {
    html! {
        header {
            p.kind { "lanekeeper · comparison" }
            h1 { (compared.scenario) }
            @if !compared.regressions.is_empty() {
                p class="verdict bad" {
                    strong { "✗ REGRESSION " }
                    span { (compared.regressions.len()) " found" }
                }
                ul { @for regression in &compared.regressions { li.bad { (regression) } } }
            }
            p.story { (compared.sentence) }
            p.setting { (heading(compared)) }
        }
        @if let Some(row) = compared.metric("latency.p99") {
            section.cards aria-label="p99 of each variant" {
                @for value in &row.values {
                    div.card {
                        p.label { "p99 of " (value.variant) }
                        p.value { (value.value.map_or("–".to_owned(), time)) }
                        p.more { (value.change.as_ref().map_or("the others are compared with it".to_owned(), in_words)) }
                    }
                }
            }
        }
    }
}

/// True if two values differ.
fn differs(row: &MetricRow) -> bool {
    let mut all = row.values.iter().flat_map(|value| &value.rounds);
    let first = all.next();
    all.any(|value| Some(value) != first)
}

/// The labels of an axis, as shares of its length. For counts below 2 there is no label in the middle.
fn ticks(row: &MetricRow, largest: f64) -> &'static [f64] {
    match row.unit == "count" && largest < 2.0 {
        true => &[0.0, 1.0],
        false => &[0.0, 0.5, 1.0],
    }
}

/// Position of a value, as a percentage of the width.
fn place(value: f64, largest: f64) -> String {
    let share = if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.2}%", 100.0 * (AXIS.0 + (AXIS.1 - AXIS.0) * share))
}

/// A figure: for each variant the rounds, the mean and its interval.
fn drawing(number: usize, row: &MetricRow) -> Markup {
    let scale = Scale::of(row);
    let values = row.values.iter();
    let reached = values.flat_map(|value| {
        value.rounds.iter().flatten().copied().chain(value.interval.map(|[_, high]| high))
    });
    let largest = reached.filter(|it| it.is_finite()).fold(0.0, f64::max);
    let height = ROW * row.values.len() + 24;
    let axis = height - 22;
    let title = format!("interval-{number}");
    let spoken: Vec<String> = row
        .values
        .iter()
        .map(|value| format!("{} {}", value.variant, measured(value, &scale)))
        .collect();
    html! {
        figure {
            figcaption { h3 { (scale.named(&row.name)) } p { (row.meaning) } }
            svg width="100%" height=(height) role="img" aria-labelledby=(title) font-size="12" {
                title #(title) { (row.name) ": " (spoken.join(", ")) }
                line.axis x1=(place(0.0, 1.0)) x2=(place(1.0, 1.0)) y1=(axis) y2=(axis) stroke="#8a94a3" {}
                @for share in ticks(row, largest).iter().copied() {
                    @let at = place(share, 1.0);
                    line.axis x1=(at) x2=(at) y1=(axis) y2=(axis + 4) stroke="#8a94a3" {}
                    text x=(at) y=(axis + 17) fill="#3c4654" text-anchor=(if share == 1.0 { "end" } else { "middle" }) {
                        @if share == 0.0 { "0" } @else { (scale.with_unit(largest * share)) }
                    }
                }
                @for (at, value) in row.values.iter().enumerate() { (variant_row(value, ROW * at, largest)) }
            }
        }
    }
}

fn variant_row(value: &MetricValue, y: usize, largest: f64) -> Markup {
    let middle = y + ROW / 2;
    html! {
        text x="28%" y=(middle + 4) text-anchor="end" fill="#3c4654" { (short_name(&value.variant)) }
        @match value.value {
            None => { text.unit x=(place(0.0, 1.0)) dx="6" y=(middle + 4) fill="#5a6472" { "not measured" } }
            Some(mean) => {
                @if let Some([low, high]) = value.interval {
                    line.whisker x1=(place(low, largest)) x2=(place(high, largest)) y1=(middle) y2=(middle)
                        stroke="#0072b2" stroke-width="7" stroke-opacity="0.45" {}
                }
                @for round in value.rounds.iter().flatten() {
                    circle.round cx=(place(*round, largest)) cy=(middle) r="2.5" fill="#d55e00" {}
                }
                line.whisker x1=(place(mean, largest)) x2=(place(mean, largest)) y1=(middle - 7) y2=(middle + 7)
                    stroke="#0072b2" stroke-width="3" {}
            }
        }
    }
}

/// A name short enough for the space next to a drawing.
fn short_name(name: &str) -> String {
    const ROOM: usize = 18;
    match name.chars().count() {
        it if it <= ROOM => name.to_owned(),
        _ => name.chars().take(ROOM - 1).chain(['…']).collect(),
    }
}

/// The values as in the text, each with its change.
fn table(compared: &SideBySide, rows: &[&MetricRow], caption: &str, id: &str) -> Markup {
    html! {
        div.scroll {
            table data-figures=(id) {
                caption { (caption) "; changes are against the first variant" }
                thead { tr {
                    th scope="col" { "figure" }
                    @for (at, variant) in compared.variants.iter().enumerate() {
                        th scope="col" { (variant.name) }
                        @if at > 0 { th scope="col" { "change" } }
                    }
                } }
                tbody { @for row in rows { (table_row(row)) } }
            }
        }
    }
}

fn table_row(row: &MetricRow) -> Markup {
    let scale = Scale::of(row);
    html! {
        tr data-figure=(row.name) {
            th scope="row" title=(row.meaning) { (scale.named(&row.name)) }
            @for (at, value) in row.values.iter().enumerate() {
                td data-variant=(value.variant) { (measured(value, &scale)) }
                @if at > 0 {
                    @match &value.change {
                        Some(change) => { td class=(class(change.verdict)) { (in_words(change)) } }
                        None => { td { "not known" } }
                    }
                }
            }
        }
    }
}

fn class(word: ChangeWord) -> &'static str {
    match word {
        ChangeWord::Better => "better",
        ChangeWord::Worse => "worse",
        _ => "unit",
    }
}

/// The variants, and the settings in which they differ.
fn variants(compared: &SideBySide) -> Markup {
    let members = |variant: &VariantAccount| match variant.mode.as_str() {
        "group" => format!("a group of {}", variant.members),
        _ => format!("{} assigned consumers", variant.members),
    };
    let seeds = |variant: &VariantAccount| {
        variant.seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    html! {
        section aria-labelledby="variants-h" {
            h2 #variants-h { "Variants" }
            dl.facts {
                @for variant in &compared.variants {
                    dt { (variant.name) }
                    dd { (members(variant)) "; seeds " (seeds(variant))
                        @for set in &variant.overrides { "; " code { (set) } } }
                }
            }
            @if !compared.differences.is_empty() {
                div.scroll {
                    table {
                        caption { "Settings that are not the same in all variants" }
                        thead { tr {
                            th scope="col" { "setting" }
                            @for variant in &compared.variants { th.text scope="col" { (variant.name) } }
                        } }
                        tbody { @for row in &compared.differences { tr {
                            th scope="row" { (row.key) }
                            @for value in &row.values { td.text { (value.as_deref().unwrap_or("–")) } }
                        } } }
                    }
                }
            }
        }
    }
}

/// A section of lines; empty without lines.
fn list(name: &str, meaning: &str, lines: &[String]) -> Markup {
    let id = name.to_lowercase().replace(' ', "-");
    html! {
        @if !lines.is_empty() {
            section aria-labelledby=(id) {
                h2 #(id) { (name) }
                @if !meaning.is_empty() { p.setting { (meaning) } }
                ul { @for line in lines { li { (line) } } }
            }
        }
    }
}
