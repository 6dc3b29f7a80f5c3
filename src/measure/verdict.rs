//! Expectations and self-doubt: what holds, and whether the tester itself fell short, so that its figures are not to be
//! believed.

use std::time::Duration;

use crate::base::{format_count, format_cpus, format_duration};
use crate::plan::{Expectation, Limits, Pace, Plan};
use crate::summary::{ExpectationSummary, Figure, Scope, Summary, Unit};

/// Measures every expectation against the summary. Of an interrupted run, what it did not come to is not judged.
pub fn evaluate(
    expectations: &[Expectation],
    summary: &Summary,
    interrupted: bool,
) -> Vec<ExpectationSummary> {
    let one = |expectation: &Expectation| evaluate_one(expectation, summary, interrupted);
    expectations.iter().map(one).collect()
}

fn evaluate_one(
    expectation: &Expectation,
    summary: &Summary,
    interrupted: bool,
) -> ExpectationSummary {
    let figure = expectation.figure;
    let unit = figure.metric.unit;
    let worst = figure.values(summary).into_iter().max_by(|a, b| {
        let badness = |value: Option<f64>| {
            value.map_or(f64::INFINITY, |value| expectation.comparison.badness(value))
        };
        badness(a.1).total_cmp(&badness(b.1))
    });
    let value = worst.and_then(|(_, value)| value);
    let passed = value.is_some_and(|value| expectation.comparison.holds(value));
    let reason = || match value {
        Some(_) => (figure.metric.cause)(summary),
        None => Some(why_unmeasured(figure, summary)),
    };
    ExpectationSummary {
        expression: expectation.expression.clone(),
        measured: value.map(|value| if unit == Unit::Time { value / 1e6 } else { value }),
        unit: unit.to_string(),
        text: value.map(|value| readable(unit, value)),
        reason: (!passed).then(reason).flatten(),
        partition: worst.and_then(|(partition, _)| partition),
        passed,
        // What is yes or no of a whole run is not known of a part of it.
        judged: !interrupted || (value.is_some() && unit != Unit::Flag),
        is_default: expectation.is_default,
    }
}

fn readable(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Flag => (value > 0.0).to_string(),
        Unit::Time => format_duration(Duration::from_nanos(value.max(0.0) as u64)),
        _ if value.fract() == 0.0 && value >= 0.0 => format_count(value as u64),
        _ => format!("{value:.3}"),
    }
}

/// Why nothing was measured.
fn why_unmeasured(figure: Figure, summary: &Summary) -> String {
    if let Scope::Fault(index) = figure.scope {
        let its = || summary.faults.iter().filter(|fault| fault.fault == index);
        if its().all(|fault| fault.at_s.is_none()) {
            return "the fault was not reached".to_owned();
        }
        let open = its().find(|fault| !fault.not_recovered.is_empty());
        let worst = open.and_then(|open| Some((open.not_recovered.len(), open.worst_partition?)));
        return match worst.filter(|_| figure.metric.name == "recovery") {
            Some((1, worst)) => format!("not within the run: partition {worst}"),
            Some((count, worst)) => {
                format!("not within the run: {count} partitions, worst {worst}")
            }
            None => "not measured".to_owned(),
        };
    }
    match summary.not_measured.get(&figure.metric.place()) {
        Some(reason) => format!("not measured: {reason}"),
        None => "not measured".to_owned(),
    }
}

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
    if summary.lane_gaps_max > limits.sequence_gaps as u64 {
        reasons.push(format!(
            "a producer had {} gaps on one partition at once, more than the {} the ledger keeps exactly; raise \
             `limits.sequence_gaps` or lower the load",
            summary.lane_gaps_max, limits.sequence_gaps
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
    (share < limits.sent_min).then_some((share, offered))
}

fn not_sent(summary: &Summary, limits: &Limits) -> Option<String> {
    shortfall(summary, limits).map(|(share, offered)| {
        format!(
            "only {:.1} % of the {} records due were sent (at least {:.1} %); lower `load.rate`, or use a larger \
             machine",
            share * 100.0,
            format_count(offered),
            limits.sent_min * 100.0
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
