//! Faults in the terminal report: a row per occurrence, with its recovery as a bar.

use std::collections::BTreeSet;

use super::table::{Table, ms};
use crate::base::format_count;
use crate::summary::{FailureSummary, FaultSummary, Others};

/// Largest number of occurrences that are shown one by one. With more, each fault is shown by its worst occurrence.
const ROWS_MAX: usize = 20;
/// Length of a bar in characters.
const BAR: usize = 24;

/// Number of columns before the bar.
const COLUMNS: usize = 14;

/// Explains the bars.
pub(super) const LEGEND: &str = "times count from the fault; ░ until it was detected or had ended, ▒ until the \
                                 first record, █ until recovered";

/// The lines of the table.
pub(super) fn fault_lines(
    faults: &[FaultSummary],
    partitions: usize,
    width: Option<usize>,
) -> Vec<String> {
    let rows = rows(faults);
    let longest = rows.iter().filter_map(|row| row.fault.recovered_ms).fold(0.0, f64::max);
    let mut table = Table::default();
    let headings = [
        "",
        "at",
        "detected",
        "fenced",
        "restarted",
        "ended",
        "first record",
        "recovered",
        "closed",
        "redelivered",
        "lag peak",
        "stalled",
        "others' stall",
        "others slow",
        "",
    ];
    table.row(headings.map(str::to_owned));
    for row in &rows {
        let bar = format!("{:BAR$}", bar(row, longest));
        table.row(cells(row, partitions).into_iter().chain([bar]));
    }
    let mut out = table.blocks(width).concat();
    out.extend(faults.iter().filter_map(not_recovered).take(ROWS_MAX));
    out.extend(faults.iter().filter_map(left_out).take(ROWS_MAX));
    out.extend(missed(faults));
    out
}

/// The lines about failures that were not planned.
pub(super) fn failure_lines(failures: &[FailureSummary], width: Option<usize>) -> Vec<String> {
    let mut table = Table::default();
    let headings = ["", "at", "fenced", "restarted", "first record", "recovered", "redelivered"];
    table.row(headings.map(str::to_owned));
    for failure in failures.iter().take(ROWS_MAX) {
        let way = &failure.recovery;
        let end = match (way.given_up, way.recovered_ms) {
            (true, _) => "given up".to_owned(),
            (false, None) => NOT_WITHIN.to_owned(),
            (false, recovered) => ms(recovered),
        };
        table.row([
            format!("partition {}", failure.partition),
            format!("{:.1} s", failure.at_s),
            ms(way.fenced_ms),
            ms(way.restarted_ms),
            ms(way.first_record_ms),
            end,
            format_count(way.redelivered),
        ]);
    }
    let mut lines = table.blocks(width).concat();
    if failures.len() > ROWS_MAX {
        lines.push(format!("and {} more, in the result", failures.len() - ROWS_MAX));
    }
    lines
}

/// One occurrence, or the worst of several.
struct Row {
    name: String,
    fault: FaultSummary,
}

fn rows(faults: &[FaultSummary]) -> Vec<Row> {
    let name = |fault: &FaultSummary| format!("[{}] {} {}", fault.fault, fault.kind, fault.target);
    if faults.len() <= ROWS_MAX {
        return faults.iter().map(|f| Row { name: name(f), fault: f.clone() }).collect();
    }
    let row = |(came, worst): (usize, FaultSummary)| Row {
        name: format!("[{}] {}, worst of {came}", worst.fault, worst.kind),
        fault: worst,
    };
    worst_of_each(faults).into_iter().map(row).collect()
}

/// The worst occurrence of each fault, and the number of its occurrences.
pub(super) fn worst_of_each(faults: &[FaultSummary]) -> Vec<(usize, FaultSummary)> {
    let entries: BTreeSet<usize> = faults.iter().map(|fault| fault.fault).collect();
    let worst_of = |entry: usize| {
        let its: Vec<&FaultSummary> = faults.iter().filter(|f| f.fault == entry).collect();
        let came = its.iter().filter(|f| f.at_s.is_some()).count();
        Some((came, its.iter().copied().cloned().reduce(|a, b| worst(a, &b))?))
    };
    entries.into_iter().filter_map(worst_of).collect()
}

/// The larger of each figure.
fn worst(mut a: FaultSummary, b: &FaultSummary) -> FaultSummary {
    let later =
        |a: &mut Option<f64>, b: Option<f64>| *a = a.map_or(b, |a| Some(b.map_or(a, |b| a.max(b))));
    later(&mut a.detected_ms, b.detected_ms);
    later(&mut a.fenced_ms, b.fenced_ms);
    later(&mut a.closed_ms, b.closed_ms);
    later(&mut a.restarted_ms, b.restarted_ms);
    later(&mut a.ended_ms, b.ended_ms);
    later(&mut a.first_record_ms, b.first_record_ms);
    if !b.not_recovered.is_empty() && a.not_recovered.is_empty()
        || a.not_recovered.is_empty() == b.not_recovered.is_empty()
            && b.recovered_ms > a.recovered_ms
    {
        (a.recovered_ms, a.worst_partition) = (b.recovered_ms, b.worst_partition);
        (a.not_recovered, a.lag_after) = (b.not_recovered.clone(), b.lag_after.clone());
    }
    a.redelivered = a.redelivered.max(b.redelivered);
    a.lag_peak = a.lag_peak.max(b.lag_peak);
    a.blast_radius = a.blast_radius.max(b.blast_radius);
    a.others = match (a.others.take(), b.others.clone()) {
        (Some(one), Some(other)) if other.stall_after_ms > one.stall_after_ms => Some(other),
        (one, other) => one.or(other),
    };
    a
}

fn cells(row: &Row, partitions: usize) -> Vec<String> {
    let f = &row.fault;
    let Some(at_s) = f.at_s else {
        let mut cells = vec![String::new(); COLUMNS];
        cells[..2].clone_from_slice(&[row.name.clone(), "not reached".to_owned()]);
        return cells;
    };
    vec![
        row.name.clone(),
        format!("{at_s:.1} s"),
        ms(f.detected_ms),
        ms(f.fenced_ms),
        ms(f.restarted_ms),
        ms(f.ended_ms),
        ms(f.first_record_ms),
        recovered(f),
        ms(f.closed_ms),
        format_count(f.redelivered),
        format_count(f.lag_peak),
        format!("{} of {partitions}", f.blast_radius),
        f.others.as_ref().map_or("-".to_owned(), others_stall),
        f.others.as_ref().map_or("-".to_owned(), others_slow),
    ]
}

const NOT_WITHIN: &str = "not in run";

/// Time until the recovery, with the partition that took longest.
fn recovered(f: &FaultSummary) -> String {
    match (f.recovered_ms, f.worst_partition) {
        (Some(_), Some(worst)) if f.partitions_hit.len() > 1 => {
            format!("{} (p{worst})", ms(f.recovered_ms))
        }
        (Some(_), _) => ms(f.recovered_ms),
        (None, Some(worst)) => format!("{NOT_WITHIN} (p{worst})"),
        (None, None) => "-".to_owned(),
    }
}

/// Longest stall before and after.
fn others_stall(others: &Others) -> String {
    format!("{} → {}", ms(Some(others.stall_before_ms)), ms(Some(others.stall_after_ms)))
}

/// Share of slow records before and after.
fn others_slow(others: &Others) -> String {
    let percent =
        |share: Option<f64>| share.map_or("-".to_owned(), |it| format!("{:.1} %", it * 100.0));
    format!("{} → {}", percent(others.slow_before), percent(others.slow_after))
}

/// A fault from which a partition has not recovered, with its lag over time.
fn not_recovered(f: &FaultSummary) -> Option<String> {
    let worst = f.worst_partition.filter(|_| !f.not_recovered.is_empty())?;
    let lag: Vec<String> = f
        .lag_after
        .iter()
        .map(|at| format!("{} after {} s", format_count(at.lag), at.after_s))
        .collect();
    let lag = if lag.is_empty() { String::new() } else { format!("; its lag: {}", lag.join(", ")) };
    let others = match f.not_recovered.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Some(format!(
        "[{}] {} not recovered within the run: partition {worst}{others}{lag}",
        f.fault, f.kind
    ))
}

/// Partitions that are not compared because they were not stable before the fault.
fn left_out(f: &FaultSummary) -> Option<String> {
    let left_out = &f.others.as_ref()?.left_out;
    let ids: Vec<String> = left_out.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    let more = match left_out.len().saturating_sub(LISTED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!ids.is_empty()).then(|| {
        format!(
            "[{}] {}: others are without partitions {}{more}, which were not stable before",
            f.fault,
            f.kind,
            ids.join(", ")
        )
    })
}

/// Largest number of partitions that are named in a line.
const LISTED_MAX: usize = 8;

/// The bar of a recovery, in proportion to the longest one.
fn bar(row: &Row, longest_ms: f64) -> String {
    let f = &row.fault;
    let Some(recovered) = f.recovered_ms.filter(|_| longest_ms > 0.0) else {
        return String::new();
    };
    let noticed = f.detected_ms.or(f.ended_ms).unwrap_or(0.0).min(recovered);
    let first = f.first_record_ms.unwrap_or(recovered).clamp(noticed, recovered);
    let place = |ms: f64| (ms / longest_ms * BAR as f64).round() as usize;
    let (noticed, first) = (place(noticed), place(first));
    let end = place(recovered).max(1);
    let character = |i: usize| match i {
        _ if i < noticed => '░',
        _ if i < first => '▒',
        _ => '█',
    };
    (0..end).map(character).collect()
}

/// Targets that did not exist.
fn missed(faults: &[FaultSummary]) -> Vec<String> {
    let mut lines = Vec::new();
    for fault in faults.iter().filter(|fault| !fault.missed.is_empty()).take(ROWS_MAX) {
        let missed = fault.missed.join(", ");
        lines.push(format!(
            "[{}] {} at {:.1} s missed: {missed}",
            fault.fault,
            fault.kind,
            fault.at_s.unwrap_or(0.0)
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(recovered_ms: f64) -> FaultSummary {
        FaultSummary {
            fault: 0,
            kind: "kill".to_owned(),
            target: "consumer 7".to_owned(),
            at_s: Some(15.0),
            lasts_s: None,
            missed: Vec::new(),
            detected_ms: Some(recovered_ms / 4.0),
            fenced_ms: None,
            closed_ms: None,
            restarted_ms: None,
            ended_ms: None,
            first_record_ms: Some(recovered_ms / 2.0),
            recovered_ms: Some(recovered_ms),
            worst_partition: Some(7),
            not_recovered: Vec::new(),
            lag_after: Vec::new(),
            redelivered: 0,
            lag_peak: 0,
            blast_radius: 1,
            partitions_hit: vec![7],
            partitions_aimed_at: vec![7],
            others: None,
            partitions: Vec::new(),
        }
    }

    #[test]
    fn bars_have_one_scale() {
        let lines = fault_lines(&[fault(100.0), fault(50.0)], 18, None);
        assert!(lines[1].ends_with("░░░░░░▒▒▒▒▒▒████████████"), "{}", lines[1]);
        assert!(lines[2].ends_with(" ░░░▒▒▒██████"), "{}", lines[2]);
    }

    #[test]
    fn many_occurrences_are_one_row_with_the_worst_of_each_figure() {
        let faults: Vec<FaultSummary> = (1..=30).map(|n| fault(f64::from(n) * 10.0)).collect();
        let lines = fault_lines(&faults, 18, None);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("[0] kill, worst of 30"), "{}", lines[1]);
        assert!(lines[1].contains("300ms"), "{}", lines[1]);
    }
}
