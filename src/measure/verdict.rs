//! Expectations and self-doubt: from figures to a verdict.

use std::time::Duration;

use super::{Digest, ExpectationSummary, FaultSummary, PartitionSummary, Summary};
use crate::base::{format_count, format_duration};
use crate::plan::{Counter, Expectation, FaultFigure, Latency, Limits, Metric, Scope};

/// Measures every expectation against the summary.
pub fn evaluate(expectations: &[Expectation], summary: &Summary) -> Vec<ExpectationSummary> {
    expectations.iter().map(|expectation| evaluate_one(expectation, summary)).collect()
}

fn evaluate_one(expectation: &Expectation, summary: &Summary) -> ExpectationSummary {
    let worst = measured(expectation.metric, summary).into_iter().max_by(|a, b| {
        let badness = |value: Option<f64>| {
            value.map_or(f64::INFINITY, |value| expectation.comparison.badness(value))
        };
        badness(a.1).total_cmp(&badness(b.1))
    });
    let value = worst.and_then(|(_, value)| value);
    ExpectationSummary {
        expression: expectation.expression.clone(),
        measured: value.map(|value| readable(expectation.metric, value)),
        partition: worst.and_then(|(partition, _)| partition),
        passed: value.is_some_and(|value| expectation.comparison.holds(value)),
    }
}

fn readable(metric: Metric, value: f64) -> String {
    if metric.is_time() {
        return format_duration(Duration::from_nanos(value.max(0.0) as u64));
    }
    if value.fract() == 0.0 && value >= 0.0 {
        return format_count(value as u64);
    }
    format!("{value:.3}")
}

/// The values a metric has: one, or one per partition. `None` where nothing was measured.
fn measured(metric: Metric, summary: &Summary) -> Vec<(Option<u32>, Option<f64>)> {
    let one = |value: Option<f64>| vec![(None, value)];
    match metric {
        Metric::Counter(counter) => one(count(counter, summary).map(|count| count as f64)),
        Metric::AchievedShare => {
            one(summary.offered_per_s.map(|offered| summary.achieved_per_s / offered))
        }
        Metric::AchievedPerSecond => one(Some(summary.achieved_per_s)),
        Metric::Lateness { quantile: q } => one(quantile(&summary.lateness_us, q)),
        Metric::Latency { scope: Scope::All, latency, quantile: q } => {
            let all = &summary.latency_us;
            one(quantile(pick(latency, &all.response, &all.service), q))
        }
        Metric::Latency { scope, latency, quantile: q } => each(summary, scope, |p| {
            quantile(pick(latency, &p.latency_us.response, &p.latency_us.service), q)
        }),
        Metric::PartitionRate { scope } => each(summary, scope, |p| Some(p.rate_per_s)),
        Metric::LagMax { scope } => each(summary, scope, |p| Some(p.lag_max as f64)),
        Metric::RateSpread => one(summary.fairness.rate_cv),
        Metric::P99Spread => one(summary.fairness.p99_max_over_median),
        Metric::Rebalances => one(Some(summary.rebalances.len() as f64)),
        Metric::Fault { index, figure } => occurrences(summary, index, figure),
    }
}

fn pick<'a>(latency: Latency, response: &'a Digest, service: &'a Digest) -> &'a Digest {
    match latency {
        Latency::Response => response,
        Latency::Service => service,
    }
}

fn each(
    summary: &Summary,
    scope: Scope,
    figure: impl Fn(&PartitionSummary) -> Option<f64>,
) -> Vec<(Option<u32>, Option<f64>)> {
    let meant = |p: &&PartitionSummary| !matches!(scope, Scope::One(id) if id != p.partition);
    summary.partitions.iter().filter(meant).map(|p| (Some(p.partition), figure(p))).collect()
}

/// A quantile of a digest, in nanoseconds.
fn quantile(digest: &Digest, quantile: f64) -> Option<f64> {
    let us = match quantile {
        0.50 => digest.p50,
        0.90 => digest.p90,
        0.95 => digest.p95,
        0.99 => digest.p99,
        0.999 => digest.p999,
        _ => digest.max,
    };
    us.map(|us| us * 1e3)
}

/// The figure of every occurrence of a fault: the worst decides. An occurrence that hit nobody has no times to
/// judge; one that never came has nothing at all.
fn occurrences(
    summary: &Summary,
    index: usize,
    figure: FaultFigure,
) -> Vec<(Option<u32>, Option<f64>)> {
    let its: Vec<&FaultSummary> = summary.faults.iter().filter(|f| f.fault == index).collect();
    let all_missed = its.iter().all(|fault| fault.partitions_aimed_at.is_empty());
    let is_judged = |f: &&FaultSummary| {
        all_missed || figure == FaultFigure::Missed || !f.partitions_aimed_at.is_empty()
    };
    let judged = its.into_iter().filter(is_judged);
    judged.map(|f| (None, fault(f, figure))).collect()
}

fn fault(fault: &FaultSummary, figure: FaultFigure) -> Option<f64> {
    fault.at_s?;
    let ns = |ms: Option<f64>| ms.map(|ms| ms * 1e6);
    match figure {
        FaultFigure::Detected => ns(fault.detected_ms),
        FaultFigure::Released => ns(fault.released_ms),
        FaultFigure::Restarted => ns(fault.restarted_ms),
        FaultFigure::FirstRecord => ns(fault.first_record_ms),
        FaultFigure::CaughtUp => ns(fault.caught_up_ms),
        FaultFigure::Redelivered => Some(fault.redelivered as f64),
        FaultFigure::LagPeak => Some(fault.lag_peak as f64),
        FaultFigure::BlastRadius => Some(fault.blast_radius as f64),
        FaultFigure::Missed => Some(fault.missed.len() as f64),
    }
}

fn count(counter: Counter, summary: &Summary) -> Option<u64> {
    let ledger = &summary.ledger;
    let count = match counter {
        Counter::Sent => ledger.sent,
        Counter::Acked => ledger.acked,
        Counter::Failed => ledger.failed,
        Counter::Indeterminate => ledger.indeterminate,
        Counter::Delivered => ledger.delivered,
        Counter::Lost => ledger.lost,
        Counter::Duplicated => ledger.duplicated,
        Counter::Redelivered => ledger.redelivered,
        Counter::Reordered => ledger.reordered,
        Counter::Corrupt => ledger.corrupt,
        Counter::Foreign => ledger.foreign,
        Counter::Skipped => ledger.skipped,
        Counter::Earlier => ledger.earlier,
        Counter::ConsumersStarted => u64::from(summary.consumers_started),
        Counter::WrongPartition => summary.wrong_partition,
        Counter::TwoOwners => summary.two_owners,
        Counter::Unexplained => summary.unexplained,
        Counter::OffsetGaps => summary.offset_gaps,
        Counter::Unaccounted => ledger.unaccounted(),
        Counter::Miscommitted => summary.simulation.as_ref()?.miscommitted,
        Counter::Shared => summary.simulation.as_ref()?.shared,
        Counter::Restarts => summary.restarts.into(),
        Counter::Quarantined => summary.given_up.len() as u64,
    };
    Some(count)
}

/// Why a paced run's figures are not to be believed, each with a remedy. `paced` is false at maximum rate.
pub fn invalid_reasons(summary: &Summary, limits: &Limits, paced: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if paced {
        reasons.extend(too_slow(summary, limits));
        reasons.extend(too_late(summary, limits));
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

fn too_slow(summary: &Summary, limits: &Limits) -> Option<String> {
    let offered = summary.offered_per_s?;
    if !summary.measured_something() {
        // Interrupted before anything was measured: that says nothing about the load.
        return None;
    }
    // What was kept back on purpose is no slowness.
    let withheld_per_s = summary.withheld as f64 / summary.duration_s.max(1e-9);
    let share = (summary.achieved_per_s + withheld_per_s) / offered;
    (share < limits.achieved_min).then(|| {
        format!(
            "only {:.1} % of the offered {offered:.0} msg/s was achieved (at least {:.1} %); lower `load.rate`, \
             or give consumers less work",
            share * 100.0,
            limits.achieved_min * 100.0
        )
    })
}

fn too_late(summary: &Summary, limits: &Limits) -> Option<String> {
    let lateness = Duration::from_nanos((summary.lateness_us.p99? * 1e3) as u64);
    let response_us = summary.latency_us.response.p50.unwrap_or(0.0);
    let share = summary.lateness_us.p99? / response_us.max(1e-9);
    (lateness > limits.lateness_p99_max && share > limits.lateness_share_max).then(|| {
        format!(
            "records were sent late: p99 {} behind schedule, which is {:.0} % of the response time's p50; use a \
             quieter machine, more `load.pools`, or raise `limits.lateness_p99` if late sends do not matter to you",
            format_duration(lateness),
            share * 100.0
        )
    })
}

fn too_busy(summary: &Summary, limits: &Limits) -> Option<String> {
    let share = summary.cost.cpu_share?;
    (share > limits.cpu_share_max).then(|| {
        format!(
            "this process used {:.0} % of the machine's CPU (at most {:.0} %), so it measured itself; use a larger \
             machine, `consumers.clients = \"shared\"`, or raise `limits.cpu_share`",
            share * 100.0,
            limits.cpu_share_max * 100.0
        )
    })
}
