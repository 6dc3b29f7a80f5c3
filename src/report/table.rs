//! Tables of a report: the figures of partitions, aligned columns, and wrapped lines.
//!
//! Columns that do not fit follow in further blocks, each after the first column. No crate has such a layout.

use std::time::Duration;

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::base::{format_count, format_duration};
use crate::summary::{Figure, PartitionSummary, Unit, Verdict};

/// A column of the partition table.
pub(super) struct Column {
    /// Heading of the column.
    pub(super) heading: &'static str,
    cell: Cell,
    /// Rank in a short report; `None` for columns that are not in it. The largest ranks are left out first.
    short: Option<u8>,
}

/// The value of a partition in a column.
#[derive(Clone, Copy)]
enum Cell {
    /// The figure `partition[*]` of this name.
    Figure(&'static str),
    /// A count that should be 0.
    Count(fn(&PartitionSummary) -> u64),
    /// A time in milliseconds.
    Millis(fn(&PartitionSummary) -> f64),
    /// A rate; `None` if it was not measured.
    Rate(fn(&PartitionSummary) -> Option<f64>),
    /// A text.
    Text(fn(&PartitionSummary) -> String),
}

impl Column {
    const fn new(heading: &'static str, cell: Cell) -> Column {
        Column { heading, cell, short: None }
    }

    const fn short(mut self, rank: u8) -> Column {
        self.short = Some(rank);
        self
    }

    /// Rank in a short report, whose largest ranks are left out first; `None` for columns that are not in it.
    pub(super) fn short_rank(&self) -> Option<u8> {
        self.short
    }

    /// The unit of its values; `None` for something that is no number.
    pub(super) fn unit(&self) -> Option<Unit> {
        match self.cell {
            Cell::Figure(name) => partition_figure(name).map(|figure| figure.metric.unit),
            Cell::Count(_) => Some(Unit::Count),
            Cell::Millis(_) => Some(Unit::Time),
            Cell::Rate(_) => Some(Unit::Number),
            Cell::Text(_) => None,
        }
    }

    /// The value of a partition, times in nanoseconds; `None` if nothing was measured.
    pub(super) fn value(&self, partition: &PartitionSummary) -> Option<f64> {
        match self.cell {
            Cell::Figure(name) => partition_figure(name)?.of_partition(partition),
            Cell::Count(count) => Some(count(partition) as f64),
            Cell::Millis(ms) => Some(ms(partition) * 1e6),
            Cell::Rate(rate) => rate(partition),
            Cell::Text(_) => None,
        }
    }

    /// The value of a partition as text; `-` if nothing was measured.
    pub(super) fn cell(&self, partition: &PartitionSummary) -> String {
        let value = match (self.cell, self.value(partition)) {
            (Cell::Text(text), _) => return text(partition),
            // A count of 0 is shown as a dot.
            (Cell::Count(_), Some(0.0)) => return "·".to_owned(),
            (_, value) => value,
        };
        match (value, self.unit()) {
            (None, _) | (_, None) => "-".to_owned(),
            (Some(ns), Some(Unit::Time)) => format_duration(Duration::from_nanos(ns as u64)),
            (Some(count), Some(Unit::Count)) => format_count(count as u64),
            (Some(number), Some(Unit::Number | Unit::Flag)) => format!("{number:.1}"),
        }
    }
}

fn partition_figure(name: &str) -> Option<Figure> {
    Figure::parse(&format!("partition[*].{name}"))
}

/// The columns, from left to right.
const PARTITION_COLUMNS: &[Column] = &[
    Column::new("owner", Cell::Text(owner)).short(9),
    Column::new("offered", Cell::Rate(|p| p.offered_per_s)),
    Column::new("processed", Cell::Figure("rate")).short(3),
    Column::new("p50", Cell::Figure("latency.p50")).short(2),
    Column::new("p90", Cell::Figure("latency.p90")),
    Column::new("p99", Cell::Figure("latency.p99")).short(0),
    Column::new("p99.9", Cell::Figure("latency.p999")),
    Column::new("max", Cell::Figure("latency.max")).short(5),
    Column::new("service p99", Cell::Figure("latency.service.p99")),
    Column::new("lag max", Cell::Figure("lag_max")).short(1),
    Column::new("stall", Cell::Millis(|p| p.longest_stall_ms)).short(1),
    Column::new("restarts", Cell::Count(|p| u64::from(p.restarts))).short(4),
    Column::new("lost", Cell::Count(|p| p.ledger.lost)).short(0),
    Column::new("unread", Cell::Count(|p| p.ledger.unread)).short(0),
    Column::new("duplicated", Cell::Count(|p| p.ledger.duplicated)).short(0),
    Column::new("redelivered", Cell::Count(|p| p.ledger.redelivered)).short(6),
    Column::new("reordered", Cell::Count(|p| p.ledger.reordered)).short(0),
];

/// The columns that are known in a run with this verdict.
pub(super) fn partition_columns(verdict: Verdict) -> impl Iterator<Item = &'static Column> {
    // In a run that was cut off, records in flight cannot be told from lost or unread ones.
    let is_known = move |column: &&Column| {
        verdict != Verdict::CutOff || !["lost", "unread"].contains(&column.heading)
    };
    PARTITION_COLUMNS.iter().filter(is_known)
}

/// The owner, or all owners in order if they changed.
fn owner(partition: &PartitionSummary) -> String {
    let mut owners: Vec<u32> = partition.owners.iter().map(|owner| owner.consumer).collect();
    owners.dedup();
    let first = owners.len().saturating_sub(3);
    let shown: Vec<String> = owners[first..].iter().map(ToString::to_string).collect();
    match (shown.is_empty(), first) {
        (true, _) => "-".to_owned(),
        (false, 0) => shown.join(">"),
        (false, _) => format!("..{}", shown.join(">")),
    }
}

/// Microseconds in a suitable unit; `-` without a value.
pub(super) fn us(us: Option<f64>) -> String {
    us.map_or("-".to_owned(), |us| format_duration(Duration::from_nanos((us * 1e3) as u64)))
}

/// Milliseconds in a suitable unit; `-` without a value.
pub(super) fn ms(ms: Option<f64>) -> String {
    us(ms.map(|ms| ms * 1e3))
}

/// Lines of cells. All columns but the first one are right-aligned.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The rows as lines, with two spaces between columns and without trailing spaces. Lines have at most `width`
    /// characters if the first column and another one fit. Columns that do not fit follow in further blocks, each after
    /// the first column.
    pub(super) fn blocks(&self, width: Option<usize>) -> Vec<Vec<String>> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let of = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| of(column).unwrap_or(0)).collect();
        let groups = groups(&widths, width.unwrap_or(usize::MAX));
        groups
            .iter()
            .map(|group| self.rows.iter().map(|row| line(row, group, &widths)).collect())
            .collect()
    }
}

/// The columns of each block. The first column is in all of them.
fn groups(widths: &[usize], width: usize) -> Vec<Vec<usize>> {
    let first = widths.first().copied().unwrap_or(0);
    let mut groups = Vec::new();
    let (mut group, mut taken) = (vec![0], first);
    for (column, own) in widths.iter().enumerate().skip(1) {
        if group.len() > 1 && taken + GAP + own > width {
            groups.push(std::mem::replace(&mut group, vec![0]));
            taken = first;
        }
        group.push(column);
        taken += GAP + own;
    }
    groups.push(group);
    groups
}

/// Spaces between columns.
const GAP: usize = 2;

fn line(row: &[String], columns: &[usize], widths: &[usize]) -> String {
    let mut line = String::new();
    for column in columns {
        let cell = row.get(*column).map_or("", String::as_str);
        let padding = " ".repeat(widths[*column] - cell.chars().count());
        if *column == 0 {
            line.push_str(cell);
            line.push_str(&padding);
        } else {
            line.push_str(&" ".repeat(GAP));
            line.push_str(&padding);
            line.push_str(cell);
        }
    }
    line.trim_end().to_owned()
}

/// Spaces before the lines below a heading.
pub(super) const INDENT: usize = 2;

/// The line, wrapped between words if it is longer than `width`. Further lines are indented.
pub(super) fn wrapped(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => lines_of(line, width, "    ").join("\n"),
        None => line.to_owned(),
    }
}

/// The wrapped lines. Those after the first are indented by `indent`.
pub(super) fn lines_of(line: &str, width: usize, indent: &str) -> Vec<String> {
    let options = Options::new(width)
        .subsequent_indent(indent)
        .break_words(false)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    // A number and its percent sign are not separated.
    let line = line.replace(" %", "\u{a0}%");
    let lines = textwrap::wrap(&line, options).into_iter();
    lines.map(|line| line.trim_end().replace('\u{a0}', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_column_is_one_of_the_table() {
        let mut figures = 0;
        for column in PARTITION_COLUMNS {
            if let Cell::Figure(name) = column.cell {
                assert!(partition_figure(name).is_some(), "{name}");
                figures += 1;
            }
        }
        assert!(figures > 5, "{figures}");
    }

    #[test]
    fn the_first_column_is_left_aligned_and_the_others_right() {
        let mut table = Table::default();
        table.row(["partition".into(), "msg/s".into()]);
        table.row(["7".into(), "113.8".into()]);
        table.row(["17".into(), "9".into()]);
        assert_eq!(
            table.blocks(None).concat(),
            ["partition  msg/s", "7          113.8", "17             9"]
        );
    }

    #[test]
    fn columns_without_room_follow_below_behind_the_first_one() {
        let mut table = Table::default();
        table.row(["".into(), "p50".into(), "p99".into(), "max".into()]);
        table.row(["7".into(), "1ms".into(), "22ms".into(), "300ms".into()]);
        assert_eq!(table.blocks(Some(19)).len(), 1);
        let narrow = table.blocks(Some(12));
        assert_eq!(narrow, [["   p50   p99", "7  1ms  22ms"], ["     max", "7  300ms"]]);
        // With any width, all columns are shown.
        assert_eq!(table.blocks(Some(0)).len(), 3);
        assert_eq!(table.blocks(None).len(), 1);
    }

    #[test]
    fn lines_break_between_words_and_colours_take_no_room() {
        let line = "  lost 0, \u{1b}[1mduplicated 3\u{1b}[0m, late 0";
        assert_eq!(wrapped(line, None), line);
        assert_eq!(wrapped(line, Some(32)), line);
        assert_eq!(
            wrapped(line, Some(22)),
            "  lost 0, \u{1b}[1mduplicated\n    3\u{1b}[0m, late 0"
        );
        // A word that is too long is not broken.
        assert_eq!(wrapped("  at results/a-long-name", Some(8)), "  at\n    results/a-long-name");
    }
}
