//! A cell for each partition: with figures if there is space, and a single character otherwise.

use std::cmp::Reverse;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::view_state::{SortBy, ViewState, cut, millis};
use crate::base::format_count;
use crate::report::snapshot::{ConsumerState, PartitionSnapshot, RunSnapshot};

/// The partitions in the selected order.
fn order(sort: SortBy, run: &RunSnapshot) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..run.partitions.len()).collect();
    match sort {
        SortBy::Number => {}
        SortBy::P99 => ids.sort_by_key(|id| {
            // A partition that processes nothing has no p99. It comes before all that have one.
            let partition = &run.partitions[*id];
            Reverse((partition.is_stalled, partition.p99_ns))
        }),
        SortBy::Lag => ids.sort_by_key(|id| Reverse(run.partitions[*id].lag)),
    }
    ids
}

/// Marks of rising p99, with the largest p99 of each in milliseconds.
const LEVELS: [(f64, &str); 7] = [
    (1.0, "▁"),
    (5.0, "▂"),
    (20.0, "▃"),
    (100.0, "▄"),
    (500.0, "▅"),
    (2_000.0, "▆"),
    (f64::INFINITY, "█"),
];
/// Legend of the marks.
const LEGEND: &str =
    "p99: ▁ 1 ms ▂ 5 ▃ 20 ▄ 100 ▅ 500 ▆ 2 s █ more  ! stalled  r restarting  x down";

/// The mark and the style of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Number, mark, p99 and lag.
    Figures,
    /// Number and mark.
    Number,
    /// The mark alone, with the number of the first partition before each row.
    Mark,
}

impl Form {
    const ALL: [Form; 3] = [Form::Figures, Form::Number, Form::Mark];

    /// Width of a cell in columns.
    fn width(self) -> usize {
        match self {
            Form::Figures => 26,
            Form::Number => 7,
            Form::Mark => 1,
        }
    }

    /// Columns before the first cell of a row.
    fn indent(self) -> usize {
        if self == Form::Mark { 6 } else { 0 }
    }

    /// Number of cells in a row of this width.
    fn columns(self, width: usize) -> usize {
        (width.saturating_sub(self.indent()) / self.width()).max(1)
    }
}

/// Draws all partitions, in the largest form that fits.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    run: &RunSnapshot,
    state: &ViewState,
    legend: Rect,
    area: Rect,
) {
    let dim = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Line::styled(cut(LEGEND, usize::from(legend.width)), dim), legend);
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let count = run.partitions.len();
    let fits = |form: &Form| count.div_ceil(form.columns(width)) <= height;
    let form = Form::ALL.into_iter().find(fits).unwrap_or(Form::Mark);
    let (columns, order) = (form.columns(width), order(state.sort, run));
    let mut rows: Vec<Line<'_>> = order
        .chunks(columns)
        .take(height)
        .map(|ids| {
            let mut row = Line::default();
            if form == Form::Mark {
                let first = ids.first().filter(|_| state.sort == SortBy::Number);
                row.push_span(first.map_or("      ".into(), |first| format!("{first:>5} ")));
            }
            ids.iter().for_each(|id| row.push_span(cell(run, state, *id, form)));
            row
        })
        .collect();
    if count > columns * height
        && let Some(last) = rows.last_mut()
    {
        let left = count - columns * (height - 1);
        *last = Line::raw(format!("… and {left} more; s sorts the worst to the front"));
    }
    frame.render_widget(Paragraph::new(rows), area);
}

fn cell(run: &RunSnapshot, state: &ViewState, id: usize, form: Form) -> Span<'static> {
    let partition = &run.partitions[id];
    let (mark, style) = mark(run, state, partition);
    let text = match form {
        Form::Mark => mark.to_owned(),
        Form::Number => format!("{id:>4} {mark} "),
        Form::Figures => {
            let lag = partition.lag.map_or("-".to_owned(), format_count);
            format!("{id:>4} {mark} {:>7} lag {lag:<7}", millis(partition.p99_ns))
        }
    };
    Span::styled(text, style)
}

/// The mark of a partition: an unusual state of its consumer, or the level of its p99.
fn mark(
    run: &RunSnapshot,
    state: &ViewState,
    partition: &PartitionSnapshot,
) -> (&'static str, Style) {
    let loud = |colour| state.style(colour, Modifier::REVERSED);
    if partition.is_gone {
        return ("~", Style::new().add_modifier(Modifier::DIM));
    }
    match run.state_of(partition) {
        None | Some(ConsumerState::GivenUp) if run.has_begun => return ("x", loud(Color::Red)),
        Some(ConsumerState::Restarting) => return ("r", loud(Color::Yellow)),
        Some(ConsumerState::Starting) if run.has_begun => return ("r", loud(Color::Yellow)),
        _ => {}
    }
    if partition.is_stalled {
        return ("!", loud(Color::Red));
    }
    let Some(ns) = partition.p99_ns else { return ("·", Style::new()) };
    let ms = ns as f64 / 1e6;
    let level = LEVELS.iter().position(|(largest, _)| ms <= *largest).unwrap_or(LEVELS.len() - 1);
    let style = match level {
        0..=2 => state.style(Color::Green, Modifier::empty()),
        3 | 4 => state.style(Color::Yellow, Modifier::empty()),
        _ => state.style(Color::Red, Modifier::BOLD),
    };
    (LEVELS[level].1, style)
}
