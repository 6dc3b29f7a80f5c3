//! A claim of the guide with its verdict, figures, and the command that repeats it.

use serde::Serialize;

use super::condition::Condition;
use crate::compare::variant::VariantRounds;
use crate::summary::Summary;

/// The verdict of the figures on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ClaimVerdict {
    /// The figures support the claim in at least one condition, and contradict it in none.
    #[serde(rename = "supported")]
    Supported,
    /// The figures contradict the claim, or show that there is no relevant difference.
    #[serde(rename = "not supported")]
    NotSupported,
    /// The figures decide nothing. More rounds or another broker might.
    #[serde(rename = "inconclusive")]
    Inconclusive,
}

/// A claim with its verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// The claim in a few words.
    pub claim: &'static str,
    /// The claim in the words of the guide.
    pub guide: &'static str,
    /// The verdict.
    pub verdict: ClaimVerdict,
    /// The reasons, with figures.
    pub because: Vec<String>,
    /// The command that repeats the runs.
    pub command: String,
}

/// The rounds of a set-up in a condition.
pub(super) fn rounds_of<'a>(
    results: &'a [VariantRounds],
    name: &str,
    condition: Condition,
) -> &'a [Summary] {
    let wanted = format!("{name}, {}", condition.name());
    results.iter().find(|it| it.name == wanted).map_or(&[], |it| &it.summaries)
}
