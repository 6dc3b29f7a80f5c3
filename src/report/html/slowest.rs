//! The slowest records of the run.

use maud::{Markup, html};

use crate::report::slow_table::{SLOW_COLUMNS, SLOWEST_NOTE, SlowColumn};
use crate::summary::Summary;

/// The section; empty if no record was processed.
pub(super) fn slowest(summary: &Summary) -> Markup {
    let records = &summary.slowest_records;
    let has_any = |column: &&SlowColumn| records.iter().any(|it| (column.cell)(it).is_some());
    let columns: Vec<&SlowColumn> = SLOW_COLUMNS.iter().filter(has_any).collect();
    html! {
        @if !records.is_empty() {
            section #slowest aria-labelledby="slowest-h" {
                h2 #slowest-h { "Slowest records" }
                div.scroll {
                    table.sortable data-figures="slowest" {
                        caption { "The slowest records " (SLOWEST_NOTE) }
                        thead { tr { @for column in &columns { th scope="col" { (column.heading) } } th scope="col" { "consumer" } } }
                        tbody { @for record in records { tr {
                            @for column in &columns { td { ((column.cell)(record).unwrap_or("–".to_owned())) } }
                            td { (record.consumer) @if record.start > 1 { " (start " (record.start) ")" } }
                        } } }
                    }
                }
            }
        }
    }
}
