//! Merges all parts into one result: during the run, or later from the directories of its processes.

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
/// The diagnostics of its scenario: the file is from another version, or damaged.
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

/// The summary of the run with these parts. `lost` has the reason for each missing part, by share number.
pub fn merge(plan: &Plan, parts: &[SharePart], lost: &BTreeMap<u32, String>) -> Summary {
    let measurements = Measurements::of_parts(plan, parts);
    // Due times and outcomes of records that lost processes send or read are not known.
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
