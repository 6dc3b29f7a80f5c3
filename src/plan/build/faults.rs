//! Scheduled faults: each `[[fault]]` becomes its occurrences, in the order of their times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::group::MEMBERS_MAX;
use crate::base::{ConsumerId, Seed, format_count, format_duration};
use crate::fault::{
    Aim, ClusterFault, Fault, FaultEffect, FaultFacts, FaultSchedule, KindPlan, Lasts,
    TargetCounts, Targets, WrittenKind,
};
use crate::plan::{BrokerPlan, FaultPlan, LoadPlan, Times, TopicPlan};
use crate::reader::{Findings, GivenKey};
use crate::scenario::sections::ModeWord;
use crate::scenario::{At, Diagnostic, Origin, Scenario, codes};

/// Largest number of members that faults add in a run. Each has a client of its own, and is kept in the results.
const JOINING_MAX: u32 = 1_000;
/// Largest number of occurrences of all faults. Each has windows in which every partition is watched.
const OCCURRENCES_MAX: usize = 5_000;
/// Largest number of targets in all occurrences: consumers, partitions, pools and brokers. Each has its figures.
const TARGETS_MAX: u64 = 1_000_000;
const EVERY_MIN: Duration = Duration::from_millis(100);
/// Longest duration of a fault, like that of a run.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Shortest duration of a fault.
const LASTS_MIN: Duration = Duration::from_millis(1);

/// Every occurrence of every fault, in the order of their times.
pub(super) fn build(
    scenario: &Scenario,
    topic: &TopicPlan,
    load: &LoadPlan,
    broker: &BrokerPlan,
    times: &Times,
    seed: Seed,
    found: &mut Findings,
) -> Vec<FaultPlan> {
    let there = there(scenario, topic, load, broker);
    let mut extent = Extent::default();
    let mut joining = BTreeMap::new();
    let mut size = topic.partitions;
    let mut last = Duration::ZERO;
    let mut plans: Vec<FaultPlan> = Vec::new();
    for (entry, fault) in scenario.fault.iter().enumerate() {
        if found.is_full() {
            break;
        }
        let schedule = &fault.value.schedule;
        if let Some(given) = &schedule.at {
            check_time(entry, given, last, times, found);
        }
        let first = schedule.at.as_ref().map_or(last, |at| at.value);
        last = last.max(first);
        let facts = facts(scenario, load, broker, there, size, schedule);
        let Some(written) = only_kind(entry, fault, found) else { continue };
        let Some(planned) = written.plan(&facts, found) else { continue };
        let lasts = lasts(entry, written, planned.lasts, schedule, found);
        let aim = planned.aim;
        if !aim.check(written.info.name(), written.info.verb, &there, found) {
            continue;
        }
        if let FaultEffect::Cluster(ClusterFault::Grow(partitions)) = planned.effect {
            size = partitions.max(size);
        }
        if let Aim::New(count) = aim {
            joining.insert(entry, count);
        }
        let seed = seed.child("fault", entry as u64);
        let repeat = repeat(entry, schedule, lasts, found);
        let all = occurrences(first, lasts, repeat, times, seed, extent.room());
        if !extent.take(all.len(), aim.count(&there), fault, found) {
            continue;
        }
        let kind = KindPlan::new(written.info, planned.effect, planned.details);
        for (number, at) in all.into_iter().enumerate() {
            let mut random = seed.child("targets", number as u64).random();
            let targets = aim.draw(&there, &mut random);
            plans.push(FaultPlan { entry, at, lasts, kind: kind.clone(), targets });
        }
    }
    plans.sort_by_key(|plan| (plan.at, plan.entry));
    number_the_new(&mut plans, &joining, there.consumers);
    check_at_once(scenario, &plans, found);
    check_joining(scenario, &plans, there.consumers, found);
    plans
}

fn there(
    scenario: &Scenario,
    topic: &TopicPlan,
    load: &LoadPlan,
    broker: &BrokerPlan,
) -> TargetCounts {
    TargetCounts {
        consumers: members(scenario, topic.partitions),
        partitions: topic.partitions,
        pools: load.pools,
        brokers: broker.brokers.unwrap_or(1),
    }
}

fn facts<'a>(
    scenario: &'a Scenario,
    load: &LoadPlan,
    broker: &BrokerPlan,
    there: TargetCounts,
    partitions_by_then: u32,
    schedule: &'a FaultSchedule,
) -> FaultFacts<'a> {
    let Scenario { consumers, topic, .. } = scenario;
    FaultFacts {
        broker: broker.kind(),
        there,
        partitions_by_then,
        is_group: consumers.mode.as_ref().is_some_and(|at| at.value == ModeWord::Group),
        topic_name: topic.name.as_ref().map(|name| name.value.as_str()),
        per_second: load.highest_per_second(),
        idempotence: load.idempotence,
        has_work: consumers.work.is_some() || consumers.work_of.is_some(),
        schedule,
    }
}

/// The kind of the fault; `None` unless exactly one is given.
fn only_kind<'a>(
    entry: usize,
    fault: &'a At<Fault>,
    found: &mut Findings,
) -> Option<&'a WrittenKind> {
    let mut kinds: Vec<&WrittenKind> = fault.value.kinds.iter().collect();
    kinds.sort_by_key(|kind| kind.key);
    let diagnostic = match kinds.as_slice() {
        [one] => return Some(one),
        [] => {
            let message = format!("`fault[{entry}]` does not say what happens");
            Diagnostic::error(codes::EXACTLY_ONE, fault.origin, message)
                .remedy("add what it does, for example `kill = { consumer = 7 }`")
        }
        [_, second, ..] => {
            let message = format!("`fault[{entry}]` does a second thing, `{}`", second.info.name());
            Diagnostic::error(codes::EXACTLY_ONE, second.key, message)
                .remedy("give it a `[[fault]]` of its own, at the same time if it is meant so")
        }
    };
    found.push(diagnostic);
    None
}

fn lasts(
    entry: usize,
    written: &WrittenKind,
    lasts: Lasts,
    schedule: &FaultSchedule,
    found: &mut Findings,
) -> Option<Duration> {
    let name = written.info.name();
    match (&schedule.span, lasts) {
        (None, Lasts::Must) => {
            let message = format!("`{name}` needs the key `for`");
            found.push(
                Diagnostic::error(codes::MISSING_KEY, written.key, message)
                    .remedy("say how long it lasts, for example `for = \"3s\"`"),
            );
            None
        }
        (Some(given), Lasts::Never) => {
            let message = format!("`for` has no effect with `{name}`");
            let diagnostic = Diagnostic::error(codes::NO_EFFECT, given.key, message);
            found.push(diagnostic.remedy("remove it: that fault is over at once"));
            None
        }
        (None, _) => None,
        (Some(given), _) => {
            let reason = format!("at most a week, at least {}", format_duration(LASTS_MIN));
            let key = format!("fault[{entry}].for");
            let range = LASTS_MIN..=WEEK;
            Some(found.duration(GivenKey::new(&*key, Some(given)), LASTS_MIN, range, &reason))
        }
    }
}

/// Warns if a consumer is stopped and killed at the same time, because the second fault finds no consumer.
fn check_at_once(scenario: &Scenario, plans: &[FaultPlan], found: &mut Findings) {
    let mut warned = BTreeSet::new();
    for together in plans.chunk_by(|one, next| one.at == next.at) {
        // The entry that ended each consumer last.
        let mut ended: BTreeMap<ConsumerId, usize> = BTreeMap::new();
        for second in together.iter().filter(|plan| plan.kind.ends_consumer()) {
            let mut both = None;
            for consumer in second.targets.consumers() {
                let first = ended.insert(*consumer, second.entry);
                let first = first.filter(|first| *first != second.entry);
                both = both.or(first.map(|first| (first, *consumer)));
            }
            let Some((first, consumer)) = both.filter(|_| warned.insert(second.entry)) else {
                continue;
            };
            let origin = scenario.fault[second.entry].origin;
            let message = format!(
                "`fault[{first}]` and `fault[{}]` both end consumer {consumer} at {}",
                second.entry,
                format_duration(second.at)
            );
            found.push(
                Diagnostic::warning(codes::CONFLICT, origin, message)
                    .label("one of them has no effect, because its target has ended")
                    .remedy("choose different times, or different consumers"),
            );
        }
    }
}

fn check_joining(scenario: &Scenario, plans: &[FaultPlan], members: u32, found: &mut Findings) {
    let last = plans.iter().filter(|plan| plan.kind.effect == FaultEffect::Join);
    let last = last.filter_map(|plan| plan.targets.consumers().last()).max();
    let joined = last.map_or(0, |last| last.0 + 1 - members);
    if joined > JOINING_MAX
        && let Some(key) = first_join(scenario, plans)
    {
        let message = format!("{joined} members would join the group");
        found.push(
            Diagnostic::error(codes::OUT_OF_RANGE, key, message)
                .remedy(format!("at most {JOINING_MAX} in a run: choose a longer `every`")),
        );
    }
}

/// Place of the first fault that adds members.
fn first_join(scenario: &Scenario, plans: &[FaultPlan]) -> Option<Origin> {
    let first = plans.iter().filter(|plan| plan.kind.effect == FaultEffect::Join);
    let first = first.map(|plan| plan.entry).min()?;
    scenario.fault[first].value.kinds.first().map(|kind| kind.key)
}

/// Assigns ids to the consumers that join, in the order of joining.
fn number_the_new(plans: &mut [FaultPlan], joining: &BTreeMap<usize, u32>, members: u32) {
    let mut next = members;
    for plan in plans.iter_mut().filter(|plan| plan.kind.effect == FaultEffect::Join) {
        let count = joining.get(&plan.entry).copied().unwrap_or(0);
        plan.targets = Targets::Consumers((next..next + count).map(ConsumerId).collect());
        next += count;
    }
}

/// Number of consumers. A number that is refused elsewhere counts as the largest allowed one, so that targets are drawn
/// from a bounded number.
fn members(scenario: &Scenario, partitions: u32) -> u32 {
    let consumers = &scenario.consumers;
    let in_group = consumers.mode.as_ref().is_some_and(|at| at.value == ModeWord::Group);
    match &consumers.count {
        Some(count) if in_group => count.value.min(u64::from(MEMBERS_MAX)) as u32,
        _ => partitions,
    }
}

fn check_time(
    entry: usize,
    at: &At<Duration>,
    last: Duration,
    times: &Times,
    found: &mut Findings,
) {
    let end = times.load_end();
    if at.value >= end {
        let message = format!(
            "`fault[{entry}]` at {} comes after the load has ended",
            format_duration(at.value)
        );
        found.push(Diagnostic::error(codes::FAULT_AFTER_END, at.origin, message).remedy(format!(
            "warmup and duration end after {}: choose an earlier time, or a longer `run.duration`",
            format_duration(end)
        )));
    }
    if at.value < last {
        let message = format!("`fault[{entry}]` comes before the one above it");
        found.push(
            Diagnostic::error(codes::FAULT_ORDER, at.origin, message).remedy(
                "write faults in the order of their times, so that `fault[0]` is the first",
            ),
        );
    }
}

/// The repetition of a fault: its interval, and the jitter of each repetition.
#[derive(Clone, Copy)]
struct Repeat {
    every: Duration,
    jitter: Duration,
}

fn repeat(
    entry: usize,
    fault: &FaultSchedule,
    lasts: Option<Duration>,
    found: &mut Findings,
) -> Option<Repeat> {
    let Some(given) = &fault.every else {
        let (with, now) = (format!("`fault[{entry}].every`"), "a fault that happens once");
        found.no_effect(&format!("fault[{entry}].jitter"), fault.jitter.as_ref(), &with, now);
        return None;
    };
    let every = found.duration(
        GivenKey::new(format!("fault[{entry}].every"), Some(given)),
        Duration::from_secs(10),
        EVERY_MIN..=WEEK,
        "a fault needs time to show what it does",
    );
    if let Some(lasts) = lasts.filter(|lasts| *lasts >= every) {
        let message = format!(
            "`fault[{entry}]` lasts {} and comes every {}",
            format_duration(lasts),
            format_duration(every)
        );
        found.push(
            Diagnostic::error(codes::CONFLICT, given.origin, message)
                .remedy("choose `every` longer than `for`, so that something can recover"),
        );
    }
    let jitter = found.duration(
        GivenKey::new(format!("fault[{entry}].jitter"), fault.jitter.as_ref()),
        Duration::ZERO,
        Duration::ZERO..=every / 2,
        "more than half of `every` would change the order",
    );
    Some(Repeat { every, jitter })
}

/// The times of a fault: the first one, and those of its repetitions while the load lasts. At most one more than
/// `room`, which is enough to report that there are too many.
fn occurrences(
    first: Duration,
    lasts: Option<Duration>,
    repeat: Option<Repeat>,
    times: &Times,
    seed: Seed,
    room: usize,
) -> Vec<Duration> {
    let mut all = vec![first];
    let Some(Repeat { every, jitter }) = repeat else { return all };
    let mut random = seed.child("jitter", 0).random();
    let end = times.load_end();
    for number in 1..=room as u32 {
        let shifted = every * number + jitter.mul_f64(2.0 * random.unit());
        let at = (first + shifted).saturating_sub(jitter);
        if at + lasts.unwrap_or_default() >= end {
            break;
        }
        all.push(at);
    }
    all
}

/// Occurrences and targets of all faults so far.
#[derive(Debug, Default)]
struct Extent {
    occurrences: usize,
    targets: u64,
    is_exceeded: bool,
}

impl Extent {
    /// Number of further occurrences that are allowed.
    fn room(&self) -> usize {
        if self.is_exceeded { 0 } else { OCCURRENCES_MAX - self.occurrences }
    }

    /// True if a fault may have this number of further occurrences, each with `targets` targets. The first fault that
    /// exceeds a limit is reported, once.
    fn take(
        &mut self,
        occurrences: usize,
        targets: u64,
        fault: &At<Fault>,
        found: &mut Findings,
    ) -> bool {
        if self.is_exceeded {
            return false;
        }
        self.occurrences += occurrences;
        self.targets = self.targets.saturating_add(targets.saturating_mul(occurrences as u64));
        let (message, remedy) = if self.occurrences > OCCURRENCES_MAX {
            (
                format!("more than {} faults would happen", format_count(OCCURRENCES_MAX as u64)),
                "choose a longer `every`, a shorter `run.duration`, or fewer faults",
            )
        } else if self.targets > TARGETS_MAX {
            (
                format!("faults would hit more than {} targets in all", format_count(TARGETS_MAX)),
                "choose a longer `every`, a shorter `run.duration`, or fewer targets",
            )
        } else {
            return true;
        };
        self.is_exceeded = true;
        let origin = fault.value.schedule.every.as_ref().map_or(fault.origin, |every| every.origin);
        found.push(Diagnostic::error(codes::OUT_OF_RANGE, origin, message).remedy(remedy));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Source, read};

    #[test]
    fn a_number_of_members_that_is_refused_counts_as_the_largest_allowed() {
        let members_of = |count: &str| {
            let text = format!("[consumers]\nmode = \"group\"\ncount = {count}\n");
            let source = Source { name: "test.toml".to_owned(), text };
            members(&read(&source, &[]).0, 3)
        };
        assert_eq!(members_of("2"), 2);
        assert_eq!(members_of("9223372036854775807"), MEMBERS_MAX);
    }
}
