//! Faults in the terminal report: a row per occurrence, with its way back as a bar.

use super::rows::{ms, us};
use super::table::Table;
use crate::base::format_count;
use crate::measure::{Change, FailureSummary, FaultSummary};

/// Occurrences shown one by one; of more, each fault is shown by the worst of its occurrences.
const ROWS_MAX: usize = 20;
/// Characters of a bar.
const BAR: usize = 24;

/// Columns without the bar's.
const COLUMNS: usize = 13;

/// What the bars mean.
pub(super) const LEGEND: &str = "times count from the fault; ░ until it was noticed or over, ▒ until the first \
                                 record, █ until caught up";

/// The lines of the table.
pub(super) fn fault_lines(
    faults: &[FaultSummary],
    partitions: usize,
    width: Option<usize>,
) -> Vec<String> {
    let rows = rows(faults);
    let longest = rows.iter().filter_map(|row| row.fault.caught_up_ms).fold(0.0, f64::max);
    let mut table = Table::default();
    let headings = [
        "",
        "at",
        "detected",
        "released",
        "restarted",
        "over",
        "first record",
        "caught up",
        "closed",
        "again",
        "lag peak",
        "hit",
        "others' mean",
        "",
    ];
    table.row(headings.map(str::to_owned));
    for row in &rows {
        let bar = format!("{:BAR$}", bar(row, longest));
        table.row(cells(row, partitions).into_iter().chain([bar]));
    }
    let mut out = table.blocks(width).concat();
    out.extend(missed(faults));
    out
}

/// The lines about failures nobody planned.
pub(super) fn failure_lines(failures: &[FailureSummary], width: Option<usize>) -> Vec<String> {
    let mut table = Table::default();
    let headings = ["", "at", "released", "restarted", "first record", "caught up", "again"];
    table.row(headings.map(str::to_owned));
    for failure in failures.iter().take(ROWS_MAX) {
        let way = &failure.recovery;
        let end = if way.given_up { "given up".to_owned() } else { ms(way.caught_up_ms) };
        table.row([
            format!("partition {}", failure.partition),
            format!("{:.1} s", failure.at_s),
            ms(way.released_ms),
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
    let entries = faults.iter().map(|fault| fault.fault).max().unwrap_or(0);
    (0..=entries)
        .filter_map(|entry| {
            let its: Vec<&FaultSummary> = faults.iter().filter(|f| f.fault == entry).collect();
            let came = its.iter().filter(|f| f.at_s.is_some()).count();
            let worst = its.iter().copied().cloned().reduce(|a, b| worst(a, &b))?;
            Some(Row { name: format!("[{entry}] {}, worst of {came}", worst.kind), fault: worst })
        })
        .collect()
}

/// The larger of each figure.
fn worst(mut a: FaultSummary, b: &FaultSummary) -> FaultSummary {
    let later =
        |a: &mut Option<f64>, b: Option<f64>| *a = a.map_or(b, |a| Some(b.map_or(a, |b| a.max(b))));
    later(&mut a.detected_ms, b.detected_ms);
    later(&mut a.released_ms, b.released_ms);
    later(&mut a.closed_ms, b.closed_ms);
    later(&mut a.restarted_ms, b.restarted_ms);
    later(&mut a.healed_ms, b.healed_ms);
    later(&mut a.first_record_ms, b.first_record_ms);
    later(&mut a.caught_up_ms, b.caught_up_ms);
    a.redelivered = a.redelivered.max(b.redelivered);
    a.lag_peak = a.lag_peak.max(b.lag_peak);
    a.blast_radius = a.blast_radius.max(b.blast_radius);
    a.others = match (a.others, b.others) {
        (Some(one), Some(other)) if other.mean_us > one.mean_us => Some(other),
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
        ms(f.released_ms),
        ms(f.restarted_ms),
        ms(f.healed_ms),
        ms(f.first_record_ms),
        ms(f.caught_up_ms),
        ms(f.closed_ms),
        format_count(f.redelivered),
        format_count(f.lag_peak),
        format!("{} of {partitions}", f.blast_radius),
        f.others.as_ref().map_or("-".to_owned(), change),
    ]
}

/// A change with its uncertainty; marked when it is more than that.
fn change(change: &Change) -> String {
    format!(
        "{}{} ±{}{}",
        if change.mean_us < 0.0 { "-" } else { "+" },
        us(Some(change.mean_us.abs())),
        us(Some(change.half_width_us)),
        if change.significant { " !" } else { "" }
    )
}

/// The way back, as long as it took compared to the longest one.
fn bar(row: &Row, longest_ms: f64) -> String {
    let f = &row.fault;
    let Some(caught_up) = f.caught_up_ms.filter(|_| longest_ms > 0.0) else {
        return String::new();
    };
    let noticed = f.detected_ms.or(f.healed_ms).unwrap_or(0.0).min(caught_up);
    let first = f.first_record_ms.unwrap_or(caught_up).clamp(noticed, caught_up);
    let place = |ms: f64| (ms / longest_ms * BAR as f64).round() as usize;
    let (noticed, first) = (place(noticed), place(first));
    let end = place(caught_up).max(1);
    let character = |i: usize| match i {
        _ if i < noticed => '░',
        _ if i < first => '▒',
        _ => '█',
    };
    (0..end).map(character).collect()
}

/// Targets that were not there to be hit.
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

    fn fault(caught_up_ms: f64) -> FaultSummary {
        FaultSummary {
            fault: 0,
            kind: "kill".to_owned(),
            target: "consumer 7".to_owned(),
            at_s: Some(15.0),
            lasts_s: None,
            missed: Vec::new(),
            detected_ms: Some(caught_up_ms / 4.0),
            released_ms: None,
            closed_ms: None,
            restarted_ms: None,
            healed_ms: None,
            first_record_ms: Some(caught_up_ms / 2.0),
            caught_up_ms: Some(caught_up_ms),
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
