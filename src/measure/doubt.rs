//! Self-doubt: whether the tester itself fell short, so that its figures are not to be believed.

use std::time::Duration;

use crate::base::{format_count, format_cpus, format_duration};
use crate::plan::{Limits, Pace, Plan};
use crate::summary::Summary;

/// Why a run's figures are not to be believed, each with a remedy. Only what the tester failed to do counts: in a
/// simulation there is none, and what the cluster did not take or consumers did not process is a finding.
/// `blocked_share` is the share of the load in which pools waited for the cluster to take records.
pub fn invalid_reasons(summary: &Summary, plan: &Plan, blocked_share: f64) -> Vec<String> {
    let limits = &plan.limits;
    let mut reasons = Vec::new();
    if plan.load.pace != Pace::Max && summary.simulation.is_none() {
        if blocked_share < BLOCKED_MAX {
            reasons.extend(not_sent(summary, limits));
        }
        if expects_times(plan) {
            reasons.extend(too_late(summary, limits));
        }
        reasons.extend(too_busy(summary, limits));
    }
    if summary.lane_gaps_max > limits.lane_gaps_max as u64 {
        reasons.push(format!(
            "a lane had {} gaps at once, more than the {} the ledger keeps exactly; raise `limits.lane_gaps` or \
             lower the load",
            summary.lane_gaps_max, limits.lane_gaps_max
        ));
    }
    reasons
}

/// What a reader should know of late sends where no expectation names a time and so none is judged by them.
pub fn late_sends(summary: &Summary, plan: &Plan) -> Option<String> {
    let is_judged = expects_times(plan) || summary.simulation.is_some();
    if is_judged || plan.load.pace == Pace::Max {
        return None;
    }
    too_late(summary, &plan.limits)
        .map(|reason| format!("{reason}; no expectation names a time, so the run is valid"))
}

/// Beyond this share of the load, records are not sent because the cluster does not take them.
pub(super) const BLOCKED_MAX: f64 = 0.01;

/// Whether an expectation of the scenario names a time.
fn expects_times(plan: &Plan) -> bool {
    plan.expectations.iter().any(|expectation| expectation.figure.is_time())
}

/// The share of the records due that were sent, and how many were due, if that is less than it has to be. What was kept
/// back on purpose is no shortfall.
pub(super) fn shortfall(summary: &Summary, limits: &Limits) -> Option<(f64, u64)> {
    let (offered, sent) = (summary.offered?, summary.offered_sent?);
    if !summary.measured_something() || offered == 0 {
        return None;
    }
    let share = (sent + summary.withheld).min(offered) as f64 / offered as f64;
    (share < limits.achieved_min).then_some((share, offered))
}

fn not_sent(summary: &Summary, limits: &Limits) -> Option<String> {
    shortfall(summary, limits).map(|(share, offered)| {
        format!(
            "only {:.1} % of the {} records due were sent (at least {:.1} %); lower `load.rate`, or use a larger \
             machine",
            share * 100.0,
            format_count(offered),
            limits.achieved_min * 100.0
        )
    })
}

fn too_late(summary: &Summary, limits: &Limits) -> Option<String> {
    let late_us = summary.lateness_us.p99?;
    let lateness = Duration::from_nanos((late_us * 1e3) as u64);
    if lateness <= limits.lateness_p99_max {
        return None;
    }
    let response_us = summary.latency_us.response.p50.filter(|us| *us > 0.0);
    let share = response_us.map(|us| late_us / us);
    if share.is_some_and(|share| share <= limits.lateness_share_max) {
        return None;
    }
    let compared = response_us.map_or(String::new(), |us| {
        let us = Duration::from_nanos((us * 1e3) as u64);
        format!(" where the response time's p50 is {}", format_duration(us))
    });
    Some(format!(
        "records were sent late: p99 {} behind schedule{compared}; use a quieter machine, more `load.pools`, or raise \
         `limits.lateness_p99` if late sends do not matter to you",
        format_duration(lateness),
    ))
}

fn too_busy(summary: &Summary, limits: &Limits) -> Option<String> {
    let share = summary.cost.cpu_share?;
    (share > limits.cpu_share_max).then(|| {
        format!(
            "this process used {:.0} % of the {} it may use (at most {:.0} %), so it measured itself; use a larger \
             machine or quota, `consumers.clients = \"shared\"`, or raise `limits.cpu_share`",
            share * 100.0,
            format_cpus(summary.host.cpus()),
            limits.cpu_share_max * 100.0
        )
    })
}
