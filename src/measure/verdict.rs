//! Expectations and self-doubt: from figures to a verdict.

use std::time::Duration;

use super::{
    ACK_FIGURE, Digest, ExpectationSummary, FaultSummary, PartitionSummary, RunLatency, Summary,
};
use crate::base::{format_count, format_duration};
use crate::plan::{Counter, Expectation, FaultFigure, Latency, Metric, Part, Scope};

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
    let metric = expectation.metric;
    let worst = measured(metric, summary).into_iter().max_by(|a, b| {
        let badness = |value: Option<f64>| {
            value.map_or(f64::INFINITY, |value| expectation.comparison.badness(value))
        };
        badness(a.1).total_cmp(&badness(b.1))
    });
    let value = worst.and_then(|(_, value)| value);
    let passed = value.is_some_and(|value| expectation.comparison.holds(value));
    ExpectationSummary {
        expression: expectation.expression.clone(),
        measured: value.map(|value| if metric.is_time() { value / 1e6 } else { value }),
        unit: unit(metric).to_owned(),
        text: value.map(|value| readable(metric, value)),
        reason: (!passed).then(|| reason(metric, value, summary)).flatten(),
        partition: worst.and_then(|(partition, _)| partition),
        passed,
        judged: !interrupted || (value.is_some() && metric != Metric::KeepsUp),
        is_default: expectation.is_default,
    }
}

fn unit(metric: Metric) -> &'static str {
    match metric {
        _ if metric.is_time() => "ms",
        Metric::Counter(_) | Metric::LagMax { .. } | Metric::Rebalances => "count",
        Metric::Fault { figure: FaultFigure::OthersSlow, .. } => "number",
        Metric::Fault { .. } => "count",
        Metric::KeepsUp
        | Metric::AchievedShare
        | Metric::AchievedPerSecond
        | Metric::PartitionRate { .. }
        | Metric::RateSpread
        | Metric::P99Spread
        | Metric::Latency { .. }
        | Metric::Acknowledgement { .. }
        | Metric::Part { .. }
        | Metric::Lateness { .. } => "number",
    }
}

fn readable(metric: Metric, value: f64) -> String {
    if metric == Metric::KeepsUp {
        return if value > 0.0 { "true".to_owned() } else { "false".to_owned() };
    }
    if metric.is_time() {
        return format_duration(Duration::from_nanos(value.max(0.0) as u64));
    }
    if value.fract() == 0.0 && value >= 0.0 {
        return format_count(value as u64);
    }
    format!("{value:.3}")
}

/// Why nothing was measured, or what led to a failure.
fn reason(metric: Metric, value: Option<f64>, summary: &Summary) -> Option<String> {
    match (metric, value) {
        (Metric::KeepsUp, _) => overload(summary),
        (Metric::Fault { index, figure }, None) => {
            let its = || summary.faults.iter().filter(|fault| fault.fault == index);
            if its().all(|fault| fault.at_s.is_none()) {
                return Some("the fault was not reached".to_owned());
            }
            if figure == FaultFigure::Recovered {
                let open = its().find(|fault| !fault.not_recovered.is_empty())?;
                let count = open.not_recovered.len();
                let worst = open.worst_partition?;
                return Some(match count {
                    1 => format!("not within the run: partition {worst}"),
                    _ => format!("not within the run: {count} partitions, worst {worst}"),
                });
            }
            Some("not measured".to_owned())
        }
        (Metric::Acknowledgement { .. }, None) => {
            Some(match summary.not_measured.get(ACK_FIGURE) {
                Some(reason) => format!("not measured: {reason}"),
                None => "not measured".to_owned(),
            })
        }
        (_, None) => Some("not measured".to_owned()),
        (Metric::Counter(Counter::Failed | Counter::Indeterminate), Some(_)) => {
            let (name, times) = summary.send_errors.iter().max_by_key(|(_, times)| **times)?;
            Some(format!("{name} ({} x)", format_count(*times)))
        }
        (Metric::Counter(Counter::Measured), Some(_)) => {
            Some("no record that was due in the measured window was processed".to_owned())
        }
        _ => None,
    }
}

/// Which part does not keep up, with the arithmetic.
fn overload(summary: &Summary) -> Option<String> {
    let worst = summary.overloaded.iter().max_by(|a, b| {
        let needed = |it: &super::Overload| it.consumers_needed.unwrap_or(0.0);
        needed(a).total_cmp(&needed(b))
    });
    let Some(worst) = worst else {
        let share = summary.offered_sent? as f64 / summary.offered?.max(1) as f64;
        return Some(format!(
            "the cluster took {:.1} % of the records that were due",
            share * 100.0
        ));
    };
    let more = match summary.overloaded.len() {
        1 => String::new(),
        count => format!(", and {} more partitions", count - 1),
    };
    Some(match (worst.handling_ms, worst.consumers_needed) {
        (Some(ms), Some(needed)) => format!(
            "partition {}: {:.0} msg/s x {} = {needed:.2} consumers{more}",
            worst.partition,
            worst.offered_per_s,
            format_duration(Duration::from_nanos((ms * 1e6) as u64)),
        ),
        _ => format!(
            "partition {} falls behind {:.0} msg/s{more}",
            worst.partition, worst.offered_per_s
        ),
    })
}

/// The values a metric has: one, or one per partition. `None` where nothing was measured.
fn measured(metric: Metric, summary: &Summary) -> Vec<(Option<u32>, Option<f64>)> {
    let one = |value: Option<f64>| vec![(None, value)];
    match metric {
        Metric::Counter(counter) => one(count(counter, summary).map(|count| count as f64)),
        Metric::KeepsUp => one(summary.keeps_up.map(|keeps_up| f64::from(u8::from(keeps_up)))),
        Metric::AchievedShare => {
            let offered = summary.offered_per_s.filter(|offered| *offered > 0.0);
            one(offered.map(|offered| summary.achieved_per_s / offered))
        }
        Metric::AchievedPerSecond => one(Some(summary.achieved_per_s)),
        Metric::Lateness { quantile: q } => one(quantile(&summary.lateness_us, q)),
        Metric::Acknowledgement { quantile: q } => {
            one(summary.latency_us.ack.as_ref().and_then(|ack| quantile(ack, q)))
        }
        Metric::Latency { scope: Scope::All, latency, quantile: q } => {
            let all = &summary.latency_us;
            one(quantile(pick(latency, &all.response, &all.service), q))
        }
        Metric::Latency { scope, latency, quantile: q } => each(summary, scope, |p| {
            quantile(pick(latency, &p.latency_us.response, &p.latency_us.service), q)
        }),
        Metric::Part { part, quantile: q } => {
            one(part_of(&summary.latency_us, part).and_then(|digest| quantile(digest, q)))
        }
        Metric::PartitionRate { scope } => each(summary, scope, |p| Some(p.processed_per_s)),
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

fn part_of(latency: &RunLatency, part: Part) -> Option<&Digest> {
    match part {
        Part::Fetch => latency.fetch.as_ref(),
        Part::Waiting => latency.waiting.as_ref(),
        Part::HandedOver => latency.handed_over.as_ref(),
        Part::Handling => Some(&latency.handling),
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

/// The figure of every occurrence of a fault: the worst decides. An occurrence that hit no partition has no times to
/// judge; one that was not reached has nothing at all, and so fails.
fn occurrences(
    summary: &Summary,
    index: usize,
    figure: FaultFigure,
) -> Vec<(Option<u32>, Option<f64>)> {
    let its: Vec<&FaultSummary> = summary.faults.iter().filter(|f| f.fault == index).collect();
    let has_hit = |fault: &FaultSummary| {
        !fault.partitions_aimed_at.is_empty() || !fault.partitions_hit.is_empty()
    };
    let all_missed = !its.iter().any(|fault| has_hit(fault));
    let is_judged = |f: &&FaultSummary| {
        all_missed || figure == FaultFigure::Missed || f.at_s.is_none() || has_hit(f)
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
        FaultFigure::Recovered => ns(fault.recovered_ms),
        FaultFigure::Redelivered => Some(fault.redelivered as f64),
        FaultFigure::LagPeak => Some(fault.lag_peak as f64),
        FaultFigure::BlastRadius => Some(fault.blast_radius as f64),
        FaultFigure::OthersStall => ns(fault.others.as_ref().map(|others| others.stall_after_ms)),
        FaultFigure::OthersSlow => fault.others.as_ref()?.slow_after,
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
        Counter::Unread => ledger.unread,
        Counter::Measured => summary.latency_us.response.count,
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
