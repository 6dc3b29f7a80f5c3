//! Expectations: from figures to what holds and what does not.

use std::time::Duration;

use crate::base::{format_count, format_duration};
use crate::plan::Expectation;
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
