//! Puts together what faults, and failures nobody planned, have done.

use std::collections::BTreeMap;

use super::{
    Collector, Event, FailureSummary, FaultPartition, FaultSummary, FaultTimes, RecoveryMark,
    RecoverySummary, Scoreboard, SideEffects, partitions_hit, pauses_around,
};
use crate::base::{PartitionId, Time};
use crate::plan::{CallAction, CallError, FaultKind, FaultPlan, Plan};

/// Entries for all partitions of all faults are kept up to so many; beyond, only of partitions that were
/// aimed at or hit.
const ENTRIES_MAX: usize = 20_000;

/// One entry per occurrence, in the plan's order.
pub fn fault_summaries(
    plan: &Plan,
    start: Time,
    board: &Scoreboard,
    collector: &Collector,
    journal: &[(Time, Event)],
) -> Vec<FaultSummary> {
    let times = board.faults();
    let marks = marks(board);
    let keeps_all = plan.faults.len() * board.cells.len() <= ENTRIES_MAX;
    let summary = |(number, fault): (usize, &FaultPlan)| {
        let times = times.get(&number).cloned().unwrap_or_default();
        let marks = marks.get(&number).map_or(&[][..], Vec::as_slice);
        let effects = collector.side_effects.get(number);
        let mut summary = without_partitions(fault, start, &times, marks);
        summary.closed_ms = closed(fault, times.injected, journal)
            .zip(times.injected)
            .map(|(at, from)| at.ms_since(from));
        if times.injected.is_some() {
            summary.partitions_hit = partitions_hit(&board.cells, number);
        }
        summary.blast_radius = summary.partitions_hit.len();
        summary.others = effects.and_then(SideEffects::change);
        summary.partitions = partitions(board, number, marks, effects, |partition| {
            keeps_all || summary.partitions_hit.contains(&partition)
        });
        summary
    };
    plan.faults.iter().enumerate().map(summary).collect()
}

/// Failures nobody planned.
pub fn failures(board: &Scoreboard, start: Time) -> Vec<FailureSummary> {
    let mut failures = Vec::new();
    for (id, cell) in board.cells.iter().enumerate() {
        let cell = cell.lock();
        let unplanned = cell.recoveries.iter().filter(|mark| mark.fault.is_none());
        failures.extend(unplanned.map(|mark| FailureSummary {
            partition: id as u32,
            consumer: mark.consumer.map(|consumer| consumer.0),
            at_s: mark.since.since_ns(start) as f64 / 1e9,
            recovery: RecoverySummary::of(mark),
        }));
    }
    failures.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    failures
}

/// The marks of each fault, with their partitions.
fn marks(board: &Scoreboard) -> BTreeMap<usize, Vec<(u32, RecoveryMark)>> {
    let mut marks: BTreeMap<usize, Vec<(u32, RecoveryMark)>> = BTreeMap::new();
    for (id, cell) in board.cells.iter().enumerate() {
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
    // Unless every partition has come so far, there is no such time.
    let last = |of: fn(&RecoveryMark) -> Option<Time>, own: Option<Time>| {
        let all: Option<Vec<Time>> = marks.iter().map(|(_, mark)| of(mark)).collect();
        ms(all.and_then(|times| times.into_iter().max()).or(own))
    };
    FaultSummary {
        fault: fault.entry,
        kind: fault.kind.name().to_owned(),
        target: fault.targets.to_string(),
        at_s: times.injected.map(|at| at.since_ns(start) as f64 / 1e9),
        lasts_s: fault.lasts.map(|span| span.as_secs_f64()),
        missed: times.missed.clone(),
        detected_ms: last(|mark| mark.detected, times.detected),
        released_ms: last(|mark| mark.released, times.released),
        closed_ms: None,
        restarted_ms: last(|mark| mark.restarted, times.restarted),
        healed_ms: ms(times.healed),
        first_record_ms: last(|mark| mark.first_record, None),
        caught_up_ms: last(|mark| mark.caught_up, None),
        redelivered: marks.iter().map(|(_, mark)| mark.redelivered).sum(),
        lag_peak: marks.iter().map(|(_, mark)| mark.lag_peak).max().unwrap_or(0),
        blast_radius: 0,
        partitions_hit: Vec::new(),
        partitions_aimed_at: marks.iter().map(|(partition, _)| *partition).collect(),
        others: None,
        partitions: Vec::new(),
    }
}

fn partitions(
    board: &Scoreboard,
    fault: usize,
    marks: &[(u32, RecoveryMark)],
    effects: Option<&SideEffects>,
    is_kept: impl Fn(u32) -> bool,
) -> Vec<FaultPartition> {
    let mut entries = Vec::new();
    for (id, cell) in (0u32..).zip(&board.cells) {
        let mark = marks.iter().find(|(partition, _)| *partition == id).map(|(_, mark)| mark);
        if mark.is_none() && !is_kept(id) {
            continue;
        }
        let (before, after) = pauses_around(&cell.lock(), fault);
        entries.push(FaultPartition {
            partition: id,
            recovery: mark.map(RecoverySummary::of),
            pause_before_ms: before as f64 / 1e6,
            pause_after_ms: after as f64 / 1e6,
            change: effects.and_then(|effects| effects.change_of(PartitionId(id))),
        });
    }
    entries
}

/// When the last client of an incarnation the fault has ended was gone.
fn closed(fault: &FaultPlan, injected: Option<Time>, journal: &[(Time, Event)]) -> Option<Time> {
    let injected = injected?;
    let is_lethal = match fault.kind {
        FaultKind::Stall | FaultKind::Slow { .. } => false,
        FaultKind::Calls(rule) => rule.action == CallAction::Error(CallError::Fatal),
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
