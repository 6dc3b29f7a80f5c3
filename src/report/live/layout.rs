//! The layout of the live view. At 80 columns p50, p99 and lag are never cut; other columns are.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline};

use super::cells;
use super::stage_band::stage_band;
use super::view_state::{ViewState, cut, length, millis};
use crate::base::format_count;
use crate::report::snapshot::{EventSort, FaultState, RunSnapshot};

/// Smallest width. Below it, the view only shows a message.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 12;
/// Height from which on there is space for a higher curve and more events.
const HEIGHT_LARGE: u16 = 36;
const EVENTS: (u16, u16) = (4, 12);
const CURVE: (u16, u16) = (1, 4);
const BAR_WIDTH: usize = 12;
/// The space between two items of a line.
const GAP: &str = "  ";

/// Draws the view.
pub(super) fn draw(frame: &mut Frame<'_>, run: &RunSnapshot, state: &ViewState) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!(
            "{}\nneeds a terminal of {WIDTH_MIN} x {HEIGHT_MIN}; or use --live plain",
            title(run, state, usize::from(area.width))
        );
        return frame.render_widget(Paragraph::new(text), area);
    }
    let is_large = area.height >= HEIGHT_LARGE;
    let pick = |(small, large): (u16, u16)| if is_large { large } else { small };
    let [top, stages, totals, curve, legend, grid, heading, events, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(!run.stages.is_empty())),
        Constraint::Length(1),
        Constraint::Length(pick(CURVE)),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(pick(EVENTS)),
        Constraint::Length(1),
    ])
    .areas(area);
    let width = usize::from(area.width);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(title(run, state, width), bold), top);
    frame.render_widget(stage_band(run, state, width), stages);
    frame.render_widget(Line::raw(figures(run, width)), totals);
    draw_curve(frame, run, state, curve);
    cells::draw(frame, run, state, legend, grid);
    let dim = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Line::styled("what happened, by time since the load began", dim), heading);
    draw_events(frame, run, state, events);
    frame.render_widget(last_line(state, width), keys);
}

/// Joins the items that fit into `width`, in their order. Others are left out as a whole.
fn fitting(items: &[String], width: usize) -> String {
    let mut line = String::new();
    for item in items.iter().filter(|item| !item.is_empty()) {
        let gap = if line.is_empty() { "" } else { GAP };
        if length(&line) + gap.len() + length(item) <= width {
            line.push_str(gap);
            line.push_str(item);
        }
    }
    line
}

fn title(run: &RunSnapshot, state: &ViewState, width: usize) -> String {
    let frozen = if state.is_frozen { "FROZEN, f continues".to_owned() } else { String::new() };
    if !run.has_begun {
        return fitting(
            &[cut(&run.scenario, width / 3), format!("{} …", run.phase), frozen],
            width,
        );
    }
    let (elapsed, planned) = (state.elapsed.as_secs(), run.planned.as_secs());
    let phase = if state.is_stopping { "stopping" } else { run.phase.as_str() };
    let phase = match state.elapsed < run.warmup && !state.is_stopping {
        true => "warmup",
        false => phase,
    };
    let clock = format!("{phase} {}/{planned} s", elapsed.min(planned));
    let share = state.elapsed.as_secs_f64() / run.planned.as_secs_f64().max(1e-3);
    let done = (share.min(1.0) * BAR_WIDTH as f64) as usize;
    let bar = format!("{}{}", "█".repeat(done), "░".repeat(BAR_WIDTH - done));
    let fault = fault_line(run, state);
    let name = cut(&run.scenario, width / 3);
    // The bar is left out first, because the numbers next to it have the same meaning.
    let with_bar =
        [name.clone(), clock.clone(), bar, fault.clone(), frozen.clone()].map(|item| item);
    let all = with_bar.iter().filter(|item| !item.is_empty());
    let needed: usize = all.map(|item| length(item) + GAP.len()).sum();
    if needed <= width + GAP.len() {
        return fitting(&with_bar, width);
    }
    let before = fitting(&[name, clock, frozen], width);
    let left = width.saturating_sub(length(&before) + GAP.len());
    fitting(&[before, cut(&fault, left)], width)
}

/// The active fault, or the next one with its time.
fn fault_line(run: &RunSnapshot, state: &ViewState) -> String {
    let next = run.next_fault().map(|next| {
        let left = next.at.saturating_sub(state.elapsed);
        let left = left.as_millis().div_ceil(1000);
        format!("next: {} in {left} s", next.description)
    });
    let active = run.faults.iter().rev().find(|fault| fault.state == FaultState::Active);
    let active = active.map(|active| format!("now: {}", active.description));
    match (active, next) {
        (Some(active), _) => active,
        (None, Some(next)) => next,
        (None, None) if run.faults.is_empty() => String::new(),
        (None, None) => "no more faults".to_owned(),
    }
}

/// The figures of the last second, the most important first.
fn figures(run: &RunSnapshot, width: usize) -> String {
    let last = &run.last;
    let rate = |rate: f64| format_count(rate.round() as u64);
    let stalled = run.partitions.iter().filter(|partition| partition.is_stalled).count();
    let failed: u64 = run.partitions.iter().map(|partition| partition.failed).sum();
    let some = |count: u64, text: String| if count > 0 { text } else { String::new() };
    let items = [
        format!("p50 {}", millis(last.p50_ns)),
        format!("p99 {}", millis(last.p99_ns)),
        format!("lag {}", format_count(last.lag)),
        format!("stalled {stalled}/{}", run.partitions.len()),
        format!("processed {}/s", rate(last.processed_rate)),
        format!("sent {}/s", rate(last.sent_rate)),
        some(failed, format!("failed {}", format_count(failed))),
    ];
    fitting(&items, width)
}

/// Height of a latency in the curve, which is logarithmic. On a linear scale, a second with a crash would flatten all
/// others.
fn height(ns: u64) -> u64 {
    const LOWEST_NS: f64 = 100_000.0;
    const STEPS: f64 = 100.0;
    if ns == 0 { 0 } else { 1 + ((ns as f64 / LOWEST_NS).max(1.0).log2() * STEPS) as u64 }
}

fn draw_curve(frame: &mut Frame<'_>, run: &RunSnapshot, state: &ViewState, area: Rect) {
    let last = run.p99_history.iter().rev();
    let largest = run.p99_history.iter().max().copied().filter(|largest| *largest > 0);
    let label = format!("p99 each second (log), to {:<7} ", millis(largest));
    let [name, curve] =
        Layout::horizontal([Constraint::Length(length(&label) as u16), Constraint::Min(1)])
            .areas(area);
    frame.render_widget(Line::raw(label), name);
    let heights: Vec<u64> = last.take(usize::from(curve.width)).copied().map(height).collect();
    let line = Sparkline::default()
        .data(heights.iter().rev().copied())
        .max(largest.map_or(1, height))
        .style(state.style(Color::Cyan, Modifier::empty()));
    frame.render_widget(line, curve);
}

fn draw_events(frame: &mut Frame<'_>, run: &RunSnapshot, state: &ViewState, area: Rect) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let first = run.events.len().saturating_sub(height);
    let lines: Vec<Line<'_>> = run
        .events
        .iter()
        .skip(first)
        .map(|event| {
            let style = match event.sort {
                EventSort::Fault => state.style(Color::Yellow, Modifier::BOLD),
                EventSort::Failure => state.style(Color::Red, Modifier::empty()),
                EventSort::Recovery => state.style(Color::Green, Modifier::empty()),
            };
            let text = format!("{:>7.1} s  {}", event.at_s, event.text);
            Line::styled(cut(&text, width), style)
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn last_line<'a>(state: &ViewState, width: usize) -> Line<'a> {
    if let Some(said) = &state.said {
        return Line::styled(cut(said, width), state.style(Color::Yellow, Modifier::BOLD));
    }
    let stop = match state.is_stopping {
        true => "stopping; Ctrl-C quits now",
        false => "q stop and keep results",
    };
    let freeze = if state.is_frozen { "f continue" } else { "f freeze" };
    let items = [stop.to_owned(), format!("s sort: {}", state.sort.name()), freeze.to_owned()];
    Line::styled(fitting(&items, width), Style::new().add_modifier(Modifier::REVERSED))
}
