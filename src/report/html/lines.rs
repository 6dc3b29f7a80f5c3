//! Lines of a chart. Colour-blind readers can tell their colours apart, and they also differ in dashes.

use std::fmt::Write;

use maud::{Markup, html};

use super::scale::short;

/// Number of kinds of lines.
pub(super) const KINDS: usize = 7;
const COLOURS: [&str; KINDS] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#444444"];
const DASHES: [&str; KINDS] = ["none", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 4"];

/// A line through points of a plot; it is interrupted at `None`.
pub(super) fn path(points: impl IntoIterator<Item = Option<(f64, f64)>>) -> String {
    let points: Vec<Option<(f64, f64)>> = points.into_iter().collect();
    let mut path = String::new();
    let mut is_open = false;
    for (number, point) in points.iter().enumerate() {
        let Some((x, y)) = point else {
            is_open = false;
            continue;
        };
        let height = |at: Option<usize>| Some(points.get(at?)?.as_ref()?.1);
        let is_flat = |other: Option<f64>| other.is_some_and(|other| (other - y).abs() < 0.05);
        // Points within a horizontal part are left out.
        if is_open && is_flat(height(number.checked_sub(1))) && is_flat(height(Some(number + 1))) {
            continue;
        }
        let command = if is_open { 'L' } else { 'M' };
        let _ = write!(path, "{command}{} {}", short(*x), short(*y));
        is_open = true;
    }
    path
}

/// A line of one of the [`KINDS`].
pub(super) fn line(kind: usize, path: &str) -> Markup {
    let kind = kind % KINDS;
    html! {
        path class=(format!("line l{kind}")) d=(path) fill="none" stroke=(COLOURS[kind]) stroke-width="2"
            stroke-dasharray=(DASHES[kind]) vector-effect="non-scaling-stroke" stroke-linejoin="round" {}
    }
}

/// A thin line behind the others.
pub(super) fn faint(path: &str) -> Markup {
    html! {
        path.line.faint d=(path) fill="none" stroke="#98a2b0" stroke-width="1" vector-effect="non-scaling-stroke" {}
    }
}

/// A short line of a kind, for a legend.
pub(super) fn sign(kind: usize) -> Markup {
    html! {
        svg.sign width="34" height="10" viewBox="0 0 34 10" aria-hidden="true" { (line(kind, "M0 5L34 5")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_stretches_have_two_points_and_gaps_stay_open() {
        let at = |x: f64, y: f64| Some((x, y));
        let level = [at(0.0, 5.0), at(1.0, 5.0), at(2.0, 5.0), at(3.0, 9.25)];
        assert_eq!(path(level), "M0 5L2 5L3 9.2");
        assert_eq!(path([at(0.0, 1.0), None, at(2.0, 1.0), at(3.0, 2.0)]), "M0 1M2 1L3 2");
        assert_eq!(path([]), "");
    }
}
