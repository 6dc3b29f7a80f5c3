//! The stages of the load as a band, with widths in proportion to their durations. The current stage is marked.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::view_state::{ViewState, cut, length};
use crate::report::snapshot::RunSnapshot;

/// Smallest width of a stage in columns, if there is space for all.
const COLUMNS_MIN: usize = 3;

/// The band; empty without stages.
pub(super) fn stage_band<'a>(run: &RunSnapshot, state: &ViewState, width: usize) -> Line<'a> {
    let count = run.stages.len();
    if count == 0 {
        return Line::default();
    }
    let all: f64 = run.stages.iter().map(|it| (it.to - it.from).as_secs_f64()).sum();
    let least = COLUMNS_MIN.min(width / count);
    let spare = width.saturating_sub(least * count) as f64;
    let mut spans = Vec::new();
    let (mut passed, mut drawn) = (0.0, 0);
    for (number, stage) in run.stages.iter().enumerate() {
        passed += (stage.to - stage.from).as_secs_f64();
        // The ends are rounded and not the lengths, so that the widths add up to the whole.
        let end = least * (number + 1) + (spare * passed / all.max(1e-9)).round() as usize;
        let columns = end.min(width).saturating_sub(drawn);
        drawn += columns;
        let goes_on = run.has_begun && (stage.from..stage.to).contains(&state.elapsed);
        let text = match goes_on {
            true => {
                let (in_it, lasts) = (state.elapsed - stage.from, stage.to - stage.from);
                format!("▶{} {}/{} s", stage.name, in_it.as_secs(), lasts.as_secs())
            }
            false => format!("│{}", stage.name),
        };
        let text = cut(&text, columns);
        let padding = " ".repeat(columns.saturating_sub(length(&text)));
        let style = match goes_on {
            true => state.style(Color::Cyan, Modifier::BOLD).add_modifier(Modifier::REVERSED),
            false if state.elapsed >= stage.to => Style::new().add_modifier(Modifier::DIM),
            false => Style::new(),
        };
        spans.push(Span::styled(text + &padding, style));
    }
    Line::from(spans)
}
