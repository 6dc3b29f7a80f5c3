//! The most relevant partitions: the worst ones, those that a fault hit, and the median for comparison.

use std::collections::BTreeMap;

use super::sections::Section;
use super::unit::{NOTHING, TimeUnit, ZERO};
use crate::base::format_count;
use crate::report::styles::{DOUBT, HEADING};
use crate::report::table::{Column, Table, partition_columns};
use crate::report::words::{median_partition, value_text};
use crate::summary::{PartitionSummary, Summary, Unit};

/// Largest number of partitions that are shown.
const ROWS_MAX: usize = 8;
/// Largest number of partitions with the same reason.
const OF_A_KIND_MAX: usize = 3;
/// Width of the reasons in characters.
const WHY_MAX: usize = 22;

/// The section.
pub(super) fn partitions(s: &Summary, unit: TimeUnit, width: usize) -> Section {
    let chosen = chosen(s);
    if chosen.is_empty() {
        return Section::default();
    }
    let rows: Vec<&PartitionSummary> = chosen.iter().map(|(p, _)| *p).collect();
    let names: Vec<String> =
        chosen.iter().map(|(p, why)| format!("{:>3}  {why}", p.partition)).collect();
    let mut columns = columns(s, &rows);
    let all = s.partitions.len();
    let of = if rows.len() < all { format!(", {} of {all}", rows.len()) } else { String::new() };
    let title = format!("PARTITIONS [{}]{of}", unit.name);
    let mut lines = laid_out(&title, &names, &columns, &rows, unit);
    while lines.iter().any(|line| line.chars().count() > width) && columns.len() > 1 {
        let last = (0..columns.len()).max_by_key(|at| (columns[*at].short_rank(), *at));
        last.map(|at| columns.remove(at));
        lines = laid_out(&title, &names, &columns, &rows, unit);
    }
    lines[0] = lines[0].replacen(
        &title,
        &format!("{HEADING}PARTITIONS [{}]{HEADING:#}{of}", unit.name),
        1,
    );
    let worst = s.fairness.worst_partition;
    for (line, p) in lines[1..].iter_mut().zip(&rows) {
        if worst == Some(p.partition) {
            *line = format!("{DOUBT}{line}{DOUBT:#}");
        }
    }
    let head = vec![lines.remove(0)];
    let items = lines.into_iter().map(|line| vec![line]).collect();
    Section { head, items, noun: "partitions", rank: 2, is_apart: true, ..Section::default() }
}

/// The columns with relevant values for these partitions.
fn columns(s: &Summary, rows: &[&PartitionSummary]) -> Vec<&'static Column> {
    let own = |p: &PartitionSummary| p.owners.iter().all(|owner| owner.consumer == p.partition);
    let says_something = |column: &&Column| match column.unit() {
        // An owner with the partition's number is the usual case.
        None => rows.iter().any(|p| !own(p)),
        Some(_) => rows.iter().any(|p| column.value(p).is_some_and(|value| value > 0.0)),
    };
    let short = partition_columns(s.verdict).filter(|column| column.short_rank().is_some());
    short.filter(says_something).collect()
}

fn laid_out(
    title: &str,
    names: &[String],
    columns: &[&'static Column],
    rows: &[&PartitionSummary],
    unit: TimeUnit,
) -> Vec<String> {
    let cells: Vec<Vec<String>> =
        columns.iter().map(|column| column_cells(column, rows, unit)).collect();
    let mut table = Table::default();
    let headings = columns.iter().map(|column| column.heading.to_owned());
    table.row(std::iter::once(title.to_owned()).chain(headings));
    for (at, name) in names.iter().enumerate() {
        table.row(std::iter::once(name.clone()).chain(cells.iter().map(|its| its[at].clone())));
    }
    table.blocks(None).concat()
}

fn column_cells(column: &Column, rows: &[&PartitionSummary], unit: TimeUnit) -> Vec<String> {
    let values: Vec<Option<f64>> = rows.iter().map(|p| column.value(p)).collect();
    if column.unit() == Some(Unit::Time) {
        return unit.column(&values);
    }
    let cell = |(p, value): (&&PartitionSummary, &Option<f64>)| match (column.unit(), value) {
        (None, _) => column.cell(p),
        (_, None) => NOTHING.to_owned(),
        (_, Some(value)) if *value == 0.0 => ZERO.to_owned(),
        (Some(Unit::Count), Some(value)) => format_count(*value as u64),
        (_, Some(value)) => value_text(Unit::Number, *value),
    };
    rows.iter().zip(&values).map(cell).collect()
}

/// The most relevant partitions, by id, each with the reason.
fn chosen(s: &Summary) -> Vec<(&PartitionSummary, String)> {
    let mut why: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut choose = |partition: u32, reason: &str| {
        if why.len() < ROWS_MAX || why.contains_key(&partition) {
            let reasons = why.entry(partition).or_default();
            if !reasons.iter().any(|it| it == reason) {
                reasons.push(reason.to_owned());
            }
        }
    };
    if let Some(worst) = s.fairness.worst_partition {
        choose(worst, "largest p99");
    }
    let wrong = |p: &&PartitionSummary| {
        let l = &p.ledger;
        [l.lost, l.unread, l.duplicated, l.reordered, l.corrupt].into_iter().any(|count| count > 0)
    };
    let is_known = |p: &&PartitionSummary| s.verdict != crate::summary::Verdict::CutOff && wrong(p);
    for p in s.partitions.iter().filter(is_known).take(OF_A_KIND_MAX) {
        choose(p.partition, "records wrong");
    }
    for it in s.overloaded.iter().take(OF_A_KIND_MAX) {
        choose(it.partition, "overloaded");
    }
    for fault in s.faults.iter().filter(|fault| fault.at_s.is_some()).take(OF_A_KIND_MAX) {
        for id in fault.not_recovered.iter().take(1) {
            choose(*id, "not recovered");
        }
        // A fault that is aimed at many partitions is no reason to show them.
        if fault.partitions_aimed_at.len() <= OF_A_KIND_MAX {
            fault
                .partitions_aimed_at
                .iter()
                .for_each(|id| choose(*id, &format!("target of {}", fault.kind.replace('_', " "))));
        }
        if let Some(worst) = fault.worst_partition.filter(|_| fault.partitions_hit.len() > 1) {
            choose(worst, "slowest recovery");
        }
    }
    let largest = |value: fn(&PartitionSummary) -> f64| {
        let worst = s
            .partitions
            .iter()
            .max_by(|a, b| value(a).total_cmp(&value(b)).then(b.partition.cmp(&a.partition)));
        worst.filter(|p| value(p) > 0.0).map(|p| p.partition)
    };
    if let Some(id) = largest(|p| p.longest_stall_ms) {
        choose(id, "longest stall");
    }
    if let Some(id) = largest(|p| p.lag_max as f64) {
        choose(id, "largest lag");
    }
    if let Some(id) = median_partition(s) {
        choose(id, "median p99");
    }
    let shown = s.partitions.iter().filter_map(|p| Some((p, reasons(why.get(&p.partition)?))));
    shown.collect()
}

/// The first reasons that fit into [`WHY_MAX`] characters.
fn reasons(all: &[String]) -> String {
    let mut text = String::new();
    for reason in all {
        let separator = if text.is_empty() { "" } else { ", " };
        if text.is_empty() || text.len() + separator.len() + reason.len() <= WHY_MAX {
            text.push_str(separator);
            text.push_str(reason);
        }
    }
    text
}
