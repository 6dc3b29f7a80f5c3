//! Makes the summaries of faults, and of failures that were not planned.

use std::collections::BTreeMap;

use super::{Effect, Event, FaultTimes, Measurements, Quiet, RecoveryMark};
use crate::base::Time;
use crate::fault::{CallAction, CallError, ConsumerFault, FaultEffect};
use crate::plan::{FaultPlan, Plan};
use crate::summary::{
    FailureSummary, FaultPartition, FaultSummary, LagAfter, Others, RecoverySummary,
};

/// Up to this number, entries for all partitions and all faults are kept. Beyond it, only those of partitions that were
/// aimed at or hit.
const ENTRIES_MAX: usize = 20_000;

/// The summaries of all occurrences, in the plan's order.
pub fn fault_summaries(
    plan: &Plan,
    start: Time,
    measurements: &Measurements,
    journal: &[(Time, Event)],
) -> Vec<FaultSummary> {
    let times = measurements.faults();
    let marks = marks(measurements);
    let keeps_all = plan.faults.len() * measurements.cells.len() <= ENTRIES_MAX;
    let summary = |(number, fault): (usize, &FaultPlan)| {
        let times = times.get(&number).cloned().unwrap_or_default();
        let marks = marks.get(&number).map_or(&[][..], Vec::as_slice);
        let effects = effects(measurements, number);
        let mut summary = without_partitions(fault, start, &times, marks);
        summary.closed_ms = closed(fault, times.injected, journal)
            .zip(times.injected)
            .map(|(at, from)| at.ms_since(from));
        if times.injected.is_some() {
            let hit = effects.iter().filter(|(_, effect)| effect.is_hit());
            summary.partitions_hit = hit.map(|(id, _)| *id).collect();
            summary.others = others(&effects, &summary.partitions_aimed_at);
        }
        summary.blast_radius = summary.partitions_hit.len();
        recovered(&mut summary, marks, times.injected);
        summary.partitions = partitions(&effects, marks, times.injected, |partition| {
            keeps_all || summary.partitions_hit.contains(&partition)
        });
        summary
    };
    plan.faults.iter().enumerate().map(summary).collect()
}

/// The summaries of failures that were not planned.
pub fn failures(measurements: &Measurements, start: Time) -> Vec<FailureSummary> {
    let mut failures = Vec::new();
    for (id, cell) in measurements.cells.iter().enumerate() {
        let cell = cell.lock();
        let unplanned = cell.recoveries.iter().filter(|mark| mark.fault.is_none());
        failures.extend(unplanned.map(|mark| FailureSummary {
            partition: id as u32,
            consumer: mark.consumer.map(|consumer| consumer.0),
            at_s: mark.since.since_ns(start) as f64 / 1e9,
            recovery: recovery(mark, mark.since),
        }));
    }
    failures.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    failures
}

/// The marks of each fault, with their partitions.
fn marks(measurements: &Measurements) -> BTreeMap<usize, Vec<(u32, RecoveryMark)>> {
    let mut marks: BTreeMap<usize, Vec<(u32, RecoveryMark)>> = BTreeMap::new();
    for (id, cell) in measurements.cells.iter().enumerate() {
        for mark in &cell.lock().recoveries {
            if let Some(fault) = mark.fault {
                marks.entry(fault).or_default().push((id as u32, *mark));
            }
        }
    }
    marks
}

fn without_partitions(
    fault: &FaultPlan,
    start: Time,
    times: &FaultTimes,
    marks: &[(u32, RecoveryMark)],
) -> FaultSummary {
    let ms = |at: Option<Time>| at.zip(times.injected).map(|(at, from)| at.ms_since(from));
    // A time of the fault exists only if every partition that was aimed at has one.
    let aimed_at = || marks.iter().filter(|(_, mark)| mark.is_target);
    let last = |of: fn(&RecoveryMark) -> Option<Time>, own: Option<Time>| {
        let all: Option<Vec<Time>> = aimed_at().map(|(_, mark)| of(mark)).collect();
        ms(all.and_then(|times| times.into_iter().max()).or(own))
    };
    // Records that are processed while the commands of the fault run do not belong to the recovery.
    let has_ended = times.ended.is_some() || !matches!(fault.kind.effect, FaultEffect::Exec(_));
    FaultSummary {
        fault: fault.entry,
        kind: fault.kind.name().to_owned(),
        target: fault.targets.to_string(),
        at_s: times.injected.map(|at| at.since_ns(start) as f64 / 1e9),
        lasts_s: fault.lasts.map(|span| span.as_secs_f64()),
        missed: times.missed.clone(),
        detected_ms: last(|mark| mark.detected, times.detected),
        fenced_ms: last(|mark| mark.fenced, times.fenced),
        closed_ms: None,
        restarted_ms: last(|mark| mark.restarted, times.restarted),
        ended_ms: ms(times.ended),
        first_record_ms: last(|mark| mark.first_record, None).filter(|_| has_ended),
        recovered_ms: None,
        worst_partition: None,
        not_recovered: Vec::new(),
        lag_after: Vec::new(),
        redelivered: marks.iter().map(|(_, mark)| mark.redelivered).sum(),
        lag_peak: marks.iter().map(|(_, mark)| mark.lag_peak).max().unwrap_or(0),
        blast_radius: 0,
        partitions_hit: Vec::new(),
        partitions_aimed_at: aimed_at().map(|(partition, _)| *partition).collect(),
        others: None,
        partitions: Vec::new(),
    }
}

/// The effect of the fault on each partition that is watched, by id.
fn effects(measurements: &Measurements, fault: usize) -> Vec<(u32, Effect)> {
    let effect = |(id, cell): (usize, &super::PartitionCell)| {
        let effect = cell.lock().watch()?.effect(fault).copied()?;
        Some((id as u32, effect))
    };
    measurements.cells.iter().enumerate().filter_map(effect).collect()
}

/// Recovery is that of all partitions that were aimed at or hit; the last one decides.
fn recovered(summary: &mut FaultSummary, marks: &[(u32, RecoveryMark)], injected: Option<Time>) {
    let Some(injected) = injected else { return };
    let open = marks.iter().filter(|(_, mark)| mark.recovered.is_none());
    summary.not_recovered = open.map(|(partition, _)| *partition).collect();
    let worst = match summary.not_recovered.is_empty() {
        true => marks.iter().max_by_key(|(id, mark)| (mark.recovered, std::cmp::Reverse(*id))),
        false => marks
            .iter()
            .filter(|(_, mark)| mark.recovered.is_none())
            .max_by_key(|(id, mark)| (mark.lag_peak, std::cmp::Reverse(*id))),
    };
    let Some((partition, mark)) = worst else { return };
    summary.worst_partition = Some(*partition);
    summary.recovered_ms = mark.recovered.map(|at| at.ms_since(injected).max(0.0));
    if mark.recovered.is_none() {
        let kept = mark.lag_after.iter().enumerate();
        let after =
            kept.filter_map(|(power, lag)| Some(LagAfter { after_s: 1 << power, lag: (*lag)? }));
        summary.lag_after = after.collect();
    }
}

/// The effect of the fault on partitions at which it was not aimed.
fn others(effects: &[(u32, Effect)], aimed_at: &[u32]) -> Option<Others> {
    let all: Vec<&(u32, Effect)> =
        effects.iter().filter(|(id, _)| !aimed_at.contains(id)).collect();
    if all.is_empty() {
        return None;
    }
    let is_left_out = |effect: &Effect| effect.quiet.is_stable == Some(false);
    let kept = || all.iter().map(|(_, effect)| effect).filter(|effect| !is_left_out(effect));
    let longest = |of: fn(&Effect) -> i64| kept().map(of).max().unwrap_or(0) as f64 / 1e6;
    let sum = |of: fn(&Effect) -> u64| {
        kept().filter(|effect| effect.quiet.is_stable.is_some()).map(of).sum::<u64>()
    };
    Some(Others {
        partitions: kept().count(),
        stall_before_ms: longest(|effect| effect.quiet.stall_ns),
        stall_after_ms: longest(|effect| effect.stall_ns),
        slow_before: share(sum(|effect| effect.quiet.slow), sum(|effect| effect.quiet.records)),
        slow_after: share(sum(|effect| effect.slow), sum(|effect| effect.records)),
        left_out: all.iter().filter(|(_, e)| is_left_out(e)).map(|(id, _)| *id).collect(),
    })
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

/// The effect of the fault, injected at `injected`, on each partition that is kept.
fn partitions(
    effects: &[(u32, Effect)],
    marks: &[(u32, RecoveryMark)],
    injected: Option<Time>,
    is_kept: impl Fn(u32) -> bool,
) -> Vec<FaultPartition> {
    let entry = |(id, effect): &(u32, Effect)| {
        let mark = marks.iter().find(|(partition, _)| partition == id).map(|(_, mark)| mark);
        if mark.is_none() && !is_kept(*id) {
            return None;
        }
        let Effect { quiet, stall_ns, records, slow } = *effect;
        let Quiet { p99_ns, is_stable, .. } = quiet;
        Some(FaultPartition {
            partition: *id,
            // A partition that the fault was not aimed at has a mark since the fault was due, which is a moment
            // earlier.
            recovery: mark.map(|mark| recovery(mark, injected.unwrap_or(mark.since))),
            stall_before_ms: quiet.stall_ns as f64 / 1e6,
            stall_after_ms: stall_ns as f64 / 1e6,
            quiet_p99_us: p99_ns.map(|ns| ns as f64 / 1e3),
            slow_before: share(quiet.slow, quiet.records),
            slow_after: p99_ns.and_then(|_| share(slow, records)),
            is_stable,
        })
    };
    effects.iter().filter_map(entry).collect()
}

/// Time at which the last client that the fault has ended was closed; `None` if the fault ends no client, or if one is
/// open.
fn closed(fault: &FaultPlan, injected: Option<Time>, journal: &[(Time, Event)]) -> Option<Time> {
    let injected = injected?;
    let is_lethal = match fault.kind.effect {
        FaultEffect::Consumers(ConsumerFault::Stall | ConsumerFault::Slow { .. }) => false,
        FaultEffect::Calls(rule) => rule.action == CallAction::Error(CallError::Fatal),
        _ => true,
    };
    let consumers = fault.targets.consumers();
    if consumers.is_empty() || !is_lethal {
        return None;
    }
    let closing = |target| {
        journal.iter().find_map(|(at, event)| match event {
            Event::ConsumerClosed { consumer, .. } if consumer == target && *at >= injected => {
                Some(*at)
            }
            _ => None,
        })
    };
    let all: Option<Vec<Time>> = consumers.iter().map(closing).collect();
    all?.into_iter().max()
}

/// The times of a mark, from `from` on.
fn recovery(mark: &RecoveryMark, from: Time) -> RecoverySummary {
    let ms = |at: Option<Time>| at.map(|at| at.ms_since(from));
    RecoverySummary {
        detected_ms: ms(mark.detected),
        fenced_ms: ms(mark.fenced),
        restarted_ms: ms(mark.restarted),
        first_record_ms: ms(mark.first_record),
        ready_ms: ms(mark.ready),
        recovered_ms: ms(mark.recovered).map(|ms| ms.max(0.0)),
        redelivered: mark.redelivered,
        lag_peak: mark.lag_peak,
        given_up: mark.given_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault that is injected 4 ms after it was due. The times of each partition count from the injection, as those
    /// of the fault do.
    #[test]
    fn all_times_of_a_fault_count_from_its_injection() {
        let ms = |ms: i64| Time(ms * 1_000_000);
        let mark = |since, recovered| RecoveryMark {
            recovered: Some(ms(recovered)),
            ..RecoveryMark::new(Some(0), None, ms(since), Quiet::default())
        };
        let marks = [(0, mark(1_004, 1_050)), (1, mark(1_000, 1_100))];
        let effects = [(0, Effect::default()), (1, Effect::default())];
        let told = |found: Vec<FaultPartition>| -> Vec<Option<f64>> {
            found.iter().map(|it| it.recovery.as_ref()?.recovered_ms).collect()
        };
        let found = partitions(&effects, &marks, Some(ms(1_004)), |_| true);
        assert_eq!(told(found), [Some(46.0), Some(96.0)]);
        let mut summary = FaultSummary::default();
        recovered(&mut summary, &marks, Some(ms(1_004)));
        assert_eq!((summary.recovered_ms, summary.worst_partition), (Some(96.0), Some(1)));
    }

    #[test]
    fn other_partitions_are_compared_with_themselves_and_unstable_ones_are_left_out() {
        let effect = |stall_ms: [i64; 2], slow: [u64; 2], is_stable| Effect {
            quiet: Quiet {
                records: 100,
                stall_ns: stall_ms[0] * 1_000_000,
                slow: slow[0],
                is_stable,
                ..Quiet::default()
            },
            stall_ns: stall_ms[1] * 1_000_000,
            records: 50,
            slow: slow[1],
        };
        let effects = [
            (0, effect([900, 900], [90, 50], Some(true))),
            (1, effect([10, 20], [1, 5], Some(true))),
            (2, effect([15, 12], [2, 10], Some(true))),
            // Too few records to tell: its stalls count, and nothing of its response times.
            (3, effect([18, 25], [60, 40], None)),
            (4, effect([800, 800], [80, 50], Some(false))),
        ];
        let found = others(&effects, &[0]).expect("others");
        assert_eq!((found.partitions, found.left_out), (3, vec![4]));
        assert_eq!((found.stall_before_ms, found.stall_after_ms), (18.0, 25.0));
        assert_eq!((found.slow_before, found.slow_after), (Some(0.015), Some(0.15)));
        let found = others(&effects[3..4], &[0]).expect("others");
        assert_eq!((found.slow_before, found.slow_after), (None, None));
        assert!(others(&effects[..1], &[0]).is_none());
    }
}
