//! The whole page: one document that loads nothing, for light and dark screens and for print.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::bands::bands;
use super::evidence::{events, expectations, trust};
use super::head::head;
use super::heat_map::{Shown, heat_map};
use super::lag_lines::lag_lines;
use super::latency::latency;
use super::owners::owners;
use super::partitions::partitions;
use super::parts::PageParts;
use super::repeat::repeat;
use super::scale::TimeAxis;
use super::slowest::slowest;
use super::stages::load;
use super::waterfall::faults;
use crate::report::stored::readable;
use crate::report::words::verdict_word;
use crate::summary::Summary;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page of a result. All texts are escaped.
pub fn html_page(summary: &Summary, parts: &PageParts) -> String {
    match readable(summary) {
        Ok(summary) => in_lines(page(&summary, parts)),
        Err(_) => in_lines(page(summary, parts)),
    }
}

/// The page with line breaks between its parts, for tools that read lines. Texts are escaped, so a tag in the page is
/// always an element.
fn in_lines(page: Markup) -> String {
    let begins = ["<section", "<figure", "<svg", "<table", "<tr", "</main"];
    let text = page.into_string();
    begins.iter().fold(text, |text, begin| text.replace(begin, &format!("\n{begin}")))
}

fn page(summary: &Summary, parts: &PageParts) -> Markup {
    let title = format!("{} {} · lanekeeper", verdict_word(summary.verdict), summary.scenario);
    let made_of = html! { " from " code { "result.json" } ". All times count from the beginning of the load." };
    document(&title, &content(summary, parts), &made_of)
}

/// A page of another command: one document that loads nothing, with the same styles and script.
pub fn html_document(title: &str, content: &Markup) -> String {
    in_lines(document(title, content, &html! { "." }))
}

fn document(title: &str, content: &Markup, made_of: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("lanekeeper ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the figures" }
                main #main { (content) }
                footer { p { "Made by lanekeeper " (env!("CARGO_PKG_VERSION")) (made_of) } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn content(summary: &Summary, parts: &PageParts) -> Markup {
    let bands = bands(summary);
    let warmup_s = (summary.load_lasted_s - summary.duration_s).max(0.0);
    let measured = TimeAxis { from_s: warmup_s, to_s: summary.load_lasted_s };
    let series = parts.series.as_ref().filter(|series| !series.is_empty());
    let whole = TimeAxis { from_s: 0.0, to_s: summary.load_lasted_s.max(0.001) };
    let axis = series.map_or(whole, |it| TimeAxis { from_s: it.start_s(0), to_s: it.end_s() });
    html! {
        (head(summary))
        (contents(summary))
        @for note in &parts.notes { p.doubt { "Note: " (note) } }
        (load(summary, &bands, axis))
        section #time aria-labelledby="time-h" {
            h2 #time-h { "Partitions over time" }
            @match series {
                Some(series) => {
                    (heat_map(series, Shown::P99, &bands, measured))
                    (heat_map(series, Shown::Lag, &bands, measured))
                    (lag_lines(series, &bands))
                }
                None => { p { "There are no figures over time: " code { "seconds.jsonl" }
                    " is empty, or not in the result directory any more." } }
            }
        }
        (faults(summary))
        (latency(summary))
        (partitions(summary))
        (slowest(summary))
        (owners(summary, &bands, axis))
        (events(summary))
        (expectations(summary))
        (trust(summary))
        (repeat(summary, parts.scenario.as_deref()))
    }
}

/// Links to the sections.
fn contents(summary: &Summary) -> Markup {
    let has_faults = !summary.faults.is_empty();
    let has_load = !summary.stages.is_empty() || summary.backlog.is_some();
    let links = [
        ("#load", "Load", has_load),
        ("#time", "Over time", true),
        ("#faults", "Faults", has_faults),
        ("#latency", "Latency", true),
        ("#partitions", "Partitions", true),
        ("#slowest", "Slowest records", !summary.slowest_records.is_empty()),
        ("#owners", "Owners", true),
        ("#expectations", "Expectations", true),
        ("#trust", "Trust", true),
        ("#repeat", "Scenario", true),
    ];
    html! {
        nav aria-label="Sections" {
            @for (target, name, is_there) in links { @if is_there { a href=(target) { (name) } } }
        }
    }
}
