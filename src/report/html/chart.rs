//! The frame of a chart: axes with labels around a plot. Only the plot is stretched with the page, so texts keep their
//! size.

use maud::{Markup, html};

use super::bands::{Band, behind, in_front};
use super::scale::{Tick, TimeAxis, percent};

/// Height of the labels above a plot.
pub(super) const TOP: u32 = 26;
/// Height of the labels below a plot.
const BOTTOM: u32 = 38;
/// Width of the labels to the left of a plot.
const LEFT: u32 = 58;

/// A chart.
pub(super) struct Chart<'a> {
    /// Id of the chart, unique on the page.
    pub(super) id: &'a str,
    /// Title of the chart, in a few words.
    pub(super) title: &'a str,
    /// Description of the chart for screen readers.
    pub(super) description: String,
    /// Height of the plot.
    pub(super) height: u32,
    /// Labels of the vertical axis; 0 is at the bottom.
    pub(super) y: Vec<Tick>,
    /// Unit of these labels.
    pub(super) y_unit: &'a str,
    /// True if there is a line at each of them.
    pub(super) has_lines: bool,
    /// Labels of the horizontal axis.
    pub(super) x: Vec<Tick>,
    /// Unit of these labels.
    pub(super) x_unit: &'a str,
    /// The faults and the time axis; `None` for charts that are not over time.
    pub(super) bands: Option<(&'a [Band], TimeAxis)>,
    /// The content of the plot, which is stretched.
    pub(super) stretched: Markup,
    /// Width and height of that content in its own units.
    pub(super) size: (f64, f64),
    /// Texts in front of the plot, which are not stretched.
    pub(super) front: Markup,
}

impl Chart<'_> {
    /// The drawing.
    pub(super) fn draw(&self) -> Markup {
        let total = TOP + self.height + BOTTOM;
        let y_at = |tick: &Tick| f64::from(TOP) + (1.0 - tick.at) * f64::from(self.height);
        let (title, description) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        html! {
            div.frame {
                svg.y width=(LEFT) height=(total) aria-hidden="true" font-size="11" {
                    text x=(LEFT - 7) y="12" text-anchor="end" fill="#5a6472" { (self.y_unit) }
                    @for tick in &self.y {
                        text x=(LEFT - 7) y=(format!("{:.1}", y_at(tick) + 4.0)) text-anchor="end" fill="#3c4654" {
                            (tick.text)
                        }
                    }
                }
                svg.plot #(self.id) width="100%" height=(total) role="img" font-size="11"
                    aria-labelledby=(format!("{title} {description}")) {
                    title #(title) { (self.title) }
                    desc #(description) { (self.description) }
                    rect.ground x="0" y=(TOP) width="100%" height=(self.height) fill="#f4f6f8" {}
                    @if self.has_lines {
                        @for tick in &self.y {
                            @let y = format!("{:.1}", y_at(tick));
                            line.grid x1="0" x2="100%" y1=(y) y2=(y) stroke="#d5dae1" {}
                        }
                    }
                    @if let Some((bands, axis)) = self.bands { (behind(bands, axis, TOP, self.height)) }
                    svg x="0" y=(TOP) width="100%" height=(self.height) preserveAspectRatio="none"
                        viewBox=(format!("0 0 {} {}", self.size.0, self.size.1)) { (self.stretched) }
                    @if let Some((bands, axis)) = self.bands { (in_front(bands, axis, TOP, self.height)) }
                    (self.front)
                    (self.x_axis())
                }
            }
        }
    }

    fn x_axis(&self) -> Markup {
        let y = TOP + self.height;
        let last = self.x.len().saturating_sub(1);
        let alignment = |number: usize, tick: &Tick| match tick.at {
            at if at < 0.03 => "start",
            at if at > 0.97 && number == last => "end",
            _ => "middle",
        };
        html! {
            line.axis x1="0" x2="100%" y1=(y) y2=(y) stroke="#8a94a3" {}
            @for (number, tick) in self.x.iter().enumerate() {
                @let at = percent(tick.at);
                line.axis x1=(at) x2=(at) y1=(y) y2=(y + 4) stroke="#8a94a3" {}
                text x=(at) y=(y + 16) text-anchor=(alignment(number, tick)) fill="#3c4654" { (tick.text) }
            }
            text.unit x="50%" y=(y + 32) text-anchor="middle" fill="#5a6472" { (self.x_unit) }
        }
    }
}
