//! Expectations: each on a figure that exists and that this run will have.

use super::bound::{self, BadBound};
use super::figure;
use crate::base::BrokerKind;
use crate::fault::Targets;
use crate::plan::{
    Acks, Comparison, Counter, Expectation, FaultFigure, FaultPlan, Metric, Pace, Plan,
    ProducerClients, Scope,
};
use crate::reader::Findings;
use crate::scenario::{Bound, Diagnostic, Expected, Scenario, codes};

pub(super) fn build(scenario: &Scenario, plan: &Plan, found: &mut Findings) -> Vec<Expectation> {
    let faults = scenario.fault.len();
    let mut all: Vec<Expectation> = Vec::new();
    for expected in &scenario.expect {
        if found.is_full() {
            break;
        }
        all.extend(expectation(expected, faults, plan, found));
    }
    let is_named = |default: &Expectation| {
        scenario.expect.iter().any(|its| figure::parse(&its.metric) == Some(default.metric))
    };
    let missing = defaults(plan).into_iter().filter(|default| !is_named(default));
    all.extend(missing.collect::<Vec<_>>());
    all
}

/// What every run has to meet, unless its scenario says something else of the same figure: something was measured,
/// and everything sent was acknowledged and processed. With a schedule, consumers keep up with it.
fn defaults(plan: &Plan) -> Vec<Expectation> {
    let default = |expression: &str, metric, comparison| Expectation {
        expression: expression.to_owned(),
        metric,
        comparison,
        is_default: true,
    };
    let none = |counter: Counter| {
        default(&format!("{counter} = 0"), Metric::Counter(counter), Comparison::Equal(0.0))
    };
    let mut all: Vec<Expectation> =
        [Counter::Lost, Counter::Unread, Counter::Failed, Counter::Indeterminate].map(none).into();
    let measured = Metric::Counter(Counter::Measured);
    all.push(default("measured > 0", measured, Comparison::Greater(0.0)));
    if plan.load.pace != Pace::Max {
        all.push(default("keeps_up = true", Metric::KeepsUp, Comparison::Equal(1.0)));
    }
    all
}

fn expectation(
    expected: &Expected,
    faults: usize,
    plan: &Plan,
    found: &mut Findings,
) -> Option<Expectation> {
    let name = &expected.metric;
    let Some(metric) = figure::parse(name) else {
        let message = format!("there is no figure `{name}`");
        found.push(
            Diagnostic::error(codes::UNKNOWN_METRIC, expected.bound.key, message)
                .remedy(figure::suggestion(name)),
        );
        return None;
    };
    if let Some((why, remedy)) = not_measured(&metric, faults, plan) {
        let message = format!("`{name}` is not measured: {why}");
        found.push(
            Diagnostic::error(codes::NOT_MEASURED, expected.bound.key, message).remedy(remedy),
        );
        return None;
    }
    match comparison(&expected.bound.value, &metric) {
        Ok((comparison, text)) => {
            let expression = format!("{name} {text}");
            Some(Expectation { expression, metric, comparison, is_default: false })
        }
        Err(BadBound { why, example }) => {
            let message = format!("`{name}` cannot be compared: {why}");
            found.push(
                Diagnostic::error(codes::BAD_BOUND, expected.bound.origin, message)
                    .remedy(format!("for example `{example}`")),
            );
            None
        }
    }
}

/// The comparison, and how it reads behind the figure's name.
fn comparison(bound: &Bound, metric: &Metric) -> Result<(Comparison, String), BadBound> {
    let is_time = metric.is_time();
    let text = match bound {
        Bound::Flag(flag) if *metric == Metric::KeepsUp => {
            return Ok((Comparison::Equal(f64::from(u8::from(*flag))), format!("= {flag}")));
        }
        Bound::Flag(flag) => {
            return Err(bound::bad(format!("it is not `{flag}`, but measured"), is_time));
        }
        Bound::Number(number) if is_time => {
            return Err(bound::bad(format!("`{number}` is not a time"), true));
        }
        Bound::Number(number) => return Ok((Comparison::Equal(*number), format!("= {number}"))),
        Bound::Text(text) => text.trim(),
    };
    let comparison = bound::parse(text, is_time)?;
    let has_operator = text.starts_with(['<', '>', '=']);
    // On its own a number means "exactly", and a measured time never is.
    if is_time && !has_operator && matches!(comparison, Comparison::Equal(_)) {
        let why = format!("a time is never exactly `{text}`: write `< {text}`, or a range");
        return Err(bound::bad(why, true));
    }
    let text = match comparison {
        Comparison::Within(..) => format!("in {text}"),
        Comparison::Equal(_) if !has_operator => format!("= {text}"),
        _ => text.to_owned(),
    };
    Ok((comparison, text))
}

/// Why this run does not have the figure, and what to do about it.
fn not_measured(metric: &Metric, faults: usize, plan: &Plan) -> Option<(String, String)> {
    let partitions = plan.partitions_max();
    match *metric {
        Metric::Latency { scope: Scope::One(partition), .. }
        | Metric::PartitionRate { scope: Scope::One(partition) }
        | Metric::LagMax { scope: Scope::One(partition) }
            if partition >= partitions =>
        {
            Some((
                format!("there is no partition {partition}"),
                format!("partitions are numbered 0 to {}", partitions - 1),
            ))
        }
        Metric::Fault { index, .. } if index >= faults => Some((
            match faults {
                0 => "the scenario has no fault".to_owned(),
                1 => format!("there is no fault {index}"),
                count => format!("there is no fault {index} among {count}"),
            },
            match faults {
                0 => "add a `[[fault]]`, or remove the expectation".to_owned(),
                1 => "the only fault is `fault[0]`".to_owned(),
                count => format!("faults are numbered 0 to {}", count - 1),
            },
        )),
        Metric::Fault { index, figure } => not_of_fault(index, figure, plan),
        Metric::Acknowledgement { .. } if plan.load.acks == Acks::None => Some((
            "with `acks = \"none\"` no record is acknowledged".to_owned(),
            "remove it, or set `load.acks` to `leader` or `all`".to_owned(),
        )),
        Metric::Acknowledgement { .. } if plan.load.clients == ProducerClients::PerProducer => {
            Some((
                "with a client per producer acknowledgements are not timed".to_owned(),
                "remove it, or set `load.clients` to `pool`".to_owned(),
            ))
        }
        Metric::Counter(Counter::Miscommitted | Counter::Shared)
            if plan.broker.kind() != BrokerKind::Sim =>
        {
            Some((
                "no coordinator but the simulated one says what it does".to_owned(),
                "remove it, or use `--broker sim`".to_owned(),
            ))
        }
        Metric::Rebalances if plan.mode() == "assigned" => Some((
            "consumers with partitions of their own never rebalance".to_owned(),
            "remove it, or set `consumers.mode` to `group`".to_owned(),
        )),
        Metric::Part { part, .. } => {
            let why = part.not_measured_on(plan.broker.kind())?;
            let instead = "ask for the parts this client measures, or for `latency.service`";
            Some((why.to_owned(), instead.to_owned()))
        }
        Metric::KeepsUp | Metric::AchievedShare | Metric::Lateness { .. }
            if plan.load.pace == Pace::Max =>
        {
            Some((
                "at `rate = \"max\"` there is no schedule to keep".to_owned(),
                "remove it, or set `load.rate` to a rate; `achieved_per_s` is measured either way"
                    .to_owned(),
            ))
        }
        _ => None,
    }
}

/// Why a fault does not have the figure, and what to do about it.
fn not_of_fault(index: usize, figure: FaultFigure, plan: &Plan) -> Option<(String, String)> {
    let remove = |instead: &str| format!("remove it, or ask for `fault[{index}].{instead}`");
    let its = || plan.faults.iter().filter(|fault| fault.entry == index);
    match figure {
        FaultFigure::Detected | FaultFigure::Released | FaultFigure::Restarted => {
            let fault = its().find(|fault| fault.kind.is_no_failure())?;
            let why = format!("`{}` ends no consumer and no pool", fault.kind.name());
            Some((why, remove("recovery")))
        }
        FaultFigure::OthersStall | FaultFigure::OthersSlow => {
            let is_whole = |fault: &FaultPlan| {
                let aimed_at = match &fault.targets {
                    Targets::Partitions(partitions) => partitions.len(),
                    // In a group, a member has whichever partitions it is given.
                    Targets::Consumers(consumers) if plan.group().is_none() => consumers.len(),
                    _ => 0,
                };
                aimed_at as u64 >= u64::from(plan.partitions_max())
            };
            let is_aimed_at_all = its().next().is_some() && its().all(is_whole);
            is_aimed_at_all.then(|| {
                let why = "the fault is aimed at every partition".to_owned();
                (why, remove("recovery"))
            })
        }
        _ => None,
    }
}
