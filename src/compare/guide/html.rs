//! The verdicts of the guide as one page.

use maud::{Markup, html};

use super::advice_html::advice_section;
use super::claim::{Claim, ClaimVerdict};
use super::text::GuideReport;
use crate::report::html_document;

/// The verdicts, in the order of the drawing.
const VERDICTS: [(ClaimVerdict, &str, &str); 3] = [
    (ClaimVerdict::Supported, "supported", "#009e73"),
    (ClaimVerdict::NotSupported, "not-supported", "#d55e00"),
    (ClaimVerdict::Inconclusive, "inconclusive", "#98a2b0"),
];

/// The page of the verdicts. All texts are escaped.
pub fn guide_page(report: &GuideReport) -> String {
    let title = format!("The guide's claims with {} · lanekeeper", report.scenario);
    html_document(&title, &content(report))
}

fn content(report: &GuideReport) -> Markup {
    let [before, option_1, option_2] = &report.set_ups;
    let rounds = if report.rounds == 1 { "round" } else { "rounds" };
    html! {
        header {
            p.kind { "lanekeeper · claims of the guide to one consumer per partition" }
            h1 { (report.scenario) }
            p.story { (counted(report)) }
            p.setting {
                "Before is " code { (before) } ", option 1 is " code { (option_1) } ", option 2 is " code { (option_2) }
                "; " (report.rounds) " " (rounds) ", " (report.broker) " broker."
            }
        }
        figure { (drawing(report)) }
        section aria-labelledby="claims-h" {
            h2 #claims-h { "Claims" }
            @for claim in &report.claims { (one(claim)) }
        }
        (advice_section(&report.advice))
        @if !report.notes.is_empty() {
            section aria-labelledby="notes-h" {
                h2 #notes-h { "Notes" }
                ul { @for note in &report.notes { li { (note) } } }
            }
        }
    }
}

fn count(report: &GuideReport, verdict: ClaimVerdict) -> usize {
    report.claims.iter().filter(|claim| claim.verdict == verdict).count()
}

fn counted(report: &GuideReport) -> String {
    let of = |verdict| count(report, verdict);
    format!(
        "{} of {} claims are supported, {} are not, {} are inconclusive.",
        of(ClaimVerdict::Supported),
        report.claims.len(),
        of(ClaimVerdict::NotSupported),
        of(ClaimVerdict::Inconclusive)
    )
}

/// The number of claims by verdict, as one bar.
fn drawing(report: &GuideReport) -> Markup {
    let all = report.claims.len().max(1) as f64;
    let mut from = 0.0;
    let mut parts = Vec::new();
    for (verdict, class, colour) in VERDICTS {
        let share = count(report, verdict) as f64 / all;
        parts.push((class, colour, from, share, count(report, verdict)));
        from += share;
    }
    html! {
        svg width="100%" height="48" role="img" aria-labelledby="verdicts-title" font-size="12" {
            title #verdicts-title { (counted(report)) }
            @for (class, colour, from, share, count) in parts {
                @if count > 0 {
                    rect class=(class) x=(format!("{:.2}%", from * 100.0)) y="0" height="24" fill=(colour)
                        width=(format!("{:.2}%", share * 100.0)) {}
                    text x=(format!("{:.2}%", from * 100.0)) dx="4" y="40" fill="#3c4654" {
                        (count) " " (class.replace('-', " "))
                    }
                }
            }
        }
    }
}

fn one(claim: &Claim) -> Markup {
    let (word, class, mark) = match claim.verdict {
        ClaimVerdict::Supported => ("supported", "good", "✓"),
        ClaimVerdict::NotSupported => ("not supported", "bad", "✗"),
        ClaimVerdict::Inconclusive => ("inconclusive", "doubt", "?"),
    };
    html! {
        section.claim aria-label=(claim.claim) data-claim=(claim.claim) {
            h3 { (claim.claim) }
            p class=(format!("verdict {class}")) { strong { span aria-hidden="true" { (mark) " " } (word) } }
            p { "The guide: " (claim.guide) }
            ul { @for because in &claim.because { li { (because) } } }
            pre.command tabindex="0" { code { (claim.command) } }
        }
    }
}
