//! A comparison as text: one table, the differences that could not be found, settings, and the sentence.

use std::fmt::Write;

use super::scale::{Scale, percent};
use super::side_by_side::{Change, ChangeWord, MetricRow, MetricValue, SideBySide};

/// The comparison for a terminal. With `all`, it has every figure and not only the headlines.
pub fn text(compared: &SideBySide, all: bool) -> String {
    let mut out = format!("COMPARED  {}\n", heading(compared));
    let is_shown = |row: &&MetricRow| (all || row.is_headline) && !is_zero(row);
    let rows: Vec<&MetricRow> = compared.metrics.iter().filter(is_shown).collect();
    out.push_str(&aligned(&table(compared, &rows)));
    let zero = compared.metrics.iter().filter(|row| row.is_headline && is_zero(row));
    let zero: Vec<&str> = zero.map(|row| row.name.as_str()).collect();
    if !zero.is_empty() {
        let _ = writeln!(out, "  0 in every round of every variant: {}", zero.join(", "));
    }
    section(
        &mut out,
        "UNCLEAR  differences that may be noise, among all figures that are compared",
        &untold(&rows),
    );
    out.push_str(&settings(compared));
    section(&mut out, "INVALID RUNS", &compared.invalid);
    section(&mut out, "NOTES", &compared.notes);
    section(&mut out, "REGRESSIONS", &compared.regressions);
    let _ = writeln!(out, "\n{}", compared.sentence);
    out
}

/// The variants and rounds in one line.
pub(super) fn heading(compared: &SideBySide) -> String {
    let Some(first) = compared.variants.first() else { return String::new() };
    let rounds = first.seeds.len();
    let seeds = match (first.seeds.first(), first.seeds.last()) {
        (Some(from), Some(to)) if from != to => format!(", seeds {from} to {to}"),
        (Some(seed), _) => format!(", seed {seed}"),
        _ => String::new(),
    };
    format!(
        "{}: {} variants, {rounds} {} each, {} broker{seeds}; changes are against {}",
        compared.scenario,
        compared.variants.len(),
        if rounds == 1 { "round" } else { "rounds" },
        compared.broker,
        first.name
    )
}

/// True if the figure is 0 in every round of every variant.
pub(super) fn is_zero(row: &MetricRow) -> bool {
    row.values.iter().all(|value| value.rounds.iter().all(|round| *round == Some(0.0)))
}

/// The cells of the table, with its head.
fn table(compared: &SideBySide, rows: &[&MetricRow]) -> Vec<Vec<String>> {
    let mut head = vec![String::new()];
    for (at, variant) in compared.variants.iter().enumerate() {
        head.push(variant.name.clone());
        if at > 0 {
            head.push("change".to_owned());
        }
    }
    let mut cells = vec![head];
    for row in rows {
        let scale = Scale::of(row);
        let mut line = vec![scale.named(&row.name)];
        for value in &row.values {
            line.push(measured(value, &scale));
            if let Some(change) = &value.change {
                line.push(in_words(change));
            } else if line.len() > 2 {
                line.push("not known".to_owned());
            }
        }
        cells.push(line);
    }
    cells
}

/// `3.21 ±0.04`; `-` if nothing was measured, and `2.1 (1 of 3)` if only some rounds have a value.
pub(super) fn measured(value: &MetricValue, scale: &Scale) -> String {
    let Some(mean) = value.value else { return "-".to_owned() };
    let mean_text = scale.shown(mean);
    let count = value.rounds.iter().flatten().count();
    match value.interval {
        _ if count < value.rounds.len() => {
            format!("{mean_text} ({count} of {})", value.rounds.len())
        }
        Some([_, high]) if high == mean => mean_text,
        Some([_, high]) => format!("{mean_text} ±{}", scale.spread(high - mean, mean)),
        None => mean_text,
    }
}

/// The change with its verdict.
pub(super) fn in_words(change: &Change) -> String {
    let size = match change.relative {
        Some(relative) => format!("{} ", percent(relative)),
        None => String::new(),
    };
    match change.verdict {
        ChangeWord::Better => format!("{size}better"),
        ChangeWord::Worse => format!("{size}worse"),
        ChangeWord::Different => format!("{size}different"),
        ChangeWord::Same => "same".to_owned(),
        ChangeWord::Alike => format!("{size}alike"),
        ChangeWord::Unclear => format!("{size}unclear"),
        ChangeWord::Unknown => format!("{size}not known"),
    }
}

/// The smallest detectable difference of each figure without a difference.
pub(super) fn untold(rows: &[&MetricRow]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        let scale = Scale::of(row);
        for value in &row.values {
            let Some(change) = value.change.as_ref().filter(|it| it.verdict == ChangeWord::Unclear)
            else {
                continue;
            };
            let (Some(least), rounds) = (change.detectable, value.rounds.len()) else { continue };
            let needed = match change.rounds_needed {
                Some(needed) => format!("; {} rounds would tell", needed.max(rounds + 1)),
                None if change.difference == 0.0 => String::new(),
                None => "; more than 1,000 rounds would tell".to_owned(),
            };
            lines.push(format!(
                "{} of {}: {} apart; {rounds} rounds show {} or more{needed}",
                row.name,
                value.variant,
                scale.with_unit(change.difference.abs()),
                scale.with_unit(least),
            ));
        }
    }
    lines
}

fn settings(compared: &SideBySide) -> String {
    if compared.differences.is_empty() {
        return String::new();
    }
    let mut cells = vec![vec![String::new()]];
    cells[0].extend(compared.variants.iter().map(|variant| variant.name.clone()));
    for row in &compared.differences {
        let mut line = vec![row.key.clone()];
        line.extend(row.values.iter().map(|value| value.clone().unwrap_or("-".to_owned())));
        cells.push(line);
    }
    format!("\nSETTINGS  that are not the same in all variants\n{}", aligned(&cells))
}

/// A heading with its lines; nothing without lines.
pub(super) fn section(out: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{heading}");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

/// Cells in columns: the first one flush left, the others flush right.
pub(super) fn aligned(cells: &[Vec<String>]) -> String {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        cells
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in cells {
        let mut text = String::from("  ");
        for (column, cell) in line.iter().enumerate() {
            let room = widths[column];
            let _ = match column {
                0 => write!(text, "{cell:<room$}"),
                _ => write!(text, "  {cell:>room$}"),
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let cells = [vec!["", "a"], vec!["name", "12 ±1"]];
        let cells: Vec<Vec<String>> =
            cells.iter().map(|line| line.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        assert_eq!(aligned(&cells), "            a\n  name  12 ±1\n");
    }
}
