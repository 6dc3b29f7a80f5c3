//! The slowest records as a table: their ids, send times, and the parts of their response time.

use super::table::{Table, us};
use crate::summary::SlowRecord;

/// The inputs of the table.
pub(super) const SLOWEST_NOTE: &str =
    "due in the window and processed; whole: response time; delay: of the send";

/// The table. If all records are of one partition, it has no column for the partition.
pub(super) fn slow_table(records: &[SlowRecord], has_partition: bool) -> Table {
    let columns: Vec<&SlowColumn> = SLOW_COLUMNS
        .iter()
        .filter(|column| has_partition || column.heading != "partition")
        .collect();
    let cells =
        |column: &SlowColumn| -> Vec<Option<String>> { records.iter().map(column.cell).collect() };
    let shown: Vec<(&str, Vec<Option<String>>)> = columns
        .into_iter()
        .map(|column| (column.heading, cells(column)))
        .filter(|(_, cells)| cells.iter().any(Option::is_some))
        .collect();
    let mut table = Table::default();
    table.row(shown.iter().map(|(heading, _)| (*heading).to_owned()));
    for row in 0..records.len() {
        let cell = |cells: &Vec<Option<String>>| cells[row].clone().unwrap_or("-".to_owned());
        table.row(shown.iter().map(|(_, cells)| cell(cells)));
    }
    table
}

/// A column. It is left out if all its cells are empty.
pub(super) struct SlowColumn {
    /// Heading of the column.
    pub(super) heading: &'static str,
    /// The value of a record; `None` if the client or the clock does not provide it.
    pub(super) cell: fn(&SlowRecord) -> Option<String>,
}

impl SlowColumn {
    const fn new(heading: &'static str, cell: fn(&SlowRecord) -> Option<String>) -> SlowColumn {
        SlowColumn { heading, cell }
    }
}

/// The columns.
pub(super) const SLOW_COLUMNS: [SlowColumn; 12] = [
    SlowColumn::new("sent [s]", |it| Some(format!("{:.3}", it.sent_s))),
    SlowColumn::new("UTC", |it| it.sent_at.as_deref().map(time_of_day)),
    SlowColumn::new("partition", |it| Some(it.partition.to_string())),
    SlowColumn::new("offset", |it| Some(it.offset.to_string())),
    SlowColumn::new("producer", |it| Some(it.producer.to_string())),
    SlowColumn::new("seq", |it| Some(it.sequence.to_string())),
    SlowColumn::new("whole", |it| Some(us(Some(it.response_us)))),
    SlowColumn::new("delay", |it| Some(us(Some(it.send_delay_us)))),
    SlowColumn::new("fetch", |it| it.fetch_us.map(|time| us(Some(time)))),
    SlowColumn::new("wait", |it| it.waiting_us.map(|time| us(Some(time)))),
    SlowColumn::new("fetch+wait", |it| it.handed_over_us.map(|time| us(Some(time)))),
    SlowColumn::new("handle", |it| Some(us(Some(it.handling_us)))),
];

/// The time of day of a wall-clock time.
fn time_of_day(at: &str) -> String {
    at.split_once('T').map_or(at, |(_, time)| time).trim_end_matches('Z').to_owned()
}
