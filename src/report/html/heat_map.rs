//! Partitions over time: a row for each, a column for each interval, and a colour for the largest value in it.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::bands::{Band, legend};
use super::chart::{Chart, TOP};
use super::scale::{LogScale, Tick, TimeAxis, moment};
use crate::base::format_count;
use crate::report::series::{Sample, Series};
use crate::report::words::millis;

/// Largest number of rows. With more partitions, several share a row.
const ROWS_MAX: usize = 250;
/// Colours from small to large values. Each differs from the one before in lightness, for colour-blind readers and for
/// print.
const COLOURS: [&str; 9] = [
    "#e3ecf6", "#c6dbef", "#9ecae1", "#6baed6", "#5b86c5", "#7a5fb0", "#8c3a97", "#7a0f6b",
    "#3f0440",
];
/// Colour of a stall.
const STALLED: &str = "#e69f00";

/// The figure that a map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The largest p99 of the response time.
    P99,
    /// The largest lag.
    Lag,
}

/// A row with its partitions and their values.
struct Row {
    name: String,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    Nothing,
    Stalled,
    Value(f64),
}

impl Shown {
    fn id(self) -> &'static str {
        match self {
            Shown::P99 => "heat-p99",
            Shown::Lag => "heat-lag",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Shown::P99 => "Response time p99 of each partition over time",
            Shown::Lag => "Lag of each partition over time",
        }
    }

    /// The value of a cell: p99 in milliseconds, or lag in records.
    fn cell(self, sample: Sample, is_measured: bool) -> Cell {
        match self {
            Shown::P99 if sample.is_stalled && is_measured => Cell::Stalled,
            Shown::P99 => sample.p99_us.map_or(Cell::Nothing, |us| Cell::Value(us / 1e3)),
            Shown::Lag => sample.lag.map_or(Cell::Nothing, |lag| Cell::Value(lag as f64)),
        }
    }

    fn text(self, value: f64) -> String {
        match self {
            Shown::P99 => millis(value),
            Shown::Lag => format_count(value.round() as u64),
        }
    }
}

/// The map with its scale, its description as text, and its values for the script. `measured` is the measured window.
pub(super) fn heat_map(
    series: &Series,
    shown: Shown,
    bands: &[Band],
    measured: TimeAxis,
) -> Markup {
    let rows = rows(series, shown, measured);
    let values = || {
        rows.iter().flat_map(|row| &row.cells).filter_map(|cell| match cell {
            Cell::Value(value) => Some(*value),
            _ => None,
        })
    };
    let scale = match shown {
        Shown::P99 => LogScale::of(values()),
        Shown::Lag => LogScale::of(values().chain([1.0])),
    };
    let axis = TimeAxis { from_s: series.start_s(0), to_s: series.end_s() };
    let row_height = row_height(rows.len());
    let height = row_height * rows.len() as u32;
    let peak = peak(series, &rows, shown);
    let chart = Chart {
        id: shown.id(),
        title: shown.title(),
        description: format!("{peak} The table below the map has the largest value of each row."),
        height,
        y: row_labels(&rows, row_height),
        y_unit: "partition",
        has_lines: false,
        x: axis.ticks(),
        x_unit: axis.unit(),
        bands: Some((bands, axis)),
        stretched: paths(&rows, scale),
        size: (series.columns() as f64, rows.len() as f64),
        front: hints(series, &rows, shown, row_height),
    };
    let has_stalls = rows.iter().flat_map(|row| &row.cells).any(|cell| *cell == Cell::Stalled);
    html! {
        figure.heat data-cells=(shown.id()) {
            figcaption {
                h3 { (shown.title()) }
                p { (peak) " " (resolution(series, &rows, shown)) }
            }
            (colour_scale(scale, shown, has_stalls))
            div tabindex="0" role="group" aria-label=(format!("{}, map: the arrow keys read its cells", shown.title())) {
                (chart.draw())
            }
            p.readout role="status" {}
            @if shown == Shown::P99 { (legend(bands)) }
            (table(series, &rows, shown))
            (for_script(series, &rows, shown))
        }
    }
}

fn rows(series: &Series, shown: Shown, measured: TimeAxis) -> Vec<Row> {
    let middle = |column: usize| series.start_s(column) + series.width_s() / 2.0;
    let is_measured = |column: usize| (measured.from_s..=measured.to_s).contains(&middle(column));
    let row = |(first, last, samples): (u32, u32, Vec<Sample>)| Row {
        name: if first == last { first.to_string() } else { format!("{first}–{last}") },
        cells: samples
            .into_iter()
            .enumerate()
            .map(|(column, sample)| shown.cell(sample, is_measured(column)))
            .collect(),
    };
    series.rows(ROWS_MAX).into_iter().map(row).collect()
}

fn row_height(rows: usize) -> u32 {
    match rows {
        0..=24 => 18,
        25..=64 => 10,
        65..=128 => 6,
        _ => 3,
    }
}

/// Names of rows, with enough distance between them.
fn row_labels(rows: &[Row], height: u32) -> Vec<Tick> {
    let steps = [1, 2, 5, 10, 20, 50];
    let step = steps.into_iter().find(|step| step * height >= 13).unwrap_or(50) as usize;
    let at = |row: usize| 1.0 - (row as f64 + 0.5) / rows.len().max(1) as f64;
    let first = |name: &str| name.split('–').next().unwrap_or_default().to_owned();
    let tick = |(number, row): (usize, &Row)| Tick { at: at(number), text: first(&row.name) };
    rows.iter().enumerate().step_by(step).map(tick).collect()
}

/// Index of a value's colour.
fn class(scale: LogScale, value: f64) -> usize {
    let classes = COLOURS.len() as f64;
    if value <= 0.0 { 0 } else { (scale.at(value) * classes).min(classes - 1.0) as usize }
}

/// A path for each colour, with strokes as wide as a row.
fn paths(rows: &[Row], scale: LogScale) -> Markup {
    let mut paths: Vec<String> = vec![String::new(); COLOURS.len() + 1];
    for (y, row) in rows.iter().enumerate() {
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (x, cell) in row.cells.iter().enumerate() {
            let colour = match cell {
                Cell::Nothing => continue,
                Cell::Stalled => COLOURS.len(),
                Cell::Value(value) => class(scale, *value),
            };
            match runs.last_mut() {
                Some((its, _, end)) if *its == colour && *end == x => *end = x + 1,
                _ => runs.push((colour, x, x + 1)),
            }
        }
        for (colour, from, to) in runs {
            let _ = write!(paths[colour], "M{from} {y}.5h{}", to - from);
        }
    }
    html! {
        g fill="none" stroke-width="1" {
            @for (number, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
                @let colour = COLOURS.get(number).copied().unwrap_or(STALLED);
                path class=(colour_class(number)) stroke=(colour) d=(path) {}
            }
        }
    }
}

fn colour_class(number: usize) -> String {
    if number < COLOURS.len() { format!("c{number}") } else { "stalled".to_owned() }
}

/// The largest value of a row, and the column with it.
fn largest(row: &Row) -> Option<(f64, usize)> {
    let values = row.cells.iter().enumerate().filter_map(|(column, cell)| match cell {
        Cell::Value(value) => Some((*value, column)),
        _ => None,
    });
    values.reduce(|a, b| if b.0 > a.0 { b } else { a })
}

/// A sentence with the largest value of the map.
fn peak(series: &Series, rows: &[Row], shown: Shown) -> String {
    let peaks = rows.iter().filter_map(|row| largest(row).map(|(value, at)| (row, value, at)));
    match peaks.reduce(|a, b| if b.1 > a.1 { b } else { a }) {
        None => "Nothing was measured.".to_owned(),
        Some((_, value, _)) if value <= 0.0 => {
            "No partition had records waiting at the end of an interval.".to_owned()
        }
        Some((row, value, column)) => format!(
            "The largest value is {} in {}, in the cell that begins at {}.",
            shown.text(value),
            named(&row.name),
            moment(series.start_s(column))
        ),
    }
}

/// The name of a row in a sentence.
fn named(name: &str) -> String {
    format!("partition{} {name}", if name.contains('–') { "s" } else { "" })
}

fn resolution(series: &Series, rows: &[Row], shown: Shown) -> String {
    let partitions = series.partitions().len();
    let shared = match partitions > rows.len() {
        true => format!(" and {} partitions", partitions.div_ceil(rows.len().max(1))),
        false => String::new(),
    };
    let length = millis(series.width_s() * 1e3);
    match shown {
        Shown::Lag => format!(
            "A cell is {length}{shared}, and has the largest of the lags at the ends of its seconds, never a mean; in between \
             a lag can be larger."
        ),
        Shown::P99 => {
            format!("A cell is {length}{shared}, and has the largest value in it, never a mean.")
        }
    }
}

/// The name and the largest value of a row, as a tooltip.
fn hints(series: &Series, rows: &[Row], shown: Shown, height: u32) -> Markup {
    html! {
        g fill="none" pointer-events="all" {
            @for (number, row) in rows.iter().enumerate() {
                rect x="0" y=(TOP + height * number as u32) width="100%" height=(height) {
                    title {
                        (named(&row.name))
                        @if let Some((value, column)) = largest(row) {
                            ": largest " (shown.text(value)) " at " (moment(series.start_s(column)))
                        }
                    }
                }
            }
        }
    }
}

/// Legend of the colours.
fn colour_scale(scale: LogScale, shown: Shown, has_stalls: bool) -> Markup {
    let classes = COLOURS.len();
    html! {
        p.scale {
            span { (shown.text(if shown == Shown::Lag { 0.0 } else { scale.from() })) }
            svg width="180" height="12" aria-hidden="true" {
                @for (number, colour) in COLOURS.iter().enumerate() {
                    rect class=(format!("f{number}")) x=(number * 180 / classes) y="0" width="20" height="12" fill=(colour) {}
                }
            }
            span { (shown.text(scale.to())) " (logarithmic)" }
            @if shown == Shown::P99 {
                @if has_stalls {
                    svg width="20" height="12" aria-hidden="true" { rect.stalled width="20" height="12" fill=(STALLED) {} }
                    span { "records waited, none was processed" }
                }
                span { "blank: no record of the measured window" }
            }
        }
    }
}

/// The largest value of each row as a table.
fn table(series: &Series, rows: &[Row], shown: Shown) -> Markup {
    let (heading, unit) = match shown {
        Shown::P99 => ("largest p99", "ms"),
        Shown::Lag => ("largest lag", "records"),
    };
    let number = |value: f64| match shown {
        Shown::P99 => format!("{value:.3}"),
        Shown::Lag => format_count(value.round() as u64),
    };
    html! {
        details {
            summary { "The same as a table" }
            div.scroll {
                table.sortable {
                    caption { "Largest value of each row, and when" }
                    thead { tr {
                        th scope="col" { "partition" }
                        th scope="col" { (heading) " [" (unit) "]" }
                        th scope="col" { "at [s]" }
                    } }
                    tbody { @for row in rows { tr {
                        th scope="row" { (row.name) }
                        @if let Some((value, column)) = largest(row) {
                            td { (number(value)) }
                            td { (format!("{:.1}", series.start_s(column))) }
                        } @else { td { "–" } td { "–" } }
                    } } }
                }
            }
        }
    }
}

/// The values, for the script that shows single cells. Only numbers and names of partitions.
fn for_script(series: &Series, rows: &[Row], shown: Shown) -> Markup {
    let mut text = format!(
        "{{\"from\":{},\"width\":{},\"unit\":\"{}\",\"rows\":[",
        series.start_s(0),
        series.width_s(),
        if shown == Shown::P99 { "ms" } else { "records" }
    );
    for (number, row) in rows.iter().enumerate() {
        let _ = write!(text, "{}[\"{}\"", if number > 0 { "," } else { "" }, row.name);
        for cell in &row.cells {
            let _ = match cell {
                Cell::Nothing => write!(text, ",-1"),
                Cell::Stalled => write!(text, ",-2"),
                Cell::Value(value) if shown == Shown::Lag => write!(text, ",{value:.0}"),
                Cell::Value(value) => write!(text, ",{}", three_digits(*value)),
            };
        }
        text.push(']');
    }
    text.push_str("]}");
    html! { script type="application/json" { (PreEscaped(text)) } }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}
