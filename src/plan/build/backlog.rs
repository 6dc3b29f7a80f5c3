//! `load.backlog`: records that exist when the consumers start.

use super::broker::EMBEDDED_UNPROCESSED_MAX;
use crate::base::{format_bytes, format_count};
use crate::plan::{LoadPlan, Pace, Placement, Plan};
use crate::reader::Findings;
use crate::scenario::{Diagnostic, Scenario, codes};

/// Largest number of records of a backlog. More would take hours to write.
const BACKLOG_MAX: u64 = 1_000_000_000;

/// The number of records; `None` without a backlog, or if the load has no schedule.
pub(super) fn build(scenario: &Scenario, load: &LoadPlan, found: &mut Findings) -> Option<u64> {
    let at = scenario.load.backlog.as_ref()?;
    if load.pace == Pace::Max {
        let now = "`rate = \"max\"`, which is never caught up with";
        found.no_effect("load.backlog", Some(at), "`load.rate` to a rate, for example `2/s`", now);
        return None;
    }
    if !load.sends() {
        let now = "`producers = 0`, which sends nothing";
        found.no_effect("load.backlog", Some(at), "`load.producers` to at least 1", now);
        return None;
    }
    if !(1..=BACKLOG_MAX).contains(&at.value) {
        let message =
            format!("`load.backlog` must be from 1 to {} records", format_count(BACKLOG_MAX));
        let remedy = "remove it to start without a backlog";
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, at.origin, message).remedy(remedy));
        return None;
    }
    Some(at.value)
}

/// Refuses a backlog if a partition of the broker does not keep its share of it.
pub(super) fn check(scenario: &Scenario, plan: &Plan, found: &mut Findings) {
    let (Some(at), Some(backlog)) = (&scenario.load.backlog, plan.load.backlog) else { return };
    let (load, partitions) = (&plan.load, plan.topic.partitions);
    let placement = Placement::new(load.partition, partitions, load.skew, plan.seed, plan.seed)
        .with_key_skew(load.key_skew);
    let largest = placement.shares(load.producers).into_iter().fold(0.0, f64::max);
    let each = f64::from(load.payload_bytes);
    let capability = plan.broker.capability();
    let (kept, of) = match capability.partition_bytes_max {
        Some(_) => (EMBEDDED_UNPROCESSED_MAX, "the embedded cluster"),
        None if capability.has_retention => (plan.topic.retention_bytes, "this topic"),
        None => return,
    };
    let most = (kept as f64 / each / largest).floor();
    if backlog as f64 <= most {
        return;
    }
    let message = format!(
        "{} records are more than a partition of {of} keeps: {}",
        format_count(backlog),
        format_bytes(kept)
    );
    let less = format!("set `load.backlog` to at most {most}");
    let (code, remedy) = match capability.partition_bytes_max {
        Some(_) => (codes::EMBEDDED_LIMIT, format!("{less}, or use `--broker kafka` or `sim`")),
        None => (codes::CONFLICT, format!("{less}, or raise `topic.retention_bytes`")),
    };
    found.push(Diagnostic::error(code, at.origin, message).remedy(remedy));
}
