//! The stages of the load, one row each.

use super::sections::Section;
use super::unit::{NOTHING, TimeUnit, ZERO};
use crate::base::format_count;
use crate::report::styles::HEADING;
use crate::report::table::Table;
use crate::report::words::value_text;
use crate::summary::{StageSummary, Summary, Unit};

/// Largest number of characters of a stage's name.
const NAME_MAX: usize = 16;

/// The section; empty without stages.
pub(super) fn stages(s: &Summary) -> Section {
    if s.stages.is_empty() {
        return Section::default();
    }
    let times = |of: fn(&StageSummary) -> Option<f64>| -> Vec<Option<f64>> {
        s.stages.iter().map(of).collect()
    };
    let (p50, p99) = (times(|stage| stage.response_us.p50), times(|stage| stage.response_us.p99));
    let in_ns = |us: &[Option<f64>]| us.iter().map(|us| us.map(|us| us * 1e3)).collect::<Vec<_>>();
    let (p50, p99) = (in_ns(&p50), in_ns(&p99));
    let unit = TimeUnit::of(p50.iter().chain(&p99).flatten().copied());
    let (p50, p99) = (unit.column(&p50), unit.column(&p99));
    let title = format!("STAGES [{}]", unit.name);
    let mut table = Table::default();
    let headings = ["from s", "to s", "offered/s", "processed/s", "p50", "p99", "lag max"];
    table.row(std::iter::once(title.clone()).chain(headings.map(str::to_owned)));
    for (at, stage) in s.stages.iter().enumerate() {
        let name: String = stage.name.chars().take(NAME_MAX).collect();
        table.row([
            format!("{:>3}  {name}", stage.stage),
            format!("{:.1}", stage.from_s),
            format!("{:.1}", stage.to_s),
            rate(stage.offered_per_s),
            rate(stage.processed_per_s),
            p50[at].clone(),
            p99[at].clone(),
            if stage.lag_max == 0 { ZERO.to_owned() } else { format_count(stage.lag_max) },
        ]);
    }
    let mut lines = table.blocks(None).concat();
    let heading = lines.remove(0);
    let head = vec![heading.replacen(&title, &format!("{HEADING}{title}{HEADING:#}"), 1)];
    let items = lines.into_iter().map(|line| vec![line]).collect();
    Section { head, items, noun: "stages", rank: 3, is_apart: true, ..Section::default() }
}

fn rate(rate: Option<f64>) -> String {
    match rate {
        None => NOTHING.to_owned(),
        Some(0.0) => ZERO.to_owned(),
        Some(rate) => value_text(Unit::Number, rate),
    }
}
