//! The verdicts of the guide as text.

use std::fmt::Write;

use serde::Serialize;

use super::advice::{Advice, advice_lines};
use super::claim::{Claim, ClaimVerdict};
use crate::compare::text::section;

/// The results of the suite.
#[derive(Clone, Debug, Serialize)]
pub struct GuideReport {
    /// The load.
    pub scenario: String,
    /// Kind of broker.
    pub broker: String,
    /// Before, option 1 and option 2, as variants of `compare`.
    pub set_ups: [String; 3],
    /// Number of rounds.
    pub rounds: usize,
    /// Every claim with its verdict.
    pub claims: Vec<Claim>,
    /// Advice for the load, with the figures that support it.
    pub advice: Vec<Advice>,
    /// Remarks for the reader: set-ups that were not run, and runs that were INVALID.
    pub notes: Vec<String>,
}

/// The report for a terminal.
pub fn guide_text(report: &GuideReport) -> String {
    let [before, option_1, option_2] = &report.set_ups;
    let mut out = format!(
        "GUIDE  {}: Before is {before}, option 1 is {option_1}, option 2 is {option_2}; {} {}, {} broker\n",
        report.scenario,
        report.rounds,
        if report.rounds == 1 { "round" } else { "rounds" },
        report.broker
    );
    for claim in &report.claims {
        let verdict = match claim.verdict {
            ClaimVerdict::Supported => "supported",
            ClaimVerdict::NotSupported => "not supported",
            ClaimVerdict::Inconclusive => "inconclusive",
        };
        let _ = writeln!(out, "\n{verdict:<13}  {}: {}", claim.claim, claim.guide);
        for because in &claim.because {
            let _ = writeln!(out, "    {because}");
        }
        let _ = writeln!(out, "    $ {}", claim.command);
    }
    section(&mut out, "ADVICE  from these runs", &advice_lines(&report.advice));
    section(&mut out, "NOTES", &report.notes);
    let count =
        |wanted: ClaimVerdict| report.claims.iter().filter(|it| it.verdict == wanted).count();
    let _ = writeln!(
        out,
        "\n{} of {} claims are supported, {} are not, {} are inconclusive",
        count(ClaimVerdict::Supported),
        report.claims.len(),
        count(ClaimVerdict::NotSupported),
        count(ClaimVerdict::Inconclusive)
    );
    out
}
