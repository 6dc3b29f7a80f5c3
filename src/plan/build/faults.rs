//! Scheduled faults.

use std::time::Duration;

use super::Findings;
use crate::base::{ConsumerId, format_duration};
use crate::plan::{FaultKind, FaultPlan, Times, TopicPlan};
use crate::scenario::sections::ModeWord;
use crate::scenario::{At, Diagnostic, Fault, Kill, Scenario, codes};

pub(super) fn build(
    scenario: &Scenario,
    topic: &TopicPlan,
    times: &Times,
    found: &mut Findings,
) -> Vec<FaultPlan> {
    let members = members(scenario, topic);
    let mut last = Duration::ZERO;
    let mut plans = Vec::new();
    for (index, fault) in scenario.fault.iter().enumerate() {
        let at = fault.value.at.as_ref().map_or(last, |at| at.value);
        if let Some(given) = &fault.value.at {
            check_time(index, given, last, times, found);
        }
        last = last.max(at);
        if let Some(consumer) = target(index, fault, members, found) {
            plans.push(FaultPlan { at, kind: FaultKind::KillConsumer(consumer) });
        }
    }
    plans
}

/// Consumers there will be, as far as the scenario can be believed.
fn members(scenario: &Scenario, topic: &TopicPlan) -> u32 {
    let consumers = &scenario.consumers;
    let in_group = consumers.mode.as_ref().is_some_and(|at| at.value == ModeWord::Group);
    match &consumers.count {
        Some(count) if in_group => u32::try_from(count.value).unwrap_or(u32::MAX),
        _ => topic.partitions,
    }
}

fn check_time(
    index: usize,
    at: &At<Duration>,
    last: Duration,
    times: &Times,
    found: &mut Findings,
) {
    let end = times.load_end();
    if at.value >= end {
        let message = format!(
            "`fault[{index}]` at {} comes after the load has ended",
            format_duration(at.value)
        );
        found.push(Diagnostic::error(codes::FAULT_AFTER_END, at.origin, message).remedy(format!(
            "warm-up and duration end after {}: choose an earlier time, or a longer `run.duration`",
            format_duration(end)
        )));
    }
    if at.value < last {
        let message = format!("`fault[{index}]` comes before the one above it");
        found.push(
            Diagnostic::error(codes::FAULT_ORDER, at.origin, message).remedy(
                "write faults in the order of their times, so that `fault[0]` is the first",
            ),
        );
    }
}

fn target(
    index: usize,
    fault: &At<Fault>,
    members: u32,
    found: &mut Findings,
) -> Option<ConsumerId> {
    let Some(kill) = &fault.value.kill else {
        let message = format!("`fault[{index}]` does not say what happens");
        found.push(
            Diagnostic::error(codes::EXACTLY_ONE, fault.origin, message)
                .remedy("add what it does, for example `kill = { consumer = 7 }`"),
        );
        return None;
    };
    let Kill { consumer: Some(consumer) } = &kill.value else {
        return None;
    };
    let fits = u32::try_from(consumer.value).ok().filter(|number| *number < members);
    if fits.is_none() {
        let message = format!("there is no consumer {} to kill", consumer.value);
        let numbers = match members {
            0 | 1 => "the only consumer is number 0".to_owned(),
            _ => format!("consumers are numbered 0 to {}", members - 1),
        };
        found.push(
            Diagnostic::error(codes::NO_SUCH_MEMBER, consumer.origin, message).remedy(numbers),
        );
    }
    fits.map(ConsumerId)
}
