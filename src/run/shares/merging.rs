//! The one result of all parts: in the processes when they have told them, or later from their directories.

use std::collections::BTreeMap;

use crate::base::{BrokerKind, ClientKind, Share};
use crate::logic::unprocessed_ages;
use crate::measure::{Ended, Measurements, PartFile, SharePart, merge_parts};
use crate::plan::{Overrides, Plan, compile};
use crate::scenario::Source;
use crate::summary::Summary;

/// The plan of the run that a part belongs to.
///
/// # Errors
/// What is wrong with its scenario: it was made by another version, or by no run.
pub fn plan_of(file: &PartFile) -> Result<Plan, String> {
    let source = Source { name: format!("{}.toml", file.scenario), text: file.source.clone() };
    let overrides = Overrides {
        broker: Some(BrokerKind::elsewhere()),
        client: ClientKind::ALL.into_iter().find(|kind| kind.name() == file.client),
        bootstrap: file.bootstrap.clone(),
        seed: Some(file.seed),
        share: Some(file.part.share),
        ..Overrides::default()
    };
    let (plan, found) = compile(&source, &file.set, &overrides);
    plan.ok_or_else(|| found.into_iter().map(|it| it.message).collect::<Vec<_>>().join("; "))
}

/// The summary of the run whose parts these are; `lost` says why others are missing, by their numbers.
pub fn merge(plan: &Plan, parts: &[SharePart], lost: &BTreeMap<u32, String>) -> Summary {
    let measurements = Measurements::of_parts(plan, parts);
    // When records were due that lost processes were to send or to read, and what became of them, is not known.
    let count = plan.share.map_or(1, |share| share.count);
    let is_whole = Share::all(count).all(|share| parts.iter().any(|part| part.share == share));
    let is_over = parts.iter().all(|part| part.ended == Ended::InOrder);
    let ages = parts.iter().map(|part| (part.start, part.measured, part.over)).max();
    let ages = ages.filter(|_| is_whole && is_over);
    let ages = ages.and_then(|(start, measured, over)| {
        unprocessed_ages(plan, &measurements, start, measured, over)
    });
    merge_parts(plan, parts, lost, &measurements, ages)
}
